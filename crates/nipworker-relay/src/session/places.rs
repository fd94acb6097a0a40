//! Who waits for a place among the REQs that one relay holds open at once.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use super::{RelaySession, Subscription};

/// Subscriptions without a place, each kind first come first served.
///
/// Live subscriptions come before queries, because they may not take every place
/// ([`RelayConfig::live_places`](crate::RelayConfig::live_places)): so neither kind can shut the
/// other out.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    live: VecDeque<Arc<str>>,
    queries: VecDeque<Arc<str>>,
}

impl Waiting {
    pub(super) fn new(subscriptions: &BTreeMap<Arc<str>, Subscription>) -> Self {
        let mut waiting = Self::default();
        for (name, subscription) in subscriptions {
            waiting.push(Arc::clone(name), subscription.close_on_eose);
        }
        waiting
    }

    pub(super) fn push(&mut self, name: Arc<str>, is_query: bool) {
        if is_query { self.queries.push_back(name) } else { self.live.push_back(name) }
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.live.retain(|waiting| **waiting != *name);
        self.queries.retain(|waiting| **waiting != *name);
    }

    pub(super) fn len(&self) -> usize {
        self.live.len() + self.queries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Live subscriptions, in their order.
    pub(super) fn live(&self) -> impl Iterator<Item = &Arc<str>> {
        self.live.iter()
    }

    /// Who gets the next free place.
    pub(super) fn next(&mut self, room_for_live: bool) -> Option<Arc<str>> {
        let live = if room_for_live { self.live.pop_front() } else { None };
        live.or_else(|| self.queries.pop_front())
    }
}

impl RelaySession {
    /// Places that live subscriptions have taken.
    pub(super) fn live_places_taken(&self) -> usize {
        let is_live = |name: &Arc<str>| {
            self.subscriptions.get(name).is_some_and(|subscription| !subscription.close_on_eose)
        };
        self.wire.values().filter(|name| is_live(name)).count()
    }

    /// Why a subscription without a place is not asked, for its subscriber.
    pub(super) fn waits(&self, is_query: bool) -> String {
        if is_query {
            let places = self.config.max_open_subscriptions;
            format!("waits for one of {places} places at this relay")
        } else {
            let places = self.config.live_places();
            format!("waits for one of {places} places for live subscriptions at this relay")
        }
    }
}
