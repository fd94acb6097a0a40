//! A disk that is full: the put is refused, reading goes on, and so does writing when there is space.
//!
//! The test starts itself as a child that runs under a limit on the length of files, which the parent sets
//! and lifts with the system's own tools.

// A test without the usual harness speaks through its output.
#![allow(clippy::print_stdout)]

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
};

use nipworker_protocol::{Event, Filter, Verified};

use super::OpenStore;
use crate::{
    EventStore, PageRequest, StoreError,
    conformance::samples::{NOW, note},
};

/// The name under which it is listed and reported.
pub const NAME: &str = "a_full_disk_costs_the_commit_and_service_resumes_when_there_is_space";
/// The first argument of the child; the second is the place.
pub const CHILD: &str = "--fill";
/// Puts that are refused before there is space again.
const REFUSALS: usize = 4;

/// A store, and how it meets a full disk.
pub struct Case {
    /// Opens it.
    pub open: OpenStore,
    /// Length of files in blocks of 512 bytes under which the child begins.
    pub blocks: u32,
    /// Whether an error is the one that a full disk is told by.
    pub is_told: fn(&StoreError) -> bool,
}

/// Starts one that tells lines and is told lines.
pub fn start(command: &mut Command) -> (Child, impl Iterator<Item = String> + use<>) {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    (child, lines)
}

/// Tells the parent a line.
pub fn say(word: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{word}").unwrap();
    out.flush().unwrap();
}

/// Waits for a line of the parent; `false` when it is gone.
pub fn heard() -> bool {
    std::io::stdin().lines().next().is_some()
}

fn nth(number: i64) -> Verified<Event> {
    note(1, NOW + number, &format!("{number}").repeat(200))
}

/// The child's part: writes until the disk is full, reads all the same, and goes on when there is space.
///
/// # Panics
/// When a promise is broken.
pub fn fill(case: &Case, path: &Path) {
    let store: Box<dyn EventStore> = (case.open)(path).unwrap();
    let read = || {
        let mut request = PageRequest::first(5_000);
        request.max_bytes = usize::MAX;
        store.query(&[Filter::new()], &request, NOW).map(|page| page.events.len() as i64)
    };
    let mut acknowledged = 0;
    // What is left of the disk may serve for a smaller write after the first refusal.
    for _ in 0..REFUSALS {
        let refused = loop {
            let batch: Vec<_> = (acknowledged..acknowledged + 20).map(nth).collect();
            match store.put_batch(&batch, NOW) {
                Ok(_) => acknowledged += 20,
                Err(error) => break error,
            }
            assert!(acknowledged < 5_000, "the limit is not felt");
        };
        assert!((case.is_told)(&refused), "{refused:?}");
        assert_eq!(read().unwrap(), acknowledged, "reading goes on");
    }
    say("full");
    assert!(heard());
    store.put_batch(&[nth(acknowledged)], NOW).unwrap();
    acknowledged += 1;
    assert_eq!(read().unwrap(), acknowledged);
    let report = store.check().unwrap();
    assert!(report.is_clean(), "{:?}", report.problems);
    assert_eq!(report.events as i64, acknowledged);
    say(&acknowledged.to_string());
}

/// The parent's part.
///
/// # Panics
/// When a promise is broken.
pub fn costs_the_commit_and_service_resumes_when_there_is_space(case: &Case) {
    if !cfg!(target_os = "linux") {
        println!("test {NAME} ... not on this system");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events");
    // The signal of a file that would get too long is ignored: then writing gives an error.
    let limit = case.blocks;
    let (mut child, mut lines) = start(
        Command::new("sh")
            .arg("-c")
            .arg(format!("trap '' XFSZ; ulimit -S -f {limit}; exec \"$0\" {CHILD} \"$1\""))
            .arg(env::current_exe().unwrap())
            .arg(&path),
    );
    assert_eq!(lines.next().as_deref(), Some("full"));
    let lifted = Command::new("prlimit")
        .args(["--fsize=unlimited:unlimited", "--pid", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(lifted.success());
    writeln!(child.stdin.take().unwrap(), "space").unwrap();
    let acknowledged: u64 = lines.next().expect("the child goes on").parse().unwrap();
    assert!(child.wait().unwrap().success());
    let store = (case.open)(&path).unwrap();
    let report = store.check().unwrap();
    assert!(report.is_clean(), "{:?}", report.problems);
    assert_eq!(report.events, acknowledged);
    println!("test {NAME} ... ok ({acknowledged} events)");
}
