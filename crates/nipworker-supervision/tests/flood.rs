//! Under a flood: the control lane, the status, and senders that wait in line.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::*;
use futures::StreamExt;
use futures::stream::FuturesUnordered;

#[test]
fn a_control_message_overtakes_a_flood() {
    let trace = Trace::new();
    let config = MailboxConfig { capacity: 100_000, control_capacity: 4 };
    let (address, spec) = Puppet::child_with("w", &trace, config);
    let handle = Supervisor::builder("root").child(spec).start_blocking().unwrap();
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap();
    address.try_send(Gate(gate.clone())).unwrap();
    for n in 0..50_000 {
        address.try_send(Echo(n)).unwrap();
    }
    let urgent = address.ask_control(Handled).unwrap();
    drop(closed);
    // What was queued before it has not been handled yet.
    assert_eq!(block_on(urgent).unwrap(), 0);
    assert_eq!(block_on(address.ask(Handled)).unwrap(), 50_000);

    let closed = gate.lock().unwrap();
    address.try_send(Gate(gate.clone())).unwrap();
    eventually("it is in the gate", || address.status().depth == 0);
    for _ in 0..4 {
        address.control(Echo(0)).unwrap();
    }
    assert_eq!(address.control(Echo(0)).unwrap_err().reason, Refused::Full);
    drop(closed);
    handle.stop_blocking();
}

/// How many messages have been handled?
#[derive(Message)]
#[rtype(result = "u64")]
struct Handled;

impl Handler<Handled> for Puppet {
    type Result = u64;

    fn handle(&mut self, _: Handled, _: &mut Self::Context) -> u64 {
        self.trace.handled.load(Ordering::SeqCst)
    }
}

#[test]
fn status_answers_while_a_worker_is_wedged_and_flooded() {
    let trace = Trace::new();
    let (address, spec) = Puppet::child("w", &trace);
    let handle = Supervisor::builder("root").child(spec).start_blocking().unwrap();
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap();
    let stuck = address.try_ask(Gate(gate.clone())).unwrap();
    eventually("it is in the gate", || address.status().depth == 0);
    let over = Arc::new(AtomicBool::new(false));
    let flooder = {
        let (address, over) = (address.clone(), over.clone());
        std::thread::spawn(move || {
            while !over.load(Ordering::SeqCst) {
                drop(address.try_send(Echo(0)));
            }
        })
    };
    eventually("the mailbox is full", || address.status().rejected_full > 1000);
    let begin = Instant::now();
    let status = handle.status();
    let took = begin.elapsed();
    assert!(took < Duration::from_millis(100), "{took:?}");
    let worker = status.worker("w").unwrap();
    assert_eq!(worker.state, State::Running);
    assert_eq!((worker.mailbox.depth, worker.mailbox.high_water), (1023, 1024));
    over.store(true, Ordering::SeqCst);
    flooder.join().unwrap();
    drop(closed);
    assert_eq!(block_on(stuck), Ok(()));
    handle.stop_blocking();

    // The status survives the way to a dashboard and back.
    let json = serde_json::to_string(&status).unwrap();
    assert_eq!(serde_json::from_str::<TreeStatus>(&json).unwrap(), status);
    let text = status.to_string();
    assert!(text.starts_with("root [running, one for one, up "), "{text}");
    assert!(text.contains("└─ w [running, up"), "{text}");
    assert!(text.contains("queue 1023/1024"), "{text}");
}

#[test]
fn senders_that_wait_for_room_keep_their_place_over_a_restart() {
    quiet_panics();
    let trace = Trace::new();
    let config = MailboxConfig { capacity: 4, control_capacity: 1 };
    let (address, spec) = Puppet::child_with("w", &trace, config);
    let handle =
        Supervisor::builder("root").intensity(ENDLESS).child(spec).start_blocking().unwrap();
    let mut flight = FuturesUnordered::new();
    for n in 0..30_u64 {
        let address = address.clone();
        flight.push(async move {
            if n == 3 {
                return (n, address.ask(Poison).await.map(|()| (0, 0)));
            }
            (n, address.ask(Echo(n)).await)
        });
    }
    let (mut served, mut poisoned) = (0, 0);
    block_on(async {
        while let Some((n, answer)) = flight.next().await {
            match answer {
                Ok((echo, _)) => {
                    assert_eq!(echo, n);
                    served += 1;
                }
                Err(AskError::Panicked { .. }) => poisoned += 1,
                Err(other) => panic!("{n}: {other}"),
            }
        }
    });
    assert_eq!((served, poisoned), (29, 1));
    assert!(address.status().high_water <= 4, "the capacity holds for all senders together");
    handle.stop_blocking();
}

#[test]
fn senders_that_wait_are_let_go_when_the_tree_stops() {
    let trace = Trace::new();
    let config = MailboxConfig { capacity: 1, control_capacity: 1 };
    let (address, spec) = Puppet::child_with("w", &trace, config);
    let handle = Supervisor::builder("root").child(spec).start_blocking().unwrap();
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap();
    let in_hand = address.try_ask(Gate(gate.clone())).unwrap();
    let waiting: Vec<_> = (0..5)
        .map(|n| {
            let address = address.clone();
            std::thread::spawn(move || block_on(address.send(Echo(n))))
        })
        .collect();
    eventually("one has no room", || address.try_send(Echo(9)).is_err());
    let stopper = {
        let handle = handle.clone();
        std::thread::spawn(move || handle.stop_blocking())
    };
    for sender in waiting {
        let error = sender.join().unwrap().unwrap_err();
        assert_eq!(error.reason, Refused::Closed);
        assert!(error.message.0 < 5, "the message comes back");
    }
    drop(closed);
    assert_eq!(block_on(in_hand), Ok(()));
    stopper.join().unwrap();
}

#[test]
fn an_ask_with_a_timeout_ends_in_time_under_any_executor() {
    let trace = Trace::new();
    let (address, spec) = Puppet::child("w", &trace);
    let handle = Supervisor::builder("root").child(spec).start_blocking().unwrap();
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap();
    address.try_send(Gate(gate.clone())).unwrap();
    let after = Duration::from_millis(40);
    let begin = Instant::now();
    let answer = block_on(address.ask(Echo(1)).timeout(after));
    assert_eq!(answer, Err(AskError::Timeout { after }));
    assert!(answer.unwrap_err().is_transient());
    assert!(begin.elapsed() >= after);
    // The same in a tokio runtime without a time driver.
    let runtime = actix_rt::Runtime::new().unwrap();
    let answer = runtime.block_on(address.ask(Echo(2)).timeout(after));
    assert_eq!(answer, Err(AskError::Timeout { after }));
    drop(closed);
    assert_eq!(block_on(address.ask(Echo(3)).timeout(Duration::from_secs(60))), Ok((3, 1)));
    assert_eq!(address.status().cancelled, 2, "what nobody waits for is skipped");
    handle.stop_blocking();
}

#[test]
fn a_subscriber_sees_what_happens_in_order() {
    quiet_panics();
    let trace = Trace::new();
    let (address, spec) = Puppet::child("w", &trace);
    let handle = Supervisor::builder("root").child(spec).start_blocking().unwrap();
    let mut events = handle.events();
    assert!(events.try_next().is_none());
    assert!(block_on(address.ask(Poison)).is_err());
    block_on(address.ask(Echo(1))).unwrap();
    match events.next_blocking().unwrap() {
        SupervisorEvent::ChildFailed { supervisor, child, failure } => {
            assert_eq!((supervisor.as_str(), child.as_str()), ("root", "w"));
            assert_eq!(failure.kind, "panicked");
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        events.next_blocking(),
        Some(SupervisorEvent::ChildRestarting { after_ms: 0, .. })
    ));
    assert!(matches!(
        events.next_blocking(),
        Some(SupervisorEvent::ChildStarted { generation: 2, .. })
    ));
    handle.stop_blocking();
    assert!(matches!(events.next_blocking(), Some(SupervisorEvent::ChildStopped { .. })));
    drop(handle);
    assert_eq!(events.next_blocking(), None);
    assert_eq!(events.missed(), 0);
}
