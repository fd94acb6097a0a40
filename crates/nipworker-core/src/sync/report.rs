//! What became of a sync.

use std::collections::BTreeMap;

use nipworker_pipeline::RefusalKind;
use nipworker_relay::ReconcileEnd;
use serde::{Deserialize, Serialize};

/// What a sync tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum SyncEvent {
    /// How far a relay has come.
    Progress(SyncProgress),
    /// A relay is done, or cannot go on. Comes once for each.
    Done(Box<SyncReport>),
}

/// What is being done with a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SyncStage {
    /// Differences are being found by NIP-77.
    Reconciling,
    /// What is missing here is being asked for by its ids.
    Fetching,
    /// The relay is being read page by page.
    Paging,
    /// What is missing there is being published.
    Sending,
}

/// How far a relay has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncProgress {
    /// The relay's normalised URL.
    pub relay: String,
    /// What is being done.
    pub stage: SyncStage,
    /// Events that are to be fetched or sent in this stage; `None` while that is not known.
    pub total: Option<u64>,
    /// Events of this stage that are done.
    pub done: u64,
}

/// How a relay's events were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SyncHow {
    /// They were not.
    #[default]
    Nothing,
    /// By NIP-77.
    Negentropy,
    /// By reading everything, page by page.
    Req,
}

/// Why a sync with a relay did not come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SyncFailure {
    /// The same filter is being synced with the same relay.
    Busy,
    /// There was no connection.
    NotConnected,
    /// The relay refused a question (`CLOSED`).
    Refused,
    /// The relay did not answer a question in time.
    NoAnswer,
    /// The time for all of it was over.
    Deadline,
    /// Something failed here.
    Engine,
}

/// Answers of a relay to what was sent to it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SyncReceipts {
    /// It has them.
    pub accepted: u64,
    /// It said no.
    pub refused: u64,
    /// It did not say anything in time.
    pub no_answer: u64,
    /// There was no connection.
    pub not_connected: u64,
    /// Its words at the last refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_refusal: Option<String>,
}

/// What became of the sync with one relay. Every number is counted where it happens.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SyncReport {
    /// The relay's normalised URL.
    pub relay: String,
    /// How its events were found.
    pub how: SyncHow,
    /// Why NIP-77 was not the way, with the relay's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fell_back: Option<(ReconcileEnd, String)>,
    /// Events that were stored here when the reconciliation began; 0 where there was none.
    pub had: u64,
    /// Events that the relay said to have and the store had not; 0 without NIP-77.
    pub needed: u64,
    /// Events that came and are genuine, each once.
    pub fetched: u64,
    /// Those of them that were new to the store.
    pub stored: u64,
    /// Events that came and were not let in, by kind.
    pub refused: BTreeMap<RefusalKind, u64>,
    /// Genuine events that the store does not keep: deleted by their authors, or expired.
    pub not_kept: u64,
    /// Events that the relay said to have and did not send, or not as genuine ones.
    pub missing: u64,
    /// Events that the relay lacked.
    pub lacked: u64,
    /// Events that were published to it.
    pub sent: u64,
    /// What it answered to these.
    pub receipts: SyncReceipts,
    /// Steps of the reconciliation.
    pub rounds: u32,
    /// Bytes of text that the reconciliation cost on the way out.
    pub bytes_sent: u64,
    /// Bytes of text that the reconciliation cost on the way in.
    pub bytes_received: u64,
    /// Questions by which events were fetched.
    pub questions: u64,
    /// Seconds of which the relay may have more events than it gives at once; only when it was
    /// read page by page.
    pub crowded_seconds: u64,
    /// Why it did not come to its end; `None` when it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<SyncFailure>,
    /// What there is to say about the failure.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Milliseconds that it took, from when its turn had come.
    pub elapsed_ms: u64,
}

impl SyncReport {
    /// Whether both sides have what they were to get: it came to its end, nothing was left out, and
    /// the relay took what it was sent.
    pub fn is_complete(&self) -> bool {
        self.failure.is_none()
            && self.missing == 0
            && self.crowded_seconds == 0
            && self.receipts.accepted == self.sent
    }
}
