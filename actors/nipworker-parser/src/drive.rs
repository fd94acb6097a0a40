//! Drives a subscription: reads the cache for it, asks relays, sets the deadline.

use std::{sync::Arc, time::Duration};

use nipworker_pipeline::{
    Claim, Hub, Progress, ReplayCursor,
    protocol::{Attestation, PackedError, PackedEvents, Verified},
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
    subscription: Progress,
    /// What it has done so far.
    done: SubscribedT,
}

/// Claims a registered subscription.
pub(crate) fn begin(hub: &Hub, id: &str) -> Option<Driver> {
    let (claim, subscription) = hub.begin(id)?;
    Some(Driver { claim, subscription, done: SubscribedT::default() })
}

fn ended() -> FailedT {
    failed(FailureCode::Closed, "the subscription has ended", false)
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
    ///
    /// When another driver takes over, the subscription is in good hands: what was done until then
    /// is the answer.
    pub(crate) async fn run(mut self, shared: &Arc<Shared>) -> Result<SubscribedT, FailedT> {
        match self.drive(shared).await {
            Err(_) if self.is_replaced(&shared.hub) => Ok(self.done),
            Err(failed) => Err(failed),
            Ok(()) => Ok(self.done),
        }
    }

    /// Whether the subscription is there, and another driver has it.
    fn is_replaced(&self, hub: &Hub) -> bool {
        let id = &self.subscription.id;
        hub.cursor(id, self.claim).is_none() && hub.progress(id).is_some()
    }

    async fn drive(&mut self, shared: &Arc<Shared>) -> Result<(), FailedT> {
        if !self.subscription.cache_done {
            self.replay(shared).await?;
        }
        if self.subscription.plan.use_relays && !self.subscription.relays_asked {
            self.done.relays = self.ask_relays(shared).await?;
        }
        // The deadline of whoever asked them ended with the claim.
        let id = &self.subscription.id;
        if shared.hub.is_waiting_for_relays(id, self.claim) {
            set_deadline(shared, Arc::clone(id), self.claim);
        }
        Ok(())
    }

    async fn replay(&mut self, shared: &Shared) -> Result<(), FailedT> {
        let (hub, id) = (&shared.hub, Arc::clone(&self.subscription.id));
        let id = &*id;
        loop {
            // The reader sets the pace: a page is fetched when there is room for it.
            hub.room_for_page(id, self.claim, PAGE_EVENTS).await;
            let cursor = hub.cursor(id, self.claim).ok_or_else(ended)?;
            let page = self.page(shared, cursor).await?;
            let is_last = !page.more || page.events.is_empty();
            let rows = PackedEvents::read(page.events)
                .map(|row| Ok(Verified::attest(row?.to_event(), Attestation::FromStore)))
                .collect::<Result<Vec<_>, PackedError>>()
                .map_err(|error| failed(FailureCode::Worker, error, false))?;
            self.done.cached += hub.cache_page(id, self.claim, rows).ok_or_else(ended)? as u64;
            if is_last {
                return if hub.cache_done(id, self.claim) { Ok(()) } else { Err(ended()) };
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
        let answer = match shared.neighbours.cache(request).await {
            Ok(CacheMessageT::RelaysAsked(asked)) => {
                let RelaysAskedT { relays } = *asked;
                let is_there = shared.hub.relays_asked(id, relays.iter().map(String::as_str));
                if is_there { Ok(relays) } else { Err(ended()) }
            }
            Ok(_) => Err(wrong_answer()),
            Err(error) => Err(error),
        };
        if answer.is_err() {
            // If it has ended meanwhile, relays may have been told so before they were asked.
            shared.hub.put_back(id);
        }
        answer
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
