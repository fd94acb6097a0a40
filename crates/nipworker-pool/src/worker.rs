//! A worker thread: take a batch, run it, settle it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::{Duration, Instant};

use core_affinity::CoreId;

use crate::caught::{drop_quietly, panic_text};
use crate::job::{Batch, Settled};
use crate::metrics::ThreadCounters;
use crate::observer::PoolEvent;
use crate::os;
use crate::shared::Shared;
use crate::span::{Span, nanos};
use crate::sync::lock;
use crate::task::{BatchContext, BatchReport};

thread_local! {
    static IS_WORKER: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Whether the calling thread belongs to a pool.
pub(crate) fn is_worker_thread() -> bool {
    IS_WORKER.with(std::cell::Cell::get)
}

/// Counts the calling thread among those of a pool.
pub(crate) fn mark_thread() {
    IS_WORKER.with(|flag| flag.set(true));
}

/// Context switches are read from the system this often at most: the call costs more than the
/// rest of the bookkeeping of a batch.
const SWITCHES_EVERY_NS: u64 = 1_000_000;

/// Tells the coordinator when the thread ends, however it ends.
struct Obituary<'a> {
    shared: &'a Shared,
    index: usize,
}

impl Drop for Obituary<'_> {
    fn drop(&mut self) {
        self.shared.slots[self.index].dead.store(true, SeqCst);
        self.shared.coordinator.notify_all();
    }
}

/// The body of worker `index`.
pub(crate) fn run(shared: &Shared, index: usize, core: Option<CoreId>) {
    mark_thread();
    let obituary = Obituary { shared, index };
    let pinned = core.is_some_and(core_affinity::set_for_current);
    let counters = &shared.slots[index].counters;
    *lock(&counters.core) = core.map(|core| core.id);
    counters.pinned.store(pinned, SeqCst);
    let core = if pinned { core.map(|core| core.id) } else { None };
    shared.tell(&PoolEvent::ThreadStarted { index, core });
    Worker { shared, index, free_since: Instant::now(), switches_read: 0 }.work();
    drop(obituary);
    shared.tell(&PoolEvent::Stopped { index });
}

struct Worker<'a> {
    shared: &'a Shared,
    index: usize,
    /// When it last became free.
    free_since: Instant,
    switches_read: u64,
}

impl Worker<'_> {
    fn work(&mut self) {
        loop {
            let key = self.shared.work.key();
            if self.shared.shutdown.load(SeqCst) {
                return;
            }
            match self.shared.next_batch(self.index) {
                Some(batch) => {
                    self.shared.dispatch.record(nanos(self.free_since.elapsed()));
                    self.execute(&batch);
                }
                None => self.wait(key),
            }
        }
    }

    /// Sleeps until work may have appeared, and books the time.
    fn wait(&mut self, key: u64) {
        let counters = &self.shared.slots[self.index].counters;
        let starved = self.shared.any_claimable();
        // Work that came after the look is taken at once: in batched mode no thread goes to sleep
        // over it, and in no mode does it count as starving.
        if starved && (!self.shared.is_sequential() || self.shared.work.key() != key) {
            return;
        }
        lock(&counters.idle).begin(self.shared.now_ns(), starved);
        self.shared.work.wait(key, None);
        let now_ns = self.shared.now_ns();
        let (waited_ns, with_job) = lock(&counters.idle).end(now_ns, self.shared.work_since());
        if starved {
            let waited = Duration::from_nanos(waited_ns);
            self.shared.tell(&PoolEvent::Starved { index: self.index, waited });
        }
        // The dispatch latency counts from the moment there was something to dispatch.
        let now = Instant::now();
        self.free_since = now.checked_sub(Duration::from_nanos(with_job)).unwrap_or(now);
    }

    fn execute(&mut self, batch: &Arc<Batch>) {
        let shared = self.shared;
        let index = self.index;
        let slot = &shared.slots[index];
        let counters = &slot.counters;
        let job = &batch.job;
        *lock(&slot.lease) = Some(Arc::clone(batch));
        counters.in_batch.store(true, Relaxed);
        counters.last_start.store(shared.now_ns() + 1, Relaxed);
        #[cfg(feature = "chaos")]
        if slot.kill.swap(false, SeqCst) {
            std::panic::resume_unwind(Box::new("the thread was told to die"));
        }
        let started = Instant::now();
        let cpu_started = os::thread_cpu_ns();
        let ctx =
            BatchContext { generation: batch.generation, current: &job.generation, thread: index };
        let mut settled = None;
        let mut items = 0;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            job.run(batch.span, &ctx, &mut |done, commit| {
                let report = BatchReport {
                    done: Span::new(batch.span.start, done.min(batch.span.len)),
                    thread: index,
                    ended_at: Instant::now(),
                    cpu: Duration::from_nanos(os::thread_cpu_ns().saturating_sub(cpu_started)),
                    wall: started.elapsed(),
                };
                items = report.done.len;
                settled = Some(job.commit(batch, &report, commit));
            });
        }));
        let ended = Instant::now();
        self.free_since = ended;
        if let Err(payload) = outcome {
            let message = panic_text(payload.as_ref());
            // Only what ran before the commit failed: the batch may be settled already.
            if settled.is_none() {
                settled = job.fail(batch, &message);
            }
            drop_quietly(payload);
            self.note_panic(batch, &message, settled == Some(Settled::QueuedAgain));
        } else if let Some(Settled::Idle { queued_again }) = settled {
            self.note_panic(batch, "the batch made no progress", queued_again);
        } else if settled == Some(Settled::Quarantined) {
            self.note_panic(batch, "the commit of the batch panicked", false);
        }
        *lock(&slot.lease) = None;
        match settled {
            Some(Settled::Committed) => {
                ThreadCounters::add(&counters.batches, 1);
                ThreadCounters::add(&counters.attempts, items);
            }
            Some(Settled::Stale) => ThreadCounters::add(&counters.stale, 1),
            _ => {}
        }
        ThreadCounters::add(&counters.busy_ns, nanos(ended - started));
        counters.in_batch.store(false, Relaxed);
        counters.last_end.store(shared.now_ns(), Relaxed);
        self.publish_os();
        job.leave();
        // Others may be asleep because, when they looked, this batch was all there was.
        let again = Some(Settled::Idle { queued_again: true });
        let given_back = settled == Some(Settled::QueuedAgain)
            || settled == again
            || (settled == Some(Settled::Committed) && items < batch.span.len);
        let place_freed = job.is_limited(shared.threads()) && shared.job_count() > 1;
        if (given_back || place_freed) && job.claimable() {
            shared.work_appeared();
        }
        shared.settle(job);
        if shared.is_sequential() {
            shared.coordinator.notify_all();
        }
    }

    fn note_panic(&self, batch: &Batch, message: &str, queued_again: bool) {
        let shared = self.shared;
        ThreadCounters::add(&shared.slots[self.index].counters.panics, 1);
        shared.tell(&PoolEvent::BatchPanicked {
            index: self.index,
            job: &batch.job.name,
            span: batch.span,
            message,
            queued_again,
        });
    }

    fn publish_os(&mut self) {
        let now = self.shared.now_ns();
        if now.saturating_sub(self.switches_read) >= SWITCHES_EVERY_NS {
            self.switches_read = now;
            let counters = &self.shared.slots[self.index].counters;
            counters.publish_os(os::thread_cpu_ns(), os::thread_switches());
        }
    }
}
