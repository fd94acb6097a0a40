//! Back-off and intensity under a clock that the test moves.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use common::*;

struct Weak;

impl Actor for Weak {
    type Context = Context<Self>;
}

impl Handler<Poison> for Weak {
    type Result = ();

    fn handle(&mut self, _: Poison, _: &mut Self::Context) {
        panic!("poison");
    }
}

struct Setup {
    clock: ManualClock,
    address: Address<Weak>,
    tries: Arc<AtomicU64>,
    refuse: Arc<AtomicBool>,
    handle: SupervisorHandle,
}

fn setup(backoff: Backoff, intensity: Intensity) -> Setup {
    quiet_panics();
    let clock = ManualClock::new();
    let address = Address::new("weak", MailboxConfig::default());
    let (tries, refuse) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let (count, mood) = (tries.clone(), refuse.clone());
    let spec = ChildSpec::new(address.clone(), move |_: &StartContext| {
        count.fetch_add(1, Ordering::SeqCst);
        if mood.load(Ordering::SeqCst) { Err("not yet") } else { Ok(Weak) }
    })
    .backoff(backoff);
    let handle = Supervisor::builder("root")
        .clock(clock.clone())
        .tick(Duration::from_millis(1))
        .intensity(intensity)
        .child(spec)
        .start_blocking()
        .unwrap();
    Setup { clock, address, tries, refuse, handle }
}

impl Setup {
    fn tries(&self) -> u64 {
        self.tries.load(Ordering::SeqCst)
    }

    fn state(&self) -> State {
        self.handle.status().worker("weak").unwrap().state
    }
}

#[test]
fn waits_grow_up_to_their_limit_and_the_first_restart_is_immediate() {
    let ms = Duration::from_millis;
    let backoff =
        Backoff { min: ms(100), max: ms(1000), factor: 2.0, jitter: 0.0, reset_after: ms(60_000) };
    let s = setup(backoff, ENDLESS);
    s.refuse.store(true, Ordering::SeqCst);
    assert!(block_on(s.address.ask(Poison)).is_err());
    eventually("the first restart takes no time", || s.tries() == 2);
    for (i, wait) in [100, 200, 400, 800, 1000, 1000].into_iter().enumerate() {
        let tries = 2 + i as u64;
        eventually("it waits", || s.state() == State::Restarting);
        s.clock.advance(ms(wait - 1));
        // The driver has looked at the new time when it has looked twice more.
        std::thread::sleep(ms(10));
        assert_eq!(s.tries(), tries, "not before {wait} ms");
        s.clock.advance(ms(1));
        eventually("the wait is over", || s.tries() == tries + 1);
    }
    s.refuse.store(false, Ordering::SeqCst);
    s.clock.advance(ms(1000));
    eventually("it is up", || s.state() == State::Running);

    // Not long enough for a reset.
    s.clock.advance(ms(59_999));
    assert!(block_on(s.address.ask(Poison)).is_err());
    eventually("it waits again", || s.state() == State::Restarting);
    s.clock.advance(ms(1000));
    eventually("it is up", || s.state() == State::Running);
    // Long enough.
    s.clock.advance(ms(60_000));
    let tries = s.tries();
    assert!(block_on(s.address.ask(Poison)).is_err());
    eventually("at once", || s.tries() == tries + 1);
    s.handle.stop_blocking();
}

#[test]
fn failures_spread_over_time_are_tolerated_and_close_together_are_not() {
    let within = Duration::from_secs(60);
    let s = setup(Backoff::NONE, Intensity { max_restarts: 3, within });
    let fail_and_recover = |restarts: u64| {
        assert!(block_on(s.address.ask(Poison)).is_err());
        eventually("it is up again", || {
            let status = s.handle.status();
            let worker = status.worker("weak").unwrap();
            worker.restarts == restarts && worker.state == State::Running
        });
    };
    for round in 1..=20 {
        fail_and_recover(round);
        s.clock.advance(Duration::from_secs(21));
    }
    // Two are left in the period from before. A third is tolerated, a fourth is not.
    fail_and_recover(21);
    assert!(block_on(s.address.ask(Poison)).is_err());
    assert!(matches!(s.handle.wait_blocking(), Exit::Escalated { .. }));
    assert_eq!(s.handle.status().worker("weak").unwrap().restarts, 21);
}

#[test]
fn an_uptime_is_told_in_the_clock_of_the_tree() {
    let s = setup(Backoff::NONE, ENDLESS);
    s.clock.advance(Duration::from_secs(90_000));
    let status = s.handle.status();
    assert_eq!(status.uptime_ms, 90_000_000);
    assert_eq!(status.worker("weak").unwrap().uptime_ms, 90_000_000);
    assert!(status.to_string().contains("up 1 d 1 h"), "{status}");
    s.handle.stop_blocking();
    assert_eq!(s.handle.status().uptime_ms, 0);
}

#[test]
fn all_children_can_share_one_thread() {
    let trace = Trace::new();
    let (a, a_spec) = Puppet::child("a", &trace);
    let (b, b_spec) = Puppet::child("b", &trace);
    quiet_panics();
    let handle = Supervisor::builder("root")
        .single_arbiter()
        .child(a_spec)
        .supervisor(Supervisor::builder("inner").child(b_spec))
        .start_blocking()
        .unwrap();
    let thread = |address: &Address<Puppet>| block_on(address.ask(WhichThread)).unwrap();
    assert_eq!(thread(&a), thread(&b));
    assert!(block_on(a.ask(Poison)).is_err());
    assert_eq!(block_on(a.ask(Echo(1))), Ok((1, 2)));
    assert_eq!(block_on(b.ask(Echo(1))), Ok((1, 1)));
    assert_eq!(thread(&a), thread(&b));
    assert!(handle.stop_blocking().is_clean());
}

#[test]
fn a_hang_on_a_shared_thread_costs_its_own_worker_only() {
    let trace = Trace::new();
    let (a, a_spec) = Puppet::child("a", &trace);
    let (b, b_spec) = Puppet::child("b", &trace);
    let handle = Supervisor::builder("root")
        .single_arbiter()
        .child(a_spec.hang_limit(Duration::from_millis(50)))
        .child(b_spec)
        .start_blocking()
        .unwrap();
    let stuck = a.try_ask(Block(Duration::from_millis(300))).unwrap();
    let held_up = b.try_ask(Echo(1)).unwrap();
    assert!(matches!(block_on(stuck), Err(AskError::Hung { .. })));
    assert_eq!(block_on(a.ask(Echo(1))), Ok((1, 2)));
    assert_eq!(block_on(held_up), Ok((1, 1)), "when the thread is free again");
    eventually("it is counted as back", || handle.status().worker("a").unwrap().zombies == 0);
    assert!(handle.stop_blocking().is_clean());
    assert_eq!(trace.alive.load(Ordering::SeqCst), 0);
}

/// On which thread does the worker live?
#[derive(Message)]
#[rtype(result = "String")]
struct WhichThread;

impl Handler<WhichThread> for Puppet {
    type Result = String;

    fn handle(&mut self, _: WhichThread, _: &mut Self::Context) -> String {
        format!("{:?}", std::thread::current().id())
    }
}

#[test]
fn a_worker_lives_on_a_thread_of_its_own_that_has_its_name() {
    let trace = Trace::new();
    let (_, a_spec) = Puppet::child("own-thread-a", &trace);
    let (_, b_spec) = Puppet::child("own-thread-b", &trace);
    let handle = Supervisor::builder("root").child(a_spec).child(b_spec).start_blocking().unwrap();
    let names: Vec<String> = std::fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .map(|name| name.trim().to_owned())
        .collect();
    for name in ["own-thread-a", "own-thread-b"] {
        assert_eq!(names.iter().filter(|it| *it == name).count(), 1, "{names:?}");
    }
    handle.stop_blocking();
}
