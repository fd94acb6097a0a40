//! Mining that is no event (feature `tip5`).

use std::{sync::Arc, time::Instant};

use nipworker_mining::{JobLimits, JobRequest, JobWatch, Outcome, PoolError, SubmitError};
use nipworker_tip5::{Tip5Input, WORKLOAD_NAME};

use super::{MiningProgress, handle::Owner};
use crate::{ClientError, NostrClient};

/// A search for a nonce of a Tip5-style hash. Dropping it cancels the search.
#[derive(Debug)]
#[must_use = "dropping it cancels the search"]
pub struct Tip5Search {
    _owner: Owner,
    watch: JobWatch,
}

impl Tip5Search {
    /// How far it is. The best so far is in bits, see [`nipworker_tip5`].
    pub fn progress(&self) -> MiningProgress {
        MiningProgress::of(self.watch.progress(Instant::now()), self.watch.request())
    }

    /// Completes when the search has ended; with the client it ends as cancelled. The solution of
    /// a hit has the fields `nonce` and `digest`. Cancel safe; can be asked again.
    pub async fn ended(&self) -> Outcome {
        self.watch.clone().ended().await
    }
}

impl NostrClient {
    /// Searches a nonce for a Tip5-style hash on the mining threads, beside the jobs for events.
    /// It is compatible with no chain; see [`nipworker_tip5`].
    ///
    /// The miner is not asked: its messages know events only.
    ///
    /// # Errors
    /// [`ClientError::Invalid`] for an element outside the field or a limit that no job can keep;
    /// [`ClientError::Unsupported`] for what this system cannot do; [`ClientError::Busy`] when too
    /// many jobs run; [`ClientError::Closed`].
    pub fn search_tip5(
        &self,
        input: &Tip5Input,
        limits: JobLimits,
    ) -> Result<Tip5Search, ClientError> {
        let invalid = |error: &dyn std::fmt::Display| ClientError::Invalid(error.to_string());
        let input = serde_json::to_value(input).map_err(|error| invalid(&error))?;
        let request = JobRequest { limits, ..JobRequest::new(WORKLOAD_NAME, input) };
        let desk = self.desk();
        let id = desk.new_id();
        let owner = Owner::new(id, Arc::clone(desk));
        desk.book().submit_as(id, request).map_err(|error| match &error {
            SubmitError::TooManyJobs { .. } | SubmitError::Pool(PoolError::TooManyJobs { .. }) => {
                ClientError::Busy(error.to_string())
            }
            SubmitError::Pool(PoolError::Closed) => ClientError::Closed,
            SubmitError::Pool(PoolError::Unsupported { .. }) => {
                ClientError::Unsupported(error.to_string())
            }
            _ => invalid(&error),
        })?;
        let watch = desk.book().watch(id);
        let watch = watch.map_err(|error| ClientError::NotFound(error.to_string()))?;
        Ok(Tip5Search { _owner: owner, watch })
    }
}
