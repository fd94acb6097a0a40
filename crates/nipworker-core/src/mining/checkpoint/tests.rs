use std::fs;

use nipworker_mining::{BookCheckpoint, CHECKPOINT_VERSION};
use tempfile::TempDir;

use super::{
    file::{CheckpointStore, FileError, Found, Saved, VERSION},
    keeper::essence,
};

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn empty(next_job: u64) -> Saved {
    Saved::new(next_job, BookCheckpoint::default())
}

fn read(store: &CheckpointStore) -> Saved {
    match store.read().unwrap() {
        Found::Saved(saved) => *saved,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_written_last_is_read() {
    let folder = folder();
    let path = folder.path().join("not/yet/there/jobs.json");
    let store = CheckpointStore::open(&path).unwrap();
    assert!(matches!(store.read(), Ok(Found::Nothing)));
    store.write(&empty(3)).unwrap();
    store.write(&empty(4)).unwrap();
    assert_eq!(read(&store), empty(4));
    drop(store);
    assert_eq!(read(&CheckpointStore::open(&path).unwrap()), empty(4));
}

#[test]
fn a_write_that_was_cut_off_leaves_the_former_file() {
    let folder = folder();
    let path = folder.path().join("jobs.json");
    let store = CheckpointStore::open(&path).unwrap();
    store.write(&empty(3)).unwrap();
    // As a process leaves it that ends within a write.
    fs::write(folder.path().join("jobs.json.new"), b"{\"version\":1,\"next").unwrap();
    assert_eq!(read(&store), empty(3));
    store.write(&empty(5)).unwrap();
    assert_eq!(read(&store), empty(5));
    assert!(!folder.path().join("jobs.json.new").exists());
}

#[test]
fn a_write_that_fails_leaves_the_former_file() {
    let folder = folder();
    let path = folder.path().join("jobs.json");
    let store = CheckpointStore::open(&path).unwrap();
    store.write(&empty(3)).unwrap();
    fs::create_dir(folder.path().join("jobs.json.new")).unwrap();
    assert!(store.write(&empty(4)).is_err());
    assert_eq!(read(&store), empty(3));
}

#[test]
fn a_file_belongs_to_one_process_at_a_time() {
    let folder = folder();
    let path = folder.path().join("jobs.json");
    let first = CheckpointStore::open(&path).unwrap();
    let second = CheckpointStore::open(&path);
    assert!(matches!(&second, Err(FileError::InUse { path: named }) if *named == path));
    drop(first);
    CheckpointStore::open(&path).unwrap();
}

#[test]
fn every_damage_is_told_and_nothing_that_is_damaged_is_lost() {
    let folder = folder();
    let path = folder.path().join("jobs.json");
    let store = CheckpointStore::open(&path).unwrap();
    store.write(&empty(3)).unwrap();
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(matches!(store.read(), Ok(Found::Damaged(_))), "cut off at {length}");
    }
    for text in ["[]", "7", "null", "{}", "{\"version\":-1}", "{\"version\":1}", "\u{0}"] {
        fs::write(&path, text).unwrap();
        assert!(matches!(store.read(), Ok(Found::Damaged(_))), "{text}");
    }
    let aside: Vec<_> = ["one", "two", "three"]
        .map(|text| {
            fs::write(&path, text).unwrap();
            let to = store.set_aside(1_700_000_000).unwrap();
            assert!(!path.exists());
            (text, to)
        })
        .into();
    for (text, to) in aside {
        assert_eq!(fs::read_to_string(&to).unwrap(), text, "{}", to.display());
    }
}

#[test]
fn a_file_of_a_later_release_is_refused_and_stays() {
    let folder = folder();
    let path = folder.path().join("jobs.json");
    let store = CheckpointStore::open(&path).unwrap();
    let later = u64::from(VERSION) + 1;
    let later_book = u64::from(CHECKPOINT_VERSION) + 1;
    for (text, known) in [
        (format!("{{\"version\":{later},\"jobs\":\"elsewhere\"}}"), VERSION),
        (format!("{{\"version\":1,\"book\":{{\"version\":{later_book}}}}}"), CHECKPOINT_VERSION),
    ] {
        fs::write(&path, &text).unwrap();
        let refused = store.read();
        assert!(
            matches!(&refused, Err(FileError::Newer { known: named, .. }) if *named == known),
            "{refused:?}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn the_passing_of_time_alone_is_no_change() {
    let job = |seconds, attempts| {
        let text = format!(
            r#"{{"version":1,"next_job":2,"book":{{"jobs":[{{"id":1,"request":{{"workload":"nip13",
            "input":null,"priority":"normal","limits":{{}},"start":0}},"finished":[],
            "quarantined":[],"attempts":{attempts},"best":null,
            "elapsed":{{"secs":{seconds},"nanos":0}},"paused":true}}]}}}}"#
        );
        let saved: Saved = serde_json::from_str(&text).unwrap();
        saved
    };
    assert_ne!(job(1, 5), job(2, 5));
    assert_eq!(essence(&job(1, 5)), essence(&job(2, 5)));
    assert_ne!(essence(&job(1, 5)), essence(&job(1, 6)));
}
