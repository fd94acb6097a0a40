//! What the threads of a pool share.

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
use crate::metrics::{PoolCounters, PoolMetrics, ThreadCounters, fairness};
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

    /// Notes whether any job wants threads.
    fn note_activity(&self) {
        let mut activity = lock(&self.activity);
        let active = read(&self.jobs).iter().any(|job| job.is_running());
        let now = self.now_ns();
        match activity.since_ns {
            None if active => activity.since_ns = Some(now),
            Some(since) if !active => {
                activity.before_ns += now.saturating_sub(since);
                activity.since_ns = None;
            }
            _ => {}
        }
    }

    /// Whether any job wants threads, and nanoseconds for which any has since the pool started.
    pub(crate) fn active_ns(&self) -> (bool, u64) {
        let activity = lock(&self.activity);
        let present = activity.since_ns.map(|since| self.now_ns().saturating_sub(since));
        (present.is_some(), activity.before_ns + present.unwrap_or(0))
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

    /// Whether any thread that asks now could get something, its share of time aside.
    fn any_claimable(&self) -> bool {
        read(&self.jobs).iter().any(|job| job.claimable())
    }

    /// What the worker `index` would find now.
    pub(crate) fn outlook(&self, index: usize) -> Outlook {
        let index = if self.is_sequential() { 0 } else { index };
        let now = self.now_ns();
        let mut throttled: Option<u64> = None;
        for job in read(&self.jobs).iter().filter(|job| job.claimable()) {
            match job.free_at(index) {
                Some(at) if at <= now => return Outlook::Work,
                Some(at) => throttled = Some(throttled.map_or(at, |other| other.min(at))),
                None => {}
            }
        }
        throttled.map_or(Outlook::Nothing, Outlook::Throttled)
    }

    /// How long the worker `index` must stay away from all there is to do.
    pub(crate) fn throttled_for(&self, index: usize) -> Option<Duration> {
        match self.outlook(index) {
            Outlook::Throttled(at) => {
                Some(Duration::from_nanos(at.saturating_sub(self.now_ns()).max(1)))
            }
            Outlook::Work => Some(Duration::from_nanos(1)),
            Outlook::Nothing => None,
        }
    }

    /// Pool time, plus one, since when there has been work; 0 if there is none.
    pub(crate) fn work_since(&self) -> u64 {
        self.work_since.load(SeqCst)
    }

    /// Notes that nothing is left to claim, unless something has come meanwhile.
    fn note_no_work(&self) {
        let since = self.work_since.load(SeqCst);
        if since != 0 && !self.any_claimable() {
            _ = self.work_since.compare_exchange(since, 0, SeqCst, SeqCst);
            if self.any_claimable() {
                let now = self.now_ns() + 1;
                _ = self.work_since.compare_exchange(0, now, SeqCst, SeqCst);
            }
        }
    }

    /// The next batch for the worker `index`, or `None` if there is nothing to do. The worker is
    /// counted into the batch's job and must leave it.
    pub(crate) fn next_batch(&self, index: usize) -> Option<Arc<Batch>> {
        if !self.is_sequential()
            && self.direct_jobs.load(SeqCst) > 0
            && let Some(batch) = self.claim_direct(index)
        {
            return Some(batch);
        }
        if let Some(batch) = self.pop_queue(index) {
            return Some(batch);
        }
        if !self.is_sequential()
            && let Some(batch) = self.claim_best(index)
        {
            ThreadCounters::add(&self.slots[index].counters.self_refills, 1);
            return Some(batch);
        }
        self.note_no_work();
        None
    }

    /// A batch of the job whose turn it is, if that is one that passes the queue.
    fn claim_direct(&self, index: usize) -> Option<Arc<Batch>> {
        let threads = self.threads();
        let turn = schedule::pick(&read(&self.jobs), |job| job.is_free_for(index)).cloned()?;
        if turn.is_direct(threads) { self.claim_from(&turn) } else { None }
    }

    /// A batch of the job whose turn it is among those that the worker `index` may work on.
    fn claim_best(&self, index: usize) -> Option<Arc<Batch>> {
        loop {
            // A job that gives nothing has changed meanwhile and is not picked again.
            let job = schedule::pick(&read(&self.jobs), |job| job.is_free_for(index)).cloned()?;
            if let Some(batch) = self.claim_from(&job) {
                return Some(batch);
            }
        }
    }

    fn claim_from(&self, job: &Arc<JobCore>) -> Option<Arc<Batch>> {
        let entered = job.enter();
        if entered {
            if let Some(batch) = job.claim(u64::MAX, self.threads()) {
                return Some(Arc::new(batch));
            }
            job.leave();
        }
        self.settle(job);
        None
    }

    fn pop_queue(&self, index: usize) -> Option<Arc<Batch>> {
        loop {
            let batch = self.queue_rx.try_recv().ok()?;
            if !self.is_sequential()
                && self.queue_rx.len() < self.low_water()
                && !self.refill_asked.swap(true, SeqCst)
            {
                self.counters.low_water_hits.fetch_add(1, Relaxed);
                self.coordinator.notify_all();
            }
            let entered = batch.job.enter();
            // Checked after entering: whoever ends the job either sees this thread inside it, or
            // has already made the batch stale.
            if entered && batch.job.is_current(&batch) {
                return Some(batch);
            }
            if entered {
                batch.job.leave();
            }
            self.return_unstarted(&batch, Some(index));
        }
    }

    /// Gives back a batch that nobody has started.
    pub(crate) fn return_unstarted(&self, batch: &Arc<Batch>, worker: Option<usize>) {
        if batch.job.hand_back(batch) {
            if let Some(index) = worker {
                ThreadCounters::add(&self.slots[index].counters.stale, 1);
            }
        } else if batch.job.claimable() {
            self.work_appeared();
        }
        if self.is_sequential() {
            self.coordinator.notify_all();
        }
        self.settle(&batch.job);
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

    pub(crate) fn metrics(&self) -> PoolMetrics {
        let now = self.now_ns();
        let work_since = self.work_since();
        let rate = |seconds| {
            let sum: u64 = self.slots.iter().map(|s| s.counters.recent.within(now, seconds)).sum();
            let covered = now.clamp(1, seconds * 1_000_000_000);
            sum as f64 * 1e9 / covered as f64
        };
        let threads: Vec<_> = self
            .slots
            .iter()
            .enumerate()
            .map(|(index, slot)| slot.counters.snapshot(index, now, work_since))
            .collect();
        let items: Vec<u64> = threads.iter().map(|t| t.attempts).collect();
        let (fairness_min_max, fairness_jain) = fairness(&items);
        let attempts = items.iter().sum();
        let batches: u64 = threads.iter().map(|t| t.batches).sum();
        PoolMetrics {
            uptime_ns: now,
            jobs: self.job_count(),
            active_threads: threads.iter().filter(|t| t.active).count(),
            attempts,
            queue_depth: self.queue_rx.len(),
            low_water_hits: self.counters.low_water_hits.load(Relaxed),
            starvation_events: threads.iter().map(|t| t.starvation_events).sum(),
            starved_ns: threads.iter().map(|t| t.starved_ns).sum(),
            throttled_ns: threads.iter().map(|t| t.throttled_ns).sum(),
            active_ns: self.active_ns().1,
            rate_1s: rate(1),
            rate_10s: rate(10),
            rate_60s: rate(60),
            switch_p50_ns: self.switches.quantile(0.5),
            switch_p99_ns: self.switches.quantile(0.99),
            dispatch_p50_ns: self.dispatch.quantile(0.5),
            dispatch_p99_ns: self.dispatch.quantile(0.99),
            fairness_min_max,
            fairness_jain,
            mean_batch: if batches == 0 { 0.0 } else { attempts as f64 / batches as f64 },
            stale: threads.iter().map(|t| t.stale).sum(),
            panics: threads.iter().map(|t| t.panics).sum(),
            restarts: threads.iter().map(|t| t.restarts).sum(),
            threads,
        }
    }

    /// What the worker `index` was working on when its thread died.
    pub(crate) fn take_lease(&self, index: usize) -> Option<Arc<Batch>> {
        lock(&self.slots[index].lease).take()
    }
}
