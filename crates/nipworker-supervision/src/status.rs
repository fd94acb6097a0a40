//! The state of a tree, read from counters: no worker is asked.

use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::address::MailboxStatus;
use crate::behind::{Behind, millis};
use crate::failure::Failure;
use crate::policy::Strategy;
use crate::util::lock;

/// What a child or a supervisor is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum State {
    /// Not started yet.
    #[default]
    Idle,
    /// Being built, or in `started`.
    Starting,
    /// Serving.
    Running,
    /// Waiting for its turn to be started again.
    Restarting,
    /// Asked to stop.
    Stopping,
    /// Ended for good: by request, by its restart policy, or because its supervisor gave up.
    Stopped,
}

impl State {
    const ALL: [Self; 6] = [
        Self::Idle,
        Self::Starting,
        Self::Running,
        Self::Restarting,
        Self::Stopping,
        Self::Stopped,
    ];
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle => "idle",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Restarting => "restarting",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        })
    }
}

/// A failure as it appears in the status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureReport {
    /// `panicked`, `fatal`, `hung`, `thread_lost`, `start_failed`, `start_timed_out`, `ended`,
    /// `killed` or `escalated`.
    pub kind: String,
    /// The whole message.
    pub message: String,
    /// `file:line`, where known.
    pub place: Option<String>,
    /// When, in milliseconds since 1970.
    pub unix_ms: u64,
}

/// Handler times in microseconds, from samples; 0 before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Half of the messages took at most this long.
    pub p50: f64,
    /// 99 of 100 messages took at most this long.
    pub p99: f64,
}

/// The state of a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChildStatus {
    /// Its name.
    pub name: String,
    /// What it is doing.
    pub state: State,
    /// Which incarnation it is: 1 for the first, one more for each restart.
    pub generation: u64,
    /// How often it has been started again.
    pub restarts: u64,
    /// Time since it was last up, in milliseconds; 0 when it is not.
    pub uptime_ms: u64,
    /// Why it failed last.
    pub last_failure: Option<FailureReport>,
    /// Its mailbox.
    pub mailbox: MailboxStatus,
    /// Messages handled to the end.
    pub handled: u64,
    /// Messages that failed while they were handled.
    pub failed: u64,
    /// Panics that ended an incarnation.
    pub panics: u64,
    /// Hangs that ended an incarnation.
    pub hangs: u64,
    /// How long its handlers take.
    pub latency_us: Latency,
    /// Given-up threads of this worker that have not come back.
    pub zombies: u64,
}

/// The state of a supervisor and of everything below it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TreeStatus {
    /// Its name.
    pub name: String,
    /// What it is doing.
    pub state: State,
    /// Whom its restarts concern.
    pub strategy: Strategy,
    /// How often it has been started again by its parent.
    pub restarts: u64,
    /// Time since all its children were first up, in milliseconds; 0 when they are not.
    pub uptime_ms: u64,
    /// Why it gave up last.
    pub last_failure: Option<FailureReport>,
    /// Its children in start order.
    pub children: Vec<NodeStatus>,
}

/// A child in the status of a tree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeStatus {
    /// An actor.
    Worker(Box<ChildStatus>),
    /// A nested supervisor.
    Supervisor(TreeStatus),
}

impl TreeStatus {
    /// The worker of this name, wherever it is in the tree.
    pub fn worker(&self, name: &str) -> Option<&ChildStatus> {
        self.children.iter().find_map(|child| match child {
            NodeStatus::Worker(worker) => (worker.name == name).then_some(&**worker),
            NodeStatus::Supervisor(tree) => tree.worker(name),
        })
    }

    /// The nested supervisor of this name, or this one.
    pub fn supervisor(&self, name: &str) -> Option<&TreeStatus> {
        if self.name == name {
            return Some(self);
        }
        self.children.iter().find_map(|child| match child {
            NodeStatus::Worker(_) => None,
            NodeStatus::Supervisor(tree) => tree.supervisor(name),
        })
    }

    /// All workers in start order.
    pub fn workers(&self) -> Vec<&ChildStatus> {
        let mut all = Vec::new();
        for child in &self.children {
            match child {
                NodeStatus::Worker(worker) => all.push(&**worker),
                NodeStatus::Supervisor(tree) => all.extend(tree.workers()),
            }
        }
        all
    }

    /// Whether everything that should run does.
    pub fn is_healthy(&self) -> bool {
        self.state == State::Running
            && self.children.iter().all(|child| match child {
                // A worker that has ended by its own policy is no fault.
                NodeStatus::Worker(w) => matches!(w.state, State::Running | State::Stopped),
                NodeStatus::Supervisor(tree) => tree.is_healthy(),
            })
    }

    fn print(&self, f: &mut fmt::Formatter<'_>, indent: &str) -> fmt::Result {
        write!(f, "{} [{}, {}", self.name, self.state, strategy_name(self.strategy))?;
        if self.restarts > 0 {
            write!(f, ", {} restarts", self.restarts)?;
        }
        write!(f, ", up {}]", Uptime(self.uptime_ms))?;
        print_failure(f, self.last_failure.as_ref(), indent)?;
        for (i, child) in self.children.iter().enumerate() {
            let last = i + 1 == self.children.len();
            let (branch, below) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            write!(f, "\n{indent}{branch}")?;
            let below = format!("{indent}{below}");
            match child {
                NodeStatus::Worker(worker) => worker.print(f, &below)?,
                NodeStatus::Supervisor(tree) => tree.print(f, &below)?,
            }
        }
        Ok(())
    }
}

impl ChildStatus {
    fn print(&self, f: &mut fmt::Formatter<'_>, indent: &str) -> fmt::Result {
        write!(
            f,
            "{} [{}, up {}, {} restarts] handled {} failed {} queue {}/{} (high {}) p50 {:.1} us \
             p99 {:.1} us",
            self.name,
            self.state,
            Uptime(self.uptime_ms),
            self.restarts,
            self.handled,
            self.failed,
            self.mailbox.depth,
            self.mailbox.capacity,
            self.mailbox.high_water,
            self.latency_us.p50,
            self.latency_us.p99,
        )?;
        for (count, what) in [
            (self.mailbox.rejected_full, "refused"),
            (self.mailbox.dead_letters, "dead letters"),
            (self.zombies, "hung threads"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        print_failure(f, self.last_failure.as_ref(), indent)
    }
}

fn print_failure(
    f: &mut fmt::Formatter<'_>,
    failure: Option<&FailureReport>,
    indent: &str,
) -> fmt::Result {
    match failure {
        Some(failure) => write!(f, "\n{indent}last failure: {}", failure.message),
        None => Ok(()),
    }
}

fn strategy_name(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::OneForOne => "one for one",
        Strategy::OneForAll => "one for all",
        Strategy::RestForOne => "rest for one",
    }
}

struct Uptime(u64);

impl fmt::Display for Uptime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1000;
        match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60) {
            (0, 0, 0, _) => write!(f, "{:.1} s", self.0 as f64 / 1000.0),
            (0, 0, minutes, seconds) => write!(f, "{minutes} min {seconds} s"),
            (0, hours, minutes, _) => write!(f, "{hours} h {minutes} min"),
            (days, hours, ..) => write!(f, "{days} d {hours} h"),
        }
    }
}

impl fmt::Display for TreeStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.print(f, "")
    }
}

/// What the driver writes and a status query reads, for a worker or a supervisor alike.
#[derive(Default)]
pub(crate) struct Vitals {
    state: AtomicU8,
    /// Times of start, the first included.
    pub(crate) starts: AtomicU64,
    pub(crate) generation: AtomicU64,
    pub(crate) panics: AtomicU64,
    pub(crate) hangs: AtomicU64,
    pub(crate) zombies: AtomicU64,
    /// Clock time in ms plus one; 0 when it is not up.
    up_since: AtomicU64,
    last_failure: Mutex<Option<FailureReport>>,
}

impl Vitals {
    pub(crate) fn set_state(&self, state: State, now: Duration) {
        let before = self.state.swap(state as u8, Ordering::Relaxed);
        if before != state as u8 {
            let up = if state == State::Running { millis(now).saturating_add(1) } else { 0 };
            self.up_since.store(up, Ordering::Relaxed);
        }
    }

    pub(crate) fn state(&self) -> State {
        State::ALL[self.state.load(Ordering::Relaxed) as usize % State::ALL.len()]
    }

    pub(crate) fn restarts(&self) -> u64 {
        self.starts.load(Ordering::Relaxed).saturating_sub(1)
    }

    fn uptime_ms(&self, now: Duration) -> u64 {
        match self.up_since.load(Ordering::Relaxed) {
            0 => 0,
            since => millis(now).saturating_sub(since - 1),
        }
    }

    pub(crate) fn note(&self, failure: &Failure, unix_ms: u64) -> FailureReport {
        let report = FailureReport {
            kind: failure.kind().to_owned(),
            message: failure.to_string(),
            place: failure.place().map(str::to_owned),
            unix_ms,
        };
        *lock(&self.last_failure) = Some(report.clone());
        report
    }

    pub(crate) fn last_failure(&self) -> Option<FailureReport> {
        lock(&self.last_failure).clone()
    }
}

pub(crate) struct WorkerCell {
    pub(crate) behind: Arc<dyn Behind>,
    pub(crate) vitals: Vitals,
}

pub(crate) struct NodeCell {
    pub(crate) name: Arc<str>,
    pub(crate) strategy: Strategy,
    pub(crate) vitals: Vitals,
    pub(crate) children: Vec<Cell>,
}

#[derive(Clone)]
pub(crate) enum Cell {
    Worker(Arc<WorkerCell>),
    Node(Arc<NodeCell>),
}

impl WorkerCell {
    fn status(&self, now: Duration) -> ChildStatus {
        let counters = self.behind.counters();
        let latency = &self.behind.ledger().latency;
        let count = |n: &AtomicU64| n.load(Ordering::Relaxed);
        ChildStatus {
            name: self.behind.ledger().name.to_string(),
            state: self.vitals.state(),
            generation: count(&self.vitals.generation),
            restarts: self.vitals.restarts(),
            uptime_ms: self.vitals.uptime_ms(now),
            last_failure: self.vitals.last_failure(),
            mailbox: self.behind.mailbox_status(),
            handled: counters.handled,
            failed: counters.failed,
            panics: count(&self.vitals.panics),
            hangs: count(&self.vitals.hangs),
            latency_us: Latency { p50: latency.quantile_us(0.5), p99: latency.quantile_us(0.99) },
            zombies: count(&self.vitals.zombies),
        }
    }
}

impl NodeCell {
    pub(crate) fn status(&self, now: Duration) -> TreeStatus {
        TreeStatus {
            name: self.name.to_string(),
            state: self.vitals.state(),
            strategy: self.strategy,
            restarts: self.vitals.restarts(),
            uptime_ms: self.vitals.uptime_ms(now),
            last_failure: self.vitals.last_failure(),
            children: self
                .children
                .iter()
                .map(|child| match child {
                    Cell::Worker(worker) => NodeStatus::Worker(Box::new(worker.status(now))),
                    Cell::Node(node) => NodeStatus::Supervisor(node.status(now)),
                })
                .collect(),
        }
    }
}
