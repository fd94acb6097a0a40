//! Several ends that the supervisor sees at the same moment.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::*;

const TICK: Duration = Duration::from_millis(100);
/// Between two looks: hangs that begin together are seen in the same.
const LIMIT: Duration = Duration::from_millis(250);

fn hang(workers: [&Address<Puppet>; 2]) {
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap();
    let stuck = workers.map(|worker| worker.try_ask(Gate(gate.clone())).unwrap());
    for ask in stuck {
        assert!(block_on(ask).is_err());
    }
    drop(closed);
    for worker in workers {
        let (n, _) = block_on(worker.ask(Echo(7)).timeout(LONG)).unwrap();
        assert_eq!(n, 7);
    }
}

/// Waits for the threads that were given up, which a stop would count as hung.
fn eventually_alive(trace: &Trace, actors: i64) {
    eventually("what was given up is gone, and nothing else is there", || {
        trace.alive.load(std::sync::atomic::Ordering::SeqCst) == actors
    });
}

#[test]
fn hangs_of_two_workers_of_a_group_restart_each_of_them_once() {
    let trace = Trace::new();
    let (a, a_spec) = Puppet::child("a", &trace);
    let (b, b_spec) = Puppet::child("b", &trace);
    let handle = Supervisor::builder("root")
        .strategy(Strategy::OneForAll)
        .intensity(ENDLESS)
        .tick(TICK)
        .max_zombies(100)
        .child(a_spec.hang_limit(LIMIT))
        .child(b_spec.hang_limit(LIMIT))
        .start_blocking()
        .unwrap();
    for _ in 0..3 {
        hang([&a, &b]);
    }
    eventually("the supervisor has seen that they are up", || handle.status().is_healthy());
    let status = handle.status();
    for name in ["a", "b"] {
        let worker = status.worker(name).unwrap();
        assert_eq!((worker.state, worker.restarts), (State::Running, worker.hangs));
    }
    eventually_alive(&trace, 2);
    assert!(handle.stop_blocking().is_clean());
}

#[test]
fn a_nested_tree_that_gives_up_while_its_parent_stops_it_comes_back() {
    quiet_panics();
    let trace = Trace::new();
    let (inner, inner_spec) = Puppet::child("inner-worker", &trace);
    let (outer, outer_spec) = Puppet::child("outer-worker", &trace);
    let slow = Backoff { min: Duration::from_millis(300), jitter: 0.0, ..Backoff::default() };
    let nested = Supervisor::builder("inner")
        .intensity(Intensity { max_restarts: 0, within: Duration::from_secs(1) })
        .backoff(slow)
        .child(inner_spec.hang_limit(LIMIT));
    let handle = Supervisor::builder("root")
        .strategy(Strategy::OneForAll)
        .intensity(ENDLESS)
        .tick(TICK)
        .max_zombies(100)
        .supervisor(nested)
        .child(outer_spec.hang_limit(LIMIT))
        .start_blocking()
        .unwrap();
    // From here on the next restart of the nested tree has to wait.
    assert!(block_on(inner.ask(Poison)).is_err());
    for worker in [&inner, &outer] {
        assert!(block_on(worker.ask(Echo(0)).timeout(LONG)).is_ok());
    }
    hang([&inner, &outer]);
    eventually("all is well", || handle.status().is_healthy());
    eventually_alive(&trace, 2);
    let report = handle.stop_blocking();
    assert!(report.is_clean(), "{report:?}");
}
