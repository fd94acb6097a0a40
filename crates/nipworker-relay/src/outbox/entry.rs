//! One event on its way.

use std::sync::Arc;

use nipworker_protocol::{EventId, RelayUrl};
use serde::{Deserialize, Serialize};

use super::{OutboxRecord, RELAYS_PER_EVENT_MAX};
use crate::ReceiptStatus;

/// Where an event stands at one relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DeliveryState {
    /// It is tried, now or later.
    #[default]
    Waiting,
    /// The relay said that it has it.
    Accepted,
    /// The relay said no for good.
    Refused,
    /// Too many tries, or too old.
    Expired,
    /// The store says that the event is not to be passed on any more: it was replaced, deleted, or
    /// has expired (NIP-01, 09, 40).
    Withdrawn,
    /// Somebody took it back.
    Cancelled,
}

impl DeliveryState {
    /// Whether nothing follows.
    pub fn is_final(self) -> bool {
        self != Self::Waiting
    }
}

/// What came of the last try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastAnswer {
    /// What the relay did.
    pub status: ReceiptStatus,
    /// Its words, or why there are none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When, in unix seconds.
    pub at: i64,
}

/// An event at one relay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayDelivery {
    /// Which relay.
    pub relay: RelayUrl,
    /// Where it stands.
    pub state: DeliveryState,
    /// Tries so far.
    #[serde(default)]
    pub attempts: u32,
    /// Refusals so far that did not say whether they are final.
    #[serde(default)]
    pub unclear: u32,
    /// What came of the last try; `None` before the first has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<LastAnswer>,
}

impl RelayDelivery {
    pub(super) fn new(relay: RelayUrl) -> Self {
        Self { relay, state: DeliveryState::Waiting, attempts: 0, unclear: 0, last: None }
    }

    fn is_pristine(&self) -> bool {
        self.state == DeliveryState::Waiting && self.attempts == 0 && self.last.is_none()
    }
}

/// An event that is to arrive, or has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxEntry {
    /// Its id.
    pub event: EventId,
    /// When it was queued, in unix seconds.
    pub queued_at: i64,
    /// When its last relay was done, in unix seconds; `None` while one is waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<i64>,
    /// Its relays, in the order they were given.
    pub relays: Vec<RelayDelivery>,
    /// The event's text; empty once it is finished.
    #[serde(skip)]
    pub(super) json: Arc<str>,
}

impl OutboxEntry {
    pub(super) fn new(event: EventId, queued_at: i64) -> Self {
        Self { event, queued_at, finished_at: None, relays: Vec::new(), json: Arc::from("") }
    }

    /// Whether no relay is waited for.
    pub fn is_finished(&self) -> bool {
        self.finished_at.is_some()
    }

    /// How many relays are in this state.
    pub fn count(&self, state: DeliveryState) -> usize {
        self.relays.iter().filter(|delivery| delivery.state == state).count()
    }

    pub(super) fn at(&self, relay: &RelayUrl) -> Option<&RelayDelivery> {
        self.relays.iter().find(|delivery| delivery.relay == *relay)
    }

    /// Adds relays, and begins anew with those that had refused or were given up. Returns the
    /// relays that are waited for and were not before.
    pub(super) fn want(&mut self, relays: &[RelayUrl]) -> Vec<RelayUrl> {
        let mut wanted = Vec::new();
        for relay in relays {
            let fresh = RelayDelivery::new(relay.clone());
            match self.relays.iter().position(|delivery| delivery.relay == *relay) {
                None if self.relays.len() < RELAYS_PER_EVENT_MAX => self.relays.push(fresh),
                Some(at)
                    if !matches!(
                        self.relays[at].state,
                        DeliveryState::Waiting | DeliveryState::Accepted
                    ) =>
                {
                    self.relays[at] = fresh;
                }
                _ => continue,
            }
            wanted.push(relay.clone());
        }
        wanted
    }

    /// The records that make it.
    pub(super) fn records(&self) -> impl Iterator<Item = OutboxRecord> {
        let queued = OutboxRecord::Queued {
            event: self.event,
            at: self.queued_at,
            relays: self.relays.iter().map(|delivery| delivery.relay.clone()).collect(),
            json: self.json.to_string(),
        };
        let known = self.relays.iter().filter(|delivery| !delivery.is_pristine());
        let deliveries = known.map(|delivery| OutboxRecord::Delivery {
            event: self.event,
            at: self.finished_at.unwrap_or(self.queued_at),
            delivery: delivery.clone(),
        });
        std::iter::once(queued).chain(deliveries)
    }
}
