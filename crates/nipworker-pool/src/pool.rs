//! The pool as its owner sees it.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crate::config::{DispatchMode, PoolConfig};
use crate::coordinator;
use crate::error::PoolError;
use crate::metrics::{PoolMetrics, ThreadCounters};
use crate::os;
use crate::placement::Plan;
use crate::shared::Shared;
use crate::spec::JobSpec;
use crate::sync::lock;
use crate::task::RangeTask;
use crate::ticket::JobTicket;
use crate::worker::is_worker_thread;

/// Worker threads and the coordinator that feeds them.
///
/// Clones share the same threads. When the last clone is dropped, or on
/// [`shutdown`](Self::shutdown), the jobs are stopped and every thread is joined.
#[derive(Clone)]
pub struct Pool {
    owner: Arc<Owner>,
}

struct Owner {
    shared: Arc<Shared>,
    coordinator: Mutex<Option<JoinHandle<()>>>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("threads", &self.threads())
            .field("jobs", &self.owner.shared.job_count())
            .finish_non_exhaustive()
    }
}

impl Pool {
    /// Starts the threads. It returns when all of them run, each on its CPU and with its nice
    /// value.
    ///
    /// Without a placement the threads inherit the binding of the thread that calls this.
    ///
    /// # Errors
    ///
    /// [`PoolError::Threads`] or [`PoolError::Setting`] for a config outside its limits;
    /// [`PoolError::NoSuchCpu`], [`PoolError::CpuNotAllowed`], [`PoolError::NoCpu`],
    /// [`PoolError::Reserve`] or [`PoolError::Bind`] if the CPUs cannot be had;
    /// [`PoolError::Nice`] if the system refuses the nice value; [`PoolError::Unsupported`] if it
    /// has no such thing; [`PoolError::Spawn`] if it gives no thread.
    pub fn new(config: PoolConfig) -> Result<Self, PoolError> {
        let Plan { threads, cpus } = config.validated()?;
        if config.nice.is_some() && !os::HAS_NICE {
            return Err(PoolError::Unsupported { what: "nice values of threads" });
        }
        let name = format!("{}-feed", config.name_prefix);
        let shared = Arc::new(Shared::new(config, threads));
        let (ready_tx, ready_rx) = std::sync::mpsc::sync_channel(1);
        let handle = std::thread::Builder::new()
            .name(name)
            .spawn({
                let shared = Arc::clone(&shared);
                move || coordinator::run(shared, cpus, ready_tx)
            })
            .map_err(|source| PoolError::Spawn { index: 0, source })?;
        let pool =
            Self { owner: Arc::new(Owner { shared, coordinator: Mutex::new(Some(handle)) }) };
        match ready_rx.recv() {
            Ok(Ok(())) => Ok(pool),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(PoolError::Closed),
        }
    }

    /// Number of worker threads.
    pub fn threads(&self) -> usize {
        self.owner.shared.threads()
    }

    /// How work reaches the threads.
    pub fn dispatch(&self) -> DispatchMode {
        self.owner.shared.config.dispatch
    }

    /// Hands in a job. It does not block and works from any thread.
    ///
    /// A job without items ends at once, as exhausted, before this returns.
    ///
    /// # Errors
    ///
    /// [`PoolError::Spans`] for spans that overlap or are not in order, [`PoolError::Setting`] for
    /// a share of CPU time that is not 1 to 100 percent, [`PoolError::DeadlinePassed`],
    /// [`PoolError::Unsupported`] where a job cannot be idle, [`PoolError::TooManyJobs`] above
    /// 65,536 jobs, [`PoolError::Closed`] after a shutdown.
    pub fn submit<T: RangeTask>(
        &self,
        spec: JobSpec,
        task: Arc<T>,
    ) -> Result<JobTicket, PoolError> {
        let shared = &self.owner.shared;
        let job = shared.submit(spec, task)?;
        Ok(JobTicket { shared: Arc::clone(shared), job })
    }

    /// The figures of the pool. It reads counters only and never waits for a worker.
    pub fn metrics(&self) -> PoolMetrics {
        self.owner.shared.metrics()
    }

    /// Counts commands that a source of jobs lost.
    pub(crate) fn note_lagged(&self, lagged: u64) {
        ThreadCounters::add(&self.owner.shared.counters.lagged, lagged);
    }

    /// Stops all jobs with [`crate::EndReason::Shutdown`] and joins every thread. What a batch had
    /// done by then is committed. Repeating it does nothing.
    ///
    /// From one of the pool's own threads it stops the jobs but cannot wait.
    pub fn shutdown(&self) {
        self.owner.shutdown();
    }

    /// Makes worker `index` die at its next batch, as if its thread had been lost.
    ///
    /// # Panics
    ///
    /// If there is no such worker.
    #[cfg(feature = "chaos")]
    pub fn kill_thread(&self, index: usize) {
        let slot = &self.owner.shared.slots[index];
        slot.kill.store(true, std::sync::atomic::Ordering::SeqCst);
    }
}

impl Owner {
    fn shutdown(&self) {
        self.shared.begin_shutdown();
        if is_worker_thread() {
            return;
        }
        let handle = lock(&self.coordinator).take();
        if let Some(handle) = handle
            && let Err(payload) = handle.join()
        {
            crate::caught::drop_quietly(payload);
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shutdown();
    }
}
