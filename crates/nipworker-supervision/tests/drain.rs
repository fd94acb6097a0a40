//! An orderly stop when things go wrong in the middle of it.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::{Arc, Mutex};

use common::*;
use std::time::Duration;

fn root() -> SupervisorBuilder {
    quiet_panics();
    Supervisor::builder("root").intensity(ENDLESS)
}

/// Waits until an orderly stop has reached the worker, without sending it anything.
fn stopping(handle: &SupervisorHandle) {
    eventually("it stops", || handle.status().worker("w").unwrap().state == State::Stopping);
}

/// Queues this many questions.
fn echoes(address: &Address<Puppet>, count: u64) -> Vec<Ask<Echo>> {
    (0..count).map(|n| address.try_ask(Echo(n)).unwrap()).collect()
}

fn answers(asks: Vec<Ask<Echo>>) -> Vec<Result<(u64, u64), AskError>> {
    asks.into_iter().map(block_on).collect()
}

fn by(generation: u64, count: u64) -> Vec<Result<(u64, u64), AskError>> {
    (0..count).map(|n| Ok((n, generation))).collect()
}

#[test]
fn a_panic_costs_one_message_and_the_rest_is_worked_off() {
    let trace = Trace::new();
    let (address, spec) = Puppet::child("w", &trace);
    let handle = root().child(spec).start_blocking().unwrap();
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap();
    address.try_send(Gate(gate.clone())).unwrap();
    let poison = address.try_ask(Poison).unwrap();
    let behind = echoes(&address, 5);
    let stopper = stop_in_background(&handle);
    sealed(&address);
    drop(closed);
    assert!(matches!(block_on(poison), Err(AskError::Panicked { .. })));
    assert_eq!(answers(behind), by(2, 5));
    assert!(stopper.join().unwrap().is_clean());
    assert_eq!(trace.log(), ["start w", "stop w", "start w", "stop w"]);
    assert!(address.try_send(Echo(0)).is_err(), "it took nothing more all the time");
}

#[test]
fn a_hang_is_answered_within_its_limit_and_the_rest_is_worked_off_on_a_fresh_thread() {
    let trace = Trace::new();
    let (address, spec) = Puppet::child("w", &trace);
    let limit = Duration::from_millis(100);
    let spec = spec.hang_limit(limit).shutdown(Shutdown::Timeout(LONG));
    let handle = root().child(spec).start_blocking().unwrap();
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap();
    let stuck = address.try_ask(Gate(gate.clone())).unwrap();
    let behind = echoes(&address, 5);
    let stopper = stop_in_background(&handle);
    assert_eq!(block_on(stuck), Err(AskError::Hung { limit }), "before its shutdown limit");
    assert_eq!(answers(behind), by(2, 5));
    drop(closed);
    let report = stopper.join().unwrap();
    assert!(report.killed.is_empty(), "{report:?}");
    assert_eq!(report.dropped_messages, 1, "what hung was given up");
}

#[test]
fn a_worker_that_ends_by_itself_leaves_nothing_undone() {
    let trace = Trace::new();
    let (address, spec) = Puppet::child("w", &trace);
    let handle = root().child(spec).start_blocking().unwrap();
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap();
    address.try_send(Gate(gate.clone())).unwrap();
    address.try_send(Quit).unwrap();
    let behind = echoes(&address, 3);
    let stopper = stop_in_background(&handle);
    sealed(&address);
    drop(closed);
    assert_eq!(answers(behind), by(2, 3));
    assert!(stopper.join().unwrap().is_clean());
}

#[test]
fn failures_beyond_the_intensity_end_it() {
    let trace = Trace::new();
    let (address, spec) = Puppet::child("w", &trace);
    let intensity = Intensity { max_restarts: 2, within: LONG };
    let handle = root().intensity(intensity).child(spec).start_blocking().unwrap();
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap();
    address.try_send(Gate(gate.clone())).unwrap();
    let poisons: Vec<_> = (0..5).map(|_| address.try_ask(Poison).unwrap()).collect();
    let stopper = stop_in_background(&handle);
    stopping(&handle);
    drop(closed);
    let ends: Vec<_> = poisons.into_iter().map(|ask| block_on(ask).unwrap_err()).collect();
    assert!(ends[..3].iter().all(|end| matches!(end, AskError::Panicked { .. })), "{ends:?}");
    assert!(ends[3..].iter().all(|end| matches!(end, AskError::Dropped { .. })), "{ends:?}");
    assert_eq!(stopper.join().unwrap().dropped_messages, 2);
}

#[test]
fn a_temporary_worker_is_not_started_again_for_it() {
    let trace = Trace::new();
    let (address, spec) = Puppet::child("w", &trace);
    let spec = spec.restart(RestartPolicy::Temporary);
    let handle = root().child(spec).start_blocking().unwrap();
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap();
    address.try_send(Gate(gate.clone())).unwrap();
    address.try_send(Poison).unwrap();
    let behind = echoes(&address, 3);
    let stopper = stop_in_background(&handle);
    stopping(&handle);
    drop(closed);
    assert!(answers(behind).iter().all(|end| matches!(end, Err(AskError::Dropped { .. }))));
    assert_eq!(stopper.join().unwrap().dropped_messages, 3);
    assert_eq!(trace.count("start w"), 1);
}

#[test]
fn a_stop_that_meets_a_replacement_still_works_off_what_is_queued() {
    let trace = Trace::new();
    let (address, spec) = Puppet::child("w", &trace);
    let handle = root().child(spec).start_blocking().unwrap();
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap();
    address.try_send(Gate(gate.clone())).unwrap();
    let behind = echoes(&address, 5);
    assert!(block_on(handle.restart_child("w")));
    let stopper = stop_in_background(&handle);
    sealed(&address);
    drop(closed);
    let answers = answers(behind);
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert!(stopper.join().unwrap().is_clean());
}

#[test]
fn a_kill_that_costs_the_message_in_hand_is_not_clean() {
    let trace = Trace::new();
    let (address, spec) = Puppet::child("w", &trace);
    let handle = root().child(spec).start_blocking().unwrap();
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap();
    let in_hand = address.try_ask(Gate(gate.clone())).unwrap();
    eventually("it is in hand", || address.status().depth == 0);
    handle.kill();
    assert_eq!(block_on(in_hand), Err(AskError::Killed));
    drop(closed);
    let report = handle.stop_blocking();
    assert_eq!(report.dropped_messages, 1);
    assert!(!report.is_clean());
}

/// Takes its time when it is dropped.
#[derive(Message)]
#[rtype(result = "()")]
struct Heavy(Arc<Mutex<()>>);

impl Drop for Heavy {
    fn drop(&mut self) {
        drop(self.0.lock());
    }
}

impl Handler<Heavy> for Puppet {
    type Result = ();

    fn handle(&mut self, _: Heavy, _: &mut Self::Context) {}
}

#[test]
fn messages_that_take_long_to_drop_hold_nobody_up() {
    let trace = Trace::new();
    let (address, spec) = Puppet::child("w", &trace);
    let (other, other_spec) = Puppet::child("other", &trace);
    let handle = root()
        .child(spec.restart(RestartPolicy::Temporary))
        .child(other_spec)
        .start_blocking()
        .unwrap();
    let (gate, weight) = (Arc::new(Mutex::new(())), Arc::new(Mutex::new(())));
    let (closed, heavy) = (gate.lock().unwrap(), weight.lock().unwrap());
    address.try_send(Gate(gate.clone())).unwrap();
    address.try_send(Poison).unwrap();
    let behind = address.try_ask(Heavy(weight.clone())).unwrap();
    drop(closed);
    assert!(matches!(block_on(behind), Err(AskError::Dropped { .. })), "before it is dropped");
    assert!(block_on(other.ask(Poison)).is_err());
    assert_eq!(block_on(other.ask(Echo(1)).timeout(LONG)), Ok((1, 2)));
    drop(heavy);
    assert_eq!(handle.stop_blocking().hung_threads, 0);
}
