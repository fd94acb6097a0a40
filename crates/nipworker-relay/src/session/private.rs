//! Subscriptions for private messages, at a relay that asks who we are.
//!
//! Some relays serve private messages only to those whom they know (NIP-42), and leave them out in
//! silence for everybody else: no `CLOSED` tells that something is missing. So what may bring such
//! messages is not taken for answered while we are about to say who we are, and is asked again
//! once the relay knows. Not all relays answer an `AUTH` that they accept: once it is sent, a
//! moment has to do.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use nipworker_protocol::{Filter, kinds};

use super::{RelaySession, subscriptions::Asked};
use crate::{Now, effect::Out};

/// Kinds that relays hide from whom they do not know: direct messages (NIP-04), channel mutes
/// (NIP-28) and gift wraps (NIP-59).
const PRIVATE_KINDS: [u16; 3] = [kinds::DIRECT_MESSAGE, 44, kinds::GIFT_WRAP];

/// How long an answer to `AUTH` is waited for before such messages are asked for all the same.
const ANSWER_MOMENT: Duration = Duration::from_secs(1);

/// What waits until the relay knows who we are, on the present connection.
#[derive(Default)]
pub(super) struct PutOff {
    names: BTreeSet<Arc<str>>,
    /// Until when; set by the first one, for all of the connection.
    until: Option<Duration>,
}

impl PutOff {
    pub(super) fn remove(&mut self, name: &str) {
        self.names.remove(name);
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.until.filter(|_| !self.names.is_empty())
    }
}

/// Whether a filter asks for such messages: it names their kinds, or asks for everything that
/// concerns somebody.
fn asks_for_private(filter: &Filter) -> bool {
    match &filter.kinds {
        Some(kinds) => kinds.iter().any(|kind| PRIVATE_KINDS.contains(kind)),
        None => filter.tags.keys().any(|letter| letter.as_char() == 'p'),
    }
}

impl RelaySession {
    /// We are about to say who we are. What has no complete answer yet waits for that: its
    /// deadlines go on.
    pub(super) fn put_off_private(&mut self, now: Now, out: &mut Out) {
        if !self.may_put_off(now) {
            return;
        }
        for name in self.private(|asked| matches!(asked, Asked::Open { missing: 1.., .. })) {
            let Some(subscription) = self.subscriptions.get_mut(&name) else { continue };
            subscription.turn_back();
            let asked = std::mem::replace(&mut subscription.asked, Asked::No);
            if let Asked::Open { wires, .. } = asked {
                self.get_off(&name, &wires, out);
            }
            self.put_off.names.insert(name);
        }
    }

    /// Whether the relay may soon know who we are. However often it asks, the wait ends once and
    /// for all on a connection.
    fn may_put_off(&mut self, now: Now) -> bool {
        if !self.auth.is_under_way() {
            return false;
        }
        let end = now.monotonic + self.config.auth.deadline;
        now.monotonic < *self.put_off.until.get_or_insert(end)
    }

    /// The relay's answer follows, or none does.
    pub(super) fn auth_was_sent(&mut self, now: Now) {
        if let Some(until) = &mut self.put_off.until {
            *until = (*until).min(now.monotonic + ANSWER_MOMENT);
        }
    }

    /// Whether this one waits until the relay knows who we are, instead of being asked now.
    pub(super) fn puts_off(&mut self, now: Now, name: &Arc<str>) -> bool {
        let asks = self
            .subscriptions
            .get(name)
            .is_some_and(|subscription| subscription.filters.iter().any(asks_for_private));
        let waits = asks && self.may_put_off(now);
        if waits {
            self.put_off.names.insert(Arc::clone(name));
        }
        waits
    }

    /// The time is over.
    pub(super) fn expire_put_off(&mut self, now: Now, out: &mut Out) {
        if self.put_off.next_deadline().is_some_and(|at| at <= now.monotonic) {
            self.ask_put_off(now, out);
        }
    }

    /// The relay will not know who we are: what it serves to everybody is asked for all the same.
    pub(super) fn ask_put_off(&mut self, now: Now, out: &mut Out) {
        for name in std::mem::take(&mut self.put_off.names) {
            self.enqueue(now, name, out);
        }
    }

    /// The relay knows who we are.
    pub(super) fn ask_private_again(&mut self, now: Now, out: &mut Out) {
        self.ask_put_off(now, out);
        let known = self.auth.successes();
        let before = |asked: &Asked| matches!(asked, Asked::Open { authenticated, .. } if *authenticated < known);
        let names = self.private(before);
        for name in &names {
            if let Some(subscription) = self.subscriptions.get_mut(name) {
                subscription.turn_back();
            }
        }
        self.wait_again(now, names, out);
    }

    fn private(&self, is_meant: impl Fn(&Asked) -> bool) -> Vec<Arc<str>> {
        let meant = self.subscriptions.values().filter(|subscription| {
            is_meant(&subscription.asked) && subscription.filters.iter().any(asks_for_private)
        });
        meant.map(|subscription| Arc::clone(&subscription.name)).collect()
    }
}
