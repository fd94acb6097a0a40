//! What cannot be opened says why, what is damaged is set aside and never deleted, and what is shared is
//! shared.

#![allow(clippy::unwrap_used)]

mod place;

use std::{fs, path::Path, thread};

use nipworker_protocol::Filter;
use nipworker_store::{
    EventStore, PutOutcome, StoreError,
    conformance::{
        Rng,
        durable::damage::{self, varied_events},
        samples,
    },
};
use nipworker_store_sql::{OpenError, SqlOptions, SqlStore, set_aside};
use place::sqlite;

#[test]
fn a_missing_folder_is_created_also_with_an_odd_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a b/ü%20?x=1&mode=ro#y/events.sqlite");
    sqlite(&path).unwrap();
    assert!(path.is_file());
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    for path in
        [&file.join("events.sqlite"), folder.path(), Path::new("/proc/nipworker/events.sqlite")]
    {
        let error = sqlite(path).err().unwrap();
        assert!(matches!(error, OpenError::Unwritable { .. }), "{error:?}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        assert!(!error.may_be_set_aside());
    }
}

#[test]
fn a_file_of_something_else_is_refused_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut rng = Rng::new(7);
    for length in [1, 99, 100, 512, 4_096, 70_000] {
        let path = folder.path().join(format!("{length}.sqlite"));
        let bytes: Vec<u8> = (0..length).map(|_| rng.next_u64() as u8).collect();
        fs::write(&path, &bytes).unwrap();
        let error = sqlite(&path).err().unwrap();
        assert!(matches!(error, OpenError::Corrupt { .. }), "{length} bytes: {error:?}");
        assert!(error.may_be_set_aside());
        assert_eq!(fs::read(&path).unwrap(), bytes, "{length} bytes: file was changed");
    }
}

#[test]
fn a_database_with_other_tables_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.sqlite");
    place::execute_at(
        &format!("sqlite://{}?mode=rwc", path.display()),
        "CREATE TABLE theirs (x INTEGER)".to_owned(),
    );
    let before = fs::read(&path).unwrap();
    let error = sqlite(&path).err().unwrap();
    assert!(matches!(error, OpenError::Store { source: StoreError::Foreign, .. }), "{error:?}");
    assert!(!error.may_be_set_aside());
    assert_eq!(fs::read(&path).unwrap(), before);
}

const FROM_A_LATER_RELEASE: &str = "INSERT INTO nipworker_migrations \
     (version, description, success, checksum, execution_time) VALUES (99, 'later', true, 'x', 0)";

#[test]
fn a_store_of_a_later_release_is_refused_and_not_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.sqlite");
    drop(sqlite(&path).unwrap());
    let address = format!("sqlite://{}", path.display());
    place::execute_at(&address, FROM_A_LATER_RELEASE.to_owned());
    let schema = place::fresh_schema();
    drop(SqlStore::open_postgres(&schema, None, SqlOptions::default()).unwrap());
    place::execute_at(&schema, FROM_A_LATER_RELEASE.to_owned());
    for opened in [sqlite(&path), SqlStore::open_postgres(&schema, None, SqlOptions::default())] {
        let error = opened.err().unwrap();
        assert!(
            matches!(
                error,
                OpenError::Store {
                    source: StoreError::SchemaTooNew { found: 99, supported: 1 },
                    ..
                }
            ),
            "{error:?}"
        );
        assert!(!error.may_be_set_aside());
    }
}

#[test]
fn what_is_set_aside_takes_its_log_along() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.sqlite");
    let store = sqlite(&path).unwrap();
    store.put_batch(&varied_events(10), samples::NOW).unwrap();
    // As a process that was killed leaves it: not everything is in the file yet.
    let log = folder.path().join("events.sqlite-wal");
    let kept = (fs::read(&path).unwrap(), fs::read(&log).unwrap());
    drop(store);
    fs::write(&path, &kept.0).unwrap();
    fs::write(&log, &kept.1).unwrap();
    let moved = set_aside(&path, samples::NOW).unwrap();
    assert!(!path.exists() && !log.exists());
    let fresh = sqlite(&path).unwrap();
    assert_eq!(fresh.stats().unwrap().events, 0);
    // It can still be looked at, all of it.
    assert_eq!(sqlite(&moved.to).unwrap().stats().unwrap().events, 10);
}

#[test]
fn flipped_bytes_cut_ends_and_holes_give_errors_and_no_panic() {
    damage::flipped_bytes_cut_ends_and_holes_give_errors_and_no_panic(&damage::Case {
        open: |path| Ok(Box::new(sqlite(path)?)),
        refusal: |error| assert!(!error.to_string().is_empty()),
        header_bytes: 100,
        damages: 60,
        noticed_min: 30,
    });
}

/// Two stores on one database, as two processes have it.
fn share(open: impl Fn() -> SqlStore + Sync) {
    let (one, other) = (open(), open());
    let note = samples::note(1, samples::NOW, "shared");
    assert_eq!(
        one.put_batch(std::slice::from_ref(&note), samples::NOW).unwrap(),
        [PutOutcome::Stored]
    );
    assert_eq!(
        other.put_batch(std::slice::from_ref(&note), samples::NOW).unwrap(),
        [PutOutcome::Duplicate]
    );
    thread::scope(|scope| {
        for (by, store) in [(2, &one), (3, &other)] {
            scope.spawn(move || {
                for n in 0..40 {
                    let own = samples::note(by, samples::NOW - n, "own");
                    let profile = samples::event(4, samples::NOW - n % 7, 0, &[], "both");
                    store.put_batch(&[own, profile], samples::NOW).unwrap();
                }
            });
        }
    });
    for store in [&one, &other] {
        let report = store.check().unwrap();
        assert!(report.is_clean(), "{:?}", report.problems);
        assert_eq!(report.events, 1 + 2 * 40 + 1);
    }
}

#[test]
fn two_processes_share_a_sqlite_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.sqlite");
    share(|| sqlite(&path).unwrap());
}

#[test]
fn two_processes_share_a_postgres_database() {
    let schema = place::fresh_schema();
    share(|| SqlStore::open_postgres(&schema, None, SqlOptions::default()).unwrap());
}

#[test]
fn stores_that_are_made_at_the_same_time_in_one_place_all_open() {
    for _ in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.sqlite");
        let schema = place::fresh_schema();
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| sqlite(&path).unwrap());
                scope.spawn(|| {
                    SqlStore::open_postgres(&schema, None, SqlOptions::default()).unwrap()
                });
            }
        });
    }
}

#[test]
fn a_store_is_opened_used_and_closed_within_an_asynchronous_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let store = sqlite(&folder.path().join("events.sqlite")).unwrap();
        store.put_batch(&varied_events(3), samples::NOW).unwrap();
        assert_eq!(store.count(&[Filter::new()], samples::NOW).unwrap(), 3);
    });
}

#[test]
fn a_server_that_does_not_answer_or_refuses_is_named_without_its_password() {
    let open = |url: &str| SqlStore::open_postgres(url, Some("s3cret"), SqlOptions::default());
    let nobody = "postgres://nip@127.0.0.1:1/events?options=-c%20search_path=x";
    let error = open(nobody).err().unwrap();
    assert!(matches!(error, OpenError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("postgres://nip@127.0.0.1:1/events"), "{error}");
    assert!(!error.to_string().contains("s3cret"), "{error}");
    let refused = place::server().replace("/postgres", "/not_there");
    let error = open(&refused).err().unwrap();
    assert!(matches!(error, OpenError::Unreachable { .. }), "{error:?}");
    for wrong in ["", "events", "mysql://127.0.0.1/events"] {
        let error = open(wrong).err().unwrap();
        assert!(matches!(error, OpenError::Format { .. }), "{wrong}: {error:?}");
    }
}

#[test]
fn tables_of_others_in_a_postgres_schema_are_left_alone() {
    let schema = place::fresh_schema();
    let name = schema.rsplit_once("%3D").unwrap().1;
    place::execute_at(&schema, format!("CREATE SCHEMA {name}"));
    place::execute_at(&schema, "CREATE TABLE events (x INTEGER)".to_owned());
    let error = SqlStore::open_postgres(&schema, None, SqlOptions::default()).err().unwrap();
    assert!(matches!(error, OpenError::Format { .. }), "{error:?}");
    assert!(error.to_string().contains("search_path"), "{error}");
}
