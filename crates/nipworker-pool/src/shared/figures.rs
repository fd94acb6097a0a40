//! The figures of a pool.

use std::sync::atomic::Ordering::Relaxed;

use super::Shared;
use crate::metrics::{PoolMetrics, fairness};
use crate::sync::{lock, read};

impl Shared {
    /// Notes whether any job wants threads.
    pub(super) fn note_activity(&self) {
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
            lagged: self.counters.lagged.load(Relaxed),
            panics: threads.iter().map(|t| t.panics).sum(),
            restarts: threads.iter().map(|t| t.restarts).sum(),
            threads,
        }
    }
}
