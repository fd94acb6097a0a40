//! What waits for one relay.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use nipworker_protocol::EventId;

use super::IN_FLIGHT_PER_RELAY_MAX;

/// The events that one relay still needs, by the time when they are due.
#[derive(Debug, Default)]
pub(super) struct RelayQueue {
    due: BTreeSet<(Duration, EventId)>,
    waiting: BTreeMap<EventId, Duration>,
    in_flight: BTreeSet<EventId>,
    /// Tries in a row that found no connection.
    pub(super) failures: u32,
    /// Until then the relay is left alone.
    hold: Duration,
}

impl RelayQueue {
    pub(super) fn add(&mut self, due: Duration, event: EventId) {
        self.remove(&event);
        self.due.insert((due, event));
        self.waiting.insert(event, due);
    }

    /// Takes an event out; `true` when a try of it is under way.
    pub(super) fn remove(&mut self, event: &EventId) -> bool {
        if let Some(due) = self.waiting.remove(event) {
            self.due.remove(&(due, *event));
        }
        self.in_flight.remove(event)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.due.is_empty() && self.in_flight.is_empty()
    }

    /// A relay that could not be reached last time is tried with one event first.
    fn places(&self) -> usize {
        let most = if self.failures > 0 { 1 } else { IN_FLIGHT_PER_RELAY_MAX };
        most.saturating_sub(self.in_flight.len())
    }

    /// When the next try may be made; `None` while none may.
    pub(super) fn next(&self) -> Option<Duration> {
        let (due, _) = self.due.first().filter(|_| self.places() > 0)?;
        Some((*due).max(self.hold))
    }

    pub(super) fn take(&mut self, now: Duration) -> Option<EventId> {
        if self.next().is_none_or(|at| at > now) {
            return None;
        }
        let (_, event) = self.due.pop_first()?;
        self.waiting.remove(&event);
        self.in_flight.insert(event);
        Some(event)
    }

    /// There was no connection: nobody tries before then.
    pub(super) fn unreachable(&mut self, until: Duration) {
        self.failures = self.failures.saturating_add(1);
        self.hold = until;
    }

    /// The relay was heard.
    pub(super) fn reached(&mut self) {
        self.failures = 0;
        self.hold = Duration::ZERO;
    }

    /// Makes those due at once that `which` names.
    pub(super) fn hasten(&mut self, now: Duration, which: impl Fn(&EventId) -> bool) {
        let late: Vec<_> =
            self.due.iter().filter(|(at, event)| *at > now && which(event)).copied().collect();
        for (_, event) in late {
            self.add(now, event);
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }
}
