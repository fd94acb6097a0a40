//! Looking on at a job.

use std::time::Instant;

use nipworker_mining::JobWatch;

use super::{MiningOutcome, MiningProgress, PROGRESS_INTERVAL};
use crate::ClientError;

/// Looks on at a mining job without owning it: dropping it changes nothing. Any number may look
/// on at one job; the job stays readable through its views even when the client has forgotten it.
#[derive(Debug, Clone)]
pub struct MiningView {
    watch: JobWatch,
}

impl MiningView {
    pub(super) fn new(watch: JobWatch) -> Self {
        Self { watch }
    }

    /// The job's number.
    pub fn job(&self) -> u64 {
        self.watch.id().0
    }

    /// How far it is.
    pub fn progress(&self) -> MiningProgress {
        MiningProgress::of(self.watch.progress(Instant::now()), self.watch.request())
    }

    /// How it ended, once it has.
    ///
    /// # Errors
    /// As [`solved`](Self::solved).
    pub fn outcome(&self) -> Option<Result<MiningOutcome, ClientError>> {
        let outcome = self.watch.outcome()?;
        Some(MiningOutcome::of(outcome, self.watch.progress(Instant::now()).attempts))
    }

    /// Completes when there is something new to show: after [`PROGRESS_INTERVAL`], or at the
    /// end. Cancel safe. Needs a Tokio runtime with time.
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
        MiningOutcome::of(outcome, self.watch.progress(Instant::now()).attempts)
    }
}
