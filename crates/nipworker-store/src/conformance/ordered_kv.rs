//! What an [`OrderedKv`] must do.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use crate::{Direction, KeyRange, KvError, KvSnapshot, OrderedKv, WriteBatch};

use super::Rng;

/// Makes a fresh, empty instance.
pub type Make<'m> = &'m dyn Fn() -> Box<dyn OrderedKv>;

fn write(kv: &dyn OrderedKv, entries: &[(&str, &str)]) {
    let mut batch = WriteBatch::new();
    for (key, value) in entries {
        batch.put(*key, *value);
    }
    kv.commit(&batch).unwrap();
}

fn range(start: &str, end: &str) -> KeyRange {
    KeyRange { start: start.into(), end: end.into() }
}

fn keys(snapshot: &dyn KvSnapshot, range: KeyRange, direction: Direction) -> Vec<String> {
    let mut cursor = snapshot.scan(range, direction).unwrap();
    let mut keys = Vec::new();
    while let Some((key, _)) = cursor.advance().unwrap() {
        keys.push(String::from_utf8(key.to_vec()).unwrap());
    }
    keys
}

/// A value is there after the commit, a removed one is not.
pub fn what_is_committed_is_read_back(make: Make<'_>) {
    let kv = make();
    assert_eq!(kv.snapshot().unwrap().get(b"a").unwrap(), None);
    write(&*kv, &[("a", "1"), ("b", "")]);
    let snapshot = kv.snapshot().unwrap();
    assert_eq!(snapshot.get(b"a").unwrap(), Some(b"1".to_vec()));
    assert_eq!(snapshot.get(b"b").unwrap(), Some(Vec::new()));
    assert_eq!(snapshot.get(b"").unwrap(), None);
    drop(snapshot);
    let mut batch = WriteBatch::new();
    batch.delete("a");
    batch.delete("never there");
    batch.put("b", "2");
    kv.commit(&batch).unwrap();
    let snapshot = kv.snapshot().unwrap();
    assert_eq!(snapshot.get(b"a").unwrap(), None);
    assert_eq!(snapshot.get(b"b").unwrap(), Some(b"2".to_vec()));
}

/// Making the file smaller changes nothing that is read, and writing goes on after it. While a
/// snapshot is in use it may be refused; then nothing has happened.
pub fn compaction_changes_nothing_that_is_read(make: Make<'_>) {
    let kv = make();
    let all = range("", "~");
    for round in 0..40 {
        let mut batch = WriteBatch::new();
        for number in 0..50 {
            batch.put(format!("{number:03}"), vec![round; 500]);
            if number % 2 == 0 {
                batch.delete(format!("{number:03}"));
            }
        }
        kv.commit(&batch).unwrap();
    }
    let before = keys(&*kv.snapshot().unwrap(), all.clone(), Direction::Forward);
    assert_eq!(before.len(), 25);
    let snapshot = kv.snapshot().unwrap();
    if let Err(error) = kv.compact() {
        assert!(matches!(error, KvError::Unavailable { .. }), "{error}");
    }
    assert_eq!(keys(&*snapshot, all.clone(), Direction::Forward), before);
    drop(snapshot);
    let size = || kv.stats().unwrap().disk_bytes;
    let was = size();
    kv.compact().unwrap();
    assert!(size() <= was, "{:?} bytes after, {was:?} before", size());
    assert_eq!(keys(&*kv.snapshot().unwrap(), all.clone(), Direction::Forward), before);
    assert_eq!(kv.snapshot().unwrap().get(b"001").unwrap(), Some(vec![39; 500]));
    write(&*kv, &[("zzz", "later")]);
    assert_eq!(keys(&*kv.snapshot().unwrap(), all, Direction::Forward).len(), 26);
}

/// All changes of a batch appear together.
pub fn a_batch_is_applied_as_a_whole_and_its_last_change_counts(make: Make<'_>) {
    let kv = make();
    let mut batch = WriteBatch::new();
    batch.put("a", "1");
    batch.put("a", "2");
    batch.put("b", "1");
    batch.delete("b");
    batch.delete("c");
    batch.put("c", "3");
    kv.commit(&batch).unwrap();
    kv.commit(&WriteBatch::new()).unwrap();
    let snapshot = kv.snapshot().unwrap();
    assert_eq!(keys(&*snapshot, range("", "z"), Direction::Forward), ["a", "c"]);
    assert_eq!(snapshot.get(b"a").unwrap(), Some(b"2".to_vec()));
}

/// Byte order, where a prefix comes before what it begins.
pub fn keys_are_in_the_order_of_their_bytes(make: Make<'_>) {
    let kv = make();
    let mut batch = WriteBatch::new();
    let sorted: [&[u8]; 7] = [b"\0", b"\0\0", b"a", b"a\0", b"b", b"\x7f", b"\xff\xfe"];
    for key in sorted.iter().rev() {
        batch.put(*key, *key);
    }
    kv.commit(&batch).unwrap();
    let snapshot = kv.snapshot().unwrap();
    let everything = KeyRange { start: Vec::new(), end: vec![u8::MAX; 3] };
    let mut cursor = snapshot.scan(everything, Direction::Forward).unwrap();
    for expected in sorted {
        assert_eq!(cursor.advance().unwrap(), Some((expected, expected)));
    }
    assert_eq!(cursor.advance().unwrap(), None);
}

/// The start belongs to a range, the end does not.
pub fn a_scan_keeps_to_its_range_both_ways(make: Make<'_>) {
    let kv = make();
    write(&*kv, &[("a", ""), ("b", ""), ("ba", ""), ("c", ""), ("d", "")]);
    let snapshot = kv.snapshot().unwrap();
    assert_eq!(keys(&*snapshot, range("b", "d"), Direction::Forward), ["b", "ba", "c"]);
    assert_eq!(keys(&*snapshot, range("b", "d"), Direction::Backward), ["c", "ba", "b"]);
    assert_eq!(keys(&*snapshot, KeyRange::prefix(b"b"), Direction::Forward), ["b", "ba"]);
    assert_eq!(keys(&*snapshot, range("e", "z"), Direction::Backward), [""; 0]);
}

/// A range that no key fits into is empty, not an error.
pub fn an_empty_or_reversed_range_has_no_entries(make: Make<'_>) {
    let kv = make();
    write(&*kv, &[("a", ""), ("b", ""), ("c", "")]);
    let snapshot = kv.snapshot().unwrap();
    for direction in [Direction::Forward, Direction::Backward] {
        assert_eq!(keys(&*snapshot, range("b", "b"), direction), [""; 0]);
        assert_eq!(keys(&*snapshot, range("c", "a"), direction), [""; 0]);
    }
}

/// The end of a cursor is its end for good.
pub fn a_cursor_stays_at_its_end(make: Make<'_>) {
    let kv = make();
    write(&*kv, &[("a", "1")]);
    let snapshot = kv.snapshot().unwrap();
    let mut cursor = snapshot.scan(range("a", "z"), Direction::Forward).unwrap();
    assert!(cursor.advance().unwrap().is_some());
    for _ in 0..3 {
        assert!(cursor.advance().unwrap().is_none());
    }
}

/// A snapshot shows its moment: values, absences and ranges.
pub fn a_snapshot_does_not_see_later_commits(make: Make<'_>) {
    let kv = make();
    write(&*kv, &[("a", "1"), ("b", "1")]);
    let before = kv.snapshot().unwrap();
    let mut batch = WriteBatch::new();
    batch.put("a", "2");
    batch.delete("b");
    batch.put("c", "2");
    kv.commit(&batch).unwrap();
    let after = kv.snapshot().unwrap();
    assert_eq!(before.get(b"a").unwrap(), Some(b"1".to_vec()));
    assert_eq!(keys(&*before, range("a", "z"), Direction::Forward), ["a", "b"]);
    assert_eq!(after.get(b"a").unwrap(), Some(b"2".to_vec()));
    assert_eq!(keys(&*after, range("a", "z"), Direction::Backward), ["c", "a"]);
    drop(before);
    write(&*kv, &[("d", "3")]);
    assert_eq!(keys(&*after, range("a", "z"), Direction::Forward), ["a", "c"]);
}

/// Reading half a range and then committing works on one and the same thread.
pub fn a_snapshot_and_its_cursor_do_not_hold_up_commits(make: Make<'_>) {
    let kv = make();
    let mut batch = WriteBatch::new();
    for number in 0..1_000_u32 {
        batch.put(number.to_be_bytes(), "old");
    }
    kv.commit(&batch).unwrap();
    let snapshot = kv.snapshot().unwrap();
    let everything = KeyRange { start: Vec::new(), end: vec![u8::MAX; 5] };
    let mut cursor = snapshot.scan(everything, Direction::Forward).unwrap();
    for number in 0..1_000_u32 {
        if number % 100 == 0 {
            let mut batch = WriteBatch::new();
            batch.put((number + 50).to_be_bytes(), "new");
            batch.delete((number + 51).to_be_bytes());
            kv.commit(&batch).unwrap();
        }
        let (key, value) = cursor.advance().unwrap().unwrap();
        assert_eq!((key, value), (&number.to_be_bytes()[..], &b"old"[..]));
    }
    assert!(cursor.advance().unwrap().is_none());
}

/// Ten thousand keys in one batch, and a value of a million bytes.
pub fn large_values_and_many_keys_are_read_back(make: Make<'_>) {
    let kv = make();
    let mut batch = WriteBatch::new();
    for number in 0..10_000_u32 {
        batch.put(number.to_be_bytes(), number.to_le_bytes());
    }
    let large: Vec<u8> = (0..1_000_000_u32).map(|i| i as u8).collect();
    batch.put("large", large.clone());
    batch.put(vec![b'k'; 500], "long key");
    kv.commit(&batch).unwrap();
    let snapshot = kv.snapshot().unwrap();
    assert_eq!(snapshot.get(b"large").unwrap(), Some(large));
    assert_eq!(snapshot.get(&[b'k'; 500]).unwrap(), Some(b"long key".to_vec()));
    let range = KeyRange { start: vec![0], end: vec![1] };
    for direction in [Direction::Forward, Direction::Backward] {
        let mut cursor = snapshot.scan(range.clone(), direction).unwrap();
        for step in 0..10_000_u32 {
            let number = if direction == Direction::Forward { step } else { 9_999 - step };
            let (key, value) = cursor.advance().unwrap().unwrap();
            assert_eq!(key, number.to_be_bytes());
            assert_eq!(value, number.to_le_bytes());
        }
        assert!(cursor.advance().unwrap().is_none());
    }
}

/// While one thread commits pairs, others never see half a pair.
pub fn concurrent_readers_see_whole_commits_only(make: Make<'_>) {
    let kv = make();
    write(&*kv, &[("left", "0"), ("right", "0")]);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Acquire) {
                    let snapshot = kv.snapshot().unwrap();
                    let left = snapshot.get(b"left").unwrap();
                    let mut cursor = snapshot.scan(range("r", "s"), Direction::Forward).unwrap();
                    let right = cursor.advance().unwrap().map(|(_, value)| value.to_vec());
                    assert_eq!(left, right);
                }
            });
        }
        for number in 1..=50 {
            let number = number.to_string();
            write(&*kv, &[("left", &number), ("right", &number)]);
        }
        done.store(true, Ordering::Release);
    });
    assert_eq!(kv.snapshot().unwrap().get(b"left").unwrap(), Some(b"50".to_vec()));
}

/// Random batches over few keys, compared with a map after each commit, and once more through
/// snapshots that were taken on the way.
pub fn random_changes_agree_with_a_map(make: Make<'_>) {
    for seed in 0..10 {
        let mut rng = Rng::new(seed);
        let kv = make();
        let mut map: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        let mut remembered = Vec::new();
        for _ in 0..20 {
            let mut batch = WriteBatch::new();
            for _ in 0..rng.below(12) {
                let key = random_key(&mut rng);
                if rng.one_in(3) {
                    batch.delete(key.clone());
                    map.remove(&key);
                } else {
                    let value = rng.next_u64().to_be_bytes().to_vec();
                    batch.put(key.clone(), value.clone());
                    map.insert(key, value);
                }
            }
            kv.commit(&batch).unwrap();
            let snapshot = kv.snapshot().unwrap();
            agree(&*snapshot, &map, &mut rng, seed);
            if rng.one_in(4) {
                remembered.push((snapshot, map.clone()));
            }
            if rng.one_in(6) && !remembered.is_empty() {
                let (snapshot, map) = remembered.swap_remove(rng.below(remembered.len()));
                agree(&*snapshot, &map, &mut rng, seed);
            }
        }
        for (snapshot, map) in &remembered {
            agree(&**snapshot, map, &mut rng, seed);
        }
    }
}

fn random_key(rng: &mut Rng) -> Vec<u8> {
    (0..=rng.below(3)).map(|_| *rng.pick(&[0, 1, b'a', 255])).collect()
}

fn agree(snapshot: &dyn KvSnapshot, map: &BTreeMap<Vec<u8>, Vec<u8>>, rng: &mut Rng, seed: u64) {
    let (start, end) = (random_key(rng), random_key(rng));
    for direction in [Direction::Forward, Direction::Backward] {
        let mut expected: Vec<_> = if start < end {
            map.range::<[u8], _>((Bound::Included(&start[..]), Bound::Excluded(&end[..]))).collect()
        } else {
            Vec::new()
        };
        if direction == Direction::Backward {
            expected.reverse();
        }
        let range = KeyRange { start: start.clone(), end: end.clone() };
        let mut cursor = snapshot.scan(range, direction).unwrap();
        for (key, value) in expected {
            let entry = cursor.advance().unwrap();
            assert_eq!(entry, Some((&key[..], &value[..])), "seed {seed}");
        }
        assert_eq!(cursor.advance().unwrap(), None, "seed {seed}");
    }
    let key = random_key(rng);
    assert_eq!(snapshot.get(&key).unwrap().as_ref(), map.get(&key), "seed {seed}");
}
