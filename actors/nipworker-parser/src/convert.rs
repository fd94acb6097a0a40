//! Between the words of the edges and those of the domain.

use nipworker_pipeline::{
    Kept, Refusal, Refused,
    protocol::{EventId, Filter},
};
use nipworker_schema::{EdgeError, FailedT, FailureCode, FilterT, PutOutcomeT, PutStatus};

pub(crate) fn failed(code: FailureCode, reason: impl ToString, transient: bool) -> FailedT {
    FailedT { code, reason: reason.to_string(), transient }
}

pub(crate) fn invalid(error: impl ToString) -> FailedT {
    failed(FailureCode::Invalid, error, false)
}

pub(crate) fn kept(status: PutStatus) -> Kept {
    match status {
        PutStatus::Stored => Kept::Stored,
        PutStatus::Duplicate => Kept::Duplicate,
        PutStatus::Superseded => Kept::Superseded,
        PutStatus::Deleted => Kept::Deleted,
        PutStatus::Expired => Kept::Expired,
        PutStatus::Ephemeral => Kept::Ephemeral,
        PutStatus::Invalid => Kept::Refused,
        _ => Kept::Unknown,
    }
}

pub(crate) fn outcome(id: EventId, status: PutStatus, reason: impl Into<String>) -> PutOutcomeT {
    PutOutcomeT { id: id.into(), status, reason: reason.into() }
}

/// What a publisher or importer is told of an event that is not let in.
pub(crate) fn refused(refused: &Refused) -> PutOutcomeT {
    let status = match refused.refusal {
        Refusal::Expired { .. } => PutStatus::Expired,
        Refusal::Unverifiable(_) => PutStatus::Failed,
        _ => PutStatus::Invalid,
    };
    let id = refused.id.unwrap_or(EventId::from_bytes([0; 32]));
    outcome(id, status, refused.refusal.to_string())
}

pub(crate) fn filters(tables: Vec<FilterT>) -> Result<Vec<Filter>, EdgeError> {
    tables.into_iter().map(Filter::try_from).collect()
}
