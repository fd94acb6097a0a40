//! Drives a subscription: reads the cache for it, asks relays, sets the deadline.

use std::{sync::Arc, time::Duration};

use nipworker_pipeline::{
    Claim, Hub, Progress, ReplayCursor,
    protocol::{Attestation, Event, Verified},
};
use nipworker_schema::{
    AskRelaysT, CacheMessageT, FailedT, FailureCode, FilterT, PageT, QueryPageT, RelaysAskedT,
    SubscribedT,
};
use tokio::time::sleep;

use crate::{
    config::{PAGE_EVENTS, RETRY_DELAY},
    convert::failed,
    shared::Shared,
};

/// A subscription and the right to drive it.
pub(crate) struct Driver {
    claim: Claim,
    pub(crate) subscription: Progress,
}

/// Claims a registered subscription.
pub(crate) fn begin(hub: &Hub, id: &str) -> Option<Driver> {
    let (claim, subscription) = hub.begin(id)?;
    Some(Driver { claim, subscription })
}

fn ended() -> FailedT {
    let reason = "the subscription has ended or another request goes on with it";
    failed(FailureCode::Closed, reason, false)
}

fn wrong_answer() -> FailedT {
    failed(FailureCode::Worker, "cache did not answer what it was asked", false)
}

impl Driver {
    fn filters(&self) -> Vec<FilterT> {
        self.subscription.filters.iter().map(FilterT::from).collect()
    }

    /// Goes on from where the subscription stands until relays have been asked. Safe to be
    /// dropped at any point and begun again.
    pub(crate) async fn run(self, shared: &Arc<Shared>) -> Result<SubscribedT, FailedT> {
        let cached = if self.subscription.cache_done { 0 } else { self.replay(shared).await? };
        let mut relays = Vec::new();
        if self.subscription.plan.use_relays && !self.subscription.relays_asked {
            relays = self.ask_relays(shared).await?;
            set_deadline(shared, Arc::clone(&self.subscription.id), self.claim);
        }
        Ok(SubscribedT { relays, cached })
    }

    async fn replay(&self, shared: &Shared) -> Result<u64, FailedT> {
        let (hub, id) = (&shared.hub, &self.subscription.id);
        let mut cached = 0;
        loop {
            // The reader sets the pace: a page is fetched when there is room for it.
            hub.room_for_page(id, self.claim, PAGE_EVENTS).await;
            let cursor = hub.cursor(id, self.claim).ok_or_else(ended)?;
            let page = self.page(shared, cursor).await?;
            let is_last = !page.more || page.events.is_empty();
            let rows = page
                .events
                .into_iter()
                .map(|row| Verified::attest(Event::from(row), Attestation::FromStore));
            cached += hub.cache_page(id, self.claim, rows).ok_or_else(ended)? as u64;
            if is_last {
                return if hub.cache_done(id, self.claim) { Ok(cached) } else { Err(ended()) };
            }
        }
    }

    async fn page(&self, shared: &Shared, cursor: ReplayCursor) -> Result<PageT, FailedT> {
        let (after_created_at, after_id) = cursor.after.unzip();
        let room = shared.hub.capacity(&self.subscription.id).unwrap_or(PAGE_EVENTS);
        let request = QueryPageT {
            filters: self.filters(),
            max_events: u32::try_from(room.min(PAGE_EVENTS)).unwrap_or(u32::MAX),
            after_created_at,
            after_id: after_id.map(Into::into),
            skip: cursor.rows,
        };
        match shared.neighbours.cache(request).await? {
            CacheMessageT::Page(page) => Ok(*page),
            _ => Err(wrong_answer()),
        }
    }

    async fn ask_relays(&self, shared: &Shared) -> Result<Vec<String>, FailedT> {
        let Progress { id, plan, .. } = &self.subscription;
        // Whoever holds the claim now is the one to ask.
        shared.hub.cursor(id, self.claim).ok_or_else(ended)?;
        let request = AskRelaysT {
            subscription: id.to_string(),
            filters: self.filters(),
            relays: plan.relays.clone(),
            close_on_eose: plan.close_on_eose,
            relay_timeout_ms: shared.hub.relay_deadline(id).map_or(0, milliseconds),
        };
        match shared.neighbours.cache(request).await? {
            CacheMessageT::RelaysAsked(asked) => {
                let RelaysAskedT { relays } = *asked;
                if shared.hub.relays_asked(id, relays.iter().map(String::as_str)) {
                    Ok(relays)
                } else {
                    // It ended while relays were being asked; they may not have been told yet.
                    shared.hub.put_back(id);
                    Err(ended())
                }
            }
            _ => Err(wrong_answer()),
        }
    }
}

/// For a field where 0 stands for the configured time: no time at all is the least there is.
fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// Relays that have not sent everything by then count as failed.
pub(crate) fn set_deadline(shared: &Arc<Shared>, id: Arc<str>, claim: Claim) {
    let hub = shared.hub.clone();
    let time = hub.relay_deadline(&id).unwrap_or(shared.config.relay_deadline);
    actix_rt::spawn(async move {
        sleep(time).await;
        hub.deadline(&id, claim);
    });
}

/// Goes on with a subscription that an earlier incarnation has begun, until that succeeds or the
/// subscription has ended.
pub(crate) async fn go_on(shared: Arc<Shared>, id: Arc<str>) {
    while let Some(driver) = begin(&shared.hub, &id) {
        match driver.run(&shared).await {
            Err(error) if error.code != FailureCode::Closed => {
                tracing::warn!(subscription = &*id, reason = error.reason, "not resumed yet");
                sleep(RETRY_DELAY).await;
            }
            _ => return,
        }
    }
}
