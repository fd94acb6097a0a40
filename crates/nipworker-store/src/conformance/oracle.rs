//! The naive twin: the rules said once more, as searches through a list.

use std::collections::{HashMap, HashSet};

use nipworker_protocol::{Coordinate, Event, Filter, KindClass, PublicKey, Tag, Verified, kinds};

use crate::{Position, PutOutcome};

/// A store that keeps a list and searches it for everything.
#[derive(Debug, Default)]
pub struct NaiveStore {
    held: Vec<Event>,
    requests: Vec<Event>,
    vanished: HashMap<PublicKey, i64>,
}

impl NaiveStore {
    /// Holds nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is held, in no order.
    pub fn held(&self) -> &[Event] {
        &self.held
    }

    /// Takes one event in.
    pub fn put(&mut self, event: &Verified<Event>, now: i64) -> PutOutcome {
        if event.is_expired(now) {
            return PutOutcome::Expired;
        }
        if KindClass::of(event.kind) == KindClass::Ephemeral {
            return PutOutcome::Ephemeral;
        }
        if self.has_vanished(event) {
            return PutOutcome::Deleted;
        }
        if self.held.iter().any(|held| held.id == event.id) {
            return PutOutcome::Duplicate;
        }
        if self.requests.iter().any(|request| deletes(request, event)) {
            return PutOutcome::Deleted;
        }
        if let Some(address) = Coordinate::of(event)
            && let Some(rival) =
                self.held.iter().position(|held| Coordinate::of(held).as_ref() == Some(&address))
        {
            let rival_wins = self.held[rival].created_at > event.created_at
                || (self.held[rival].created_at == event.created_at
                    && self.held[rival].id < event.id);
            if rival_wins {
                return PutOutcome::Superseded { by: self.held[rival].id };
            }
            self.held.remove(rival);
        }
        self.held.push((**event).clone());
        if event.kind == kinds::DELETION {
            self.held.retain(|held| !deletes(event, held));
            self.requests.push((**event).clone());
        }
        let all = Tag::new(["relay", "ALL_RELAYS"]);
        if event.kind == kinds::VANISH && event.tags.contains(&all) {
            self.vanish(event.pubkey, event.created_at);
        }
        PutOutcome::Stored
    }

    /// Forgets an author and keeps what comes away; says how many events were removed.
    pub fn vanish(&mut self, author: PublicKey, until: i64) -> u64 {
        let mark = self.vanished.entry(author).or_insert(until);
        *mark = until.max(*mark);
        let before = self.held.len();
        let held = std::mem::take(&mut self.held);
        self.held = held.into_iter().filter(|event| !self.has_vanished(event)).collect();
        (before - self.held.len()) as u64
    }

    fn has_vanished(&self, event: &Event) -> bool {
        let gone = |who: &PublicKey| {
            self.vanished.get(who).is_some_and(|until| event.created_at <= *until)
        };
        let is_wrap_for_gone = event.kind == kinds::GIFT_WRAP
            && event.tags.iter().any(|tag| {
                tag.name() == "p"
                    && tag
                        .value()
                        .and_then(|p| PublicKey::from_hex(p).ok())
                        .is_some_and(|p| gone(&p))
            });
        event.kind != kinds::VANISH && (gone(&event.pubkey) || is_wrap_for_gone)
    }

    /// Removes what answers `filters` and says how many events that were.
    pub fn delete(&mut self, filters: &[Filter], now: i64) -> u64 {
        let before = self.held.len();
        self.held.retain(|event| event.is_expired(now) || !Filter::any_matches(filters, event));
        (before - self.held.len()) as u64
    }

    /// All that answers `filters`, in the order of answers.
    pub fn query(&self, filters: &[Filter], now: i64) -> Vec<Event> {
        let mut wanted = HashSet::new();
        for filter in filters {
            let mut matching: Vec<&Event> = self
                .held
                .iter()
                .filter(|event| !event.is_expired(now) && filter.matches(event))
                .collect();
            matching.sort_by_key(|event| Position::of(event));
            matching.truncate(filter.limit.unwrap_or(usize::MAX));
            wanted.extend(matching.iter().map(|event| event.id));
        }
        let mut found: Vec<Event> =
            self.held.iter().filter(|event| wanted.contains(&event.id)).cloned().collect();
        found.sort_by_key(Position::of);
        found
    }

    /// Removes what has expired and says how many events that were.
    pub fn sweep(&mut self, now: i64) -> u64 {
        let before = self.held.len();
        self.held.retain(|event| !event.is_expired(now));
        (before - self.held.len()) as u64
    }
}

/// Whether `request` asks for the deletion of `event` and may (NIP-09).
fn deletes(request: &Event, event: &Event) -> bool {
    if request.pubkey != event.pubkey || matches!(event.kind, kinds::DELETION | kinds::VANISH) {
        return false;
    }
    let id = event.id.to_hex();
    let address = Coordinate::of(event).map(|address| address.to_string());
    request.tags.iter().any(|tag| match tag.name() {
        "e" => tag.value() == Some(id.as_str()),
        "a" => {
            address.is_some()
                && tag.value() == address.as_deref()
                && event.created_at <= request.created_at
        }
        _ => false,
    })
}
