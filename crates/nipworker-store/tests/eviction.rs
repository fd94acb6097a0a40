//! A store with a size limit: what goes, what stays, and that the limit holds.

#![allow(clippy::unwrap_used)]

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use nipworker_protocol::{Event, EventId, Filter, KindClass, PublicKey, Verified};
use nipworker_store::{
    EventStore, KvStore, MemoryKv, OrderedKv, PageRequest, Position, PutOutcome, SizeLimit,
    WriteBatch,
    conformance::{
        Rng,
        samples::{NOW, author, event, note},
    },
};

const MAX_BYTES: u64 = 60_000;

fn limited(max_bytes: u64, pinned: &[PublicKey]) -> KvStore {
    let limit = SizeLimit { max_bytes, pinned: pinned.iter().copied().collect() };
    KvStore::open(MemoryKv::new()).unwrap().with_size_limit(limit).unwrap()
}

/// What an event takes, by putting it alone.
fn bytes_of(event: &Verified<Event>) -> u64 {
    let alone = KvStore::open(MemoryKv::new()).unwrap();
    alone.put_batch(std::slice::from_ref(event), NOW).unwrap();
    alone.stats().unwrap().event_bytes
}

fn ids(store: &dyn EventStore) -> HashSet<EventId> {
    let page = store.query(&[Filter::new()], &PageRequest::default(), NOW).unwrap();
    assert!(page.next.is_none());
    page.unpack().iter().map(|event| event.id).collect()
}

/// The rules said once more: a list, sorted anew for each event that goes.
struct Twin {
    max_bytes: u64,
    pinned: HashSet<PublicKey>,
    kept: Vec<(Verified<Event>, u64)>,
}

impl Twin {
    fn bytes(&self) -> u64 {
        self.kept.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Lets events go that `may_go` allows until there is room.
    fn make_room(&mut self, may_go: impl Fn(&Event) -> bool) {
        if self.bytes() <= self.max_bytes {
            return;
        }
        let enough = self.max_bytes - (self.max_bytes / 40).min(4 * 1024 * 1024);
        while self.bytes() > enough {
            let class = |event: &Event| match KindClass::of(event.kind) {
                KindClass::Regular => 0,
                KindClass::Addressable => 1,
                _ => 2,
            };
            let goes = (0..self.kept.len())
                .filter(|at| may_go(&self.kept[*at].0))
                .filter(|at| !self.pinned.contains(&self.kept[*at].0.pubkey))
                .min_by_key(|at| {
                    let event = &self.kept[*at].0;
                    (class(event), std::cmp::Reverse(Position::of(event)))
                });
            let Some(goes) = goes else { return };
            self.kept.remove(goes);
        }
    }

    fn put(&mut self, batch: &[Verified<Event>]) {
        let before: HashSet<EventId> = self.kept.iter().map(|(event, _)| event.id).collect();
        self.kept.extend(batch.iter().map(|event| (event.clone(), bytes_of(event))));
        // First regular events that were there before, in the batch's own commit; then, if need be, all.
        self.make_room(|event| {
            before.contains(&event.id) && KindClass::of(event.kind) == KindClass::Regular
        });
        self.make_room(|_| true);
    }
}

/// Regular, addressable and replaceable events, none of which takes another's address.
fn random_event(rng: &mut Rng, number: usize) -> Verified<Event> {
    let by = (number % 251) as u8;
    let time = NOW - rng.below(40) as i64;
    let text = "x".repeat(rng.below(900));
    let named = number.to_string();
    match rng.below(6) {
        0 => event(by, time, 30_000 + rng.below(3) as u16, &[&["d", &named]], &text),
        // A kind that nobody else has of this author.
        1 => event(by, time, 10_000 + (number / 251) as u16, &[], &text),
        _ => event(by, time, [1, 7, 6, 1_111][rng.below(4)], &[&["t", &named]], &text),
    }
}

#[test]
fn a_store_with_a_limit_agrees_with_its_naive_twin_on_what_goes_and_when() {
    for seed in 0..60 {
        let mut rng = Rng::new(seed);
        let pinned = if rng.one_in(2) { vec![author(3), author(4)] } else { Vec::new() };
        let store = limited(MAX_BYTES, &pinned);
        let pinned = pinned.into_iter().collect();
        let mut twin = Twin { max_bytes: MAX_BYTES, pinned, kept: Vec::new() };
        let mut made = 0;
        for _ in 0..25 {
            let batch: Vec<_> = (0..1 + rng.below(14))
                .map(|_| {
                    made += 1;
                    random_event(&mut rng, made)
                })
                .collect();
            let outcomes = store.put_batch(&batch, NOW).unwrap();
            assert!(outcomes.iter().all(|outcome| *outcome == PutOutcome::Stored), "{outcomes:?}");
            twin.put(&batch);
            let expected: HashSet<EventId> = twin.kept.iter().map(|(event, _)| event.id).collect();
            assert_eq!(ids(&store), expected, "seed {seed}");
            let stats = store.stats().unwrap();
            assert_eq!(stats.event_bytes, twin.bytes(), "seed {seed}");
            assert_eq!(stats.evicted, (made - expected.len()) as u64, "seed {seed}");
            assert!(stats.event_bytes <= MAX_BYTES, "seed {seed}: {stats:?}");
        }
        let report = store.check().unwrap();
        assert!(report.is_clean(), "seed {seed}: {:?}", report.problems);
    }
}

#[test]
fn profiles_outlive_notes_however_old_they_are() {
    let store = limited(MAX_BYTES, &[]);
    let profile = event(1, NOW - 1_000_000, 0, &[], "{}");
    let article = event(1, NOW - 1_000_000, 30_023, &[&["d", "one"]], "");
    store.put_batch(&[profile.clone(), article.clone()], NOW).unwrap();
    for n in 0..400 {
        store.put_batch(&[note(2, NOW - n, &n.to_string())], NOW).unwrap();
    }
    let kept = ids(&store);
    assert!(kept.contains(&profile.id) && kept.contains(&article.id));
    assert!(store.stats().unwrap().evicted > 200);
}

#[test]
fn profiles_outlive_a_batch_of_notes_that_alone_is_larger_than_the_limit() {
    let store = limited(MAX_BYTES, &[]);
    let profiles: Vec<_> = (1..=20_u8).map(|by| event(by, NOW - 1_000, 0, &[], "{}")).collect();
    store.put_batch(&profiles, NOW).unwrap();
    let text = "x".repeat(2_000);
    let notes: Vec<_> = (0..100).map(|n| note(30, NOW - n, &format!("{n} {text}"))).collect();
    store.put_batch(&notes, NOW).unwrap();
    let kept = ids(&store);
    assert!(profiles.iter().all(|profile| kept.contains(&profile.id)));
    let left = kept.len() - profiles.len();
    assert!(left > 5 && left < 40, "{left} notes");
    assert!(notes[..left].iter().all(|note| kept.contains(&note.id)), "the newest are left");
}

#[test]
fn an_event_older_than_all_that_is_pinned_goes_when_its_turn_comes() {
    let store = limited(MAX_BYTES, &[author(9)]);
    let pinned: Vec<_> = (0..50).map(|n| note(9, NOW - 5_000 - n, &n.to_string())).collect();
    store.put_batch(&pinned, NOW).unwrap();
    let fill = |from: i64| {
        for n in 0..300 {
            store.put_batch(&[note(2, NOW - n, &format!("{from} {n}"))], NOW).unwrap();
        }
    };
    // The rounds have passed over what is pinned by now.
    fill(0);
    let late = note(1, NOW - 9_000, "from long ago");
    assert_eq!(store.put_batch(std::slice::from_ref(&late), NOW).unwrap(), [PutOutcome::Stored]);
    fill(1);
    let kept = ids(&store);
    assert!(!kept.contains(&late.id));
    assert!(pinned.iter().all(|event| kept.contains(&event.id)));
}

#[test]
fn what_pinned_authors_wrote_stays_even_beyond_the_limit_and_others_go_instead() {
    let store = limited(MAX_BYTES, &[author(9)]);
    let pinned: Vec<_> = (0..150).map(|n| note(9, NOW - 10_000 - n, &n.to_string())).collect();
    store.put_batch(&pinned, NOW).unwrap();
    assert!(store.stats().unwrap().event_bytes > MAX_BYTES);
    store.put_batch(&[note(1, NOW, "has no room")], NOW).unwrap();
    let expected = pinned.iter().map(|event| event.id).collect();
    assert_eq!(ids(&store), expected);
    assert_eq!(store.stats().unwrap().evicted, 1);
}

#[test]
fn what_made_room_may_come_again_and_what_was_deleted_may_not() {
    let store = limited(MAX_BYTES, &[]);
    let (evicted, deleted) = (note(1, NOW - 900, "old"), note(1, NOW - 901, "regretted"));
    store.put_batch(&[evicted.clone(), deleted.clone()], NOW).unwrap();
    let request = event(1, NOW - 800, 5, &[&["e", &deleted.id.to_hex()]], "");
    store.put_batch(std::slice::from_ref(&request), NOW).unwrap();
    for n in 0..400 {
        store.put_batch(&[note(2, NOW - n, &n.to_string())], NOW).unwrap();
    }
    assert!(ids(&store).is_disjoint(&[evicted.id, deleted.id, request.id].into()));
    let outcomes = store.put_batch(&[evicted, deleted], NOW).unwrap();
    assert_eq!(outcomes, [PutOutcome::Stored, PutOutcome::Deleted]);
}

#[test]
fn a_limit_that_is_lowered_holds_when_the_store_is_open_again() {
    let kv = MemoryKv::new();
    let store = KvStore::open(kv.clone()).unwrap();
    // More than one commit may let go of.
    let notes: Vec<_> = (0..9_000).map(|n| note(1, NOW - n, &n.to_string())).collect();
    store.put_batch(&notes, NOW).unwrap();
    drop(store);
    let limit = SizeLimit { max_bytes: MAX_BYTES, ..SizeLimit::default() };
    let store = KvStore::open(kv).unwrap().with_size_limit(limit).unwrap();
    let stats = store.stats().unwrap();
    assert!(stats.event_bytes <= MAX_BYTES && stats.event_bytes > MAX_BYTES * 19 / 20, "{stats:?}");
    // The newest are left.
    let left = usize::try_from(stats.events).unwrap();
    assert_eq!(ids(&store), notes[..left].iter().map(|event| event.id).collect());
    assert!(store.check().unwrap().is_clean());
}

#[test]
fn a_store_from_before_bytes_were_counted_is_counted_when_it_is_opened() {
    let kv = MemoryKv::new();
    let store = KvStore::open(kv.clone()).unwrap();
    let notes: Vec<_> = (0..50).map(|n| note(1, NOW - n, &n.to_string())).collect();
    store.put_batch(&notes, NOW).unwrap();
    let counted = store.stats().unwrap().event_bytes;
    drop(store);
    let mut batch = WriteBatch::new();
    batch.delete("Mbytes");
    kv.commit(&batch).unwrap();
    let store = KvStore::open(kv).unwrap();
    assert_eq!(store.stats().unwrap().event_bytes, counted);
    assert!(store.check().unwrap().is_clean());
}

#[test]
fn the_limit_holds_at_every_moment_while_the_load_goes_on() {
    const MAX: u64 = 1_000_000;
    let store = Arc::new(limited(MAX, &[]));
    let stop = Arc::new(AtomicBool::new(false));
    let looker = {
        let (store, stop) = (Arc::clone(&store), Arc::clone(&stop));
        thread::spawn(move || {
            let mut largest = 0;
            while !stop.load(Ordering::Relaxed) {
                largest = largest.max(store.stats().unwrap().event_bytes);
            }
            largest
        })
    };
    let writers: Vec<_> = (1..=2_u8)
        .map(|by| {
            let store = Arc::clone(&store);
            thread::spawn(move || {
                for batch in 0..150 {
                    let notes: Vec<_> = (0..20)
                        .map(|n| note(by, NOW - n, &format!("{batch} {}", "x".repeat(700))))
                        .collect();
                    store.put_batch(&notes, NOW).unwrap();
                }
            })
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    stop.store(true, Ordering::Relaxed);
    let largest = looker.join().unwrap();
    let end = store.stats().unwrap();
    assert!(largest <= MAX, "{largest}");
    assert!(end.event_bytes > MAX * 19 / 20 && end.evicted > 1_000, "{end:?}");
    assert!(store.check().unwrap().is_clean());
}
