//! What needs a second process: a folder that another one has open, and a disk that is full.
//!
//! The test starts itself as a child. For the full disk the child runs under a limit on the
//! length of files, which the parent sets and lifts with the system's own tools.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::{env, path::Path, process::Command};

use nipworker_store::{
    EventStore, KvError, StoreError,
    conformance::{
        durable::full_disk::{self, Case, heard, say, start},
        samples::{NOW, note},
    },
};
use nipworker_store_sled::{OpenError, SledOptions, open_store};

const FULL_DISK: Case = Case {
    open: |path| match open_store(path, SledOptions::default()) {
        Ok(store) => Ok(Box::new(store)),
        Err(error) => Err(error.to_string()),
    },
    blocks: 6 * 2_048,
    is_told: |error| matches!(error, StoreError::Kv(KvError::Full { .. })),
};

fn main() {
    let arguments: Vec<String> = env::args().collect();
    let path = || Path::new(&arguments[2]);
    match arguments.get(1).map(String::as_str) {
        Some("--hold") => hold(path()),
        Some(full_disk::CHILD) => full_disk::fill(&FULL_DISK, path()),
        Some("--list") => {
            println!("a_folder_that_another_process_has_open_is_refused: test");
            println!("{}: test", full_disk::NAME);
        }
        _ => {
            a_folder_that_another_process_has_open_is_refused();
            full_disk::costs_the_commit_and_service_resumes_when_there_is_space(&FULL_DISK);
        }
    }
}

fn hold(path: &Path) {
    let store = open_store(path, SledOptions::default()).unwrap();
    store.put_batch(&[note(1, NOW, "held")], NOW).unwrap();
    say("open");
    heard();
}

fn a_folder_that_another_process_has_open_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.sled");
    let (mut child, mut lines) =
        start(Command::new(env::current_exe().unwrap()).arg("--hold").arg(&path));
    assert_eq!(lines.next().as_deref(), Some("open"));
    for _ in 0..3 {
        let error = open_store(&path, SledOptions::default()).err().unwrap();
        assert!(matches!(error, OpenError::AlreadyOpen { .. }), "{error:?}");
        assert!(!error.may_be_set_aside());
    }
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    let store = open_store(&path, SledOptions::default()).unwrap();
    assert_eq!(store.stats().unwrap().events, 1);
    println!("test a_folder_that_another_process_has_open_is_refused ... ok");
}
