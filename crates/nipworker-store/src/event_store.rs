//! The port that the cache worker uses.

use std::{fmt, ops::ControlFlow};

use nipworker_protocol::{
    Event, EventId, Filter, HllOffset, HyperLogLog, PackedEvent, PublicKey, Verified,
};
use serde::{Deserialize, Serialize};

use crate::{Cursor, Position, StoreError};

/// Events that one page holds at most; a larger request is lowered to it.
pub const PAGE_EVENTS_MAX: usize = 5_000;

/// Bytes of packed events after which a page is full unless the request says otherwise.
pub const PAGE_BYTES_DEFAULT: usize = 4 * 1024 * 1024;

/// Expired events that one commit of a sweep removes.
pub const SWEPT_PER_COMMIT: usize = 1_000;

/// Problems that a [`CheckReport`] spells out; the rest is only counted.
pub const CHECK_PROBLEMS_KEPT: usize = 100;

/// A place where verified events are kept under Nostr's rules.
///
/// Object-safe and shareable between threads. Every call blocks until it is done, so it belongs
/// on a worker's own thread. `now` is unix seconds: what has expired by then (NIP-40) is neither
/// accepted nor shown, whether it was swept or not.
pub trait EventStore: Send + Sync {
    /// Takes events in, in order, as if one after another, in one durable commit. The answer has
    /// one outcome for each event, in the same order, and comes after the commit.
    ///
    /// # Errors
    /// [`StoreError::Damaged`]: none of the batch was taken in. [`StoreError::Kv`]: none or all of
    /// it was, where an input/output error left that open; putting it again is safe and finds out.
    fn put_packed(
        &self,
        events: &[Verified<PackedEvent>],
        now: i64,
    ) -> Result<Vec<PutOutcome>, StoreError>;

    /// Packs events and takes them in as [`EventStore::put_packed`] does.
    ///
    /// # Errors
    /// As [`EventStore::put_packed`].
    fn put_batch(
        &self,
        events: &[Verified<Event>],
        now: i64,
    ) -> Result<Vec<PutOutcome>, StoreError> {
        let packed: Vec<_> = events.iter().map(Verified::pack).collect();
        self.put_packed(&packed, now)
    }

    /// One page of what answers at least one of `filters`: newest first, the lowest id first
    /// where times tie, each event once. Each filter's `limit` holds exactly, over all pages
    /// together.
    ///
    /// # Errors
    /// [`StoreError::SearchUnsupported`], [`StoreError::CursorMismatch`], [`StoreError::Kv`],
    /// [`StoreError::Damaged`].
    fn query(
        &self,
        filters: &[Filter],
        request: &PageRequest,
        now: i64,
    ) -> Result<Page, StoreError>;

    /// How many events answer at least one of `filters`. A `limit` plays no part (NIP-45).
    ///
    /// # Errors
    /// As [`EventStore::query`].
    fn count(&self, filters: &[Filter], now: i64) -> Result<u64, StoreError>;

    /// Counts like [`EventStore::count`], and the authors of these events (NIP-45) by what stands at
    /// `offset` in their keys. Reads each event.
    ///
    /// # Errors
    /// As [`EventStore::query`].
    fn count_authors(
        &self,
        filters: &[Filter],
        offset: HllOffset,
        now: i64,
    ) -> Result<(u64, HyperLogLog), StoreError> {
        let filters: Vec<Filter> =
            filters.iter().map(|filter| Filter { limit: None, ..filter.clone() }).collect();
        let (mut count, mut authors) = (0, HyperLogLog::new());
        let mut after = None;
        loop {
            let request = PageRequest { after, ..PageRequest::default() };
            let page = self.query(&filters, &request, now)?;
            count += page.events.len() as u64;
            page.events.iter().for_each(|event| authors.add(&event.view().pubkey(), offset));
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok((count, authors)),
            }
        }
    }

    /// Where the events of [`EventStore::query`] stand, without the events: the first `max`, newest
    /// first. 40 bytes each, which is what a reconciliation (NIP-77) compares.
    ///
    /// # Errors
    /// As [`EventStore::query`].
    fn ids(&self, filters: &[Filter], max: usize, now: i64) -> Result<Vec<Position>, StoreError> {
        let mut found: Vec<Position> = Vec::new();
        let mut after = None;
        while found.len() < max {
            let max_events = PAGE_EVENTS_MAX.min(max - found.len());
            let request = PageRequest { max_events, after, ..PageRequest::default() };
            let page = self.query(filters, &request, now)?;
            found.extend(page.events.iter().map(|event| Position::of_view(&event.view())));
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        Ok(found)
    }

    /// The event with this id, if it is kept and has not expired.
    ///
    /// # Errors
    /// [`StoreError::Kv`], [`StoreError::Damaged`].
    fn get(&self, id: &EventId, now: i64) -> Result<Option<Verified<PackedEvent>>, StoreError>;

    /// Removes at most `max` of the events that have expired, the longest expired first, in one commit,
    /// and says how many these were. Fewer than `max` were the last.
    ///
    /// # Errors
    /// [`StoreError::Kv`], [`StoreError::Damaged`].
    fn sweep_some(&self, now: i64, max: usize) -> Result<u64, StoreError>;

    /// Removes what has expired, [`SWEPT_PER_COMMIT`] events in a commit, and says how many events that
    /// were.
    ///
    /// # Errors
    /// As [`EventStore::sweep_some`]; what earlier commits removed stays removed.
    fn sweep_expired(&self, now: i64) -> Result<u64, StoreError> {
        let mut removed = 0;
        loop {
            let some = self.sweep_some(now, SWEPT_PER_COMMIT)?;
            removed += some;
            if some < SWEPT_PER_COMMIT as u64 {
                return Ok(removed);
            }
        }
    }

    /// Removes everything of `author` up to `until` (unix seconds, inclusive) and keeps it away from
    /// then on, as a request to vanish does (NIP-62): with it go gift wraps for the author; other
    /// requests to vanish stay. Says how many events were removed, in several commits.
    ///
    /// # Errors
    /// [`StoreError::Kv`], [`StoreError::Damaged`]; what is left is removed when the store is
    /// opened again, or with the next request.
    fn vanish(&self, author: &PublicKey, until: i64) -> Result<u64, StoreError>;

    /// Removes what answers at least one of `filters` and says how many events that were. A `limit`
    /// plays no part. Nothing keeps the events from being put again. Works in several commits.
    ///
    /// # Errors
    /// As [`EventStore::query`]; what earlier commits removed stays removed.
    fn delete(&self, filters: &[Filter], now: i64) -> Result<u64, StoreError>;

    /// Hands over every event that has not expired, oldest first, from one moment's view, until
    /// `visit` breaks. Putting them into another store in this order gives the same content.
    ///
    /// # Errors
    /// [`StoreError::Kv`], [`StoreError::Damaged`].
    fn for_each_oldest_first(
        &self,
        now: i64,
        visit: &mut dyn FnMut(Verified<PackedEvent>) -> ControlFlow<()>,
    ) -> Result<(), StoreError>;

    /// Reads everything and compares every index with the events.
    ///
    /// # Errors
    /// [`StoreError::Kv`] when reading itself fails. What disagrees is not an error but stands
    /// in the report.
    fn check(&self) -> Result<CheckReport, StoreError>;

    /// Figures that are cheap to have.
    ///
    /// # Errors
    /// [`StoreError::Kv`], [`StoreError::Damaged`].
    fn stats(&self) -> Result<StoreStats, StoreError>;

    /// Makes durable whatever is not. Puts already are when they return, so this only matters
    /// to backends with work in the background.
    ///
    /// # Errors
    /// [`StoreError::Kv`].
    fn flush(&self) -> Result<(), StoreError>;

    /// Gives back the room that removed events left on the disk, as far as the backend can;
    /// [`stats`](Self::stats) tells the size before and after. Other calls wait meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Kv`]; transient while something is being read. Nothing is lost then.
    fn compact(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// What became of one event that was put.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PutOutcome {
    /// It is kept.
    Stored,
    /// It was already kept.
    Duplicate,
    /// An event of the same address that is newer, or as old with a lower id, is kept (NIP-01).
    Superseded {
        /// The one that is kept.
        by: EventId,
    },
    /// Its author asked for its deletion (NIP-09) or to vanish (NIP-62).
    Deleted,
    /// Its expiration time is over (NIP-40).
    Expired,
    /// Its kind is never stored (NIP-01); it is still to be delivered.
    Ephemeral,
    /// It cannot be kept.
    Invalid {
        /// Why.
        reason: String,
    },
}

impl PutOutcome {
    /// Whether the event is in the store now.
    pub fn is_kept(&self) -> bool {
        matches!(self, Self::Stored | Self::Duplicate)
    }

    /// Whether it is still to be shown and sent to others: it is kept, or only passed through.
    /// What its author replaced or deleted, and what is over or invalid, is not.
    pub fn is_to_be_passed_on(&self) -> bool {
        self.is_kept() || *self == Self::Ephemeral
    }
}

impl fmt::Display for PutOutcome {
    /// Why the event is not kept; says `stored` where it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stored => f.write_str("stored"),
            Self::Duplicate => f.write_str("already stored"),
            Self::Superseded { by } => write!(f, "event {by} of the same address is kept"),
            Self::Deleted => f.write_str("its author deleted it"),
            Self::Expired => f.write_str("it has expired"),
            Self::Ephemeral => f.write_str("its kind is passed on and not stored"),
            Self::Invalid { reason } => f.write_str(reason),
        }
    }
}

/// Which page of an answer is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// Events at most, 1 to [`PAGE_EVENTS_MAX`]; other values are moved into that range.
    pub max_events: usize,
    /// The page is full when its packed events reach this many bytes. It always holds one
    /// event if there is one.
    pub max_bytes: usize,
    /// Where the page before ended; `None` for the first.
    pub after: Option<Cursor>,
}

impl Default for PageRequest {
    fn default() -> Self {
        Self { max_events: PAGE_EVENTS_MAX, max_bytes: PAGE_BYTES_DEFAULT, after: None }
    }
}

impl PageRequest {
    /// The first page, of at most `max_events`.
    pub fn first(max_events: usize) -> Self {
        Self { max_events, ..Self::default() }
    }
}

/// One page of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Newest first.
    pub events: Vec<Verified<PackedEvent>>,
    /// Where to go on; `None` when this was the last page. The page behind it may turn out
    /// empty.
    pub next: Option<Cursor>,
}

impl Page {
    /// The events, unpacked.
    pub fn unpack(&self) -> Vec<Verified<Event>> {
        self.events.iter().map(Verified::unpack).collect()
    }
}

/// What [`EventStore::check`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CheckReport {
    /// Events that were read.
    pub events: u64,
    /// Index entries that were compared.
    pub index_entries: u64,
    /// Deletion marks that were compared.
    pub deletion_marks: u64,
    /// How many problems there are.
    pub problem_count: u64,
    /// The first [`CHECK_PROBLEMS_KEPT`] of them in words.
    pub problems: Vec<String>,
}

impl CheckReport {
    /// Whether everything agrees.
    pub fn is_clean(&self) -> bool {
        self.problem_count == 0
    }

    /// Notes one more.
    pub fn problem(&mut self, text: impl Into<String>) {
        self.problem_count += 1;
        if self.problems.len() < CHECK_PROBLEMS_KEPT {
            self.problems.push(text.into());
        }
    }
}

/// Cheap figures of a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreStats {
    /// Name of the backend.
    pub backend: String,
    /// Events that are kept, expired ones that were not swept yet included.
    pub events: u64,
    /// Bytes of these events and of their index entries, before whatever the backend adds.
    pub event_bytes: u64,
    /// Events that made room for others since the store was opened.
    pub evicted: u64,
    /// Bytes on disk; `None` for a store in memory.
    pub disk_bytes: Option<u64>,
    /// Version of the key layout.
    pub schema_version: u32,
}
