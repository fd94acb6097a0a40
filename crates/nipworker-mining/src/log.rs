//! The log lines of the dispatch.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use nipworker_pool::{DispatchMode, Observer, PoolEvent, PoolMetrics};

use crate::sync::lock;

/// Target of every line that tells how work reaches the threads. Show them all with
/// `RUST_LOG=info,miner::dispatch=trace`.
pub const DISPATCH_TARGET: &str = "miner::dispatch";

/// Turns what the pool does into log lines with stable words.
pub(crate) struct DispatchLog {
    next: Option<Arc<dyn Observer>>,
    /// Hits of the whole book.
    hits: Arc<AtomicU64>,
    /// Active time, attempts and CPU time at the last statistics.
    last: Mutex<(u64, u64, u64)>,
}

impl DispatchLog {
    pub(crate) fn new(next: Option<Arc<dyn Observer>>, hits: Arc<AtomicU64>) -> Self {
        Self { next, hits, last: Mutex::new((0, 0, 0)) }
    }

    /// Attempts per second, and CPU percent (100 for one core), since the last time.
    ///
    /// Times without a running job are no part of them: the first figures after an idle hour are
    /// those of the job that ended it.
    fn rates(&self, metrics: &PoolMetrics) -> (f64, f64) {
        let cpu_ns: u64 = metrics.threads.iter().map(|thread| thread.cpu_ns).sum();
        let mut last = lock(&self.last);
        let (active, attempts, cpu) =
            std::mem::replace(&mut *last, (metrics.active_ns, metrics.attempts, cpu_ns));
        drop(last);
        let active_ns = metrics.active_ns.saturating_sub(active).max(1) as f64;
        let rate = metrics.attempts.saturating_sub(attempts) as f64 * 1e9 / active_ns;
        (rate, cpu_ns.saturating_sub(cpu) as f64 * 100.0 / active_ns)
    }

    fn stats(&self, metrics: &PoolMetrics) {
        let (rate, cpu_percent) = self.rates(metrics);
        tracing::info!(
            target: DISPATCH_TARGET,
            "mining stats: attempts={} rate={rate:.0}/s hits={} jobs={} active={}/{} \
             cpu={cpu_percent:.0}% starved_ms={} throttled_ms={} stale={} lag={} depth={} fairness={:.3} \
             switch_us={}/{} dispatch_us={}/{}",
            metrics.attempts,
            self.hits.load(Relaxed),
            metrics.jobs,
            metrics.active_threads,
            metrics.threads.len(),
            metrics.starved_ns / 1_000_000,
            metrics.throttled_ns / 1_000_000,
            metrics.stale,
            metrics.lagged,
            metrics.queue_depth,
            metrics.fairness_jain,
            metrics.switch_p50_ns / 1_000,
            metrics.switch_p99_ns / 1_000,
            metrics.dispatch_p50_ns / 1_000,
            metrics.dispatch_p99_ns / 1_000,
        );
    }
}

impl Observer for DispatchLog {
    fn event(&self, event: &PoolEvent<'_>) {
        match event {
            PoolEvent::Spawned { threads, cores, dispatch, low, high } => {
                let mode = match dispatch {
                    DispatchMode::Batched => "batched",
                    DispatchMode::Sequential => "sequential",
                };
                tracing::info!(
                    target: DISPATCH_TARGET,
                    "{mode} dispatch config: workers={threads} cores={cores} low={low} high={high}"
                );
                tracing::info!(target: DISPATCH_TARGET, "spawned {threads} mining workers");
            }
            PoolEvent::ThreadStarted { index, core } => match core {
                Some(core) => {
                    tracing::info!(target: DISPATCH_TARGET, "worker #{index} started core={core}");
                }
                None => {
                    tracing::info!(target: DISPATCH_TARGET, "worker #{index} started core=any");
                }
            },
            PoolEvent::Filled { sequence, batches, items, threads, depth } => {
                tracing::trace!(target: DISPATCH_TARGET, "nonces generated: {items}");
                tracing::debug!(
                    target: DISPATCH_TARGET,
                    "batch #{sequence}: received {batches}, distributed {batches} to {threads} \
                     workers, depth {depth}"
                );
            }
            PoolEvent::Starved { index, waited } => {
                tracing::warn!(
                    target: DISPATCH_TARGET,
                    "worker #{index} starved for {:.3} ms",
                    waited.as_secs_f64() * 1e3
                );
            }
            PoolEvent::BatchPanicked { index, job, span, message, queued_again } => {
                let fate = if *queued_again { "queued again" } else { "given up" };
                tracing::error!(
                    target: DISPATCH_TARGET,
                    "batch of {} from {} of job {job} panicked on worker #{index}: {message}; {fate}",
                    span.len,
                    span.start
                );
            }
            PoolEvent::SetupFailed { index, error } => {
                tracing::warn!(target: DISPATCH_TARGET, "worker #{index} works all the same: {error}");
            }
            PoolEvent::Restarted { index } => {
                tracing::warn!(target: DISPATCH_TARGET, "worker #{index} restarted after panic");
            }
            PoolEvent::RestartFailed { index, error } => {
                tracing::error!(
                    target: DISPATCH_TARGET,
                    "worker #{index} cannot be restarted: {error}"
                );
            }
            PoolEvent::Stopped { index } => {
                tracing::info!(target: DISPATCH_TARGET, "worker #{index} stopped: shutdown");
            }
            PoolEvent::Stats(metrics) => self.stats(metrics),
            _ => {}
        }
        if let Some(next) = &self.next {
            next.event(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_of_the_log_leaves_out_the_time_without_a_job() {
        let log = DispatchLog::new(None, Arc::default());
        let second = 1_000_000_000;
        let mut metrics = PoolMetrics::default();
        (metrics.attempts, metrics.active_ns, metrics.uptime_ns) =
            (5_000, 10 * second, 10 * second);
        assert_eq!(log.rates(&metrics).0, 500.0);
        // An hour of nothing, then ten busy seconds.
        (metrics.attempts, metrics.active_ns) = (15_000, 20 * second);
        metrics.uptime_ns = 3_620 * second;
        assert_eq!(log.rates(&metrics).0, 1_000.0);
    }
}
