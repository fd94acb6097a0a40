//! A hundred trees made and taken down leave nothing behind.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::*;

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

fn files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn cycle(trace: &Arc<Trace>) {
    let (a, a_spec) = Puppet::child("a", trace);
    let (b, b_spec) = Puppet::child("b", trace);
    let (c, c_spec) = Puppet::child("c", trace);
    let handle = Supervisor::builder("root")
        .intensity(ENDLESS)
        .child(a_spec)
        .supervisor(
            Supervisor::builder("inner")
                .child(b_spec)
                .child(c_spec.hang_limit(Duration::from_millis(30))),
        )
        .start_blocking()
        .unwrap();
    assert!(block_on(a.ask(Poison)).is_err());
    assert!(block_on(b.ask(Fail("poison"))).is_err());
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap();
    assert!(block_on(c.ask(Gate(gate.clone()))).is_err(), "it hangs until the gate opens");
    drop(closed);
    for address in [&a, &b] {
        assert!(block_on(address.ask(Echo(1)).timeout(Duration::from_secs(60))).is_ok());
    }
    // With so short a limit, a busy machine alone can make it look hung.
    while block_on(c.ask(Echo(1))).is_err() {}
    handle.stop_blocking();
}

// The only test of its binary: it counts the threads of the process.
#[test]
fn a_hundred_trees_leave_no_thread_no_file_and_no_memory_behind() {
    quiet_panics();
    let trace = Trace::new();
    for _ in 0..10 {
        cycle(&trace);
    }
    // The timer thread goes when it has had nothing to do for a while.
    eventually("only the test's own threads are left", || threads() <= 2);
    let (threads_before, files_before, memory_before) = (threads(), files(), resident_kib());
    for _ in 0..100 {
        cycle(&trace);
    }
    eventually("threads are back to the start", || threads() <= threads_before);
    eventually("file handles are back to the start", || files() <= files_before);
    assert_eq!(trace.alive.load(Ordering::SeqCst), 0, "every actor was dropped");
    let grown = resident_kib().saturating_sub(memory_before);
    assert!(grown < 4096, "{grown} KiB more after 100 cycles");
}
