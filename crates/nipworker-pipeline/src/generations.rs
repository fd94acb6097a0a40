//! A map of bounded size that forgets the oldest half at a time.

use std::{collections::HashMap, hash::Hash, mem};

use foldhash::quality::RandomState;

/// A map in two generations. Inserting goes to the young one; when that is full, it becomes the
/// old one and what was old is forgotten. So between `size` and `2 × size` entries are
/// remembered, and forgetting costs nothing per entry.
///
/// Its hashes are seeded and fast rather than proof against everybody: keys are ids, digests and
/// public keys, nobody is told where they lie, and the size is bounded.
#[derive(Debug)]
pub(crate) struct Generations<K, V> {
    young: HashMap<K, V, RandomState>,
    old: HashMap<K, V, RandomState>,
    size: usize,
    forgotten: u64,
}

impl<K: Eq + Hash, V> Generations<K, V> {
    /// A map whose generations hold `size` entries each, at least one.
    pub(crate) fn new(size: usize) -> Self {
        Self { young: HashMap::default(), old: HashMap::default(), size: size.max(1), forgotten: 0 }
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    pub(crate) fn contains(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= self.size && !self.young.contains_key(&key) {
            mem::swap(&mut self.young, &mut self.old);
            self.forgotten += self.young.len() as u64;
            self.young.clear();
        }
        self.young.insert(key, value);
    }

    /// Number of entries that were forgotten, where one that was inserted again before it would
    /// have been counts as well.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Number of entries that are remembered, where one that is in both generations counts twice.
    pub(crate) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_inserted_last_is_always_remembered() {
        let mut map = Generations::new(10);
        for n in 0..1_000 {
            map.insert(n, n * 2);
            for back in 0..10.min(n) {
                assert_eq!(map.get(&(n - back)), Some(&((n - back) * 2)));
            }
            assert!(map.len() <= 20, "{} entries", map.len());
        }
        assert!(!map.contains(&900));
        assert_eq!(map.forgotten() + map.len() as u64, 1_000);
    }

    #[test]
    fn inserting_a_known_key_again_forgets_nothing() {
        let mut map = Generations::new(2);
        map.insert(1, 'a');
        map.insert(2, 'b');
        for _ in 0..10 {
            map.insert(2, 'c');
        }
        assert_eq!((map.get(&1), map.get(&2)), (Some(&'a'), Some(&'c')));
    }

    #[test]
    fn a_size_of_zero_counts_as_one() {
        let mut map = Generations::new(0);
        map.insert(1, ());
        map.insert(2, ());
        assert!(map.contains(&2) && map.len() <= 2);
    }
}
