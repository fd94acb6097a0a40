//! Subscriptions for private messages, at a relay that asks who we are.
//!
//! Some relays serve private messages only to those whom they know (NIP-42), and leave them out in
//! silence for everybody else: no `CLOSED` tells that something is missing. So what may bring such
//! messages is not taken for answered while we are about to say who we are, and is asked again
//! once the relay knows. Not all relays answer an `AUTH` that they accept: once it is sent, a
//! moment has to do.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use nipworker_protocol::{Filter, kinds};

use super::{RelaySession, subscriptions::Asked};
use crate::{Now, effect::Out};

/// Kinds that relays hide from whom they do not know: direct messages (NIP-04), channel mutes
/// (NIP-28) and gift wraps (NIP-59).
const PRIVATE_KINDS: [u16; 3] = [kinds::DIRECT_MESSAGE, 44, kinds::GIFT_WRAP];

/// How long an answer to `AUTH` is waited for before it is taken for a yes, as far as such messages
/// are concerned.
const ANSWER_MOMENT: Duration = Duration::from_secs(1);

/// What waits until the relay knows who we are, on the present connection.
#[derive(Default)]
pub(super) struct PutOff {
    /// Subscriptions, and until when each waits.
    names: BTreeMap<Arc<str>, Duration>,
    /// Until when any may wait; set by the first one, once and for all. However often a relay asks,
    /// nothing is held back for longer.
    until: Option<Duration>,
    /// When the silence of the relay is taken for a yes.
    answer_by: Option<Duration>,
}

impl PutOff {
    pub(super) fn has(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.names.remove(name);
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.names.values().copied().chain(self.answer_by).min()
    }
}

/// Whether a filter asks for such messages: it names their kinds, or asks for everything that
/// concerns somebody.
pub(super) fn asks_for_private(filter: &Filter) -> bool {
    match &filter.kinds {
        Some(kinds) => kinds.iter().any(|kind| PRIVATE_KINDS.contains(kind)),
        None => filter.tags.keys().any(|letter| letter.as_char() == 'p'),
    }
}

impl RelaySession {
    /// We are about to say who we are. What has no complete answer yet, or is still to be asked,
    /// waits for that: its deadlines go on.
    pub(super) fn put_off_private(&mut self, now: Now, out: &mut Out) {
        let names: Vec<Arc<str>> = self
            .subscriptions
            .values()
            .filter(|it| matches!(it.asked, Asked::Open { missing: 1.., .. } | Asked::No))
            .map(|it| Arc::clone(&it.name))
            .collect();
        for name in names {
            if !self.puts_off(now, &name) {
                continue;
            }
            self.waiting.remove(&name);
            let Some(subscription) = self.subscriptions.get_mut(&name) else { continue };
            if let Asked::Open { wires, .. } = std::mem::replace(&mut subscription.asked, Asked::No)
            {
                self.get_off(&name, &wires, out);
            }
        }
    }

    /// Whether this one waits until the relay knows who we are, instead of being asked now.
    pub(super) fn puts_off(&mut self, now: Now, name: &Arc<str>) -> bool {
        if !self.auth.is_under_way() || self.auth.knows_us() {
            return false;
        }
        let Some(subscription) = self.subscriptions.get(name).filter(|it| it.is_private()) else {
            return false;
        };
        let latest = now.monotonic + self.config.auth.deadline;
        let until = subscription.waits_until(*self.put_off.until.get_or_insert(latest));
        let waits = now.monotonic < until;
        if waits {
            self.put_off.names.insert(Arc::clone(name), until);
        }
        waits
    }

    /// One key was told to the relay. Once all are, its answer follows, or none does.
    pub(super) fn auth_was_sent(&mut self, now: Now) {
        if self.auth.is_told() {
            self.put_off.answer_by = Some(now.monotonic + ANSWER_MOMENT);
        }
    }

    /// What waits for too long is asked for as a stranger asks, and a silent relay as one that knows
    /// us.
    pub(super) fn expire_put_off(&mut self, now: Now, out: &mut Out) {
        let time = now.monotonic;
        if self.put_off.answer_by.take_if(|at| *at <= time).is_some() && self.auth.is_told() {
            self.auth.assume();
            self.ask_private_again(now, out);
        }
        let over: Vec<Arc<str>> =
            self.put_off.names.extract_if(.., |_, until| *until <= time).map(|it| it.0).collect();
        self.enqueue_all(now, over, out);
    }

    /// The relay knows us, or never will. Whatever waited for that is asked, and what was asked
    /// before it knew us is asked again.
    pub(super) fn ask_private_again(&mut self, now: Now, out: &mut Out) {
        let knows_us = self.auth.knows_us();
        if !knows_us && self.auth.is_under_way() {
            // Another key is still to come.
            return;
        }
        self.put_off.answer_by = None;
        let mut names: Vec<Arc<str>> =
            std::mem::take(&mut self.put_off.names).into_keys().collect();
        if knows_us {
            let hidden: Vec<Arc<str>> = self
                .subscriptions
                .values()
                .filter(|it| {
                    matches!(it.asked, Asked::Open { known: false, .. }) && it.is_private()
                })
                .map(|it| Arc::clone(&it.name))
                .collect();
            for name in &hidden {
                let Some(subscription) = self.subscriptions.get_mut(name) else { continue };
                let asked = std::mem::replace(&mut subscription.asked, Asked::No);
                if let Asked::Open { wires, .. } = asked {
                    self.get_off(name, &wires, out);
                }
            }
            names.extend(hidden);
        }
        self.enqueue_all(now, names, out);
    }

    /// All of them at once, so that those that ask the same share a REQ.
    fn enqueue_all(&mut self, now: Now, names: Vec<Arc<str>>, out: &mut Out) {
        if names.is_empty() {
            return;
        }
        for name in &names {
            if let Some(subscription) = self.subscriptions.get(name) {
                self.waiting.push(Arc::clone(name), subscription.close_on_eose);
            }
        }
        self.fill(now, out);
        self.tell_without_prospect(names, out);
    }
}
