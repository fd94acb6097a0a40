//! Jobs in a form that can be stored.

use std::time::Duration;

use nipworker_pool::Span;
use serde::{Deserialize, Serialize};

use crate::ledger::Ledger;
use crate::request::{JobId, JobRequest};
use crate::workload::{Best, Hit};

/// Version of the form that this release writes; it reads this one and those before it.
pub const CHECKPOINT_VERSION: u32 = 1;

/// The state of one job that has not ended, or that has found something.
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
    /// The hit that the job has ended with, or is about to end with.
    #[serde(default)]
    pub hit: Option<Hit>,
    /// Time it has run.
    pub elapsed: Duration,
    /// Whether it was paused.
    pub paused: bool,
}

/// Every job of a book that has not ended, and every one that has ended with a hit: what was found
/// is not lost before somebody came for it.
///
/// As JSON, by [`to_json`](Self::to_json) or as a part of something larger, it carries its
/// version. What contradicts itself within one job is found by [`crate::JobBook::restore`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
#[non_exhaustive]
pub struct BookCheckpoint {
    /// The jobs, in order of submission.
    pub jobs: Vec<JobCheckpoint>,
}

/// Why a text is no checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// A later release wrote it.
    #[error("the checkpoint has version {found}, this release reads up to {known}")]
    Version {
        /// Its version.
        found: u64,
        /// [`CHECKPOINT_VERSION`].
        known: u32,
    },
    /// It is cut off, or was changed.
    #[error("the checkpoint is damaged: {reason}")]
    Damaged {
        /// What is wrong, and where.
        reason: String,
    },
}

impl BookCheckpoint {
    /// The checkpoint as JSON.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Damaged`] if a workload's input cannot be written.
    pub fn to_json(&self) -> Result<Vec<u8>, CheckpointError> {
        let damaged =
            |error: serde_json::Error| CheckpointError::Damaged { reason: error.to_string() };
        serde_json::to_vec(self).map_err(damaged)
    }

    /// Reads what [`to_json`](Self::to_json) wrote.
    ///
    /// # Errors
    ///
    /// [`CheckpointError`], with the version or the place of the damage.
    pub fn from_json(text: &[u8]) -> Result<Self, CheckpointError> {
        let damaged =
            |error: serde_json::Error| CheckpointError::Damaged { reason: error.to_string() };
        // The version first: a later form may differ in everything else.
        let Version { version } = serde_json::from_slice(text).map_err(damaged)?;
        check(version)?;
        serde_json::from_slice(text).map_err(damaged)
    }
}

fn check(version: u64) -> Result<(), CheckpointError> {
    if version > u64::from(CHECKPOINT_VERSION) {
        return Err(CheckpointError::Version { found: version, known: CHECKPOINT_VERSION });
    }
    Ok(())
}

/// What is written without a version is the first.
fn first() -> u64 {
    1
}

#[derive(Deserialize)]
struct Version {
    #[serde(default = "first")]
    version: u64,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(default = "first")]
    version: u64,
    jobs: Vec<JobCheckpoint>,
}

impl From<BookCheckpoint> for Stored {
    fn from(BookCheckpoint { jobs }: BookCheckpoint) -> Self {
        Self { version: u64::from(CHECKPOINT_VERSION), jobs }
    }
}

impl TryFrom<Stored> for BookCheckpoint {
    type Error = CheckpointError;

    fn try_from(Stored { version, jobs }: Stored) -> Result<Self, CheckpointError> {
        check(version)?;
        Ok(Self { jobs })
    }
}
