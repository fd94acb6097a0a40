//! Who waits for a place among the REQs that one relay holds open at once, and how many places
//! there are.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::Arc,
};

use super::{RelaySession, Subscription};
use crate::RelayConfig;

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

    /// Removes each of `names` in one walk.
    pub(super) fn remove_all(&mut self, names: &[Arc<str>]) {
        let names: HashSet<&str> = names.iter().map(|name| &**name).collect();
        self.live.retain(|waiting| !names.contains(&**waiting));
        self.queries.retain(|waiting| !names.contains(&**waiting));
    }

    pub(super) fn len(&self) -> usize {
        self.live.len() + self.queries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Those of one kind, in their order.
    pub(super) fn of_kind(&self, is_query: bool) -> &VecDeque<Arc<str>> {
        if is_query { &self.queries } else { &self.live }
    }

    /// Who gets the next free place.
    pub(super) fn next(&mut self, room_for_live: bool) -> Option<Arc<str>> {
        let live = if room_for_live { self.live.pop_front() } else { None };
        live.or_else(|| self.queries.pop_front())
    }
}

/// Words that say that there are too many REQs, in a CLOSED or a NOTICE. Relays word it as they
/// like: `too many concurrent REQs`, `Maximum concurrent subscription count reached`,
/// `subscription limit`.
const FULL: [&str; 5] = ["too many", "maximum", "max ", "limit", "exceeded"];
/// Words that say what there are too many of.
const OF_REQS: [&str; 3] = ["concurrent req", "subscription", "reqs"];

/// Whether a text of a relay says that too many REQs are open.
pub(super) fn says_full(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    has(&FULL) && has(&OF_REQS)
}

impl RelaySession {
    /// REQs that may be open at once: the least of what is configured, what the relay's document
    /// says, and what it showed by refusing.
    pub(super) fn places(&self) -> usize {
        let said = self.information.limits.max_subscriptions;
        let shown = self.shown_places;
        [said, shown].into_iter().flatten().fold(self.config.max_open_subscriptions, usize::min)
    }

    /// Of these, how many live subscriptions may take.
    pub(super) fn live_places(&self) -> usize {
        RelayConfig::live_places_of(self.places())
    }

    /// Places that live subscriptions have taken.
    pub(super) fn live_places_taken(&self) -> usize {
        self.wire.values().filter(|carrier| carrier.is_live).count()
    }

    /// The relay refused a REQ because there are too many: there are fewer places from now on.
    /// `open` counts those that it did not refuse.
    pub(super) fn lower_places(&mut self, open: usize) {
        let shown = open.max(1);
        if shown < self.places() {
            self.shown_places = Some(shown);
            self.stats.places_lowered.increment();
        }
    }

    /// Why a subscription without a place is not asked, for its subscriber.
    pub(super) fn waits(&self, is_query: bool) -> String {
        if is_query {
            let places = self.places();
            format!("waits for one of {places} places at this relay")
        } else {
            let places = self.live_places();
            format!("waits for one of {places} places for live subscriptions at this relay")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_full_relays_are_understood() {
        for full in [
            "ERROR: too many concurrent REQs",
            "error: Maximum concurrent subscription count reached",
            "blocked: subscription limit reached",
            "rate-limited: too many subscriptions",
            "max subscriptions exceeded",
        ] {
            assert!(says_full(full), "{full}");
        }
        for other in
            ["rate-limited: slow down", "invalid: too many filters", "error: shutting down"]
        {
            assert!(!says_full(other), "{other}");
        }
    }
}
