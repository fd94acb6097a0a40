//! Threads that are left behind: what may still run on them, and how many there may be.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::*;
use tokio::sync::oneshot;

/// Leaves a future in the actor that tells of itself when it runs on.
#[derive(Message)]
#[rtype(result = "()")]
struct Watch(oneshot::Receiver<()>);

impl Handler<Watch> for Puppet {
    type Result = ();

    fn handle(&mut self, Watch(told): Watch, ctx: &mut Self::Context) {
        ctx.spawn(told.into_actor(self).map(|_, actor, _| actor.trace.note("runs on")));
    }
}

#[test]
fn a_given_up_incarnation_runs_no_other_code_of_its_actor_when_it_comes_back() {
    let trace = Trace::new();
    let (address, spec) = Puppet::child("w", &trace);
    let limit = Duration::from_millis(100);
    let handle = Supervisor::builder("root")
        .intensity(ENDLESS)
        .child(spec.hang_limit(limit))
        .start_blocking()
        .unwrap();
    let (tell, told) = oneshot::channel();
    block_on(address.ask(Watch(told))).unwrap();
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap();
    assert_eq!(block_on(address.ask(Gate(gate.clone()))), Err(AskError::Hung { limit }));
    assert_eq!(block_on(address.ask(Echo(1))), Ok((1, 2)));
    tell.send(()).unwrap();
    drop(closed);
    eventually("it is back", || handle.status().worker("w").unwrap().zombies == 0);
    handle.stop_blocking();
    assert_eq!(trace.count("runs on"), 0);
}

#[test]
fn a_hang_of_a_bystander_in_a_group_restart_is_answered_within_its_limit() {
    quiet_panics();
    let trace = Trace::new();
    let (a, a_spec) = Puppet::child("a", &trace);
    let (b, b_spec) = Puppet::child("b", &trace);
    let limit = Duration::from_millis(100);
    let handle = Supervisor::builder("root")
        .strategy(Strategy::OneForAll)
        .child(a_spec.hang_limit(limit).shutdown(Shutdown::Timeout(LONG)))
        .child(b_spec)
        .start_blocking()
        .unwrap();
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap();
    let stuck = a.try_ask(Gate(gate.clone())).unwrap();
    eventually("it is in hand", || a.status().depth == 0);
    assert!(block_on(b.ask(Poison)).is_err());
    assert_eq!(block_on(stuck), Err(AskError::Hung { limit }));
    assert_eq!(block_on(a.ask(Echo(1))), Ok((1, 2)));
    drop(closed);
    handle.stop_blocking();
}

#[test]
fn threads_left_behind_at_a_stop_limit_count_too() {
    quiet_panics();
    let trace = Trace::new();
    let (a, a_spec) = Puppet::child("a", &trace);
    let (b, b_spec) = Puppet::child("b", &trace);
    let handle = Supervisor::builder("root")
        .strategy(Strategy::OneForAll)
        .intensity(ENDLESS)
        .max_zombies(1)
        .child(a_spec.shutdown(Shutdown::Timeout(Duration::from_millis(10))))
        .child(b_spec)
        .start_blocking()
        .unwrap();
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap();
    // Each incarnation of `a` hangs in one of them.
    let stuck: Vec<_> = (0..3).map(|_| a.try_ask(Gate(gate.clone())).unwrap()).collect();
    for (ask, queued) in stuck.into_iter().zip([2, 1]) {
        eventually("it hangs in the next", || a.status().depth == queued);
        assert!(block_on(b.ask(Poison)).is_err());
        assert_eq!(block_on(ask), Err(AskError::Killed));
    }
    match handle.wait_blocking() {
        Exit::Escalated { child, .. } => assert_eq!(child, "a"),
        other => panic!("{other:?}"),
    }
    drop(closed);
}
