//! Subscriptions for private messages, at a relay that asks who we are.
//!
//! Some relays serve private messages only to those whom they know (NIP-42), and leave them out in
//! silence for everybody else: no `CLOSED` tells that something is missing. So what may bring such
//! messages is not taken for answered while we are about to say who we are, and is asked again
//! once the relay knows.

use std::sync::Arc;

use nipworker_protocol::{Filter, kinds};

use super::{RelaySession, subscriptions::Asked};
use crate::{Now, effect::Out};

/// Kinds that relays hide from whom they do not know: direct messages (NIP-04), channel mutes
/// (NIP-28) and gift wraps (NIP-59).
const PRIVATE_KINDS: [u16; 3] = [kinds::DIRECT_MESSAGE, 44, kinds::GIFT_WRAP];

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
    pub(super) fn put_off_private(&mut self, out: &mut Out) {
        for name in self.private(|asked| matches!(asked, Asked::Open { missing: 1.., .. })) {
            let Some(subscription) = self.subscriptions.get_mut(&name) else { continue };
            subscription.turn_back();
            let asked = std::mem::replace(&mut subscription.asked, Asked::No);
            if let Asked::Open { wires, .. } = asked {
                self.get_off(&name, &wires, out);
            }
            self.put_off.insert(name);
        }
    }

    /// Whether this one waits until the relay knows who we are, instead of being asked now.
    pub(super) fn puts_off(&mut self, name: &Arc<str>) -> bool {
        let Some(subscription) = self.subscriptions.get(name) else { return false };
        let waits = self.auth.is_under_way() && subscription.filters.iter().any(asks_for_private);
        if waits {
            self.put_off.insert(Arc::clone(name));
        }
        waits
    }

    /// The relay will not know who we are: what it serves to everybody is asked for all the same.
    pub(super) fn ask_put_off(&mut self, now: Now, out: &mut Out) {
        for name in std::mem::take(&mut self.put_off) {
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
