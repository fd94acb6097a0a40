//! What the threads of a pool share.

mod figures;
mod take;

use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU64, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Mutex, RwLock};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};

use crate::config::{DispatchMode, PoolConfig};
use crate::error::PoolError;
use crate::event_count::EventCount;
use crate::histogram::Histogram;
use crate::job::{Batch, Home, JobCore};
use crate::metrics::{PoolCounters, ThreadCounters};
use crate::observer::PoolEvent;
use crate::schedule;
use crate::span::nanos;
use crate::spec::{EndReason, JobSpec};
use crate::sync::{lock, read, write};
use crate::task::AnyTask;

/// Most jobs that a pool holds at once.
pub(crate) const MAX_JOBS: usize = 65_536;

/// The place of one worker thread. It outlives the thread.
#[derive(Default)]
pub(crate) struct Slot {
    pub(crate) counters: ThreadCounters,
    /// The batch the thread has taken and not put down yet.
    pub(crate) lease: Mutex<Option<Arc<Batch>>>,
    pub(crate) dead: AtomicBool,
    /// Whether the thread ended of its own accord, to be replaced by a fresh one.
    pub(crate) retired: AtomicBool,
    /// Set by `Pool::kill_thread`.
    #[cfg(feature = "chaos")]
    pub(crate) kill: AtomicBool,
}

/// What a thread would find if it looked for work now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// A batch.
    Work,
    /// Jobs that it may work on only from this pool time on.
    Throttled(u64),
    /// Nothing.
    Nothing,
}

/// Since when there has been a job that wants threads, and for how long there was before.
#[derive(Debug, Default)]
struct Activity {
    since_ns: Option<u64>,
    before_ns: u64,
}

/// The state behind a [`crate::Pool`].
pub(crate) struct Shared {
    pub(crate) config: PoolConfig,
    pub(crate) started: Instant,
    pub(crate) slots: Vec<Slot>,
    pub(crate) queue_tx: Sender<Arc<Batch>>,
    pub(crate) queue_rx: Receiver<Arc<Batch>>,
    /// Workers sleep on it.
    pub(crate) work: EventCount,
    /// The coordinator sleeps on it.
    pub(crate) coordinator: EventCount,
    pub(crate) shutdown: AtomicBool,
    pub(crate) counters: PoolCounters,
    pub(crate) dispatch: Histogram,
    /// From a cancel or a pause to the moment a thread has left the job.
    pub(crate) switches: Histogram,
    activity: Mutex<Activity>,
    pub(crate) jobs: RwLock<Vec<Arc<JobCore>>>,
    direct_jobs: AtomicUsize,
    next_job: AtomicU64,
    /// Whether a worker has already asked the generator for more.
    pub(crate) refill_asked: AtomicBool,
    /// Pool time, plus one, since when some job has had work to claim; 0 if none has.
    work_since: AtomicU64,
}

impl Shared {
    pub(crate) fn new(config: PoolConfig, threads: usize) -> Self {
        let capacity = match config.dispatch {
            DispatchMode::Batched => threads * config.high_water_per_thread,
            DispatchMode::Sequential => 1,
        };
        let (queue_tx, queue_rx) = crossbeam_channel::bounded(capacity);
        Self {
            config,
            started: Instant::now(),
            slots: (0..threads).map(|_| Slot::default()).collect(),
            queue_tx,
            queue_rx,
            work: EventCount::default(),
            coordinator: EventCount::default(),
            shutdown: AtomicBool::new(false),
            counters: PoolCounters::default(),
            dispatch: Histogram::new(),
            switches: Histogram::new(),
            activity: Mutex::default(),
            jobs: RwLock::new(Vec::new()),
            direct_jobs: AtomicUsize::new(0),
            next_job: AtomicU64::new(1),
            refill_asked: AtomicBool::new(false),
            work_since: AtomicU64::new(0),
        }
    }

    pub(crate) fn threads(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn is_sequential(&self) -> bool {
        self.config.dispatch == DispatchMode::Sequential
    }

    pub(crate) fn low_water(&self) -> usize {
        self.threads() * self.config.low_water_per_thread
    }

    /// Nanoseconds since the pool started.
    pub(crate) fn now_ns(&self) -> u64 {
        nanos(self.started.elapsed())
    }

    /// Tells the observer. Its panics end here.
    pub(crate) fn tell(&self, event: &PoolEvent<'_>) {
        if let Some(observer) = &self.config.observer {
            let call = std::panic::AssertUnwindSafe(|| observer.event(event));
            if let Err(payload) = std::panic::catch_unwind(call) {
                crate::caught::drop_quietly(payload);
            }
        }
    }

    /// Takes a job on.
    pub(crate) fn submit(
        &self,
        spec: JobSpec,
        task: Arc<dyn AnyTask>,
    ) -> Result<Arc<JobCore>, PoolError> {
        spec.validate()?;
        let home = Home {
            started: self.started,
            target_ns: nanos(self.config.target_batch),
            places: if self.is_sequential() { 1 } else { self.threads() },
        };
        let mut jobs = write(&self.jobs);
        // Looked at under the lock: the coordinator stops all jobs under it after the flag is up.
        if self.shutdown.load(SeqCst) {
            return Err(PoolError::Closed);
        }
        if jobs.len() >= MAX_JOBS {
            return Err(PoolError::TooManyJobs { limit: MAX_JOBS });
        }
        let id = self.next_job.fetch_add(1, Relaxed);
        let pass = schedule::entry_pass(&jobs, self.threads());
        let job = Arc::new(JobCore::new(id, spec, task, &home, pass));
        if job.is_direct(self.threads()) {
            self.direct_jobs.fetch_add(1, SeqCst);
        }
        jobs.push(Arc::clone(&job));
        // Together with the job: a thread that sees the job sees that something has come.
        self.work.touch();
        drop(jobs);
        self.note_activity();
        self.work_appeared();
        self.settle(&job);
        Ok(job)
    }

    /// Stops handing out a job's work; false if it was not running.
    pub(crate) fn pause(&self, job: &JobCore) -> bool {
        let paused = job.pause();
        self.note_activity();
        paused
    }

    /// Ends a job; nothing is committed to it any more.
    pub(crate) fn cancel(&self, job: &Arc<JobCore>) {
        job.stop(EndReason::Cancelled);
        self.note_activity();
        self.settle(job);
    }

    /// Lets a paused job go on, level with the others. False if it was not paused.
    pub(crate) fn resume(&self, job: &JobCore) -> bool {
        let pass = schedule::entry_pass(&read(&self.jobs), self.threads());
        let resumed = job.resume(pass);
        if resumed {
            self.note_activity();
            self.work_appeared();
        }
        resumed
    }

    /// Wakes everybody because a job has got work to claim.
    pub(crate) fn work_appeared(&self) {
        let now = self.now_ns() + 1;
        _ = self.work_since.compare_exchange(0, now, SeqCst, SeqCst);
        if !self.is_sequential() {
            self.work.notify_all();
        }
        self.coordinator.notify_all();
    }

    /// Ends `job` if it is done with, and announces that.
    pub(crate) fn settle(&self, job: &Arc<JobCore>) {
        let Some(end) = job.try_end() else { return };
        write(&self.jobs).retain(|other| other.id != job.id);
        if job.is_direct(self.threads()) {
            self.direct_jobs.fetch_sub(1, SeqCst);
        }
        self.note_activity();
        job.announce(&end);
        self.coordinator.notify_all();
    }

    /// Ends the jobs whose deadline has passed; says how long until the next one.
    pub(crate) fn expire(&self, now: Instant) -> Option<Duration> {
        let mut next: Option<Duration> = None;
        let jobs = read(&self.jobs).clone();
        for job in jobs {
            let Some(deadline) = job.deadline else { continue };
            if deadline <= now {
                job.stop(EndReason::TimedOut);
                self.settle(&job);
            } else {
                let left = deadline - now;
                next = Some(next.map_or(left, |n| n.min(left)));
            }
        }
        next
    }

    pub(crate) fn job_count(&self) -> usize {
        read(&self.jobs).len()
    }

    pub(crate) fn all_jobs(&self) -> Vec<Arc<JobCore>> {
        read(&self.jobs).clone()
    }

    /// Raises the shutdown flag and wakes all; the coordinator does the rest.
    pub(crate) fn begin_shutdown(&self) {
        {
            // Under the lock, so that no job is taken on after the coordinator has stopped all.
            let _jobs = write(&self.jobs);
            self.shutdown.store(true, SeqCst);
        }
        self.coordinator.notify_all();
        self.work.notify_all();
    }

    /// What the worker `index` was working on when its thread died.
    pub(crate) fn take_lease(&self, index: usize) -> Option<Arc<Batch>> {
        lock(&self.slots[index].lease).take()
    }
}
