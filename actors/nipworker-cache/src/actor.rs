//! The worker: receive, call the store, send what follows.

use std::{convert::Infallible, future, sync::Arc, time::Duration};

use nipworker_schema::{
    AskRelaysT, CacheEdge, CacheMessageT, CloseReqT, CountStoredT, FailureCode, OpenNegT, OpenReqT,
    PageT, PersistT, PersistedT, PlacedT, QueryPageT, ReconcileStoredT, RelayEdge,
    RelayEdgeMessageT, RelaysAskedT, SendEventT, SentT, StopAskingT, StoppedT, StoreAndSendT,
    StoredCountT, StoredReconciledT, SweepExpiredT, SweptT,
};
use nipworker_store::{
    Attestation, CursorMemo, EventId, EventStore, Filter, PackedEvent, PackedEvents, PageRequest,
    Position, StoreError, Verified,
};
use nipworker_supervision::prelude::*;

use crate::reply::{Refusal, Unanswered, no_answer, outcome_table, unreadable};

/// Where the time comes from: unix seconds.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Messages that wait for the worker at most; whoever has more waits. A message is a batch or a
/// page, so this is seconds of work.
pub const MAILBOX: MailboxConfig = MailboxConfig { capacity: 256, control_capacity: 16 };

/// Longest time that one message may take. A commit waits for the disk.
pub const HANG_LIMIT: Duration = Duration::from_secs(30);

/// The worker is always wanted.
pub const RESTART: RestartPolicy = RestartPolicy::Permanent;

/// At once the first time, then more and more slowly: the disk may need a moment.
pub const BACKOFF: Backoff = Backoff {
    min: Duration::from_millis(100),
    max: Duration::from_secs(5),
    factor: 2.0,
    jitter: 0.2,
    reset_after: Duration::from_secs(30),
};

/// Time to work off what is queued and to flush the store when the tree is stopped.
pub const SHUTDOWN: Shutdown = Shutdown::Timeout(Duration::from_secs(10));

/// How often what has expired (NIP-40) is removed. Until then it is hidden.
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(600);

/// Events of a page when the request names no number.
pub const PAGE_EVENTS_DEFAULT: usize = 500;

/// Longest wait for connections to open or close a subscription.
pub const CONNECTIONS_ASK_LIMIT: Duration = Duration::from_secs(10);

/// Stored events that one reconciliation compares at most; what has more is refused.
pub const RECONCILE_EVENTS_MAX: usize = 250_000;

/// Wait for receipts beyond the time that the request gives the relays.
pub const SEND_GRACE: Duration = Duration::from_secs(5);

/// How long connections waits for receipts when a request gives no time, unless it is configured
/// otherwise.
pub const PUBLISH_DEADLINE: Duration = Duration::from_secs(10);

/// Whom the worker talks to. A clone goes to each incarnation.
#[derive(Clone)]
#[non_exhaustive]
pub struct CacheParts {
    /// What is kept; it outlives the worker.
    pub store: Arc<dyn EventStore>,
    /// The connections worker.
    pub connections: Recipient<RelayEdge>,
    /// The time.
    pub clock: Clock,
    /// How long connections waits for receipts when a request gives no time: what is configured
    /// there.
    pub publish_deadline: Duration,
}

impl CacheParts {
    /// With [`PUBLISH_DEADLINE`].
    pub fn new(
        store: Arc<dyn EventStore>,
        connections: Recipient<RelayEdge>,
        clock: Clock,
    ) -> Self {
        Self { store, connections, clock, publish_deadline: PUBLISH_DEADLINE }
    }
}

/// The worker as a child of a supervisor, with its limits.
pub fn child_spec(address: Address<CacheActor>, parts: CacheParts) -> ChildSpec {
    ChildSpec::new(address, move |_: &StartContext| {
        Ok::<_, Infallible>(CacheActor::new(parts.clone()))
    })
    .restart(RESTART)
    .backoff(BACKOFF)
    .hang_limit(HANG_LIMIT)
    .shutdown(SHUTDOWN)
}

/// The cache worker. Calls of the store run on its own thread, one after another; what concerns
/// relays is passed to connections, and the next message is taken while that is under way.
pub struct CacheActor {
    parts: CacheParts,
    cursors: CursorMemo,
}

impl CacheActor {
    /// A fresh incarnation over what is already kept.
    pub fn new(parts: CacheParts) -> Self {
        Self { parts, cursors: CursorMemo::new() }
    }

    fn now(&self) -> i64 {
        (self.parts.clock)()
    }
}

impl Actor for CacheActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(SWEEP_INTERVAL, |actor, ctx| {
            match actor.parts.store.sweep_expired(actor.now()) {
                Ok(removed) => tracing::debug!(removed, "expired events swept"),
                Err(error) => drop(actor.refusal(error, ctx)),
            }
        });
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        if let Err(error) = self.parts.store.flush() {
            tracing::error!(%error, "store was not flushed");
        }
    }
}

impl Handler<CacheEdge> for CacheActor {
    type Result = ResponseFuture<CacheEdge>;

    fn handle(&mut self, request: CacheEdge, ctx: &mut Self::Context) -> Self::Result {
        let answer = match request.decode() {
            Ok(CacheMessageT::Persist(request)) => self.persist(*request, ctx),
            Ok(CacheMessageT::QueryPage(request)) => self.query_page(*request, ctx),
            Ok(CacheMessageT::CountStored(request)) => self.count_stored(*request, ctx),
            Ok(CacheMessageT::SweepExpired(request)) => self.sweep_expired(&request, ctx),
            Ok(CacheMessageT::StoreAndSend(request)) => {
                return self.store_and_send(*request, ctx);
            }
            Ok(CacheMessageT::ReconcileStored(request)) => {
                return self.reconcile_stored(*request, ctx);
            }
            Ok(CacheMessageT::AskRelays(request)) => return self.ask_relays(*request),
            Ok(CacheMessageT::StopAsking(request)) => return self.stop_asking(*request),
            Ok(_) => Err(Refusal::new(FailureCode::Unsupported, "not a request to the cache")),
            Err(error) => Err(Refusal::new(FailureCode::Invalid, error.to_string())),
        };
        ready(answer.unwrap_or_else(CacheEdge::from))
    }
}

type Answer = Result<CacheEdge, Refusal>;

fn ready(answer: CacheEdge) -> ResponseFuture<CacheEdge> {
    Box::pin(future::ready(answer))
}

fn filters(tables: Vec<nipworker_schema::FilterT>) -> Result<Vec<Filter>, Refusal> {
    tables
        .into_iter()
        .map(|table| {
            Filter::try_from(table)
                .map_err(|error| Refusal::new(FailureCode::Invalid, error.to_string()))
        })
        .collect()
}

/// Longest wait for receipts. In a request 0 stands for the configured time, as it does for
/// connections.
fn receipts_limit(timeout_ms: u64, publish_deadline: Duration) -> Duration {
    let time = match timeout_ms {
        0 => publish_deadline,
        _ => Duration::from_millis(timeout_ms),
    };
    time.saturating_add(SEND_GRACE)
}

/// Only verified events come over this edge.
fn verified<T>(event: T) -> Verified<T> {
    Verified::attest(event, Attestation::FromEdge)
}

fn unpacked(events: Vec<u8>) -> Result<Vec<Verified<PackedEvent>>, Refusal> {
    PackedEvents::read(events)
        .map(|event| {
            event
                .map(verified)
                .map_err(|error| Refusal::new(FailureCode::Invalid, error.to_string()))
        })
        .collect()
}

impl CacheActor {
    fn persist(&self, request: PersistT, ctx: &mut Context<Self>) -> Answer {
        let events = unpacked(request.events)?;
        let outcomes = self
            .parts
            .store
            .put_packed(&events, self.now())
            .map_err(|error| self.refusal(error, ctx))?;
        let outcomes = events
            .iter()
            .zip(&outcomes)
            .map(|(event, outcome)| outcome_table(&event.view().id(), outcome))
            .collect();
        Ok(CacheEdge::encode(PersistedT { outcomes }))
    }

    fn query_page(&mut self, request: QueryPageT, ctx: &mut Context<Self>) -> Answer {
        let QueryPageT { filters: tables, max_events, after_created_at, after_id, skip } = request;
        let filters = filters(tables)?;
        let after = match (after_created_at, after_id) {
            (None, None) => None,
            (Some(created_at), Some(id)) => {
                let after = Position { created_at, id: EventId::from(id) };
                Some(self.cursors.resume(&filters, after, skip))
            }
            _ => {
                return Err(Refusal::new(
                    FailureCode::Invalid,
                    "after_created_at and after_id belong together",
                ));
            }
        };
        let max_events = match usize::try_from(max_events) {
            Ok(0) | Err(_) => PAGE_EVENTS_DEFAULT,
            Ok(max_events) => max_events,
        };
        let page = PageRequest { max_events, after, ..PageRequest::default() };
        let page = self
            .parts
            .store
            .query(&filters, &page, self.now())
            .map_err(|error| self.refusal(error, ctx))?;
        if let Some(next) = &page.next {
            let delivered = skip.saturating_add(page.events.len() as u64);
            self.cursors.remember(&filters, next, delivered);
        }
        let mut events = PackedEvents::new();
        page.events.iter().for_each(|event| events.push(event.as_bytes()));
        Ok(CacheEdge::encode(PageT { events: events.into_bytes(), more: page.next.is_some() }))
    }

    fn count_stored(&self, request: CountStoredT, ctx: &mut Context<Self>) -> Answer {
        let filters = filters(request.filters)?;
        let count = self
            .parts
            .store
            .count(&filters, self.now())
            .map_err(|error| self.refusal(error, ctx))?;
        Ok(CacheEdge::encode(StoredCountT { count }))
    }

    fn sweep_expired(&self, request: &SweepExpiredT, ctx: &mut Context<Self>) -> Answer {
        let removed = self
            .parts
            .store
            .sweep_expired(request.now)
            .map_err(|error| self.refusal(error, ctx))?;
        Ok(CacheEdge::encode(SweptT { removed }))
    }

    /// Commits first: what the relays get is safe here.
    fn store_and_send(
        &self,
        request: StoreAndSendT,
        ctx: &mut Context<Self>,
    ) -> ResponseFuture<CacheEdge> {
        let StoreAndSendT { event, relays, use_relays, timeout_ms } = request;
        let event: Verified = verified(event.into());
        let stored = self.parts.store.put_batch(std::slice::from_ref(&event), self.now());
        let outcome = match stored.map(|outcomes| outcomes.into_iter().next()) {
            Ok(Some(outcome)) => outcome,
            Ok(None) => {
                let refusal = Refusal::new(FailureCode::Store, "the store gave no outcome");
                return ready(refusal.into());
            }
            Err(error) => return ready(self.refusal(error, ctx).into()),
        };
        let table = Box::new(outcome_table(&event.id, &outcome));
        if !use_relays || !outcome.is_to_be_passed_on() {
            let nothing_sent = SentT { outcome: table, receipts: Vec::new() };
            return ready(CacheEdge::encode(nothing_sent));
        }
        let request = RelayEdge::encode(SendEventT {
            id: (&event.id).into(),
            event: event.to_json(),
            relays,
            timeout_ms,
        });
        let limit = receipts_limit(timeout_ms, self.parts.publish_deadline);
        self.pass_on(request, limit, move |answer| match answer {
            RelayEdgeMessageT::EventReceipts(answer) => {
                Ok(CacheEdge::encode(SentT { outcome: table, receipts: answer.receipts }))
            }
            other => {
                Err(Unanswered { refused: "not sent", in_doubt: "no receipts came" }.refusal(other))
            }
        })
    }

    fn reconcile_stored(
        &self,
        request: ReconcileStoredT,
        ctx: &mut Context<Self>,
    ) -> ResponseFuture<CacheEdge> {
        let ReconcileStoredT { name, relay, filter, idle_ms, timeout_ms } = request;
        let asked = match filters(vec![(*filter).clone()]) {
            Ok(asked) => asked,
            Err(refusal) => return ready(refusal.into()),
        };
        let held = match self.parts.store.ids(&asked, RECONCILE_EVENTS_MAX + 1, self.now()) {
            Ok(held) if held.len() <= RECONCILE_EVENTS_MAX => held,
            Ok(_) => {
                let reason = format!(
                    "more than {RECONCILE_EVENTS_MAX} stored events match, which is the most that \
                     is reconciled at once; narrow the filter by `since` and `until`"
                );
                return ready(Refusal::new(FailureCode::Invalid, reason).into());
            }
            Err(error) => return ready(self.refusal(error, ctx).into()),
        };
        let count = held.len() as u64;
        let held = held
            .into_iter()
            .map(|Position { created_at, id }| PlacedT { id: id.into(), created_at });
        let request = OpenNegT { name, relay, filter, held: held.collect(), idle_ms, timeout_ms };
        let limit = Duration::from_millis(timeout_ms).saturating_add(SEND_GRACE);
        self.pass_on(RelayEdge::encode(request), limit, move |answer| match answer {
            RelayEdgeMessageT::NegClosed(closed) => Ok(CacheEdge::encode(StoredReconciledT {
                held: count,
                differences: closed.differences,
            })),
            other => Err(Unanswered {
                refused: "not reconciled",
                in_doubt: "no end of the reconciliation came",
            }
            .refusal(other)),
        })
    }

    fn ask_relays(&self, request: AskRelaysT) -> ResponseFuture<CacheEdge> {
        let AskRelaysT { subscription, filters, relays, close_on_eose, relay_timeout_ms } = request;
        let request = OpenReqT { subscription, filters, relays, close_on_eose, relay_timeout_ms };
        self.pass_on(RelayEdge::encode(request), CONNECTIONS_ASK_LIMIT, |answer| match answer {
            RelayEdgeMessageT::ReqOpened(answer) => {
                Ok(CacheEdge::encode(RelaysAskedT { relays: answer.relays }))
            }
            other => Err(Unanswered {
                refused: "relays were not asked",
                in_doubt: "whether relays were asked is not known",
            }
            .refusal(other)),
        })
    }

    fn stop_asking(&self, request: StopAskingT) -> ResponseFuture<CacheEdge> {
        let request = CloseReqT { subscription: request.subscription };
        self.pass_on(RelayEdge::encode(request), CONNECTIONS_ASK_LIMIT, |answer| match answer {
            RelayEdgeMessageT::ReqClosed(answer) => {
                Ok(CacheEdge::encode(StoppedT { known: answer.known }))
            }
            other => Err(Unanswered {
                refused: "relays were not told to stop",
                in_doubt: "whether relays were told to stop is not known",
            }
            .refusal(other)),
        })
    }

    /// Asks connections and answers when it does. The worker goes on meanwhile.
    fn pass_on(
        &self,
        request: RelayEdge,
        limit: Duration,
        translate: impl FnOnce(RelayEdgeMessageT) -> Answer + 'static,
    ) -> ResponseFuture<CacheEdge> {
        let asked = self.parts.connections.ask(request).timeout(limit);
        Box::pin(async move {
            let answer = asked
                .await
                .map_or_else(no_answer, |answer| answer.decode().unwrap_or_else(unreadable));
            translate(answer).unwrap_or_else(CacheEdge::from)
        })
    }

    /// Tells a store's error. One that puts the store's state in doubt ends this incarnation.
    fn refusal(&self, error: StoreError, ctx: &mut Context<Self>) -> Refusal {
        if error.is_fatal() {
            tracing::error!(%error, "store failed");
            fatal(ctx, &error);
        }
        error.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receipts_are_waited_for_as_long_as_connections_gives_the_relays() {
        let configured = Duration::from_secs(60);
        assert_eq!(receipts_limit(0, configured), configured + SEND_GRACE);
        assert_eq!(receipts_limit(1_500, configured), Duration::from_millis(1_500) + SEND_GRACE);
        assert!(receipts_limit(u64::MAX, Duration::MAX) > Duration::from_secs(1 << 40));
        assert_eq!(receipts_limit(0, Duration::MAX), Duration::MAX);
    }
}
