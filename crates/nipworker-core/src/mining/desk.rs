//! All jobs of one client.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use nipworker_mining::{BookCheckpoint, JobBook, JobId};
use nipworker_schema::{CancelJobT, MineEventT, MinerEdge, MinerMessageT, PauseJobT};
use nipworker_supervision::Recipient;

use super::{
    CheckpointStatus, MiningProgress, MiningView,
    checkpoint::{Keeper, Restored},
};
use crate::{
    ClientError, StartError,
    clock::UnixClock,
    config::FileSetting,
    status::{KernelStatus, MiningStatus},
    wire::{ask_miner, expect_answer, repeatedly},
};

/// Jobs that have found something and are kept until somebody comes for it; beyond it those that
/// were submitted first are not kept over a restart.
pub const FOUND_KEPT_MAX: usize = 128;

/// The jobs, who owns them, and where they are kept.
pub(crate) struct Desk {
    roll: Arc<Roll>,
    miner: Recipient<MinerEdge>,
    kernel: KernelStatus,
    keeper: Option<Keeper>,
    closed: Mutex<bool>,
}

/// What a checkpoint is taken of.
pub(super) struct Roll {
    book: Arc<JobBook>,
    /// Jobs that a handle owns. They end with it, so that no file keeps them.
    owned: Mutex<HashSet<JobId>>,
    next: AtomicU64,
}

impl Roll {
    /// The number of the next job.
    pub(super) fn next(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// The jobs that nobody owns: those that go on, and what the last ones have found.
    pub(super) fn checkpoint(&self) -> BookCheckpoint {
        // Held meanwhile, so that no job is abandoned between the two looks.
        let owned = lock(&self.owned);
        let mut checkpoint = self.book.checkpoint(Instant::now());
        checkpoint.jobs.retain(|job| !owned.contains(&job.id));
        let found = checkpoint.jobs.iter().filter(|job| job.hit.is_some()).count();
        let mut surplus = found.saturating_sub(FOUND_KEPT_MAX);
        checkpoint.jobs.retain(|job| {
            let kept = job.hit.is_none() || surplus == 0;
            surplus -= usize::from(!kept);
            kept
        });
        checkpoint
    }

    /// Takes over what an earlier process left; says why it could not take which job.
    pub(super) fn restore(&self, next: u64, checkpoint: &BookCheckpoint) -> Restored {
        let mut restored = Restored::default();
        let mut next = next.max(1);
        for result in self.book.restore(checkpoint) {
            match result {
                Ok(id) => {
                    restored.jobs += 1;
                    next = next.max(id.0.saturating_add(1));
                }
                Err(error) => restored.refused.push(error.to_string()),
            }
        }
        self.next.fetch_max(next, Ordering::Relaxed);
        restored
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("book", &self.roll.book).finish_non_exhaustive()
    }
}

impl Desk {
    /// A desk for a book whose workloads are registered and whose pool does not run yet. What the
    /// file holds is taken over.
    ///
    /// # Errors
    /// [`StartError::Checkpoint`].
    pub(crate) fn open(
        book: Arc<JobBook>,
        miner: Recipient<MinerEdge>,
        kernel: KernelStatus,
        file: &FileSetting,
        clock: &UnixClock,
    ) -> Result<Self, StartError> {
        let roll =
            Arc::new(Roll { book, owned: Mutex::new(HashSet::new()), next: AtomicU64::new(1) });
        let keeper = match file {
            FileSetting::Off => None,
            FileSetting::At(path) => {
                Some(Keeper::open(path, Arc::clone(&roll), Arc::clone(clock))?)
            }
        };
        Ok(Self { roll, miner, kernel, keeper, closed: Mutex::new(false) })
    }

    pub(crate) fn book(&self) -> &Arc<JobBook> {
        &self.roll.book
    }

    /// A number that no job has had.
    pub(crate) fn new_id(&self) -> JobId {
        JobId(self.roll.next.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn owned(&self, id: JobId) {
        lock(&self.roll.owned).insert(id);
    }

    /// Its owner let go of it: from now on it is kept.
    pub(super) fn released(&self, id: JobId) {
        lock(&self.roll.owned).remove(&id);
        if let Some(keeper) = &self.keeper {
            keeper.ask();
        }
    }

    /// Its owner is gone.
    pub(super) fn abandon(&self, id: JobId) {
        self.roll.book.abandon(id);
        lock(&self.roll.owned).remove(&id);
    }

    pub(super) async fn submit(&self, request: MineEventT) -> Result<(), ClientError> {
        let request = MinerEdge::encode(request);
        let answer = repeatedly(|| ask_miner(&self.miner, request.clone())).await?;
        expect_answer!(answer, MinerMessageT::JobAccepted).map(drop)
    }

    /// Looks on at a job.
    pub(crate) fn view(&self, id: JobId) -> Result<MiningView, ClientError> {
        match self.roll.book.watch(id) {
            Ok(watch) => Ok(MiningView::new(watch)),
            Err(error) => Err(ClientError::NotFound(error.to_string())),
        }
    }

    /// How far all jobs are, in order of submission.
    pub(crate) fn progress(&self) -> Vec<MiningProgress> {
        let book = &self.roll.book;
        let jobs = book.list(Instant::now());
        jobs.into_iter()
            // One that was forgotten meanwhile is no job any more.
            .filter_map(|job| Some((book.watch(job.id).ok()?, job)))
            .map(|(watch, job)| MiningProgress::of(job, watch.request()))
            .collect()
    }

    pub(crate) async fn cancel(&self, id: JobId) -> Result<u64, ClientError> {
        let request = MinerEdge::encode(CancelJobT { job: id.0 });
        let answer = repeatedly(|| ask_miner(&self.miner, request.clone())).await;
        if answer.is_err() {
            // Whatever became of the miner, the book is here.
            self.roll.book.cancel(id).ok();
        }
        let stopped = expect_answer!(answer?, MinerMessageT::JobStopped)?;
        if !stopped.known {
            return Err(ClientError::NotFound(format!("no job {id}")));
        }
        if let Some(keeper) = &self.keeper {
            keeper.ask();
        }
        Ok(stopped.attempts)
    }

    pub(crate) fn forget(&self, id: JobId) -> Result<bool, ClientError> {
        let forgotten = self.roll.book.forget(id);
        let forgotten = forgotten.map_err(|error| ClientError::NotFound(error.to_string()))?;
        if let (true, Some(keeper)) = (forgotten, &self.keeper) {
            keeper.ask();
        }
        Ok(forgotten)
    }

    pub(crate) async fn pause(&self, id: JobId, pause: bool) -> Result<(), ClientError> {
        let request = MinerEdge::encode(PauseJobT { job: id.0, pause });
        let answer = repeatedly(|| ask_miner(&self.miner, request.clone())).await?;
        if expect_answer!(answer, MinerMessageT::JobPaused)?.known {
            Ok(())
        } else {
            Err(ClientError::NotFound(format!("no job {id}")))
        }
    }

    pub(crate) fn status(&self) -> MiningStatus {
        let book = &self.roll.book;
        MiningStatus {
            kernel: self.kernel.clone(),
            pool: book.pool_metrics(),
            jobs: book.list(Instant::now()),
            checkpoint: self.checkpoint_status(),
        }
    }

    /// Has the checkpoint written before it returns; `false` where there is none, it could not be
    /// written, or the end came first.
    pub(crate) fn keep(&self) -> bool {
        self.keeper.as_ref().is_some_and(Keeper::save)
    }

    fn checkpoint_status(&self) -> Option<CheckpointStatus> {
        self.keeper.as_ref().map(Keeper::status)
    }

    /// Ends all mining for good: what is being tried is counted, the checkpoint is written, and
    /// the jobs that have not ended end as cancelled. It blocks for the length of a batch;
    /// whoever repeats it waits for the first.
    pub(crate) fn close(&self) {
        let mut closed = lock(&self.closed);
        if !std::mem::replace(&mut *closed, true) {
            self.roll.book.stop_pool();
            if let Some(keeper) = &self.keeper {
                keeper.finish();
            }
        }
        self.roll.book.close();
    }
}
