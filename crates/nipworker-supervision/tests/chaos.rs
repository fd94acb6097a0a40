//! Injected faults: panics, hangs, fatal errors and lost threads, in any order, under load.
#![cfg(feature = "chaos")]
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::atomic::Ordering;
use std::time::Duration;

use common::*;
use futures::StreamExt;
use futures::stream::FuturesOrdered;

fn start(spec: ChildSpec, limit: Duration) -> SupervisorHandle {
    quiet_panics();
    Supervisor::builder("root")
        .intensity(ENDLESS)
        .max_zombies(1000)
        .child(spec.hang_limit(limit))
        .start_blocking()
        .unwrap()
}

#[test]
fn each_fault_costs_the_message_that_meets_it_and_no_other() {
    for (fault, kind) in [
        (Fault::Panic, "panicked"),
        (Fault::Hang(Duration::from_millis(500)), "hung"),
        (Fault::FatalError, "fatal"),
        (Fault::KillThread, "thread_lost"),
    ] {
        let trace = Trace::new();
        let (address, spec) = Puppet::child("w", &trace);
        let gate = std::sync::Arc::new(std::sync::Mutex::new(()));
        let closed = gate.lock().unwrap();
        // All of this is queued before the worker starts, so the order is certain.
        address.try_send(Echo(0)).unwrap();
        let victim = address.try_ask(Echo(1)).unwrap();
        let next = address.try_ask(Echo(2)).unwrap();
        drop(closed);
        let unharmed = address.ask_control(Echo(9)).unwrap();
        address.inject(fault).unwrap();
        let handle = start(spec, Duration::from_millis(150));
        assert_eq!(block_on(unharmed), Ok((9, 1)));
        assert_eq!(block_on(next), Ok((2, 2)), "{fault:?}");
        // The fault meets the first message after it, which nobody asked about.
        assert_eq!(block_on(victim), Ok((1, 2)), "{fault:?}");
        eventually("all is told", || {
            let status = handle.status();
            let worker = status.worker("w").unwrap();
            worker.failed == 1 && worker.mailbox.dead_letters == 1
        });
        let status = handle.status();
        let failure = status.worker("w").unwrap().last_failure.clone().unwrap();
        assert_eq!(failure.kind, kind);
        eventually("no thread is left behind", || {
            handle.status().worker("w").unwrap().zombies == 0
        });
        assert!(handle.stop_blocking().is_clean());
        assert_eq!(trace.alive.load(Ordering::SeqCst), 0);
    }
}

#[test]
fn a_fault_in_an_idle_worker_costs_no_message() {
    let trace = Trace::new();
    let (address, spec) = Puppet::child("w", &trace);
    let handle = start(spec, Duration::from_secs(10));
    for (n, fault) in [Fault::Panic, Fault::FatalError, Fault::KillThread].into_iter().enumerate() {
        address.inject(fault).unwrap();
        eventually("it is replaced", || {
            let status = handle.status();
            let worker = status.worker("w").unwrap();
            worker.restarts == n as u64 + 1 && worker.state == State::Running
        });
        assert!(block_on(address.ask(Echo(1))).is_ok());
    }
    assert_eq!(address.status().dead_letters, 0);
    assert!(handle.stop_blocking().is_clean());
}

#[test]
fn two_hundred_faults_under_load_lose_and_double_nothing() {
    let trace = Trace::new();
    let (address, spec) = Puppet::child("w", &trace);
    let handle = start(spec, Duration::from_millis(30));
    let (mut ok, mut failed) = (0_u64, 0_u64);
    let mut count = |answer: Option<Result<(u64, u64), AskError>>| match answer {
        Some(Ok(_)) => ok += 1,
        Some(Err(
            AskError::Panicked { .. }
            | AskError::Fatal { .. }
            | AskError::ThreadLost
            | AskError::Hung { .. },
        )) => failed += 1,
        other => panic!("{other:?}"),
    };
    block_on(async {
        let mut flight = FuturesOrdered::new();
        for n in 0..20_000_u64 {
            if n % 100 == 50 {
                let fault = match n / 100 % 4 {
                    0 => Fault::Panic,
                    1 => Fault::FatalError,
                    2 => Fault::KillThread,
                    // Around the limit: some are hangs and some are not.
                    _ => Fault::Hang(Duration::from_millis(20 + n / 100 % 20)),
                };
                address.inject(fault).unwrap();
            }
            if flight.len() == 64 {
                count(flight.next().await);
            }
            flight.push_back(address.try_ask(Echo(n)).unwrap());
        }
        while !flight.is_empty() {
            count(flight.next().await);
        }
    });
    assert_eq!(ok + failed, 20_000);
    assert!(failed >= 100, "{failed} of 200 faults met a message");
    eventually("all threads are back", || handle.status().worker("w").unwrap().zombies == 0);
    let status = handle.status();
    let worker = status.worker("w").unwrap();
    assert_eq!(worker.mailbox.dead_letters, 0);
    assert_eq!(worker.mailbox.depth, 0);
    // A fatal error or a hang is acted out before the handler, which then runs all the same.
    let runs = trace.handled.load(Ordering::SeqCst);
    assert!((ok..=20_000).contains(&runs), "{runs}");
    assert!(handle.stop_blocking().is_clean());
    assert_eq!(trace.alive.load(Ordering::SeqCst), 0);
}
