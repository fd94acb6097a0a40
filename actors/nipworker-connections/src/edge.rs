//! Between the messages of the edge and the words of the domain.

use std::time::Duration;

use nipworker_relay::{
    EventId, Filter, OpenRequest, PublishRequest, Receipt, ReceiptStatus, ReconcileEnd,
    ReconcileRequest, Reconciled, RelayUrl, RelayUrlError, RequestError,
};
use nipworker_schema::{
    Bytes32T, DifferencesT, EdgeError, EventReceiptsT, FailureCode, NegClosedT, OpenNegT, OpenReqT,
    ReceiptStatus as Status, ReceiptT, ReconcileEnd as End, RelayEdge, SendEventT,
};

/// Why a message is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(transparent)]
    Edge(#[from] EdgeError),
    #[error(transparent)]
    Url(#[from] RelayUrlError),
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("connections takes no such message")]
    Unexpected,
}

impl Refusal {
    pub(crate) fn answer(&self) -> RelayEdge {
        let (code, transient) = match self {
            Self::Request(error) if error.is_transient() => (FailureCode::Busy, true),
            Self::Unexpected => (FailureCode::Unsupported, false),
            _ => (FailureCode::Invalid, false),
        };
        RelayEdge::failed(code, self.to_string(), transient)
    }
}

fn urls(texts: Vec<String>) -> Result<Vec<RelayUrl>, RelayUrlError> {
    texts.iter().map(|text| RelayUrl::parse(text)).collect()
}

/// On the edge 0 stands for the configured time.
fn time(milliseconds: u64) -> Option<Duration> {
    (milliseconds > 0).then(|| Duration::from_millis(milliseconds))
}

pub(crate) fn open_request(message: OpenReqT) -> Result<OpenRequest, Refusal> {
    let filters: Result<Vec<Filter>, EdgeError> =
        message.filters.into_iter().map(Filter::try_from).collect();
    Ok(OpenRequest {
        subscription: message.subscription,
        filters: filters?,
        relays: urls(message.relays)?,
        close_on_eose: message.close_on_eose,
        deadline: time(message.relay_timeout_ms),
    })
}

pub(crate) fn publish_request(message: SendEventT) -> Result<PublishRequest, Refusal> {
    Ok(PublishRequest {
        event: EventId::from_bytes(message.id.bytes),
        json: message.event,
        relays: urls(message.relays)?,
        deadline: time(message.timeout_ms),
    })
}

pub(crate) fn receipts(receipts: Vec<Receipt>) -> RelayEdge {
    let receipts = receipts.into_iter().map(|receipt| ReceiptT {
        relay: receipt.relay.to_string(),
        status: match receipt.status {
            ReceiptStatus::Accepted => Status::Accepted,
            ReceiptStatus::Refused => Status::Refused,
            ReceiptStatus::NoAnswer => Status::NoAnswer,
            ReceiptStatus::NotConnected => Status::NotConnected,
        },
        message: receipt.message,
        elapsed_ms: u64::try_from(receipt.elapsed.as_millis()).unwrap_or(u64::MAX),
        auth: receipt.auth.into(),
    });
    RelayEdge::encode(EventReceiptsT { receipts: receipts.collect() })
}

pub(crate) fn reconcile_request(message: OpenNegT) -> Result<ReconcileRequest, Refusal> {
    let held = message.held.into_iter().map(|placed| {
        let id = EventId::from_bytes(placed.id.bytes);
        (placed.created_at, id)
    });
    Ok(ReconcileRequest {
        name: message.name,
        relay: RelayUrl::parse(&message.relay)?,
        filter: Filter::try_from(*message.filter)?,
        held: held.collect(),
        idle: time(message.idle_ms),
        deadline: time(message.timeout_ms),
    })
}

pub(crate) fn reconciled(result: Reconciled) -> RelayEdge {
    let ids = |ids: Vec<EventId>| ids.into_iter().map(Bytes32T::from).collect();
    let differences = DifferencesT {
        end: match result.end {
            ReconcileEnd::Complete => End::Complete,
            ReconcileEnd::Notice => End::Notice,
            ReconcileEnd::Refused => End::Refused,
            ReconcileEnd::Silent => End::Silent,
            ReconcileEnd::Garbled => End::Garbled,
            ReconcileEnd::Endless => End::Endless,
            ReconcileEnd::TooMany => End::TooMany,
            ReconcileEnd::Disconnected => End::Disconnected,
            ReconcileEnd::NotConnected => End::NotConnected,
            ReconcileEnd::Deadline => End::Deadline,
            _ => End::Cancelled,
        },
        message: result.message,
        need: ids(result.need),
        have: ids(result.have),
        rounds: result.rounds,
        bytes_sent: result.bytes_sent,
        bytes_received: result.bytes_received,
    };
    RelayEdge::encode(NegClosedT { differences: Box::new(differences) })
}

/// The answer to a reconciliation whose worker ended before it.
pub(crate) fn cut_short() -> RelayEdge {
    RelayEdge::failed(FailureCode::Worker, "connections ended during the reconciliation", true)
}

/// The answer to an event whose worker ended before its relays had answered.
pub(crate) fn unfinished() -> RelayEdge {
    let reason = "connections ended before every relay had answered";
    RelayEdge::failed(FailureCode::Worker, reason, true)
}
