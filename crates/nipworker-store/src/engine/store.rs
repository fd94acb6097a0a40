//! [`KvStore`]: the port's calls, put together from the parts beside this file.

use std::{
    ops::ControlFlow,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use nipworker_protocol::{EventId, Filter, PackedEvent, Verified};

use crate::{
    CheckReport, Cursor, Direction, EventStore, KeyRange, KvError, KvSnapshot, OrderedKv,
    PAGE_EVENTS_MAX, Page, PageRequest, Position, PutOutcome, StoreError, StoreStats, WriteBatch,
};

use super::{
    check, ids, keys, migrate,
    put::{Changes, number, position_of},
    row::Row,
    walk::{Limits, Walk, recount},
};

/// Version of the key layout that this release writes, and the newest that it reads.
pub const SCHEMA_VERSION: u32 = 2;

/// Expired events that one commit of a sweep removes.
const SWEEP_EVENTS_PER_COMMIT: usize = 1_000;

/// An [`EventStore`] over any [`OrderedKv`].
///
/// Puts and sweeps take turns; queries look at a snapshot and wait for nobody.
pub struct KvStore {
    kv: Arc<dyn OrderedKv>,
    /// Held from reading to committing, so that no decision rests on what has changed since.
    writing: Mutex<()>,
}

impl KvStore {
    /// Opens the store in `kv`; an empty one becomes a store of this release's schema.
    ///
    /// # Errors
    /// [`StoreError::SchemaTooNew`], [`StoreError::Foreign`], [`StoreError::Kv`].
    pub fn open(kv: impl OrderedKv + 'static) -> Result<Self, StoreError> {
        Self::open_shared(Arc::new(kv))
    }

    /// As [`KvStore::open`], over a backend that others hold too. They must not write to it.
    ///
    /// # Errors
    /// As [`KvStore::open`].
    pub fn open_shared(kv: Arc<dyn OrderedKv>) -> Result<Self, StoreError> {
        let snapshot = kv.snapshot()?;
        match snapshot.get(keys::META_SCHEMA)? {
            Some(value) => {
                let found = value.as_slice().try_into().map(u32::from_be_bytes).map_err(|_| {
                    StoreError::damaged(format!("schema version has {} bytes", value.len()))
                })?;
                if found > SCHEMA_VERSION {
                    return Err(StoreError::SchemaTooNew { found, supported: SCHEMA_VERSION });
                }
                if found < SCHEMA_VERSION || snapshot.get(keys::META_MIGRATING)?.is_some() {
                    drop(snapshot);
                    migrate::from_version_1(&*kv)?;
                }
            }
            None => {
                let everything = KeyRange { start: Vec::new(), end: vec![u8::MAX; 64] };
                if snapshot.scan(everything, Direction::Forward)?.advance()?.is_some() {
                    return Err(StoreError::Foreign);
                }
                let mut batch = WriteBatch::new();
                batch.put(keys::META_SCHEMA, SCHEMA_VERSION.to_be_bytes());
                kv.commit(&batch)?;
            }
        }
        Ok(Self { kv, writing: Mutex::new(()) })
    }

    fn writing(&self) -> MutexGuard<'_, ()> {
        // Nothing is guarded but the turn itself, so a panic leaves nothing half done.
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn commit(&self, changes: Changes<'_>) -> Result<(), KvError> {
        let batch = changes.into_batch();
        if batch.is_empty() { Ok(()) } else { self.kv.commit(&batch) }
    }

    /// Positions of events that have expired, the longest expired first, at most `max`.
    fn expired(
        snapshot: &dyn KvSnapshot,
        now: i64,
        max: usize,
    ) -> Result<Vec<Position>, StoreError> {
        let mut found = Vec::new();
        let mut cursor = snapshot.scan(keys::expired_range(now), Direction::Forward)?;
        while found.len() < max
            && let Some((key, _)) = cursor.advance()?
        {
            found.push(
                Position::from_key_end(key)
                    .ok_or_else(|| StoreError::damaged("index of expiration times"))?,
            );
        }
        Ok(found)
    }
}

impl EventStore for KvStore {
    fn put_packed(
        &self,
        events: &[Verified<PackedEvent>],
        now: i64,
    ) -> Result<Vec<PutOutcome>, StoreError> {
        let _turn = self.writing();
        let snapshot = self.kv.snapshot()?;
        let mut changes = Changes::over(&*snapshot)?;
        let outcomes =
            events.iter().map(|event| changes.put(&event.view(), now)).collect::<Result<_, _>>()?;
        self.commit(changes)?;
        Ok(outcomes)
    }

    fn query(
        &self,
        filters: &[Filter],
        request: &PageRequest,
        now: i64,
    ) -> Result<Page, StoreError> {
        let snapshot = self.kv.snapshot()?;
        let max_events = request.max_events.clamp(1, PAGE_EVENTS_MAX);
        let after = request.after.as_ref().map(|cursor| cursor.after);
        let matched = match &request.after {
            None => Vec::new(),
            Some(cursor) if cursor.matched.len() == filters.len() => cursor.matched.clone(),
            Some(cursor) if cursor.matched.is_empty() => {
                recount(&*snapshot, filters, cursor.after, now)?
            }
            Some(cursor) => {
                return Err(StoreError::CursorMismatch {
                    filters: filters.len(),
                    cursor: cursor.matched.len(),
                });
            }
        };
        let mut walk = Walk::start(&*snapshot, filters, Limits::Exact, after, &matched, now)?;
        let mut events = Vec::new();
        let mut bytes = 0;
        let mut last = None;
        walk.run(&mut |position, row| {
            let packed = row.into_packed();
            bytes += packed.as_bytes().len();
            last = Some(position);
            events.push(packed);
            let full = events.len() >= max_events || bytes >= request.max_bytes;
            Ok(if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        let next =
            last.filter(|_| !walk.is_done()).map(|after| Cursor { after, matched: walk.matched() });
        Ok(Page { events, next })
    }

    fn count(&self, filters: &[Filter], now: i64) -> Result<u64, StoreError> {
        let snapshot = self.kv.snapshot()?;
        let mut count = 0;
        Walk::start(&*snapshot, filters, Limits::Ignored, None, &[], now)?.run(&mut |_, _| {
            count += 1;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(count)
    }

    fn ids(&self, filters: &[Filter], max: usize, now: i64) -> Result<Vec<Position>, StoreError> {
        ids::ids(&*self.kv.snapshot()?, filters, max, now)
    }

    fn get(&self, id: &EventId, now: i64) -> Result<Option<Verified<PackedEvent>>, StoreError> {
        let snapshot = self.kv.snapshot()?;
        let Some(position) = position_of(id, |key| Ok(snapshot.get(key)?))? else {
            return Ok(None);
        };
        let bytes = snapshot.get(&keys::event(position))?.ok_or_else(|| {
            StoreError::damaged(format!("the index of ids names event {id}, which is not there"))
        })?;
        let row = Row::new(position, bytes)?;
        Ok((!row.is_expired(now)).then(|| row.into_packed()))
    }

    fn sweep_expired(&self, now: i64) -> Result<u64, StoreError> {
        let mut removed = 0;
        loop {
            let _turn = self.writing();
            let snapshot = self.kv.snapshot()?;
            let expired = Self::expired(&*snapshot, now, SWEEP_EVENTS_PER_COMMIT)?;
            let mut changes = Changes::over(&*snapshot)?;
            for position in &expired {
                changes.remove(*position)?;
            }
            self.commit(changes)?;
            removed += expired.len() as u64;
            if expired.len() < SWEEP_EVENTS_PER_COMMIT {
                return Ok(removed);
            }
        }
    }

    fn for_each_oldest_first(
        &self,
        now: i64,
        visit: &mut dyn FnMut(Verified<PackedEvent>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let snapshot = self.kv.snapshot()?;
        let mut cursor = snapshot.scan(KeyRange::prefix(&[keys::EVENT]), Direction::Backward)?;
        while let Some((key, value)) = cursor.advance()? {
            let position = Position::from_key_end(key)
                .ok_or_else(|| StoreError::damaged(format!("event key of {} bytes", key.len())))?;
            let row = Row::new(position, value.to_vec())?;
            if !row.is_expired(now) && visit(row.into_packed()).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<CheckReport, StoreError> {
        check::check(&*self.kv.snapshot()?)
    }

    fn stats(&self) -> Result<StoreStats, StoreError> {
        let events = self.kv.snapshot()?.get(keys::META_EVENTS)?;
        Ok(StoreStats {
            backend: self.kv.name().to_owned(),
            events: events.map_or(Ok(0), |value| number(&value, "event counter"))?.cast_unsigned(),
            disk_bytes: self.kv.stats()?.disk_bytes,
            schema_version: SCHEMA_VERSION,
        })
    }

    fn flush(&self) -> Result<(), StoreError> {
        Ok(self.kv.flush()?)
    }
}
