//! Packed events that were read lately, so that reading them again costs no look into the database.

use std::{
    collections::HashMap,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

use foldhash::fast::RandomState;
use nipworker_protocol::{EventId, PackedEvent};

/// What an entry takes beside the bytes of its event: key, handle, and the table's free room.
const ENTRY_BYTES: usize = 160;

/// A bounded memory of packed events by id.
///
/// An id names its content for ever, so an entry is never wrong: whether the event is *kept* is said
/// by the index of a snapshot, not here. There are two generations: what is used goes into the
/// young one; when that holds half of the bytes it becomes the old one, and the old one is forgotten.
pub(super) struct RowCache {
    bytes_max: usize,
    generations: Mutex<Generations>,
}

#[derive(Default)]
struct Generations {
    young: HashMap<EventId, PackedEvent, RandomState>,
    young_bytes: usize,
    old: HashMap<EventId, PackedEvent, RandomState>,
}

fn cost(event: &PackedEvent) -> usize {
    event.as_bytes().len() + ENTRY_BYTES
}

impl RowCache {
    /// Holds `bytes_max` bytes at most; zero holds nothing.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, generations: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, id: &EventId) -> Option<PackedEvent> {
        if self.bytes_max == 0 {
            return None;
        }
        let mut generations = self.lock();
        if let Some(event) = generations.young.get(id) {
            return Some(event.clone());
        }
        let event = generations.old.remove(id)?;
        generations.insert(*id, event.clone(), self.bytes_max / 2);
        Some(event)
    }

    pub(super) fn insert(&self, id: EventId, event: &PackedEvent) {
        // One that alone fills a generation would push out all others.
        if cost(event) <= self.bytes_max / 2 {
            self.lock().insert(id, event.clone(), self.bytes_max / 2);
        }
    }
}

impl Generations {
    fn insert(&mut self, id: EventId, event: PackedEvent, bytes_max: usize) {
        let cost = cost(&event);
        if self.young_bytes + cost > bytes_max {
            self.old = mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        if self.young.insert(id, event).is_none() {
            self.young_bytes += cost;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::samples::{NOW, note};

    fn held(cache: &RowCache) -> usize {
        let generations = cache.lock();
        generations.young.values().chain(generations.old.values()).map(cost).sum()
    }

    #[test]
    fn the_memory_is_bounded_and_what_is_used_stays() {
        let cache = RowCache::new(20_000);
        let used = note(1, NOW, "used").pack();
        let used_id = used.view().id();
        cache.insert(used_id, &used);
        for n in 0..500 {
            let event = note(1, NOW - n, "passing").pack();
            cache.insert(event.view().id(), &event);
            assert!(cache.get(&used_id).is_some(), "after {n}");
            assert!(held(&cache) <= 20_000, "{} bytes", held(&cache));
        }
        assert!(held(&cache) > 8_000, "only {} bytes are used", held(&cache));
        let first = note(1, NOW, "passing");
        assert_eq!(cache.get(&first.id), None);
    }

    #[test]
    fn what_is_too_large_and_everything_in_a_cache_of_no_size_is_passed_by() {
        let large = note(1, NOW, &"x".repeat(20_000)).pack();
        let small = note(1, NOW, "").pack();
        let cache = RowCache::new(20_000);
        cache.insert(large.view().id(), &large);
        assert_eq!(cache.get(&large.view().id()), None);
        let none = RowCache::new(0);
        none.insert(small.view().id(), &small);
        assert_eq!(none.get(&small.view().id()), None);
    }
}
