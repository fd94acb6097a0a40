//! The matrix of OTP's supervisor suite: how a child ends, its restart type, and the strategies.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use common::*;

/// How a child is made to end.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// It stops by itself.
    Normal,
    /// It is asked to stop by its supervisor.
    Shutdown,
    /// It panics.
    Abnormal,
}

#[test]
fn each_end_and_each_restart_type_gives_what_otp_gives() {
    quiet_panics();
    for end in [End::Normal, End::Shutdown, End::Abnormal] {
        for restart in
            [RestartPolicy::Permanent, RestartPolicy::Transient, RestartPolicy::Temporary]
        {
            let trace = Trace::new();
            let (address, spec) = Puppet::child("child", &trace);
            let (bystander, other) = Puppet::child("bystander", &trace);
            let handle = Supervisor::builder("root")
                .child(spec.restart(restart))
                .child(other)
                .start_blocking()
                .unwrap();
            match end {
                End::Normal => block_on(address.ask(Quit)).unwrap(),
                End::Shutdown => assert!(handle.stop_blocking().is_clean()),
                End::Abnormal => assert!(block_on(address.ask(Poison)).is_err()),
            }
            let again = match (end, restart) {
                (End::Shutdown, _) | (_, RestartPolicy::Temporary) => false,
                (End::Normal, RestartPolicy::Transient) => false,
                (End::Normal | End::Abnormal, _) => true,
            };
            let case = format!("{end:?} {restart:?}");
            if again {
                assert_eq!(block_on(address.ask(Echo(1))), Ok((1, 2)), "{case}");
            } else {
                eventually(&case, || {
                    handle.status().worker("child").unwrap().state == State::Stopped
                });
                assert!(block_on(address.ask(Echo(1))).is_err(), "{case}");
            }
            if end != End::Shutdown {
                assert_eq!(block_on(bystander.ask(Echo(1))), Ok((1, 1)), "{case}");
                eventually(&case, || handle.status().is_healthy());
                handle.stop_blocking();
            }
        }
    }
}

/// Three children under a strategy, and the incarnation of each after the middle one has failed.
fn after_failure(strategy: Strategy, trace: &Arc<Trace>) -> [u64; 3] {
    quiet_panics();
    let names = ["a", "b", "c"];
    let mut builder = Supervisor::builder("root").strategy(strategy);
    let mut addresses = Vec::new();
    for name in names {
        let (address, spec) = Puppet::child(name, trace);
        builder = builder.child(spec);
        addresses.push(address);
    }
    let handle = builder.start_blocking().unwrap();
    let poison = addresses[1].try_ask(Poison).unwrap();
    assert!(block_on(poison).is_err());
    eventually("all are up again", || {
        handle.status().worker("b").unwrap().restarts == 1 && handle.status().is_healthy()
    });
    let generations = [0, 1, 2].map(|i: usize| block_on(addresses[i].ask(Echo(0))).unwrap().1);
    handle.stop_blocking();
    generations
}

#[test]
fn one_for_one_restarts_the_failed_child_alone() {
    let trace = Trace::new();
    assert_eq!(after_failure(Strategy::OneForOne, &trace), [1, 2, 1]);
}

#[test]
fn one_for_all_stops_the_others_in_reverse_and_starts_all_in_order() {
    let trace = Trace::new();
    assert_eq!(after_failure(Strategy::OneForAll, &trace), [2, 2, 2]);
    let log = trace.log();
    assert_eq!(log[..3], ["start a", "start b", "start c"]);
    // `b` runs its hooks when it fails.
    assert_eq!(log[3..9], ["stop b", "stop c", "stop a", "start a", "start b", "start c"]);
}

#[test]
fn rest_for_one_concerns_the_failed_child_and_those_after_it() {
    let trace = Trace::new();
    assert_eq!(after_failure(Strategy::RestForOne, &trace), [1, 2, 2]);
    assert_eq!(trace.log()[3..7], ["stop b", "stop c", "start b", "start c"]);
}

#[test]
fn what_is_queued_survives_a_group_restart() {
    quiet_panics();
    let trace = Trace::new();
    let (a, a_spec) = Puppet::child("a", &trace);
    let (b, b_spec) = Puppet::child("b", &trace);
    let handle = Supervisor::builder("root")
        .strategy(Strategy::OneForAll)
        .intensity(ENDLESS)
        .child(a_spec)
        .child(b_spec)
        .start_blocking()
        .unwrap();
    let gate = Arc::new(std::sync::Mutex::new(()));
    let closed = gate.lock().unwrap();
    a.try_send(Gate(gate.clone())).unwrap();
    eventually("it is in the gate", || a.status().depth == 0);
    let asks: Vec<_> = (0..100).map(|n| a.try_ask(Echo(n)).unwrap()).collect();
    let poison = b.try_ask(Poison).unwrap();
    assert!(block_on(poison).is_err());
    eventually("a is asked to stop", || {
        handle.status().worker("a").unwrap().state == State::Stopping
    });
    drop(closed);
    for (n, ask) in asks.into_iter().enumerate() {
        assert_eq!(block_on(ask), Ok((n as u64, 2)), "answered by the next incarnation");
    }
    handle.stop_blocking();
}

#[test]
fn a_temporary_bystander_of_a_group_restart_is_stopped_and_not_started_again() {
    for strategy in [Strategy::OneForAll, Strategy::RestForOne] {
        quiet_panics();
        let trace = Trace::new();
        let (a, a_spec) = Puppet::child("a", &trace);
        let (b, b_spec) = Puppet::child("b", &trace);
        let handle = Supervisor::builder("root")
            .strategy(strategy)
            .child(a_spec)
            .child(b_spec.restart(RestartPolicy::Temporary))
            .start_blocking()
            .unwrap();
        assert_eq!(block_on(b.ask(Echo(1))), Ok((1, 1)));
        assert!(block_on(a.ask(Poison)).is_err());
        assert_eq!(block_on(a.ask(Echo(1))), Ok((1, 2)));
        eventually("b is gone", || block_on(b.ask(Echo(1))).is_err());
        assert_eq!(handle.status().worker("b").unwrap().generation, 1);
        assert_eq!(trace.count("start b"), 1);
        handle.stop_blocking();
    }
}

#[test]
fn a_transient_child_that_had_ended_comes_back_with_its_group() {
    quiet_panics();
    let trace = Trace::new();
    let (a, a_spec) = Puppet::child("a", &trace);
    let (b, b_spec) = Puppet::child("b", &trace);
    let handle = Supervisor::builder("root")
        .strategy(Strategy::OneForAll)
        .child(a_spec)
        .child(b_spec.restart(RestartPolicy::Transient))
        .start_blocking()
        .unwrap();
    block_on(b.ask(Quit)).unwrap();
    eventually("b is closed", || block_on(b.ask(Echo(1))).is_err());
    assert!(block_on(a.ask(Poison)).is_err());
    eventually("its address is valid again", || block_on(b.ask(Echo(1))) == Ok((1, 2)));
    handle.stop_blocking();
}

#[test]
fn more_failures_than_allowed_escalate_and_everybody_is_answered() {
    quiet_panics();
    let trace = Trace::new();
    let (bad, bad_spec) = Puppet::child("bad", &trace);
    let (other, other_spec) = Puppet::child("other", &trace);
    let handle = Supervisor::builder("root")
        .intensity(Intensity { max_restarts: 3, within: Duration::from_secs(3600) })
        .child(other_spec)
        .child(bad_spec)
        .start_blocking()
        .unwrap();
    let poison: Vec<_> = (0..5).map(|_| bad.try_ask(Poison).unwrap()).collect();
    let good: Vec<_> = (0..3).map(|n| bad.try_ask(Echo(n)).unwrap()).collect();
    let outcomes: Vec<_> = poison.into_iter().map(block_on).collect();
    assert!(outcomes[..4].iter().all(|o| matches!(o, Err(AskError::Panicked { .. }))));
    for lost in outcomes[4..].iter().cloned().chain(good.into_iter().map(|g| block_on(g).map(drop)))
    {
        match lost {
            Err(AskError::Dropped { reason }) => {
                assert!(reason.contains("gave up because of bad: panicked: poison"), "{reason}");
            }
            other => panic!("{other:?}"),
        }
    }
    match handle.wait_blocking() {
        Exit::Escalated { child, failure: Failure::Panicked { message, place } } => {
            assert_eq!((child.as_str(), message.as_str()), ("bad", "poison in bad"));
            assert!(place.is_some());
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(trace.count("stop other"), 1);
    assert!(block_on(other.ask(Echo(1))).is_err());
    assert_eq!(handle.status().last_failure.unwrap().kind, "panicked");
    assert_eq!(handle.stop_blocking().dropped_messages, 4);
}

#[test]
fn a_nested_supervisor_that_gives_up_is_restarted_by_its_parent_with_its_mailboxes() {
    quiet_panics();
    let trace = Trace::new();
    let (a, a_spec) = Puppet::child("a", &trace);
    let (b, b_spec) = Puppet::child("b", &trace);
    let handle = Supervisor::builder("root")
        .supervisor(
            Supervisor::builder("inner")
                .backoff(Backoff::NONE)
                .intensity(Intensity { max_restarts: 1, within: Duration::from_secs(3600) })
                .child(a_spec)
                .child(b_spec),
        )
        .start_blocking()
        .unwrap();
    let mut events = handle.events();
    let poison: Vec<_> = (0..2).map(|_| b.try_ask(Poison).unwrap()).collect();
    let after: Vec<_> = (0..3).map(|n| b.try_ask(Echo(n)).unwrap()).collect();
    assert!(poison.into_iter().all(|p| matches!(block_on(p), Err(AskError::Panicked { .. }))));
    for (n, ask) in after.into_iter().enumerate() {
        assert_eq!(block_on(ask), Ok((n as u64, 3)), "kept over the escalation");
    }
    eventually("all is well", || handle.status().is_healthy());
    assert_eq!(block_on(a.ask(Echo(0))), Ok((0, 2)), "its sibling was restarted with it");
    let status = handle.status();
    assert_eq!(status.supervisor("inner").unwrap().restarts, 1);
    let escalated = std::iter::from_fn(|| events.try_next())
        .any(|event| matches!(event, SupervisorEvent::Escalated { supervisor, .. } if supervisor == "inner"));
    assert!(escalated);
    handle.stop_blocking();
}

/// Fails to start while told to.
struct Moody;

impl Actor for Moody {
    type Context = Context<Self>;
}

impl Handler<Poison> for Moody {
    type Result = ();

    fn handle(&mut self, _: Poison, _: &mut Self::Context) {
        panic!("poison");
    }
}

impl Handler<Quit> for Moody {
    type Result = ();

    fn handle(&mut self, _: Quit, _: &mut Self::Context) {}
}

fn moody(name: &'static str) -> (Address<Moody>, ChildSpec, Arc<AtomicU64>, Arc<AtomicBool>) {
    let address = Address::new(name, MailboxConfig::default());
    let (tries, refuse) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let (count, mood) = (tries.clone(), refuse.clone());
    let spec = ChildSpec::new(address.clone(), move |_: &StartContext| {
        count.fetch_add(1, Ordering::SeqCst);
        if mood.load(Ordering::SeqCst) { Err("not now") } else { Ok(Moody) }
    })
    .backoff(Backoff {
        min: Duration::from_millis(1),
        max: Duration::from_millis(5),
        ..Backoff::NONE
    });
    (address, spec, tries, refuse)
}

#[test]
fn another_child_that_fails_during_a_restart_is_restarted_too() {
    for strategy in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne] {
        quiet_panics();
        let trace = Trace::new();
        let (a, a_spec, tries, refuse) = moody("a");
        let (b, b_spec) = Puppet::child("b", &trace);
        let handle = Supervisor::builder("root")
            .strategy(strategy)
            .intensity(ENDLESS)
            .child(a_spec)
            .child(b_spec)
            .start_blocking()
            .unwrap();
        refuse.store(true, Ordering::SeqCst);
        assert!(block_on(a.ask(Poison)).is_err());
        eventually("it fails to start again and again", || tries.load(Ordering::SeqCst) > 4);
        // Under a group strategy `b` is down; its message waits. Alone it fails meanwhile.
        let poison = b.try_ask(Poison).unwrap();
        if strategy == Strategy::OneForOne {
            assert!(block_on(poison).is_err());
            refuse.store(false, Ordering::SeqCst);
        } else {
            refuse.store(false, Ordering::SeqCst);
            assert!(block_on(poison).is_err());
        }
        assert_eq!(block_on(a.ask(Quit)), Ok(()), "{strategy:?}");
        block_on(b.ask(Echo(1))).unwrap();
        eventually("both are well", || handle.status().is_healthy());
        handle.stop_blocking();
    }
}

#[test]
fn a_child_that_can_never_start_again_ends_in_an_escalation_not_in_a_loop() {
    quiet_panics();
    let (a, a_spec, tries, refuse) = moody("a");
    let handle = Supervisor::builder("root")
        .intensity(Intensity { max_restarts: 10, within: Duration::from_secs(3600) })
        .child(a_spec)
        .start_blocking()
        .unwrap();
    refuse.store(true, Ordering::SeqCst);
    let poison = a.try_ask(Poison).unwrap();
    let queued = a.try_ask(Quit).unwrap();
    assert!(block_on(poison).is_err());
    assert!(matches!(block_on(queued), Err(AskError::Dropped { .. })));
    match handle.wait_blocking() {
        Exit::Escalated { failure: Failure::StartFailed { reason }, .. } => {
            assert_eq!(reason, "not now");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(tries.load(Ordering::SeqCst), 1 + 10);
}

#[test]
fn a_stop_ends_a_restart_loop() {
    let (a, a_spec, tries, refuse) = moody("a");
    quiet_panics();
    let handle =
        Supervisor::builder("root").intensity(ENDLESS).child(a_spec).start_blocking().unwrap();
    refuse.store(true, Ordering::SeqCst);
    assert!(block_on(a.ask(Poison)).is_err());
    eventually("it loops", || tries.load(Ordering::SeqCst) > 3);
    let queued = a.try_ask(Quit).unwrap();
    handle.stop_blocking();
    assert!(matches!(block_on(queued), Err(AskError::Dropped { .. })));
    assert_eq!(handle.wait_blocking(), Exit::Stopped);
}
