//! How long a subscription waited, for its statistics.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::types::HubClock;

#[derive(Debug)]
pub(super) struct Times {
    clock: Option<HubClock>,
    opened: Duration,
    asked: Option<Duration>,
    /// When a relay had sent all it had, since the subscription was opened.
    done: BTreeMap<Arc<str>, Duration>,
    pub(super) first_event_ms: Option<u64>,
    pub(super) complete_ms: Option<u64>,
}

impl Times {
    pub(super) fn new(clock: Option<HubClock>) -> Self {
        let opened = clock.as_ref().map(HubClock::now).unwrap_or_default();
        Self {
            clock,
            opened,
            asked: None,
            done: BTreeMap::new(),
            first_event_ms: None,
            complete_ms: None,
        }
    }

    fn since_opened(&self) -> Option<Duration> {
        Some(self.clock.as_ref()?.now().saturating_sub(self.opened))
    }

    pub(super) fn event(&mut self) {
        if self.first_event_ms.is_none() {
            self.first_event_ms = self.since_opened().map(milliseconds);
        }
    }

    pub(super) fn asked(&mut self) {
        self.asked = self.asked.or(self.since_opened());
    }

    /// The first time counts: a relay says it again after a reconnection.
    pub(super) fn relay_done(&mut self, relay: &Arc<str>) {
        if let Some(time) = self.since_opened() {
            self.done.entry(Arc::clone(relay)).or_insert(time);
        }
    }

    pub(super) fn complete(&mut self) {
        self.complete_ms = self.since_opened().map(milliseconds);
    }

    /// Since relays were asked. One that answered before that was noted took no time.
    pub(super) fn eose_ms(&self) -> BTreeMap<String, u64> {
        let asked = self.asked.unwrap_or_default();
        let took = |time: &Duration| milliseconds(time.saturating_sub(asked));
        self.done.iter().map(|(relay, time)| (relay.to_string(), took(time))).collect()
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
