//! How a job is run, how it is getting on, and how it ends.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::error::PoolError;
use crate::os;
use crate::span::Span;

/// Share of the threads that a job gets while others compete.
///
/// The shares of two jobs relate as their weights; even the lowest class always gets its share.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Weight 1.
    Bulk,
    /// Weight 4.
    #[default]
    Normal,
    /// Weight 16.
    High,
    /// Weight 64. Such a job also passes the queue: every thread takes it up at its next batch.
    Urgent,
}

impl Priority {
    /// The weight of this class.
    pub const fn weight(self) -> u64 {
        match self {
            Self::Bulk => 1,
            Self::Normal => 4,
            Self::High => 16,
            Self::Urgent => 64,
        }
    }
}

/// What a panic in a batch means for its job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnPanic {
    /// The batch is queued again exactly once; if it panics again it is quarantined. A batch that
    /// does nothing although nobody has cancelled it counts as one that panicked.
    #[default]
    RetryOnce,
    /// The job ends with [`EndReason::Panicked`].
    EndJob,
}

/// How a job is run. Make one with [`JobSpec::new`] and change what differs.
#[derive(Clone, Debug)]
pub struct JobSpec {
    /// Name for the log.
    pub name: Arc<str>,
    /// The work: disjoint spans in ascending order.
    pub spans: Vec<Span>,
    /// Share of the threads.
    pub priority: Priority,
    /// Most threads that may work on it at once; `None` is all.
    pub max_threads: Option<NonZeroUsize>,
    /// When it is ended with [`EndReason::TimedOut`]; a job whose deadline has passed is refused.
    pub deadline: Option<Instant>,
    /// Whether threads run only when nothing else on the machine wants their CPU (`SCHED_IDLE`)
    /// while they work on it. Linux and Android only; refused elsewhere. On a busy machine its
    /// batches stand still for as long as others compute, and its end waits for them.
    pub idle: bool,
    /// Share of wall time, in percent (1 to 100), that each thread works on it at most; `None` is
    /// all. A thread that has worked `t` on it leaves it for `t · (100 − percent) / percent`:
    /// it works for other jobs meanwhile, or sleeps ([`ThreadMetrics::throttled_ns`]). Batches
    /// are cut so that work and pause together take 50 ms at most, unless one item takes longer.
    /// More than 100 ms in which a batch neither computed nor took about as long as the ones
    /// before it (the process was stopped, the machine slept) count as no work.
    /// With `max_threads` below the pool's, only as many threads take part at all.
    ///
    /// [`ThreadMetrics::throttled_ns`]: crate::ThreadMetrics::throttled_ns
    pub cpu_percent: Option<u8>,
    /// Items in the first batch; later ones follow the measured speed. Default: 1.
    pub initial_batch: u64,
    /// Most items in a batch. Default: 1,000,000.
    pub max_batch: u64,
    /// What a panic means.
    pub on_panic: OnPanic,
    /// Whether it begins paused, until [`JobTicket::resume`](crate::JobTicket::resume); its
    /// deadline holds all the same. Default: false.
    pub paused: bool,
}

impl JobSpec {
    /// Default value of [`JobSpec::max_batch`].
    pub const DEFAULT_MAX_BATCH: u64 = 1_000_000;

    /// A job over `spans` with every other setting at its default.
    pub fn new(name: impl Into<Arc<str>>, spans: Vec<Span>) -> Self {
        Self {
            name: name.into(),
            spans,
            priority: Priority::default(),
            max_threads: None,
            deadline: None,
            idle: false,
            cpu_percent: None,
            initial_batch: 1,
            max_batch: Self::DEFAULT_MAX_BATCH,
            on_panic: OnPanic::default(),
            paused: false,
        }
    }

    pub(crate) fn validate(&self) -> Result<(), PoolError> {
        for (at, pair) in self.spans.windows(2).enumerate() {
            if pair[1].start < pair[0].end() {
                return Err(PoolError::Spans {
                    at: at + 1,
                    start: pair[1].start,
                    previous_end: pair[0].end(),
                });
            }
        }
        if let Some(percent) = self.cpu_percent.filter(|percent| !(1..=100).contains(percent)) {
            return Err(PoolError::Setting {
                name: "cpu_percent",
                value: u64::from(percent),
                allowed: "1 to 100 percent",
            });
        }
        if self.idle && !os::has_idle() {
            return Err(PoolError::Unsupported { what: "idle scheduling of a thread" });
        }
        let late = self.deadline.map_or(Duration::ZERO, |deadline| deadline.elapsed());
        if !late.is_zero() {
            return Err(PoolError::DeadlinePassed { late });
        }
        Ok(())
    }
}

/// Why a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndReason {
    /// Every span was committed or quarantined.
    Exhausted,
    /// A commit said [`Next::Stop`](crate::Next::Stop).
    Stopped,
    /// [`crate::JobTicket::cancel`] was called.
    Cancelled,
    /// The deadline passed.
    TimedOut,
    /// A batch panicked and the job was set to [`OnPanic::EndJob`].
    Panicked {
        /// Text of the panic.
        message: String,
    },
    /// The pool was shut down.
    Shutdown,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobEnd {
    /// Why.
    pub reason: EndReason,
    /// Number of items committed.
    pub items: u64,
    /// Spans that were given up because they panicked twice, in ascending order, neighbours joined.
    pub quarantined: Vec<Span>,
}

/// How a job is getting on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JobStats {
    /// Items committed.
    pub items: u64,
    /// Items not handed out yet.
    pub unclaimed: u64,
    /// Batches handed out and not settled.
    pub outstanding: u64,
    /// Threads inside one of its batches now.
    pub running: u64,
    /// Batches committed.
    pub batches: u64,
    /// Batches whose result came too late and was dropped.
    pub stale: u64,
    /// Batches that panicked, did nothing uncancelled, or were lost with their thread.
    pub panics: u64,
    /// Spans given up, in ascending order, neighbours joined.
    pub quarantined: Vec<Span>,
    /// Size of the next batch.
    pub batch_size: u64,
    /// Moving average of the thread CPU nanoseconds per item.
    pub cpu_ns_per_item: f64,
    /// Thread CPU nanoseconds of the committed batches.
    pub cpu_ns: u64,
}
