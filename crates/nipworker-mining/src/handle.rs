//! Owning a job.

use std::sync::Arc;
use std::time::Instant;

use crate::job::Job;
use crate::progress::{Outcome, Progress};
use crate::request::JobId;
use crate::watch::JobWatch;

/// Owns a job: dropping it cancels the job.
#[must_use = "dropping it cancels the job"]
pub struct JobHandle {
    job: Option<Arc<Job>>,
    watch: JobWatch,
}

impl std::fmt::Debug for JobHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JobHandle").field("job", &self.id()).finish_non_exhaustive()
    }
}

impl JobHandle {
    pub(crate) fn new(job: Arc<Job>) -> Self {
        Self { watch: JobWatch::new(Arc::clone(&job)), job: Some(job) }
    }

    /// The job's id.
    pub fn id(&self) -> JobId {
        self.watch.id()
    }

    /// The progress as of `now`.
    pub fn progress(&self, now: Instant) -> Progress {
        self.watch.progress(now)
    }

    /// A watch that does not own the job.
    pub fn watch(&self) -> JobWatch {
        JobWatch::new(Arc::clone(self.watch_job()))
    }

    fn watch_job(&self) -> &Arc<Job> {
        self.watch.job()
    }

    /// Ends the job now; nothing is counted after this returns. See [`crate::JobBook::cancel`].
    pub fn cancel(&self) {
        self.watch_job().cancel();
    }

    /// How the job ended, once it has.
    pub fn outcome(&self) -> Option<Outcome> {
        self.watch.outcome()
    }

    /// Completes when the job has ended. Cancel safe; dropping the handle, not this future, is
    /// what cancels the job.
    pub async fn ended(&mut self) -> Outcome {
        self.watch.ended().await
    }

    /// Blocks until the job has ended. Do not call it on an async executor.
    pub fn wait(&self) -> Outcome {
        self.watch.wait()
    }

    /// Gives up ownership: the job goes on, and the book still knows it.
    pub fn detach(mut self) -> JobId {
        self.job = None;
        self.watch.id()
    }
}

impl Drop for JobHandle {
    fn drop(&mut self) {
        if let Some(job) = self.job.take() {
            job.cancel();
        }
    }
}
