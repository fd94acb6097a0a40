//! What can go wrong with a job.

use nipworker_pool::PoolError;

use crate::request::JobId;

/// What a workload refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WorkloadError {
    /// The input of the job is not valid.
    #[error("invalid {workload} input: {reason}")]
    Input {
        /// Name of the workload.
        workload: String,
        /// What is wrong, and where.
        reason: String,
    },
    /// A hit is not one.
    #[error("{workload} hit at index {index} is not one: {reason}")]
    BadHit {
        /// Name of the workload.
        workload: String,
        /// The index.
        index: u64,
        /// What is wrong.
        reason: String,
    },
}

/// Why a job was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// No workload of that name is registered.
    #[error("unknown workload {name:?}, known are: {known}")]
    UnknownWorkload {
        /// The name that was asked for.
        name: String,
        /// The names there are, separated by commas.
        known: String,
    },
    /// The workload refused the input.
    #[error(transparent)]
    Workload(#[from] WorkloadError),
    /// A limit of the request is not usable.
    #[error("{name} is {value}, allowed is {allowed}")]
    Limit {
        /// Name of the limit.
        name: &'static str,
        /// Its value.
        value: u64,
        /// What is allowed.
        allowed: &'static str,
    },
    /// The id belongs to another job.
    #[error("job {id} exists with another request")]
    IdTaken {
        /// The id.
        id: JobId,
    },
    /// Too many jobs have not ended; wait for one or cancel one.
    #[error("{limit} jobs are active already")]
    TooManyJobs {
        /// The limit, [`crate::MAX_ACTIVE_JOBS`].
        limit: usize,
    },
    /// Whoever wanted the job has given it up, see [`crate::JobBook::abandon`].
    #[error("job {id} was given up before it came")]
    Abandoned {
        /// The id.
        id: JobId,
    },
    /// The ledger of a checkpoint contradicts itself.
    #[error("the checkpoint of job {id} is damaged: {reason}")]
    Checkpoint {
        /// The id.
        id: JobId,
        /// What is wrong.
        reason: String,
    },
    /// The pool refused the job.
    #[error(transparent)]
    Pool(#[from] PoolError),
}

/// There is no such job, or it has been forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no job {id}")]
pub struct UnknownJob {
    /// The id that was asked for.
    pub id: JobId,
}
