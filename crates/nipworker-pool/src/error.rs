//! What can go wrong with the pool itself.

/// Why a pool could not be made or a job not be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// The wanted number of threads is zero or above the limit; choose one between.
    #[error("{threads} worker threads asked for, allowed are 1 to {limit}")]
    Threads {
        /// What was asked for.
        threads: usize,
        /// The limit, [`crate::MAX_THREADS`].
        limit: usize,
    },
    /// A setting is outside its range; the text names it.
    #[error("{name} is {value}, allowed is {allowed}")]
    Setting {
        /// Name of the setting.
        name: &'static str,
        /// Its value.
        value: u64,
        /// The range that is allowed.
        allowed: &'static str,
    },
    /// The system gave no thread; there may be too many already.
    #[error("cannot start worker thread {index}: {source}")]
    Spawn {
        /// Which thread.
        index: usize,
        /// What the system said.
        source: std::io::Error,
    },
    /// The placement names a CPU that is not there; take one of those that are.
    #[error("cpu {cpu} does not exist, this process may use {allowed}")]
    NoSuchCpu {
        /// The CPU.
        cpu: usize,
        /// What may be used, as `0-3,8`.
        allowed: String,
    },
    /// The placement names a CPU that is kept from this process (by a CPU set, a container, or
    /// `taskset`); take one of those that are not.
    #[error("this process may not use cpu {cpu}, it may use {allowed}")]
    CpuNotAllowed {
        /// The CPU.
        cpu: usize,
        /// What may be used, as `0-3,8`.
        allowed: String,
    },
    /// The placement is an empty list.
    #[error("the placement lists no cpu")]
    NoCpu,
    /// The reserve would leave nothing to work on.
    #[error("a reserve of {reserve} leaves none of the {cpus} cpus of this process")]
    Reserve {
        /// CPUs to be left free.
        reserve: usize,
        /// CPUs there are.
        cpus: usize,
    },
    /// The system did not let a thread be bound; `placement = "off"` does without.
    #[error("cannot bind worker thread {index} to cpu {cpu}: {source}")]
    Bind {
        /// Which thread.
        index: usize,
        /// Which CPU.
        cpu: usize,
        /// What the system said.
        source: std::io::Error,
    },
    /// The system did not let a thread take the nice value; a process may not lower its own.
    #[error("cannot set worker thread {index} to nice {nice}: {source}")]
    Nice {
        /// Which thread.
        index: usize,
        /// The value.
        nice: u8,
        /// What the system said.
        source: std::io::Error,
    },
    /// This operating system has no such thing, or refuses it to this process.
    #[error("this system does not offer {what}")]
    Unsupported {
        /// What was asked for.
        what: &'static str,
    },
    /// The deadline of a job had passed when it was handed in.
    #[error("the deadline of the job passed {} ms before it was handed in", late.as_millis())]
    DeadlinePassed {
        /// How long before.
        late: std::time::Duration,
    },
    /// The spans of a job overlap or are not in ascending order.
    #[error(
        "span {at} of the job starts at {start}, before the end {previous_end} of the one before it"
    )]
    Spans {
        /// Position in the list.
        at: usize,
        /// Start of that span.
        start: u64,
        /// End of the span before it.
        previous_end: u64,
    },
    /// The pool holds as many jobs as it may; wait for one to end.
    #[error("the pool already holds {limit} jobs")]
    TooManyJobs {
        /// The limit.
        limit: usize,
    },
    /// The pool is shutting down.
    #[error("the pool is shutting down")]
    Closed,
}

/// Why a [`crate::Pool::run_batch`] has no results.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// The function panicked on an item of this batch. Other batches are not touched.
    #[error("the batch function panicked: {message}")]
    Panicked {
        /// Text of the panic.
        message: String,
    },
    /// The pool was shut down before the batch was done.
    #[error("the pool was shut down before the batch was done")]
    Closed,
    /// The pool holds as many jobs as it may; try again later.
    #[error("the pool already holds {limit} jobs")]
    TooManyJobs {
        /// The limit.
        limit: usize,
    },
}
