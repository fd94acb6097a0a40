//! The sync with one relay.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures::StreamExt;
use nipworker_pipeline::{Hub, RelayNews};
use nipworker_protocol::{Event, EventId, Filter, RelayUrl};
use nipworker_relay::{Pages, ReconcileEnd};
use nipworker_schema::{
    ClientEdge, ClientMessageT, DifferencesT, ReconcileEnd as WireEnd, ReconcileT, ReconciledT,
};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};

use super::{SyncFailure, SyncHow, SyncOptions, SyncProgress, SyncReport, SyncStage};
use crate::{
    ClientError, NostrClient, QueryOptions, ReceiptStatus, Subscription, SubscriptionEvent,
    wire::{ask_parser, expect_answer, repeatedly},
};

/// Ids of one question. Widely used relays answer with 500 events at most.
const IDS_PER_QUESTION: usize = 250;
/// Events that are on their way to the relay at once.
const SENDING_AT_ONCE: usize = 8;
/// How often a question is put that the relay does not answer in time.
const QUESTION_TRIES: usize = 2;

/// What ends a sync before its time.
struct Failed(SyncFailure, String);

impl From<ClientError> for Failed {
    fn from(error: ClientError) -> Self {
        Self(SyncFailure::Engine, error.to_string())
    }
}

/// What only one side has.
struct Found {
    need: Vec<EventId>,
    have: Vec<EventId>,
}

/// The sync with one relay.
pub(super) struct Job {
    client: NostrClient,
    relay: RelayUrl,
    filter: Filter,
    options: SyncOptions,
    told: mpsc::Sender<SyncProgress>,
    report: SyncReport,
}

impl Job {
    pub(super) fn new(
        client: NostrClient,
        relay: RelayUrl,
        filter: Filter,
        options: SyncOptions,
        told: mpsc::Sender<SyncProgress>,
    ) -> Self {
        let report = SyncReport { relay: relay.to_string(), ..SyncReport::default() };
        Self { client, relay, filter, options, told, report }
    }

    /// Does all of it, in whatever way it ends.
    pub(super) async fn run(mut self) -> SyncReport {
        let syncs = Arc::clone(self.client.syncs());
        let Some(_claim) = syncs.claim(&self.relay, &self.filter) else {
            let message = "this filter is being synced with this relay".to_owned();
            return SyncReport { failure: Some(SyncFailure::Busy), message, ..self.report };
        };
        // The semaphore is never closed.
        let _turn = syncs.turns.acquire().await;
        let begin = Instant::now();
        let deadline = self.options.deadline;
        let failed = match timeout(deadline, self.work(begin + deadline)).await {
            Ok(Ok(())) => None,
            Ok(Err(failed)) => Some(failed),
            Err(_) => {
                let message = format!("not done within {} ms", deadline.as_millis());
                Some(Failed(SyncFailure::Deadline, message))
            }
        };
        if let Some(Failed(failure, message)) = failed {
            self.report.failure = Some(failure);
            self.report.message = message;
        }
        self.report.elapsed_ms = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.report
    }

    async fn work(&mut self, end: Instant) -> Result<(), Failed> {
        let found = if self.options.reconcile { self.reconcile(end).await? } else { None };
        let direction = self.options.direction;
        match found {
            Some(Found { need, have }) => {
                if direction.is_down() {
                    self.fetch(&need).await?;
                }
                if direction.is_up() {
                    self.report.lacked = have.len() as u64;
                    for ids in have.chunks(IDS_PER_QUESTION) {
                        let filter = Filter::new().ids(ids.iter().copied());
                        self.send(filter, |_| true).await?;
                    }
                }
            }
            None => {
                let seen = self.read_pages().await?;
                if direction.is_up() {
                    self.send(self.filter.clone(), |id| !seen.contains(id)).await?;
                }
            }
        }
        Ok(())
    }

    fn tell(&self, stage: SyncStage, done: u64, total: Option<u64>) {
        let progress = SyncProgress { relay: self.report.relay.clone(), stage, total, done };
        // Whoever reads slowly misses some of it; the report has everything.
        drop(self.told.try_send(progress));
    }

    /// Finds out what differs; `None` when the relay has to be asked in another way.
    async fn reconcile(&mut self, end: Instant) -> Result<Option<Found>, Failed> {
        self.tell(SyncStage::Reconciling, 0, None);
        let cancel = Cancel::of(&self.client);
        let request = ClientEdge::encode(ReconcileT {
            name: cancel.name.to_string(),
            relay: self.relay.to_string(),
            filter: Box::new((&self.filter).into()),
            idle_ms: milliseconds(self.options.idle),
            timeout_ms: milliseconds(end.saturating_duration_since(Instant::now())),
        });
        let parser = self.client.parser();
        let answer = repeatedly(|| ask_parser(parser, request.clone())).await?;
        cancel.not_needed();
        let ReconciledT { held, differences } = expect_answer!(answer, ClientMessageT::Reconciled)?;
        let DifferencesT { end, message, need, have, rounds, bytes_sent, bytes_received } =
            *differences;
        let report = &mut self.report;
        report.had = held;
        (report.rounds, report.bytes_sent) = (rounds, bytes_sent);
        report.bytes_received = bytes_received;
        let end = end_of(end);
        match end {
            ReconcileEnd::Complete => {
                report.how = SyncHow::Negentropy;
                report.needed = need.len() as u64;
                let ids = |ids: Vec<_>| ids.into_iter().map(EventId::from).collect();
                Ok(Some(Found { need: ids(need), have: ids(have) }))
            }
            end if end.leaves_other_ways() => {
                report.fell_back = Some((end, message));
                Ok(None)
            }
            ReconcileEnd::NotConnected => Err(Failed(SyncFailure::NotConnected, message)),
            _ => Err(Failed(SyncFailure::Deadline, message)),
        }
    }

    /// Asks for what is missing here. The filter stands beside the ids: an event that does not
    /// answer it is not let in, whatever the relay has claimed.
    async fn fetch(&mut self, need: &[EventId]) -> Result<(), Failed> {
        let total = need.len() as u64;
        for ids in need.chunks(IDS_PER_QUESTION) {
            self.tell(SyncStage::Fetching, self.report.fetched, Some(total));
            let ids = Some(ids.to_vec());
            let filter = Filter { ids, limit: None, ..self.filter.clone() };
            self.ask(filter).await?;
        }
        self.tell(SyncStage::Fetching, self.report.fetched, Some(total));
        let came = self.report.fetched + self.report.not_kept;
        self.report.missing = total.saturating_sub(came);
        Ok(())
    }

    /// Reads everything that the relay has.
    async fn read_pages(&mut self) -> Result<HashSet<EventId>, Failed> {
        self.report.how = SyncHow::Req;
        let mut pages = Pages::new(self.filter.clone());
        while let Some(filter) = pages.next_filter() {
            self.tell(SyncStage::Paging, pages.seen().len() as u64, None);
            let page = self.ask(filter).await?;
            pages.came(page);
            // A page begins with events of the one before.
            self.report.fetched = pages.seen().len() as u64;
        }
        self.report.crowded_seconds = pages.crowded_seconds();
        self.tell(SyncStage::Paging, pages.seen().len() as u64, None);
        Ok(pages.seen().clone())
    }

    /// Puts one question to the relay; gives time and id of what came and was let in.
    async fn ask(&mut self, filter: Filter) -> Result<Vec<(i64, EventId)>, Failed> {
        // By id: what is asked again comes again.
        let mut came = HashMap::new();
        let mut tries = 1;
        let trouble = loop {
            let trouble = self.ask_once(filter.clone(), &mut came).await?;
            match trouble {
                Some(Failed(SyncFailure::NoAnswer, _)) if tries < QUESTION_TRIES => tries += 1,
                trouble => break trouble,
            }
        };
        self.report.fetched += came.len() as u64;
        match trouble {
            None => Ok(came.into_iter().map(|(id, created_at)| (created_at, id)).collect()),
            Some(failed) => Err(failed),
        }
    }

    async fn ask_once(
        &mut self,
        filter: Filter,
        came: &mut HashMap<EventId, i64>,
    ) -> Result<Option<Failed>, Failed> {
        self.report.questions += 1;
        let options = QueryOptions {
            relays: Some(vec![self.relay.clone()]),
            use_cache: false,
            // What readers do not want to see is wanted here.
            pipes: Some(Vec::new()),
            ..QueryOptions::default()
        };
        let mut answer = self.client.query_with(vec![filter], options).await?;
        let mut trouble = None;
        while let Some(item) = answer.next().await {
            match item {
                SubscriptionEvent::Event { event, .. } => {
                    came.insert(event.id, event.created_at);
                }
                SubscriptionEvent::Relay { news: RelayNews::Closed(message), .. } => {
                    trouble = Some(Failed(SyncFailure::Refused, message));
                }
                SubscriptionEvent::Relay { news: RelayNews::Unavailable(message), .. } => {
                    trouble = Some(Failed(SyncFailure::NoAnswer, message));
                }
                SubscriptionEvent::Closed { reason } => {
                    return Err(Failed(SyncFailure::Engine, reason));
                }
                _ => {}
            }
        }
        self.count(&answer);
        Ok(trouble)
    }

    fn count(&mut self, answer: &Subscription) {
        let stats = answer.stats();
        self.report.stored += stats.stored;
        self.report.not_kept += stats.not_kept;
        for (kind, count) in stats.refused {
            *self.report.refused.entry(kind).or_default() += count;
        }
    }

    /// Publishes stored events that answer `filter` and that the relay lacks.
    async fn send(
        &mut self,
        filter: Filter,
        lacks: impl Fn(&EventId) -> bool,
    ) -> Result<(), Failed> {
        let is_by_id = filter.ids.is_some() && self.report.how == SyncHow::Negentropy;
        let options =
            QueryOptions { use_relays: false, pipes: Some(Vec::new()), ..QueryOptions::default() };
        let stored = self.client.query_with(vec![filter], options).await?;
        let (client, relay) = (self.client.clone(), self.relay.to_string());
        let time = client.config().connections.publish_deadline;
        let lacking = stored.filter_map(|item| {
            let event = match item {
                SubscriptionEvent::Event { event, .. } if lacks(&event.id) => {
                    Some(Ok(Event::clone(&event)))
                }
                SubscriptionEvent::Closed { reason } => {
                    Some(Err(Failed(SyncFailure::Engine, reason)))
                }
                _ => None,
            };
            std::future::ready(event)
        });
        let sending = lacking.map(|event| async {
            match event {
                Ok(event) => Ok(client.send(event, vec![relay.clone()], true, time).await?),
                Err(failed) => Err(failed),
            }
        });
        let mut answers = std::pin::pin!(sending.buffer_unordered(SENDING_AT_ONCE));
        while let Some(answer) = answers.next().await {
            let (_, receipts) = answer?;
            let report = &mut self.report;
            report.lacked += u64::from(!is_by_id);
            for receipt in receipts {
                report.sent += 1;
                match receipt.status {
                    ReceiptStatus::Accepted => report.receipts.accepted += 1,
                    ReceiptStatus::Refused => {
                        report.receipts.refused += 1;
                        report.receipts.last_refusal = Some(receipt.message);
                    }
                    ReceiptStatus::NoAnswer => report.receipts.no_answer += 1,
                    ReceiptStatus::NotConnected => report.receipts.not_connected += 1,
                }
            }
            let (sent, total) = (self.report.sent, self.report.lacked);
            self.tell(SyncStage::Sending, sent, is_by_id.then_some(total));
        }
        Ok(())
    }
}

/// Tells relays that nobody waits for a reconciliation any more, unless it came to its end.
struct Cancel {
    hub: Hub,
    name: Arc<str>,
    is_over: bool,
}

impl Cancel {
    fn of(client: &NostrClient) -> Self {
        Self { hub: client.hub().clone(), name: client.next_name().into(), is_over: false }
    }

    fn not_needed(mut self) {
        self.is_over = true;
    }
}

impl Drop for Cancel {
    fn drop(&mut self) {
        if !self.is_over {
            self.hub.put_back(&self.name);
        }
    }
}

fn end_of(end: WireEnd) -> ReconcileEnd {
    match end {
        WireEnd::Complete => ReconcileEnd::Complete,
        WireEnd::Notice => ReconcileEnd::Notice,
        WireEnd::Refused => ReconcileEnd::Refused,
        WireEnd::Silent => ReconcileEnd::Silent,
        WireEnd::Garbled => ReconcileEnd::Garbled,
        WireEnd::Endless => ReconcileEnd::Endless,
        WireEnd::TooMany => ReconcileEnd::TooMany,
        WireEnd::Disconnected => ReconcileEnd::Disconnected,
        WireEnd::NotConnected => ReconcileEnd::NotConnected,
        WireEnd::Deadline => ReconcileEnd::Deadline,
        _ => ReconcileEnd::Cancelled,
    }
}

/// For an edge on which zero stands for a default: less than a millisecond is a millisecond.
fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}
