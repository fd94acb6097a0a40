//! What can go wrong: for a worker, for a question, for a send, for a start.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Why a worker failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[non_exhaustive]
pub enum Failure {
    /// A handler, a hook, the factory or a future of the actor panicked.
    #[error("panicked: {message}{}", At(place))]
    Panicked {
        /// The text of the panic.
        message: String,
        /// `file:line` of the panic, where the panic hook saw it.
        place: Option<String>,
    },
    /// The actor called an error fatal, see [`fatal`](crate::fatal).
    #[error("fatal error: {reason}")]
    Fatal {
        /// What the actor gave as its reason.
        reason: String,
    },
    /// The actor did not come back from a handler, a hook or a future.
    #[error("hung for more than {} ms", limit.as_millis())]
    Hung {
        /// The limit that was exceeded.
        limit: Duration,
    },
    /// The thread of the worker ended under it.
    #[error("its thread was lost")]
    ThreadLost,
    /// The factory gave an error, or the actor stopped before it had started.
    #[error("could not start: {reason}")]
    StartFailed {
        /// The error of the factory.
        reason: String,
    },
    /// Factory and `started` took longer than the start timeout.
    #[error("did not start within {} ms", limit.as_millis())]
    StartTimedOut {
        /// The limit that was exceeded.
        limit: Duration,
    },
    /// It ended by itself, in good order, although it is meant to stay.
    #[error("ended by itself")]
    Ended,
    /// It was killed on request.
    #[error("killed")]
    Killed,
    /// A nested supervisor gave up.
    #[error("escalated by {child}: {failure}")]
    Escalated {
        /// The child that failed too often.
        child: String,
        /// Its last failure.
        failure: Box<Failure>,
    },
}

impl Failure {
    /// A short name of the kind, for status and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Panicked { .. } => "panicked",
            Self::Fatal { .. } => "fatal",
            Self::Hung { .. } => "hung",
            Self::ThreadLost => "thread_lost",
            Self::StartFailed { .. } => "start_failed",
            Self::StartTimedOut { .. } => "start_timed_out",
            Self::Ended => "ended",
            Self::Killed => "killed",
            Self::Escalated { .. } => "escalated",
        }
    }

    /// Where it happened, as `file:line`, if known.
    pub fn place(&self) -> Option<&str> {
        match self {
            Self::Panicked { place, .. } => place.as_deref(),
            Self::Escalated { failure, .. } => failure.place(),
            _ => None,
        }
    }
}

struct At<'a>(&'a Option<String>);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(place) => write!(f, " at {place}"),
            None => Ok(()),
        }
    }
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The worker panicked while it handled this message.
    #[error("the worker panicked: {message}{}", At(place))]
    Panicked {
        /// The text of the panic.
        message: String,
        /// `file:line` of the panic, where known.
        place: Option<String>,
    },
    /// The worker called the error it met fatal.
    #[error("the worker failed: {reason}")]
    Fatal {
        /// What the worker gave as its reason.
        reason: String,
    },
    /// The worker did not come back from this message and was replaced.
    #[error("the worker hung for more than {} ms and was replaced", limit.as_millis())]
    Hung {
        /// The worker's hang limit.
        limit: Duration,
    },
    /// The worker's thread ended while it handled this message.
    #[error("the worker's thread was lost")]
    ThreadLost,
    /// The worker was killed while it handled this message.
    #[error("the worker was killed")]
    Killed,
    /// The message was accepted and then given up without having been handled to the end: the
    /// worker is gone for good, or its handler dropped the way to answer.
    #[error("the message was dropped: {reason}")]
    Dropped {
        /// Why it was given up.
        reason: String,
    },
    /// The worker takes no messages: it is stopping or has stopped.
    #[error("the worker takes no more messages")]
    Closed,
    /// No answer within the time that the asker set. The message is skipped if it is still queued.
    #[error("no answer within {} ms", after.as_millis())]
    Timeout {
        /// The time that the asker set.
        after: Duration,
    },
}

impl AskError {
    /// The handler, or the future that it answered with, is gone without an answer.
    pub(crate) fn no_answer() -> Self {
        Self::Dropped { reason: "the worker gave no answer".to_owned() }
    }

    /// Whether the same question may well be answered if it is asked again: the fault lay with the
    /// worker's circumstances, not with the message, and the worker is or will be there.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Hung { .. } | Self::ThreadLost | Self::Killed | Self::Timeout { .. })
    }
}

impl From<Failure> for AskError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Panicked { message, place } => Self::Panicked { message, place },
            Failure::Fatal { reason } => Self::Fatal { reason },
            Failure::Hung { limit } | Failure::StartTimedOut { limit } => Self::Hung { limit },
            Failure::ThreadLost => Self::ThreadLost,
            Failure::Killed => Self::Killed,
            failure
            @ (Failure::Ended | Failure::StartFailed { .. } | Failure::Escalated { .. }) => {
                Self::Dropped { reason: failure.to_string() }
            }
        }
    }
}

/// Why a message was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The lane is at its capacity, or others wait in line. Try later, or wait with `send`.
    #[error("the mailbox is full")]
    Full,
    /// The worker is stopping or has stopped.
    #[error("the worker takes no more messages")]
    Closed,
}

/// A message that was not accepted, and why. The message comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<M> {
    /// The message.
    pub message: M,
    /// Why it was not accepted.
    pub reason: Refused,
}

impl<M> fmt::Debug for SendError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError").field("reason", &self.reason).finish_non_exhaustive()
    }
}

impl<M> fmt::Display for SendError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl<M> std::error::Error for SendError<M> {}

/// Why a supervisor did not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A child did not start. Those that had started were stopped in reverse order.
    #[error("{child} did not start: {failure}")]
    Child {
        /// The child.
        child: String,
        /// What happened.
        failure: Failure,
    },
    /// The supervisor was stopped while it was starting.
    #[error("stopped while starting")]
    Stopped,
    /// Two children have the same name, or one address is used twice.
    #[error("more than one child is named {name}")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// The operating system refused the supervisor's own thread.
    #[error("no thread for the supervisor: {reason}")]
    Thread {
        /// The error of the operating system.
        reason: String,
    },
}
