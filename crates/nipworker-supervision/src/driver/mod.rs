//! Carries out what the policy decides: the supervisor's own thread.
//!
//! One thread drives the whole tree. It never waits for a worker: it sleeps until a message comes or
//! the next look is due. No actor code runs on it; what is foreign (wakers, `Drop` of messages) is
//! guarded.

mod monitor;
mod tree;
mod workers;

use std::collections::VecDeque;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::failure::{AskError, Failure, StartError};
use crate::handle::{self, Shared, StopReport};
use crate::policy::{self, Event, StopMode};
use crate::spec::SupervisorBuilder;
use crate::util::guarded;
use crate::worker::Worker;

use monitor::Zombie;
use tree::Node;

/// How an incarnation ended, as its runner tells it.
#[derive(Clone, Debug)]
pub(crate) enum Exit {
    Normal,
    Failed(Failure),
    /// It found itself given up.
    Abandoned,
    ThreadLost,
}

/// A child's place in the tree: supervisor and start order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(crate) node: usize,
    pub(crate) child: usize,
}

pub(crate) enum Msg {
    Up { place: Place, generation: u64 },
    Down { place: Place, generation: u64, exit: Exit },
    ThreadGone { worker: u64 },
    Stop(StopMode),
    Restart(String, oneshot::Sender<bool>),
    KillChild(String, oneshot::Sender<bool>),
}

/// How an incarnation reports to the driver.
pub(crate) struct Reporter {
    tx: mpsc::Sender<Msg>,
    place: Place,
    generation: u64,
}

impl Reporter {
    pub(crate) fn up(&self) {
        // Nobody listens only when the driver is gone, and then nobody cares.
        self.tx.send(Msg::Up { place: self.place, generation: self.generation }).ok();
    }

    pub(crate) fn down(&self, exit: Exit) {
        self.tx.send(Msg::Down { place: self.place, generation: self.generation, exit }).ok();
    }
}

pub(crate) struct Driver {
    rx: mpsc::Receiver<Msg>,
    tx: mpsc::Sender<Msg>,
    clock: Arc<dyn Clock>,
    tick: Duration,
    single_thread: bool,
    max_zombies: usize,
    shared: Arc<Shared>,
    /// The root is the first.
    nodes: Vec<Node>,
    /// Events that the policies have yet to see.
    queue: VecDeque<(usize, Event)>,
    shared_worker: Option<(u64, Arc<Worker>)>,
    next_worker: u64,
    zombies: Vec<Zombie>,
    /// Threads that are ending.
    retired: Vec<JoinHandle<()>>,
    end: Option<handle::Exit>,
    stopping_since: Option<Instant>,
    report: StopReport,
    next_look: Instant,
}

/// Events that the policies see before the driver looks at its messages again.
const SETTLE_EVENTS: usize = 256;
/// How long the end of the tree waits for threads that are ending.
const JOIN_GRACE: Duration = Duration::from_secs(2);

impl Driver {
    pub(crate) fn new(
        mut builder: SupervisorBuilder,
        tx: mpsc::Sender<Msg>,
        rx: mpsc::Receiver<Msg>,
    ) -> Result<Self, StartError> {
        tree::check_names(&builder)?;
        tree::claim(&mut builder)?;
        let clock = Arc::clone(&builder.clock);
        let (tick, single_thread) = (builder.tick, builder.single_thread);
        let max_zombies = builder.max_zombies;
        let mut nodes = Vec::new();
        let root = tree::grow(builder, None, &mut nodes);
        let shared = Shared::new(root, Arc::clone(&clock));
        Ok(Self {
            rx,
            tx,
            clock,
            tick,
            single_thread,
            max_zombies,
            shared,
            nodes,
            queue: VecDeque::new(),
            shared_worker: None,
            next_worker: 0,
            zombies: Vec::new(),
            retired: Vec::new(),
            end: None,
            stopping_since: None,
            report: StopReport::default(),
            next_look: Instant::now(),
        })
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    pub(crate) fn run(mut self) -> (handle::Exit, StopReport) {
        self.feed(0, Event::Start);
        loop {
            self.settle();
            if let Some(exit) = self.end.take() {
                return self.finish(exit);
            }
            let wait = if self.queue.is_empty() {
                self.next_look.saturating_duration_since(Instant::now())
            } else {
                Duration::ZERO
            };
            if let Ok(msg) = self.rx.recv_timeout(wait) {
                self.on(msg);
            }
            if Instant::now() >= self.next_look {
                self.look();
                self.next_look = self.next_timer().min(Instant::now() + self.tick);
            }
        }
    }

    fn on(&mut self, msg: Msg) {
        match msg {
            Msg::Up { place, generation } => self.worker_up(place, generation),
            Msg::Down { place, generation, exit } => self.worker_exited(place, generation, exit),
            Msg::ThreadGone { worker } => self.thread_gone(worker),
            Msg::Stop(mode) => {
                self.stopping_since.get_or_insert_with(Instant::now);
                self.feed(0, Event::Stop(mode));
            }
            Msg::Restart(name, reply) => {
                let place = self.find_worker(&name).filter(|&place| self.is_up(place));
                if let Some(place) = place {
                    if let Some(worker) = self.worker(place) {
                        worker.answers_first = true;
                    }
                    self.feed(place.node, Event::Restart(place.child));
                    // Whoever gets the answer must not find the status of before.
                    self.settle();
                }
                guarded(|| reply.send(place.is_some()).ok());
            }
            Msg::KillChild(name, reply) => {
                let place = self.find_worker(&name).filter(|&place| self.is_up(place));
                if let Some(place) = place {
                    self.kill_worker(place, Some(Failure::Killed));
                }
                guarded(|| reply.send(place.is_some()).ok());
            }
        }
    }

    /// Queues an event for a supervisor's policy.
    fn feed(&mut self, node: usize, event: Event) {
        self.queue.push_back((node, event));
    }

    /// Lets the policies see what is queued, and does what follows from it. Not for ever: a child
    /// that cannot be started and is tried again at once must not keep a stop from being read.
    fn settle(&mut self) {
        for _ in 0..SETTLE_EVENTS {
            let Some((node, event)) = self.queue.pop_front() else { return };
            let now = self.clock.now();
            for action in self.nodes[node].policy.step(now, event) {
                self.act(node, action);
            }
            if let Event::Down(child, _) = event {
                self.show_rest(Place { node, child });
            }
        }
    }

    /// Takes the tree apart: everybody who waits is answered, every thread joined.
    fn finish(mut self, exit: handle::Exit) -> (handle::Exit, StopReport) {
        let since = self.stopping_since.unwrap_or_else(Instant::now);
        let reason = match &exit {
            handle::Exit::Escalated { child, failure } => {
                format!("the supervisor gave up because of {child}: {failure}")
            }
            handle::Exit::Stopped => "the supervisor has stopped".to_owned(),
        };
        self.close_node(0, &reason);
        if let Some((_, worker)) = self.shared_worker.take() {
            self.retired.extend(worker.release());
        }
        let deadline = Instant::now() + JOIN_GRACE;
        self.join_retired();
        while !self.retired.is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
            self.join_retired();
        }
        self.bury_zombies();
        // What tasks of a thread that does not end have come to owe since.
        let error = AskError::Dropped { reason };
        for place in self.places() {
            if let Some(worker) = self.worker(place) {
                self.report.dropped_messages += worker.cell.behind.fail_pending(&error) as u64;
            }
        }
        // A shared thread is among the retired, or belongs to one zombie of several.
        let left_behind = self.zombies.iter().filter(|zombie| zombie.thread.is_some()).count();
        self.report.hung_threads = self.retired.len() + left_behind;
        self.report.took_ms = crate::behind::millis(since.elapsed());
        (exit, std::mem::take(&mut self.report))
    }

    fn join_retired(&mut self) {
        let (done, rest) =
            std::mem::take(&mut self.retired).into_iter().partition(JoinHandle::is_finished);
        self.retired = rest;
        for thread in Vec::<JoinHandle<()>>::into_iter(done) {
            drop(thread.join());
        }
    }
}

/// Policies of a node, from its builder.
fn node_policy(builder: &SupervisorBuilder, salt: u64) -> policy::NodePolicy {
    use crate::spec::Spec;
    policy::NodePolicy {
        strategy: builder.strategy,
        intensity: builder.intensity,
        children: builder
            .children
            .iter()
            .map(|child| match child {
                Spec::Worker(w) => policy::ChildPolicy { restart: w.restart, backoff: w.backoff },
                Spec::Node(n) => policy::ChildPolicy { restart: n.restart, backoff: n.backoff },
            })
            .collect(),
        seed: builder.seed.wrapping_add(salt.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
    }
}
