//! How far a job is, and how it ends.

use std::time::Duration;

use nipworker_mining::{JobPhase, JobRequest, Outcome, Progress};
use nipworker_protocol::{EventId, UnsignedEvent};
use serde::{Deserialize, Serialize};

use crate::ClientError;

/// Longest time between two wake-ups of [`MiningView::changed`](crate::MiningView::changed).
pub const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MiningProgress {
    /// The job.
    pub job: u64,
    /// Name of what is searched: `nip13` for events.
    pub workload: String,
    /// Leading zero bits that the id must have; `None` for another workload.
    pub difficulty_bits: Option<u16>,
    /// Where it stands.
    pub phase: JobPhase,
    /// Nonces tried.
    pub attempts: u64,
    /// Nonces per second over the last second.
    pub rate_1s: f64,
    /// Nonces per second over the last ten seconds.
    pub rate_10s: f64,
    /// Leading zero bits of the best id so far.
    pub best_bits: u64,
    /// Time since the start in seconds.
    pub elapsed_secs: f64,
    /// With even odds it is found within so many seconds.
    pub p50_left_secs: Option<f64>,
    /// In 19 of 20 cases it is found within so many seconds.
    pub p95_left_secs: Option<f64>,
}

impl MiningProgress {
    pub(crate) fn of(progress: Progress, request: &JobRequest) -> Self {
        Self {
            job: progress.id.0,
            difficulty_bits: difficulty_bits(request),
            workload: progress.workload,
            phase: progress.phase,
            attempts: progress.attempts,
            rate_1s: progress.rate_1s,
            rate_10s: progress.rate_10s,
            best_bits: progress.best.map_or(0, |best| best.score),
            elapsed_secs: progress.elapsed.as_secs_f64(),
            p50_left_secs: progress.expected_p50_left.map(|left| left.as_secs_f64()),
            p95_left_secs: progress.expected_p95_left.map(|left| left.as_secs_f64()),
        }
    }
}

fn difficulty_bits(request: &JobRequest) -> Option<u16> {
    if request.workload != nipworker_pow::WORKLOAD_NAME {
        return None;
    }
    request.input.get("difficulty")?.as_u64().and_then(|bits| u16::try_from(bits).ok())
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
#[non_exhaustive]
pub enum MiningOutcome {
    /// The mined event, its nonce tag last.
    Found {
        /// The event, ready to be signed by whoever holds its key.
        event: UnsignedEvent,
        /// Its id.
        id: EventId,
        /// Leading zero bits of the id.
        bits: u32,
        /// Nonces tried.
        attempts: u64,
    },
    /// All nonces, or as many as allowed, were tried.
    Exhausted {
        /// Nonces tried.
        attempts: u64,
    },
    /// It was cancelled.
    Cancelled {
        /// Nonces tried.
        attempts: u64,
    },
    /// Its time ran out.
    TimedOut {
        /// Nonces tried.
        attempts: u64,
    },
    /// All nonces, or as many as allowed, were tried, except for some in which the search itself
    /// failed: a solution may be among those.
    Quarantined {
        /// Nonces tried.
        attempts: u64,
        /// Ranges of nonces that were given up.
        spans: u64,
    },
}

impl MiningOutcome {
    /// # Errors
    /// [`ClientError::Protocol`] when the hit is no event.
    pub(crate) fn of(outcome: Outcome, attempts: u64) -> Result<Self, ClientError> {
        Ok(match outcome {
            Outcome::Found(hit) => {
                let event = nipworker_pow::mined_event(&hit)
                    .map_err(|error| ClientError::Protocol(error.to_string()))?;
                let id = event.compute_id();
                Self::Found { event, id, bits: id.leading_zero_bits(), attempts }
            }
            Outcome::Cancelled => Self::Cancelled { attempts },
            Outcome::TimedOut => Self::TimedOut { attempts },
            Outcome::Quarantined(spans) => {
                Self::Quarantined { attempts, spans: spans.len() as u64 }
            }
            _ => Self::Exhausted { attempts },
        })
    }
}
