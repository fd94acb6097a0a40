//! What a job is asked to do.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use nipworker_pool::{PoolError, Priority};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::SubmitError;

/// Names a job. Chosen by the client or, for [`crate::JobBook::submit`], by the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub u64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What ends a job early, and how much of the machine it may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JobLimits {
    /// Time from the start of the job, pauses included, time without a pool not. More than zero.
    pub timeout: Option<Duration>,
    /// Attempts; at least one.
    pub max_attempts: Option<u64>,
    /// Threads at once.
    pub max_threads: Option<NonZeroUsize>,
    /// Whether its threads run only when nothing else on the machine wants their CPU. Refused
    /// where the system has no such thing; see [`nipworker_pool::JobSpec::idle`].
    pub idle: bool,
    /// Share of wall time, in percent (1 to 100), that each thread works on it at most; see
    /// [`nipworker_pool::JobSpec::cpu_percent`].
    pub cpu_percent: Option<u8>,
}

impl JobLimits {
    /// Refuses what no job can keep.
    pub(crate) fn validate(&self) -> Result<(), SubmitError> {
        let refuse = |name, value, allowed| Err(SubmitError::Limit { name, value, allowed });
        if self.max_attempts == Some(0) {
            return refuse("max_attempts", 0, "at least 1");
        }
        if self.timeout == Some(Duration::ZERO) {
            return refuse("timeout", 0, "more than 0: the deadline would lie in the past");
        }
        if let Some(percent) = self.cpu_percent.filter(|percent| !(1..=100).contains(percent)) {
            return refuse("cpu_percent", u64::from(percent), "1 to 100 percent");
        }
        if self.idle && !nipworker_pool::idle_supported() {
            return Err(PoolError::Unsupported { what: "idle scheduling of a thread" }.into());
        }
        Ok(())
    }
}

/// A job to be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobRequest {
    /// Name of the workload.
    pub workload: String,
    /// Its input.
    pub input: Value,
    /// Share of the threads.
    pub priority: Priority,
    /// Limits.
    pub limits: JobLimits,
    /// First index to try: lets several machines share one job.
    pub start: u64,
}

impl JobRequest {
    /// A request without limits, at normal priority, from index 0.
    pub fn new(workload: impl Into<String>, input: Value) -> Self {
        Self {
            workload: workload.into(),
            input,
            priority: Priority::Normal,
            limits: JobLimits::default(),
            start: 0,
        }
    }
}
