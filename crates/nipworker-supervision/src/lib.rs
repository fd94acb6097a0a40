#![doc = include_str!("../README.md")]
//!
//! # Where things are
//!
//! * Talking to a worker: [`Address`], [`Recipient`], [`Ask`], [`Send`].
//! * Describing a tree: [`Supervisor::builder`], [`SupervisorBuilder`], [`ChildSpec`].
//! * Back-pressure of workers that answer later: [`InFlight`].
//! * Holding a running tree: [`SupervisorHandle`], [`TreeStatus`], [`Events`].
//! * Decisions without doing: [`policy`].

// Everything here rests on unwinding: with `panic = "abort"` the first panic of any worker ends the
// process, and no test would tell.
#[cfg(panic = "abort")]
compile_error!("nipworker-supervision catches panics: build with panic = \"unwind\"");

mod address;
mod ask;
mod behind;
#[cfg(feature = "chaos")]
mod chaos;
mod clock;
mod driver;
mod envelope;
mod events;
mod failure;
mod handle;
mod hook;
mod in_flight;
mod latency;
mod ledger;
mod local;
mod pending;
pub mod policy;
pub mod prelude;
mod pump;
mod runner;
mod spec;
mod status;
#[cfg(test)]
mod tests;
mod timer;
mod util;
mod worker;

pub use address::{
    Address, DEFAULT_CAPACITY, DEFAULT_CONTROL_CAPACITY, MailboxConfig, MailboxStatus, Recipient,
};
pub use ask::{Ask, Send};
pub use behind::StopSignal;
#[cfg(feature = "chaos")]
pub use chaos::Fault;
pub use clock::{Clock, ManualClock, SystemClock};
pub use events::{EVENTS_KEPT, Events, SupervisorEvent};
pub use failure::{AskError, Failure, Refused, SendError, StartError};
pub use handle::{Exit, StopReport, Supervisor, SupervisorHandle};
pub use in_flight::{InFlight, Permit};
pub use ledger::{DEAD_LETTERS_KEPT, DeadLetter};
pub use local::fatal;
pub use policy::{Backoff, Intensity, RestartPolicy, Strategy};
pub use spec::{
    ChildSpec, DEFAULT_HANG_LIMIT, DEFAULT_MAX_ZOMBIES, DEFAULT_START_TIMEOUT, DEFAULT_TICK,
    MAX_TICK, Shutdown, StartContext, SupervisorBuilder,
};
pub use status::{ChildStatus, FailureReport, Latency, NodeStatus, State, TreeStatus};
