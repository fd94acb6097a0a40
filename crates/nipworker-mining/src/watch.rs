//! Looking on at a job.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use futures::Stream;
use futures::channel::oneshot;
use futures::future::FutureExt;
use futures::stream::StreamExt;

use crate::job::Job;
use crate::progress::{JobPhase, Outcome, Progress};
use crate::request::{JobId, JobRequest};

/// Watches a job without owning it: dropping a watch changes nothing.
///
/// As a [`Stream`] it yields the present progress at once and then each change (a better attempt
/// or another phase at once, mere advance at most four times a second); the last item holds the
/// outcome. A slow reader skips, it is never behind. Cancel safe, from any async runtime.
pub struct JobWatch {
    job: Arc<Job>,
    seen: u64,
    waiting: Option<oneshot::Receiver<()>>,
    finished: bool,
}

impl std::fmt::Debug for JobWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JobWatch").field("job", &self.job.id).finish_non_exhaustive()
    }
}

impl Clone for JobWatch {
    /// Another watch of the same job, which begins with the present progress.
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.job))
    }
}

impl JobWatch {
    pub(crate) fn new(job: Arc<Job>) -> Self {
        Self { job, seen: 0, waiting: None, finished: false }
    }

    pub(crate) fn job(&self) -> &Arc<Job> {
        &self.job
    }

    /// The job's id.
    pub fn id(&self) -> JobId {
        self.job.id
    }

    /// What the job was asked to do.
    pub fn request(&self) -> &JobRequest {
        &self.job.request
    }

    /// The progress as of `now`.
    pub fn progress(&self, now: Instant) -> Progress {
        self.job.progress(now).0
    }

    /// How the job ended, once it has.
    pub fn outcome(&self) -> Option<Outcome> {
        self.job.outcome()
    }

    /// Completes when the job has ended. Cancel safe.
    pub async fn ended(&mut self) -> Outcome {
        loop {
            if let Some(outcome) = self.job.outcome() {
                return outcome;
            }
            // The stream ends only after the job has.
            _ = self.next().await;
        }
    }

    /// Blocks until the job has ended. Do not call it on an async executor.
    pub fn wait(&self) -> Outcome {
        self.job.wait()
    }
}

impl Stream for JobWatch {
    type Item = Progress;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Progress>> {
        if self.finished {
            return Poll::Ready(None);
        }
        loop {
            if let Some(waiting) = &mut self.waiting {
                // The sender answers, or is dropped with the job's state: both mean "look again".
                if waiting.poll_unpin(cx).is_pending() {
                    return Poll::Pending;
                }
                self.waiting = None;
            }
            if let Some(receiver) = self.job.changed_since(self.seen) {
                self.waiting = Some(receiver);
                continue;
            }
            let (progress, version) = self.job.progress(Instant::now());
            self.seen = version;
            self.finished = progress.phase == JobPhase::Ended;
            return Poll::Ready(Some(progress));
        }
    }
}
