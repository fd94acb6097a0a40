//! The book of jobs: outside of any thread, so that it outlives all of them.

mod inner;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use nipworker_pool::{Observer, Pool, PoolConfig, PoolError, PoolMetrics};

use self::inner::Inner;
use crate::checkpoint::{BookCheckpoint, JobCheckpoint};
use crate::error::{SubmitError, UnknownJob};
use crate::handle::JobHandle;
use crate::job::Job;
use crate::log::DispatchLog;
use crate::progress::Progress;
use crate::request::{JobId, JobRequest};
use crate::sync::lock;
use crate::watch::JobWatch;
use crate::workload::{Workload, WorkloadFactory};

/// Most jobs that have not ended.
pub const MAX_ACTIVE_JOBS: usize = 4096;

/// Number of ended jobs that are remembered; beyond it the oldest are forgotten.
pub const MAX_ENDED_JOBS: usize = 1024;

/// What became of a request with a chosen id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// A job was made.
    New,
    /// The very same request was made under this id before; its job stands.
    Joined,
}

/// The answer to a cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// Indices tried. This number is final.
    pub attempts: u64,
}

/// Jobs, the workloads they are made of, and the pool they run on.
///
/// Dropping it cancels the jobs that have not ended.
///
/// All methods work from any thread and return without waiting for a mining thread, except those
/// that start or stop the pool.
#[derive(Default)]
pub struct JobBook {
    inner: Mutex<Inner>,
    /// Hits that jobs ended with.
    hits: Arc<AtomicU64>,
    /// Held while the pool is started or stopped.
    pool_control: Mutex<()>,
}

impl std::fmt::Debug for JobBook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let inner = lock(&self.inner);
        f.debug_struct("JobBook")
            .field("jobs", &inner.jobs.len())
            .field("pool", &inner.pool)
            .finish_non_exhaustive()
    }
}

impl Drop for JobBook {
    /// Ends the jobs that have not ended as cancelled, so that nobody waits for a book that is
    /// gone. The threads end with the pool.
    fn drop(&mut self) {
        for job in self.in_order() {
            job.cancel();
        }
    }
}

impl JobBook {
    /// A book without workloads, jobs or pool.
    pub fn new() -> Self {
        Self::default()
    }

    /// The pool settings a miner starts from: the defaults, with threads named `miner-00`, ….
    pub fn pool_config() -> PoolConfig {
        PoolConfig { name_prefix: "miner".into(), ..PoolConfig::default() }
    }

    /// Makes a kind of workload known; one of the same name is replaced for jobs to come.
    pub fn register(&self, factory: Arc<dyn WorkloadFactory>) {
        lock(&self.inner).factories.insert(factory.name().to_owned(), factory);
    }

    /// Names of the workloads.
    pub fn workloads(&self) -> Vec<String> {
        lock(&self.inner).factories.keys().cloned().collect()
    }

    /// Starts a pool and lets the suspended jobs go on. A pool that runs is stopped first: its
    /// batches commit what they have done, and the jobs continue on the new one.
    ///
    /// What the pool does is logged under the target [`crate::DISPATCH_TARGET`] and told to the
    /// config's own observer. It blocks while the threads of the old pool end.
    ///
    /// # Errors
    ///
    /// As [`Pool::new`]; the book is without a pool then and its jobs are suspended.
    /// [`PoolError::Closed`] after [`close`](Self::close).
    pub fn start_pool(&self, config: PoolConfig) -> Result<(), PoolError> {
        let _control = lock(&self.pool_control);
        if lock(&self.inner).closed {
            return Err(PoolError::Closed);
        }
        self.stop_held();
        let observer: Arc<dyn Observer> =
            Arc::new(DispatchLog::new(config.observer.clone(), Arc::clone(&self.hits)));
        let pool = Pool::new(PoolConfig { observer: Some(observer), ..config })?;
        let jobs: Vec<_> = {
            let mut inner = lock(&self.inner);
            inner.pool = Some(pool.clone());
            inner.order.iter().filter_map(|id| inner.jobs.get(id).cloned()).collect()
        };
        for job in jobs {
            let _control = lock(&job.control);
            job.start_on(&pool)?;
        }
        Ok(())
    }

    /// Stops the pool, if there is one; the jobs that have not ended are suspended. It blocks
    /// while the threads end.
    pub fn stop_pool(&self) {
        let _control = lock(&self.pool_control);
        self.stop_held();
    }

    /// Ends everything for good: the pool is stopped, the jobs that have not ended end as
    /// cancelled, and neither a job nor a pool is taken from here on. It blocks while the threads
    /// end; repeating it does nothing.
    pub fn close(&self) {
        let _control = lock(&self.pool_control);
        lock(&self.inner).closed = true;
        self.stop_held();
        for job in self.in_order() {
            job.cancel();
        }
    }

    fn stop_held(&self) {
        let pool = lock(&self.inner).pool.take();
        if let Some(pool) = pool {
            pool.shutdown();
        }
    }

    /// The pool, if one runs.
    pub fn pool(&self) -> Option<Pool> {
        lock(&self.inner).pool.clone()
    }

    /// Figures of the pool, if one runs.
    pub fn pool_metrics(&self) -> Option<PoolMetrics> {
        self.pool().map(|pool| pool.metrics())
    }

    /// Takes a job on under an id of the book's choice and hands out its ownership.
    ///
    /// Without a pool it is suspended until one is started.
    ///
    /// # Errors
    ///
    /// Each [`SubmitError`] but `IdTaken` and `Abandoned`.
    pub fn submit(&self, request: JobRequest) -> Result<JobHandle, SubmitError> {
        let workload = self.prepare(&request)?;
        let mut inner = lock(&self.inner);
        let id = loop {
            inner.next_id += 1;
            let id = JobId(inner.next_id);
            if !inner.jobs.contains_key(&id) {
                break id;
            }
        };
        let job = Arc::new(Job::new(id, request, workload, Arc::clone(&self.hits)));
        inner.admit(&job)?;
        drop(inner);
        self.start(&job)?;
        Ok(JobHandle::new(job))
    }

    /// Takes a job on under an id of the caller's choice; nobody owns it, so it ends by itself or
    /// by [`cancel`](Self::cancel). Repeating the same request under the same id is safe.
    ///
    /// # Errors
    ///
    /// Each [`SubmitError`].
    pub fn submit_as(&self, id: JobId, request: JobRequest) -> Result<Submitted, SubmitError> {
        let known = {
            let inner = lock(&self.inner);
            // Its job may still be on the way to its end; it is nobody's to join.
            if inner.abandoned.contains(&id) {
                return Err(SubmitError::Abandoned { id });
            }
            inner.jobs.get(&id).cloned()
        };
        if let Some(job) = known {
            return Self::join(&job, &request);
        }
        let workload = self.prepare(&request)?;
        let job = Arc::new(Job::new(id, request, workload, Arc::clone(&self.hits)));
        {
            let mut inner = lock(&self.inner);
            // Somebody else may have been quicker.
            if let Some(other) = inner.jobs.get(&id).cloned() {
                drop(inner);
                return Self::join(&other, &job.request);
            }
            if inner.abandoned.contains(&id) {
                return Err(SubmitError::Abandoned { id });
            }
            inner.admit(&job)?;
        }
        self.start(&job)?;
        Ok(Submitted::New)
    }

    fn join(job: &Job, request: &JobRequest) -> Result<Submitted, SubmitError> {
        if job.request == *request {
            Ok(Submitted::Joined)
        } else {
            Err(SubmitError::IdTaken { id: job.id })
        }
    }

    fn prepare(&self, request: &JobRequest) -> Result<Arc<dyn Workload>, SubmitError> {
        request.limits.validate()?;
        let factory = {
            let inner = lock(&self.inner);
            inner.factories.get(&request.workload).cloned().ok_or_else(|| {
                SubmitError::UnknownWorkload {
                    name: request.workload.clone(),
                    known: inner.factories.keys().cloned().collect::<Vec<_>>().join(", "),
                }
            })?
        };
        Ok(factory.prepare(&request.input)?)
    }

    /// Starts a job that was admitted; if the pool refuses it, it is forgotten.
    fn start(&self, job: &Arc<Job>) -> Result<(), SubmitError> {
        let Some(pool) = self.pool() else { return Ok(()) };
        let _control = lock(&job.control);
        match job.start_on(&pool) {
            // The pool is being stopped: the job waits for the next one.
            Ok(()) | Err(PoolError::Closed) => Ok(()),
            Err(error) => {
                lock(&self.inner).remove(job.id);
                Err(error.into())
            }
        }
    }

    fn job(&self, id: JobId) -> Result<Arc<Job>, UnknownJob> {
        lock(&self.inner).jobs.get(&id).cloned().ok_or(UnknownJob { id })
    }

    /// A watch on a job.
    ///
    /// # Errors
    ///
    /// [`UnknownJob`].
    pub fn watch(&self, id: JobId) -> Result<JobWatch, UnknownJob> {
        self.job(id).map(JobWatch::new)
    }

    /// The progress of a job as of `now`.
    ///
    /// # Errors
    ///
    /// [`UnknownJob`].
    pub fn progress(&self, id: JobId, now: Instant) -> Result<Progress, UnknownJob> {
        Ok(self.job(id)?.progress(now).0)
    }

    /// The progress of every job, in order of submission.
    pub fn list(&self, now: Instant) -> Vec<Progress> {
        self.in_order().iter().map(|job| job.progress(now).0).collect()
    }

    fn in_order(&self) -> Vec<Arc<Job>> {
        let inner = lock(&self.inner);
        inner.order.iter().filter_map(|id| inner.jobs.get(id).cloned()).collect()
    }

    /// Ends a job. When this returns, nothing more is counted to it; the threads leave its batches
    /// within about a millisecond, and then it has its outcome. It does nothing to a job that has
    /// ended.
    ///
    /// # Errors
    ///
    /// [`UnknownJob`].
    pub fn cancel(&self, id: JobId) -> Result<Acknowledged, UnknownJob> {
        Ok(Acknowledged { attempts: self.job(id)?.cancel() })
    }

    /// Halts a job; what is being tried is still counted. False if it was not going.
    ///
    /// # Errors
    ///
    /// [`UnknownJob`].
    pub fn pause(&self, id: JobId) -> Result<bool, UnknownJob> {
        Ok(self.job(id)?.pause())
    }

    /// Lets a paused job go on. False if it was not paused.
    ///
    /// # Errors
    ///
    /// [`UnknownJob`].
    pub fn resume(&self, id: JobId) -> Result<bool, UnknownJob> {
        let job = self.job(id)?;
        // If the pool is being stopped the job is suspended now and starts with the next one.
        Ok(job.resume(|| self.pool()).unwrap_or(true))
    }

    /// Gives up a job under an id of the caller's choice, whether its request has arrived or is
    /// still on the way: it is cancelled and forgotten if it is there, and a later
    /// [`submit_as`](Self::submit_as) under the id is refused. The last 4096 such ids are
    /// remembered.
    pub fn abandon(&self, id: JobId) {
        let job = {
            let mut inner = lock(&self.inner);
            inner.abandon(id);
            inner.jobs.get(&id).cloned()
        };
        if let Some(job) = job {
            job.cancel();
            if job.has_ended() {
                lock(&self.inner).remove(id);
            }
        }
    }

    /// Forgets a job that has ended. False if it has not.
    ///
    /// # Errors
    ///
    /// [`UnknownJob`].
    pub fn forget(&self, id: JobId) -> Result<bool, UnknownJob> {
        let ended = self.job(id)?.has_ended();
        if ended {
            lock(&self.inner).remove(id);
        }
        Ok(ended)
    }

    /// The jobs that have not ended, and those that have found something, as of `now`, in a form
    /// that can be stored. A job that was cancelled is none of them, even while its threads are
    /// still leaving it. Each job is consistent in itself.
    pub fn checkpoint(&self, now: Instant) -> BookCheckpoint {
        let jobs = self.in_order().iter().filter_map(|job| job.checkpoint(now)).collect();
        BookCheckpoint { jobs }
    }

    /// Takes the jobs of a checkpoint over; nobody owns them. Those that are not paused go on from
    /// where they were. The answers are in the checkpoint's order.
    ///
    /// A job whose id is known already, or whose workload is not registered, or whose ledger
    /// contradicts itself, is refused with the reason; the others are not touched by that.
    pub fn restore(&self, checkpoint: &BookCheckpoint) -> Vec<Result<JobId, SubmitError>> {
        checkpoint.jobs.iter().map(|job| self.restore_job(job)).collect()
    }

    fn restore_job(&self, checkpoint: &JobCheckpoint) -> Result<JobId, SubmitError> {
        let id = checkpoint.id;
        let workload = self.prepare(&checkpoint.request)?;
        let job =
            Arc::new(Job::new(id, checkpoint.request.clone(), workload, Arc::clone(&self.hits)));
        job.restore(checkpoint).map_err(|reason| SubmitError::Checkpoint { id, reason })?;
        {
            let mut inner = lock(&self.inner);
            if inner.jobs.contains_key(&id) {
                return Err(SubmitError::IdTaken { id });
            }
            inner.admit(&job)?;
        }
        self.start(&job)?;
        Ok(id)
    }
}
