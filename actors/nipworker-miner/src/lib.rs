//! The worker that takes mining jobs.
//!
//! It takes [`MinerEdge`] messages from the client, and nothing else:
//!
//! | request | answer |
//! |---|---|
//! | `MineEvent` | `JobAccepted`; the same request under the same id joins its job |
//! | `CancelJob` | `JobStopped`, after the last thread has let go of the job |
//! | `PauseJob` | `JobPaused` |
//! | anything else | `Failed` with code `Unsupported` |
//!
//! The jobs live in the [`JobBook`], outside the worker: it may panic, hang or be restarted at any
//! moment and the jobs go on. Progress and solutions are not sent; a client watches them in the
//! book by the job's id. A client whose request failed with the worker repeats it.
//!
//! What a request gets wrong (a difficulty of more than 256 bits, an event that is too large, a
//! share of more than 100 percent, a priority above 3) is `Failed` with code `Invalid` and the
//! reason; what this system cannot do is `Unsupported`.
//!
//! Requests are answered when they are done, not in the order in which they came: a job that is
//! slow to stop holds up nobody.
//!
//! | bound | value | beyond it |
//! |---|---|---|
//! | mailbox | [`MAILBOX_CAPACITY`] messages | who sends waits |
//! | jobs that have not ended | [`nipworker_mining::MAX_ACTIVE_JOBS`] | `Failed` with code `Busy`, transient |
//! | one message on the worker's thread | [`HANG_LIMIT`] | the worker is replaced |
//!
//! [`MinerEdge`]: nipworker_schema::MinerEdge
//! [`JobBook`]: nipworker_mining::JobBook

mod actor;
mod answer;

pub use actor::{HANG_LIMIT, MAILBOX_CAPACITY, MinerActor, MinerParts, Nip13Request};
