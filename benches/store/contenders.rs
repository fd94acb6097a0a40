//! The stores behind one face.

use std::path::{Path, PathBuf};

use nipworker_protocol::{Event, Filter, PackedEvent, Verified};
use nipworker_store::{EventStore, KvStore, MemoryKv, PageRequest};
use nipworker_store_redb::{CACHE_BYTES_DEFAULT, RedbOptions, open_store};
use nipworker_store_sql::{SqlOptions, SqlStore};
use nostr_database::NostrDatabase;
use nostr_lmdb::NostrLmdb;
use nostr_sqlite::prelude::NostrSqlite;
use tokio::runtime::Runtime;

use crate::Options;

/// Mebibytes of cache that redb has unless told otherwise: those of the product.
pub(crate) const CACHE_MIB_DEFAULT: usize = CACHE_BYTES_DEFAULT / 1024 / 1024;

/// One event in the form of each family of stores, made before any clock runs.
pub(crate) struct Prepared {
    pub(crate) ours: Verified<PackedEvent>,
    theirs: nostr::event::Event,
}

impl Prepared {
    pub(crate) fn new(event: Verified<Event>) -> Self {
        let theirs = serde_json::from_str(&event.to_json()).unwrap();
        Self { ours: event.pack(), theirs }
    }
}

/// One filter in both forms.
pub(crate) struct Asked {
    pub(crate) ours: Filter,
    theirs: nostr::filter::Filter,
}

impl Asked {
    pub(crate) fn new(filter: Filter) -> Self {
        let json = serde_json::to_string(&filter).unwrap();
        Self { ours: filter, theirs: serde_json::from_str(&json).unwrap() }
    }
}

/// What an answer is compared by: time and id of each event, in order.
pub(crate) type Answer = Vec<(i64, [u8; 32])>;

/// A store that takes part.
pub(crate) trait Contender {
    fn name(&self) -> &'static str;
    /// Takes a batch in and returns when it is durable; says how many events were stored.
    fn put(&mut self, batch: &[Prepared], now: i64) -> usize;
    /// Asks and drops the answer; says how many events it had.
    fn query(&self, asked: &Asked, now: i64) -> usize;
    /// Asks and keeps what the answer is compared by.
    fn answer(&self, asked: &Asked, now: i64) -> Answer;
    fn count(&self, asked: &Asked, now: i64) -> u64;
    /// Where it lies; `None` in memory.
    fn folder(&self) -> Option<&Path>;
}

/// All that the command line asks for, below `folder`.
pub(crate) fn all(folder: &Path, options: &Options) -> Vec<Box<dyn Contender>> {
    let mut all: Vec<Box<dyn Contender>> = Vec::new();
    if options.wants("memory") {
        let store = Box::new(KvStore::open(MemoryKv::new()).unwrap());
        all.push(Box::new(Ours { name: "memory", store, folder: None }));
    }
    if options.wants("redb") {
        let folder = fresh(folder, "redb");
        let cache = RedbOptions { cache_bytes: options.cache_mib * 1024 * 1024 };
        let store = Box::new(open_store(folder.join("events.redb"), cache).unwrap());
        all.push(Box::new(Ours { name: "redb", store, folder: Some(folder) }));
    }
    if options.wants("sql") {
        let folder = fresh(folder, "sql");
        let file = folder.join("events.sqlite");
        let store = Box::new(SqlStore::open_sqlite(file, SqlOptions::default()).unwrap());
        all.push(Box::new(Ours { name: "sql", store, folder: Some(folder) }));
    }
    if options.wants("lmdb") {
        let folder = fresh(folder, "lmdb");
        let runtime = runtime();
        let database = runtime.block_on(NostrLmdb::open(&folder)).unwrap();
        all.push(Box::new(Theirs { name: "lmdb", database: Box::new(database), runtime, folder }));
    }
    if options.wants("sqlite") {
        let folder = fresh(folder, "sqlite");
        let runtime = runtime();
        let file = folder.join("events.sqlite");
        let database = runtime.block_on(NostrSqlite::builder().in_file(file).build()).unwrap();
        all.push(Box::new(Theirs {
            name: "sqlite",
            database: Box::new(database),
            runtime,
            folder,
        }));
    }
    assert!(!all.is_empty(), "contenders are memory, redb, sql, lmdb and sqlite");
    all
}

fn fresh(folder: &Path, name: &str) -> PathBuf {
    let folder = folder.join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

/// A store of ours, asked as the cache worker asks it.
struct Ours {
    name: &'static str,
    store: Box<dyn EventStore>,
    folder: Option<PathBuf>,
}

impl Ours {
    fn page(&self, asked: &Asked, now: i64) -> Vec<Verified<PackedEvent>> {
        let page = self
            .store
            .query(std::slice::from_ref(&asked.ours), &PageRequest::default(), now)
            .unwrap();
        assert!(page.next.is_none() || asked.ours.limit.is_none(), "an answer of several pages");
        page.events
    }
}

impl Contender for Ours {
    fn name(&self) -> &'static str {
        self.name
    }

    fn put(&mut self, batch: &[Prepared], now: i64) -> usize {
        // The cache worker has its events in one piece already.
        let events: Vec<_> = batch.iter().map(|event| event.ours.clone()).collect();
        let outcomes = self.store.put_packed(&events, now).unwrap();
        outcomes.iter().filter(|outcome| outcome.is_kept()).count()
    }

    fn query(&self, asked: &Asked, now: i64) -> usize {
        self.page(asked, now).len()
    }

    fn answer(&self, asked: &Asked, now: i64) -> Answer {
        self.page(asked, now)
            .iter()
            .map(|event| (event.view().created_at(), *event.view().id().as_bytes()))
            .collect()
    }

    fn count(&self, asked: &Asked, now: i64) -> u64 {
        self.store.count(std::slice::from_ref(&asked.ours), now).unwrap()
    }

    fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }
}

/// A store of rust-nostr, asked through its trait.
struct Theirs {
    name: &'static str,
    database: Box<dyn NostrDatabase>,
    runtime: Runtime,
    folder: PathBuf,
}

impl Contender for Theirs {
    fn name(&self) -> &'static str {
        self.name
    }

    fn put(&mut self, batch: &[Prepared], _now: i64) -> usize {
        // All at once, so that a store that groups commits can do so.
        let saving = batch.iter().map(|event| self.database.save_event(&event.theirs));
        let outcomes = self.runtime.block_on(futures::future::join_all(saving));
        outcomes.into_iter().filter(|outcome| outcome.as_ref().unwrap().is_success()).count()
    }

    fn query(&self, asked: &Asked, _now: i64) -> usize {
        self.runtime.block_on(self.database.query(asked.theirs.clone())).unwrap().len()
    }

    fn answer(&self, asked: &Asked, _now: i64) -> Answer {
        let events = self.runtime.block_on(self.database.query(asked.theirs.clone())).unwrap();
        events
            .iter()
            .map(|event| (event.created_at.as_secs().cast_signed(), *event.id.as_bytes()))
            .collect()
    }

    fn count(&self, asked: &Asked, _now: i64) -> u64 {
        self.runtime.block_on(self.database.count(asked.theirs.clone())).unwrap() as u64
    }

    fn folder(&self) -> Option<&Path> {
        Some(&self.folder)
    }
}
