//! Jobs in a form that can be stored.

use std::time::Duration;

use nipworker_pool::Span;
use serde::{Deserialize, Serialize};

use crate::ledger::Ledger;
use crate::request::{JobId, JobRequest};
use crate::workload::{Best, Hit};

/// The state of one job that has not ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JobCheckpoint {
    /// The job.
    pub id: JobId,
    /// What it was asked to do.
    pub request: JobRequest,
    /// The ranges that are finished.
    pub finished: Ledger,
    /// The ranges that were given up.
    pub quarantined: Vec<Span>,
    /// Indices tried; equals the items of `finished`.
    pub attempts: u64,
    /// The best so far.
    pub best: Option<Best>,
    /// The hit, where one was booked and the job was about to end with it.
    #[serde(default)]
    pub hit: Option<Hit>,
    /// Time it has run.
    pub elapsed: Duration,
    /// Whether it was paused.
    pub paused: bool,
}

/// Every job of a book that has not ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BookCheckpoint {
    /// The jobs, by id.
    pub jobs: Vec<JobCheckpoint>,
}
