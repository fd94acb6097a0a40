//! The backend that keeps everything in memory.

use std::{
    collections::{BTreeMap, VecDeque, btree_map},
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use super::{
    Direction, KeyRange, KvCursor, KvEntry, KvError, KvSnapshot, KvStats, OrderedKv, WriteBatch,
};

/// Entries that a cursor copies the first time it looks; later it copies more at once.
const CHUNK_ENTRIES_FIRST: usize = 4;
/// Entries that a cursor copies at most while it holds the lock.
const CHUNK_ENTRIES_MAX: usize = 256;

/// An [`OrderedKv`] in memory. It forgets when it is dropped.
///
/// Each commit has a number, and an entry remembers the number it was written at. As long as a
/// snapshot is open, the versions that it sees are kept; the next commit after it is dropped
/// lets them go. So neither side waits for the other longer than one short copy.
#[derive(Debug, Clone, Default)]
pub struct MemoryKv {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    data: RwLock<Data>,
    /// Open snapshots: how many look at each commit number.
    open: Mutex<BTreeMap<u64, usize>>,
}

#[derive(Debug, Default)]
struct Data {
    entries: BTreeMap<Box<[u8]>, Versions>,
    commit: u64,
    /// Keys with more than one version, and the commit that made the older ones superfluous.
    outdated: VecDeque<(u64, Box<[u8]>)>,
}

/// What a key was at each commit that an open snapshot may still see. Almost always one.
#[derive(Debug)]
enum Versions {
    One(u64, Arc<[u8]>),
    /// Oldest first; `None` means removed.
    Many(Vec<(u64, Option<Arc<[u8]>>)>),
}

impl Versions {
    fn at(&self, commit: u64) -> Option<&Arc<[u8]>> {
        match self {
            Self::One(written, value) => (*written <= commit).then_some(value),
            Self::Many(versions) => {
                versions.iter().rev().find(|(written, _)| *written <= commit)?.1.as_ref()
            }
        }
    }

    fn push(&mut self, commit: u64, value: Option<Arc<[u8]>>) {
        match self {
            Self::One(written, old) => {
                *self = Self::Many(vec![(*written, Some(old.clone())), (commit, value)]);
            }
            Self::Many(versions) => versions.push((commit, value)),
        }
    }

    /// Forgets what nobody from `oldest` on can see. `false` when nothing is left.
    fn prune(&mut self, oldest: u64) -> bool {
        let Self::Many(versions) = self else { return true };
        let seen = versions.iter().rposition(|(written, _)| *written <= oldest).unwrap_or(0);
        versions.drain(..seen);
        match versions.as_slice() {
            [(_, None)] | [] => false,
            [(written, Some(value))] => {
                *self = Self::One(*written, value.clone());
                true
            }
            _ => true,
        }
    }
}

impl Data {
    fn prune(&mut self, oldest: u64) {
        while self.outdated.front().is_some_and(|(commit, _)| *commit <= oldest) {
            let Some((_, key)) = self.outdated.pop_front() else { return };
            if let btree_map::Entry::Occupied(mut entry) = self.entries.entry(key)
                && !entry.get_mut().prune(oldest)
            {
                entry.remove();
            }
        }
    }
}

impl Shared {
    fn read(&self) -> RwLockReadGuard<'_, Data> {
        self.data.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Data> {
        self.data.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<u64, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryKv {
    /// Holds nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keys that older snapshots keep in more than one version.
    #[cfg(test)]
    fn outdated_keys(&self) -> usize {
        self.shared.read().outdated.len()
    }
}

impl OrderedKv for MemoryKv {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn snapshot(&self) -> Result<Box<dyn KvSnapshot>, KvError> {
        // The number is registered while the data is locked, so no commit falls in between.
        let data = self.shared.read();
        let commit = data.commit;
        *self.shared.open().entry(commit).or_default() += 1;
        Ok(Box::new(Snapshot { shared: self.shared.clone(), commit }))
    }

    fn commit(&self, batch: &WriteBatch) -> Result<(), KvError> {
        let mut data = self.shared.write();
        let oldest_open = self.shared.open().keys().next().copied();
        let before = data.commit;
        data.prune(oldest_open.unwrap_or(before));
        data.commit += 1;
        let commit = data.commit;
        let nothing: Arc<[u8]> = Arc::default();
        for (key, value) in batch.iter() {
            let value = value
                .map(|value| if value.is_empty() { nothing.clone() } else { Arc::from(value) });
            let data = &mut *data;
            match (data.entries.entry(key.into()), value) {
                (btree_map::Entry::Vacant(_), None) => {}
                (btree_map::Entry::Vacant(entry), Some(value)) => {
                    entry.insert(Versions::One(commit, value));
                }
                (btree_map::Entry::Occupied(mut entry), value) if oldest_open.is_some() => {
                    entry.get_mut().push(commit, value);
                    data.outdated.push_back((commit, key.into()));
                }
                (btree_map::Entry::Occupied(mut entry), Some(value)) => {
                    entry.insert(Versions::One(commit, value));
                }
                (btree_map::Entry::Occupied(entry), None) => {
                    entry.remove();
                }
            }
        }
        Ok(())
    }

    fn stats(&self) -> Result<KvStats, KvError> {
        Ok(KvStats { disk_bytes: None })
    }

    fn flush(&self) -> Result<(), KvError> {
        Ok(())
    }
}

struct Snapshot {
    shared: Arc<Shared>,
    commit: u64,
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        let mut open = self.shared.open();
        if let btree_map::Entry::Occupied(mut count) = open.entry(self.commit) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

impl KvSnapshot for Snapshot {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KvError> {
        let data = self.shared.read();
        Ok(data.entries.get(key).and_then(|versions| versions.at(self.commit)).map(|v| v.to_vec()))
    }

    fn scan(
        &self,
        range: KeyRange,
        direction: Direction,
    ) -> Result<Box<dyn KvCursor + '_>, KvError> {
        Ok(Box::new(Cursor {
            snapshot: self,
            done: range.is_empty(),
            start: Bound::Included(range.start.into()),
            end: Bound::Excluded(range.end.into()),
            direction,
            chunk: Vec::new(),
            next: 0,
            chunk_entries: CHUNK_ENTRIES_FIRST,
        }))
    }
}

/// A key and its value, copied out of the map.
type OwnedEntry = (Box<[u8]>, Arc<[u8]>);

struct Cursor<'s> {
    snapshot: &'s Snapshot,
    /// What is left of the range behind the chunk.
    start: Bound<Box<[u8]>>,
    end: Bound<Box<[u8]>>,
    direction: Direction,
    chunk: Vec<OwnedEntry>,
    next: usize,
    chunk_entries: usize,
    done: bool,
}

impl Cursor<'_> {
    fn refill(&mut self) {
        self.chunk.clear();
        self.next = 0;
        let data = self.snapshot.shared.read();
        let mut range = data
            .entries
            .range::<[u8], _>((self.start.as_ref().map(|b| &**b), self.end.as_ref().map(|b| &**b)));
        while self.chunk.len() < self.chunk_entries {
            let entry = match self.direction {
                Direction::Forward => range.next(),
                Direction::Backward => range.next_back(),
            };
            let Some((key, versions)) = entry else {
                self.done = true;
                break;
            };
            if let Some(value) = versions.at(self.snapshot.commit) {
                self.chunk.push((key.clone(), value.clone()));
            }
        }
        drop(data);
        self.chunk_entries = (self.chunk_entries * 4).min(CHUNK_ENTRIES_MAX);
        if let Some((key, _)) = self.chunk.last() {
            let passed = Bound::Excluded(key.clone());
            match self.direction {
                Direction::Forward => self.start = passed,
                Direction::Backward => self.end = passed,
            }
        }
    }
}

impl KvCursor for Cursor<'_> {
    fn advance(&mut self) -> Result<Option<KvEntry<'_>>, KvError> {
        if self.next == self.chunk.len() && !self.done {
            self.refill();
        }
        let entry = self.chunk.get(self.next);
        self.next = (self.next + 1).min(self.chunk.len());
        Ok(entry.map(|(key, value)| (&**key, &**value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_no_snapshot_sees_are_let_go() {
        let kv = MemoryKv::new();
        let write = |value: u8| {
            let mut batch = WriteBatch::new();
            batch.put("key", [value]);
            kv.commit(&batch).unwrap();
        };
        write(1);
        let first = kv.snapshot().unwrap();
        write(2);
        let second = kv.snapshot().unwrap();
        write(3);
        assert_eq!(first.get(b"key").unwrap(), Some(vec![1]));
        assert_eq!(second.get(b"key").unwrap(), Some(vec![2]));
        assert_eq!(kv.outdated_keys(), 2);
        drop(first);
        write(4);
        assert_eq!(second.get(b"key").unwrap(), Some(vec![2]));
        drop(second);
        let mut batch = WriteBatch::new();
        batch.delete("key");
        kv.commit(&batch).unwrap();
        assert_eq!(kv.outdated_keys(), 0);
        assert!(kv.shared.read().entries.is_empty());
    }

    #[test]
    fn a_removed_key_disappears_once_its_last_snapshot_is_gone() {
        let kv = MemoryKv::new();
        let mut batch = WriteBatch::new();
        batch.put("key", "value");
        kv.commit(&batch).unwrap();
        let snapshot = kv.snapshot().unwrap();
        let mut batch = WriteBatch::new();
        batch.delete("key");
        kv.commit(&batch).unwrap();
        assert_eq!(snapshot.get(b"key").unwrap(), Some(b"value".to_vec()));
        assert_eq!(kv.snapshot().unwrap().get(b"key").unwrap(), None);
        drop(snapshot);
        kv.commit(&WriteBatch::new()).unwrap();
        assert!(kv.shared.read().entries.is_empty());
    }
}
