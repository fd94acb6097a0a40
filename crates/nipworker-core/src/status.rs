//! How everything is, read from counters.

use nipworker_mining::{PoolMetrics, Progress};
use nipworker_pipeline::IngestStats;
use nipworker_relay::RelayReport;
use nipworker_store::StoreStats;
use nipworker_supervision::TreeStatus;
use serde::{Deserialize, Serialize};

/// A snapshot of the whole client. Taking it asks no worker and waits for none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClientStatus {
    /// The supervision tree: states, restarts, last failures, mailboxes, latencies.
    pub supervisor: TreeStatus,
    /// Each relay.
    pub relays: Vec<RelayReport>,
    /// Publishes that at least one relay has not answered.
    pub unanswered_publishes: usize,
    /// Open subscriptions.
    pub subscriptions: SubscriptionsStatus,
    /// What came in, was new, known or refused.
    pub ingest: IngestStats,
    /// The store; `None` once the client is closed, or while the store cannot be read.
    pub store: Option<StoreStats>,
    /// The threads that verify signatures; `None` once the client is closed.
    pub verification: Option<PoolMetrics>,
    /// Mining.
    pub mining: MiningStatus,
}

/// Open subscriptions, summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SubscriptionsStatus {
    /// Open now.
    pub open: usize,
    /// Of those, how many wait for stored events of the cache or of relays.
    pub incomplete: usize,
    /// Events delivered to their readers.
    pub delivered: u64,
    /// Events that wait for their readers.
    pub queued: u64,
    /// Events dropped because their readers were slow.
    pub lagged: u64,
}

/// Mining jobs and the threads they run on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MiningStatus {
    /// The threads; `None` once the client is closed.
    pub pool: Option<PoolMetrics>,
    /// The jobs that are known, in order of submission.
    pub jobs: Vec<Progress>,
}
