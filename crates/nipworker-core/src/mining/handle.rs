//! Owning a job.

use std::sync::Arc;

use nipworker_mining::JobId;
use nipworker_protocol::UnsignedEvent;

use super::{Desk, MineOptions, MiningOutcome, MiningProgress, MiningView};
use crate::ClientError;

/// A mining job. Dropping it cancels the job; [`detach`](Self::detach) lets it go on without an
/// owner.
#[derive(Debug)]
#[must_use = "dropping it cancels the job"]
pub struct MiningHandle {
    owner: Owner,
    view: MiningView,
}

impl MiningHandle {
    pub(crate) async fn start(
        desk: Arc<Desk>,
        template: UnsignedEvent,
        difficulty_bits: u16,
        options: MineOptions,
    ) -> Result<Self, ClientError> {
        let id = desk.new_id();
        let request = options.request(id.0, template, difficulty_bits)?;
        // The job belongs to the owner from here on, so that a caller that gives up while the
        // miner answers leaves no job behind, even if the miner comes to the request after that.
        let owner = Owner::new(id, desk);
        owner.desk.submit(request).await?;
        let view = owner.desk.view(id)?;
        Ok(Self { owner, view })
    }

    /// The job's number.
    pub fn job(&self) -> u64 {
        self.view.job()
    }

    /// How far it is.
    pub fn progress(&self) -> MiningProgress {
        self.view.progress()
    }

    /// Completes when there is something new to show; see [`MiningView::changed`]. Cancel safe.
    pub async fn changed(&self) {
        self.view.changed().await;
    }

    /// Completes when the job has ended; with the client it ends as cancelled. Cancel safe; can
    /// be asked again.
    ///
    /// # Errors
    /// [`ClientError::Protocol`] when the workload reports something that is no event.
    pub async fn solved(&self) -> Result<MiningOutcome, ClientError> {
        self.view.solved().await
    }

    /// Ends the job and returns the number of nonces tried, which is final: nothing is counted
    /// after this returns.
    ///
    /// # Errors
    /// [`ClientError::Closed`] and other failures of the miner. The job is cancelled all the same.
    pub async fn cancel(&self) -> Result<u64, ClientError> {
        match self.owner.desk.cancel(self.owner.id).await {
            // It ended so long ago that the client has forgotten it.
            Err(ClientError::NotFound(_)) => Ok(self.view.progress().attempts),
            answer => answer,
        }
    }

    /// Holds the job (`true`) or lets it go on.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] when it has ended and was forgotten, or failures of the miner.
    pub async fn pause(&self, pause: bool) -> Result<(), ClientError> {
        self.owner.desk.pause(self.owner.id, pause).await
    }

    /// Looks on at the job without owning it.
    pub fn view(&self) -> MiningView {
        self.view.clone()
    }

    /// Gives up ownership and returns the job's number: the job goes on by itself. The client
    /// finds it by that number, and keeps it and what it finds over a restart of the process when
    /// the configuration names a checkpoint file.
    pub fn detach(self) -> u64 {
        let job = self.job();
        self.owner.let_go();
        job
    }
}

/// Gives the job up when dropped.
#[derive(Debug)]
pub(super) struct Owner {
    id: JobId,
    desk: Arc<Desk>,
    owns: bool,
}

impl Owner {
    pub(super) fn new(id: JobId, desk: Arc<Desk>) -> Self {
        desk.owned(id);
        Self { id, desk, owns: true }
    }

    fn let_go(mut self) {
        self.owns = false;
        self.desk.released(self.id);
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if self.owns {
            self.desk.abandon(self.id);
        }
    }
}
