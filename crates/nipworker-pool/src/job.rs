//! One job: what is left to hand out, what is out, and how it ends.

mod claim;
mod settle;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU64, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::caught::{drop_caught, drop_quietly};
use crate::sizer::{Sizer, WALL_LIMIT_NS};
use crate::span::{Span, nanos};
use crate::spec::{EndReason, JobEnd, JobSpec, JobStats, OnPanic, Priority};
use crate::sync::lock;
use crate::task::{AnyTask, BatchContext, Settle};
use crate::throttle::Throttle;

const RUNNING: u8 = 0;
const PAUSED: u8 = 1;
const STOPPING: u8 = 2;

/// A span on its way to a thread.
pub(crate) struct Batch {
    pub(crate) job: Arc<JobCore>,
    pub(crate) span: Span,
    pub(crate) generation: u64,
    retries: u8,
    /// What the scheduler charged the job for it, in nanoseconds of thread time.
    pub(crate) charged_ns: u64,
    /// Set by whoever settles it: exactly one of commit, hand-back and failure counts.
    settled: AtomicBool,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    Committed,
    /// Its result was dropped because the job had ended.
    Stale,
    /// The commit itself panicked.
    Quarantined,
    /// A failed batch is queued again.
    QueuedAgain,
    /// It came back with nothing done although nobody had cancelled it; it failed.
    Idle {
        queued_again: bool,
    },
}

/// A span that went out and came back.
struct Fragment {
    span: Span,
    retries: u8,
}

struct Gate {
    fragments: VecDeque<Fragment>,
    /// In ascending order, neighbours joined.
    quarantined: Vec<Span>,
    sizer: Sizer,
    items: u64,
    batches: u64,
    stale: u64,
    panics: u64,
    cpu_ns: u64,
    cause: Option<EndReason>,
    end: Option<JobEnd>,
}

impl Gate {
    /// Whether results are refused. A shutdown lets what is running commit what it has done.
    fn closed(&self) -> bool {
        self.end.is_some() || self.cause.as_ref().is_some_and(|cause| *cause != EndReason::Shutdown)
    }
}

/// What a job has to know of its pool.
pub(crate) struct Home {
    pub(crate) started: Instant,
    /// Thread CPU time of a batch.
    pub(crate) target_ns: u64,
    /// Threads among which a share of CPU time is divided: one in sequential mode.
    pub(crate) places: usize,
}

/// The shared state of one job.
///
/// The hot path (claim) needs no lock: `outstanding` is raised before the cursor moves, so whoever
/// sees the cursor at its end and nothing outstanding knows that nothing more can come.
pub(crate) struct JobCore {
    pub(crate) id: u64,
    pub(crate) name: Arc<str>,
    pub(crate) priority: Priority,
    pub(crate) deadline: Option<Instant>,
    /// `None` only while the job is dropped.
    task: Option<Arc<dyn AnyTask>>,
    pub(crate) generation: AtomicU64,
    /// Virtual time of the scheduler: weighted thread nanoseconds taken so far.
    pub(crate) pass: AtomicU64,
    on_panic: OnPanic,
    max_threads: usize,
    /// Whether its batches run only when nothing else wants the CPU.
    pub(crate) idle: bool,
    throttle: Option<Throttle>,
    /// Start of the pool; the next field counts from it.
    epoch: Instant,
    /// Nanoseconds at which the generation changed last.
    changed_ns: AtomicU64,
    state: AtomicU8,
    cursor: AtomicU64,
    cursor_end: u64,
    fragment_items: AtomicU64,
    outstanding: AtomicUsize,
    running: AtomicUsize,
    /// Batches handed out, and how many that were at the last look of the coordinator.
    claims: AtomicU64,
    claims_seen: AtomicU64,
    /// Copies of the sizer's values for the claim path, which takes no lock.
    batch_size: AtomicU64,
    item_ns: AtomicU64,
    gate: Mutex<Gate>,
    /// Whether the task has been told of the end. It is set under the gate.
    announced: AtomicBool,
    ended: Condvar,
}

impl JobCore {
    pub(crate) fn new(
        id: u64,
        spec: JobSpec,
        task: Arc<dyn AnyTask>,
        home: &Home,
        pass: u64,
    ) -> Self {
        let mut spans: VecDeque<Fragment> = spec
            .spans
            .into_iter()
            .filter(|span| !span.is_empty())
            .map(|span| Fragment { span, retries: 0 })
            .collect();
        let main = spans.pop_back().map_or(Span::new(0, 0), |fragment| fragment.span);
        let fragment_items = spans.iter().fold(0u64, |sum, f| sum.saturating_add(f.span.len));
        let max_threads = spec.max_threads.map_or(usize::MAX, NonZeroUsize::get);
        let throttle = spec.cpu_percent.filter(|percent| *percent < 100).map(|percent| {
            // Jobs with few places begin at different threads.
            let first = (id % home.places as u64) as usize;
            Throttle::new(percent, max_threads, first, home.places)
        });
        let longest = throttle.as_ref().map_or(u64::MAX, Throttle::longest_batch_ns);
        let sizer = Sizer::new(
            spec.initial_batch,
            spec.max_batch,
            home.target_ns.min(longest),
            WALL_LIMIT_NS.min(longest),
        );
        Self {
            id,
            name: spec.name,
            priority: spec.priority,
            deadline: spec.deadline,
            task: Some(task),
            generation: AtomicU64::new(0),
            pass: AtomicU64::new(pass),
            on_panic: spec.on_panic,
            max_threads,
            idle: spec.idle,
            throttle,
            epoch: home.started,
            changed_ns: AtomicU64::new(0),
            state: AtomicU8::new(if spec.paused { PAUSED } else { RUNNING }),
            cursor: AtomicU64::new(main.start),
            cursor_end: main.end(),
            fragment_items: AtomicU64::new(fragment_items),
            outstanding: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            claims: AtomicU64::new(0),
            claims_seen: AtomicU64::new(0),
            batch_size: AtomicU64::new(sizer.current()),
            item_ns: AtomicU64::new(0),
            gate: Mutex::new(Gate {
                fragments: spans,
                quarantined: Vec::new(),
                sizer,
                items: 0,
                batches: 0,
                stale: 0,
                panics: 0,
                cpu_ns: 0,
                cause: None,
                end: None,
            }),
            announced: AtomicBool::new(false),
            ended: Condvar::new(),
        }
    }

    /// Runs a batch's span.
    pub(crate) fn run(&self, span: Span, ctx: &BatchContext<'_>, settle: &mut Settle<'_>) {
        if let Some(task) = &self.task {
            task.run(span, ctx, settle);
        }
    }

    /// Whether a job switch reached this batch, and how many nanoseconds ago it was ordered.
    pub(crate) fn switched_ns_ago(&self, batch: &Batch) -> Option<u64> {
        let switched = !self.is_current(batch);
        let ago = || nanos(self.epoch.elapsed()).saturating_sub(self.changed_ns.load(Relaxed));
        switched.then(ago)
    }

    fn change_generation(&self) {
        self.changed_ns.store(nanos(self.epoch.elapsed()), Relaxed);
        self.generation.fetch_add(1, SeqCst);
    }

    /// Whether it wants threads: it neither stands still nor has it ended.
    pub(crate) fn is_running(&self) -> bool {
        self.state.load(SeqCst) == RUNNING
    }

    /// Refuses results and new claims from now on. The first cause stays.
    pub(crate) fn stop(&self, cause: EndReason) {
        let mut gate = lock(&self.gate);
        self.close(&mut gate, cause);
    }

    fn close(&self, gate: &mut Gate, cause: EndReason) {
        if gate.end.is_some() || gate.cause.as_ref().is_some_and(|c| *c != EndReason::Shutdown) {
            return;
        }
        gate.cause = Some(cause);
        self.state.store(STOPPING, SeqCst);
        self.change_generation();
    }

    /// Stops handing out work; what is running commits what it has done. False if it was not
    /// running.
    pub(crate) fn pause(&self) -> bool {
        let _gate = lock(&self.gate);
        let paused = self.state.compare_exchange(RUNNING, PAUSED, SeqCst, SeqCst).is_ok();
        if paused {
            self.change_generation();
        }
        paused
    }

    /// Goes on after a pause, at virtual time `pass` at least: it is not owed what the others had
    /// meanwhile. False if it was not paused.
    pub(crate) fn resume(&self, pass: u64) -> bool {
        let _gate = lock(&self.gate);
        if self.state.load(SeqCst) == PAUSED {
            self.pass.fetch_max(pass, Relaxed);
        }
        self.state.compare_exchange(PAUSED, RUNNING, SeqCst, SeqCst).is_ok()
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.state.load(SeqCst) == PAUSED
    }

    /// Ends the job if nothing can be committed to it any more. The caller gets the end once and
    /// must announce it.
    pub(crate) fn try_end(&self) -> Option<JobEnd> {
        if self.state.load(SeqCst) != STOPPING
            && (self.unclaimed() > 0 || self.outstanding.load(SeqCst) > 0)
        {
            return None;
        }
        let mut gate = lock(&self.gate);
        if gate.end.is_some() || self.running.load(SeqCst) > 0 {
            return None;
        }
        let reason = match &gate.cause {
            Some(cause) => cause.clone(),
            None if self.unclaimed() == 0 && self.outstanding.load(SeqCst) == 0 => {
                EndReason::Exhausted
            }
            None => return None,
        };
        let end = JobEnd { reason, items: gate.items, quarantined: gate.quarantined.clone() };
        gate.end = Some(end.clone());
        self.state.store(STOPPING, SeqCst);
        Some(end)
    }

    /// Tells the task and wakes who waits. Called once, by whom [`try_end`](Self::try_end) gave
    /// the end.
    pub(crate) fn announce(&self, end: &JobEnd) {
        if let Some(task) = &self.task
            && let Err(payload) = catch_unwind(AssertUnwindSafe(|| task.ended(end)))
        {
            drop_quietly(payload);
        }
        let gate = lock(&self.gate);
        self.announced.store(true, SeqCst);
        drop(gate);
        self.ended.notify_all();
    }

    /// Whether it has ended and its task knows. It waits for no commit.
    pub(crate) fn has_ended(&self) -> bool {
        self.announced.load(SeqCst)
    }

    pub(crate) fn end(&self) -> Option<JobEnd> {
        if self.has_ended() { lock(&self.gate).end.clone() } else { None }
    }

    pub(crate) fn wait(&self) -> JobEnd {
        let mut gate = lock(&self.gate);
        loop {
            if self.has_ended()
                && let Some(end) = &gate.end
            {
                return end.clone();
            }
            gate = self.ended.wait(gate).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(crate) fn stats(&self) -> JobStats {
        let gate = lock(&self.gate);
        JobStats {
            items: gate.items,
            unclaimed: self.unclaimed(),
            outstanding: self.outstanding.load(SeqCst) as u64,
            running: self.running.load(SeqCst) as u64,
            batches: gate.batches,
            stale: gate.stale,
            panics: gate.panics,
            quarantined: gate.quarantined.clone(),
            batch_size: gate.sizer.current(),
            cpu_ns_per_item: gate.sizer.cpu_ns_per_item(),
            cpu_ns: gate.cpu_ns,
        }
    }
}

impl Drop for JobCore {
    /// The last hold on a job may be that of a thread of the pool, which must outlive whatever
    /// the task does when it goes.
    fn drop(&mut self) {
        drop_caught(self.task.take());
    }
}
