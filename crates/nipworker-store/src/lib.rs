//! Nostr's storage rules, written once over a small ordered key-value port.
//!
//! The crate knows which events are kept, which give way, which are gone for good, and how a
//! filter is answered from indexes. It must not know actors, config files, threads of its own,
//! the wall clock or any particular database: the time comes in as unix seconds, and bytes go out
//! through [`OrderedKv`].
//!
//! * [`EventStore`] is the port that the cache worker uses: put, query, count, sweep, check;
//! * [`KvStore`] implements it over any [`OrderedKv`]: replaceable and addressable events
//!   (NIP-01), deletion requests (NIP-09), expiration (NIP-40), requests to vanish (NIP-62), indexes
//!   and the query planner;
//! * [`Seal`] encrypts events of sensitive kinds at rest;
//! * [`MemoryKv`] is the backend that forgets when the process ends;
//! * [`OpenError`] and [`set_aside`] are for backends on a disk: why one does not open, and how it
//!   makes way for a fresh one;
//! * [`rules`] say what becomes of an event that is put, for every kind of store;
//! * [`guard`] turns the panics of a database engine into errors, for backends;
//! * `conformance` (a feature) holds the suites that every backend runs.
//!
//! Units: times are unix seconds (`i64`), sizes are bytes. All calls block: they belong on a
//! worker's own thread.
//!
//! ```
//! use nipworker_protocol::{Attestation, Filter, PublicKey, Signature, UnsignedEvent, Verified};
//! use nipworker_store::{EventStore, KvStore, MemoryKv, PageRequest, PutOutcome};
//!
//! let store = KvStore::open(MemoryKv::new())?;
//! let author = PublicKey::from_bytes([2; 32]);
//! let note = UnsignedEvent::new(author, 1_700_000_000, 1, vec![], "hi")
//!     .with_signature(Signature::from_bytes([0; 64]));
//! // A real caller attests what the crypto worker has checked.
//! let note = Verified::attest(note, Attestation::Checked);
//!
//! let now = 1_700_000_100;
//! assert_eq!(store.put_batch(&[note.clone()], now)?, [PutOutcome::Stored]);
//! let page = store.query(&[Filter::new().authors([author])], &PageRequest::default(), now)?;
//! assert_eq!(page.unpack(), [note]);
//! # Ok::<(), nipworker_store::StoreError>(())
//! ```

mod cursor_memo;
mod engine;
mod error;
mod event_store;
pub mod guard;
mod kv;
mod opening;
mod position;
mod quarantine;
pub mod rules;
mod size_limit;

#[cfg(feature = "conformance")]
pub mod conformance;

pub use cursor_memo::CursorMemo;
pub use engine::{
    KEPT_EVENTS_MAX, KvStore, MERGED_CURSORS_MAX, RECENT_BYTES_DEFAULT, ROW_CACHE_BYTES_DEFAULT,
    SCHEMA_VERSION, bytes_of,
};
pub use error::StoreError;
pub use event_store::{
    CHECK_PROBLEMS_KEPT, CheckReport, EventStore, PAGE_BYTES_DEFAULT, PAGE_EVENTS_MAX, Page,
    PageRequest, PutOutcome, SWEPT_PER_COMMIT, StoreStats,
};
pub use kv::{
    Direction, KeyRange, KvCursor, KvEntry, KvError, KvSnapshot, KvStats, MemoryKv, OrderedKv,
    SEAL_KEY_BYTES, Seal, WriteBatch,
};
pub use opening::{OpenError, is_full};
pub use position::{Cursor, Position};
pub use quarantine::{Quarantine, set_aside};
pub use rules::EVENT_JSON_BYTES_MAX;
pub use size_limit::{EVICTION_ORDER, SizeLimit};

/// What the port speaks of, so that who uses it needs no other crate for it.
pub use nipworker_protocol::{
    Attestation, Event, EventId, EventView, Filter, HllOffset, HyperLogLog, PackedError,
    PackedEvent, PackedEvents, Verified,
};
