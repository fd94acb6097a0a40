//! Mining jobs: what is searched, how far it is, and how it ends.
//!
//! A [`Workload`] tries the indices of a range and reports its hits; a [`JobBook`] runs jobs of
//! any workload on a pool of pinned threads ([`nipworker_pool`]) and keeps the state of each job
//! outside the threads: a *ledger* of the ranges that are finished. A restart of the pool, of
//! whoever talks to the book, or (through a [`BookCheckpoint`]) of the process resumes a job
//! without a lost or doubled range.
//!
//! * [`WorkloadFactory`] makes a [`Workload`] from a job's input; [`SyntheticFactory`] is the
//!   in-memory one for tests and benches; the `conformance` feature brings the suite that each
//!   workload runs.
//! * [`JobRequest`] says what to search and under which [`JobLimits`]; [`JobHandle`] owns the job
//!   (dropping it cancels), [`JobWatch`] only looks on.
//! * [`Progress`] and [`Outcome`] are what a watcher sees.
//!
//! # Guarantees
//!
//! * The finished ranges of a job are disjoint, and their lengths add up to its attempts.
//! * Nothing is counted after [`JobBook::cancel`] has returned.
//! * A hit is verified before it is reported; one that fails is counted and dropped.
//! * A batch that panics is tried once more and then listed in [`Progress::quarantined`].
//!
//! The crate knows no actor, no config file and no wall clock; it works in its callers' threads
//! and in those of the pool. Scores are workload-defined, higher is better.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//! use nipworker_mining::{JobBook, JobRequest, Outcome, PoolConfig, SyntheticFactory};
//!
//! let book = JobBook::new();
//! book.register(Arc::new(SyntheticFactory));
//! book.start_pool(PoolConfig { threads: Some(2), ..JobBook::pool_config() })?;
//! let input = serde_json::json!({ "items": 10_000, "hit_at": 7_777 });
//! let job = book.submit(JobRequest::new("synthetic", input))?;
//! let Outcome::Found(hit) = job.wait() else { panic!("it is there") };
//! assert_eq!(hit.index, 7_777);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod book;
mod checkpoint;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod estimate;
mod handle;
mod job;
mod ledger;
mod log;
mod progress;
mod rate;
mod request;
mod run;
mod sync;
mod synthetic;
mod watch;
mod workload;

pub use book::{Acknowledged, JobBook, MAX_ACTIVE_JOBS, MAX_ENDED_JOBS, Submitted};
pub use checkpoint::{BookCheckpoint, CHECKPOINT_VERSION, CheckpointError, JobCheckpoint};
pub use error::{SubmitError, UnknownJob, WorkloadError};
pub use estimate::expected_time_left;
pub use handle::JobHandle;
pub use ledger::{Ledger, Overlap};
pub use log::DISPATCH_TARGET;
pub use nipworker_pool::{
    BatchContext, DispatchMode, Placement, PoolConfig, PoolError, PoolMetrics, Priority, Span,
    ThreadMetrics,
};
pub use progress::{JobPhase, Outcome, Progress};
pub use request::{JobId, JobLimits, JobRequest};
pub use synthetic::{SyntheticFactory, SyntheticInput, Wear, spin_calibrated};
pub use watch::JobWatch;
pub use workload::{BatchHint, BatchResult, Best, Hit, Workload, WorkloadFactory};
