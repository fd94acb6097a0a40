//! What the tests share: a small worker that does what it is told, and helpers that wait for
//! conditions.
#![allow(dead_code, unreachable_pub, unused_imports, clippy::unwrap_used, clippy::print_stdout)]

use std::future::Future;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

pub use nipworker_supervision::prelude::*;
pub use nipworker_supervision::*;

/// Runs a future without any runtime.
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut cx = TaskContext::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// Waits until the condition holds; fails after a minute.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Keeps a thousand intended panics from filling the output.
pub fn quiet_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let text = info.payload_as_str().unwrap_or_default();
            if !text.contains("poison") && !text.contains("injected") {
                before(info);
            }
        }));
    });
}

/// What the incarnations of a worker leave behind for the test.
#[derive(Default)]
pub struct Trace {
    pub alive: AtomicI64,
    pub max_alive: AtomicI64,
    pub handled: AtomicU64,
    pub births: AtomicU64,
    pub log: Mutex<Vec<String>>,
}

impl Trace {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    pub fn note(&self, what: impl Into<String>) {
        self.log.lock().unwrap().push(what.into());
    }

    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    pub fn count(&self, what: &str) -> usize {
        self.log().iter().filter(|line| *line == what).count()
    }
}

/// A worker that does what its messages say.
pub struct Puppet {
    pub name: String,
    pub trace: Arc<Trace>,
    pub generation: u64,
    pub local: u64,
}

impl Puppet {
    pub fn new(name: &str, trace: &Arc<Trace>, start: &StartContext) -> Self {
        let alive = trace.alive.fetch_add(1, Ordering::SeqCst) + 1;
        trace.max_alive.fetch_max(alive, Ordering::SeqCst);
        trace.births.fetch_add(1, Ordering::SeqCst);
        Self { name: name.into(), trace: trace.clone(), generation: start.generation, local: 0 }
    }

    /// An address and a spec for it.
    pub fn child(name: &str, trace: &Arc<Trace>) -> (Address<Self>, ChildSpec) {
        Self::child_with(name, trace, MailboxConfig::default())
    }

    pub fn child_with(
        name: &str,
        trace: &Arc<Trace>,
        config: MailboxConfig,
    ) -> (Address<Self>, ChildSpec) {
        let address = Address::new(name, config);
        let (own, trace) = (name.to_owned(), trace.clone());
        let spec = ChildSpec::new(address.clone(), move |start: &StartContext| {
            Ok::<_, std::convert::Infallible>(Puppet::new(&own, &trace, start))
        })
        .backoff(Backoff::NONE);
        (address, spec)
    }
}

impl Drop for Puppet {
    fn drop(&mut self) {
        self.trace.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Actor for Puppet {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        self.trace.note(format!("start {}", self.name));
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.trace.note(format!("stop {}", self.name));
    }
}

/// Answers with its number and the incarnation that handled it.
#[derive(Message)]
#[rtype(result = "(u64, u64)")]
pub struct Echo(pub u64);

impl Handler<Echo> for Puppet {
    type Result = MessageResult<Echo>;

    fn handle(&mut self, Echo(n): Echo, _: &mut Self::Context) -> Self::Result {
        self.trace.handled.fetch_add(1, Ordering::Relaxed);
        MessageResult((n, self.generation))
    }
}

/// Panics.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Poison;

impl Handler<Poison> for Puppet {
    type Result = ();

    fn handle(&mut self, _: Poison, _: &mut Self::Context) {
        panic!("poison in {}", self.name);
    }
}

/// Blocks the thread.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Block(pub Duration);

impl Handler<Block> for Puppet {
    type Result = ();

    fn handle(&mut self, Block(time): Block, _: &mut Self::Context) {
        std::thread::sleep(time);
    }
}

/// Blocks until the gate is opened.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Gate(pub Arc<Mutex<()>>);

impl Handler<Gate> for Puppet {
    type Result = ();

    fn handle(&mut self, Gate(gate): Gate, _: &mut Self::Context) {
        drop(gate.lock().unwrap());
    }
}

/// Calls an error fatal.
#[derive(Message)]
#[rtype(result = "u64")]
pub struct Fail(pub &'static str);

impl Handler<Fail> for Puppet {
    type Result = u64;

    fn handle(&mut self, Fail(why): Fail, ctx: &mut Self::Context) -> u64 {
        fatal(ctx, why);
        1
    }
}

/// Ends the actor by its own decision.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Quit;

impl Handler<Quit> for Puppet {
    type Result = ();

    fn handle(&mut self, _: Quit, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

/// Restarts without limit.
pub const ENDLESS: Intensity = Intensity { max_restarts: u32::MAX, within: Duration::from_secs(1) };

/// Stops the tree in order, in the background.
pub fn stop_in_background(handle: &SupervisorHandle) -> std::thread::JoinHandle<StopReport> {
    let handle = handle.clone();
    std::thread::spawn(move || handle.stop_blocking())
}

/// Waits until the worker takes nothing more: an orderly stop has reached it.
pub fn sealed(address: &Address<Puppet>) {
    eventually("it takes nothing more", || {
        matches!(address.try_send(Echo(0)), Err(SendError { reason: Refused::Closed, .. }))
    });
}

/// Far more than anything here takes: an answer that is this late does not come.
pub const LONG: Duration = Duration::from_secs(60);
