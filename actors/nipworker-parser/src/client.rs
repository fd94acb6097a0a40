//! What clients ask for.

use std::time::Duration;

use nipworker_pipeline::{CloseReason, Plan, Source, protocol::Event};
use nipworker_schema::{
    CacheMessageT, ClientMessageT, CountStoredT, CountT, CountedT, FailedT, FailureCode, ImportT,
    ImportedT, ListStoredT, ListT, ListedT, PublishT, PublishedT, PutOutcomeT, PutStatus,
    ReconcileStoredT, ReconcileT, ReconciledT, StoreAndSendT, SubscribeT, UnsubscribeT,
    UnsubscribedT,
};
use nipworker_supervision::Permit;

use crate::{
    config::IMPORT_CHUNK_TEXTS,
    convert::{self, failed, invalid, kept},
    drive::{Driver, begin},
    ingest::{store, verify},
    shared::Shared,
};

/// Takes over a registered subscription. The message repeats what was registered, so that neither
/// side can be mistaken about the other.
pub(crate) fn subscribe(shared: &Shared, request: SubscribeT) -> Result<Driver, FailedT> {
    let SubscribeT { subscription, filters, relays, use_cache, use_relays, close_on_eose } =
        request;
    let not_registered = || {
        let reason = format!("subscription {subscription:?} is not registered");
        failed(FailureCode::NotFound, reason, false)
    };
    let registered = shared.hub.progress(&subscription).ok_or_else(not_registered)?;
    // The time that relays have is the reader's affair and not repeated.
    let relay_deadline = registered.plan.relay_deadline;
    let plan = Plan { relays, use_cache, use_relays, close_on_eose, relay_deadline };
    let filters = convert::filters(filters).map_err(invalid)?;
    if *registered.filters != *filters || registered.plan != plan {
        return Err(invalid(format_args!(
            "subscription {subscription:?} was registered with other filters or another plan"
        )));
    }
    begin(&shared.hub, &subscription).ok_or_else(not_registered)
}

pub(crate) fn unsubscribe(shared: &Shared, request: &UnsubscribeT) -> UnsubscribedT {
    let known = shared.hub.close(&request.subscription, CloseReason::Unsubscribed);
    UnsubscribedT { known }
}

pub(crate) async fn count(shared: &Shared, request: CountT) -> Result<CountedT, FailedT> {
    let CountT { filters, hll } = request;
    match shared.neighbours.cache(CountStoredT { filters, hll }).await? {
        CacheMessageT::StoredCount(stored) => Ok(CountedT { count: stored.count, hll: stored.hll }),
        _ => Err(failed(FailureCode::Worker, "cache did not answer with a count", false)),
    }
}

/// Where stored events stand.
pub(crate) async fn list(shared: &Shared, request: ListT) -> Result<ListedT, FailedT> {
    let ListT { filter, max } = request;
    match shared.neighbours.cache(ListStoredT { filter, max }).await? {
        CacheMessageT::StoredListed(listed) => Ok(ListedT { positions: listed.positions }),
        _ => Err(failed(FailureCode::Worker, "cache did not answer with positions", false)),
    }
}

/// Compares what is stored with what a relay has.
pub(crate) async fn reconcile(
    shared: &Shared,
    request: ReconcileT,
) -> Result<ReconciledT, FailedT> {
    let ReconcileT { name, relay, filter, idle_ms, timeout_ms } = request;
    let request = ReconcileStoredT { name, relay, filter, idle_ms, timeout_ms };
    let time = Duration::from_millis(timeout_ms);
    match shared.neighbours.cache_with_time(request, time).await? {
        CacheMessageT::StoredReconciled(reconciled) => {
            Ok(ReconciledT { held: reconciled.held, differences: reconciled.differences })
        }
        _ => Err(failed(FailureCode::Worker, "cache did not answer with differences", false)),
    }
}

/// Verifies, stores, tells live subscriptions, and then sends to relays.
pub(crate) async fn publish(
    shared: &Shared,
    request: PublishT,
    permit: Permit,
) -> Result<PublishedT, FailedT> {
    let PublishT { event, relays, use_relays, timeout_ms } = request;
    let ingest = shared.pipeline.ingest_event(Source::Local, Event::from(event.clone()));
    let accepted = verify(shared, ingest).await?;
    let only = |outcome: PutOutcomeT| PublishedT { outcome: outcome.into(), receipts: Vec::new() };
    if let Some(refused) = accepted.refused.first() {
        return Ok(only(convert::refused(refused)));
    }
    let outcomes = store(shared, &accepted.genuine).await?;
    let (Some(genuine), Some(outcome)) = (accepted.genuine.first(), outcomes.into_iter().next())
    else {
        return Err(failed(FailureCode::Worker, "the event got lost in the checks", false));
    };
    if kept(outcome.status).is_news(genuine.is_known) {
        shared.hub.publish(&genuine.unpack());
    }
    let is_sent =
        matches!(outcome.status, PutStatus::Stored | PutStatus::Duplicate | PutStatus::Ephemeral);
    if !use_relays || !is_sent {
        return Ok(only(outcome));
    }
    // Relays may take their time; the bound on what is under way is not for them.
    drop(permit);
    let request = StoreAndSendT { event, relays, use_relays, timeout_ms };
    let time = Duration::from_millis(timeout_ms);
    match shared.neighbours.cache_with_time(request, time).await {
        Ok(CacheMessageT::Sent(sent)) => {
            Ok(PublishedT { outcome: outcome.into(), receipts: sent.receipts })
        }
        Ok(_) => Err(failed(FailureCode::Worker, "cache did not answer with receipts", false)),
        Err(error) => {
            // It may have reached some of them before the answer was lost.
            let stored =
                if outcome.status == PutStatus::Ephemeral { "" } else { "the event is stored; " };
            let reason = format!("{stored}what relays did with it is not known: {}", error.reason);
            Err(failed(error.code, reason, error.transient))
        }
    }
}

/// Verifies and stores texts: one outcome for each in order.
pub(crate) async fn import(shared: &Shared, request: ImportT) -> Result<ImportedT, FailedT> {
    let mut outcomes = Vec::with_capacity(request.events.len());
    for texts in request.events.chunks(IMPORT_CHUNK_TEXTS) {
        outcomes.extend(import_chunk(shared, texts).await?);
    }
    Ok(ImportedT { outcomes })
}

async fn import_chunk(shared: &Shared, texts: &[String]) -> Result<Vec<PutOutcomeT>, FailedT> {
    let ingest = shared.pipeline.ingest(Source::Local, None, texts, |_| false);
    let accepted = verify(shared, ingest).await?;
    let stored = store(shared, &accepted.genuine).await?;
    let mut outcomes = vec![PutOutcomeT::default(); texts.len()];
    for refused in &accepted.refused {
        outcomes[refused.at] = convert::refused(refused);
    }
    for (genuine, outcome) in accepted.genuine.iter().zip(stored) {
        if kept(outcome.status).is_news(genuine.is_known) {
            shared.hub.publish(&genuine.unpack());
        }
        let copied = match outcome.status {
            PutStatus::Stored => PutStatus::Duplicate,
            status => status,
        };
        for copy in &genuine.copies {
            outcomes[*copy] = PutOutcomeT { status: copied, ..outcome.clone() };
        }
        outcomes[genuine.at] = outcome;
    }
    Ok(outcomes)
}

/// The answer on the edge.
pub(crate) fn answer<T: Into<ClientMessageT>>(result: Result<T, FailedT>) -> ClientMessageT {
    result.map_or_else(Into::into, Into::into)
}
