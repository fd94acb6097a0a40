//! Figures that prove that every thread is fed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use serde::{Deserialize, Serialize};

use crate::idle::Idle;
use crate::os::Switches;
use crate::recent::Recent;

/// What one worker thread has done. Counters go on over a restart of the thread, except
/// `cpu_ns` and the context switches, which belong to the thread that runs now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ThreadMetrics {
    /// Index of the thread.
    pub index: usize,
    /// The core it was to be bound to; `None` if binding was not asked for.
    pub core: Option<usize>,
    /// Whether binding worked.
    pub pinned: bool,
    /// Whether it was inside a batch when the figures were taken, or within the last second.
    pub active: bool,
    /// Batches it has finished.
    pub batches: u64,
    /// Items it has finished.
    pub attempts: u64,
    /// Wall nanoseconds inside batches.
    pub busy_ns: u64,
    /// Nanoseconds from the moment there was work for it to the moment it took some, starvation
    /// not included: waking up. It grows where there are more threads than cores, because the
    /// system lets a thread that was woken wait for a core.
    pub idle_with_job_ns: u64,
    /// Nanoseconds it waited because nothing was left to do.
    pub idle_no_job_ns: u64,
    /// Times it starved.
    pub starvation_events: u64,
    /// Nanoseconds it starved: it did not work, a running job had work that nobody had claimed,
    /// and nothing had woken it.
    ///
    /// That is the rule in sequential mode, and otherwise the time from the death of the thread
    /// to its replacement, or a lost wake-up, which the coordinator looks for every second, makes
    /// good and books here. What it cannot show: time inside a batch, however slow, is busy time,
    /// and a thread that was woken and waits for a core is idle with a job.
    pub starved_ns: u64,
    /// Nanoseconds it slept because the jobs with work left were at their share of CPU time
    /// ([`JobSpec::cpu_percent`](crate::JobSpec::cpu_percent)); neither idle nor starved.
    pub throttled_ns: u64,
    /// Batches it cut itself because the queue was empty.
    pub self_refills: u64,
    /// Batches dropped because their job had ended.
    pub stale: u64,
    /// Batches that panicked, or that did nothing although nobody had cancelled them.
    pub panics: u64,
    /// Times the thread was replaced.
    pub restarts: u64,
    /// Thread CPU nanoseconds, as of its last batch.
    pub cpu_ns: u64,
    /// Voluntary context switches, as of its last batch; 0 where the system does not say.
    pub voluntary_switches: u64,
    /// Involuntary context switches, as of its last batch; 0 where the system does not say.
    pub involuntary_switches: u64,
    /// Nanoseconds since its last batch began; `None` before the first.
    pub last_batch_age_ns: Option<u64>,
}

/// What the whole pool has done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PoolMetrics {
    /// One entry per thread, by index.
    pub threads: Vec<ThreadMetrics>,
    /// Nanoseconds since the pool started.
    pub uptime_ns: u64,
    /// Jobs that have not ended.
    pub jobs: usize,
    /// Threads that were inside a batch within the last second.
    pub active_threads: usize,
    /// Sum of the threads' items.
    pub attempts: u64,
    /// Batches in the queue.
    pub queue_depth: usize,
    /// Times a thread found the queue below its low water mark and woke the generator.
    pub low_water_hits: u64,
    /// Sum of the threads' starvation events.
    pub starvation_events: u64,
    /// Sum of the threads' starved nanoseconds.
    pub starved_ns: u64,
    /// Sum of the threads' throttled nanoseconds.
    pub throttled_ns: u64,
    /// Nanoseconds during which some job was running (neither paused nor ended).
    pub active_ns: u64,
    /// Items per second over the last second, or since the start of the pool.
    pub rate_1s: f64,
    /// Items per second over the last ten seconds, or since the start of the pool.
    pub rate_10s: f64,
    /// Items per second over the last minute, or since the start of the pool.
    pub rate_60s: f64,
    /// Median nanoseconds from a cancel, a stop or a pause to the moment a thread that was inside
    /// the job has left it.
    pub switch_p50_ns: u64,
    /// 99th percentile of the same.
    pub switch_p99_ns: u64,
    /// Median nanoseconds from a thread being free (and work being there) to its next batch.
    pub dispatch_p50_ns: u64,
    /// 99th percentile of the same.
    pub dispatch_p99_ns: u64,
    /// Items of the least busy thread divided by those of the busiest; 1 without any item.
    pub fairness_min_max: f64,
    /// Jain's fairness index of the threads' items: 1 when all did the same, 1/n when one did all.
    pub fairness_jain: f64,
    /// Mean number of items per batch.
    pub mean_batch: f64,
    /// Sum of the threads' stale batches.
    pub stale: u64,
    /// Commands that the sources of its dispatchers lost because they were not read in time, see
    /// [`Drained::lagged`](crate::source::Drained::lagged).
    pub lagged: u64,
    /// Sum of the threads' panics.
    pub panics: u64,
    /// Sum of the threads' restarts.
    pub restarts: u64,
}

/// The live counters behind [`ThreadMetrics`].
#[derive(Debug, Default)]
pub(crate) struct ThreadCounters {
    pub(crate) core: Mutex<Option<usize>>,
    pub(crate) pinned: AtomicBool,
    pub(crate) in_batch: AtomicBool,
    pub(crate) batches: AtomicU64,
    pub(crate) attempts: AtomicU64,
    pub(crate) busy_ns: AtomicU64,
    /// Locked when the thread goes to sleep and when it wakes up, never in between.
    pub(crate) idle: Mutex<Idle>,
    pub(crate) recent: Recent,
    pub(crate) self_refills: AtomicU64,
    pub(crate) stale: AtomicU64,
    pub(crate) panics: AtomicU64,
    pub(crate) restarts: AtomicU64,
    pub(crate) cpu_ns: AtomicU64,
    pub(crate) voluntary: AtomicU64,
    pub(crate) involuntary: AtomicU64,
    /// Pool time of the start of the last batch, plus one; 0 before the first.
    pub(crate) last_start: AtomicU64,
    pub(crate) last_end: AtomicU64,
}

/// A thread counts as active for this long after its last batch.
const ACTIVE_WINDOW_NS: u64 = 1_000_000_000;

impl ThreadCounters {
    pub(crate) fn add(counter: &AtomicU64, value: u64) {
        counter.fetch_add(value, Relaxed);
    }

    pub(crate) fn publish_os(&self, cpu_ns: u64, switches: Switches) {
        self.cpu_ns.store(cpu_ns, Relaxed);
        self.voluntary.store(switches.voluntary, Relaxed);
        self.involuntary.store(switches.involuntary, Relaxed);
    }

    pub(crate) fn snapshot(&self, index: usize, now_ns: u64, work_since: u64) -> ThreadMetrics {
        let idle = crate::sync::lock(&self.idle).as_of(now_ns, work_since);
        let last_start = self.last_start.load(Relaxed);
        let recent =
            last_start > 0 && now_ns.saturating_sub(self.last_end.load(Relaxed)) < ACTIVE_WINDOW_NS;
        ThreadMetrics {
            index,
            core: *crate::sync::lock(&self.core),
            pinned: self.pinned.load(Relaxed),
            active: recent || self.in_batch.load(Relaxed),
            batches: self.batches.load(Relaxed),
            attempts: self.attempts.load(Relaxed),
            busy_ns: self.busy_ns.load(Relaxed),
            idle_with_job_ns: idle.with_job_ns,
            idle_no_job_ns: idle.no_job_ns,
            starvation_events: idle.starvation_events,
            starved_ns: idle.starved_ns,
            throttled_ns: idle.throttled_ns,
            self_refills: self.self_refills.load(Relaxed),
            stale: self.stale.load(Relaxed),
            panics: self.panics.load(Relaxed),
            restarts: self.restarts.load(Relaxed),
            cpu_ns: self.cpu_ns.load(Relaxed),
            voluntary_switches: self.voluntary.load(Relaxed),
            involuntary_switches: self.involuntary.load(Relaxed),
            last_batch_age_ns: (last_start > 0).then(|| now_ns.saturating_sub(last_start - 1)),
        }
    }
}

/// Counters of the pool as a whole.
#[derive(Debug, Default)]
pub(crate) struct PoolCounters {
    pub(crate) lagged: AtomicU64,
    pub(crate) low_water_hits: AtomicU64,
    pub(crate) fills: AtomicU64,
}

/// Minimum over maximum, and Jain's index, of the threads' items.
pub(crate) fn fairness(items: &[u64]) -> (f64, f64) {
    let max = items.iter().copied().max().unwrap_or(0);
    if max == 0 {
        return (1.0, 1.0);
    }
    let min = items.iter().copied().min().unwrap_or(0);
    let sum: f64 = items.iter().map(|&n| n as f64).sum();
    let squares: f64 = items.iter().map(|&n| (n as f64) * (n as f64)).sum();
    (min as f64 / max as f64, sum * sum / (items.len() as f64 * squares))
}

#[cfg(test)]
mod tests {
    use super::fairness;

    #[test]
    fn fairness_is_one_when_all_did_the_same_and_one_nth_when_one_did_all() {
        assert_eq!(fairness(&[0, 0]), (1.0, 1.0));
        assert_eq!(fairness(&[5, 5, 5, 5]), (1.0, 1.0));
        assert_eq!(fairness(&[8, 0, 0, 0]), (0.0, 0.25));
    }
}
