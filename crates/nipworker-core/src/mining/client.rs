//! Mining as a program asks for it.

use std::sync::Arc;

use nipworker_mining::JobId;
use nipworker_protocol::UnsignedEvent;

use super::{MineOptions, MiningHandle, MiningProgress, MiningView};
use crate::{ClientError, NostrClient};

impl NostrClient {
    /// Mines a nonce so that the event's id has `difficulty_bits` leading zero bits (NIP-13).
    ///
    /// # Errors
    /// As [`mine_with`](Self::mine_with).
    pub async fn mine(
        &self,
        template: UnsignedEvent,
        difficulty_bits: u16,
    ) -> Result<MiningHandle, ClientError> {
        self.mine_with(template, difficulty_bits, MineOptions::default()).await
    }

    /// Starts a mining job. It goes on when the miner is restarted; dropping the handle cancels
    /// it, [`MiningHandle::detach`] lets it go on without one.
    ///
    /// # Errors
    /// [`ClientError::Invalid`] for a difficulty above 256, an event that is too large, or an
    /// option out of its range; [`ClientError::Unsupported`] for what this system cannot do;
    /// [`ClientError::Busy`] when too many jobs run.
    pub async fn mine_with(
        &self,
        template: UnsignedEvent,
        difficulty_bits: u16,
        options: MineOptions,
    ) -> Result<MiningHandle, ClientError> {
        let desk = Arc::clone(self.desk());
        MiningHandle::start(desk, template, difficulty_bits, options).await
    }

    /// How far all jobs are that the client knows, in order of submission: those that are owned by
    /// a handle, those that go on by themselves, and the last that have ended.
    pub fn jobs(&self) -> Vec<MiningProgress> {
        self.desk().progress()
    }

    /// Has the jobs without an owner in the checkpoint file before it returns, so that not even a
    /// crash loses them or gives their numbers to others. Without it the file follows soon after.
    /// Those who wait at the same time share a write. It blocks for the length of one: in
    /// asynchronous code it belongs on a thread for that.
    ///
    /// Returns `false` where the configuration names no file, it cannot be written (of which
    /// [`ClientStatus`](crate::ClientStatus) has the reason), or the client is being closed.
    pub fn keep_jobs(&self) -> bool {
        self.desk().keep()
    }

    /// Looks on at a job by its number, for example that of [`MiningHandle::detach`].
    ///
    /// # Errors
    /// [`ClientError::NotFound`] when there is none, or it has ended and was forgotten.
    pub fn job(&self, job: u64) -> Result<MiningView, ClientError> {
        self.desk().view(JobId(job))
    }

    /// Ends a job and returns the number of nonces tried, which is final: nothing is counted after
    /// this returns. It does nothing to a job that has ended.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] when there is none; failures of the miner, in which case the job
    /// is cancelled all the same.
    pub async fn cancel_job(&self, job: u64) -> Result<u64, ClientError> {
        self.desk().cancel(JobId(job)).await
    }

    /// Forgets a job that has ended, for example once its event was taken. False if it has not
    /// ended. What a job without an owner has found is kept over restarts of the process until
    /// then, or until [`FOUND_KEPT_MAX`](crate::FOUND_KEPT_MAX) later ones have found something.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] when there is none.
    pub fn forget_job(&self, job: u64) -> Result<bool, ClientError> {
        self.desk().forget(JobId(job))
    }

    /// Holds a job (`true`) or lets it go on.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] when there is none, or failures of the miner.
    pub async fn pause_job(&self, job: u64, pause: bool) -> Result<(), ClientError> {
        self.desk().pause(JobId(job), pause).await
    }
}
