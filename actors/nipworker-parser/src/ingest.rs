//! What relays send.

use std::{sync::Arc, time::Duration};

use nipworker_pipeline::{
    Accepted, Genuine, Ingest, Kept, Offered, Refusal, RelayNews, Source, Tally,
    protocol::{AuthProblem, Event, Filter, StoredHint, Verified},
};
use nipworker_schema::{
    EventBatchT, FailedT, FailureCode, IngestMessageT, IngestedT, PutOutcomeT, PutStatus,
};
use nipworker_supervision::Permit;
use tokio::time::timeout;

use crate::{
    convert::{failed, kept},
    shared::Shared,
};

/// A batch after the checks that need no other worker.
pub(crate) struct Batch {
    subscription: String,
    source: Source,
    filters: Arc<[Filter]>,
    ingest: Ingest,
}

/// The first checks. `Err` holds the answer when there is nothing left to do.
pub(crate) fn check(shared: &Shared, batch: EventBatchT) -> Result<Batch, IngestedT> {
    let EventBatchT { relay, subscription, events } = batch;
    let source = Source::relay(relay);
    let Some(filters) = shared.hub.filters(&subscription) else {
        shared.pipeline.refuse_unseen(&source, events.len(), &Refusal::NoSubscription);
        shared.hub.not_wanted(&subscription);
        return Err(IngestedT { refused: count(events.len()), ..IngestedT::default() });
    };
    let is_seen = |id: &_| shared.hub.has_seen(&subscription, id);
    let ingest = shared.pipeline.ingest(source.clone(), Some(&filters), &events, is_seen);
    Ok(Batch { subscription, source, filters, ingest })
}

/// Verifies, stores and delivers. Genuine events are delivered even when they cannot be stored;
/// the failure is then told to the asker, who repeats the batch.
///
/// What is being verified for another batch at the same time comes after the rest.
pub(crate) async fn take(
    shared: &Shared,
    batch: Batch,
    permit: Permit,
) -> Result<IngestedT, FailedT> {
    let Batch { subscription, source, filters, mut ingest } = batch;
    let mut permit = Some(permit);
    let mut wait = shared.config.reader_deadline;
    let mut done = IngestedT::default();
    loop {
        let (checks, elsewhere) = shared.pipeline.claim(&mut ingest);
        let rest = ingest.empty();
        let accepted = verify(shared, ingest).await?;
        let stored = store(shared, &accepted.genuine).await;
        drop(checks);
        // A slow reader holds up its relay, nobody else.
        drop(permit.take());
        let mut tally = Tally::default();
        for refused in &accepted.refused {
            *tally.refused.entry(refused.refusal.kind()).or_default() += 1;
        }
        for (n, genuine) in accepted.genuine.iter().enumerate() {
            let kept = match &stored {
                Ok(outcomes) => kept(outcomes[n].status),
                Err(_) => Kept::Unknown,
            };
            tally.stored += u64::from(kept == Kept::Stored);
            if kept.is_delivered(&genuine.event.view().id(), &filters) {
                deliver(shared, &subscription, &genuine.unpack(), &source, &mut wait).await;
            } else {
                tally.not_kept += 1;
            }
        }
        shared.hub.tally(&subscription, &tally);
        stored?;
        let known = accepted.genuine.iter().filter(|genuine| genuine.is_known).count();
        let copies: usize = accepted.genuine.iter().map(|genuine| genuine.copies.len()).sum();
        done.fresh += count(accepted.genuine.len() - known);
        done.duplicates += count(accepted.seen.len() + known + copies);
        done.refused += count(accepted.refused.len());
        if elsewhere.is_empty() {
            return Ok(done);
        }
        let is_seen = |id: &_| shared.hub.has_seen(&subscription, id);
        ingest = shared.pipeline.after(rest, elsewhere, is_seen).await;
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Has a batch verified.
pub(crate) async fn verify(shared: &Shared, ingest: Ingest) -> Result<Accepted, FailedT> {
    let verdicts = shared.neighbours.verify(&ingest.to_verify).await?;
    shared
        .pipeline
        .accept(ingest, &verdicts, (shared.clock)())
        .map_err(|error| failed(FailureCode::Worker, error, false))
}

/// Has genuine events stored, and remembers those whose fate is settled.
pub(crate) async fn store(
    shared: &Shared,
    genuine: &[Genuine],
) -> Result<Vec<PutOutcomeT>, FailedT> {
    let events: Vec<_> = genuine.iter().map(|genuine| genuine.event.clone()).collect();
    let outcomes =
        if events.is_empty() { Vec::new() } else { shared.neighbours.persist(&events).await? };
    for (genuine, outcome) in genuine.iter().zip(&outcomes) {
        if !matches!(outcome.status, PutStatus::Failed | PutStatus::Invalid) {
            shared.pipeline.remember(genuine);
        }
    }
    Ok(outcomes)
}

/// Gives an event to a reader. `wait` is the time that is left for a slow one.
async fn deliver(
    shared: &Shared,
    subscription: &str,
    event: &Arc<Verified<Event>>,
    source: &Source,
    wait: &mut Duration,
) {
    let begin = tokio::time::Instant::now();
    while shared.hub.offer(subscription, event, source) == Offered::Full {
        let left = wait.saturating_sub(begin.elapsed());
        if left.is_zero() || timeout(left, shared.hub.room(subscription, 1)).await.is_err() {
            shared.hub.offer_at_any_rate(subscription, event, source);
            break;
        }
    }
    *wait = wait.saturating_sub(begin.elapsed());
}

/// What a relay says beside events. `false` when the message is none of these.
pub(crate) fn relay_says(shared: &Shared, message: IngestMessageT) -> bool {
    let hub = &shared.hub;
    match message {
        IngestMessageT::EndOfStored(it) => {
            let relay = it.relay.into();
            let stored = StoredHint::from(it.stored);
            if stored != StoredHint::Unsaid {
                hub.relay(&it.subscription, &relay, RelayNews::Stored(stored));
            }
            hub.relay(&it.subscription, &relay, RelayNews::EndOfStored);
            hub.not_wanted(&it.subscription);
        }
        IngestMessageT::SubscriptionClosed(it) => {
            let relay = it.relay.into();
            if let Some(problem) = Option::<AuthProblem>::from(it.auth) {
                hub.relay(&it.subscription, &relay, RelayNews::Unauthenticated(problem));
            }
            hub.relay(&it.subscription, &relay, RelayNews::Closed(it.message));
        }
        IngestMessageT::RelayNotice(it) => {
            hub.notice(&it.relay.into(), &it.message);
        }
        IngestMessageT::RelayUnavailable(it) => {
            let relay: Arc<str> = it.relay.into();
            for subscription in &it.subscriptions {
                hub.relay(subscription, &relay, RelayNews::Unavailable(it.reason.clone()));
            }
        }
        _ => return false,
    }
    true
}
