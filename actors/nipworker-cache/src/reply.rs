//! What the store and connections say, in the words of the edge.

use nipworker_schema::{
    CacheEdge, FailedT, FailureCode, PutOutcomeT, PutStatus, RelayEdgeMessageT,
};
use nipworker_store::{EventId, PutOutcome, StoreError};
use nipworker_supervision::AskError;

/// Why a request is not done; becomes `Failed` on the edge.
#[derive(Debug)]
pub(crate) struct Refusal {
    code: FailureCode,
    reason: String,
    transient: bool,
}

impl Refusal {
    /// One that asking again does not change.
    pub(crate) fn new(code: FailureCode, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into(), transient: false }
    }
}

impl From<Refusal> for CacheEdge {
    fn from(refusal: Refusal) -> Self {
        Self::failed(refusal.code, refusal.reason, refusal.transient)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let code = match error {
            StoreError::SearchUnsupported => FailureCode::Unsupported,
            StoreError::CursorMismatch { .. } => FailureCode::Invalid,
            _ => FailureCode::Store,
        };
        Self { code, reason: error.to_string(), transient: error.is_transient() }
    }
}

impl From<AskError> for Refusal {
    /// Connections did not answer. What was stored before stays stored.
    fn from(error: AskError) -> Self {
        Self {
            code: FailureCode::Worker,
            reason: format!("connections: {error}"),
            transient: error.is_transient(),
        }
    }
}

/// An answer of connections other than the one hoped for.
pub(crate) fn unexpected(answer: RelayEdgeMessageT, consequence: &str) -> Refusal {
    match answer {
        RelayEdgeMessageT::Failed(failed) => {
            let FailedT { code, reason, transient } = *failed;
            Refusal { code, reason: format!("{consequence}: {reason}"), transient }
        }
        _ => Refusal::new(
            FailureCode::Worker,
            format!("{consequence}: connections gave an answer to another question"),
        ),
    }
}

/// One event's outcome as a table. Where the event is stored there is no reason to give.
pub(crate) fn outcome_table(id: &EventId, outcome: &PutOutcome) -> PutOutcomeT {
    let status = match outcome {
        PutOutcome::Stored => PutStatus::Stored,
        PutOutcome::Duplicate => PutStatus::Duplicate,
        PutOutcome::Superseded { .. } => PutStatus::Superseded,
        PutOutcome::Deleted => PutStatus::Deleted,
        PutOutcome::Expired => PutStatus::Expired,
        PutOutcome::Ephemeral => PutStatus::Ephemeral,
        PutOutcome::Invalid { .. } => PutStatus::Invalid,
        _ => PutStatus::Failed,
    };
    let reason = if *outcome == PutOutcome::Stored { String::new() } else { outcome.to_string() };
    PutOutcomeT { id: id.into(), status, reason }
}

#[cfg(test)]
mod tests {
    use nipworker_schema::CacheMessageT;
    use nipworker_store::KvError;

    use super::*;

    #[test]
    fn every_outcome_has_its_status_and_all_but_stored_a_reason() {
        let id = EventId::from_bytes([7; 32]);
        for (outcome, status) in [
            (PutOutcome::Stored, PutStatus::Stored),
            (PutOutcome::Duplicate, PutStatus::Duplicate),
            (PutOutcome::Superseded { by: id }, PutStatus::Superseded),
            (PutOutcome::Deleted, PutStatus::Deleted),
            (PutOutcome::Expired, PutStatus::Expired),
            (PutOutcome::Ephemeral, PutStatus::Ephemeral),
            (PutOutcome::Invalid { reason: "too large".into() }, PutStatus::Invalid),
        ] {
            let table = outcome_table(&id, &outcome);
            assert_eq!(table.status, status);
            assert_eq!(table.reason.is_empty(), outcome == PutOutcome::Stored, "{outcome:?}");
            assert_eq!(EventId::from(table.id), id);
        }
    }

    #[test]
    fn failures_keep_their_code_reason_and_whether_they_pass() {
        let full = StoreError::Kv(KvError::Full {
            during: "committing",
            source: std::io::ErrorKind::StorageFull.into(),
        });
        for (refusal, code, transient) in [
            (Refusal::from(full), FailureCode::Store, true),
            (Refusal::from(StoreError::Foreign), FailureCode::Store, false),
            (Refusal::from(StoreError::SearchUnsupported), FailureCode::Unsupported, false),
            (Refusal::from(AskError::ThreadLost), FailureCode::Worker, true),
            (Refusal::from(AskError::Closed), FailureCode::Worker, false),
        ] {
            let CacheMessageT::Failed(failed) = CacheEdge::from(refusal).decode().unwrap() else {
                panic!("not a failure");
            };
            assert_eq!((failed.code, failed.transient), (code, transient));
            assert!(!failed.reason.is_empty());
        }
    }
}
