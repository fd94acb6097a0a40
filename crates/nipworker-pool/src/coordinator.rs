//! The coordinator thread: generates batches ahead, replaces dead workers, keeps deadlines.
//!
//! It is never pinned, because a thread inherits the cores of the thread that starts it: only from
//! here are workers started and replaced.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::caught::drop_quietly;
use crate::error::PoolError;
use crate::job::Settled;
use crate::metrics::ThreadCounters;
use crate::observer::PoolEvent;
use crate::shared::Shared;
use crate::span::nanos;
use crate::spec::EndReason;
use crate::worker;

/// While jobs are active the coordinator looks this often for lost threads and for threads that
/// sleep beside work. A thread that unwinds says so itself, and work wakes its threads itself;
/// this is for what could not.
const WATCHDOG: Duration = Duration::from_secs(1);

/// Longest time between two statistics; any instant can hold it.
const LONGEST_STATS: Duration = Duration::from_secs(365 * 24 * 3600);

/// After a panic of its own the coordinator takes the next turn this much later.
const AFTER_PANIC: Duration = Duration::from_millis(10);

/// The body of the coordinator thread. `ready` hears whether all workers could be started.
pub(crate) fn run(shared: Arc<Shared>, cpus: Vec<usize>, ready: SyncSender<Result<(), PoolError>>) {
    worker::mark_thread();
    let next_audit = Instant::now() + WATCHDOG;
    let mut coordinator =
        Coordinator { shared, cpus, handles: Vec::new(), stats_at_ns: 0, next_audit };
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
    cpus: Vec<usize>,
    handles: Vec<Option<JoinHandle<()>>>,
    /// Time with a running job at the last statistics.
    stats_at_ns: u64,
    next_audit: Instant,
}

impl Coordinator {
    fn start(&mut self) -> Result<(), PoolError> {
        let threads = self.shared.threads();
        self.shared.tell(&PoolEvent::Spawned {
            threads,
            cores: self.cpus.iter().collect::<BTreeSet<_>>().len(),
            dispatch: self.shared.config.dispatch,
            low: self.shared.low_water(),
            high: threads * self.shared.config.high_water_per_thread,
        });
        let (started, all) = std::sync::mpsc::sync_channel(threads);
        for index in 0..threads {
            let handle = self
                .spawn(index, Some(started.clone()))
                .map_err(|source| PoolError::Spawn { index, source })?;
            self.handles.push(Some(handle));
        }
        for _ in 0..threads {
            // Each thread answers, unless it dies on the way.
            all.recv().unwrap_or(Err(PoolError::Closed))?;
        }
        Ok(())
    }

    fn spawn(
        &self,
        index: usize,
        started: Option<SyncSender<Result<(), PoolError>>>,
    ) -> std::io::Result<JoinHandle<()>> {
        let shared = Arc::clone(&self.shared);
        let cpu = match self.cpus.len() {
            0 => None,
            n => Some(self.cpus[index % n]),
        };
        std::thread::Builder::new()
            .name(format!("{}-{index:02}", shared.config.name_prefix))
            .spawn(move || worker::run(&shared, index, cpu, started))
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
        let fill = self.shared.fill_queue();
        let stats = self.report_stats();
        let jobs = self.shared.job_count() > 0;
        if jobs && now >= self.next_audit {
            self.next_audit = now + WATCHDOG;
            self.audit();
        }
        let watchdog = (retry || jobs).then_some(WATCHDOG);
        [deadline, fill, stats, watchdog].into_iter().flatten().min()
    }

    /// Looks for threads that sleep beside work, and wakes them.
    fn audit(&self) {
        let shared = &self.shared;
        if shared.is_sequential() {
            return;
        }
        if shared.find_starving() {
            shared.work.notify_all();
        }
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
        let retired = slot.retired.swap(false, SeqCst);
        match self.spawn(index, None) {
            Ok(handle) => {
                self.handles[index] = Some(handle);
                if !retired {
                    ThreadCounters::add(&slot.counters.restarts, 1);
                    shared.tell(&PoolEvent::Restarted { index });
                }
                true
            }
            Err(error) => {
                shared.tell(&PoolEvent::RestartFailed { index, error: &error });
                false
            }
        }
    }

    /// Sends statistics when they are due; says how long until the next.
    ///
    /// The time between two counts only while a job is running.
    fn report_stats(&mut self) -> Option<Duration> {
        let every_ns = nanos(self.shared.config.stats_every.min(LONGEST_STATS));
        let (active, total_ns) = self.shared.active_ns();
        let mut since_ns = total_ns.saturating_sub(self.stats_at_ns);
        if since_ns >= every_ns {
            (self.stats_at_ns, since_ns) = (total_ns, 0);
            if self.shared.config.observer.is_some() {
                self.shared.tell(&PoolEvent::Stats(&self.shared.metrics()));
            }
        }
        active.then(|| Duration::from_nanos(every_ns - since_ns))
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
