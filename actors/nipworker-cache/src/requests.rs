//! What the worker is asked for, and how it is done.

use std::{pin::Pin, sync::PoisonError, time::Duration};

use nipworker_schema::{
    AskRelaysT, CacheEdge, CloseReqT, CountStoredT, FailureCode, ListStoredT, OpenNegT, OpenReqT,
    PageT, PersistT, PersistedT, PlacedT, QueryPageT, ReconcileStoredT, RelayEdge,
    RelayEdgeMessageT, RelaysAskedT, SendEventT, SentT, StopAskingT, StoppedT, StoreAndSendT,
    StoredCountT, StoredListedT, StoredReconciledT, SweepExpiredT, SweptT,
};
use nipworker_store::{
    Attestation, EventId, Filter, HllOffset, PackedEvent, PackedEvents, PageRequest, Position,
    SWEPT_PER_COMMIT, Verified,
};
use nipworker_supervision::Ask;
use tokio::time::timeout;

use crate::{
    actor::{
        AUTHORS_COUNTED_MAX, CONNECTIONS_ASK_LIMIT, CacheParts, LISTED_MAX, PAGE_EVENTS_DEFAULT,
        RECONCILE_EVENTS_MAX, SEND_GRACE, STORE_LIMIT,
    },
    failure::Failure,
    reply::{Refusal, Unanswered, no_answer, outcome_table, unreadable},
    threads::StoreThreads,
};

/// An answer that is under way.
pub(crate) type Outcome = Pin<Box<dyn Future<Output = Result<CacheEdge, Failure>>>>;

/// A request that is under way, or why it is not taken on.
type Taken = Result<Outcome, Refusal>;

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

/// Takes requests on.
pub(crate) struct Desk<'p>(pub(crate) &'p CacheParts);

impl Desk<'_> {
    pub(crate) fn persist(&self, request: PersistT) -> Taken {
        let written = committed(self.0.threads.write(unpacked(request.events)?));
        Ok(Box::pin(async move {
            let (events, outcomes) = written.await?;
            let outcomes = events
                .iter()
                .zip(&outcomes)
                .map(|(event, outcome)| outcome_table(&event.view().id(), outcome))
                .collect();
            Ok(CacheEdge::encode(PersistedT { outcomes }))
        }))
    }

    pub(crate) fn query_page(&self, request: QueryPageT) -> Taken {
        let QueryPageT { filters: tables, max_events, after_created_at, after_id, skip } = request;
        let filters = filters(tables)?;
        let cursors = self.0.cursors.clone();
        let after = match (after_created_at, after_id) {
            (None, None) => None,
            (Some(created_at), Some(id)) => {
                let after = Position { created_at, id: EventId::from(id) };
                let mut cursors = cursors.lock().unwrap_or_else(PoisonError::into_inner);
                Some(cursors.resume(&filters, after, skip))
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
        let clock = self.0.clock.clone();
        let answer = self.0.threads.read(move |store| {
            let page = store.query(&filters, &page, clock())?;
            let more = page.next.is_some();
            if let Some(next) = page.next {
                let delivered = skip.saturating_add(page.events.len() as u64);
                let mut cursors = cursors.lock().unwrap_or_else(PoisonError::into_inner);
                cursors.remember(&filters, &next, delivered);
            }
            let mut events = PackedEvents::new();
            page.events.iter().for_each(|event| events.push(event.as_bytes()));
            Ok(CacheEdge::encode(PageT { events: events.into_bytes(), more }))
        });
        Ok(Box::pin(answered(answer)))
    }

    pub(crate) fn count_stored(&self, request: CountStoredT) -> Taken {
        let filters = filters(request.filters)?;
        let clock = self.0.clock.clone();
        let offset = HllOffset::of(&filters).filter(|_| request.hll);
        let counted = self.0.threads.read(move |store| {
            let count = store.count(&filters, clock())?;
            // For the authors each event is read.
            let Some(offset) = offset.filter(|_| count <= AUTHORS_COUNTED_MAX) else {
                return Ok(StoredCountT { count, hll: None });
            };
            let (count, authors) = store.count_authors(&filters, offset, clock())?;
            Ok(StoredCountT { count, hll: Some(authors.as_bytes().to_vec()) })
        });
        Ok(Box::pin(async move { answered(counted).await.map(CacheEdge::encode) }))
    }

    /// Takes as long as it takes, commit by commit, between those of events.
    pub(crate) fn sweep_expired(&self, request: &SweepExpiredT) -> Taken {
        let (threads, now) = (self.0.threads.clone(), request.now);
        Ok(Box::pin(async move {
            let removed = sweep(threads, now).await?;
            Ok(CacheEdge::encode(SweptT { removed }))
        }))
    }

    /// Commits first: what the relays get is safe here.
    pub(crate) fn store_and_send(&self, request: StoreAndSendT) -> Taken {
        let StoreAndSendT { event, relays, use_relays, timeout_ms } = request;
        let event: Verified = verified(event.into());
        let written = committed(self.0.threads.write(vec![event.pack()]));
        let limit = receipts_limit(timeout_ms, self.0.publish_deadline);
        let connections = self.0.connections.clone();
        Ok(Box::pin(async move {
            let (_, outcomes) = written.await?;
            let Some(outcome) = outcomes.first() else {
                return Err(Refusal::new(FailureCode::Store, "the store gave no outcome").into());
            };
            let table = Box::new(outcome_table(&event.id, outcome));
            if !use_relays || !outcome.is_to_be_passed_on() {
                return Ok(CacheEdge::encode(SentT { outcome: table, receipts: Vec::new() }));
            }
            let request =
                SendEventT { id: (&event.id).into(), event: event.to_json(), relays, timeout_ms };
            let unanswered = Unanswered { refused: "not sent", in_doubt: "no receipts came" };
            let asked = connections.ask(RelayEdge::encode(request)).timeout(limit);
            said(asked, unanswered, |answer| match answer {
                RelayEdgeMessageT::EventReceipts(answer) => {
                    Ok(CacheEdge::encode(SentT { outcome: table, receipts: answer.receipts }))
                }
                other => Err(other),
            })
            .await
        }))
    }

    pub(crate) fn list_stored(&self, request: ListStoredT) -> Taken {
        let filters = filters(vec![*request.filter])?;
        let max = LISTED_MAX.min(usize::try_from(request.max).unwrap_or(usize::MAX));
        let clock = self.0.clock.clone();
        let listed = self.0.threads.read(move |store| store.ids(&filters, max, clock()));
        Ok(Box::pin(async move {
            let listed = answered(listed).await?;
            let mut positions = Vec::with_capacity(listed.len() * (8 + EventId::LEN));
            for Position { created_at, id } in listed {
                positions.extend(created_at.to_be_bytes());
                positions.extend(id.as_bytes());
            }
            Ok(CacheEdge::encode(StoredListedT { positions }))
        }))
    }

    pub(crate) fn reconcile_stored(&self, request: ReconcileStoredT) -> Taken {
        let ReconcileStoredT { name, relay, filter, idle_ms, timeout_ms } = request;
        let asked_for = filters(vec![(*filter).clone()])?;
        let clock = self.0.clock.clone();
        let held = self
            .0
            .threads
            .read(move |store| store.ids(&asked_for, RECONCILE_EVENTS_MAX + 1, clock()));
        let limit = Duration::from_millis(timeout_ms).saturating_add(SEND_GRACE);
        let connections = self.0.connections.clone();
        Ok(Box::pin(async move {
            let held = answered(held).await?;
            if held.len() > RECONCILE_EVENTS_MAX {
                let reason = format!(
                    "more than {RECONCILE_EVENTS_MAX} stored events match, which is the most that \
                     is reconciled at once; narrow the filter by `since` and `until`"
                );
                return Err(Refusal::new(FailureCode::Invalid, reason).into());
            }
            let count = held.len() as u64;
            let held = held
                .into_iter()
                .map(|Position { created_at, id }| PlacedT { id: id.into(), created_at })
                .collect();
            let request = OpenNegT { name, relay, filter, held, idle_ms, timeout_ms };
            let unanswered = Unanswered {
                refused: "not reconciled",
                in_doubt: "no end of the reconciliation came",
            };
            let asked = connections.ask(RelayEdge::encode(request)).timeout(limit);
            said(asked, unanswered, |answer| match answer {
                RelayEdgeMessageT::NegClosed(closed) => Ok(CacheEdge::encode(StoredReconciledT {
                    held: count,
                    differences: closed.differences,
                })),
                other => Err(other),
            })
            .await
        }))
    }

    pub(crate) fn ask_relays(&self, request: AskRelaysT) -> Taken {
        let AskRelaysT { subscription, filters, relays, close_on_eose, relay_timeout_ms } = request;
        let request = OpenReqT { subscription, filters, relays, close_on_eose, relay_timeout_ms };
        let unanswered = Unanswered {
            refused: "relays were not asked",
            in_doubt: "whether relays were asked is not known",
        };
        let request = RelayEdge::encode(request);
        let asked = self.0.connections.ask(request).timeout(CONNECTIONS_ASK_LIMIT);
        Ok(Box::pin(said(asked, unanswered, |answer| match answer {
            RelayEdgeMessageT::ReqOpened(answer) => {
                Ok(CacheEdge::encode(RelaysAskedT { relays: answer.relays }))
            }
            other => Err(other),
        })))
    }

    pub(crate) fn stop_asking(&self, request: StopAskingT) -> Taken {
        let unanswered = Unanswered {
            refused: "relays were not told to stop",
            in_doubt: "whether relays were told to stop is not known",
        };
        let request = RelayEdge::encode(CloseReqT { subscription: request.subscription });
        let asked = self.0.connections.ask(request).timeout(CONNECTIONS_ASK_LIMIT);
        Ok(Box::pin(said(asked, unanswered, |answer| match answer {
            RelayEdgeMessageT::ReqClosed(answer) => {
                Ok(CacheEdge::encode(StoppedT { known: answer.known }))
            }
            other => Err(other),
        })))
    }
}

/// A commit within [`STORE_LIMIT`].
async fn committed<T>(call: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    timeout(STORE_LIMIT, call).await.unwrap_or_else(|_| Err(Failure::hung(STORE_LIMIT)))
}

/// An answer within [`STORE_LIMIT`].
async fn answered<T>(call: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    timeout(STORE_LIMIT, call).await.unwrap_or_else(|_| Err(Failure::slow(STORE_LIMIT)))
}

/// Removes all that has expired at `now`.
pub(crate) async fn sweep(threads: StoreThreads, now: i64) -> Result<u64, Failure> {
    let mut removed = 0;
    loop {
        let some = threads.sweep_some(now).await?;
        removed += some;
        if some < SWEPT_PER_COMMIT as u64 {
            return Ok(removed);
        }
    }
}

/// What connections says, in the words of this edge; `translate` gives back what it did not hope for.
async fn said(
    asked: Ask<RelayEdge>,
    unanswered: Unanswered<'static>,
    translate: impl FnOnce(RelayEdgeMessageT) -> Result<CacheEdge, RelayEdgeMessageT>,
) -> Result<CacheEdge, Failure> {
    let answer =
        asked.await.map_or_else(no_answer, |answer| answer.decode().unwrap_or_else(unreadable));
    translate(answer).map_err(|other| unanswered.refusal(other).into())
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
