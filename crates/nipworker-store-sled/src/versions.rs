//! What keys were before recent commits, so that a snapshot can go on showing its moment.
//!
//! sled shows every reader the newest state. Before a commit changes anything, the old values of
//! its keys are written down here under the commit's number. A snapshot of number `s` that reads a
//! key asks here afterwards: the old value of the first commit above `s` is what it must show, and
//! where there is none the key has not changed since. Reading first and asking second is what
//! makes this right without holding up either side.

use std::{
    collections::{BTreeMap, VecDeque, btree_map},
    ops::Bound,
};

use sled::IVec;

/// Bytes that an entry costs beside its key and value.
const ENTRY_BYTES: usize = 128;

/// What a key was before a commit; `None` when it was not there.
pub(crate) type Old = Option<IVec>;

/// A commit whose old values are kept.
#[derive(Debug)]
struct Kept {
    commit: u64,
    keys: Vec<IVec>,
    bytes: usize,
}

/// Old values of recent commits, bounded in memory.
#[derive(Debug)]
pub(crate) struct Versions {
    bytes_max: usize,
    /// The newest commit that is durable; new snapshots show it.
    committed: u64,
    /// Old values by key, and under each key by commit.
    old: BTreeMap<IVec, Vec<(u64, Old)>>,
    kept: VecDeque<Kept>,
    bytes: usize,
    /// Open snapshots: how many show each commit.
    open: BTreeMap<u64, usize>,
    /// Snapshots of earlier commits cannot be served any more.
    forgotten: u64,
}

impl Versions {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            committed: 0,
            old: BTreeMap::new(),
            kept: VecDeque::new(),
            bytes: 0,
            open: BTreeMap::new(),
            forgotten: 0,
        }
    }

    /// Opens a snapshot and says which commit it shows.
    pub(crate) fn open_snapshot(&mut self) -> u64 {
        *self.open.entry(self.committed).or_default() += 1;
        self.committed
    }

    /// A snapshot is gone. What only it needed goes with the next commit.
    pub(crate) fn close_snapshot(&mut self, snapshot: u64) {
        if let btree_map::Entry::Occupied(mut count) = self.open.entry(snapshot) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    /// Writes down what the keys of the next commit are before it. When that makes too much, the
    /// oldest snapshots are given up; never the ones that show what is committed now.
    pub(crate) fn begin(&mut self, old: impl IntoIterator<Item = (IVec, Old)>) {
        let commit = self.committed + 1;
        let mut kept = Kept { commit, keys: Vec::new(), bytes: 0 };
        for (key, value) in old {
            kept.bytes += ENTRY_BYTES + 2 * key.len() + value.as_ref().map_or(0, |v| v.len());
            self.old.entry(key.clone()).or_default().push((commit, value));
            kept.keys.push(key);
        }
        self.bytes += kept.bytes;
        self.kept.push_back(kept);
        while self.bytes > self.bytes_max && self.kept.len() > 1 {
            self.forgotten = self.forget_oldest();
        }
    }

    /// The commit that was begun is durable: new snapshots show it.
    pub(crate) fn publish(&mut self) {
        self.committed += 1;
        let needed = self.open.keys().next().copied().unwrap_or(self.committed);
        while self.kept.front().is_some_and(|kept| kept.commit <= needed) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) -> u64 {
        let Some(kept) = self.kept.pop_front() else { return self.forgotten };
        self.bytes -= kept.bytes;
        for key in kept.keys {
            if let btree_map::Entry::Occupied(mut versions) = self.old.entry(key) {
                versions.get_mut().retain(|(commit, _)| *commit != kept.commit);
                if versions.get().is_empty() {
                    versions.remove();
                }
            }
        }
        kept.commit
    }

    /// Whether all that a snapshot may ask for is still here.
    pub(crate) fn serves(&self, snapshot: u64) -> bool {
        snapshot >= self.forgotten
    }

    /// What `key` was at the snapshot; `None` when it has not changed since.
    pub(crate) fn at(&self, key: &[u8], snapshot: u64) -> Option<&Old> {
        first_above(self.old.get(key)?, snapshot)
    }

    /// The keys of a range that changed since the snapshot, and what they were.
    pub(crate) fn changed(
        &self,
        range: (Bound<&[u8]>, Bound<&[u8]>),
        snapshot: u64,
    ) -> impl DoubleEndedIterator<Item = (&[u8], &Old)> {
        self.old
            .range::<[u8], _>(range)
            .filter_map(move |(key, old)| Some((&**key, first_above(old, snapshot)?)))
    }

    /// Bytes that the old values take in memory, roughly.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

fn first_above(versions: &[(u64, Old)], snapshot: u64) -> Option<&Old> {
    versions.iter().find(|(commit, _)| *commit > snapshot).map(|(_, old)| old)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn old(key: &str, value: Option<&str>) -> (IVec, Old) {
        (key.into(), value.map(IVec::from))
    }

    #[test]
    fn a_snapshot_is_shown_the_value_before_the_first_commit_behind_it() {
        let mut versions = Versions::new(1 << 20);
        let first = versions.open_snapshot();
        versions.begin([old("a", None)]);
        versions.publish();
        let second = versions.open_snapshot();
        versions.begin([old("a", Some("1")), old("b", Some("x"))]);
        assert_eq!(versions.open_snapshot(), second, "not durable yet");
        versions.publish();
        let third = versions.open_snapshot();
        assert_eq!(versions.at(b"a", first), Some(&None));
        assert_eq!(versions.at(b"a", second), Some(&Some("1".into())));
        assert_eq!(versions.at(b"a", third), None);
        let range = (Bound::Unbounded, Bound::Unbounded);
        assert_eq!(versions.changed(range, first).count(), 2);
        assert_eq!(versions.changed(range, third).count(), 0);
    }

    #[test]
    fn what_no_snapshot_needs_is_let_go_with_the_next_commit() {
        let mut versions = Versions::new(1 << 20);
        let snapshot = versions.open_snapshot();
        for _ in 0..3 {
            versions.begin([old("a", Some("1"))]);
            versions.publish();
        }
        assert!(versions.bytes() > 0);
        assert!(versions.serves(snapshot));
        versions.close_snapshot(snapshot);
        versions.begin([old("b", None)]);
        versions.publish();
        assert_eq!((versions.bytes(), versions.old.len(), versions.kept.len()), (0, 0, 0));
    }

    #[test]
    fn the_oldest_snapshots_are_given_up_when_the_memory_is_full() {
        let mut versions = Versions::new(10 * (ENTRY_BYTES + 100));
        let first = versions.open_snapshot();
        let large = "x".repeat(98);
        for _ in 0..5 {
            versions.begin([old("a", Some(&large))]);
            versions.publish();
        }
        let middle = versions.open_snapshot();
        for _ in 0..8 {
            versions.begin([old("a", Some(&large))]);
            versions.publish();
            assert!(versions.bytes() <= versions.bytes_max);
        }
        assert!(!versions.serves(first));
        assert!(versions.serves(middle));
        assert!(versions.at(b"a", middle).is_some());
        versions.begin([old("b", Some(&"y".repeat(10_000)))]);
        assert!(!versions.serves(middle));
        assert!(versions.serves(versions.committed), "what is committed now is always served");
    }
}
