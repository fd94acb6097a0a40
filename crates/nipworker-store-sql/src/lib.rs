//! Event stores in SQL databases, on sqlx: SQLite for people who want to look at their events with SQL,
//! PostgreSQL for those who share one store among many gateways.
//!
//! The crate knows tables, statements and connections. It must not know actors or config files; what
//! becomes of an event that is put is decided by [`nipworker_store::rules`], as in every other store.
//!
//! * [`SqlStore::open_sqlite`] opens or creates a database in a file, [`SqlStore::open_postgres`] the
//!   tables in a PostgreSQL database that is there;
//! * `migrations/` holds the tables, which are made to be read by hand: `events`, `tags`, and the view
//!   `readable_events`.
//!
//! A put is one transaction, whatever number of events it has; writers take turns, and readers wait for
//! none of them. Only compacting a PostgreSQL database makes everybody wait. An acknowledged event is on the disk: SQLite runs with a write-ahead log and
//! `synchronous = FULL`; PostgreSQL as its server is configured, so leave `synchronous_commit` on there.
//!
//! Several processes may use one database at a time. Each keeps its own figure of evicted events.
//!
//! What these stores cannot do as well as the embedded key-value stores: a feed of many authors is
//! sorted instead of merged, and SQLite keeps no checksums of its pages, so that a damaged page may go
//! unnoticed until [`check`](nipworker_store::EventStore::check) reads it.
//!
//! ```
//! # #[cfg(feature = "sqlite")] {
//! use nipworker_store::EventStore;
//! use nipworker_store_sql::{SqlOptions, SqlStore};
//!
//! let folder = tempfile::tempdir()?;
//! let store = SqlStore::open_sqlite(folder.path().join("events.sqlite"), SqlOptions::default())?;
//! assert_eq!(store.stats()?.events, 0);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(not(any(feature = "sqlite", feature = "postgres")), allow(dead_code))]

mod bridge;
mod check;
mod connect;
mod counting;
mod dialect;
mod error;
mod evict;
mod figures;
mod filter;
mod ledger;
mod page;
mod row;
mod schema;
mod statement;
mod store;
mod text;
mod transaction;
mod vanish;
mod write;

pub use connect::{
    ACQUIRE_S, BUSY_S, CACHE_BYTES_DEFAULT, CALL_S, CONNECTIONS_DEFAULT, SqlOptions,
};
pub use nipworker_store::{OpenError, Quarantine, set_aside};
pub use store::SqlStore;
