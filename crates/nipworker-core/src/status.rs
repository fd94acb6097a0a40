//! How everything is, read from counters.

use std::{collections::BTreeMap, ops::Deref};

use nipworker_mining::{PoolMetrics, Progress};
use nipworker_pipeline::{IngestStats, SourceStats};
use nipworker_relay::RelayReport;
use nipworker_store::StoreStats;
use nipworker_supervision::TreeStatus;
use serde::{Deserialize, Serialize};

use crate::{CheckpointStatus, OutboxStatus, RoutingStatus};

/// A snapshot of the whole client. Taking it asks no worker and waits for none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClientStatus {
    /// The supervision tree: states, restarts, last failures, mailboxes, latencies.
    pub supervisor: TreeStatus,
    /// Each relay that is configured or used now.
    pub relays: Vec<RelayStatus>,
    /// Publishes that at least one relay has not answered.
    pub unanswered_publishes: usize,
    /// Events that must arrive; `None` without a file for them.
    #[serde(default)]
    pub outbox: Option<OutboxStatus>,
    /// Where requests go that name no relay; `None` where `routing.mode` is off.
    #[serde(default)]
    pub routing: Option<RoutingStatus>,
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

/// One relay: what its connection counted, and what became of what came on it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RelayStatus {
    /// The connection. In JSON its fields stand beside `ingest`.
    #[serde(flatten)]
    pub report: RelayReport,
    /// Its events: new ones, copies, and refusals by kind.
    #[serde(default)]
    pub ingest: SourceStats,
}

impl RelayStatus {
    /// Each report with what the pipeline counted for that relay.
    pub(crate) fn join(reports: Vec<RelayReport>, ingest: &IngestStats) -> Vec<Self> {
        let join = |report: RelayReport| {
            let ingest = ingest.relays.get(&report.url).cloned().unwrap_or_default();
            Self { report, ingest }
        };
        reports.into_iter().map(join).collect()
    }
}

impl Deref for RelayStatus {
    type Target = RelayReport;

    fn deref(&self) -> &RelayReport {
        &self.report
    }
}

/// Open subscriptions, summed up.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
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
    /// Copies of events that a subscription had already.
    pub duplicates: u64,
    /// Events that pipes held back.
    pub filtered: u64,
    /// Of those, how many which pipe.
    pub held_back: BTreeMap<String, u64>,
    /// Times that a pipe panicked.
    pub pipe_panics: u64,
}

/// Mining jobs and what they run on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MiningStatus {
    /// What hashes.
    pub kernel: KernelStatus,
    /// The threads; `None` once the client is closed.
    pub pool: Option<PoolMetrics>,
    /// The jobs that are known, in order of submission.
    pub jobs: Vec<Progress>,
    /// The file that keeps jobs over a restart of the process, if the configuration names one.
    pub checkpoint: Option<CheckpointStatus>,
}

/// The code that searches for nonces on this processor.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct KernelStatus {
    /// Its name.
    pub name: String,
    /// Whether the configuration named it; otherwise it was the fastest at the start.
    pub forced: bool,
    /// What was measured at the start; empty when nothing was, because the configuration named
    /// the kernel or because there is only one.
    pub measured: Vec<KernelSpeed>,
    /// Names of kernels that gave wrong results on this processor and are not used: a defect.
    pub rejected: Vec<String>,
}

/// The speed of one kernel, as measured at the start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KernelSpeed {
    /// The kernel.
    pub name: String,
    /// Nanoseconds of one thread for one attempt on a short note.
    pub ns_per_hash: f64,
}
