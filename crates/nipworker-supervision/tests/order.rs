//! Starting in order, stopping in reverse, and how long that may take.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::*;

/// Takes its time to start, without blocking its thread.
struct Slow {
    name: &'static str,
    trace: Arc<Trace>,
    delay: Duration,
}

impl Actor for Slow {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.trace.note(format!("begin {}", self.name));
        let nap = actix_rt::time::sleep(self.delay);
        nap.into_actor(self).map(|(), act, _| act.trace.note(format!("up {}", act.name))).wait(ctx);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.trace.note(format!("stop {}", self.name));
    }
}

fn slow(name: &'static str, millis: u64, trace: &Arc<Trace>) -> ChildSpec {
    let trace = trace.clone();
    ChildSpec::new(Address::new(name, MailboxConfig::default()), move |_: &StartContext| {
        let delay = Duration::from_millis(millis);
        Ok::<_, String>(Slow { name, trace: trace.clone(), delay })
    })
}

#[test]
fn each_child_starts_when_the_one_before_is_up_and_they_stop_in_reverse() {
    let trace = Trace::new();
    let handle = Supervisor::builder("root")
        .child(slow("a", 30, &trace))
        .supervisor(
            Supervisor::builder("inner").child(slow("b", 20, &trace)).child(slow("c", 0, &trace)),
        )
        .child(slow("d", 10, &trace))
        .start_blocking()
        .unwrap();
    let started = ["begin a", "up a", "begin b", "up b", "begin c", "up c", "begin d", "up d"];
    assert_eq!(trace.log(), started);
    assert!(handle.status().is_healthy());
    assert!(handle.stop_blocking().is_clean());
    assert_eq!(trace.log()[8..], ["stop d", "stop c", "stop b", "stop a"]);
    assert_eq!(handle.wait_blocking(), Exit::Stopped);
    let status = handle.status();
    assert!(status.workers().iter().all(|worker| worker.state == State::Stopped));
}

#[test]
fn an_orderly_stop_works_off_what_is_queued_and_takes_nothing_more() {
    let trace = Trace::new();
    let (address, spec) = Puppet::child("w", &trace);
    let handle = Supervisor::builder("root").child(spec).start_blocking().unwrap();
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap();
    address.try_send(Gate(gate.clone())).unwrap();
    let asks: Vec<_> = (0..500).map(|n| address.try_ask(Echo(n)).unwrap()).collect();
    let stopper = {
        let handle = handle.clone();
        std::thread::spawn(move || handle.stop_blocking())
    };
    eventually("it takes nothing more", || address.try_send(Echo(0)).is_err());
    drop(closed);
    for (n, ask) in asks.into_iter().enumerate() {
        assert_eq!(block_on(ask), Ok((n as u64, 1)));
    }
    assert!(stopper.join().unwrap().is_clean());
}

#[test]
fn what_is_left_at_the_shutdown_limit_is_dropped_and_reported() {
    let trace = Trace::new();
    let (address, spec) = Puppet::child("w", &trace);
    let spec = spec.shutdown(Shutdown::Timeout(Duration::from_millis(200)));
    let handle = Supervisor::builder("root").child(spec).start_blocking().unwrap();
    let slow: Vec<_> =
        (0..100).map(|_| address.try_ask(Block(Duration::from_millis(10))).unwrap()).collect();
    let report = handle.stop_blocking();
    let answers: Vec<_> = slow.into_iter().map(block_on).collect();
    let served = answers.iter().filter(|answer| answer.is_ok()).count();
    assert!(served >= 1, "it was given time");
    assert!(
        answers[served..]
            .iter()
            .all(|answer| matches!(answer, Err(AskError::Dropped { .. } | AskError::Killed)))
    );
    assert_eq!(report.killed, ["w"]);
    assert_eq!(report.dropped_messages as usize, 100 - served, "the one in hand too");
    assert_eq!(trace.alive.load(Ordering::SeqCst), 0);
}

#[test]
fn a_brutal_shutdown_and_a_kill_run_no_hooks_and_answer_everybody() {
    for kill in [false, true] {
        let trace = Trace::new();
        let (address, spec) = Puppet::child("w", &trace);
        let spec = if kill { spec } else { spec.shutdown(Shutdown::Brutal) };
        let handle = Supervisor::builder("root").child(spec).start_blocking().unwrap();
        let first = address.try_ask(Block(Duration::from_millis(30))).unwrap();
        let rest: Vec<_> = (0..10).map(|n| address.try_ask(Echo(n)).unwrap()).collect();
        if kill {
            handle.kill();
            assert_eq!(handle.wait_blocking(), Exit::Stopped);
        } else {
            handle.stop_blocking();
        }
        assert!(block_on(first).is_err());
        assert!(rest.into_iter().all(|ask| block_on(ask).is_err()));
        assert_eq!(trace.count("stop w"), 0);
        eventually("the thread is free again", || trace.alive.load(Ordering::SeqCst) == 0);
    }
}

#[test]
fn a_second_request_ends_a_stop_that_takes_too_long() {
    let trace = Trace::new();
    let (address, spec) = Puppet::child("w", &trace);
    let spec = spec.shutdown(Shutdown::Timeout(Duration::from_secs(3600)));
    let handle = Supervisor::builder("root").child(spec).start_blocking().unwrap();
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap();
    let stuck = address.try_ask(Gate(gate.clone())).unwrap();
    eventually("it is in the gate", || address.status().depth == 0);
    let stopper = {
        let handle = handle.clone();
        std::thread::spawn(move || handle.stop_blocking())
    };
    eventually("it stops", || handle.status().worker("w").unwrap().state == State::Stopping);
    handle.kill();
    let report = stopper.join().unwrap();
    assert_eq!(report.hung_threads, 1);
    assert_eq!(block_on(stuck), Err(AskError::Killed));
    drop(closed);
    eventually("the thread ends", || trace.alive.load(Ordering::SeqCst) == 0);
}

/// Wants to finish something before it stops.
struct Careful {
    flushed: Arc<AtomicBool>,
    done: bool,
}

impl Actor for Careful {
    type Context = Context<Self>;

    fn stopping(&mut self, ctx: &mut Self::Context) -> Running {
        if self.done {
            return Running::Stop;
        }
        ctx.run_later(Duration::from_millis(20), |act, ctx| {
            act.flushed.store(true, Ordering::SeqCst);
            act.done = true;
            ctx.stop();
        });
        Running::Continue
    }
}

#[test]
fn an_actor_may_put_its_stop_off_to_finish_something() {
    let flushed = Arc::new(AtomicBool::new(false));
    let seen = flushed.clone();
    let spec = ChildSpec::new(
        Address::new("careful", MailboxConfig::default()),
        move |_: &StartContext| Ok::<_, String>(Careful { flushed: seen.clone(), done: false }),
    );
    let handle = Supervisor::builder("root").child(spec).start_blocking().unwrap();
    assert!(handle.stop_blocking().is_clean());
    assert!(flushed.load(Ordering::SeqCst));
}

#[test]
fn dropping_the_last_handle_stops_the_tree() {
    let trace = Trace::new();
    let (address, spec) = Puppet::child("w", &trace);
    let handle = Supervisor::builder("root").child(spec).start_blocking().unwrap();
    let clone = handle.clone();
    drop(handle);
    assert!(block_on(address.ask(Echo(1))).is_ok());
    drop(clone);
    eventually("it has stopped", || trace.count("stop w") == 1);
    eventually("it is closed", || block_on(address.ask(Echo(1))) == Err(AskError::Closed));
}

#[test]
fn the_same_name_or_address_twice_is_refused() {
    let trace = Trace::new();
    let (address, one) = Puppet::child("twin", &trace);
    let (_, two) = Puppet::child("twin", &trace);
    let error = Supervisor::builder("root")
        .child(one)
        .supervisor(Supervisor::builder("inner").child(two))
        .start_blocking()
        .unwrap_err();
    assert_eq!(error, StartError::DuplicateName { name: "twin".into() });
    assert!(block_on(address.ask(Echo(1))).is_err(), "nobody waits for a tree that never was");
}

#[test]
fn long_handlers_can_see_that_they_are_to_stop() {
    struct Long(StopSignal);
    impl Actor for Long {
        type Context = Context<Self>;
    }
    impl Handler<Quit> for Long {
        type Result = ();
        fn handle(&mut self, _: Quit, _: &mut Self::Context) {
            while !self.0.is_set() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
    let address = Address::new("long", MailboxConfig::default());
    let spec = ChildSpec::new(address.clone(), |start: &StartContext| {
        Ok::<_, String>(Long(start.stop_signal.clone()))
    });
    let handle = Supervisor::builder("root").child(spec).start_blocking().unwrap();
    let ask = address.try_ask(Quit).unwrap();
    assert!(handle.stop_blocking().is_clean());
    assert_eq!(block_on(ask), Ok(()));
}

#[test]
fn what_is_to_be_done_at_the_end_is_done_once_after_the_last_worker_and_before_waiters_go_on() {
    let trace = Trace::new();
    let at_end = trace.clone();
    let handle = Supervisor::builder("root")
        .child(slow("a", 0, &trace))
        .at_end(move |exit| {
            at_end.note(format!("end {exit:?}"));
            panic!("which harms nobody");
        })
        .start_blocking()
        .unwrap();
    handle.stop_blocking();
    assert_eq!(trace.log(), ["begin a", "up a", "stop a", "end Stopped"]);
    assert_eq!(handle.wait_blocking(), Exit::Stopped);
}
