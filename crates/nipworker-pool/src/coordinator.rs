//! The coordinator thread: generates batches ahead, replaces dead workers, keeps deadlines.
//!
//! It is never pinned, because a thread inherits the cores of the thread that starts it: only from
//! here are workers started and replaced.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use core_affinity::CoreId;

use crate::caught::drop_quietly;
use crate::error::PoolError;
use crate::job::Settled;
use crate::metrics::ThreadCounters;
use crate::observer::PoolEvent;
use crate::shared::Shared;
use crate::spec::EndReason;
use crate::worker;

/// While jobs are active the coordinator looks for lost threads at least this often. A thread that
/// unwinds says so itself; this is for one that could not.
const WATCHDOG: Duration = Duration::from_secs(1);

/// Longest time between two statistics; any instant can hold it.
const LONGEST_STATS: Duration = Duration::from_secs(365 * 24 * 3600);

/// After a panic of its own the coordinator takes the next turn this much later.
const AFTER_PANIC: Duration = Duration::from_millis(10);

/// The body of the coordinator thread. `ready` hears whether all workers could be started.
pub(crate) fn run(
    shared: Arc<Shared>,
    cores: Vec<CoreId>,
    ready: SyncSender<Result<(), PoolError>>,
) {
    worker::mark_thread();
    let mut coordinator = Coordinator { shared, cores, handles: Vec::new(), next_stats: None };
    let started = coordinator.start();
    let failed = started.is_err();
    if ready.send(started).is_err() || failed {
        coordinator.shared.begin_shutdown();
    }
    coordinator.turn();
    coordinator.stop();
}

struct Coordinator {
    shared: Arc<Shared>,
    cores: Vec<CoreId>,
    handles: Vec<Option<JoinHandle<()>>>,
    /// When the next statistics are due; `None` while there is no job.
    next_stats: Option<Instant>,
}

impl Coordinator {
    fn start(&mut self) -> Result<(), PoolError> {
        let threads = self.shared.threads();
        self.shared.tell(&PoolEvent::Spawned {
            threads,
            cores: self.cores.len(),
            low: self.shared.low_water(),
            high: threads * self.shared.config.high_water_per_thread,
        });
        for index in 0..threads {
            let handle = self.spawn(index).map_err(|source| PoolError::Spawn { index, source })?;
            self.handles.push(Some(handle));
        }
        Ok(())
    }

    fn spawn(&self, index: usize) -> std::io::Result<JoinHandle<()>> {
        let shared = Arc::clone(&self.shared);
        let core = match self.cores.len() {
            0 => None,
            n => Some(self.cores[index % n]),
        };
        std::thread::Builder::new()
            .name(format!("{}-{index:02}", shared.config.name_prefix))
            .spawn(move || worker::run(&shared, index, core))
    }

    fn turn(&mut self) {
        loop {
            let key = self.shared.coordinator.key();
            if self.shared.shutdown.load(SeqCst) {
                return;
            }
            // Everything that is not of the pool is caught where it is called; should something
            // have got through, the threads must still be fed, replaced and stopped.
            let limit = match catch_unwind(AssertUnwindSafe(|| self.look())) {
                Ok(limit) => limit,
                Err(payload) => {
                    drop_quietly(payload);
                    Some(AFTER_PANIC)
                }
            };
            self.shared.coordinator.wait(key, limit);
        }
    }

    /// Sees to everything once; says how long nothing will be due.
    fn look(&mut self) -> Option<Duration> {
        let retry = self.replace_dead();
        let now = Instant::now();
        let deadline = self.shared.expire(now);
        self.shared.fill_queue();
        let stats = self.report_stats(now);
        let watchdog = (retry || self.next_stats.is_some()).then_some(WATCHDOG);
        [deadline, stats, watchdog].into_iter().flatten().min()
    }

    /// Replaces the threads that have died; true if one could not be replaced yet.
    fn replace_dead(&mut self) -> bool {
        let mut missing = false;
        for index in 0..self.handles.len() {
            let gone = self.shared.slots[index].dead.load(SeqCst)
                || self.handles[index].as_ref().is_none_or(JoinHandle::is_finished);
            if gone {
                missing |= !self.replace(index);
            }
        }
        missing
    }

    fn replace(&mut self, index: usize) -> bool {
        let shared = Arc::clone(&self.shared);
        let slot = &shared.slots[index];
        if let Some(handle) = self.handles[index].take() {
            if let Err(payload) = handle.join() {
                drop_quietly(payload);
            }
            if let Some(batch) = shared.take_lease(index) {
                // The lease is settled exactly once: not again if the thread had committed it.
                let outcome = batch.job.fail(&batch, "the worker thread was lost");
                if outcome.is_some() {
                    ThreadCounters::add(&slot.counters.panics, 1);
                    shared.tell(&PoolEvent::BatchPanicked {
                        index,
                        job: &batch.job.name,
                        span: batch.span,
                        message: "the worker thread was lost",
                        queued_again: outcome == Some(Settled::QueuedAgain),
                    });
                }
                batch.job.leave();
                slot.counters.in_batch.store(false, SeqCst);
                if batch.job.claimable() {
                    shared.work_appeared();
                }
                shared.settle(&batch.job);
            }
        }
        slot.dead.store(false, SeqCst);
        match self.spawn(index) {
            Ok(handle) => {
                self.handles[index] = Some(handle);
                ThreadCounters::add(&slot.counters.restarts, 1);
                shared.tell(&PoolEvent::Restarted { index });
                true
            }
            Err(error) => {
                shared.tell(&PoolEvent::RestartFailed { index, error: &error });
                false
            }
        }
    }

    /// Sends statistics when they are due; says how long until the next.
    fn report_stats(&mut self, now: Instant) -> Option<Duration> {
        if self.shared.job_count() == 0 {
            self.next_stats = None;
            return None;
        }
        let every = self.shared.config.stats_every.min(LONGEST_STATS);
        let due = *self.next_stats.get_or_insert(now + every);
        if due > now {
            return Some(due - now);
        }
        self.next_stats = Some(now + every);
        if self.shared.config.observer.is_some() {
            self.shared.tell(&PoolEvent::Stats(&self.shared.metrics()));
        }
        Some(every)
    }

    fn stop(&mut self) {
        for job in self.shared.all_jobs() {
            job.stop(EndReason::Shutdown);
        }
        self.shared.work.notify_all();
        for (index, handle) in self.handles.iter_mut().enumerate() {
            if let Some(handle) = handle.take()
                && let Err(payload) = handle.join()
            {
                drop_quietly(payload);
            }
            if let Some(batch) = self.shared.take_lease(index) {
                batch.job.fail(&batch, "the worker thread was lost");
                batch.job.leave();
            }
        }
        while let Ok(batch) = self.shared.queue_rx.try_recv() {
            batch.job.hand_back(&batch);
        }
        for job in self.shared.all_jobs() {
            self.shared.settle(&job);
        }
    }
}
