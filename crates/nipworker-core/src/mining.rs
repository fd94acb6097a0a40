//! Mining jobs as a caller sees them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use nipworker_mining::{JobBook, JobId, JobPhase, JobWatch, Outcome, Priority, Progress};
use nipworker_protocol::{EventId, UnsignedEvent};
use nipworker_schema::{CancelJobT, MineEventT, MinerEdge, MinerMessageT, PauseJobT};
use nipworker_supervision::Recipient;
use serde::{Deserialize, Serialize};

use crate::{
    ClientError,
    wire::{ask_miner, expect_answer, repeatedly},
};

/// Longest time between two wake-ups of [`MiningHandle::changed`].
pub const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);

/// How a job is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MineOptions {
    /// Threads at once; `None` takes all.
    pub threads: Option<u32>,
    /// Time after which it ends without a result.
    pub timeout: Option<Duration>,
    /// Attempts after which it ends without a result.
    pub max_attempts: Option<u64>,
    /// Share of the threads among several jobs.
    pub priority: Priority,
    /// Whether `created_at` follows the clock while it is mined (NIP-13 recommends it).
    pub refresh_created_at: bool,
}

impl Default for MineOptions {
    fn default() -> Self {
        Self {
            threads: None,
            timeout: None,
            max_attempts: None,
            priority: Priority::Normal,
            refresh_created_at: true,
        }
    }
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MiningProgress {
    /// The job.
    pub job: u64,
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

impl From<Progress> for MiningProgress {
    fn from(progress: Progress) -> Self {
        Self {
            job: progress.id.0,
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

/// A mining job. Dropping it cancels the job.
#[derive(Debug)]
pub struct MiningHandle {
    id: JobId,
    watch: JobWatch,
    book: Arc<JobBook>,
    miner: Recipient<MinerEdge>,
}

impl MiningHandle {
    pub(crate) async fn start(
        id: JobId,
        template: UnsignedEvent,
        difficulty_bits: u16,
        options: MineOptions,
        book: Arc<JobBook>,
        miner: Recipient<MinerEdge>,
    ) -> Result<Self, ClientError> {
        let request = MinerEdge::encode(MineEventT {
            job: id.0,
            template: Box::new(template.into()),
            difficulty_bits,
            max_threads: options.threads.unwrap_or(0),
            timeout_ms: options.timeout.map_or(0, |timeout| {
                // Zero means none here, so that less than a millisecond is a millisecond.
                u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).max(1)
            }),
            max_attempts: options.max_attempts.unwrap_or(0),
            priority: match options.priority {
                Priority::Bulk => 0,
                Priority::Normal => 1,
                Priority::High => 2,
                Priority::Urgent => 3,
            },
            refresh_created_at: options.refresh_created_at,
            ..MineEventT::default()
        });
        // The job belongs to this guard from here on, so that a caller that gives up while the
        // miner answers leaves no job behind, even if the miner comes to the request after that.
        let guard = Guard { id, book: &book };
        let answer = repeatedly(|| ask_miner(&miner, request.clone())).await?;
        expect_answer!(answer, MinerMessageT::JobAccepted)?;
        let watch = book.watch(id).map_err(|error| ClientError::NotFound(error.to_string()))?;
        std::mem::forget(guard);
        Ok(Self { id, watch, book, miner })
    }

    /// The job's number.
    pub fn job(&self) -> u64 {
        self.id.0
    }

    /// How far it is.
    pub fn progress(&self) -> MiningProgress {
        self.watch.progress(Instant::now()).into()
    }

    /// Completes when there is something new to show: after [`PROGRESS_INTERVAL`], or at the
    /// end. Cancel safe.
    pub async fn changed(&self) {
        let mut watch = self.watch.clone();
        tokio::select! {
            _ = watch.ended() => {}
            () = tokio::time::sleep(PROGRESS_INTERVAL) => {}
        }
    }

    /// Completes when the job has ended; with the client it ends as cancelled. Cancel safe; can
    /// be asked again.
    ///
    /// # Errors
    /// [`ClientError::Protocol`] when the workload reports something that is no event.
    pub async fn solved(&self) -> Result<MiningOutcome, ClientError> {
        let outcome = self.watch.clone().ended().await;
        let attempts = self.watch.progress(Instant::now()).attempts;
        Ok(match outcome {
            Outcome::Found(hit) => {
                let event = nipworker_pow::mined_event(&hit)
                    .map_err(|error| ClientError::Protocol(error.to_string()))?;
                let id = event.compute_id();
                MiningOutcome::Found { event, id, bits: id.leading_zero_bits(), attempts }
            }
            Outcome::Cancelled => MiningOutcome::Cancelled { attempts },
            Outcome::TimedOut => MiningOutcome::TimedOut { attempts },
            Outcome::Quarantined(spans) => {
                MiningOutcome::Quarantined { attempts, spans: spans.len() as u64 }
            }
            _ => MiningOutcome::Exhausted { attempts },
        })
    }

    /// Ends the job and returns the number of nonces tried, which is final: nothing is counted
    /// after this returns.
    ///
    /// # Errors
    /// [`ClientError::Closed`] and other failures of the miner. The job is cancelled all the same.
    pub async fn cancel(&self) -> Result<u64, ClientError> {
        let request = MinerEdge::encode(CancelJobT { job: self.id.0 });
        let answer = repeatedly(|| ask_miner(&self.miner, request.clone())).await;
        if answer.is_err() {
            // Whatever became of the miner, the book is here.
            self.book.cancel(self.id).ok();
        }
        Ok(expect_answer!(answer?, MinerMessageT::JobStopped)?.attempts)
    }

    /// Holds the job (`true`) or lets it go on.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] when it has ended and was forgotten, or failures of the miner.
    pub async fn pause(&self, pause: bool) -> Result<(), ClientError> {
        let request = MinerEdge::encode(PauseJobT { job: self.id.0, pause });
        let answer = repeatedly(|| ask_miner(&self.miner, request.clone())).await?;
        if expect_answer!(answer, MinerMessageT::JobPaused)?.known {
            Ok(())
        } else {
            Err(ClientError::NotFound(format!("job {}", self.id)))
        }
    }
}

struct Guard<'a> {
    id: JobId,
    book: &'a JobBook,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.book.abandon(self.id);
    }
}

impl Drop for MiningHandle {
    fn drop(&mut self) {
        self.book.abandon(self.id);
    }
}
