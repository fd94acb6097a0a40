//! Bringing the store and relays to the same events for a filter.
//!
//! What differs is found by NIP-77 where the relay speaks it, and by reading the relay page by page
//! where it does not. What is missing here comes by ordinary questions, so that it is checked and
//! kept like everything else; what is missing there is published like everything else.

mod options;
mod relay;
mod report;

use std::{
    collections::HashSet,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use futures::{Stream, StreamExt, stream};
use nipworker_protocol::{Filter, RelayUrl};
use tokio::sync::{Semaphore, mpsc};

pub use self::{
    options::{SyncDirection, SyncOptions},
    report::{SyncEvent, SyncFailure, SyncHow, SyncProgress, SyncReceipts, SyncReport, SyncStage},
};
use crate::{ClientError, NostrClient, client::check};

/// Relays that one client syncs with at the same time; others wait for their turn.
pub const SYNCS_AT_ONCE: usize = 8;
/// Progress that may wait for a slow reader; what is older than that is left out. A report is not.
const QUEUED_PROGRESS: usize = 64;

/// What is under way in one client.
#[derive(Debug)]
pub(crate) struct Syncs {
    turns: Arc<Semaphore>,
    running: Mutex<HashSet<(RelayUrl, String)>>,
}

impl Default for Syncs {
    fn default() -> Self {
        Self { turns: Arc::new(Semaphore::new(SYNCS_AT_ONCE)), running: Mutex::default() }
    }
}

impl Syncs {
    fn running(&self) -> std::sync::MutexGuard<'_, HashSet<(RelayUrl, String)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The right to sync this filter with this relay; `None` when somebody has it.
    fn claim(self: &Arc<Self>, relay: &RelayUrl, filter: &Filter) -> Option<Claim> {
        // Only maps with string keys, numbers and strings: it always serialises.
        let key = (relay.clone(), serde_json::to_string(filter).unwrap_or_default());
        let is_free = self.running().insert(key.clone());
        is_free.then(|| Claim { syncs: Arc::clone(self), key })
    }
}

/// Ends with the sync.
struct Claim {
    syncs: Arc<Syncs>,
    key: (RelayUrl, String),
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.syncs.running().remove(&self.key);
    }
}

impl NostrClient {
    /// Syncs the store with relays for one filter. The stream tells how it goes on, and one
    /// [`SyncReport`] for each relay; it ends after the last. Nothing happens unless it is read.
    /// Dropping it ends the sync; what came until then is kept.
    ///
    /// A filter's `limit` counts the newest events on each side; with one, nothing can be said
    /// about what a relay lacks, so only [`SyncDirection::Down`] takes it.
    ///
    /// # Errors
    /// [`ClientError::Invalid`] without relays, or for a `limit` where events are to be sent;
    /// [`ClientError::Unsupported`] for a search (NIP-50). What goes wrong with one relay stands in
    /// its report.
    pub fn sync(&self, filter: Filter, options: SyncOptions) -> Result<Sync, ClientError> {
        check(std::slice::from_ref(&filter))?;
        if filter.limit.is_some() && options.direction != SyncDirection::Down {
            let reason = "a filter with a limit can only be synced down".to_owned();
            return Err(ClientError::Invalid(reason));
        }
        let mut relays = options.relays.clone().unwrap_or_else(|| self.config().relays.clone());
        let mut seen = HashSet::new();
        relays.retain(|relay| seen.insert(relay.clone()));
        if relays.is_empty() {
            return Err(ClientError::Invalid(
                "no relay is named and none is configured".to_owned(),
            ));
        }
        let (told, progress) = mpsc::channel(QUEUED_PROGRESS);
        let jobs: Vec<_> = relays
            .into_iter()
            .map(|relay| {
                relay::Job::new(self.clone(), relay, filter.clone(), options.clone(), told.clone())
            })
            .collect();
        let reports = stream::iter(jobs).map(relay::Job::run).buffer_unordered(SYNCS_AT_ONCE);
        Ok(Sync { reports: Box::pin(reports), progress })
    }
}

/// A sync under way: a stream of [`SyncEvent`]s. See [`NostrClient::sync`].
#[must_use = "a sync goes on only while it is read"]
pub struct Sync {
    reports: Pin<Box<dyn Stream<Item = SyncReport> + Send>>,
    progress: mpsc::Receiver<SyncProgress>,
}

impl std::fmt::Debug for Sync {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sync")
    }
}

impl Sync {
    /// Reads it to its end.
    pub async fn reports(self) -> Vec<SyncReport> {
        let reports = self.filter_map(|event| async move {
            match event {
                SyncEvent::Done(report) => Some(*report),
                SyncEvent::Progress(_) => None,
            }
        });
        reports.collect().await
    }
}

impl Stream for Sync {
    type Item = SyncEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<SyncEvent>> {
        let report = self.reports.poll_next_unpin(cx);
        // What a relay's report is about was told before it.
        if let Poll::Ready(Some(progress)) = self.progress.poll_recv(cx)
            && !matches!(report, Poll::Ready(Some(_)))
        {
            return Poll::Ready(Some(SyncEvent::Progress(progress)));
        }
        report.map(|report| report.map(|report| SyncEvent::Done(Box::new(report))))
    }
}
