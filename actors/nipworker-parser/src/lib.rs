//! The worker that everything passes through: it checks, stores and delivers events.
//!
//! The rules are in `nipworker-pipeline`; this crate carries its effects to the neighbours.
//!
//! | message | what happens | answer |
//! |---|---|---|
//! | [`IngestEdge`] `EventBatch` | checks → crypto verifies → cache stores → the subscription's reader | `Ingested` |
//! | `EndOfStored`, `SubscriptionClosed`, `RelayNotice`, `RelayUnavailable` | counted for the subscription, told to its reader | `Ingested` |
//! | [`ClientEdge`] `Subscribe` | pages of the cache to the reader, then relays are asked | `Subscribed` |
//! | `Unsubscribe` | the stream ends, relays are told to stop | `Unsubscribed` |
//! | `Publish` | checks → crypto → cache → live subscriptions → relays | `Published` |
//! | `Import` | checks → crypto → cache → live subscriptions | `Imported` |
//! | `Count` | asked of the cache | `Counted` |
//! | `List` | asked of the cache | `Listed` |
//!
//! `Subscribed` comes when the cache has been read to its end, and the cache is read as fast as the
//! reader takes the rows: so the client reads the stream while it waits for that answer.
//!
//! # When neighbours fail
//!
//! A request to crypto or cache that can be repeated is repeated once. When a batch fails again,
//! its items go one by one, twice at most, so that the one that makes a worker fail is found: it is
//! refused as unverifiable, or its outcome is `Failed`, and the others pass. Beyond [`MAX_BAD_ITEMS`] such
//! items, or when a worker is away for another reason, the asker gets `Failed`, transient. Events
//! that were verified reach their readers even when the cache cannot store them; they do not
//! become known then, so that a repeated batch is stored.
//!
//! # What survives a restart
//!
//! The [`Hub`] with all subscriptions and the [`Pipeline`] live outside. A new incarnation reads
//! on in the cache where the last one stopped, asks relays that were not asked, tells relays of
//! subscriptions that have ended, and sets the deadlines again.
//!
//! | bound | value | beyond it |
//! |---|---|---|
//! | mailbox | [`MAILBOX_CAPACITY`] messages | who sends waits |
//! | batches, publishes, imports, counts, lists under way | [`MAX_IN_FLIGHT`] | the mailbox is not read |
//! | publishes that wait for relays | [`MAX_AWAITING_RECEIPTS`] | `Failed` with code `Busy`, transient |
//! | reconciliations with relays | [`MAX_RECONCILING`] | `Failed` with code `Busy`, transient |
//! | one request to crypto, cache | [`ParserConfig`] | `Failed`, transient |
//! | relays' time for what they have stored | [`ParserConfig::relay_deadline`] | counted as timed out |
//! | waiting for a slow reader that asked for it | [`ParserConfig::reader_deadline`] | oldest events are dropped, without waiting again until half its queue is free |
//!
//! [`IngestEdge`]: nipworker_schema::IngestEdge
//! [`ClientEdge`]: nipworker_schema::ClientEdge
//! [`Hub`]: nipworker_pipeline::Hub
//! [`Pipeline`]: nipworker_pipeline::Pipeline

mod actor;
mod chores;
mod client;
mod config;
mod convert;
mod drive;
mod ingest;
mod neighbours;
mod shared;

pub use actor::{HANG_LIMIT, MAILBOX_CAPACITY, ParserActor};
pub use config::{
    IMPORT_CHUNK_TEXTS, MAX_AWAITING_RECEIPTS, MAX_BAD_ITEMS, MAX_IN_FLIGHT, MAX_RECONCILING,
    PAGE_EVENTS, ParserConfig, RETRY_DELAY,
};
pub use shared::{ParserParts, UnixClock};
