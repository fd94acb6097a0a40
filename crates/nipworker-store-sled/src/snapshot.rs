//! Reading: sled's newest state, with what changed since the snapshot's moment taken back.

use std::{cmp::Ordering, ops::Bound, sync::Arc, vec};

use nipworker_store::{
    Direction, KeyRange, KvCursor, KvEntry, KvError, KvSnapshot, guard::guarded,
};
use sled::IVec;

use crate::{
    error::told,
    keys::{KeyBound, borrowed, decode, encode},
    kv::{Open, Shared},
};

/// Entries that a cursor reads the first time it looks; later it reads more at once.
const CHUNK_ENTRIES_FIRST: usize = 4;
/// Entries that a cursor holds at most.
const CHUNK_ENTRIES_MAX: usize = 256;
/// Bytes of values after which a cursor stops reading ahead.
const CHUNK_BYTES_MAX: usize = 1 << 20;

/// One moment's view.
pub(crate) struct Snapshot {
    shared: Arc<Shared>,
    /// The opening of the database that it belongs to.
    opening: u64,
    commit: u64,
}

impl Snapshot {
    pub(crate) fn new(shared: Arc<Shared>, open: &Open) -> Self {
        let commit = open.versions_mut().open_snapshot();
        Self { shared, opening: open.opening, commit }
    }

    fn with<T>(
        &self,
        during: &'static str,
        work: impl FnOnce(&Open) -> Result<T, KvError>,
    ) -> Result<T, KvError> {
        let slot = self.shared.read();
        match slot.as_ref() {
            Some(open) if open.opening == self.opening => guarded(during, || work(open)),
            _ => Err(KvError::Unavailable {
                during,
                detail: "the database was closed since the snapshot was taken".into(),
            }),
        }
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        if let Some(open) = self.shared.read().as_ref()
            && open.opening == self.opening
        {
            open.versions_mut().close_snapshot(self.commit);
        }
    }
}

fn too_old(during: &'static str) -> KvError {
    KvError::Unavailable {
        during,
        detail: "more was changed since the snapshot was taken than is kept in memory".into(),
    }
}

impl KvSnapshot for Snapshot {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KvError> {
        let during = "reading a value";
        let key = encode(key);
        self.with(during, |open| {
            let now = open.db.get(&key).map_err(|error| told(during, error))?;
            // Only now: see the module of versions.
            let versions = open.versions();
            if !versions.serves(self.commit) {
                return Err(too_old(during));
            }
            let value = versions.at(&key, self.commit).unwrap_or(&now);
            Ok(value.as_ref().map(|value| value.to_vec()))
        })
    }

    fn scan(
        &self,
        range: KeyRange,
        direction: Direction,
    ) -> Result<Box<dyn KvCursor + '_>, KvError> {
        Ok(Box::new(Cursor {
            snapshot: self,
            done: range.is_empty(),
            low: Bound::Included(encode(&range.start)),
            high: Bound::Excluded(encode(&range.end)),
            direction,
            chunk: Vec::new().into_iter(),
            current: None,
            chunk_entries: CHUNK_ENTRIES_FIRST,
        }))
    }
}

/// A stored key and its value.
type Entry = (IVec, IVec);

struct Cursor<'s> {
    snapshot: &'s Snapshot,
    /// What is left of the range behind the chunk.
    low: KeyBound,
    high: KeyBound,
    direction: Direction,
    chunk: vec::IntoIter<Entry>,
    current: Option<(Vec<u8>, IVec)>,
    chunk_entries: usize,
    done: bool,
}

impl Cursor<'_> {
    fn refill(&mut self, during: &'static str) -> Result<(), KvError> {
        let (chunk, passed) = self.snapshot.with(during, |open| {
            let (now, is_all) = self.read(during, open)?;
            self.take_back(during, open, now, is_all)
        })?;
        self.chunk = chunk.into_iter();
        self.chunk_entries = (self.chunk_entries * 4).min(CHUNK_ENTRIES_MAX);
        match (passed, self.direction) {
            (None, _) => self.done = true,
            (Some(key), Direction::Forward) => self.low = Bound::Excluded(key),
            (Some(key), Direction::Backward) => self.high = Bound::Excluded(key),
        }
        Ok(())
    }

    /// The next entries as sled has them now, and whether they are the last.
    fn read(&self, during: &'static str, open: &Open) -> Result<(Vec<Entry>, bool), KvError> {
        let mut range = open.db.range::<&[u8], _>((borrowed(&self.low), borrowed(&self.high)));
        let mut entries = Vec::with_capacity(self.chunk_entries);
        let mut bytes = 0;
        while entries.len() < self.chunk_entries && bytes < CHUNK_BYTES_MAX {
            let entry = match self.direction {
                Direction::Forward => range.next(),
                Direction::Backward => range.next_back(),
            };
            let Some(entry) = entry else { return Ok((entries, true)) };
            let (key, value) = entry.map_err(|error| told(during, error))?;
            bytes += value.len();
            entries.push((key, value));
        }
        Ok((entries, false))
    }

    /// Puts the old values over what was read. Says up to which key it came; `None` at the end.
    fn take_back(
        &self,
        during: &'static str,
        open: &Open,
        now: Vec<Entry>,
        is_all: bool,
    ) -> Result<(Vec<Entry>, Option<Vec<u8>>), KvError> {
        let (mut low, mut high) = (borrowed(&self.low), borrowed(&self.high));
        let end = if is_all { None } else { now.last().map(|(key, _)| key.clone()) };
        if let Some(end) = &end {
            match self.direction {
                Direction::Forward => high = Bound::Included(end),
                Direction::Backward => low = Bound::Included(end),
            }
        }
        let versions = open.versions();
        if !versions.serves(self.snapshot.commit) {
            return Err(too_old(during));
        }
        let mut changed = versions.changed((low, high), self.snapshot.commit);
        let mut next_changed = || match self.direction {
            Direction::Forward => changed.next(),
            Direction::Backward => changed.next_back(),
        };
        let mut old = next_changed();
        let mut now = now.into_iter().peekable();
        let mut chunk: Vec<Entry> = Vec::new();
        while chunk.len() < self.chunk_entries {
            let order = match (now.peek(), &old) {
                (None, None) => return Ok((chunk, end.as_ref().map(|key| key.to_vec()))),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((now, _)), Some((old, _))) => match self.direction {
                    Direction::Forward => (**now).cmp(*old),
                    Direction::Backward => (*old).cmp(&**now),
                },
            };
            if order.is_le() {
                let entry = now.next();
                if order.is_lt() {
                    chunk.extend(entry);
                    continue;
                }
            }
            if let Some((key, Some(value))) = old {
                chunk.push((key.into(), value.clone()));
            }
            old = next_changed();
        }
        let last = chunk.last().map(|(key, _)| key.to_vec());
        Ok((chunk, last))
    }
}

impl KvCursor for Cursor<'_> {
    fn advance(&mut self) -> Result<Option<KvEntry<'_>>, KvError> {
        let during = "reading a range";
        self.current = None;
        loop {
            if let Some((stored, value)) = self.chunk.next() {
                let Some(key) = decode(&stored) else {
                    let detail = format!("a key of {} bytes is none of ours", stored.len());
                    return Err(KvError::Corrupt { during, detail });
                };
                let (key, value) = self.current.insert((key, value));
                return Ok(Some((key, value)));
            }
            if self.done {
                return Ok(None);
            }
            self.refill(during)?;
        }
    }
}
