//! What can go wrong for a caller of the client.

use nipworker_schema::{EdgeError, FailedT, FailureCode};
use nipworker_signer::private::{OpenError, WrapError};
use nipworker_supervision::AskError;

/// Why the engine did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A value of the configuration makes no sense.
    #[error("configuration: {key}: {problem}")]
    Config {
        /// Its key in [`ClientConfig`](crate::ClientConfig), sections before it: `miner.threads`.
        key: String,
        /// What is wrong, for a person.
        problem: String,
    },
    /// The store could not be opened.
    #[error("store: {0}")]
    Store(String),
    /// The threads of mining, of verification or of the store could not be started.
    #[error("thread pool: {0}")]
    Pool(String),
    /// The file that keeps mining jobs cannot be used: it is in use, cannot be read or written, or
    /// a newer release wrote it.
    #[error("mining checkpoint: {0}")]
    Checkpoint(String),
    /// The file that keeps events that must arrive cannot be used: it is in use, cannot be read or
    /// written, or a newer release wrote it.
    #[error("outbox: {0}")]
    Outbox(String),
    /// The transport could not be made.
    #[error("transport: {0}")]
    Transport(String),
    /// The supervisor could not start a worker.
    #[error("supervisor: {0}")]
    Supervisor(String),
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The request is wrong; asking again gives the same answer.
    #[error("invalid: {0}")]
    Invalid(String),
    /// A worker failed while it handled the request (panic, hang, fatal error). Only this
    /// request was lost; the worker is being replaced.
    #[error("worker failed: {reason}")]
    Worker {
        /// What the supervisor reported.
        reason: String,
        /// Whether asking again may help.
        transient: bool,
    },
    /// A bounded queue was full.
    #[error("busy: {0}")]
    Busy(String),
    /// The outbox holds as much as it may.
    #[error("outbox full: {0}")]
    OutboxFull(String),
    /// No answer in time.
    #[error("timeout: {0}")]
    Timeout(String),
    /// The store failed.
    #[error("store: {reason}")]
    Store {
        /// What the store reported.
        reason: String,
        /// Whether asking again may help.
        transient: bool,
    },
    /// There is no signer, or it refused.
    #[error("signer: {0}")]
    Signer(String),
    /// A private message was not wrapped.
    #[error("private message: {0}")]
    Wrap(#[from] WrapError),
    /// A gift wrap was not opened: it is not for us, or somebody forged it.
    #[error("gift wrap: {0}")]
    Open(#[from] OpenError),
    /// The thing asked for does not exist.
    #[error("not found: {0}")]
    NotFound(String),
    /// The engine cannot do this.
    #[error("unsupported: {0}")]
    Unsupported(String),
    /// The client was closed.
    #[error("the client is closed")]
    Closed,
    /// A worker answered with bytes that are no answer to the request: a defect of the engine.
    #[error("unexpected answer of a worker: {0}")]
    Protocol(String),
}

impl ClientError {
    /// Whether the same request may succeed when it is made again.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Worker { transient, .. } | Self::Store { transient, .. } => *transient,
            Self::Busy(_) | Self::OutboxFull(_) | Self::Timeout(_) => true,
            Self::Wrap(WrapError::Signer(error)) | Self::Open(OpenError::Signer(error)) => {
                error.is_transient()
            }
            _ => false,
        }
    }
}

impl From<FailedT> for ClientError {
    fn from(failed: FailedT) -> Self {
        let FailedT { code, reason, transient } = failed;
        match code {
            FailureCode::Invalid => Self::Invalid(reason),
            FailureCode::Busy => Self::Busy(reason),
            FailureCode::Timeout => Self::Timeout(reason),
            FailureCode::Store => Self::Store { reason, transient },
            FailureCode::Signer => Self::Signer(reason),
            FailureCode::NotFound => Self::NotFound(reason),
            FailureCode::Unsupported => Self::Unsupported(reason),
            FailureCode::Closed => Self::Closed,
            _ => Self::Worker { reason, transient },
        }
    }
}

impl From<AskError> for ClientError {
    fn from(error: AskError) -> Self {
        match &error {
            AskError::Closed => Self::Closed,
            AskError::Timeout { .. } => Self::Timeout(error.to_string()),
            _ => Self::Worker { reason: error.to_string(), transient: error.is_transient() },
        }
    }
}

impl From<EdgeError> for ClientError {
    fn from(error: EdgeError) -> Self {
        Self::Protocol(error.to_string())
    }
}
