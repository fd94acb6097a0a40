//! A durable backend of `nipworker-store` on sled 0.34: one folder, no server.
//!
//! The crate knows sled and files. It must not know events, filters or actors: those rules are in
//! `nipworker-store`, which this crate only gives a place to write to.
//!
//! * [`open_store`] opens or creates an event store in a folder, [`SledKv::open`] the bare
//!   backend;
//! * [`OpenError`] says whose fault it is when that fails, and whether the folder
//!   [may be set aside](OpenError::may_be_set_aside);
//! * [`set_aside`] renames a folder that cannot be opened; nothing is ever deleted.
//!
//! ```
//! use nipworker_store::EventStore;
//! use nipworker_store_sled::{SledOptions, open_store};
//!
//! let folder = tempfile::tempdir()?;
//! let store = open_store(folder.path().join("events.sled"), SledOptions::default())?;
//! assert_eq!(store.stats()?.events, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Before you choose it
//!
//! sled 0.34.7 dates from 2021, calls itself beta, and recommends SQLite to those who care for
//! reliability first. Nobody answers its reports of corruption (spacejam/sled #1533, #1410,
//! #1387, #1189), and two of its dependencies have no maintainer (RUSTSEC-2025-0057 `fxhash`,
//! RUSTSEC-2024-0384 `instant`). `nipworker-store-redb` keeps the same promises without the
//! crutches below. This crate is for those who have sled already or want to compare.
//!
//! # What it adds to sled
//!
//! * **Durability.** A commit is on the disk when it returns. sled's own flush is not enough: on
//!   Linux it asks for its pages to be written, without the file's length and the disk's cache,
//!   and it never syncs the files that it keeps large pages in. Each commit costs an `fdatasync`,
//!   and where there are large pages a look at their folder.
//! * **Snapshots.** sled shows every reader the newest state. Here the old values of a commit's
//!   keys are kept in memory as long as a snapshot may need them. No commit waits for a snapshot.
//!   The price is one more read for each key that a commit changes, and memory up to
//!   [`SledOptions::snapshot_bytes`]; behind that, the oldest snapshots turn
//!   [unavailable](nipworker_store::KvError::Unavailable) and are to be taken again. The memory is
//!   given back by the commit after the last snapshot that needed it.
//! * **Half commits.** sled applies a batch bit by bit and does not take back what it did when an
//!   error stops it. Here nobody is shown such a half, and the next commit takes it back. Should
//!   the process end before that, half a commit may stay; `check` tells.
//! * **Silent losses.** A damaged log makes sled go back to the last commit before the damage
//!   without a word. The number of the last acknowledged commit is kept beside the log, so that
//!   opening such a folder is [an error](OpenError::Corrupt).
//! * **Backward walks.** sled panics when it walks backwards over certain keys with many bytes of
//!   255; keys are stored in a form that has none of these.
//! * **Panics and hangs.** A panic of sled in the caller's thread is an error. A thread looks twice
//!   a second for writes that failed, because sled may leave the one who waits for them asleep.
//!
//! After an input/output error (a full disk included) the database is closed and opened again by
//! the next call, so service resumes when the cause is gone, without a restart of the process.
//!
//! # What stays
//!
//! * A panic in one of sled's own threads is shown, and may leave a commit waiting for ever.
//! * While sled applies a batch in memory, readers of every sled database of the process wait.
//! * Space is hardly ever given back to the system, and memory exceeds
//!   [`SledOptions::cache_bytes`]: the table of pages is always in it. The table is rebuilt from
//!   the log at each start, which takes longer the longer the log is.
//! * Opening writes to the folder; opening a damaged one cuts off what is behind the damage. Copy a
//!   folder before you try to rescue it.
//! * Only one process may have a folder open: that is kept by a lock on Linux, macOS and Windows,
//!   and nowhere else.
//!
//! Sizes are bytes.

mod error;
mod folder;
mod keys;
mod kv;
mod snapshot;
mod versions;
mod watch;

pub use kv::{CACHE_BYTES_DEFAULT, SNAPSHOT_BYTES_DEFAULT, SledKv, SledOptions, open_store};
pub use nipworker_store::{OpenError, Quarantine, set_aside};
