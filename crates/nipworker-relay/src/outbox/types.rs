//! What goes into an outbox and what comes out.

use std::sync::Arc;

use nipworker_protocol::{EventId, RelayUrl};
use serde::{Deserialize, Serialize};

use super::RELAYS_PER_EVENT_MAX;
use crate::ReceiptStatus;

/// One event that is to be sent to one relay now. Report by [`Outbox::answered`](super::Outbox::answered).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Its id.
    pub event: EventId,
    /// Its JSON text.
    pub json: Arc<str>,
    /// To whom.
    pub relay: RelayUrl,
}

/// What came of an [`Attempt`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// What the receipt says.
    Receipt {
        /// What the relay did.
        status: ReceiptStatus,
        /// Its words, or why there are none.
        message: String,
    },
    /// It was not sent, because the store says that it is not to be passed on any more.
    Withdrawn {
        /// Why.
        message: String,
    },
}

/// Why a request is refused; nothing has changed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OutboxError {
    /// No relay is named.
    #[error("an event that is to arrive needs at least one relay")]
    NoRelay,
    /// Too many relays for one event.
    #[error("{got} relays for one event, the most is {RELAYS_PER_EVENT_MAX}")]
    TooManyRelays {
        /// How many.
        got: usize,
    },
    /// Too many events wait.
    #[error("{limit} events wait in the outbox, which is the limit")]
    Full {
        /// The limit.
        limit: usize,
    },
    /// The events that wait are too large together.
    #[error("the outbox holds {held} bytes, {more} more are over the limit of {limit} bytes")]
    FullBytes {
        /// Bytes that wait.
        held: usize,
        /// Bytes of the event.
        more: usize,
        /// The limit.
        limit: usize,
    },
    /// No such event.
    #[error("the outbox has no event {0}")]
    NotFound(EventId),
}

impl OutboxError {
    /// Whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::FullBytes { .. })
    }
}

/// What happened since the start, and what waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OutboxCounts {
    /// Events that wait for at least one relay.
    pub waiting: usize,
    /// Bytes of their texts.
    pub bytes: usize,
    /// Seconds since the oldest of them was queued; 0 when none waits.
    pub oldest_age_secs: u64,
    /// Events that are finished and still listed.
    pub finished: usize,
    /// Tries under way.
    pub in_flight: usize,
    /// Tries after the first at a relay, since the start.
    pub retries: u64,
    /// Relays that said that they have an event, since the start.
    pub delivered: u64,
    /// Relays that refused one for good, or were given up, since the start.
    pub failed: u64,
}
