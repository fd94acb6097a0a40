//! What the store and connections say, in the words of the edge.

use nipworker_schema::{
    CacheEdge, EdgeError, FailedT, FailureCode, PutOutcomeT, PutStatus, RelayEdgeMessageT,
};
use nipworker_store::{EventId, PutOutcome, StoreError};
use nipworker_supervision::AskError;

/// Why a request is not done; becomes `Failed` on the edge.
#[derive(Debug, Clone)]
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

    /// The same, where asking again may help.
    pub(crate) fn transient(self) -> Self {
        Self { transient: true, ..self }
    }

    pub(crate) fn is_transient(&self) -> bool {
        self.transient
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

/// Connections did not answer. As everywhere in the engine, asking again may help unless it is
/// gone for good: it was perhaps another message that it failed over.
pub(crate) fn no_answer(error: AskError) -> RelayEdgeMessageT {
    failed(format!("connections: {error}"), error != AskError::Closed)
}

/// Connections answered in a form that is not understood.
pub(crate) fn unreadable(error: EdgeError) -> RelayEdgeMessageT {
    failed(format!("answer of connections cannot be read: {error}"), false)
}

fn failed(reason: String, transient: bool) -> RelayEdgeMessageT {
    FailedT { code: FailureCode::Worker, reason, transient }.into()
}

/// What it means that connections gave no answer of the kind that was hoped for.
pub(crate) struct Unanswered<'a> {
    /// When it said no.
    pub(crate) refused: &'a str,
    /// When it failed meanwhile: it may have done what it was asked for.
    pub(crate) in_doubt: &'a str,
}

impl Unanswered<'_> {
    pub(crate) fn refusal(&self, answer: RelayEdgeMessageT) -> Refusal {
        let (code, reason, transient) = match answer {
            RelayEdgeMessageT::Failed(failed) => (failed.code, failed.reason, failed.transient),
            _ => {
                let reason = "connections gave an answer to another question".to_owned();
                (FailureCode::Worker, reason, false)
            }
        };
        let consequence = match code {
            FailureCode::Worker | FailureCode::Timeout | FailureCode::Closed => self.in_doubt,
            _ => self.refused,
        };
        Refusal { code, reason: format!("{consequence}: {reason}"), transient }
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

    const UNANSWERED: Unanswered<'_> = Unanswered { refused: "not sent", in_doubt: "nobody knows" };

    fn unanswered(error: AskError) -> Refusal {
        UNANSWERED.refusal(no_answer(error))
    }

    #[test]
    fn only_what_connections_refused_is_said_not_to_have_happened() {
        for (code, words) in [
            (FailureCode::Busy, "not sent: why"),
            (FailureCode::Invalid, "not sent: why"),
            (FailureCode::Unsupported, "not sent: why"),
            (FailureCode::Worker, "nobody knows: why"),
            (FailureCode::Timeout, "nobody knows: why"),
            (FailureCode::Closed, "nobody knows: why"),
        ] {
            let failed = FailedT { code, reason: "why".to_owned(), transient: true };
            assert_eq!(UNANSWERED.refusal(failed.into()).reason, words);
        }
        let after = std::time::Duration::from_secs(1);
        let reason = unanswered(AskError::Timeout { after }).reason;
        assert!(reason.starts_with("nobody knows: connections: no answer"), "{reason}");
    }

    #[test]
    fn failures_keep_their_code_reason_and_whether_they_pass() {
        let full = StoreError::Kv(KvError::Full {
            during: "committing",
            source: std::io::ErrorKind::StorageFull.into(),
        });
        let panicked = AskError::Panicked { message: "boo".to_owned(), place: None };
        for (refusal, code, transient) in [
            (Refusal::from(full), FailureCode::Store, true),
            (Refusal::from(StoreError::Foreign), FailureCode::Store, false),
            (Refusal::from(StoreError::SearchUnsupported), FailureCode::Unsupported, false),
            (unanswered(AskError::ThreadLost), FailureCode::Worker, true),
            (unanswered(panicked), FailureCode::Worker, true),
            (unanswered(AskError::Closed), FailureCode::Worker, false),
        ] {
            let CacheMessageT::Failed(failed) = CacheEdge::from(refusal).decode().unwrap() else {
                panic!("not a failure");
            };
            assert_eq!((failed.code, failed.transient), (code, transient));
            assert!(!failed.reason.is_empty());
        }
    }
}
