//! What cannot be opened says why, and what is damaged is set aside, never deleted.

#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use nipworker_protocol::Filter;
use nipworker_store::{
    EventStore, KvStore, OrderedKv, PageRequest, StoreError, WriteBatch,
    conformance::{
        durable::damage::{harmed, varied_events},
        samples,
    },
};
use nipworker_store_sled::{OpenError, SledKv, SledOptions, open_store, set_aside};

/// Events of the store that is damaged.
const EVENTS: usize = 300;

fn open(path: &Path) -> Result<KvStore, OpenError> {
    open_store(path, SledOptions::default())
}

/// A closed store with a few hundred events.
fn filled(path: &Path) {
    let store = open(path).unwrap();
    let events = varied_events(EVENTS as i64);
    let mut batches = events.chunks(10);
    for batch in batches.by_ref().take(15) {
        store.put_batch(batch, samples::NOW).unwrap();
    }
    // The second opening begins with a summary of the log so far.
    drop(store);
    let store = open(path).unwrap();
    for batch in batches {
        store.put_batch(batch, samples::NOW).unwrap();
    }
}

#[test]
fn a_missing_folder_is_created() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/events.sled");
    open(&path).unwrap();
    assert!(path.is_dir());
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    let error = open(&file.join("events.sled")).err().unwrap();
    assert!(matches!(error, OpenError::Unwritable { .. }), "{error:?}");
    assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
    assert!(!error.may_be_set_aside());
    let error = open(&file).err().unwrap();
    assert!(matches!(error, OpenError::Unwritable { .. }), "a file itself: {error:?}");
    let error = open(Path::new("/proc/nipworker/events.sled")).err().unwrap();
    assert!(matches!(error, OpenError::Unwritable { .. }), "{error:?}");
}

#[test]
fn a_second_opening_is_refused_while_the_first_lasts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.sled");
    let first = open(&path).unwrap();
    let error = open(&path).err().unwrap();
    assert!(matches!(error, OpenError::AlreadyOpen { .. }), "{error:?}");
    assert!(!error.may_be_set_aside());
    drop(first);
    open(&path).unwrap();
}

#[test]
fn a_database_with_other_trees_is_refused_and_not_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.sled");
    let other = sled::open(&path).unwrap();
    other.open_tree("theirs").unwrap().insert("a", "b").unwrap();
    other.flush().unwrap();
    drop(other);
    // sled gives its lock back a moment after the database is gone.
    let end = Instant::now() + Duration::from_secs(10);
    let error = loop {
        match open(&path).err().unwrap() {
            OpenError::AlreadyOpen { .. } if Instant::now() < end => std::thread::yield_now(),
            error => break error,
        }
    };
    assert!(matches!(error, OpenError::Store { source: StoreError::Foreign, .. }), "{error:?}");
    assert!(!error.may_be_set_aside());
}

#[test]
fn a_store_of_a_later_release_is_refused_and_not_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.sled");
    let kv = SledKv::open(&path, SledOptions::default()).unwrap();
    let mut batch = WriteBatch::new();
    batch.put("Mschema", 99_u32.to_be_bytes());
    kv.commit(&batch).unwrap();
    drop(kv);
    let error = open(&path).err().unwrap();
    assert!(
        matches!(
            error,
            OpenError::Store { source: StoreError::SchemaTooNew { found: 99, .. }, .. }
        ),
        "{error:?}"
    );
    assert!(!error.may_be_set_aside());
}

#[test]
fn what_is_set_aside_is_renamed_and_a_fresh_store_takes_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.sled");
    for (round, name) in
        ["events.sled.corrupt-1700000000", "events.sled.corrupt-1700000000-1"].iter().enumerate()
    {
        let rubbish = format!("rubbish of round {round}");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("db"), &rubbish).unwrap();
        fs::write(path.join("conf"), &rubbish).unwrap();
        let error = open(&path).err().unwrap();
        assert!(matches!(error, OpenError::Corrupt { .. }), "{error:?}");
        assert!(error.may_be_set_aside());
        let quarantine = set_aside(&path, samples::NOW).unwrap();
        assert_eq!(quarantine.from, path);
        assert_eq!(quarantine.to, folder.path().join(name));
        assert_eq!(fs::read_to_string(quarantine.to.join("db")).unwrap(), rubbish);
        assert!(!path.exists());
    }
    let store = open(&path).unwrap();
    assert_eq!(
        store.put_batch(&[samples::note(1, samples::NOW, "")], samples::NOW).unwrap().len(),
        1
    );
    assert!(set_aside(folder.path().join("not there"), 0).is_err());
}

/// What became of a damaged store.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    /// Every event is there and `check` is content.
    Whole,
    /// An error or `check` told of the damage.
    Noticed,
    /// `check` is content, but events are missing.
    Silent,
}

/// Reads, checks and writes; only typed errors may come of it.
fn use_it(path: &Path) -> Fate {
    let store = match open(path) {
        Ok(store) => store,
        Err(OpenError::Format { detail, .. }) => {
            assert!(!detail.is_empty());
            return Fate::Noticed;
        }
        Err(error) => {
            assert!(error.may_be_set_aside(), "{error:?}");
            return Fate::Noticed;
        }
    };
    let now = samples::NOW;
    let mut events = 0;
    let used = (|| {
        let mut request = PageRequest::first(50);
        loop {
            let page = store.query(&[Filter::new()], &request, now)?;
            events += page.events.len();
            request.after = page.next;
            if request.after.is_none() {
                break;
            }
        }
        let report = store.check()?;
        store.put_batch(&[samples::note(9, now, "more")], now)?;
        Ok::<_, StoreError>(report.is_clean())
    })();
    match used {
        Ok(true) if events == EVENTS => Fate::Whole,
        Ok(true) => Fate::Silent,
        Ok(false) | Err(_) => Fate::Noticed,
    }
}

fn copy(from: &Path, to: &Path) {
    drop(fs::remove_dir_all(to));
    fs::create_dir_all(to.join("blobs")).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

#[test]
fn flipped_bytes_cut_ends_and_holes_give_errors_and_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole.sled");
    filled(&whole);
    let bytes = fs::read(whole.join("db")).unwrap();
    let damaged = folder.path().join("damaged.sled");
    let mut fates: BTreeMap<Fate, usize> = BTreeMap::new();
    for seed in 0..60 {
        let log = harmed(&bytes, seed, None);
        copy(&whole, &damaged);
        fs::write(damaged.join("db"), &log).unwrap();
        *fates.entry(use_it(&damaged)).or_default() += 1;
    }
    assert_eq!(fates.get(&Fate::Silent), None, "{fates:?}");
    assert!(fates[&Fate::Noticed] >= 20, "{fates:?}");
    copy(&whole, &damaged);
    assert_eq!(use_it(&damaged), Fate::Whole);
}
