//! The cache worker: it stores what was verified, answers queries from the store, and passes
//! requests on to the relays.
//!
//! The crate receives messages, calls `nipworker-store`, and sends what follows from it. It must
//! not know what is kept and why (that is the store's), nor which database is behind the store,
//! nor the wall clock: the time comes from the clock it is given.
//!
//! * [`child_spec`] is all that a supervision tree needs, with an address made with [`MAILBOX`];
//! * [`CacheParts`] names whom the worker talks to;
//! * [`CacheActor`] is the worker.
//!
//! The store lives outside the worker, so a restart loses nothing but the one message that was
//! being handled.
//!
//! | request | answer | does |
//! |---|---|---|
//! | `Persist` | `Persisted` | one commit, one outcome for each event |
//! | `QueryPage` | `Page` | one page, newest first |
//! | `CountStored` | `StoredCount` | |
//! | `SweepExpired` | `Swept` | |
//! | `StoreAndSend` | `Sent` | commits, then asks connections to send |
//! | `ListStored` | `StoredListed` | times and ids, newest first |
//! | `ReconcileStored` | `StoredReconciled` | has connections compare what is stored with a relay |
//! | `AskRelays` | `RelaysAsked` | asks connections |
//! | `StopAsking` | `Stopped` | asks connections |
//!
//! Any of them may be answered by `Failed`. The store is called on threads of its own: all requests
//! to persist that wait are committed at once, and questions are answered from snapshots meanwhile, so
//! that a query never waits for a commit. A request that makes the store panic or fail costs that
//! request, also where it was to be committed together with others. An input/output error is fatal to
//! the incarnation, and so is a commit that takes longer than [`STORE_LIMIT`]; other requests that are
//! under way are answered all the same, unless the worker's own thread hangs or is lost. The next
//! incarnation goes on with the same open store. While the error lasts it ends in the same way, until
//! the supervisor gives up.

mod actor;
mod failure;
mod reply;
mod requests;
mod threads;

pub use actor::{
    AUTHORS_COUNTED_MAX, BACKOFF, CONNECTIONS_ASK_LIMIT, CacheActor, CacheParts, Clock, HANG_LIMIT,
    IN_FLIGHT_MAX, LISTED_MAX, MAILBOX, PAGE_EVENTS_DEFAULT, PUBLISH_DEADLINE,
    RECONCILE_EVENTS_MAX, RESTART, SEND_GRACE, SHUTDOWN, STORE_LIMIT, SWEEP_INTERVAL, child_spec,
};
pub use threads::{COMMIT_EVENTS_MAX, READERS_MAX, readers_default};
