//! A call of the store that failed, for its asker and for the worker.

use std::time::Duration;

use nipworker_schema::FailureCode;
use nipworker_store::StoreError;

use crate::reply::Refusal;

/// What the worker does about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Consequence {
    /// It goes on: the request was wrong, or the disk is full.
    Nothing,
    /// It starts afresh: the store's state is in doubt.
    Fatal(String),
    /// It panics like the store, which is what its status is to show.
    Panic(String),
}

/// A failed call: what to answer, and what follows for the worker.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) refusal: Refusal,
    pub(crate) consequence: Consequence,
}

impl Failure {
    /// The store panicked.
    pub(crate) fn panicked(message: impl Into<String>) -> Self {
        let message = message.into();
        let reason = format!("the store panicked: {message}");
        Self {
            // As of a worker that failed: it may be one event of many, and the others are to be tried
            // again without it.
            refusal: Refusal::new(FailureCode::Worker, reason).transient(),
            consequence: Consequence::Panic(message),
        }
    }

    /// A commit did not come back in time: the disk hangs, or worse.
    pub(crate) fn hung(limit: Duration) -> Self {
        let reason = format!("the store did not commit within {} s", limit.as_secs());
        let refusal = Refusal::new(FailureCode::Timeout, reason.clone()).transient();
        Self { refusal, consequence: Consequence::Fatal(reason) }
    }

    /// A question was not answered in time, which may be the question's own fault.
    pub(crate) fn slow(limit: Duration) -> Self {
        let reason = format!("the store did not answer within {} s", limit.as_secs());
        Refusal::new(FailureCode::Timeout, reason).into()
    }

    /// Whether another request would have met it as well.
    pub(crate) fn concerns_all(&self) -> bool {
        match &self.consequence {
            Consequence::Nothing => self.refusal.is_transient(),
            Consequence::Fatal(_) => true,
            Consequence::Panic(_) => false,
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let consequence = match error.is_fatal() {
            true => Consequence::Fatal(error.to_string()),
            false => Consequence::Nothing,
        };
        Self { refusal: error.into(), consequence }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, consequence: Consequence::Nothing }
    }
}
