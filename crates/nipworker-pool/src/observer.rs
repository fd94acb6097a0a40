//! Who is told what the pool does.

use std::time::Duration;

use crate::config::DispatchMode;
use crate::error::PoolError;
use crate::metrics::PoolMetrics;
use crate::span::Span;

/// Receives [`PoolEvent`]s, for a log or a test.
///
/// It is called on the pool's threads, so it must be quick and must not block. A panic in it is
/// caught and ignored.
pub trait Observer: Send + Sync + 'static {
    /// Something happened.
    fn event(&self, event: &PoolEvent<'_>);
}

/// What an [`Observer`] is told.
#[derive(Debug)]
#[non_exhaustive]
pub enum PoolEvent<'a> {
    /// The pool has started its threads.
    Spawned {
        /// Number of worker threads.
        threads: usize,
        /// Number of CPUs they are bound to; 0 if they are not bound.
        cores: usize,
        /// How work reaches them.
        dispatch: DispatchMode,
        /// Low water mark of the queue, in batches.
        low: usize,
        /// High water mark of the queue, in batches.
        high: usize,
    },
    /// A worker thread is running.
    ThreadStarted {
        /// Its index.
        index: usize,
        /// The core it is bound to, if binding was asked for and worked.
        core: Option<usize>,
    },
    /// A thread that replaces another, or that changes between idle and other jobs, could not be
    /// set up as it should be; it works all the same.
    SetupFailed {
        /// Its index.
        index: usize,
        /// What did not work.
        error: &'a PoolError,
    },
    /// The generator has put batches into the queue.
    Filled {
        /// Counts up with each fill.
        sequence: u64,
        /// Number of batches.
        batches: usize,
        /// Number of items in them.
        items: u64,
        /// Number of worker threads.
        threads: usize,
        /// Batches in the queue afterwards.
        depth: usize,
    },
    /// A worker waited although a job had work left.
    Starved {
        /// Its index.
        index: usize,
        /// How long it waited.
        waited: Duration,
    },
    /// A batch panicked.
    BatchPanicked {
        /// Index of the worker.
        index: usize,
        /// Name of the job.
        job: &'a str,
        /// The batch.
        span: Span,
        /// Text of the panic.
        message: &'a str,
        /// Whether the batch is queued again (true) or quarantined.
        queued_again: bool,
    },
    /// A worker thread had died and was replaced.
    Restarted {
        /// Its index.
        index: usize,
    },
    /// The system gave no thread to replace one that had died; it is tried again.
    RestartFailed {
        /// Index of the worker.
        index: usize,
        /// What the system said.
        error: &'a std::io::Error,
    },
    /// A worker thread has ended because the pool shuts down.
    Stopped {
        /// Its index.
        index: usize,
    },
    /// Sent from time to time while a job is active.
    Stats(&'a PoolMetrics),
}
