//! Positions of the events that answer certain filters, kept up to date in memory: a reconciliation
//! (NIP-77) over one of them, or over a part of one in time, asks no index.

use std::{collections::BTreeMap, ops::ControlFlow, sync::RwLock};

use nipworker_protocol::{EventId, Filter};

use crate::{KvSnapshot, Position, StoreError, WriteBatch};

use super::{
    keys,
    row::read_row,
    row_cache::RowCache,
    walk::{Limits, Source, Walk},
};

/// Events that one set holds at most, 56 bytes each and what a tree adds; a filter that more answer is asked of the
/// indexes as any other, until the store is opened again.
pub const KEPT_EVENTS_MAX: usize = 1_000_000;

/// Positions, with the time at which each expires (NIP-40).
type Positions = BTreeMap<Position, Option<i64>>;

/// The positions that answer one filter.
struct Set {
    filter: Filter,
    state: RwLock<State>,
}

enum State {
    Known(Positions),
    /// It is to be read again.
    Unknown,
    /// Nothing is kept: there are too many, or some cannot be read.
    Off,
}

/// The sets of a store.
#[derive(Default)]
pub(super) struct KeptSets {
    sets: Vec<Set>,
}

impl KeptSets {
    /// Reads what answers each of `filters`. Nobody writes meanwhile.
    pub(super) fn load(filters: Vec<Filter>, snapshot: &dyn KvSnapshot, cache: &RowCache) -> Self {
        let sets = filters.into_iter().map(|filter| {
            let filter = normal(&Filter { limit: None, ..filter });
            let state = RwLock::new(read(&filter, snapshot, cache));
            Set { filter, state }
        });
        Self { sets: sets.collect() }
    }

    /// Takes over what a commit changed.
    pub(super) fn apply(&self, batch: &WriteBatch) {
        if self.sets.is_empty() {
            return;
        }
        for (key, value) in batch.starting_with(keys::EVENT) {
            let Some(position) = Position::from_key_end(key) else { continue };
            // What cannot be read was not put by this store.
            let added = value.and_then(|row| read_row(position, row.to_vec()).ok());
            for set in &self.sets {
                set.change(|positions| match &added {
                    Some(event) if set.filter.matches_view(&event.view()) => {
                        positions.insert(position, event.view().expiration());
                    }
                    _ => drop(positions.remove(&position)),
                });
            }
        }
    }

    /// Forgets everything: it is not known what was committed.
    pub(super) fn forget(&self) {
        self.sets.iter().for_each(Set::forget);
    }

    /// Reads again what is kept for `filter` and not known. Nobody writes meanwhile.
    pub(super) fn reload(&self, filter: &Filter, snapshot: &dyn KvSnapshot, cache: &RowCache) {
        let outdated = self.sets.iter().filter(|set| set.is_for(filter) && set.is_unknown());
        for set in outdated {
            let state = read(&set.filter, snapshot, cache);
            *set.state.write().unwrap_or_else(|poisoned| {
                set.state.clear_poison();
                poisoned.into_inner()
            }) = state;
        }
    }

    /// Whether something is kept for such a filter that is not known any more.
    pub(super) fn is_outdated(&self, filter: &Filter) -> bool {
        self.sets.iter().any(|set| set.is_for(filter) && set.is_unknown())
    }

    /// The first `max` positions that answer `filter`, newest first; `None` where nothing is kept for it.
    pub(super) fn ids(&self, filter: &Filter, max: usize, now: i64) -> Option<Vec<Position>> {
        let set = self.sets.iter().find(|set| set.is_for(filter))?;
        let state = set.state.read().ok()?;
        let State::Known(positions) = &*state else { return None };
        let max = max.min(filter.limit.unwrap_or(usize::MAX));
        let is_in_time =
            |position: &Position| filter.since.is_none_or(|since| position.created_at >= since);
        let begin = filter
            .until
            .map(|until| Position { created_at: until, id: EventId::from_bytes([0; 32]) });
        let all = match begin {
            Some(begin) => positions.range(begin..),
            None => positions.range(..),
        };
        Some(
            all.take_while(|(position, _)| is_in_time(position))
                .filter(|(_, expires_at)| expires_at.is_none_or(|at| at > now))
                .map(|(position, _)| *position)
                .take(max)
                .collect(),
        )
    }
}

impl Set {
    /// Whether `filter` asks for this set, or for a part of it in time.
    fn is_for(&self, filter: &Filter) -> bool {
        let kept = &self.filter;
        let begins_within = kept.since.is_none_or(|kept| filter.since.is_some_and(|it| it >= kept));
        let ends_within = kept.until.is_none_or(|kept| filter.until.is_some_and(|it| it <= kept));
        begins_within
            && ends_within
            && normal(&Filter {
                limit: None,
                since: kept.since,
                until: kept.until,
                ..filter.clone()
            }) == *kept
    }

    fn is_unknown(&self) -> bool {
        // After a panic within a change it is in doubt.
        self.state.read().map_or(true, |state| matches!(*state, State::Unknown))
    }

    fn change(&self, change: impl FnOnce(&mut Positions)) {
        let Ok(mut state) = self.state.write() else { return };
        if let State::Known(positions) = &mut *state {
            change(positions);
            if positions.len() > KEPT_EVENTS_MAX {
                *state = State::Off;
            }
        }
    }

    fn forget(&self) {
        if let Ok(mut state) = self.state.write() {
            *state = State::Unknown;
        }
    }
}

/// The filter with its lists in order, each value once.
fn normal(filter: &Filter) -> Filter {
    fn tidy<T: Ord>(values: &mut Vec<T>) {
        values.sort_unstable();
        values.dedup();
    }
    let mut filter = filter.clone();
    filter.ids.iter_mut().for_each(tidy);
    filter.authors.iter_mut().for_each(tidy);
    filter.kinds.iter_mut().for_each(tidy);
    filter.tags.values_mut().for_each(tidy);
    filter
}

/// What answers `filter`, by the indexes alone. What cannot be read is told to those who ask for it; here
/// it costs the set.
fn read(filter: &Filter, snapshot: &dyn KvSnapshot, cache: &RowCache) -> State {
    let mut positions = Positions::new();
    let mut collect = || -> Result<(), StoreError> {
        let source = Source { snapshot, cache };
        let filters = std::slice::from_ref(filter);
        // Also what has expired and was not swept: whoever asks says what the time is.
        Walk::start(source, filters, Limits::Ignored, None, &[], i64::MIN)?.run(&mut |found| {
            positions.insert(found.position, found.expires_at);
            let is_too_much = positions.len() > KEPT_EVENTS_MAX;
            Ok(if is_too_much { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })
    };
    match collect() {
        Ok(()) if positions.len() <= KEPT_EVENTS_MAX => State::Known(positions),
        _ => State::Off,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        EventStore, KvStore, MemoryKv,
        conformance::{
            Rng,
            samples::{NOW, author, event, note},
        },
    };

    fn any() -> Filter {
        Filter::new()
    }

    /// A store with kept sets, and one without.
    fn twins() -> (KvStore, KvStore) {
        let kept = vec![any().kinds([1]), any().authors([author(2)]).tag('t', ["x"])];
        let with = KvStore::open(MemoryKv::new()).unwrap().with_kept_sets(kept).unwrap();
        (with, KvStore::open(MemoryKv::new()).unwrap())
    }

    #[test]
    fn kept_sets_answer_as_the_indexes_do_through_all_kinds_of_changes() {
        let (with, without) = twins();
        let mut rng = Rng::new(7);
        let mut ids: Vec<EventId> = Vec::new();
        for round in 0..200 {
            let now = NOW + round;
            let batch: Vec<_> = (0..1 + rng.below(8))
                .map(|n| {
                    let by = 1 + rng.below(3) as u8;
                    let at = now - rng.below(50) as i64;
                    let expires = (now + rng.below(20) as i64).to_string();
                    let content = format!("{round} {n}");
                    match rng.below(8) {
                        0 if !ids.is_empty() => {
                            let id = rng.pick(&ids).to_hex();
                            event(by, at, 5, &[&["e", &id]], "")
                        }
                        1 => event(by, at, 1, &[&["expiration", &expires]], &content),
                        2 => event(by, at, 0, &[], &content),
                        3 => event(by, at, 7, &[&["t", "x"]], &content),
                        _ => event(by, at, 1, &[&["t", "x"]], &content),
                    }
                })
                .collect();
            ids.extend(batch.iter().map(|event| event.id));
            for store in [&with, &without] {
                store.put_batch(&batch, now).unwrap();
                if round % 20 == 19 {
                    store.sweep_expired(now).unwrap();
                    store.vanish(&author(3), now - 40).unwrap();
                    store.delete(&[any().until(now - 45)], now).unwrap();
                }
            }
            for filter in [
                any().kinds([1]),
                any().kinds([1]).since(now - 20),
                any().kinds([1]).since(now - 20).until(now - 5).limit(3),
                any().authors([author(2)]).tag('t', ["x"]).until(now - 3),
                any().kinds([7]),
            ] {
                let asked = std::slice::from_ref(&filter);
                let (got, expected) = (with.ids(asked, 40, now), without.ids(asked, 40, now));
                assert_eq!(got.unwrap(), expected.unwrap(), "round {round}: {filter:?}");
            }
        }
        assert!(with.kept_answers(&any().kinds([1]), NOW) && !with.kept_answers(&any(), NOW));
    }

    #[test]
    fn what_is_there_when_a_store_is_opened_is_kept_too() {
        let kv = MemoryKv::new();
        let store = KvStore::open(kv.clone()).unwrap();
        let notes: Vec<_> = (0..50).map(|n| note(1, NOW - n, "x")).collect();
        store.put_batch(&notes, NOW).unwrap();
        let store = KvStore::open(kv).unwrap().with_kept_sets(vec![any().kinds([1])]).unwrap();
        assert!(store.kept_answers(&any().kinds([1]), NOW));
        assert_eq!(store.ids(&[any().kinds([1])], 100, NOW).unwrap().len(), 50);
    }

    #[test]
    fn a_filter_finds_its_set_in_whatever_order_it_names_values_and_as_a_part_in_time() {
        let kept = any().kinds([10_002, 0, 3]).since(NOW - 100);
        let store = KvStore::open(MemoryKv::new()).unwrap().with_kept_sets(vec![kept]).unwrap();
        for (filter, is_kept) in [
            (any().kinds([0, 3, 10_002, 3]).since(NOW - 100), true),
            (any().kinds([3, 0, 10_002]).since(NOW - 9).until(NOW), true),
            (any().kinds([0, 3, 10_002]).since(NOW - 101), false),
            (any().kinds([0, 3, 10_002]), false),
            (any().kinds([0, 3]).since(NOW), false),
        ] {
            assert_eq!(store.kept_answers(&filter, NOW), is_kept, "{filter:?}");
        }
    }

    #[test]
    fn a_row_that_cannot_be_read_costs_nobody_the_store() {
        let kv = MemoryKv::new();
        let store = KvStore::open(kv.clone()).unwrap();
        let tagged = event(1, NOW, 1, &[&["t", "x"]], "");
        store.put_batch(std::slice::from_ref(&tagged), NOW).unwrap();
        let mut batch = WriteBatch::new();
        batch.put(keys::event(Position::of(&tagged)), b"rubbish");
        crate::OrderedKv::commit(&kv, &batch).unwrap();
        // The second needs the row.
        let kept = vec![any().kinds([1]), any().tag('t', ["x"]).authors([author(1)])];
        let store = KvStore::open(kv).unwrap().with_kept_sets(kept).unwrap();
        assert_eq!(store.ids(&[any().kinds([1])], 9, NOW).unwrap().len(), 1);
        assert!(store.check().unwrap().problem_count > 0);
    }

    #[test]
    fn a_set_that_was_forgotten_is_read_again_when_it_is_asked_for() {
        let (store, _) = twins();
        store.put_batch(&[note(1, NOW, "x")], NOW).unwrap();
        store.forget_for_tests();
        assert!(!store.kept_answers(&any().kinds([1]), NOW));
        assert_eq!(store.ids(&[any().kinds([1])], 100, NOW).unwrap().len(), 1);
        assert!(store.kept_answers(&any().kinds([1]), NOW));
    }
}
