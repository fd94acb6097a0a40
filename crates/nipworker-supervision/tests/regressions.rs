//! What went wrong in other actor libraries, as tests. Each was a reported bug of kameo.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::*;

/// Messages queued behind one that made the actor panic or stop were lost on the restart (#335).
#[test]
fn messages_queued_behind_a_panic_or_a_stop_are_kept() {
    quiet_panics();
    let trace = Trace::new();
    let (address, spec) = Puppet::child("w", &trace);
    let handle =
        Supervisor::builder("root").intensity(ENDLESS).child(spec).start_blocking().unwrap();
    for round in 0..50_u64 {
        let first = address.try_ask(Echo(round)).unwrap();
        if round % 2 == 0 {
            address.try_send(Poison).unwrap();
        } else {
            address.try_send(Quit).unwrap();
        }
        let behind: Vec<_> = (0..20).map(|n| address.try_ask(Echo(n)).unwrap()).collect();
        assert_eq!(block_on(first), Ok((round, round + 1)));
        for (n, ask) in behind.into_iter().enumerate() {
            assert_eq!(block_on(ask), Ok((n as u64, round + 2)));
        }
    }
    assert_eq!(handle.status().worker("w").unwrap().restarts, 50);
    assert!(handle.stop_blocking().is_clean());
}

/// Askers waited for ever when the restart budget was spent (#364).
#[test]
fn messages_are_answered_when_the_restart_budget_is_spent() {
    quiet_panics();
    let trace = Trace::new();
    let (address, spec) = Puppet::child("w", &trace);
    let handle = Supervisor::builder("root")
        .intensity(Intensity { max_restarts: 0, within: Duration::from_secs(1) })
        .child(spec)
        .start_blocking()
        .unwrap();
    let poison = address.try_ask(Poison).unwrap();
    let behind: Vec<_> = (0..50).map(|n| address.try_ask(Echo(n)).unwrap()).collect();
    assert!(matches!(block_on(poison), Err(AskError::Panicked { .. })));
    for ask in behind {
        assert!(matches!(block_on(ask), Err(AskError::Dropped { .. })));
    }
    assert!(matches!(handle.wait_blocking(), Exit::Escalated { .. }));
}

struct Hooks {
    trace: Arc<Trace>,
}

impl Actor for Hooks {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        let alive = self.trace.alive.fetch_add(1, Ordering::SeqCst) + 1;
        self.trace.max_alive.fetch_max(alive, Ordering::SeqCst);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        std::thread::sleep(Duration::from_millis(3));
        self.trace.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Handler<Poison> for Hooks {
    type Result = ();

    fn handle(&mut self, _: Poison, _: &mut Self::Context) {
        panic!("poison");
    }
}

impl Handler<Quit> for Hooks {
    type Result = ();

    fn handle(&mut self, _: Quit, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

/// The start hook of the next incarnation ran while the stop hook of the last one did (#387).
#[test]
fn the_next_start_never_overlaps_the_last_stop() {
    quiet_panics();
    let trace = Trace::new();
    let address = Address::new("hooks", MailboxConfig::default());
    let own = trace.clone();
    let spec = ChildSpec::new(address.clone(), move |_: &StartContext| {
        Ok::<_, String>(Hooks { trace: own.clone() })
    })
    .backoff(Backoff::NONE);
    let handle =
        Supervisor::builder("root").intensity(ENDLESS).child(spec).start_blocking().unwrap();
    for round in 0..40 {
        if round % 2 == 0 {
            assert!(block_on(address.ask(Poison)).is_err());
        } else {
            block_on(address.ask(Quit)).unwrap();
        }
    }
    handle.stop_blocking();
    assert_eq!(trace.max_alive.load(Ordering::SeqCst), 1);
    assert_eq!(trace.alive.load(Ordering::SeqCst), 0);
}

/// A kill meant for one incarnation hit the next (#392).
#[test]
fn a_kill_ends_exactly_one_incarnation() {
    quiet_panics();
    let trace = Trace::new();
    let (address, spec) = Puppet::child("w", &trace);
    let handle =
        Supervisor::builder("root").intensity(ENDLESS).child(spec).start_blocking().unwrap();
    let mut restarts = 0;
    for round in 0..50 {
        // A panic and a kill at the same time: the kill may come too late for the one it meant.
        let poison = (round % 2 == 0).then(|| address.try_ask(Poison).unwrap());
        let killed = block_on(handle.kill_child("w"));
        // In hand when the kill came, it was answered by that; queued, by the next incarnation.
        let panicked = poison.is_some_and(|poison| match block_on(poison) {
            Err(AskError::Panicked { .. }) => true,
            Err(AskError::Killed) => false,
            other => panic!("{other:?}"),
        });
        let (n, generation) = block_on(address.ask(Echo(round))).unwrap();
        assert_eq!(n, round);
        let ends = generation - 1 - restarts;
        match (killed, panicked) {
            // Both may have met the same incarnation, or one each.
            (true, true) => assert!((1..=2).contains(&ends), "round {round}: {ends}"),
            _ => assert_eq!(ends, 1, "round {round}"),
        }
        restarts += ends;
        let status = handle.status();
        let worker = status.worker("w").unwrap();
        assert_eq!((worker.restarts, worker.generation), (restarts, generation));
    }
    assert_eq!(trace.max_alive.load(Ordering::SeqCst), 1);
    assert!(!block_on(handle.kill_child("nobody")));
    handle.stop_blocking();
}

/// An orderly stop was taken for an end and the actor started again (#377).
#[test]
fn what_is_stopped_in_order_is_not_started_again() {
    let trace = Trace::new();
    let (address, spec) = Puppet::child("w", &trace);
    let handle = Supervisor::builder("root").child(spec).start_blocking().unwrap();
    let mut events = handle.events();
    handle.stop_blocking();
    assert_eq!(trace.births.load(Ordering::SeqCst), 1);
    let seen: Vec<_> = std::iter::from_fn(|| events.try_next()).collect();
    assert!(matches!(seen[..], [SupervisorEvent::ChildStopped { .. }]), "{seen:?}");
    assert!(block_on(address.ask(Echo(1))).is_err());
}

/// A replaced worker keeps its queue and is not counted as failed.
#[test]
fn a_child_can_be_replaced_on_request() {
    let trace = Trace::new();
    let (address, spec) = Puppet::child("w", &trace);
    let handle = Supervisor::builder("root")
        .intensity(Intensity { max_restarts: 0, within: Duration::from_secs(1) })
        .child(spec)
        .start_blocking()
        .unwrap();
    let mut answered = 0;
    for _ in 0..20 {
        let asks: Vec<_> = (0..50).map(|n| address.try_ask(Echo(n)).unwrap()).collect();
        assert!(block_on(handle.restart_child("w")));
        answered += asks.into_iter().map(block_on).filter(Result::is_ok).count();
        eventually("it is up", || handle.status().is_healthy());
    }
    assert_eq!(answered, 1000);
    assert_eq!(handle.status().worker("w").unwrap().restarts, 20);
    assert_eq!(handle.status().worker("w").unwrap().last_failure, None);
    assert!(handle.stop_blocking().is_clean());
}
