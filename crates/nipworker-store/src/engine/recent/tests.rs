use nipworker_protocol::Filter;

use crate::{
    EventStore, KvStore, MemoryKv, OrderedKv, PageRequest,
    conformance::{
        agree_with_the_naive_store,
        samples::{NOW, author, event, note},
    },
};

use super::*;

const PLENTY: usize = 1024 * 1024;

/// `count` notes of three authors on a backend, the newest at [`NOW`].
fn filled(count: i64) -> MemoryKv {
    let kv = MemoryKv::new();
    let store = KvStore::open(kv.clone()).unwrap();
    let notes: Vec<_> = (0..count).map(|n| note((n % 3) as u8, NOW - n, "x")).collect();
    store.put_batch(&notes, NOW).unwrap();
    kv
}

fn loaded(kv: &MemoryKv, bytes_max: usize) -> Recent {
    let recent = Recent::new(bytes_max);
    load(&recent, kv);
    recent
}

fn load(recent: &Recent, kv: &MemoryKv) {
    let version = recent.version().unwrap();
    recent.load(&*kv.snapshot().unwrap(), version).unwrap();
}

fn page(recent: &Recent, filter: Filter) -> Result<usize, Miss> {
    let request = PageRequest::default();
    recent.page(&[filter], &request, request.max_events, NOW).map(|page| page.events.len())
}

#[test]
fn what_is_loaded_answers_and_what_lies_behind_it_does_not() {
    let kv = filled(3 * LOADED_AT_ONCE as i64);
    let recent = loaded(&kv, PLENTY);
    let any = Filter::new;
    assert_eq!(page(&recent, any().limit(LOADED_AT_ONCE)), Ok(LOADED_AT_ONCE));
    assert_eq!(page(&recent, any().limit(LOADED_AT_ONCE + 1)), Err(Miss::NotHere));
    assert_eq!(page(&recent, any().authors([author(1)]).limit(20)), Ok(20));
    assert_eq!(page(&recent, any().authors([author(1), author(2)]).kinds([1]).limit(20)), Ok(20));
    assert_eq!(page(&recent, any().kinds([1, 6]).limit(20)), Ok(20));
    // Of an author or a kind that is not among the newest nothing is known.
    assert_eq!(page(&recent, any().authors([author(9)]).limit(1)), Err(Miss::NotHere));
    assert_eq!(page(&recent, any().kinds([7]).limit(1)), Err(Miss::NotHere));
    // A window of time that ends before what is loaded does is known as a whole.
    assert_eq!(page(&recent, any().since(NOW - 9)), Ok(10));
    assert_eq!(page(&recent, any().kinds([7]).since(NOW - 9)), Ok(0));
    assert_eq!(page(&recent, any().until(NOW - 5_000).limit(1)), Err(Miss::NotHere));
    let ids = any().ids([note(0, NOW, "x").id]);
    assert_eq!(page(&recent, ids), Err(Miss::Never));
    assert_eq!(page(&recent, any().tag('t', ["x"])), Err(Miss::Never));
    for _ in 0..3 {
        load(&recent, &kv);
    }
    assert_eq!(page(&recent, any()), Ok(3 * LOADED_AT_ONCE));
    assert_eq!(page(&recent, any().kinds([7])), Ok(0));
}

#[test]
fn what_is_put_is_kept_from_the_beginning_and_what_was_there_comes_when_it_is_asked_for() {
    let fresh = KvStore::open(MemoryKv::new()).unwrap();
    let notes: Vec<_> = (0..10).map(|n| note(1, NOW - n, "x")).collect();
    fresh.put_batch(&notes, NOW).unwrap();
    assert_eq!(fresh.recent_answers(&Filter::new(), NOW), Some(10));

    let kv = filled(10);
    let store = KvStore::open(kv).unwrap();
    let new = note(4, NOW + 1, "new");
    store.put_batch(&[new, note(4, NOW - 100, "old")], NOW).unwrap();
    assert_eq!(store.recent_answers(&Filter::new().limit(1), NOW), Some(1));
    assert_eq!(store.recent_answers(&Filter::new().limit(2), NOW), None);
    assert_eq!(
        store.query(&[Filter::new()], &PageRequest::default(), NOW).unwrap().events.len(),
        12
    );
    assert_eq!(store.recent_answers(&Filter::new(), NOW), Some(12));
}

#[test]
fn the_memory_is_bounded_and_keeps_the_newest() {
    let kv = filled(500);
    let entry = Entry::new(note(0, NOW, "x").pack().into_inner()).cost();
    let recent = loaded(&kv, 100 * entry);
    (0..4).for_each(|_| load(&recent, &kv));
    let held = || recent.inner.read().unwrap().all.len();
    assert_eq!(held(), 100);
    assert_eq!(page(&recent, Filter::new().limit(100)), Ok(100));
    assert_eq!(page(&recent, Filter::new().limit(101)), Err(Miss::NotHere));
    // More does not come in, and does not push out what is newer.
    load(&recent, &kv);
    assert_eq!(held(), 100);
    let inner = recent.inner.read().unwrap();
    assert_eq!(inner.bytes, inner.all.iter().map(|entry| entry.cost()).sum::<usize>());
    let by_author: usize = inner.by_author.values().map(List::len).sum();
    let by_kind: usize = inner.by_kind.values().map(List::len).sum();
    assert_eq!((by_author, by_kind), (100, 100));
}

#[test]
fn what_was_read_before_a_commit_is_not_taken_over_after_it() {
    let kv = filled(10);
    let recent = Recent::new(PLENTY);
    let version = recent.version().unwrap();
    let before = kv.snapshot().unwrap();
    recent.apply(&WriteBatch::new());
    recent.load(&*before, version).unwrap();
    assert_eq!(recent.inner.read().unwrap().floor, Floor::Unknown);
    load(&recent, &kv);
    assert_eq!(recent.inner.read().unwrap().floor, Floor::None);
}

#[test]
fn nothing_is_answered_from_memory_after_a_commit_of_unknown_outcome() {
    let kv = filled(10);
    let recent = loaded(&kv, PLENTY);
    assert_eq!(page(&recent, Filter::new()), Ok(10));
    recent.forget();
    assert_eq!(page(&recent, Filter::new()), Err(Miss::NotHere));
    load(&recent, &kv);
    assert_eq!(page(&recent, Filter::new()), Ok(10));
}

#[test]
fn what_cannot_be_read_is_told_by_the_database() {
    let kv = filled(3);
    let mut batch = WriteBatch::new();
    let place = Position { created_at: NOW + 1, id: note(9, 0, "").id };
    batch.put(keys::event(place), b"rubbish");
    kv.commit(&batch).unwrap();
    let store = KvStore::open(kv).unwrap();
    let all = [Filter::new()];
    assert!(store.query(&all, &PageRequest::default(), NOW).is_err());
    let older = [Filter::new().until(NOW)];
    assert_eq!(store.query(&older, &PageRequest::default(), NOW).unwrap().events.len(), 3);
}

#[test]
fn a_store_with_little_memory_for_the_newest_agrees_with_its_naive_twin() {
    let entry = Entry::new(event(1, NOW, 1, &[], "1").pack().into_inner()).cost();
    for entries in [1, 3, 8] {
        agree_with_the_naive_store(
            &|| -> Box<dyn EventStore> {
                let store = KvStore::open(MemoryKv::new()).unwrap();
                Box::new(store.with_recent_bytes(entries * entry + entry / 2))
            },
            50_000..50_700,
        );
    }
    agree_with_the_naive_store(
        &|| -> Box<dyn EventStore> {
            Box::new(KvStore::open(MemoryKv::new()).unwrap().with_recent_bytes(0))
        },
        50_000..50_700,
    );
}
