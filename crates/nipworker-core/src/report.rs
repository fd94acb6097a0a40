//! What became of an event that was offered: in the store, and at each relay.

use nipworker_protocol::{AuthProblem, EventId};
use nipworker_schema::{PutOutcomeT, ReceiptStatus as WireReceipt, ReceiptT};
use serde::{Deserialize, Serialize};

use crate::Remined;

/// What the store did with one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PutStatus {
    /// New, and committed.
    Stored,
    /// The same event was there before.
    Duplicate,
    /// A newer event of the same address is there (NIP-01).
    Superseded,
    /// Its author asked for its deletion (NIP-09).
    Deleted,
    /// It had expired (NIP-40).
    Expired,
    /// Its kind is never stored; it was delivered to open subscriptions (NIP-01).
    Ephemeral,
    /// Refused before the store: shape, id or signature.
    Invalid,
    /// The store or a worker failed; the event may be offered again.
    Failed,
}

impl PutStatus {
    /// Whether the event needs no further try: it is stored, was stored before, or was passed
    /// on as an ephemeral one.
    pub fn is_accepted(self) -> bool {
        matches!(self, Self::Stored | Self::Duplicate | Self::Ephemeral)
    }
}

impl From<nipworker_schema::PutStatus> for PutStatus {
    fn from(status: nipworker_schema::PutStatus) -> Self {
        use nipworker_schema::PutStatus as Wire;
        match status {
            Wire::Stored => Self::Stored,
            Wire::Duplicate => Self::Duplicate,
            Wire::Superseded => Self::Superseded,
            Wire::Deleted => Self::Deleted,
            Wire::Expired => Self::Expired,
            Wire::Ephemeral => Self::Ephemeral,
            Wire::Invalid => Self::Invalid,
            _ => Self::Failed,
        }
    }
}

/// The fate of one event at the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutOutcome {
    /// The event's id; zeros when its text had none that could be read.
    pub id: EventId,
    /// What was done.
    pub status: PutStatus,
    /// Why, for a person; empty when there is nothing to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

impl From<PutOutcomeT> for PutOutcome {
    fn from(outcome: PutOutcomeT) -> Self {
        Self { id: outcome.id.into(), status: outcome.status.into(), reason: outcome.reason }
    }
}

/// How a relay answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ReceiptStatus {
    /// The relay said OK true.
    Accepted,
    /// The relay said OK false; the message is its reason.
    Refused,
    /// The event was sent and no answer came in time.
    NoAnswer,
    /// The event could not be sent.
    NotConnected,
}

/// The fate of one event at one relay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The relay's normalised URL.
    pub relay: String,
    /// What it answered.
    pub status: ReceiptStatus,
    /// Its words, or why there are none.
    pub message: String,
    /// Milliseconds from the request to the answer or to giving up.
    pub elapsed_ms: u64,
    /// Why the relay could not be told who we are (NIP-42), when it refused for that reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthProblem>,
}

impl From<ReceiptT> for Receipt {
    fn from(receipt: ReceiptT) -> Self {
        Self {
            relay: receipt.relay,
            status: match receipt.status {
                WireReceipt::Accepted => ReceiptStatus::Accepted,
                WireReceipt::Refused => ReceiptStatus::Refused,
                WireReceipt::NoAnswer => ReceiptStatus::NoAnswer,
                _ => ReceiptStatus::NotConnected,
            },
            message: receipt.message,
            elapsed_ms: receipt.elapsed_ms,
            auth: receipt.auth.into(),
        }
    }
}

/// The fate of a published event: here, and at each relay it was meant for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishReport {
    /// What the store did.
    pub outcome: PutOutcome,
    /// One receipt for each relay; empty when no relay was asked.
    pub receipts: Vec<Receipt>,
    /// What was done for relays that refused the event for too little work; `None` when no relay
    /// did, or `miner.remine` is off. It is about another event, whose receipts stand in it; all
    /// else in this report is about the one that was published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remined: Option<Remined>,
}

impl PublishReport {
    /// Number of relays that said OK true to the event itself.
    pub fn accepted(&self) -> usize {
        self.receipts.iter().filter(|r| r.status == ReceiptStatus::Accepted).count()
    }
}
