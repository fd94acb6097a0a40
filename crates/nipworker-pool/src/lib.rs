//! Core-pinned worker threads that are never starved while there is work.
//!
//! A driver that takes one work item, waits for its result and takes the next feeds one thread,
//! whatever the number of workers. This pool turns that round: a *job* is a set of index ranges
//! ([`Span`]s); a generator cuts them into batches ahead of need and keeps a bounded queue between
//! a low and a high water mark without waiting for anybody's acknowledgement; and a worker that
//! finds the queue empty cuts its next batch from the job's atomic cursor itself. A thread is
//! therefore idle only when no job has anything left to claim, and [`PoolMetrics`] proves it.
//!
//! * [`Pool`] owns the threads; [`PoolConfig`] sizes, names and pins them.
//! * [`RangeTask`] is the code that works on a span; [`JobSpec`] says how it is run and
//!   [`JobTicket`] pauses, cancels and awaits it.
//! * [`Pool::run_batch`] is the second use: a list of items in, a future of their results out.
//! * [`Dispatcher`] keeps one current job per slot: what a source of job events needs.
//! * [`source`] is a broadcast source whose readers take whatever has piled up in one step and
//!   learn exactly how much they lost.
//!
//! # Guarantees
//!
//! * The spans handed to a task are disjoint and leave no gap. Each is committed once, or listed
//!   in [`JobEnd::quarantined`], or belongs to a job that was stopped.
//! * A panic costs one batch: it is caught, the batch is queued again exactly once, and what
//!   panics a second time is quarantined. A thread that dies is replaced, and what it was working
//!   on is treated the same way.
//! * After [`JobTicket::cancel`] returns no result of that job is committed any more.
//! * Jobs share the threads by time in proportion to the weight of their [`Priority`]; what one
//!   leaves (because it ended, stands still, or is at a limit of its own) the others share alike.
//! * Each thread is on the CPU that the [`Placement`] gives it, or the pool does not start.
//! * Dropping the last [`Pool`] joins every thread.
//!
//! The crate is generic: it knows neither Nostr nor mining, has no async runtime, and blocks only
//! on condition variables and channels. Times are nanoseconds unless a name says otherwise. Thread
//! CPU time comes from `CLOCK_THREAD_CPUTIME_ID`; where a system has none, wall time stands in.
//!
//! # Example
//!
//! ```
//! use nipworker_pool::{Pool, PoolConfig, Priority};
//!
//! let pool = Pool::new(PoolConfig { threads: Some(2), ..PoolConfig::default() })?;
//! let squares = pool.run_batch(Priority::High, vec![1u64, 2, 3], |n| n * n);
//! assert_eq!(futures::executor::block_on(squares)?, [1, 4, 9]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! `chaos`: adds `Pool::kill_thread`, which tests use to make a worker thread die.

mod caught;
mod config;
mod coordinator;
mod cpus;
mod dispatcher;
mod error;
mod event_count;
mod feed;
mod histogram;
mod idle;
mod job;
mod metrics;
mod observer;
mod os;
mod parallel;
mod placement;
mod pool;
mod recent;
mod schedule;
mod shared;
mod sizer;
pub mod source;
mod span;
mod spec;
mod sync;
mod task;
mod throttle;
mod ticket;
mod worker;

pub use config::{DispatchMode, MAX_THREADS, PoolConfig, default_threads};
pub use dispatcher::{Assigned, Command, DispatchReport, Dispatcher, MAX_SLOTS};
pub use error::{BatchError, PoolError};
pub use metrics::{PoolMetrics, ThreadMetrics};
pub use observer::{Observer, PoolEvent};
pub use parallel::BatchFuture;
pub use placement::Placement;
pub use pool::Pool;
pub use span::Span;
pub use spec::{EndReason, JobEnd, JobSpec, JobStats, OnPanic, Priority};
pub use task::{BatchContext, BatchReport, Done, Next, RangeTask};
pub use ticket::JobTicket;

/// CPU nanoseconds that the calling thread has used so far.
///
/// Benches use it to compare the pool with a static split on the same clock.
pub fn thread_cpu_ns() -> u64 {
    os::thread_cpu_ns()
}

/// Whether jobs may ask for idle scheduling ([`JobSpec::idle`]) on this system. It is tried once
/// per process, on a thread that ends at once.
pub fn idle_supported() -> bool {
    os::has_idle()
}
