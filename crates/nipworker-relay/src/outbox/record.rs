//! What is written down.

use nipworker_protocol::{EventId, RelayUrl};
use serde::{Deserialize, Serialize};

use super::RelayDelivery;

/// One change of an [`Outbox`](super::Outbox). Applied in order they give its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum OutboxRecord {
    /// An event is to reach these relays. Those that it was meant for before stay; one that had
    /// refused it or was given up is tried anew.
    Queued {
        /// Its id.
        event: EventId,
        /// When, in unix seconds.
        at: i64,
        /// Where to.
        relays: Vec<RelayUrl>,
        /// The event; empty for one that is finished.
        json: String,
    },
    /// How far it is at one relay.
    Delivery {
        /// The event.
        event: EventId,
        /// When, in unix seconds.
        at: i64,
        /// The new state there.
        delivery: RelayDelivery,
    },
    /// It is not listed any more.
    Forgotten {
        /// Its id.
        event: EventId,
    },
}
