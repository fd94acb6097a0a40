//! The newest events in memory, complete from a certain position on, sorted by time, author and kind.
//!
//! Most questions are about what is new. Where everything that answers one is known to stand here, the
//! database is not asked at all. [`answer`] finds out; this file keeps the events.
//!
//! What is here is what was committed, a moment late at most: a commit is applied after it is done and
//! before its put returns. An answer comes either wholly from here or wholly from a snapshot, so that it
//! never shows two moments.

mod answer;
mod lane;

pub(super) use answer::Miss;

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, RwLock, RwLockReadGuard},
};

use foldhash::fast::RandomState;
use nipworker_protocol::{PackedEvent, PublicKey};

use crate::{Direction, KvSnapshot, Position, StoreError, WriteBatch};

use super::{keys, row::read_row};

/// What an entry takes beside the bytes of its event: the entry itself, and its places in three lists.
const ENTRY_BYTES: usize = 320;

/// Events that one question that was not answered from here brings in, and their bytes, if they are more
/// than one event.
const LOADED_AT_ONCE: usize = 128;
const LOADED_BYTES: usize = 2 * 1024 * 1024;

/// An event, with what is compared most.
pub(super) struct Entry {
    pub(super) position: Position,
    author: PublicKey,
    pub(super) kind: u16,
    pub(super) expires_at: Option<i64>,
    pub(super) event: PackedEvent,
}

impl Entry {
    fn new(event: PackedEvent) -> Self {
        let view = event.view();
        let (position, author) = (Position::of_view(&view), view.pubkey());
        let (kind, expires_at) = (view.kind(), view.expiration());
        Self { position, author, kind, expires_at, event }
    }

    fn cost(&self) -> usize {
        self.event.as_bytes().len() + ENTRY_BYTES
    }
}

/// Entries in the reversed order of answers: the oldest first, so that what is new goes to the end.
pub(super) type List = VecDeque<Arc<Entry>>;

/// Up to where everything is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Floor {
    /// Nothing is known.
    Unknown,
    /// Whatever stands before this position in the order of answers is here, and nothing else.
    At(Position),
    /// The whole store.
    None,
}

impl Floor {
    /// Whether an event at `position` is to be here.
    fn covers(self, position: Position) -> bool {
        match self {
            Self::Unknown => false,
            Self::At(floor) => position < floor,
            Self::None => true,
        }
    }
}

pub(super) struct Inner {
    floor: Floor,
    /// Counts what was applied, so that whoever loads knows whether his snapshot is still the newest.
    version: u64,
    bytes: usize,
    /// Whether some had to go for want of room. Loading them again would only push them out again.
    is_full: bool,
    all: List,
    by_author: HashMap<PublicKey, List, RandomState>,
    by_kind: HashMap<u16, List, RandomState>,
}

/// The newest events of a store, within a bound of bytes.
pub(super) struct Recent {
    bytes_max: usize,
    inner: RwLock<Inner>,
}

impl Recent {
    /// Holds `bytes_max` bytes at most; zero holds nothing.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, inner: RwLock::new(Inner::new()) }
    }

    /// The same over a store: what is put from now on is kept, and what is there comes in when it is
    /// asked for. Nobody writes meanwhile.
    pub(super) fn over(bytes_max: usize, snapshot: &dyn KvSnapshot) -> Self {
        let recent = Self::new(bytes_max);
        // Where that fails, the first question finds out why.
        let floor = newest(snapshot).unwrap_or(Floor::Unknown);
        recent.change(|inner| inner.floor = floor);
        recent
    }

    /// `None` where there is nothing to be had.
    fn read(&self) -> Option<RwLockReadGuard<'_, Inner>> {
        // After a panic within a change what is here is in doubt.
        (self.bytes_max > 0).then(|| self.inner.read().ok()).flatten()
    }

    /// Which state is here now; for [`Recent::load`].
    pub(super) fn version(&self) -> Option<u64> {
        self.read().map(|inner| inner.version)
    }

    /// Takes over what a commit changed.
    pub(super) fn apply(&self, batch: &WriteBatch) {
        self.change(|inner| {
            inner.version += 1;
            for (key, value) in batch.starting_with(keys::EVENT) {
                let Some(position) = Position::from_key_end(key) else { continue };
                match value {
                    Some(row) if inner.floor.covers(position) => {
                        match read_row(position, row.to_vec()) {
                            Ok(event) => inner.insert(event),
                            // What cannot be read is told by the database itself.
                            Err(_) => inner.forget(),
                        }
                    }
                    Some(_) => {}
                    None => inner.remove(position),
                }
            }
            inner.shrink_to(self.bytes_max);
            inner.look_for_room(self.bytes_max);
        });
    }

    /// Forgets everything: it is not known what was committed.
    pub(super) fn forget(&self) {
        self.change(Inner::forget);
    }

    /// Brings in some of the events that follow on what is here, as long as there is room. `snapshot` is
    /// no older than `version`, which was asked for before it was taken.
    pub(super) fn load(&self, snapshot: &dyn KvSnapshot, version: u64) -> Result<(), StoreError> {
        let (floor, room) = match self.read() {
            Some(inner) if inner.version == version && !inner.is_full => {
                (inner.floor, self.bytes_max.saturating_sub(inner.bytes).min(LOADED_BYTES))
            }
            _ => return Ok(()),
        };
        if floor == Floor::None {
            return Ok(());
        }
        let mut range = crate::KeyRange::prefix(&[keys::EVENT]);
        if let Floor::At(position) = floor {
            range.start = keys::event(position);
        }
        let mut cursor = snapshot.scan(range, Direction::Forward)?;
        let mut loaded = Vec::new();
        let mut bytes = 0;
        let mut new_floor = Floor::None;
        while let Some((key, value)) = cursor.advance()? {
            let position = Position::from_key_end(key)
                .ok_or_else(|| StoreError::damaged(format!("event key of {} bytes", key.len())))?;
            if loaded.len() == LOADED_AT_ONCE || (bytes > room && !loaded.is_empty()) {
                new_floor = Floor::At(position);
                break;
            }
            bytes += value.len() + ENTRY_BYTES;
            loaded.push(read_row(position, value.to_vec())?);
        }
        self.change(|inner| {
            // Somebody wrote, or loaded, in the meantime: the next question may do it.
            if inner.version == version && inner.floor == floor {
                inner.floor = new_floor;
                loaded.into_iter().for_each(|event| inner.insert(event));
                inner.shrink_to(self.bytes_max);
            }
        });
        Ok(())
    }

    fn change(&self, change: impl FnOnce(&mut Inner)) {
        if self.bytes_max == 0 {
            return;
        }
        let mut inner = self.inner.write().unwrap_or_else(|poisoned| {
            let mut inner = poisoned.into_inner();
            inner.forget();
            self.inner.clear_poison();
            inner
        });
        change(&mut inner);
    }
}

impl Inner {
    fn new() -> Self {
        Self {
            floor: Floor::Unknown,
            version: 0,
            bytes: 0,
            is_full: false,
            all: List::new(),
            by_author: HashMap::default(),
            by_kind: HashMap::default(),
        }
    }

    fn forget(&mut self) {
        *self = Self { version: self.version + 1, ..Self::new() };
    }

    fn insert(&mut self, event: PackedEvent) {
        let entry = Arc::new(Entry::new(event));
        if !put(&mut self.all, &entry) {
            return;
        }
        self.bytes += entry.cost();
        put(self.by_author.entry(entry.author).or_default(), &entry);
        put(self.by_kind.entry(entry.kind).or_default(), &entry);
    }

    fn remove(&mut self, position: Position) {
        if let Some(entry) = take(&mut self.all, position) {
            self.let_go(&entry);
        }
    }

    /// Allows to load again once much has been removed.
    fn look_for_room(&mut self, bytes_max: usize) {
        if self.bytes < bytes_max / 2 {
            self.is_full = false;
        }
    }

    /// Lets the oldest go until `bytes_max` is kept to.
    fn shrink_to(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max {
            let Some(oldest) = self.all.pop_front() else { break };
            self.floor = Floor::At(oldest.position);
            self.is_full = true;
            self.let_go(&oldest);
        }
    }

    /// Takes what is no longer in the list of all out of the other two.
    fn let_go(&mut self, entry: &Entry) {
        self.bytes = self.bytes.saturating_sub(entry.cost());
        if let Some(list) = self.by_author.get_mut(&entry.author) {
            take(list, entry.position);
            if list.is_empty() {
                self.by_author.remove(&entry.author);
            }
        }
        if let Some(list) = self.by_kind.get_mut(&entry.kind) {
            take(list, entry.position);
            if list.is_empty() {
                self.by_kind.remove(&entry.kind);
            }
        }
    }
}

/// The floor above everything that is there.
fn newest(snapshot: &dyn KvSnapshot) -> Result<Floor, StoreError> {
    let events = crate::KeyRange::prefix(&[keys::EVENT]);
    let mut cursor = snapshot.scan(events, Direction::Forward)?;
    Ok(match cursor.advance()? {
        None => Floor::None,
        Some((key, _)) => Position::from_key_end(key).map_or(Floor::Unknown, Floor::At),
    })
}

/// Adds `entry` where it belongs; says whether it was not there.
fn put(list: &mut List, entry: &Arc<Entry>) -> bool {
    // Most are the newest.
    if list.back().is_none_or(|newest| newest.position > entry.position) {
        list.push_back(Arc::clone(entry));
        return true;
    }
    let at = list.partition_point(|other| other.position > entry.position);
    if list.get(at).is_some_and(|other| other.position == entry.position) {
        return false;
    }
    list.insert(at, Arc::clone(entry));
    true
}

fn take(list: &mut List, position: Position) -> Option<Arc<Entry>> {
    let at = list.partition_point(|other| other.position > position);
    if list.get(at)?.position != position {
        return None;
    }
    list.remove(at)
}

#[cfg(test)]
mod tests;
