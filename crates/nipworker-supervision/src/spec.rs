//! What a tree consists of: children, and supervisors that are children themselves.

use std::fmt;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::Duration;

use actix::{Actor, Context};
use serde::{Deserialize, Serialize};

use crate::address::Address;
use crate::behind::{Behind, StopSignal};
use crate::clock::{Clock, SystemClock};
use crate::driver::Reporter;
use crate::failure::AskError;
use crate::handle::Exit;
use crate::hook::PanicSink;
use crate::local::{Incarnation, Local};
use crate::policy::{Backoff, Intensity, RestartPolicy, Strategy};
use crate::runner::{Build, Runner};
use crate::status::FailureReport;
use crate::worker::Job;

/// How long a child may take to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shutdown {
    /// No time: it is given up at once, without its stop hooks.
    Brutal,
    /// So long: to work off what is queued (in an orderly stop) and to run its stop hooks.
    Timeout(Duration),
}

impl Default for Shutdown {
    /// 5 s.
    fn default() -> Self {
        Self::Timeout(Duration::from_secs(5))
    }
}

/// Default limit for a handler, a hook or a future of an actor to come back.
pub const DEFAULT_HANG_LIMIT: Duration = Duration::from_secs(10);
/// Default limit for factory and `started` together.
pub const DEFAULT_START_TIMEOUT: Duration = Duration::from_secs(30);
/// Default interval at which a supervisor looks at its children.
pub const DEFAULT_TICK: Duration = Duration::from_millis(10);
/// The longest interval at which a supervisor looks at its children.
pub const MAX_TICK: Duration = Duration::from_secs(1);
/// Default number of threads that may hang at once before the whole tree gives up.
pub const DEFAULT_MAX_ZOMBIES: usize = 8;

/// What a factory is told about the incarnation it makes.
#[derive(Clone, Debug)]
pub struct StartContext {
    /// Which incarnation this is; grows with each.
    pub generation: u64,
    /// How often the child has been started again so far.
    pub restarts: u64,
    /// Why the child failed last, if it did.
    pub last_failure: Option<FailureReport>,
    /// Set when this incarnation is asked to stop or is given up. Handlers that run for long, and
    /// threads that the actor starts, look at it.
    pub stop_signal: StopSignal,
}

type MakeJob = Box<dyn Fn(Arc<Incarnation>, StartContext, Reporter) -> Job + Send>;

/// An actor as a child: its address, how to build it, and what to do when it ends.
pub struct ChildSpec {
    pub(crate) behind: Arc<dyn Behind>,
    pub(crate) make_job: MakeJob,
    pub(crate) restart: RestartPolicy,
    pub(crate) backoff: Backoff,
    pub(crate) shutdown: Shutdown,
    pub(crate) hang_limit: Duration,
    pub(crate) start_timeout: Duration,
    /// Whether it is the one that serves its address.
    owner: bool,
}

impl ChildSpec {
    /// A permanent child with the default limits. An address is served by one started spec at a
    /// time; a tree with a second one does not start.
    ///
    /// The factory runs on the child's thread, once per incarnation. It builds a fresh actor, which
    /// reads its durable state again from where it is durable. Its error is a failed start.
    pub fn new<A, E, F>(address: Address<A>, factory: F) -> Self
    where
        A: Actor<Context = Context<A>>,
        E: fmt::Display,
        F: FnMut(&StartContext) -> Result<A, E> + Send + 'static,
    {
        let inner = address.inner;
        let behind = Arc::clone(&inner) as Arc<dyn Behind>;
        let factory = Arc::new(Mutex::new(factory));
        let make_job: MakeJob = Box::new(move |incarnation, start, reporter| {
            let (inner, factory) = (Arc::clone(&inner), Arc::clone(&factory));
            Box::new(move || {
                let build: Build<A> = Box::new(move || {
                    let mut factory = match factory.try_lock() {
                        Ok(factory) => factory,
                        Err(TryLockError::Poisoned(poisoned)) => PoisonError::into_inner(poisoned),
                        Err(TryLockError::WouldBlock) => {
                            return Err("an earlier start still hangs in the factory".to_owned());
                        }
                    };
                    (*factory)(&start).map_err(|error| error.to_string())
                });
                let sink = Arc::clone(&inner) as Arc<dyn PanicSink>;
                let local = Rc::new(Local::new(incarnation, reporter, sink));
                Box::pin(Runner::new(inner, local, build))
            })
        });
        Self {
            behind,
            make_job,
            restart: RestartPolicy::default(),
            backoff: Backoff::default(),
            shutdown: Shutdown::default(),
            hang_limit: DEFAULT_HANG_LIMIT,
            start_timeout: DEFAULT_START_TIMEOUT,
            owner: false,
        }
    }

    /// Makes this the spec that serves its address. False if another one does.
    pub(crate) fn claim(&mut self) -> bool {
        self.owner = self.owner || self.behind.ledger().claim();
        self.owner
    }

    /// When to start it again. Default: always.
    #[must_use]
    pub fn restart(mut self, restart: RestartPolicy) -> Self {
        self.restart = restart;
        self
    }

    /// How long to wait before that. Default: see [`Backoff::default`].
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// How long it may take to stop. Default: 5 s.
    #[must_use]
    pub fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.shutdown = shutdown;
        self
    }

    /// How long a handler, a hook or one poll of a future may take. Longer is a hang: the sender
    /// gets [`AskError::Hung`], the thread is given up, and the child goes on with a fresh one.
    /// Default: 10 s. It does not limit asynchronous work that lets go of the thread; askers limit
    /// that with [`Ask::timeout`](crate::Ask::timeout).
    #[must_use]
    pub fn hang_limit(mut self, limit: Duration) -> Self {
        self.hang_limit = limit;
        self
    }

    /// How long the factory and `started`, with what it waits for, may take. Default: 30 s.
    #[must_use]
    pub fn start_timeout(mut self, limit: Duration) -> Self {
        self.start_timeout = limit;
        self
    }

    /// The name of the child: that of its address.
    pub fn name(&self) -> &str {
        &self.behind.ledger().name
    }
}

impl Drop for ChildSpec {
    /// Whatever way a tree goes down, nobody waits for an answer from a child that is gone.
    fn drop(&mut self) {
        // A spec that came to nothing has no business with an address that another one serves.
        if self.claim() {
            let reason = "the supervisor is gone".to_owned();
            self.behind.close(AskError::Dropped { reason }).drop_here();
            self.behind.ledger().release();
        }
    }
}

impl fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildSpec")
            .field("name", &self.name())
            .field("restart", &self.restart)
            .finish_non_exhaustive()
    }
}

pub(crate) enum Spec {
    Worker(ChildSpec),
    Node(SupervisorBuilder),
}

impl Spec {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Worker(child) => child.name(),
            Self::Node(builder) => &builder.name,
        }
    }
}

/// A supervisor to be: start it, or make it a child of another.
#[must_use = "a supervisor does nothing until it is started"]
pub struct SupervisorBuilder {
    pub(crate) name: Arc<str>,
    pub(crate) strategy: Strategy,
    pub(crate) intensity: Intensity,
    pub(crate) children: Vec<Spec>,
    pub(crate) restart: RestartPolicy,
    pub(crate) backoff: Backoff,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tick: Duration,
    pub(crate) single_thread: bool,
    pub(crate) max_zombies: usize,
    pub(crate) seed: u64,
    pub(crate) at_end: Option<AtEnd>,
}

pub(crate) type AtEnd = Box<dyn FnOnce(&Exit) + Send>;

impl SupervisorBuilder {
    pub(crate) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            strategy: Strategy::default(),
            intensity: Intensity::default(),
            children: Vec::new(),
            restart: RestartPolicy::default(),
            backoff: Backoff::default(),
            clock: Arc::new(SystemClock::new()),
            tick: DEFAULT_TICK,
            single_thread: false,
            max_zombies: DEFAULT_MAX_ZOMBIES,
            seed: 0,
            at_end: None,
        }
    }

    /// What to do when the tree has ended, whoever ended it: after every worker is gone, before
    /// [`SupervisorHandle::wait`](crate::SupervisorHandle::wait) completes. It runs on the
    /// supervisor's thread and is to be short; a panic in it is caught. Of the root only.
    pub fn at_end(mut self, run: impl FnOnce(&Exit) + Send + 'static) -> Self {
        self.at_end = Some(Box::new(run));
        self
    }

    /// Whom a restart concerns. Default: the failed child alone.
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// How many restarts are too many. Default: more than 5 in 30 s.
    pub fn intensity(mut self, intensity: Intensity) -> Self {
        self.intensity = intensity;
        self
    }

    /// Adds a child. Children start in the order in which they are added.
    pub fn child(mut self, child: ChildSpec) -> Self {
        self.children.push(Spec::Worker(child));
        self
    }

    /// Adds a supervisor as a child. It keeps its own strategy and intensity; clock, tick and
    /// threads are those of the root.
    pub fn supervisor(mut self, builder: SupervisorBuilder) -> Self {
        self.children.push(Spec::Node(builder));
        self
    }

    /// As a child: when to start it again after it has given up. Default: always.
    pub fn restart(mut self, restart: RestartPolicy) -> Self {
        self.restart = restart;
        self
    }

    /// As a child: how long to wait before that.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// The time it goes by. Default: real time.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// How often it looks at its children. Default: 10 ms. A hang is noticed at most two ticks
    /// after its limit. At least 1 ms, at most [`MAX_TICK`].
    pub fn tick(mut self, tick: Duration) -> Self {
        self.tick = tick.clamp(Duration::from_millis(1), MAX_TICK);
        self
    }

    /// Puts all children on one thread, for tests in which they must not run at the same time. A
    /// child that hangs then holds up the others.
    pub fn single_arbiter(mut self) -> Self {
        self.single_thread = true;
        self
    }

    /// How many given-up threads may still be around before the tree gives up. Default: 8. A hung
    /// thread cannot be killed, only left behind; the way to get rid of it is to end the process.
    pub fn max_zombies(mut self, max: usize) -> Self {
        self.max_zombies = max;
        self
    }

    /// Seed of the jitter, to make restarts repeatable. Default: different for each start.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }
}

impl fmt::Debug for SupervisorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let children: Vec<&str> = self.children.iter().map(Spec::name).collect();
        f.debug_struct("SupervisorBuilder")
            .field("name", &self.name)
            .field("strategy", &self.strategy)
            .field("children", &children)
            .finish_non_exhaustive()
    }
}
