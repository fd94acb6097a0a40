//! Every way in which an actor can fail, and what its sender, its successor and the process see.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::*;

fn start(children: impl IntoIterator<Item = ChildSpec>) -> SupervisorHandle {
    quiet_panics();
    let mut builder = Supervisor::builder("root").intensity(ENDLESS);
    for child in children {
        builder = builder.child(child);
    }
    builder.start_blocking().unwrap()
}

#[test]
fn a_panic_costs_its_message_and_tells_text_and_place() {
    let trace = Trace::new();
    let (address, spec) = Puppet::child("w", &trace);
    let handle = start([spec]);
    let poison = address.try_ask(Poison).unwrap();
    let next = address.try_ask(Echo(7)).unwrap();
    match block_on(poison).unwrap_err() {
        AskError::Panicked { message, place } => {
            assert_eq!(message, "poison in w");
            assert!(place.unwrap().contains("common/mod.rs:"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(block_on(next), Ok((7, 2)));
    let status = handle.status();
    let failure = status.worker("w").unwrap().last_failure.clone().unwrap();
    assert_eq!(failure.kind, "panicked");
    assert!(failure.place.unwrap().contains("mod.rs:"));
    assert!(failure.unix_ms > 1_600_000_000_000);
    handle.stop_blocking();
}

#[test]
fn a_fatal_error_costs_its_message_and_tells_the_reason() {
    let trace = Trace::new();
    let (address, spec) = Puppet::child("w", &trace);
    let handle = start([spec]);
    let bad = address.try_ask(Fail("disk gone")).unwrap();
    let next = address.try_ask(Echo(7)).unwrap();
    assert_eq!(block_on(bad), Err(AskError::Fatal { reason: "disk gone".into() }));
    assert_eq!(block_on(next), Ok((7, 2)));
    let status = handle.status();
    let worker = status.worker("w").unwrap();
    assert_eq!((worker.failed, worker.panics, worker.restarts), (1, 0, 1));
    assert_eq!(trace.count("stop w"), 1, "the stop hooks run once");
    handle.stop_blocking();
}

/// An actor whose hooks go wrong where it is told to.
struct Clumsy {
    trace: Arc<Trace>,
    panics: &'static [&'static str],
    generation: u64,
}

impl Clumsy {
    fn maybe(&self, place: &str) {
        self.trace.note(place);
        if self.panics.contains(&place) {
            panic!("poison: {place}");
        }
    }
}

impl Actor for Clumsy {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if self.panics.contains(&"timer") && self.generation == 1 {
            ctx.run_later(Duration::from_millis(1), |_, _| panic!("poison: timer"));
        }
        if self.panics.contains(&"fatal timer") && self.generation == 1 {
            ctx.run_later(Duration::from_millis(1), |_, ctx| fatal(ctx, "poison: fatal timer"));
        }
        // Only the first incarnation, so that the next shows that life goes on.
        if self.generation > 1 {
            self.maybe("started again");
        }
        if self.panics.contains(&"second start") && self.generation == 2 {
            panic!("poison: second start");
        }
    }

    fn stopping(&mut self, _: &mut Self::Context) -> Running {
        self.maybe("stopping");
        Running::Stop
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.maybe("stopped");
    }
}

impl Drop for Clumsy {
    fn drop(&mut self) {
        self.trace.alive.fetch_sub(1, Ordering::SeqCst);
        self.maybe("drop");
    }
}

#[derive(Message)]
#[rtype(result = "u64")]
struct Go(&'static str);

impl Handler<Go> for Clumsy {
    type Result = u64;

    fn handle(&mut self, Go(what): Go, ctx: &mut Self::Context) -> u64 {
        match what {
            "panic" => panic!("poison: handler"),
            "bomb" => std::panic::panic_any(Bomb),
            "resume" => std::panic::resume_unwind(Box::new("quiet poison")),
            "quit" => ctx.stop(),
            _ => {}
        }
        self.generation
    }
}

/// A panic payload that panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("poison: the payload of a panic");
    }
}

fn clumsy(trace: &Arc<Trace>, panics: &'static [&'static str]) -> (Address<Clumsy>, ChildSpec) {
    let address = Address::new("clumsy", MailboxConfig::default());
    let trace = trace.clone();
    let spec = ChildSpec::new(address.clone(), move |start: &StartContext| {
        if panics.contains(&"factory") && start.generation == 2 {
            panic!("poison: factory");
        }
        if panics.contains(&"factory error") && start.generation == 2 {
            return Err("poison: no database");
        }
        let alive = trace.alive.fetch_add(1, Ordering::SeqCst) + 1;
        trace.max_alive.fetch_max(alive, Ordering::SeqCst);
        Ok(Clumsy { trace: trace.clone(), panics, generation: start.generation })
    })
    .backoff(Backoff::NONE);
    (address, spec)
}

#[test]
fn panics_on_top_of_panics_do_not_end_the_process() {
    for panics in [
        &["stopping"][..],
        &["stopped"],
        &["drop"],
        &["stopping", "drop"],
        &["stopping", "stopped", "drop"],
    ] {
        let trace = Trace::new();
        let (address, spec) = clumsy(&trace, panics);
        let handle = start([spec]);
        let poison = address.try_ask(Go("panic")).unwrap();
        let next = address.try_ask(Go("work")).unwrap();
        match block_on(poison) {
            Err(AskError::Panicked { message, .. }) => assert_eq!(message, "poison: handler"),
            other => panic!("{panics:?}: {other:?}"),
        }
        assert_eq!(block_on(next), Ok(2), "{panics:?}");
        // Also where there is no panic before it.
        assert_eq!(block_on(address.ask(Go("quit"))), Ok(2), "{panics:?}");
        assert_eq!(block_on(address.ask(Go("work"))), Ok(3), "{panics:?}");
        handle.stop_blocking();
        assert_eq!(trace.alive.load(Ordering::SeqCst), 0, "{panics:?}");
        assert_eq!(trace.max_alive.load(Ordering::SeqCst), 1, "{panics:?}");
    }
}

#[test]
fn a_panic_payload_that_panics_when_dropped_is_survived() {
    let trace = Trace::new();
    let (address, spec) = clumsy(&trace, &[]);
    let handle = start([spec]);
    assert!(matches!(block_on(address.ask(Go("bomb"))), Err(AskError::Panicked { .. })));
    match block_on(address.ask(Go("resume"))) {
        Err(AskError::Panicked { message, place: None }) => assert_eq!(message, "quiet poison"),
        other => panic!("{other:?}"),
    }
    assert_eq!(block_on(address.ask(Go("work"))), Ok(3));
    handle.stop_blocking();
}

#[test]
fn a_failed_restart_is_tried_again_and_costs_no_message() {
    for panics in [&["factory"][..], &["factory error"], &["second start"]] {
        let trace = Trace::new();
        let (address, spec) = clumsy(&trace, panics);
        let handle = start([spec]);
        let poison = address.try_ask(Go("panic")).unwrap();
        let next = address.try_ask(Go("work")).unwrap();
        assert!(block_on(poison).is_err());
        assert_eq!(block_on(next), Ok(3), "{panics:?}: served by the third incarnation");
        let status = handle.status();
        let worker = status.worker("clumsy").unwrap();
        assert_eq!((worker.restarts, worker.failed), (2, 1), "{panics:?}");
        let failure = worker.last_failure.as_ref().unwrap();
        assert!(failure.message.contains("poison"), "{failure:?}");
        handle.stop_blocking();
    }
}

#[test]
fn a_first_start_that_fails_is_reported_and_undone() {
    quiet_panics();
    let trace = Trace::new();
    let (first, first_spec) = Puppet::child("first", &trace);
    let address: Address<Puppet> = Address::new("second", MailboxConfig::default());
    let waiting = (first.try_ask(Echo(1)).unwrap(), address.try_ask(Echo(2)).unwrap());
    let second = ChildSpec::new(address, |_: &StartContext| -> Result<Puppet, String> {
        Err("port 80 is taken".into())
    });
    let error =
        Supervisor::builder("root").child(first_spec).child(second).start_blocking().unwrap_err();
    assert_eq!(error.to_string(), "second did not start: could not start: port 80 is taken");
    assert_eq!(trace.log(), ["start first", "stop first"]);
    assert_eq!(block_on(waiting.0), Ok((1, 1)), "it was up when it was asked");
    assert!(matches!(block_on(waiting.1), Err(AskError::Dropped { .. })));
    assert!(matches!(block_on(first.ask(Echo(3))), Err(AskError::Closed)));
}

#[test]
fn a_panic_in_a_timer_costs_no_message() {
    for what in ["timer", "fatal timer"] {
        let trace = Trace::new();
        let panics: &'static [&'static str] =
            if what == "timer" { &["timer"] } else { &["fatal timer"] };
        let (address, spec) = clumsy(&trace, panics);
        let handle = start([spec]);
        eventually("it was restarted", || handle.status().worker("clumsy").unwrap().restarts == 1);
        assert_eq!(block_on(address.ask(Go("work"))), Ok(2));
        let status = handle.status();
        let worker = status.worker("clumsy").unwrap();
        assert_eq!(worker.failed, 0);
        assert!(worker.last_failure.as_ref().unwrap().message.contains("timer"));
        handle.stop_blocking();
    }
}

/// An actor that answers later.
struct Later;

impl Actor for Later {
    type Context = Context<Self>;
}

#[derive(Message)]
#[rtype(result = "u32")]
struct InActor(u32);

#[derive(Message)]
#[rtype(result = "u32")]
struct Alone(u32);

#[derive(Message)]
#[rtype(result = "u32")]
struct Exclusive(u32);

async fn nap(n: u32) -> u32 {
    actix_rt::time::sleep(Duration::from_millis(2)).await;
    if n == 0 {
        panic!("poison: no answer");
    }
    n
}

impl Handler<InActor> for Later {
    type Result = ResponseActFuture<Self, u32>;

    fn handle(&mut self, InActor(n): InActor, _: &mut Self::Context) -> Self::Result {
        Box::pin(nap(n).into_actor(self))
    }
}

impl Handler<Alone> for Later {
    type Result = ResponseFuture<u32>;

    fn handle(&mut self, Alone(n): Alone, _: &mut Self::Context) -> Self::Result {
        Box::pin(nap(n))
    }
}

impl Handler<Exclusive> for Later {
    type Result = AtomicResponse<Self, u32>;

    fn handle(&mut self, Exclusive(n): Exclusive, _: &mut Self::Context) -> Self::Result {
        AtomicResponse::new(Box::pin(nap(n).into_actor(self)))
    }
}

#[test]
fn panics_in_answers_that_come_later_are_typed_too() {
    let address = Address::new("later", MailboxConfig::default());
    let spec = ChildSpec::new(address.clone(), |_: &StartContext| Ok::<_, String>(Later))
        .backoff(Backoff::NONE);
    let handle = start([spec]);
    let check = |answer: Result<u32, AskError>| match answer {
        Err(AskError::Panicked { message, place }) => {
            assert_eq!(message, "poison: no answer");
            assert!(place.unwrap().contains("failures.rs:"));
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(block_on(address.ask(InActor(1))), Ok(1));
    assert_eq!(block_on(address.ask(Alone(2))), Ok(2));
    assert_eq!(block_on(address.ask(Exclusive(3))), Ok(3));
    let restarts = || handle.status().worker("later").unwrap().restarts;
    check(block_on(address.ask(Alone(0))));
    assert_eq!(restarts(), 0, "a future of its own does not take the actor with it");
    check(block_on(address.ask(InActor(0))));
    eventually("restarted once", || restarts() == 1);
    check(block_on(address.ask(Exclusive(0))));
    eventually("restarted twice", || restarts() == 2);
    assert_eq!(block_on(address.ask(Exclusive(4))), Ok(4));
    handle.stop_blocking();
}

#[test]
fn a_message_without_an_asker_that_is_lost_is_a_dead_letter() {
    let trace = Trace::new();
    let (address, spec) = Puppet::child("w", &trace);
    let handle = start([spec]);
    for _ in 0..20 {
        block_on(address.send(Poison)).unwrap();
    }
    block_on(address.ask(Echo(1))).unwrap();
    let status = address.status();
    assert_eq!(status.dead_letters, 20);
    assert_eq!(status.last_dead_letters.len(), DEAD_LETTERS_KEPT);
    let letter = &status.last_dead_letters[0];
    assert!(letter.message_type.ends_with("::Poison"), "{letter:?}");
    assert!(letter.reason.contains("poison in w"), "{letter:?}");
    handle.stop_blocking();
    // What is queued when everything ends is a dead letter too, and later sends are refused.
    let refused = address.try_send(Poison).unwrap_err();
    assert_eq!(refused.reason, Refused::Closed);
    assert!(matches!(block_on(address.ask(Echo(1))), Err(AskError::Closed)));
}

#[test]
fn a_question_that_nobody_waits_for_is_not_asked() {
    let trace = Trace::new();
    let (address, spec) = Puppet::child("w", &trace);
    drop(address.try_ask(Echo(1)).unwrap());
    let kept = address.try_ask(Echo(2)).unwrap();
    let handle = start([spec]);
    assert_eq!(block_on(kept), Ok((2, 1)));
    assert_eq!(trace.handled.load(Ordering::SeqCst), 1);
    assert_eq!(address.status().cancelled, 1);
    handle.stop_blocking();
}
