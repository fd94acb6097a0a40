//! What a subscription is asked to be.

use std::time::Duration;

use nipworker_protocol::Filter;
use serde::{Deserialize, Serialize};

use crate::pipes::PipeSpec;

/// Default number of events that wait for a reader.
pub const DEFAULT_QUEUE_EVENTS: usize = 1_024;

/// What happens to a live event when its reader's queue is full. Rows from the cache always wait,
/// because the cache can be asked for the next page at any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overflow {
    /// The oldest waiting event is dropped, and the reader learns how many were.
    #[default]
    DropOldest,
    /// Whoever delivers waits for the reader, which holds up the relay that the event came from.
    /// Fit for queries whose reader takes all there is; see the parser for how long it waits.
    Wait,
}

/// Where a subscription takes its events from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Relays to ask, as normalised URLs; empty means the configured ones.
    pub relays: Vec<String>,
    /// Whether stored events come first.
    pub use_cache: bool,
    /// Whether relays are asked.
    pub use_relays: bool,
    /// Whether it ends when everything stored has been delivered: a query.
    pub close_on_eose: bool,
    /// How long relays have for what they have stored, from when they were asked; `None` leaves
    /// it to whoever asks them.
    pub relay_deadline: Option<Duration>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            relays: Vec::new(),
            use_cache: true,
            use_relays: true,
            close_on_eose: false,
            relay_deadline: None,
        }
    }
}

/// How much a subscription delivers at most. When a limit is reached the stream closes, and relays
/// are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeliveryLimits {
    /// Events that the reader gets; what a pipe holds back does not count. `None`: any number.
    pub max_events: Option<u64>,
    /// Bytes of the events that the reader gets, each counted as its content and tag elements and
    /// [`DeliveryLimits::EVENT_BYTES`] for the rest. An event that would go beyond is not given
    /// any more. `None`: any number.
    pub max_bytes: Option<u64>,
}

impl DeliveryLimits {
    /// What an event counts beside its content and tags: id, keys and signature.
    pub const EVENT_BYTES: u64 = 160;
}

/// A subscription that is to be registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionSpec {
    /// Its name, unique in the hub.
    pub id: String,
    /// What it wants; alternatives.
    pub filters: Vec<Filter>,
    /// Where from.
    pub plan: Plan,
    /// What happens when the reader is slow.
    pub overflow: Overflow,
    /// Events that may wait for the reader; `None` takes [`HubConfig::queue_events`].
    pub queue_events: Option<usize>,
    /// What is done to its events on the way to the reader, in order.
    pub pipes: Vec<PipeSpec>,
    /// How much it delivers.
    pub limits: DeliveryLimits,
}

impl SubscriptionSpec {
    /// A subscription with the default plan.
    pub fn new(id: impl Into<String>, filters: Vec<Filter>) -> Self {
        Self {
            id: id.into(),
            filters,
            plan: Plan::default(),
            overflow: Overflow::default(),
            queue_events: None,
            pipes: Vec::new(),
            limits: DeliveryLimits::default(),
        }
    }
}

/// Settings of a [`crate::Hub`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HubConfig {
    /// Subscriptions that may be open at once.
    pub max_subscriptions: usize,
    /// Events that may wait for a reader. While the cache is read, as many live ones may wait
    /// besides; they join the queue together.
    pub queue_events: usize,
    /// Ids that a subscription remembers, so that nothing is delivered twice: so many of the
    /// newest that came from the cache for good, and of all others the last so many at least, at
    /// most twice as many. Beyond that a copy is delivered like a new event;
    /// [`SubscriptionStats::forgotten`](crate::SubscriptionStats::forgotten) tells whether that
    /// can happen. They are kept as keyed 64-bit hashes, so an event may be taken for a delivered
    /// one with a chance below one in 10^14. The default, 28 672, fills hash tables of 32 768
    /// places.
    pub seen_events: usize,
}

impl Default for HubConfig {
    fn default() -> Self {
        Self { max_subscriptions: 4_096, queue_events: DEFAULT_QUEUE_EVENTS, seen_events: 28_672 }
    }
}
