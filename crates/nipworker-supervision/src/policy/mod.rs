//! What a supervisor decides, without doing any of it.
//!
//! [`Node::step`] takes the time and an event and returns actions. There is no clock, no thread, no
//! actor in here, so that every rule can be tested by feeding events. A driver carries the actions
//! out and reports back; a nested supervisor is a child like any other.
//!
//! Rules, as in OTP unless said otherwise:
//!
//! * Children start in order, each when the one before is up, and stop in reverse order.
//! * A child that fails while the supervisor itself is starting makes the start fail.
//! * More than `max_restarts` within `within` is too much: the supervisor stops its children and
//!   itself, and its parent decides ([`Cause::Escalated`]).
//! * One-for-one restarts the child alone; one-for-all stops all others and starts all again;
//!   rest-for-one does so with those that were started after it. Temporary children that are
//!   stopped in such a group are not started again; transient ones are, even if they had ended.
//! * Beyond OTP: restarts wait for a back-off. Under a group strategy the group waits with it.

mod step;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use step::Node;

/// When a child that ended is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestartPolicy {
    /// Always.
    #[default]
    Permanent,
    /// After a failure, not after a normal end.
    Transient,
    /// Never.
    Temporary,
}

/// Whom a restart concerns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// The failed child alone.
    #[default]
    OneForOne,
    /// All children.
    OneForAll,
    /// The failed child and those started after it.
    RestForOne,
}

/// How many restarts are too many: more than `max_restarts` in any period of length `within`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intensity {
    /// Restarts that are still acceptable within the period.
    pub max_restarts: u32,
    /// Length of the sliding period.
    pub within: Duration,
}

impl Default for Intensity {
    /// 5 restarts in 30 s.
    fn default() -> Self {
        Self { max_restarts: 5, within: Duration::from_secs(30) }
    }
}

/// How long a failed child waits before it is started again.
///
/// The first restart is immediate. The following ones wait `min`, `min * factor`, … up to `max`,
/// each spread by `jitter`, until the child has been up for `reset_after`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Backoff {
    /// Wait before the second restart in a row.
    pub min: Duration,
    /// The longest wait, before jitter.
    pub max: Duration,
    /// Growth per restart; below 1, or not a number, it counts as 1.
    pub factor: f64,
    /// Share of the wait that is random, 0.0 to 1.0: a wait `w` becomes `w * (1 ± jitter)`. What is
    /// outside counts as the nearest of the two, what is not finite as 0.0.
    pub jitter: f64,
    /// Up-time after which the next failure counts as the first again.
    pub reset_after: Duration,
}

impl Backoff {
    /// Restart at once, always.
    pub const NONE: Self = Self {
        min: Duration::ZERO,
        max: Duration::ZERO,
        factor: 1.0,
        jitter: 0.0,
        reset_after: Duration::ZERO,
    };

    /// The wait before restart number `attempt` in a row (0 is the first), without jitter.
    pub fn delay(&self, attempt: u32) -> Duration {
        // Nothing stays nothing, however often it is multiplied.
        if attempt == 0 || self.min.is_zero() {
            return Duration::ZERO;
        }
        let exponent = i32::try_from(attempt - 1).unwrap_or(i32::MAX);
        let grown = self.min.as_secs_f64() * self.factor.max(1.0).powi(exponent);
        // The product may be more than a Duration can hold.
        Duration::try_from_secs_f64(grown).map_or(self.max, |grown| grown.min(self.max))
    }

    /// The same, spread by the jitter: `random` is -1.0 for the shortest wait, 1.0 for the longest.
    fn spread(&self, delay: Duration, random: f64) -> Duration {
        if !self.jitter.is_finite() {
            return delay;
        }
        let seconds = delay.as_secs_f64() * (1.0 + self.jitter.clamp(0.0, 1.0) * random);
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}

impl Default for Backoff {
    /// 50 ms doubling up to 10 s, ± 20 %, reset after 30 s of health.
    fn default() -> Self {
        Self {
            min: Duration::from_millis(50),
            max: Duration::from_secs(10),
            factor: 2.0,
            jitter: 0.2,
            reset_after: Duration::from_secs(30),
        }
    }
}

/// What the policy knows of a child.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ChildPolicy {
    /// When to start it again.
    pub restart: RestartPolicy,
    /// How long to wait before that.
    pub backoff: Backoff,
}

/// What the policy knows of its supervisor.
#[derive(Clone, Debug, PartialEq)]
pub struct NodePolicy {
    /// Whom a restart concerns.
    pub strategy: Strategy,
    /// How many restarts are too many.
    pub intensity: Intensity,
    /// Children in start order.
    pub children: Vec<ChildPolicy>,
    /// Seed of the jitter.
    pub seed: u64,
}

/// How a child is asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    /// It will be started again, or its parent has yet to decide: what is queued stays queued.
    Keep,
    /// For good: work off what is queued, within the child's shutdown limit.
    Drain,
    /// At once.
    Kill,
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitKind {
    /// By its own decision, or because it was asked to.
    Normal,
    /// A panic, a fatal error, a hang, a lost thread, a failed start, an escalation from below.
    Failed,
}

/// What happened. Children are named by their place in the start order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Start all children.
    Start,
    /// A child has started and serves.
    Up(usize),
    /// A child has ended, and nothing of it is running any more.
    Down(usize, ExitKind),
    /// The supervisor must give up because of this child, whatever its intensity allows.
    Escalate(usize),
    /// The back-off of a child is over.
    Timer(usize),
    /// Replace a child by a fresh one, without counting it as a failure.
    Restart(usize),
    /// Stop all children.
    Stop(StopMode),
}

/// What the driver has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start this child and answer with [`Event::Up`] or [`Event::Down`].
    Start(usize),
    /// Stop this child and answer with [`Event::Down`]. May be asked for again with a mode that
    /// goes further, while the child is stopping.
    Stop(usize, StopMode),
    /// Send [`Event::Timer`] after this time. Replaces an earlier timer of the same child.
    Timer(usize, Duration),
    /// This child has ended and will not be started again by this supervisor.
    Finished(usize),
    /// All children have been started.
    NodeUp,
    /// All children have ended. The last action until the next [`Event::Start`].
    NodeDown(Cause),
}

/// Why a supervisor ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It was asked to.
    Stopped,
    /// This child could not be started.
    StartFailed(usize),
    /// This child failed too often, or cannot be restarted.
    Escalated(usize),
}
