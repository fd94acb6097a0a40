//! Between the messages of the edge and the words of the domain.

use std::{fmt::Display, num::NonZeroUsize, time::Duration};

use nipworker_mining::{
    Acknowledged, JobId, JobLimits, JobRequest, PoolError, Priority, SubmitError, Submitted,
    UnknownJob,
};
use nipworker_schema::{FailureCode, JobAcceptedT, JobPausedT, JobStoppedT, MineEventT, MinerEdge};

use crate::actor::Nip13Request;

/// The job that a message asks for, or what is wrong with it.
pub(crate) fn request(message: MineEventT, nip13: &Nip13Request) -> Result<JobRequest, String> {
    let MineEventT {
        job: _,
        template,
        difficulty_bits,
        max_threads,
        timeout_ms,
        max_attempts,
        priority,
        refresh_created_at,
        cpu_percent,
        idle,
    } = message;
    let priority = match priority {
        0 => Priority::Bulk,
        1 => Priority::Normal,
        2 => Priority::High,
        3 => Priority::Urgent,
        other => return Err(format!("priority is {other}, allowed are 0 to 3")),
    };
    // On this edge zero stands for "no limit".
    let limits = JobLimits {
        timeout: (timeout_ms > 0).then(|| Duration::from_millis(timeout_ms)),
        max_attempts: (max_attempts > 0).then_some(max_attempts),
        max_threads: NonZeroUsize::new(usize::try_from(max_threads).unwrap_or(usize::MAX)),
        idle,
        cpu_percent: (cpu_percent != 100).then_some(cpu_percent),
    };
    let request = nip13(*template, u32::from(difficulty_bits), refresh_created_at);
    Ok(JobRequest { priority, limits, ..request })
}

pub(crate) fn failed(code: FailureCode, reason: impl Display, transient: bool) -> MinerEdge {
    MinerEdge::failed(code, reason.to_string(), transient)
}

pub(crate) fn accepted(id: JobId, submitted: Result<Submitted, SubmitError>) -> MinerEdge {
    match submitted {
        Ok(_) => MinerEdge::encode(JobAcceptedT { job: id.0 }),
        Err(error) => {
            let (code, transient) = match &error {
                SubmitError::UnknownWorkload { .. } => (FailureCode::Unsupported, false),
                SubmitError::Pool(PoolError::Unsupported { .. }) => {
                    (FailureCode::Unsupported, false)
                }
                SubmitError::TooManyJobs { .. }
                | SubmitError::Pool(PoolError::TooManyJobs { .. }) => (FailureCode::Busy, true),
                SubmitError::Pool(PoolError::DeadlinePassed { .. }) => {
                    (FailureCode::Invalid, false)
                }
                SubmitError::Pool(PoolError::Closed) => (FailureCode::Closed, false),
                SubmitError::Pool(_) => (FailureCode::Worker, true),
                _ => (FailureCode::Invalid, false),
            };
            failed(code, error, transient)
        }
    }
}

/// `None`: there is no such job.
pub(crate) fn stopped(id: JobId, cancelled: Option<Acknowledged>) -> MinerEdge {
    MinerEdge::encode(JobStoppedT {
        job: id.0,
        known: cancelled.is_some(),
        attempts: cancelled.map_or(0, |acknowledged| acknowledged.attempts),
    })
}

pub(crate) fn paused(id: JobId, done: Result<bool, UnknownJob>) -> MinerEdge {
    MinerEdge::encode(JobPausedT { job: id.0, known: done.is_ok() })
}
