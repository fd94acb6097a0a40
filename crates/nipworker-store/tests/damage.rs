//! Damage is found by the check, told as a typed error by queries, and never a panic.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use nipworker_protocol::{Event, Filter, Verified};
use nipworker_store::{
    CHECK_PROBLEMS_KEPT, Direction, EVENT_JSON_BYTES_MAX, EventStore, KeyRange, KvStore, MemoryKv,
    OrderedKv, PageRequest, PutOutcome, StoreError, WriteBatch,
    conformance::samples::{NOW, event, note},
};

/// A store and the backend under it, to tamper with.
fn opened() -> (KvStore, Arc<MemoryKv>) {
    let kv = Arc::new(MemoryKv::new());
    // What is damaged behind its back must not be answered from memory.
    (KvStore::open_shared(kv.clone()).unwrap().with_recent_bytes(0), kv)
}

fn sample() -> Vec<Verified<Event>> {
    let expires = (NOW + 100).to_string();
    vec![
        event(1, NOW, 1, &[&["t", "x"], &["expiration", &expires]], "one"),
        event(1, NOW - 1, 30_023, &[&["d", "y"]], "two"),
        note(2, NOW - 2, "three"),
    ]
}

fn all_keys(kv: &MemoryKv) -> Vec<(Vec<u8>, Vec<u8>)> {
    let snapshot = kv.snapshot().unwrap();
    let everything = KeyRange { start: Vec::new(), end: vec![u8::MAX; 8] };
    let mut cursor = snapshot.scan(everything, Direction::Forward).unwrap();
    let mut keys = Vec::new();
    while let Some((key, value)) = cursor.advance().unwrap() {
        keys.push((key.to_vec(), value.to_vec()));
    }
    keys
}

fn change(kv: &MemoryKv, key: &[u8], value: Option<&[u8]>) {
    let mut batch = WriteBatch::new();
    match value {
        Some(value) => batch.put(key, value),
        None => batch.delete(key),
    }
    kv.commit(&batch).unwrap();
}

#[test]
fn the_check_notices_every_single_entry_that_is_missing() {
    let (store, kv) = opened();
    store.put_batch(&sample(), NOW).unwrap();
    assert!(store.check().unwrap().is_clean());
    let entries = all_keys(&kv);
    // Three events, 4 entries each, one tag each for two of them, an address, an expiry, three
    // numbers about the store.
    assert_eq!(entries.len(), 3 + 3 * 4 + 2 + 1 + 1 + 3);
    for (key, value) in &entries {
        change(&kv, key, None);
        let is_schema = key.starts_with(b"Mschema");
        let report = store.check().unwrap();
        assert_eq!(report.is_clean(), is_schema, "without {}", key.escape_ascii());
        change(&kv, key, Some(value));
    }
    assert!(store.check().unwrap().is_clean());
}

#[test]
fn the_check_notices_stray_entries_altered_events_and_what_should_be_gone() {
    let (store, kv) = opened();
    store.put_batch(&sample(), NOW).unwrap();
    let entries = all_keys(&kv);
    let (event_key, event_value) = entries.iter().find(|(key, _)| key[0] == b'E').unwrap();
    let other_event = &entries.iter().rfind(|(key, _)| key[0] == b'E').unwrap().1;
    let altered = [&event_value[..event_value.len() - 3], b"uno"].concat();
    let mut later = event_value.clone();
    // The expiration time, behind the 140 bytes that every event has.
    later[140] ^= 1;
    let address = &entries.iter().find(|(key, _)| key[0] == b'R').unwrap().0;
    let deleted_address = [b"G", &address[1..]].concat();
    let id = *sample()[0].id.as_bytes();
    let deleted_id = [&b"D"[..], &id, sample()[0].pubkey.as_bytes()].concat();
    for (key, value, told) in [
        (&b"Kstray"[..], &b""[..], "index entries"),
        (event_key, &altered, "does not match"),
        (event_key, &later, "expiration time"),
        (event_key, &event_value[..40], "cut short"),
        (event_key, other_event, "stands where"),
        (event_key, b"\x09unknown format", "has format 9"),
        (event_key, b"", "cut short"),
        (address, b"another place", "names another"),
        (b"Mevents", b"12345678", "counter"),
        (b"Mevents", b"short", "counter"),
        (b"Mbytes", b"12345678", "byte counter"),
        (&deleted_id, b"", "author deleted it"),
        (&deleted_address, &NOW.to_be_bytes(), "address was deleted"),
    ] {
        let before = entries.iter().find(|(known, _)| known == key).map(|(_, value)| &value[..]);
        change(&kv, key, Some(value));
        let report = store.check().unwrap();
        assert!(
            report.problems.iter().any(|problem| problem.contains(told)),
            "{told:?} is not in {:?}",
            report.problems
        );
        change(&kv, key, before);
    }
    assert!(store.check().unwrap().is_clean());
}

#[test]
fn a_check_of_much_damage_spells_out_a_bounded_part_and_counts_all() {
    let (store, kv) = opened();
    let events: Vec<_> = (0..200).map(|n| note(1, NOW - n, "")).collect();
    store.put_batch(&events, NOW).unwrap();
    for (key, _) in all_keys(&kv).iter().filter(|(key, _)| key[0] == b'K') {
        change(&kv, key, None);
    }
    let report = store.check().unwrap();
    assert_eq!(report.problems.len(), CHECK_PROBLEMS_KEPT);
    assert_eq!(report.problem_count, 200);
}

#[test]
fn calls_that_meet_damage_say_so() {
    let (store, kv) = opened();
    let events = sample();
    store.put_batch(&events, NOW).unwrap();
    for (key, _) in all_keys(&kv).iter().filter(|(key, _)| key[0] == b'E') {
        change(&kv, key, None);
    }
    let damaged = |error: StoreError| {
        assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
        assert!(!error.is_transient() && !error.is_fatal());
    };
    let filter = [Filter::new().kinds([1])];
    damaged(store.query(&filter, &PageRequest::default(), NOW).unwrap_err());
    // A count reads events only where no index says enough.
    assert_eq!(store.count(&filter, NOW).unwrap(), 2);
    let both = [Filter::new().tag('t', ["x"]).authors([events[0].pubkey])];
    damaged(store.count(&both, NOW).unwrap_err());
    damaged(store.get(&events[0].id, NOW).unwrap_err());
    damaged(store.sweep_expired(NOW + 100).unwrap_err());
    let request = event(1, NOW, 5, &[&["e", &events[0].id.to_hex()]], "");
    let newer = event(1, NOW, 30_023, &[&["d", "y"]], "newer");
    for event in [request, newer] {
        damaged(store.put_batch(&[note(3, NOW, "fine"), event], NOW).unwrap_err());
    }
    assert_eq!(
        store.get(&note(3, NOW, "fine").id, NOW).unwrap(),
        None,
        "a batch that failed was taken in by half"
    );
    change(&kv, b"Mevents", Some(b"odd"));
    damaged(store.stats().unwrap_err());
    damaged(store.put_batch(&[note(4, NOW, "")], NOW).unwrap_err());
}

#[test]
fn a_later_schema_and_other_peoples_data_are_refused() {
    let kv = Arc::new(MemoryKv::new());
    change(&kv, b"Mschema", Some(&3_u32.to_be_bytes()));
    let error = KvStore::open_shared(kv.clone()).err().unwrap();
    assert!(matches!(error, StoreError::SchemaTooNew { found: 3, supported: 2 }), "{error:?}");
    change(&kv, b"Mschema", Some(b"?"));
    assert!(matches!(KvStore::open_shared(kv).err().unwrap(), StoreError::Damaged { .. }));
    let kv = Arc::new(MemoryKv::new());
    change(&kv, b"other", Some(b"data"));
    assert!(matches!(KvStore::open_shared(kv).err().unwrap(), StoreError::Foreign));
}

#[test]
fn an_opened_store_opens_again_with_its_content() {
    let (store, kv) = opened();
    store.put_batch(&sample(), NOW).unwrap();
    drop(store);
    let store = KvStore::open_shared(kv).unwrap();
    assert_eq!(store.stats().unwrap().events, 3);
    assert!(store.check().unwrap().is_clean());
}

#[test]
fn an_event_over_the_size_limit_is_invalid_and_the_rest_of_its_batch_is_kept() {
    let (store, _) = opened();
    let huge = note(1, NOW, &"x".repeat(EVENT_JSON_BYTES_MAX));
    let outcomes = store.put_batch(&[huge, note(1, NOW, "small")], NOW).unwrap();
    assert!(
        matches!(&outcomes[0], PutOutcome::Invalid { reason } if reason.contains("16777216")),
        "{:?}",
        outcomes[0]
    );
    assert_eq!(outcomes[1], PutOutcome::Stored);
    assert!(store.check().unwrap().is_clean());
}
