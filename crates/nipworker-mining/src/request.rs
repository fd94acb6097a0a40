//! What a job is asked to do.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use nipworker_pool::Priority;
use serde::{Deserialize, Serialize};
use serde_json::Value;

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
    /// Time from the start of the job, pauses included, time without a pool not.
    pub timeout: Option<Duration>,
    /// Attempts.
    pub max_attempts: Option<u64>,
    /// Threads at once.
    pub max_threads: Option<NonZeroUsize>,
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
