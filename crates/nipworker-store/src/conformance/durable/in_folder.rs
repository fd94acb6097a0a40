//! A store whose folder goes when it does.

use std::{ops::ControlFlow, path::Path};

use nipworker_protocol::{EventId, Filter, PackedEvent, PublicKey, Verified};
use tempfile::TempDir;

use crate::{
    CheckReport, EventStore, Page, PageRequest, Position, PutOutcome, StoreError, StoreStats,
};

/// A store with the folder in which it is.
pub struct InFolder<S> {
    // Closed before its folder goes.
    store: S,
    _folder: TempDir,
}

impl<S> InFolder<S> {
    /// What `open` makes of a path in a fresh folder.
    pub fn new(open: impl FnOnce(&Path) -> S) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { store: open(&folder.path().join("events")), _folder: folder }
    }
}

impl<S: EventStore> EventStore for InFolder<S> {
    fn put_packed(
        &self,
        events: &[Verified<PackedEvent>],
        now: i64,
    ) -> Result<Vec<PutOutcome>, StoreError> {
        self.store.put_packed(events, now)
    }

    fn query(
        &self,
        filters: &[Filter],
        request: &PageRequest,
        now: i64,
    ) -> Result<Page, StoreError> {
        self.store.query(filters, request, now)
    }

    fn count(&self, filters: &[Filter], now: i64) -> Result<u64, StoreError> {
        self.store.count(filters, now)
    }

    fn ids(&self, filters: &[Filter], max: usize, now: i64) -> Result<Vec<Position>, StoreError> {
        self.store.ids(filters, max, now)
    }

    fn get(&self, id: &EventId, now: i64) -> Result<Option<Verified<PackedEvent>>, StoreError> {
        self.store.get(id, now)
    }

    fn sweep_some(&self, now: i64, max: usize) -> Result<u64, StoreError> {
        self.store.sweep_some(now, max)
    }

    fn vanish(&self, author: &PublicKey, until: i64) -> Result<u64, StoreError> {
        self.store.vanish(author, until)
    }

    fn delete(&self, filters: &[Filter], now: i64) -> Result<u64, StoreError> {
        self.store.delete(filters, now)
    }

    fn for_each_oldest_first(
        &self,
        now: i64,
        visit: &mut dyn FnMut(Verified<PackedEvent>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.store.for_each_oldest_first(now, visit)
    }

    fn check(&self) -> Result<CheckReport, StoreError> {
        self.store.check()
    }

    fn stats(&self) -> Result<StoreStats, StoreError> {
        self.store.stats()
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.store.flush()
    }

    fn compact(&self) -> Result<(), StoreError> {
        self.store.compact()
    }
}
