//! A disk that is full: the put is refused, reading goes on, and so does writing when there is space.
//!
//! The test starts itself as a child that runs under a limit on the length of files, which the parent sets
//! and lifts with the system's own tools.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod place;

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
};

use nipworker_protocol::{Event, Filter, Verified};
use nipworker_store::{
    EventStore, KvError, PageRequest, StoreError,
    conformance::samples::{NOW, note},
};
use place::sqlite;

/// Length of files in blocks of 512 bytes under which the child begins.
const BLOCKS: u32 = 2_048;
/// Puts that are refused before there is space again.
const REFUSALS: usize = 4;

fn main() {
    let arguments: Vec<String> = env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("--fill") => fill(Path::new(&arguments[2])),
        Some("--list") => {
            println!("a_full_disk_costs_the_commit_and_service_resumes_when_there_is_space: test");
        }
        _ => a_full_disk_costs_the_commit_and_service_resumes_when_there_is_space(),
    }
}

fn say(word: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{word}").unwrap();
    out.flush().unwrap();
}

fn heard() -> bool {
    std::io::stdin().lines().next().is_some()
}

fn start(command: &mut Command) -> (Child, impl Iterator<Item = String> + use<>) {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    (child, lines)
}

fn nth(number: i64) -> Verified<Event> {
    note(1, NOW + number, &format!("{number}").repeat(200))
}

/// Writes until the disk is full, reads all the same, and goes on when there is space.
fn fill(path: &Path) {
    let store = sqlite(path).unwrap();
    let read = || {
        let mut request = PageRequest::first(5_000);
        request.max_bytes = usize::MAX;
        store.query(&[Filter::new()], &request, NOW).map(|page| page.events.len() as i64)
    };
    let mut acknowledged = 0;
    for _ in 0..REFUSALS {
        let refused = loop {
            let batch: Vec<_> = (acknowledged..acknowledged + 20).map(nth).collect();
            match store.put_batch(&batch, NOW) {
                Ok(_) => acknowledged += 20,
                Err(error) => break error,
            }
            assert!(acknowledged < 5_000, "the limit is not felt");
        };
        // Of a disk without space SQLite says the first; of a limit on the length of files, as here, also
        // the second.
        assert!(
            matches!(refused, StoreError::Kv(KvError::Full { .. } | KvError::Io { .. })),
            "{refused:?}"
        );
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

fn a_full_disk_costs_the_commit_and_service_resumes_when_there_is_space() {
    if !cfg!(target_os = "linux") {
        println!("test a_full_disk_costs_the_commit ... not on this system");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.sqlite");
    // The signal of a file that would get too long is ignored: then writing gives an error.
    let (mut child, mut lines) = start(
        Command::new("sh")
            .arg("-c")
            .arg(format!("trap '' XFSZ; ulimit -S -f {BLOCKS}; exec \"$0\" --fill \"$1\""))
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
    let store = sqlite(&path).unwrap();
    let report = store.check().unwrap();
    assert!(report.is_clean(), "{:?}", report.problems);
    assert_eq!(report.events, acknowledged);
    println!(
        "test a_full_disk_costs_the_commit_and_service_resumes_when_there_is_space ... ok \
         ({acknowledged} events)"
    );
}
