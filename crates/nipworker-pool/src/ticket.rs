//! The caller's hold on a job.

use std::fmt;
use std::sync::Arc;

use crate::job::JobCore;
use crate::shared::Shared;
use crate::spec::{JobEnd, JobStats};

/// Controls one job. Clones control the same job; dropping a ticket changes nothing.
#[derive(Clone)]
pub struct JobTicket {
    pub(crate) shared: Arc<Shared>,
    pub(crate) job: Arc<JobCore>,
}

impl fmt::Debug for JobTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobTicket").field("id", &self.job.id).field("name", &self.job.name).finish()
    }
}

impl JobTicket {
    /// Number of the job within its pool.
    pub fn id(&self) -> u64 {
        self.job.id
    }

    /// Ends the job. When this returns no result of it is committed any more; threads that are
    /// inside one of its batches leave it within the time between two looks at
    /// [`crate::BatchContext::is_cancelled`], and the job ends after them. Repeating it, or
    /// calling it after the end, does nothing.
    pub fn cancel(&self) {
        self.shared.cancel(&self.job);
    }

    /// Stops handing out work. Batches that are running keep what they have done, the rest of
    /// them is handed out again after [`resume`](Self::resume). False if the job was not running.
    pub fn pause(&self) -> bool {
        self.shared.pause(&self.job)
    }

    /// Goes on after a pause. False if the job was not paused.
    pub fn resume(&self) -> bool {
        self.shared.resume(&self.job)
    }

    /// Whether the job is paused.
    pub fn is_paused(&self) -> bool {
        self.job.is_paused()
    }

    /// How the job is getting on.
    pub fn stats(&self) -> JobStats {
        self.job.stats()
    }

    /// How the job ended, once it has.
    pub fn end(&self) -> Option<JobEnd> {
        self.job.end()
    }

    /// Blocks until the job has ended. Do not call it on a thread of the pool.
    pub fn wait(&self) -> JobEnd {
        self.job.wait()
    }
}
