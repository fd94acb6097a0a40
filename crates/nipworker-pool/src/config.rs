//! How a pool is sized, named, pinned and fed.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cpus;
use crate::error::PoolError;
use crate::observer::Observer;
use crate::placement::{Placement, Plan, default_reserve, plan};

/// Most threads a pool may have.
pub const MAX_THREADS: usize = 1024;

/// Highest nice value: the lowest priority that is not idle.
const MAX_NICE: u8 = 19;

/// How work reaches the threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DispatchMode {
    /// Batches generated ahead, and threads that refill themselves.
    #[default]
    Batched,
    /// One item per event, and the next only after the result of the last: the baseline that
    /// benches print beside the batched mode. It keeps one thread busy at best.
    Sequential,
}

/// Settings of a [`crate::Pool`]. They are fixed for its life.
#[derive(Clone)]
pub struct PoolConfig {
    /// Number of worker threads, 1 to [`MAX_THREADS`]; `None` takes one per CPU less the
    /// `reserve`, or one per CPU that an explicit placement lists.
    pub threads: Option<usize>,
    /// Threads are named `PREFIX-00`, `PREFIX-01`, …; keep it to 12 bytes, Linux shows 15.
    pub name_prefix: String,
    /// Which CPU each thread is bound to. More threads than CPUs are allowed: the CPUs are then
    /// given out in turn. Default: [`Placement::Spread`] where the system binds threads.
    pub placement: Placement,
    /// CPUs left free: no thread is bound to them, and the default number of threads is so much
    /// smaller. `None` leaves one where there are four or more and no number of threads is given.
    pub reserve: Option<usize>,
    /// Nice value of every thread, 0 to 19 (lowest priority); `None` leaves the process's. Linux
    /// and Android only.
    pub nice: Option<u8>,
    /// How work reaches the threads.
    pub dispatch: DispatchMode,
    /// Queued batches per thread below which the generator refills. Default: 2.
    pub low_water_per_thread: usize,
    /// Queued batches per thread up to which it refills. Default: 4, above the low mark.
    pub high_water_per_thread: usize,
    /// Thread CPU time that one batch should take. Default: 2 ms; 10 µs to 1 s.
    pub target_batch: Duration,
    /// How often [`PoolEvent::Stats`](crate::PoolEvent::Stats) is sent while a job is active.
    /// Default: 10 s; at least 10 ms; more than a year is taken as a year.
    pub stats_every: Duration,
    /// Who is told what the pool does.
    pub observer: Option<Arc<dyn Observer>>,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            threads: None,
            name_prefix: "worker".into(),
            placement: Placement::default(),
            reserve: None,
            nice: None,
            dispatch: DispatchMode::Batched,
            low_water_per_thread: 2,
            high_water_per_thread: 4,
            target_batch: Duration::from_millis(2),
            stats_every: Duration::from_secs(10),
            observer: None,
        }
    }
}

impl fmt::Debug for PoolConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolConfig")
            .field("threads", &self.threads)
            .field("name_prefix", &self.name_prefix)
            .field("placement", &self.placement)
            .field("reserve", &self.reserve)
            .field("nice", &self.nice)
            .field("dispatch", &self.dispatch)
            .field("low_water_per_thread", &self.low_water_per_thread)
            .field("high_water_per_thread", &self.high_water_per_thread)
            .field("target_batch", &self.target_batch)
            .field("stats_every", &self.stats_every)
            .finish_non_exhaustive()
    }
}

impl PoolConfig {
    /// The threads this config asks for and where they go, or why it is not valid.
    pub(crate) fn validated(&self) -> Result<Plan, PoolError> {
        let checked = |threads: usize| match threads {
            1..=MAX_THREADS => Ok(()),
            _ => Err(PoolError::Threads { threads, limit: MAX_THREADS }),
        };
        self.threads.map_or(Ok(()), checked)?;
        self.validate_settings()?;
        let plan = plan(&self.placement, self.reserve, self.threads, cpus::usable(), parallel())?;
        checked(plan.threads)?;
        Ok(plan)
    }

    fn validate_settings(&self) -> Result<(), PoolError> {
        if let Some(nice) = self.nice.filter(|nice| *nice > MAX_NICE) {
            return Err(PoolError::Setting {
                name: "nice",
                value: u64::from(nice),
                allowed: "0 to 19",
            });
        }
        if !(1..=1024).contains(&self.low_water_per_thread) {
            return Err(PoolError::Setting {
                name: "low_water_per_thread",
                value: self.low_water_per_thread as u64,
                allowed: "1 to 1024 batches",
            });
        }
        if !(self.low_water_per_thread + 1..=2048).contains(&self.high_water_per_thread) {
            return Err(PoolError::Setting {
                name: "high_water_per_thread",
                value: self.high_water_per_thread as u64,
                allowed: "more than low_water_per_thread and at most 2048 batches",
            });
        }
        let target_us = u64::try_from(self.target_batch.as_micros()).unwrap_or(u64::MAX);
        if !(10..=1_000_000).contains(&target_us) {
            return Err(PoolError::Setting {
                name: "target_batch",
                value: target_us,
                allowed: "10 to 1000000 microseconds",
            });
        }
        let stats_ms = u64::try_from(self.stats_every.as_millis()).unwrap_or(u64::MAX);
        if stats_ms < 10 {
            return Err(PoolError::Setting {
                name: "stats_every",
                value: stats_ms,
                allowed: "at least 10 milliseconds",
            });
        }
        Ok(())
    }
}

/// Threads that the system lets this process run at once.
fn parallel() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// The number of threads a pool gets when neither it nor a reserve nor a list of CPUs is given:
/// the logical cores, less one where there are four or more, so that the rest of the program keeps
/// a core.
pub fn default_threads() -> usize {
    let cores = parallel();
    cores - default_reserve(cores)
}
