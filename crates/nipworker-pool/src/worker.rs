//! A worker thread: take a batch, run it, settle it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use crate::caught::{drop_quietly, panic_text};
use crate::cpus;
use crate::error::PoolError;
use crate::idle::Reason;
use crate::job::{Batch, Settled};
use crate::metrics::ThreadCounters;
use crate::observer::PoolEvent;
use crate::os;
use crate::shared::{Outlook, Shared};
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
        let (shared, slot) = (self.shared, &self.shared.slots[self.index]);
        if !shared.shutdown.load(SeqCst) {
            // Until it is replaced nobody works in its place.
            let retired = slot.retired.load(SeqCst);
            let reason = if retired { Reason::Nothing } else { Reason::Unfed };
            lock(&slot.counters.idle).begin(shared.now_ns(), reason, shared.work_since());
        }
        slot.dead.store(true, SeqCst);
        self.shared.coordinator.notify_all();
    }
}

/// The body of worker `index`, to be bound to `cpu`. With the start of the pool, `started` hears
/// whether the thread could be set up; a thread that replaces another works in any case.
pub(crate) fn run(
    shared: &Shared,
    index: usize,
    cpu: Option<usize>,
    started: Option<SyncSender<Result<(), PoolError>>>,
) {
    mark_thread();
    let obituary = Obituary { shared, index };
    let bound = cpu.map_or(Ok(()), |cpu| {
        cpus::bind(cpu).map_err(|source| PoolError::Bind { index, cpu, source })
    });
    let nice = shared.config.nice.map_or(Ok(()), |nice| {
        os::set_nice(nice).map_err(|source| PoolError::Nice { index, nice, source })
    });
    let slot = &shared.slots[index];
    let pinned = cpu.is_some() && bound.is_ok();
    *lock(&slot.counters.core) = cpu;
    slot.counters.pinned.store(pinned, SeqCst);
    shared.tell(&PoolEvent::ThreadStarted { index, core: cpu.filter(|_| pinned) });
    let setup = bound.and(nice);
    match started {
        // Nobody waits for the answer only if the pool is already given up.
        Some(started) => _ = started.send(setup),
        None => {
            if let Err(error) = setup {
                shared.tell(&PoolEvent::SetupFailed { index, error: &error });
            }
        }
    }
    let mut worker = Worker {
        shared,
        index,
        free_since: Instant::now(),
        switches_read: 0,
        voluntary: os::thread_switches().voluntary,
        idle: false,
    };
    worker.end_wait();
    worker.work();
    drop(obituary);
    if shared.shutdown.load(SeqCst) {
        shared.tell(&PoolEvent::Stopped { index });
    }
}

/// A batch counts as this much longer than its CPU time at most, unless longer ones are the rule.
const STANDSTILL_NS: u64 = 100_000_000;
/// Longer ones are the rule as far as a batch takes this many times what was expected of it.
const SLOWER_THAN_EXPECTED: u64 = 8;

/// How much of a batch's wall time counts as time spent on it. What is left out the process was
/// stopped for, or the machine stood still: counted, it would be held against the job for many
/// times as long.
fn counted_ns(cpu_ns: u64, wall_ns: u64, expected_ns: u64) -> u64 {
    let more = expected_ns.saturating_mul(SLOWER_THAN_EXPECTED).max(STANDSTILL_NS);
    wall_ns.min(cpu_ns.saturating_add(more))
}

/// Nanoseconds for which a batch kept its thread from other work: all that count if it waited for
/// something, and those of its CPU time if it merely had to let others run.
fn held_ns(report: &BatchReport, expected_ns: u64, voluntary: &mut u64) -> u64 {
    let cpu_ns = nanos(report.cpu);
    let wall_ns = counted_ns(cpu_ns, nanos(report.wall), expected_ns);
    // Reading the switches costs about as much as the rest of the bookkeeping.
    if wall_ns <= cpu_ns + cpu_ns / 16 || !os::HAS_SWITCHES {
        return wall_ns;
    }
    let now = os::thread_switches().voluntary;
    let waited = now != *voluntary;
    *voluntary = now;
    if waited { wall_ns } else { cpu_ns }
}

struct Worker<'a> {
    shared: &'a Shared,
    index: usize,
    /// When it last became free.
    free_since: Instant,
    switches_read: u64,
    /// Voluntary context switches when they were read last.
    voluntary: u64,
    /// Whether it runs only when nothing else wants its CPU.
    idle: bool,
}

impl Worker<'_> {
    /// Works until the pool shuts down, or until the thread has to be replaced.
    fn work(&mut self) {
        loop {
            let key = self.shared.work.key();
            if self.shared.shutdown.load(SeqCst) {
                return;
            }
            match self.shared.next_batch(self.index) {
                Some(batch) => {
                    if !self.set_idle(batch.job.idle) {
                        batch.job.leave();
                        self.shared.return_unstarted(&batch, None);
                        return;
                    }
                    self.shared.dispatch.record(nanos(self.free_since.elapsed()));
                    self.execute(&batch);
                }
                None => {
                    if !self.wait(key) {
                        return;
                    }
                }
            }
        }
    }

    /// Changes between idle and other scheduling, if that is not as wanted. False if the thread
    /// must end: without privileges the system does not let it come back from idle, and a fresh
    /// thread takes its place.
    fn set_idle(&mut self, idle: bool) -> bool {
        if self.idle == idle {
            return true;
        }
        match os::set_idle(idle) {
            Ok(()) => {
                self.idle = idle;
                true
            }
            Err(_) if idle => {
                let error = PoolError::Unsupported { what: "idle scheduling of a thread" };
                self.shared.tell(&PoolEvent::SetupFailed { index: self.index, error: &error });
                true
            }
            Err(_) => {
                self.shared.slots[self.index].retired.store(true, SeqCst);
                false
            }
        }
    }

    /// Sleeps until work may have appeared, and books the time. False if the thread must end.
    fn wait(&mut self, key: u64) -> bool {
        let shared = self.shared;
        let outlook = shared.outlook(self.index);
        let (reason, limit) = match outlook {
            // Work that came after the look is taken at once: in batched mode no thread goes to
            // sleep over it, and in no mode does it count as starving.
            Outlook::Work if !shared.is_sequential() || shared.work.key() != key => return true,
            Outlook::Work => (Reason::Unfed, None),
            // In sequential mode the coordinator keeps the time.
            Outlook::Throttled(_) if shared.is_sequential() => (Reason::Throttled, None),
            Outlook::Throttled(at) => {
                let left = Duration::from_nanos(at.saturating_sub(shared.now_ns()));
                (Reason::Throttled, Some(left))
            }
            Outlook::Nothing if shared.is_sequential() => (Reason::Unfed, None),
            Outlook::Nothing => (Reason::Nothing, None),
        };
        // What comes next must not find the thread waiting for an idle CPU. Where the job is only
        // throttled, it is what comes next.
        if reason != Reason::Throttled && !self.set_idle(false) {
            return false;
        }
        let idle = &shared.slots[self.index].counters.idle;
        lock(idle).begin(shared.now_ns(), reason, shared.work_since());
        shared.work.wait(key, limit);
        self.end_wait();
        true
    }

    /// Books the wait that ends now, if there was one.
    fn end_wait(&mut self) {
        let shared = self.shared;
        let idle = &shared.slots[self.index].counters.idle;
        let waited = lock(idle).end(shared.now_ns(), shared.work_since());
        if waited.starved_ns > 0 {
            let waited = Duration::from_nanos(waited.starved_ns);
            shared.tell(&PoolEvent::Starved { index: self.index, waited });
        }
        // The wait itself is not one inside a batch.
        self.voluntary = os::thread_switches().voluntary;
        // The dispatch latency counts from the moment there was something to dispatch.
        let now = Instant::now();
        let with_job = Duration::from_nanos(waited.with_job_ns);
        self.free_since = now.checked_sub(with_job).unwrap_or(now);
    }

    fn execute(&mut self, batch: &Arc<Batch>) {
        let shared = self.shared;
        let index = self.index;
        let slot = &shared.slots[index];
        let counters = &slot.counters;
        let job = &batch.job;
        *lock(&slot.lease) = Some(Arc::clone(batch));
        counters.in_batch.store(true, Relaxed);
        let started_ns = shared.now_ns();
        counters.last_start.store(started_ns + 1, Relaxed);
        #[cfg(feature = "chaos")]
        if slot.kill.swap(false, SeqCst) {
            std::panic::resume_unwind(Box::new("the thread was told to die"));
        }
        let started = Instant::now();
        let cpu_started = os::thread_cpu_ns();
        let ctx =
            BatchContext { generation: batch.generation, current: &job.generation, thread: index };
        let mut settled = None;
        let (mut items, mut cpu_ns) = (0, 0);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            job.run(batch.span, &ctx, &mut |done, commit| {
                let report = BatchReport {
                    done: Span::new(batch.span.start, done.min(batch.span.len)),
                    thread: index,
                    ended_at: Instant::now(),
                    cpu: Duration::from_nanos(os::thread_cpu_ns().saturating_sub(cpu_started)),
                    wall: started.elapsed(),
                };
                (items, cpu_ns) = (report.done.len, nanos(report.cpu));
                let held_ns = held_ns(&report, batch.charged_ns, &mut self.voluntary);
                settled = Some(job.commit(batch, &report, held_ns, commit));
            });
        }));
        let ended = Instant::now();
        self.free_since = ended;
        let worked_ns = counted_ns(cpu_ns, nanos(ended - started), batch.charged_ns);
        job.worked(if shared.is_sequential() { 0 } else { index }, worked_ns);
        if let Some(ago) = job.switched_ns_ago(batch) {
            shared.switches.record(ago);
        }
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
                counters.recent.record(shared.now_ns(), items);
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
            let switches = os::thread_switches();
            self.voluntary = switches.voluntary;
            counters.publish_os(os::thread_cpu_ns(), switches);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_time_in_which_everything_stood_still_is_not_held_against_a_job() {
        assert_eq!(counted_ns(5 * MS, 5 * MS, 5 * MS), 5 * MS);
        assert_eq!(counted_ns(5 * MS, 90 * MS, 5 * MS), 90 * MS, "others had the CPU");
        assert_eq!(counted_ns(5 * MS, 600_000 * MS, 5 * MS), 105 * MS, "it was stopped");
        assert_eq!(counted_ns(2_000 * MS, 2_000 * MS, 0), 2_000 * MS, "a long item");
        assert_eq!(counted_ns(0, 600_000 * MS, u64::MAX), 600_000 * MS);
    }

    #[test]
    fn items_that_wait_long_count_as_long_as_they_are_after_a_few() {
        let (mut expected, mut counted) = (0, 0);
        for _ in 0..12 {
            counted = counted_ns(0, 60_000 * MS, expected);
            // Nearly the moving average of the batch sizes.
            expected = if expected == 0 { counted } else { expected + (counted - expected) / 5 };
        }
        assert_eq!(counted, 60_000 * MS);
    }
}
