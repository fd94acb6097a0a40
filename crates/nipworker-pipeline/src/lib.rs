//! What happens to an event between the wire and its readers.
//!
//! Three parts, all without I/O, clock or threads; what they need comes in, and what is to be done
//! goes out as values.
//!
//! **[`Pipeline`]** takes raw texts from a relay or an importer through the checks, in this order:
//!
//! 1. size limit;
//! 2. exact dedupe: a text that, byte for byte, was verified and stored before needs no check;
//! 3. decoding under [`EventLimits`];
//! 4. the id is computed again from the content, for all texts of a batch side by side where the
//!    processor is faster so;
//! 5. filter match: a relay must send what it was asked for;
//! 6. the pair of id and signature is looked up among those that were verified before; what is not
//!    found there goes out as [`Ingest::to_verify`], and comes back through [`Pipeline::accept`]
//!    with the verdicts; what another batch has under check at that moment waits for it
//!    ([`Pipeline::claim`]);
//! 7. expiration (NIP-40).
//!
//! An event becomes known by [`Pipeline::remember`] only, which is called once it was verified
//! *and* stored. So a known id with other content or another signature is checked like any
//! stranger, and a copy that follows a lost write is stored after all.
//!
//! **[`Hub`]** is the registry of subscriptions. It joins what the cache holds with what comes
//! live, without gap or duplicate at the seam, and counts which relays have sent all they had:
//!
//! ```text
//!            begin            cache_done        all relays answered,
//! registered ─────► replaying ──────────► live  failed or past the deadline
//!                   cache rows │          events ─────────────────────────► end of stored
//!                   go out,    │          go out                            events, once
//!                   live ones  │
//!                   are kept ──┘
//! ```
//!
//! What happens when a reader is slow is the subscription's choice, its [`Overflow`] policy: the
//! oldest waiting event is dropped and the reader gets [`SubscriptionEvent::Lagged`] with their
//! number in its place, or whoever delivers waits, up to the relay that the event came from. Rows
//! of the cache always wait. [`DeliveryLimits`] end a subscription after so many events or bytes.
//!
//! **[`pipes`]** stand between the queue and the reader: what is done to events that are genuine,
//! by the reader's own choice. Their table, with options and bounds, stands there.
//!
//! The reader has a [`SubscriptionStream`]; dropping it ends the subscription. An event that it was
//! given is not given again while its id is remembered; beyond that bound a copy passes for new, and
//! [`SubscriptionStats::forgotten`] says that the bound was reached.
//!
//! **[`kinds`]** and **[`content`]** read what an event says: a typed view for each kind that is
//! known, the mentions, links, emoji, invoices and ecash in its text, and the blocks of a long one. A view is derived: it can be
//! made again from the event at any time.
//!
//! | limit | default | where |
//! |---|---|---|
//! | one event's text, tags, tag elements | 512 KiB, 10 000, 50 000 | [`EventLimits`] |
//! | verified events remembered | 57 344 to 114 688, 21 MB | [`PipelineConfig::known_events`] |
//! | subscriptions | 4 096 | [`HubConfig::max_subscriptions`] |
//! | events queued for a reader | 1 024 | [`HubConfig::queue_events`] |
//! | delivered ids remembered per subscription | 28 672 newest rows of the cache; of others the last 28 672 to 57 344; 0.9 MB | [`HubConfig::seen_events`] |
//! | pipes of a subscription; what each says for one event | 32; 16 notes | [`pipes::MAX_PIPES`], [`pipes::MAX_NOTES`] |
//! | blocks of a text; after them the rest is one block | 10 000, 0.7 MB | [`content::MAX_BLOCKS`] |
//! | pieces of a long text, and how deep they stand; the rest is left out and said so, or flattened | 20 000, 16 | [`content::MAX_MARKDOWN_NODES`], [`content::MAX_MARKDOWN_DEPTH`] |
//! | a Cashu token that is decoded | 131 072 characters | [`content::MAX_TOKEN_CHARS`] |
//! | people, events and addresses that an event points at, each | 500 | [`kinds::MAX_REFERENCES`] |
//! | relay hints of a name | 8 | [`content::MAX_RELAY_HINTS`] |
//!
//! Sources: NIP-01 (events, filters, EOSE), NIP-40 (expiration); those of the views stand there.
//!
//! [`EventLimits`]: nipworker_protocol::EventLimits

pub mod content;
mod generations;
mod hub;
mod ingest;
pub mod kinds;
pub mod pipes;
mod source;

/// The base types that stand in this crate's interface.
pub use nipworker_protocol as protocol;

pub use hub::{
    AbandonedFuture, Claim, CloseReason, DEFAULT_QUEUE_EVENTS, DeliveryLimits, Hub, HubClock,
    HubConfig, HubError, MAX_QUEUED_NEWS, Offered, Overflow, Plan, Progress, RelayNews, RelayState,
    ReplayCursor, RoomFuture, SubscriptionEvent, SubscriptionSpec, SubscriptionStats,
    SubscriptionStream, Tally,
};
pub use ingest::{
    Accepted, Candidate, Checks, Elsewhere, Genuine, Ingest, IngestStats, Kept, MAX_RELAYS_COUNTED,
    Pipeline, PipelineConfig, Refusal, RefusalKind, Refused, Seen, SourceStats, Verdict,
    VerdictCountError,
};
pub use source::Source;
