//! Counters of a subscription.

use std::collections::BTreeMap;

use serde::Serialize;

use super::types::RelayState;

/// A snapshot of a subscription.
///
/// `from_cache + from_relays + from_local = delivered + queued + lagged`: every distinct event is
/// either with the reader, on the way to it, or was dropped because the reader was slow.
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
    /// The relays.
    pub relays: BTreeMap<String, RelayState>,
}
