//! Whole searches: through the client, the worker, the queue and the pool.

use std::time::{Duration, Instant};

use nipworker_core::{
    ClientConfig, MiningHandle, MiningOutcome, NostrClient, PoolMetrics, ThreadMetrics,
    protocol::{PublicKey, UnsignedEvent},
};
use serde::Serialize;

use crate::cli::{args::PoolArgs, output::Failure, placement};

/// No search ever reaches it.
const ENDLESS_BITS: u16 = 256;
/// Before the figures of a search are taken, its batches have found their size.
const WARM_UP: Duration = Duration::from_millis(60);
/// How often it is looked whether a search has begun.
const LOOK: Duration = Duration::from_micros(200);

/// What one thread did in one measurement.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ThreadFigures {
    pub(super) thread: usize,
    /// The processor that it is bound to.
    pub(super) core: Option<usize>,
    pub(super) attempts: u64,
    /// Attempts per second of the thread's own CPU time.
    pub(super) per_cpu_second: f64,
    /// Share of the time with work left that it was inside a batch.
    pub(super) busy_percent: f64,
    /// Share of the time that the system gave it a processor.
    pub(super) cpu_percent: f64,
    pub(super) starved_ns: u64,
    pub(super) self_refills: u64,
    pub(super) stale: u64,
}

/// One search of some length.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Run {
    pub(super) seconds: f64,
    pub(super) attempts: u64,
    /// Attempts per second of wall time, of all threads.
    pub(super) per_second: f64,
    /// Attempts per second of thread CPU time, over all threads.
    pub(super) per_cpu_second: f64,
    /// Attempts of the least busy thread by those of the busiest.
    pub(super) fairness_min_max: f64,
    pub(super) threads: Vec<ThreadFigures>,
    /// From a free thread to its next batch.
    pub(super) dispatch_p50_ns: u64,
    pub(super) dispatch_p99_ns: u64,
    pub(super) mean_batch: f64,
    /// Whether other programs took enough of the processors that rates per second of wall time
    /// say little.
    pub(super) disturbed: bool,
}

/// A thread that the system gave a processor for less of the time than this was disturbed.
const UNDISTURBED_PERCENT: f64 = 95.0;

/// An engine of its own for measuring: nothing stored, nobody connected.
pub(super) struct Bench {
    client: NostrClient,
}

impl Bench {
    pub(super) async fn start(config: &ClientConfig, args: &PoolArgs) -> Result<Self, Failure> {
        let mut config = config.clone();
        config.crypto.threads = 1;
        Ok(Self { client: placement::engine(config, args).await? })
    }

    /// Number of its threads.
    pub(super) fn threads(&self) -> Result<usize, Failure> {
        self.pool().map(|pool| pool.threads.len())
    }

    pub(super) async fn close(self) {
        self.client.close().await;
    }

    /// Searches for about `time` and tells what each thread did.
    pub(super) async fn run(&self, content_bytes: usize, time: Duration) -> Result<Run, Failure> {
        let job = self.search(content_bytes, ENDLESS_BITS).await?;
        tokio::time::sleep(WARM_UP).await;
        let (before, began) = (self.pool()?, Instant::now());
        tokio::time::sleep(time).await;
        let (after, seconds) = (self.pool()?, began.elapsed().as_secs_f64());
        job.cancel().await.map_err(Failure::because)?;
        Ok(Run::between(&before, &after, seconds))
    }

    /// Seconds from asking for a cancel to its acknowledgement, after which nothing is counted.
    pub(super) async fn cancel(&self, content_bytes: usize) -> Result<f64, Failure> {
        let job = self.search(content_bytes, ENDLESS_BITS).await?;
        while job.progress().attempts == 0 {
            tokio::time::sleep(LOOK).await;
        }
        let asked = Instant::now();
        job.cancel().await.map_err(Failure::because)?;
        Ok(asked.elapsed().as_secs_f64())
    }

    /// Seconds from asking for so many bits to the mined event.
    pub(super) async fn find(&self, content_bytes: usize, bits: u16) -> Result<f64, Failure> {
        let asked = Instant::now();
        let job = self.search(content_bytes, bits).await?;
        match job.solved().await.map_err(Failure::because)? {
            MiningOutcome::Found { .. } => Ok(asked.elapsed().as_secs_f64()),
            other => Err(Failure::because(format_args!("the search ended: {other:?}"))),
        }
    }

    async fn search(&self, content_bytes: usize, bits: u16) -> Result<MiningHandle, Failure> {
        let author = PublicKey::from_bytes([7; 32]);
        let content = "x".repeat(content_bytes);
        let note = UnsignedEvent::new(author, super::NOTE_TIME, 1, Vec::new(), content);
        self.client.mine(note, bits).await.map_err(Failure::because)
    }

    fn pool(&self) -> Result<PoolMetrics, Failure> {
        let pool = self.client.status().mining.pool;
        pool.ok_or_else(|| Failure::because("the mining threads have ended"))
    }
}

impl Run {
    fn between(before: &PoolMetrics, after: &PoolMetrics, seconds: f64) -> Self {
        let threads: Vec<ThreadFigures> = before
            .threads
            .iter()
            .zip(&after.threads)
            .map(|(before, after)| ThreadFigures::between(before, after, seconds))
            .collect();
        let attempts: u64 = threads.iter().map(|thread| thread.attempts).sum();
        let counts = || threads.iter().map(|thread| thread.attempts);
        let cpu: u64 = before
            .threads
            .iter()
            .zip(&after.threads)
            .map(|(before, after)| after.cpu_ns.saturating_sub(before.cpu_ns))
            .sum();
        Self {
            seconds,
            attempts,
            per_second: attempts as f64 / seconds.max(1e-9),
            per_cpu_second: per_second(attempts, cpu),
            fairness_min_max: counts().min().unwrap_or(0) as f64
                / counts().max().unwrap_or(0).max(1) as f64,
            dispatch_p50_ns: after.dispatch_p50_ns,
            dispatch_p99_ns: after.dispatch_p99_ns,
            mean_batch: after.mean_batch,
            disturbed: threads.iter().any(|thread| thread.cpu_percent < UNDISTURBED_PERCENT),
            threads,
        }
    }

    /// Time that threads waited although there was work.
    pub(super) fn starved_ns(&self) -> u64 {
        self.threads.iter().map(|thread| thread.starved_ns).sum()
    }

    /// The share of the least busy thread.
    pub(super) fn least_busy_percent(&self) -> f64 {
        self.threads.iter().map(|thread| thread.busy_percent).fold(100.0, f64::min)
    }
}

impl ThreadFigures {
    fn between(before: &ThreadMetrics, after: &ThreadMetrics, seconds: f64) -> Self {
        let delta = |value: fn(&ThreadMetrics) -> u64| value(after).saturating_sub(value(before));
        let (attempts, cpu_ns) = (delta(|t| t.attempts), delta(|t| t.cpu_ns));
        let (busy, idle) = (delta(|t| t.busy_ns), delta(|t| t.idle_with_job_ns));
        Self {
            thread: after.index,
            core: after.core,
            attempts,
            per_cpu_second: per_second(attempts, cpu_ns),
            busy_percent: 100.0 * busy as f64 / (busy + idle).max(1) as f64,
            cpu_percent: 100.0 * cpu_ns as f64 / (seconds * 1e9).max(1.0),
            starved_ns: delta(|t| t.starved_ns),
            self_refills: delta(|t| t.self_refills),
            stale: delta(|t| t.stale),
        }
    }
}

fn per_second(attempts: u64, ns: u64) -> f64 {
    if ns == 0 { 0.0 } else { attempts as f64 * 1e9 / ns as f64 }
}
