//! What the driver of a subscription does: it reads the cache and asks relays for it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use nipworker_protocol::{Event, Filter, Verified};

use super::{
    config::Plan,
    registry::Hub,
    subscription::Subscription,
    types::{Claim, ReplayCursor},
};

/// How far a subscription has come, for a driver that takes over.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// Its name.
    pub id: Arc<str>,
    /// What it wants.
    pub filters: Arc<[Filter]>,
    /// Where from.
    pub plan: Plan,
    /// Whether the cache was read to its end.
    pub cache_done: bool,
    /// Whether relays were asked.
    pub relays_asked: bool,
}

impl Hub {
    /// Claims the right to drive a subscription; earlier claims end. `None` when there is no such
    /// subscription.
    pub fn begin(&self, id: &str) -> Option<(Claim, Progress)> {
        let shared = self.0.get(id)?;
        let claim = Claim(self.0.claims.fetch_add(1, Ordering::Relaxed) + 1);
        let begun = shared.with(|subscription| {
            subscription.begin(claim);
            (claim, progress(&shared.id, subscription))
        });
        // Who waited under an earlier claim learns that it has ended.
        shared.wake_waiters();
        self.remove_if_closed(&shared);
        Some(begun)
    }

    /// How far a subscription has come; `None` when there is no such subscription.
    pub fn progress(&self, id: &str) -> Option<Progress> {
        self.0.get(id).map(|shared| progress(&shared.id, &shared.lock().0))
    }

    /// Subscriptions that were begun and for which the cache was not read to its end or relays
    /// were not asked: what a new driver has to go on with.
    pub fn unfinished(&self) -> Vec<Progress> {
        let all = self.0.all().into_iter();
        all.filter_map(|shared| {
            let state = shared.lock();
            let subscription = &state.0;
            let is_unfinished = subscription.current_claim().is_some()
                && !(subscription.cache_done && subscription.relays_asked);
            is_unfinished.then(|| progress(&shared.id, subscription))
        })
        .collect()
    }

    /// Subscriptions that wait for relays to have sent all they had, each with the claim for
    /// [`Hub::deadline`].
    pub fn waiting_for_relays(&self) -> Vec<(Arc<str>, Claim)> {
        let all = self.0.all().into_iter();
        all.filter_map(|shared| {
            let state = shared.lock();
            let claim = state.0.current_claim()?;
            state.0.is_waiting_for_relays().then(|| (Arc::clone(&shared.id), claim))
        })
        .collect()
    }

    /// Where the next page of the cache begins; `None` when the claim has ended.
    pub fn cursor(&self, id: &str, claim: Claim) -> Option<ReplayCursor> {
        let shared = self.0.get(id)?;
        let state = shared.lock();
        state.0.holds(claim).then_some(state.0.cursor)
    }

    /// Hands over a page of rows, newest first as the cache gives them. Returns how many were new
    /// to the reader, or `None` when the claim has ended.
    pub fn cache_page(
        &self,
        id: &str,
        claim: Claim,
        rows: impl IntoIterator<Item = Verified<Event>>,
    ) -> Option<usize> {
        self.0.get(id)?.with(|subscription| {
            subscription.holds(claim).then(|| {
                rows.into_iter()
                    .filter_map(|row| subscription.cache_row(Arc::new(row)).then_some(()))
                    .count()
            })
        })
    }

    /// The cache has no more rows. Returns whether the claim still held.
    pub fn cache_done(&self, id: &str, claim: Claim) -> bool {
        let Some(shared) = self.0.get(id) else { return false };
        let held = shared.with(|subscription| {
            let holds = subscription.holds(claim);
            if holds {
                subscription.cache_done();
            }
            holds
        });
        self.remove_if_closed(&shared);
        held
    }

    /// These relays were asked. Returns whether the subscription is still there: when it is not,
    /// they are to be told.
    pub fn relays_asked<'a>(&self, id: &str, relays: impl IntoIterator<Item = &'a str>) -> bool {
        let Some(shared) = self.0.get(id) else { return false };
        shared.with(|subscription| subscription.relays_asked(relays));
        self.remove_if_closed(&shared);
        true
    }

    /// Whether a subscription waits for relays to have sent all they had, and the claim holds.
    pub fn is_waiting_for_relays(&self, id: &str, claim: Claim) -> bool {
        self.0.get(id).is_some_and(|shared| {
            let subscription = &shared.lock().0;
            subscription.holds(claim) && subscription.is_waiting_for_relays()
        })
    }

    /// How long relays have for what they have stored, where the subscription says so.
    pub fn relay_deadline(&self, id: &str) -> Option<Duration> {
        self.0.get(id)?.with(|subscription| subscription.plan.relay_deadline)
    }

    /// The relays had time enough: those that have not answered count as failed. No effect when
    /// the claim has ended.
    pub fn deadline(&self, id: &str, claim: Claim) {
        let Some(shared) = self.0.get(id) else { return };
        shared.with(|subscription| {
            if subscription.holds(claim) {
                subscription.deadline();
            }
        });
        self.remove_if_closed(&shared);
    }
}

fn progress(id: &Arc<str>, subscription: &Subscription) -> Progress {
    Progress {
        id: Arc::clone(id),
        filters: Arc::clone(&subscription.filters),
        plan: subscription.plan.clone(),
        cache_done: subscription.cache_done,
        relays_asked: subscription.relays_asked,
    }
}
