//! The right reason for an end, and the right incarnation for a message.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::*;

fn root() -> SupervisorBuilder {
    quiet_panics();
    Supervisor::builder("root").intensity(ENDLESS)
}

/// Panics and catches it itself.
#[derive(Message)]
#[rtype(result = "()")]
struct Caught;

impl Handler<Caught> for Puppet {
    type Result = ();

    fn handle(&mut self, _: Caught, _: &mut Self::Context) {
        assert!(std::panic::catch_unwind(|| panic!("injected and caught")).is_err());
    }
}

#[test]
fn a_panic_that_the_actor_caught_is_no_reason_for_a_later_one() {
    let trace = Trace::new();
    let (address, spec) = Puppet::child("w", &trace);
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap();
    // Both in one turn of the actor.
    address.try_send(Gate(gate.clone())).unwrap();
    let caught = address.try_ask(Caught).unwrap();
    let poison = address.try_ask(Poison).unwrap();
    let handle = root().child(spec).start_blocking().unwrap();
    drop(closed);
    assert_eq!(block_on(caught), Ok(()));
    match block_on(poison) {
        Err(AskError::Panicked { message, place: Some(place) }) => {
            assert_eq!(message, "poison in w");
            assert!(place.contains("common/mod.rs"), "{place}");
        }
        other => panic!("{other:?}"),
    }
    handle.stop_blocking();
}

/// Fails in a timer and then puts the stop off.
struct Stubborn {
    gate: Option<Arc<Mutex<()>>>,
    generation: u64,
}

impl Actor for Stubborn {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some(gate) = self.gate.clone() {
            ctx.run_later(Duration::from_millis(1), move |_, ctx| {
                drop(gate.lock());
                fatal(ctx, "in a timer");
            });
        }
    }

    fn stopping(&mut self, _: &mut Self::Context) -> Running {
        if self.gate.take().is_some() { Running::Continue } else { Running::Stop }
    }
}

impl Handler<Echo> for Stubborn {
    type Result = MessageResult<Echo>;

    fn handle(&mut self, Echo(n): Echo, _: &mut Self::Context) -> Self::Result {
        MessageResult((n, self.generation))
    }
}

#[test]
fn a_fatal_error_in_a_timer_costs_no_message_although_the_stop_is_put_off() {
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap();
    let address = Address::new("stubborn", MailboxConfig::default());
    let own = gate.clone();
    let spec = ChildSpec::new(address.clone(), move |start: &StartContext| {
        let gate = (start.generation == 1).then(|| own.clone());
        Ok::<_, String>(Stubborn { gate, generation: start.generation })
    });
    let handle = root().child(spec.backoff(Backoff::NONE)).start_blocking().unwrap();
    // Asked until the timer holds the thread, so that one is queued when the error comes.
    let mut waiting = address.try_ask(Echo(1)).unwrap();
    loop {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        let deadline = std::time::Instant::now() + Duration::from_millis(50);
        let mut answered = None;
        while answered.is_none() && std::time::Instant::now() < deadline {
            match std::future::Future::poll(std::pin::Pin::new(&mut waiting), &mut cx) {
                std::task::Poll::Ready(answer) => answered = Some(answer),
                std::task::Poll::Pending => std::thread::yield_now(),
            }
        }
        let Some(answer) = answered else { break };
        assert_eq!(answer, Ok((1, 1)));
        waiting = address.try_ask(Echo(1)).unwrap();
    }
    drop(closed);
    assert_eq!(block_on(waiting), Ok((1, 2)));
    handle.stop_blocking();
}

/// Cancels the future that it runs in, which is the supervisor's own.
#[derive(Message)]
#[rtype(result = "()")]
struct CancelSelf;

impl Handler<CancelSelf> for Puppet {
    type Result = ();

    fn handle(&mut self, _: CancelSelf, ctx: &mut Self::Context) {
        let handle = ctx.handle();
        ctx.cancel_future(handle);
    }
}

#[test]
fn an_actor_that_cancels_its_own_ears_is_noticed_and_replaced() {
    let trace = Trace::new();
    let (address, spec) = Puppet::child("w", &trace);
    let handle = root().child(spec).start_blocking().unwrap();
    block_on(address.ask(CancelSelf)).unwrap();
    // What was queued by then may still have been taken in the same turn.
    eventually("it is replaced", || block_on(address.ask(Echo(1)).timeout(LONG)) == Ok((1, 2)));
    assert_eq!(handle.status().worker("w").unwrap().last_failure.as_ref().unwrap().kind, "fatal");
    handle.stop_blocking();
}

#[test]
fn a_child_that_ends_too_often_is_named_as_having_ended() {
    let trace = Trace::new();
    let (address, spec) = Puppet::child("w", &trace);
    let never = Intensity { max_restarts: 0, within: LONG };
    let handle = root().intensity(never).child(spec).start_blocking().unwrap();
    block_on(address.ask(Quit)).unwrap();
    let child = "w".to_owned();
    assert_eq!(handle.wait_blocking(), Exit::Escalated { child, failure: Failure::Ended });
}

#[test]
fn a_second_spec_of_an_address_leaves_the_worker_of_the_first_alone() {
    let trace = Trace::new();
    let (address, spec) = Puppet::child("w", &trace);
    let handle = root().child(spec).start_blocking().unwrap();
    let second = || ChildSpec::new(address.clone(), |_: &StartContext| Err::<Puppet, _>("no"));
    drop(second());
    assert_eq!(block_on(address.ask(Echo(1)).timeout(LONG)), Ok((1, 1)));
    let error = root().child(second()).start_blocking().unwrap_err();
    assert_eq!(error, StartError::DuplicateName { name: "w".to_owned() });
    assert_eq!(block_on(address.ask(Echo(2)).timeout(LONG)), Ok((2, 1)));
    handle.stop_blocking();
    // Free again.
    let error = root().child(second()).start_blocking().unwrap_err();
    assert!(matches!(error, StartError::Child { .. }), "{error}");
}

#[test]
fn names_and_ticks_may_be_anything() {
    let trace = Trace::new();
    let (address, spec) = Puppet::child("w\0x", &trace);
    let builder = Supervisor::builder("ro\0ot").tick(Duration::MAX);
    let handle = builder.child(spec).start_blocking().unwrap();
    assert_eq!(block_on(address.ask(Echo(1))), Ok((1, 1)));
    assert!(handle.stop_blocking().is_clean());
}
