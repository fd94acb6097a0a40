//! Counters of a subscription.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{registry::Hub, types::RelayState};
use crate::{RefusalKind, pipes::PipeStats};

/// A snapshot of a subscription.
///
/// `from_cache + from_relays + from_local = delivered + filtered + queued + lagged`: every distinct
/// event is either with the reader, held back by a pipe, on the way, or was dropped because the
/// reader was slow.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct SubscriptionStats {
    /// Its name.
    pub id: String,
    /// Whether the cache is still being read.
    pub is_replaying: bool,
    /// Whether everything stored has been delivered.
    pub is_complete: bool,
    /// Events that the reader has taken.
    pub delivered: u64,
    /// Events that pipes held back: dropped, or made something else of.
    pub filtered: u64,
    /// What each pipe has done, in order.
    pub pipes: Vec<PipeStats>,
    /// Distinct events that came from the cache first.
    pub from_cache: u64,
    /// Distinct events that came from a relay first.
    pub from_relays: u64,
    /// Distinct events that were published here.
    pub from_local: u64,
    /// Copies that were left out.
    pub duplicates: u64,
    /// Delivered events that are no longer remembered: a copy of one of them is delivered like a
    /// new event. See [`HubConfig::seen_events`](crate::HubConfig::seen_events).
    pub forgotten: u64,
    /// Events that wait for the reader.
    pub queued: u64,
    /// Most events that ever waited.
    pub high_water: u64,
    /// Live events that wait for the end of the cache.
    pub buffered: u64,
    /// Events that were dropped because the reader was slow.
    pub lagged: u64,
    /// News about relays that were dropped because the reader was slow.
    pub news_dropped: u64,
    /// Events of relays that were new to the store.
    pub stored: u64,
    /// Genuine events of relays that are neither kept nor delivered: deleted or expired.
    pub not_kept: u64,
    /// Events of relays that were not let in, by kind.
    pub refused: BTreeMap<RefusalKind, u64>,
    /// The relays.
    pub relays: BTreeMap<String, RelayState>,
    /// Milliseconds from the opening to the first event; `None` before that, and in a hub without
    /// a clock.
    pub first_event_ms: Option<u64>,
    /// Milliseconds from the opening to the end of stored events.
    pub complete_ms: Option<u64>,
    /// For each relay that has sent all it had: milliseconds since relays were asked.
    pub eose_ms: BTreeMap<String, u64>,
}

/// What came of events that a relay sent for a subscription, beside those that are delivered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// New to the store.
    pub stored: u64,
    /// Genuine, and neither kept nor delivered.
    pub not_kept: u64,
    /// Not let in.
    pub refused: BTreeMap<RefusalKind, u64>,
}

impl Tally {
    pub(super) fn add(&mut self, other: &Self) {
        self.stored += other.stored;
        self.not_kept += other.not_kept;
        for (kind, count) in &other.refused {
            *self.refused.entry(*kind).or_default() += count;
        }
    }
}

impl Hub {
    /// Counts what came of events that a relay sent for a subscription.
    pub fn tally(&self, id: &str, tally: &Tally) {
        if let Some(shared) = self.0.get(id) {
            shared.lock().0.tally.add(tally);
        }
    }
}
