//! [`KvStore`]: the port's calls, put together from the parts beside this file.

use std::{
    mem,
    ops::ControlFlow,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use nipworker_protocol::{Attestation, EventId, Filter, PackedEvent, PublicKey, Verified};

use crate::{
    CheckReport, Cursor, Direction, EventStore, KeyRange, KvError, KvSnapshot, OrderedKv,
    PAGE_EVENTS_MAX, Page, PageRequest, Position, PutOutcome, Seal, SizeLimit, StoreError,
    StoreStats, WriteBatch,
    rules::{self, Ledger},
};

use crate::kv::SealedKv;

use super::{
    check,
    evict::{self, Barren, Round},
    ids,
    kept::KeptSets,
    keys, migrate,
    put::{Changes, number, position_of},
    recent::{Miss, Recent},
    row::read_row,
    row_cache::RowCache,
    vanish,
    walk::{Limits, Source, Walk, recount},
};

/// Version of the key layout that this release writes, and the newest that it reads.
pub const SCHEMA_VERSION: u32 = 2;

/// Bytes of events that were read lately and are kept in memory, unless told otherwise.
pub const ROW_CACHE_BYTES_DEFAULT: usize = 16 * 1024 * 1024;

/// Bytes of the newest events that are kept in memory, unless told otherwise.
pub const RECENT_BYTES_DEFAULT: usize = 16 * 1024 * 1024;

/// Events that one commit of a longer removal removes at most.
const EVENTS_PER_COMMIT: usize = 1_000;

/// The right to write, with what the last round of making room found.
type Turn<'s> = MutexGuard<'s, Barren>;

/// An [`EventStore`] over any [`OrderedKv`].
///
/// Puts and sweeps take turns; queries look at a snapshot and wait for nobody.
pub struct KvStore {
    kv: Arc<dyn OrderedKv>,
    rows: RowCache,
    recent: Recent,
    kept: KeptSets,
    /// The addresses by which requests to vanish mean this store.
    own_urls: Vec<String>,
    limit: Option<SizeLimit>,
    /// Events that made room for others.
    evicted: AtomicU64,
    /// Held from reading to committing, so that no decision rests on what has changed since.
    writing: Mutex<Barren>,
}

impl KvStore {
    /// Opens the store in `kv`; an empty one becomes a store of this release's schema.
    ///
    /// # Errors
    /// [`StoreError::SchemaTooNew`], [`StoreError::Foreign`], [`StoreError::Kv`].
    pub fn open(kv: impl OrderedKv + 'static) -> Result<Self, StoreError> {
        Self::open_shared(Arc::new(kv))
    }

    /// As [`KvStore::open`], with events of sensitive kinds encrypted on the way to the backend. What a
    /// store holds from before stays readable as it is; an export that is imported into a fresh store
    /// seals it.
    ///
    /// # Errors
    /// As [`KvStore::open`]; [`StoreError::SealKey`] for another key than the store was sealed by.
    pub fn open_sealed(kv: impl OrderedKv + 'static, seal: Seal) -> Result<Self, StoreError> {
        let kv: Arc<dyn OrderedKv> = Arc::new(kv);
        let is_new = match kv.snapshot()?.get(keys::META_SEAL)? {
            None => true,
            Some(sealed) if seal.open(keys::META_SEAL, &sealed).is_some() => false,
            Some(_) => return Err(StoreError::SealKey { problem: "by another key" }),
        };
        let mark = || {
            let mut batch = WriteBatch::new();
            batch.put(keys::META_SEAL, seal.seal(keys::META_SEAL, keys::META_SEAL));
            kv.commit(&batch)
        };
        // Before anything is sealed, which the rewriting of an older store does already.
        let is_ours = kv.snapshot()?.get(keys::META_SCHEMA)?.is_some();
        if is_new && is_ours {
            mark()?;
        }
        let store = Self::open_unlocked(Arc::new(SealedKv::new(Arc::clone(&kv), seal.clone())))?;
        if is_new && !is_ours {
            mark()?;
        }
        Ok(store)
    }

    /// As [`KvStore::open`], over a backend that others hold too. They must not write to it.
    ///
    /// # Errors
    /// As [`KvStore::open`].
    pub fn open_shared(kv: Arc<dyn OrderedKv>) -> Result<Self, StoreError> {
        if kv.snapshot()?.get(keys::META_SEAL)?.is_some() {
            return Err(StoreError::SealKey { problem: "it needs its key" });
        }
        Self::open_unlocked(kv)
    }

    fn open_unlocked(kv: Arc<dyn OrderedKv>) -> Result<Self, StoreError> {
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
        let store = Self {
            kv,
            rows: RowCache::new(ROW_CACHE_BYTES_DEFAULT),
            recent: Recent::new(RECENT_BYTES_DEFAULT),
            kept: KeptSets::default(),
            own_urls: Vec::new(),
            limit: None,
            evicted: AtomicU64::new(0),
            writing: Mutex::default(),
        };
        {
            let turn = store.writing();
            store.count_bytes(&turn)?;
            store.remove_vanished(&turn)?;
        }
        Ok(store.with_recent_bytes(RECENT_BYTES_DEFAULT))
    }

    /// Keeps `bytes` of events that were read lately in memory, instead of
    /// [`ROW_CACHE_BYTES_DEFAULT`]; zero keeps none.
    pub fn with_row_cache_bytes(self, bytes: usize) -> Self {
        Self { rows: RowCache::new(bytes), ..self }
    }

    /// Keeps `bytes` of the newest events in memory, instead of [`RECENT_BYTES_DEFAULT`]; zero keeps
    /// none. Questions about them that name no ids and no tags are answered without the database.
    pub fn with_recent_bytes(self, bytes: usize) -> Self {
        let recent = {
            let _turn = self.writing();
            match self.kv.snapshot() {
                Ok(snapshot) => Recent::over(bytes, &*snapshot),
                // The first question finds out why.
                Err(_) => Recent::new(bytes),
            }
        };
        Self { recent, ..self }
    }

    /// Keeps the ids and times of what answers each of `filters` in memory, so that
    /// [`EventStore::ids`] for one of them, or for a part of one in time, asks no index. Reads the indexes
    /// of all of them once before it returns. Limits play no part. Nothing is kept for a filter that more
    /// than [`KEPT_EVENTS_MAX`](crate::KEPT_EVENTS_MAX) events answer, or that cannot be answered.
    ///
    /// # Errors
    /// [`StoreError::Kv`].
    pub fn with_kept_sets(self, filters: Vec<Filter>) -> Result<Self, StoreError> {
        let kept = {
            let _turn = self.writing();
            KeptSets::load(filters, &*self.kv.snapshot()?, &self.rows)
        };
        Ok(Self { kept, ..self })
    }

    /// Reads what is kept for `filter` again, after a commit of which it is not known whether it was done.
    fn reload_kept(&self, filter: &Filter) -> Result<(), StoreError> {
        let _turn = self.writing();
        self.kept.reload(filter, &*self.kv.snapshot()?, &self.rows);
        Ok(())
    }

    /// Names the addresses (`wss://…`) by which requests to vanish (NIP-62) mean this store. Those
    /// that name all relays are always meant for it.
    pub fn with_own_urls(self, own_urls: Vec<String>) -> Self {
        Self { own_urls, ..self }
    }

    /// Holds no more than `limit` from now on. What is too much already goes before this returns, which
    /// for a store far above its limit takes as long as removing that.
    ///
    /// A put makes room for its events in its own commit, as far as regular events go; what that cannot
    /// take goes in commits right after, before the put comes back.
    ///
    /// # Errors
    /// [`StoreError::Kv`].
    pub fn with_size_limit(self, limit: SizeLimit) -> Result<Self, StoreError> {
        let store = Self { limit: Some(limit), ..self };
        store.make_room(&mut store.writing())?;
        Ok(store)
    }

    /// Lets go of what is too much, commit by commit.
    fn make_room(&self, turn: &mut Turn<'_>) -> Result<(), StoreError> {
        let Some(limit) = &self.limit else { return Ok(()) };
        loop {
            let snapshot = self.kv.snapshot()?;
            let mut changes = Changes::over(&*snapshot, &self.own_urls)?;
            let mut barren = **turn;
            let evicted =
                evict::make_room(&mut changes, &*snapshot, limit, Round::Full, &mut barren)?;
            self.commit(changes)?;
            **turn = barren;
            if evicted == 0 {
                return Ok(());
            }
            self.evicted.fetch_add(evicted as u64, Ordering::Relaxed);
        }
    }

    /// Counts the bytes of a store that was written before they were counted.
    fn count_bytes(&self, _turn: &Turn<'_>) -> Result<(), StoreError> {
        let snapshot = self.kv.snapshot()?;
        if snapshot.get(keys::META_BYTES)?.is_some() || snapshot.get(keys::META_EVENTS)?.is_none() {
            return Ok(());
        }
        let mut bytes = 0;
        let mut cursor = snapshot.scan(KeyRange::prefix(&[keys::EVENT]), Direction::Forward)?;
        while let Some((key, value)) = cursor.advance()? {
            // What cannot be read is found when it is asked for, and by `check`.
            if let Some(position) = Position::from_key_end(key)
                && let Ok(row) = read_row(position, value.to_vec())
            {
                bytes += keys::bytes_of(&row.view());
            }
        }
        let mut batch = WriteBatch::new();
        batch.put(keys::META_BYTES, bytes.to_be_bytes());
        Ok(self.kv.commit(&batch)?)
    }

    /// Removes what is left of those who asked to vanish, and says how many events that were.
    fn remove_vanished(&self, _turn: &Turn<'_>) -> Result<u64, StoreError> {
        let mut removed = 0;
        loop {
            let snapshot = self.kv.snapshot()?;
            let Some(left) = vanish::next(&*snapshot, EVENTS_PER_COMMIT)? else {
                return Ok(removed);
            };
            let mut changes = Changes::over(&*snapshot, &self.own_urls)?;
            for position in &left.positions {
                changes.remove(*position)?;
            }
            if left.is_all {
                changes.has_vanished(&left.author);
            }
            self.commit(changes)?;
            removed += left.positions.len() as u64;
        }
    }

    fn writing(&self) -> Turn<'_> {
        // A panic leaves at worst that more events are looked at than need be.
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn commit(&self, changes: Changes<'_>) -> Result<(), KvError> {
        let batch = changes.into_batch();
        if batch.is_empty() {
            return Ok(());
        }
        // Whatever becomes of it, also a panic: what is not known to be right is forgotten.
        let in_doubt = InDoubt { recent: &self.recent, kept: &self.kept };
        self.kv.commit(&batch)?;
        self.recent.apply(&batch);
        self.kept.apply(&batch);
        mem::forget(in_doubt);
        Ok(())
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

/// Makes what is held in memory forget, unless it is told otherwise.
struct InDoubt<'s> {
    recent: &'s Recent,
    kept: &'s KeptSets,
}

impl Drop for InDoubt<'_> {
    fn drop(&mut self) {
        self.recent.forget();
        self.kept.forget();
    }
}

impl EventStore for KvStore {
    fn put_packed(
        &self,
        events: &[Verified<PackedEvent>],
        now: i64,
    ) -> Result<Vec<PutOutcome>, StoreError> {
        let mut turn = self.writing();
        let snapshot = self.kv.snapshot()?;
        let mut changes = Changes::over(&*snapshot, &self.own_urls)?;
        let outcomes: Vec<PutOutcome> =
            events.iter().map(|event| changes.put(&event.view(), now)).collect::<Result<_, _>>()?;
        let vanishing = changes.is_somebody_vanishing();
        let mut barren = *turn;
        let evicted = match &self.limit {
            Some(limit) => {
                evict::make_room(&mut changes, &*snapshot, limit, Round::WithinPut, &mut barren)?
            }
            None => 0,
        };
        let is_too_much = self.limit.as_ref().is_some_and(|it| changes.bytes() > it.max_bytes);
        self.commit(changes)?;
        drop(snapshot);
        for (event, outcome) in events.iter().zip(&outcomes) {
            if *outcome == PutOutcome::Stored {
                evict::settle(&mut barren, &event.view());
            }
        }
        *turn = barren;
        self.evicted.fetch_add(evicted as u64, Ordering::Relaxed);
        // The events are in, whatever becomes of what follows from them. Room is made again with the next
        // put. Who vanishes has left a mark, and what stays of them goes with the next request to vanish or
        // when the store is opened. A disk that fails is met by whoever asks next.
        if vanishing {
            self.remove_vanished(&turn).ok();
        }
        if is_too_much {
            self.make_room(&mut turn).ok();
        }
        Ok(outcomes)
    }

    fn query(
        &self,
        filters: &[Filter],
        request: &PageRequest,
        now: i64,
    ) -> Result<Page, StoreError> {
        let max_events = request.max_events.clamp(1, PAGE_EVENTS_MAX);
        // Before the snapshot, which is not older then.
        let version = match self.recent.page(filters, request, max_events, now) {
            Ok(page) => return Ok(page),
            Err(Miss::NotHere) => self.recent.version(),
            Err(Miss::Never) => None,
        };
        let snapshot = self.kv.snapshot()?;
        let source = Source { snapshot: &*snapshot, cache: &self.rows };
        let after = request.after.as_ref().map(|cursor| cursor.after);
        let matched = match &request.after {
            None => Vec::new(),
            Some(cursor) if cursor.matched.len() == filters.len() => cursor.matched.clone(),
            Some(cursor) if cursor.matched.is_empty() => {
                recount(source, filters, cursor.after, now)?
            }
            Some(cursor) => {
                return Err(StoreError::CursorMismatch {
                    filters: filters.len(),
                    cursor: cursor.matched.len(),
                });
            }
        };
        let mut walk = Walk::start(source, filters, Limits::Exact, after, &matched, now)?;
        let mut events = Vec::new();
        let mut bytes = 0;
        let mut last = None;
        walk.run(&mut |found| {
            last = Some(found.position);
            let event = found.into_event()?;
            bytes += event.as_bytes().len();
            events.push(Verified::attest(event, Attestation::FromStore));
            let full = events.len() >= max_events || bytes >= request.max_bytes;
            Ok(if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        let next =
            last.filter(|_| !walk.is_done()).map(|after| Cursor { after, matched: walk.matched() });
        drop(walk);
        if let Some(version) = version {
            // What cannot be read is told to those who ask for it.
            self.recent.load(&*snapshot, version).ok();
        }
        Ok(Page { events, next })
    }

    fn count(&self, filters: &[Filter], now: i64) -> Result<u64, StoreError> {
        let snapshot = self.kv.snapshot()?;
        let source = Source { snapshot: &*snapshot, cache: &self.rows };
        let mut count = 0;
        Walk::start(source, filters, Limits::Ignored, None, &[], now)?.run(&mut |_| {
            count += 1;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(count)
    }

    fn ids(&self, filters: &[Filter], max: usize, now: i64) -> Result<Vec<Position>, StoreError> {
        if let [filter] = filters {
            if self.kept.is_outdated(filter) {
                self.reload_kept(filter)?;
            }
            if let Some(ids) = self.kept.ids(filter, max, now) {
                return Ok(ids);
            }
        }
        let snapshot = self.kv.snapshot()?;
        let source = Source { snapshot: &*snapshot, cache: &self.rows };
        ids::ids(source, filters, max, now)
    }

    fn get(&self, id: &EventId, now: i64) -> Result<Option<Verified<PackedEvent>>, StoreError> {
        let snapshot = self.kv.snapshot()?;
        let Some(position) = position_of(id, |key| Ok(snapshot.get(key)?))? else {
            return Ok(None);
        };
        let event = Source { snapshot: &*snapshot, cache: &self.rows }.read(position)?;
        let is_expired = event.view().is_expired(now);
        Ok((!is_expired).then(|| Verified::attest(event, Attestation::FromStore)))
    }

    fn sweep_some(&self, now: i64, max: usize) -> Result<u64, StoreError> {
        let _turn = self.writing();
        let snapshot = self.kv.snapshot()?;
        let expired = Self::expired(&*snapshot, now, max)?;
        let mut changes = Changes::over(&*snapshot, &self.own_urls)?;
        for position in &expired {
            changes.remove(*position)?;
        }
        self.commit(changes)?;
        Ok(expired.len() as u64)
    }

    fn vanish(&self, author: &PublicKey, until: i64) -> Result<u64, StoreError> {
        let turn = self.writing();
        let snapshot = self.kv.snapshot()?;
        let mut changes = Changes::over(&*snapshot, &self.own_urls)?;
        rules::vanish(&mut changes, author, until)?;
        self.commit(changes)?;
        drop(snapshot);
        self.remove_vanished(&turn)
    }

    fn delete(&self, filters: &[Filter], now: i64) -> Result<u64, StoreError> {
        let mut removed = 0;
        loop {
            let _turn = self.writing();
            let snapshot = self.kv.snapshot()?;
            let source = Source { snapshot: &*snapshot, cache: &self.rows };
            let mut found = Vec::new();
            Walk::start(source, filters, Limits::Ignored, None, &[], now)?.run(&mut |event| {
                found.push(event.position);
                let full = found.len() >= EVENTS_PER_COMMIT;
                Ok(if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
            let mut changes = Changes::over(&*snapshot, &self.own_urls)?;
            for position in &found {
                changes.remove(*position)?;
            }
            self.commit(changes)?;
            removed += found.len() as u64;
            if found.len() < EVENTS_PER_COMMIT {
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
            let event = read_row(position, value.to_vec())?;
            let is_expired = event.view().is_expired(now);
            if !is_expired && visit(Verified::attest(event, Attestation::FromStore)).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<CheckReport, StoreError> {
        check::check(&*self.kv.snapshot()?)
    }

    fn stats(&self) -> Result<StoreStats, StoreError> {
        let snapshot = self.kv.snapshot()?;
        let counter = |key, name| match snapshot.get(key)? {
            Some(value) => Ok::<_, StoreError>(number(&value, name)?.cast_unsigned()),
            None => Ok(0),
        };
        Ok(StoreStats {
            backend: self.kv.name().to_owned(),
            events: counter(keys::META_EVENTS, "event counter")?,
            event_bytes: counter(keys::META_BYTES, "byte counter")?,
            evicted: self.evicted.load(Ordering::Relaxed),
            disk_bytes: self.kv.stats()?.disk_bytes,
            schema_version: SCHEMA_VERSION,
        })
    }

    fn flush(&self) -> Result<(), StoreError> {
        Ok(self.kv.flush()?)
    }

    fn compact(&self) -> Result<(), StoreError> {
        Ok(self.kv.compact()?)
    }
}

#[cfg(test)]
impl KvStore {
    /// How many events the memory of the newest answers `filter` with, if it does.
    pub(super) fn recent_answers(&self, filter: &Filter, now: i64) -> Option<usize> {
        let (filters, page) = (std::slice::from_ref(filter), PageRequest::default());
        let page = self.recent.page(filters, &page, page.max_events, now);
        page.ok().map(|page| page.events.len())
    }

    /// Whether a kept set answers for `filter`.
    pub(super) fn kept_answers(&self, filter: &Filter, now: i64) -> bool {
        self.kept.ids(filter, 1, now).is_some()
    }

    /// As after a commit of unknown outcome.
    pub(super) fn forget_for_tests(&self) {
        self.kept.forget();
    }
}
