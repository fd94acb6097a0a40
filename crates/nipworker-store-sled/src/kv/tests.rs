//! Snapshots beside commits, sled's own trouble with some keys, and commits that failed.

use nipworker_store::{Direction, KeyRange};

use super::*;

fn open(folder: &Path, snapshot_bytes: usize) -> SledKv {
    let options = SledOptions { snapshot_bytes, ..SledOptions::default() };
    SledKv::open(folder.join("events.sled"), options).unwrap()
}

fn batch(entries: impl IntoIterator<Item = (Vec<u8>, Option<Vec<u8>>)>) -> WriteBatch {
    let mut batch = WriteBatch::new();
    for (key, value) in entries {
        match value {
            Some(value) => batch.put(key, value),
            None => batch.delete(key),
        }
    }
    batch
}

fn keys(snapshot: &dyn KvSnapshot, direction: Direction) -> Vec<Vec<u8>> {
    let range = KeyRange { start: Vec::new(), end: vec![u8::MAX; 20] };
    let mut cursor = snapshot.scan(range, direction).unwrap();
    let mut keys = Vec::new();
    while let Some((key, _)) = cursor.advance().unwrap() {
        keys.push(key.to_vec());
    }
    keys
}

#[test]
fn keys_with_many_bytes_of_255_are_walked_both_ways() {
    let folder = tempfile::tempdir().unwrap();
    let kv = open(folder.path(), SNAPSHOT_BYTES_DEFAULT);
    // As plain keys these make sled panic when it walks backwards.
    let mut expected = Vec::new();
    for start in [&[b'p', 0x7f, 255, 255, 255, 255, 255][..], &[b'p', 0x80]] {
        expected.extend((0..500_u32).map(|n| [start, &n.to_be_bytes()].concat()));
    }
    kv.commit(&batch(expected.iter().map(|key| (key.clone(), Some(vec![7; 40]))))).unwrap();
    let snapshot = kv.snapshot().unwrap();
    assert_eq!(keys(&*snapshot, Direction::Forward), expected);
    expected.reverse();
    assert_eq!(keys(&*snapshot, Direction::Backward), expected);
}

#[test]
fn a_snapshot_that_would_need_too_much_memory_turns_unavailable_and_newer_ones_work() {
    let folder = tempfile::tempdir().unwrap();
    let kv = open(folder.path(), 4_096);
    let value = |n: u8| batch([(b"key".to_vec(), Some(vec![n; 1_000]))]);
    kv.commit(&value(0)).unwrap();
    let old = kv.snapshot().unwrap();
    for n in 1..10 {
        kv.commit(&value(n)).unwrap();
    }
    let error = old.get(b"key").unwrap_err();
    assert!(matches!(error, KvError::Unavailable { .. }), "{error:?}");
    let range = KeyRange::prefix(b"k");
    let error = old.scan(range, Direction::Forward).unwrap().advance().map(drop).unwrap_err();
    assert!(matches!(error, KvError::Unavailable { .. }), "{error:?}");
    assert_eq!(kv.snapshot().unwrap().get(b"key").unwrap(), Some(vec![9; 1_000]));
}

#[test]
fn a_long_walk_shows_its_moment_while_everything_changes_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let kv = open(folder.path(), SNAPSHOT_BYTES_DEFAULT);
    let key = |n: u32| n.to_be_bytes().to_vec();
    kv.commit(&batch((0..3_000).map(|n| (key(2 * n), Some(key(n)))))).unwrap();
    for direction in [Direction::Forward, Direction::Backward] {
        let snapshot = kv.snapshot().unwrap();
        let range = KeyRange { start: Vec::new(), end: vec![u8::MAX; 5] };
        let mut cursor = snapshot.scan(range, direction).unwrap();
        let before = keys(&*kv.snapshot().unwrap(), direction);
        for (step, expected) in before.iter().enumerate() {
            if step % 300 == 10 {
                // Odd keys come, some even ones go and others change.
                let step = step as u32;
                kv.commit(&batch((0..400).map(|n| {
                    let n = (n * 17 + step) % 6_000;
                    (key(n), (n % 2 == 1 || n.is_multiple_of(4)).then(|| key(step)))
                })))
                .unwrap();
            }
            assert_eq!(cursor.advance().unwrap().unwrap().0, expected, "step {step}");
        }
        assert!(cursor.advance().unwrap().is_none());
    }
}

#[test]
fn half_a_commit_is_shown_to_nobody_and_taken_back_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let kv = open(folder.path(), SNAPSHOT_BYTES_DEFAULT);
    let entry = |key: &str, value: &str| (key.into(), Some(value.into()));
    kv.commit(&batch([entry("a", "1"), entry("b", "1")])).unwrap();
    let before = kv.snapshot().unwrap();
    let changes = batch([entry("a", "2"), entry("b", "2"), entry("c", "2")]);
    {
        // A commit that breaks off when half of it is applied.
        let mut writer = kv.writer();
        let slot = kv.shared.read();
        let open = slot.as_ref().unwrap();
        let old = open.old_values("testing", &changes).unwrap();
        open.versions_mut().begin(old.iter().cloned());
        writer.unfinished = Some(old);
        open.db.insert("a", "2").unwrap();
        open.db.insert("c", "2").unwrap();
        open.db.flush().unwrap();
        open.in_doubt.store(true, Ordering::Release);
    }
    let seen = |kv: &SledKv| {
        let snapshot = kv.snapshot().unwrap();
        ["a", "b", "c"].map(|key| snapshot.get(key.as_bytes()).unwrap())
    };
    let one = Some(b"1".to_vec());
    // Before it is opened again, and after that, when nothing is taken back yet.
    assert_eq!(before.get(b"a").unwrap(), one);
    assert_eq!(before.get(b"c").unwrap(), None);
    assert_eq!(seen(&kv), [one.clone(), one.clone(), None]);
    assert!(matches!(before.get(b"a"), Err(KvError::Unavailable { .. })));
    assert_eq!(seen(&kv), [one.clone(), one.clone(), None]);
    kv.commit(&batch([entry("d", "3")])).unwrap();
    assert_eq!(seen(&kv), [one.clone(), one.clone(), None]);
    let path = kv.path().to_owned();
    drop(kv);
    let kv = SledKv::open(path, SledOptions::default()).unwrap();
    assert_eq!(seen(&kv), [one.clone(), one, None]);
    assert_eq!(kv.snapshot().unwrap().get(b"d").unwrap(), Some(b"3".to_vec()));
}

#[test]
fn a_snapshot_that_outlives_the_backend_is_unavailable_and_the_folder_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let kv = open(folder.path(), SNAPSHOT_BYTES_DEFAULT);
    kv.commit(&batch([(b"a".to_vec(), Some(b"1".to_vec()))])).unwrap();
    let snapshot = kv.snapshot().unwrap();
    drop(kv);
    assert!(matches!(snapshot.get(b"a"), Err(KvError::Unavailable { .. })));
    open(folder.path(), SNAPSHOT_BYTES_DEFAULT);
}
