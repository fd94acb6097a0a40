//! What outlives the owner of a pool.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use nipworker_protocol::{EventId, Filter, RelayUrl};

use crate::{
    PublishId, RelayReport,
    effect::{Document, Progress, Step},
    routing::Router,
    stats::RelayStats,
};

/// How many owners a publish may see. One whose handling brings its owner down must not bring
/// down every following one.
const MAX_OWNERS_OF_A_PUBLISH: u32 = 2;

/// Information documents that are remembered, of relays that left the pool too. Beyond that the
/// oldest is forgotten.
const MAX_DOCUMENTS: usize = 1_024;

/// The desired relays, the open subscriptions with their last seen times, the unanswered
/// publishes, and the statistics.
///
/// A pool writes each change down at once; its successor on the same book carries on: it dials
/// every relay, asks every subscription again from its last *delivered* event on, and sends
/// publishes whose time is not over. Whoever waited for the receipts of those was told of the
/// failure by then; what comes of them is only counted.
///
/// Only the newest pool of a book may write: an older one that was given up but still runs changes
/// nothing any more.
#[derive(Debug, Default)]
pub struct RelayBook {
    desired: Vec<RelayUrl>,
    pages: Mutex<Pages>,
    watcher: OnceLock<Watcher>,
    router: Option<Arc<Router>>,
}

/// Who is told of each connection; it must not wait for anything.
type OnConnected = dyn Fn(&RelayUrl) + Send + Sync;

struct Watcher(Box<OnConnected>);

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watcher")
    }
}

#[derive(Debug, Default)]
pub(crate) struct Pages {
    owner: u64,
    pub(crate) stats: BTreeMap<RelayUrl, Arc<RelayStats>>,
    pub(crate) requests: BTreeMap<Arc<str>, BookedRequest>,
    pub(crate) publishes: BTreeMap<PublishId, BookedPublish>,
    /// Publishes that were taken back and that the pool does not know of yet.
    withdrawn: Vec<PublishId>,
    /// At most [`MAX_DOCUMENTS`].
    documents: BTreeMap<RelayUrl, Document>,
    next_publish: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct BookedRequest {
    pub(crate) filters: Arc<[Filter]>,
    /// What each relay is asked for where that was decided by routing.
    pub(crate) routed: BTreeMap<RelayUrl, Arc<[Filter]>>,
    pub(crate) close_on_eose: bool,
    /// How long relays have for their first answer.
    pub(crate) patience: Duration,
    /// When that ends.
    pub(crate) deadline: Duration,
    pub(crate) relays: BTreeMap<RelayUrl, BookedPart>,
}

impl BookedRequest {
    /// What a relay is asked for.
    pub(crate) fn filters_at(&self, relay: &RelayUrl) -> &Arc<[Filter]> {
        self.routed.get(relay).unwrap_or(&self.filters)
    }
}

/// A subscription at one relay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct BookedPart {
    pub(crate) anchor: Option<i64>,
    pub(crate) told: Told,
}

/// What the subscriber was told about the relay's first answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Told {
    #[default]
    Nothing,
    /// That it need not wait. The answer is still told when it comes.
    Unavailable,
    /// End of stored events, or closed.
    Answer,
}

#[derive(Debug, Clone)]
pub(crate) struct BookedPublish {
    pub(crate) event: EventId,
    pub(crate) frame: Arc<str>,
    pub(crate) relays: BTreeSet<RelayUrl>,
    /// Whether routing chose the relays.
    pub(crate) routed: bool,
    pub(crate) asked: Duration,
    pub(crate) deadline: Duration,
    pub(crate) owners: u32,
}

impl RelayBook {
    /// An empty book for relays that are always wanted.
    pub fn new(desired: impl IntoIterator<Item = RelayUrl>) -> Self {
        let mut relays = Vec::new();
        for relay in desired {
            if !relays.contains(&relay) {
                relays.push(relay);
            }
        }
        Self { desired: relays, pages: Mutex::default(), watcher: OnceLock::new(), router: None }
    }

    /// Has `watcher` told of every connection that comes about, from the thread that made it:
    /// it must not wait for anything. There is one watcher, for the life of the book; `false`
    /// when there is one already.
    pub fn watch_connections(&self, watcher: impl Fn(&RelayUrl) + Send + Sync + 'static) -> bool {
        self.watcher.set(Watcher(Box::new(watcher))).is_ok()
    }

    pub(crate) fn connected(&self, relay: &RelayUrl) {
        if let Some(Watcher(watcher)) = self.watcher.get() {
            watcher(relay);
        }
    }

    /// With somebody who decides where requests go that name no relay.
    pub fn with_router(mut self, router: Arc<Router>) -> Self {
        self.router = Some(router);
        self
    }

    /// Who decides where requests go that name no relay; `None` sends them to the desired ones.
    pub fn router(&self) -> Option<&Arc<Router>> {
        self.router.as_ref()
    }

    /// The relays that are always wanted, each once, in the order they were given.
    pub fn desired(&self) -> &[RelayUrl] {
        &self.desired
    }

    /// One report for each relay in the pool, ordered by address. Waits for no worker.
    pub fn report(&self) -> Vec<RelayReport> {
        self.pages().stats.iter().map(|(url, stats)| stats.report(url)).collect()
    }

    /// Number of subscriptions that are open.
    pub fn open_subscriptions(&self) -> usize {
        self.pages().requests.len()
    }

    /// Takes back the publishes of this event: neither a connection that comes later nor an
    /// authentication carries it to a relay. Where it was not sent, the receipt says so; what was
    /// sent stays sent, and its answer is waited for as long as the connection lasts.
    pub fn withdraw(&self, event: &EventId) {
        let mut pages = self.pages();
        let Pages { publishes, withdrawn, .. } = &mut *pages;
        for (publish, booked) in publishes.iter() {
            if booked.event == *event && !withdrawn.contains(publish) {
                withdrawn.push(*publish);
            }
        }
    }

    /// Number of publishes that at least one relay has not answered.
    pub fn unanswered_publishes(&self) -> usize {
        self.pages().publishes.len()
    }

    /// Takes the book over; whoever had it before can no longer write.
    pub fn lease(self: &Arc<Self>) -> BookLease {
        let mut pages = self.pages();
        pages.owner += 1;
        let owner = pages.owner;
        for stats in pages.stats.values_mut() {
            *stats = Arc::new(stats.fork());
        }
        let withdrawn = std::mem::take(&mut pages.withdrawn);
        pages.publishes.retain(|id, publish| {
            publish.owners += 1;
            publish.owners <= MAX_OWNERS_OF_A_PUBLISH && !withdrawn.contains(id)
        });
        drop(pages);
        BookLease { book: Arc::clone(self), owner }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to write into a [`RelayBook`], until somebody else takes it.
#[derive(Debug)]
pub struct BookLease {
    book: Arc<RelayBook>,
    owner: u64,
}

impl BookLease {
    /// The book.
    pub fn book(&self) -> &Arc<RelayBook> {
        &self.book
    }

    /// Connections and deliveries of different owners have different ids.
    pub(crate) fn first_id(&self) -> u64 {
        self.owner << 32
    }

    /// Runs `change` on the pages; does nothing when the book has a newer owner.
    pub(crate) fn write<T: Default>(&self, change: impl FnOnce(&mut Pages) -> T) -> T {
        let mut pages = self.book.pages();
        if pages.owner == self.owner { change(&mut pages) } else { T::default() }
    }

    pub(crate) fn next_publish(&self) -> PublishId {
        let mut pages = self.book.pages();
        pages.next_publish += 1;
        PublishId(pages.next_publish)
    }

    /// The publishes that were taken back since this was asked last.
    pub(crate) fn withdrawn(&self) -> Vec<PublishId> {
        self.write(|pages| std::mem::take(&mut pages.withdrawn))
    }

    pub(crate) fn stats(&self, relay: &RelayUrl) -> Arc<RelayStats> {
        let stats =
            self.write(|pages| Some(Arc::clone(pages.stats.entry(relay.clone()).or_default())));
        stats.unwrap_or_default()
    }

    pub(crate) fn document(&self, relay: &RelayUrl) -> Option<Document> {
        self.write(|pages| pages.documents.get(relay).cloned())
    }

    pub(crate) fn keep_documents(&self, documents: Vec<(RelayUrl, Document)>) {
        for (relay, document) in documents {
            self.write(|pages| {
                let known = &mut pages.documents;
                if known.len() >= MAX_DOCUMENTS && !known.contains_key(&relay) {
                    let oldest = known.iter().min_by_key(|(_, document)| document.at);
                    if let Some(oldest) = oldest.map(|(relay, _)| relay.clone()) {
                        known.remove(&oldest);
                    }
                }
                known.insert(relay, document);
            });
        }
    }

    pub(crate) fn note(&self, progress: Vec<Progress>) {
        if progress.is_empty() {
            return;
        }
        self.write(|pages| {
            for Progress { relay, subscription, step } in progress {
                let Some(request) = pages.requests.get_mut(&subscription) else { continue };
                match step {
                    Step::At { anchor, told } => {
                        if let Some(part) = request.relays.get_mut(&relay) {
                            *part = BookedPart { anchor, told };
                        }
                    }
                    Step::Finished => {
                        request.relays.remove(&relay);
                        if request.relays.is_empty() {
                            pages.requests.remove(&subscription);
                        }
                    }
                }
            }
        });
    }
}
