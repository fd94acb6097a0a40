//! The embedded durable backend of `nipworker-store`, on redb: one file, no server.
//!
//! The crate knows redb and files. It must not know events, filters or actors: those rules are in
//! `nipworker-store`, which this crate only gives a place to write to.
//!
//! * [`open_store`] opens or creates an event store in a file, [`RedbKv::open`] the bare backend;
//! * [`OpenError`] says whose fault it is when that fails, and whether the file
//!   [may be set aside](OpenError::may_be_set_aside);
//! * [`set_aside`] renames a file that cannot be opened; nothing is ever deleted.
//!
//! Every commit is on the disk when it returns. After an input/output error (a full disk
//! included) the database is closed and opened again by the next call, so service resumes when
//! the cause is gone, without a restart of the process.
//!
//! Sizes are bytes. redb's own memory is bounded by [`RedbOptions::cache_bytes`].
//!
//! ```
//! use nipworker_store::EventStore;
//! use nipworker_store_redb::{RedbOptions, open_store};
//!
//! let folder = tempfile::tempdir()?;
//! let store = open_store(folder.path().join("events.redb"), RedbOptions::default())?;
//! assert_eq!(store.stats()?.events, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod create;
mod error;
mod kv;
mod snapshot;

pub use kv::{CACHE_BYTES_DEFAULT, RedbKv, RedbOptions, open_store};
pub use nipworker_store::{OpenError, Quarantine, set_aside};
