//! What a watcher of a job sees.

use std::time::Duration;

use nipworker_pool::{Priority, Span};
use serde::{Deserialize, Serialize};

use crate::request::JobId;
use crate::workload::{Best, Hit};

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum JobPhase {
    /// It is being worked on.
    Running,
    /// It was paused.
    Paused,
    /// There is no pool; it goes on when one is started.
    Suspended,
    /// It has an [`Outcome`].
    Ended,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// A verified hit.
    Found(Hit),
    /// Every index was tried and none is a hit.
    Exhausted,
    /// As many attempts were made as the request allowed.
    AttemptLimit,
    /// It was cancelled.
    Cancelled,
    /// Its time ran out.
    TimedOut,
    /// Everything was tried but these spans, in which the workload failed twice: it panicked, or
    /// tried nothing although nobody had stopped it.
    Quarantined(Vec<Span>),
}

/// A snapshot of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Progress {
    /// The job.
    pub id: JobId,
    /// Name of the workload.
    pub workload: String,
    /// Where it stands.
    pub phase: JobPhase,
    /// How it ended, once it has.
    pub outcome: Option<Outcome>,
    /// Share of the threads.
    pub priority: Priority,
    /// Indices tried.
    pub attempts: u64,
    /// Indices left to try within the request's limit.
    pub remaining: u64,
    /// Attempts per second over the last second; 0 while it is not running.
    pub rate_1s: f64,
    /// Attempts per second over the last ten seconds; 0 while it is not running.
    pub rate_10s: f64,
    /// The best attempt so far.
    pub best: Option<Best>,
    /// Time since the start, pauses included, time without a pool not.
    pub elapsed: Duration,
    /// With even odds it is found within this time.
    pub expected_p50_left: Option<Duration>,
    /// In 19 of 20 cases it is found within this time.
    pub expected_p95_left: Option<Duration>,
    /// Spans that were given up because they failed twice.
    pub quarantined: Vec<Span>,
    /// Hits that failed their verification: a defect of the workload.
    pub bad_hits: u64,
    /// Batches refused because their range was finished already: always 0.
    pub doubled: u64,
}
