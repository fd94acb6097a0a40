//! What cannot be opened says why, and what is damaged is set aside, never deleted.

#![allow(clippy::unwrap_used)]

use std::{fs, path::Path};

use nipworker_store::{
    EventStore, KvStore, OrderedKv, StoreError, WriteBatch,
    conformance::{Rng, durable::damage, samples},
};
use nipworker_store_redb::{OpenError, RedbKv, RedbOptions, open_store, set_aside};

fn open(path: &Path) -> Result<KvStore, OpenError> {
    open_store(path, RedbOptions::default())
}

#[test]
fn a_missing_folder_is_created() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/events.redb");
    open(&path).unwrap();
    assert!(path.is_file());
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    let error = open(&file.join("events.redb")).err().unwrap();
    assert!(matches!(error, OpenError::Unwritable { .. }), "{error:?}");
    assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
    assert!(!error.may_be_set_aside());
    let error = open(folder.path()).err().unwrap();
    assert!(matches!(error, OpenError::Unwritable { .. }), "a folder itself: {error:?}");
    let error = open(Path::new("/proc/nipworker/events.redb")).err().unwrap();
    assert!(matches!(error, OpenError::Unwritable { .. }), "{error:?}");
}

#[test]
fn a_second_opening_is_refused_while_the_first_lasts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.redb");
    let first = open(&path).unwrap();
    let error = open(&path).err().unwrap();
    assert!(matches!(error, OpenError::AlreadyOpen { .. }), "{error:?}");
    assert!(!error.may_be_set_aside());
    drop(first);
    open(&path).unwrap();
}

#[test]
fn a_file_of_something_else_is_refused_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut rng = Rng::new(7);
    for length in [1, 8, 9, 10, 319, 320, 4_095, 4_096, 70_000, 2_000_000] {
        let path = folder.path().join(format!("{length}.redb"));
        let bytes: Vec<u8> = (0..length).map(|_| rng.next_u64() as u8).collect();
        fs::write(&path, &bytes).unwrap();
        let error = open(&path).err().unwrap();
        assert!(matches!(error, OpenError::Corrupt { .. }), "{length} bytes: {error:?}");
        assert!(error.may_be_set_aside());
        assert_eq!(fs::read(&path).unwrap(), bytes, "{length} bytes: file was changed");
    }
}

#[test]
fn a_database_with_other_tables_is_refused_and_not_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.redb");
    let other = redb::Database::create(&path).unwrap();
    let write = other.begin_write().unwrap();
    let definition: redb::TableDefinition<'_, u64, u64> = redb::TableDefinition::new("theirs");
    write.open_table(definition).unwrap().insert(1, 1).unwrap();
    write.commit().unwrap();
    drop(other);
    let error = open(&path).err().unwrap();
    assert!(matches!(error, OpenError::Store { source: StoreError::Foreign, .. }), "{error:?}");
    assert!(!error.may_be_set_aside());
}

#[test]
fn a_store_of_a_later_release_is_refused_and_not_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.redb");
    let kv = RedbKv::open(&path, RedbOptions::default()).unwrap();
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
    let path = folder.path().join("events.redb");
    for (round, name) in
        ["events.redb.corrupt-1700000000", "events.redb.corrupt-1700000000-1"].iter().enumerate()
    {
        let bytes = format!("rubbish {round}");
        fs::write(&path, &bytes).unwrap();
        assert!(open(&path).err().unwrap().may_be_set_aside());
        let quarantine = set_aside(&path, samples::NOW).unwrap();
        assert_eq!(quarantine.from, path);
        assert_eq!(quarantine.to, folder.path().join(name));
        assert_eq!(fs::read_to_string(&quarantine.to).unwrap(), bytes);
        assert!(!path.exists());
    }
    let store = open(&path).unwrap();
    assert_eq!(
        store.put_batch(&[samples::note(1, samples::NOW, "")], samples::NOW).unwrap().len(),
        1
    );
    assert!(set_aside(folder.path().join("not there"), 0).is_err());
}

#[test]
fn flipped_bytes_cut_ends_and_holes_give_errors_and_no_panic() {
    damage::flipped_bytes_cut_ends_and_holes_give_errors_and_no_panic(&damage::Case {
        open: |path| Ok(Box::new(open(path)?)),
        refusal: |error| assert!(error.may_be_set_aside(), "{error:?}"),
        header_bytes: 512,
        damages: 90,
        noticed_min: 30,
    });
}
