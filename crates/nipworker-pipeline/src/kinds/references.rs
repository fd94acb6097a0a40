//! What an event points at, as filters to ask for it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use nipworker_protocol::{Coordinate, EventId, Filter, PublicKey, RelayUrl, kinds};

use super::{AddressRef, EventRef, ProfileRef, Source};
use crate::content::{BlockKind, Entity, MAX_RELAY_HINTS};

/// People, events and addresses that are kept of one event, each: one follow list must not
/// become ten thousand questions. [`References::left_out`] counts the rest.
pub const MAX_REFERENCES: usize = 500;

/// What an event points at: in its tags (`e`, `E`, `q`, `p`, `P`, `a`, `A`) and, where its text is
/// not encrypted, in the mentions of its text (NIP-27). Each once, with at most
/// [`MAX_RELAY_HINTS`] relays that it may be found on. Nothing was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct References {
    /// Keys of people.
    pub people: Vec<Reference<PublicKey>>,
    /// Events by id.
    pub events: Vec<Reference<EventId>>,
    /// Replaceable and addressable events.
    pub addresses: Vec<Reference<Coordinate>>,
    /// References beyond [`MAX_REFERENCES`] of a sort.
    pub left_out: usize,
}

/// Something that is pointed at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference<T> {
    /// What.
    pub target: T,
    /// Where it may be found, as strangers wrote it.
    pub relays: Vec<RelayUrl>,
}

impl References {
    /// Of an event or a rumor (`(&event).into()`).
    pub fn of(source: Source<'_>) -> Self {
        let mut people = Found::default();
        let mut events = Found::default();
        let mut addresses = Found::default();
        for tag in source.tags {
            match tag.name() {
                "p" | "P" => {
                    if let Some(person) = ProfileRef::of(tag) {
                        people.add(person.pubkey, person.relay.and_then(|hint| hint.url()));
                    }
                }
                "e" | "E" | "q" => {
                    if let Some(event) = EventRef::of(tag) {
                        events.add(event.id, event.relay.and_then(|hint| hint.url()));
                    } else if let Some(it) = AddressRef::of(tag) {
                        addresses.add(it.address, it.relay.and_then(|hint| hint.url()));
                    }
                }
                "a" | "A" => {
                    if let Some(it) = AddressRef::of(tag) {
                        addresses.add(it.address, it.relay.and_then(|hint| hint.url()));
                    }
                }
                _ => {}
            }
        }
        // Base64 and JSON mention nobody.
        let has_words = !matches!(source.kind, 0 | 3 | 4 | 6 | 13 | 16 | 1_059 | 21_059);
        let blocks = if has_words { source.text().blocks() } else { Vec::new() };
        for block in blocks {
            let BlockKind::Mention(entity) = block.what else { continue };
            match *entity {
                Entity::PublicKey(pubkey) => people.add(pubkey, []),
                Entity::Profile { pubkey, relays } => people.add(pubkey, relays),
                Entity::Note(id) => events.add(id, []),
                Entity::Event { id, relays, .. } => events.add(id, relays),
                Entity::Address { address, relays } => addresses.add(address, relays),
            }
        }
        Self {
            left_out: people.left_out + events.left_out + addresses.left_out,
            people: people.list,
            events: events.list,
            addresses: addresses.list,
        }
    }

    /// What to ask for: the profiles (kind 0) of the people, the events, and the newest version
    /// under each address. Empty when the event points at nothing. One filter for all people, one
    /// for all events, and one for all addresses of an author and a kind.
    pub fn filters(&self) -> Vec<Filter> {
        let mut filters = Vec::new();
        if !self.people.is_empty() {
            let authors = self.people.iter().map(|person| person.target);
            filters.push(Filter::new().kinds([kinds::METADATA]).authors(authors));
        }
        if !self.events.is_empty() {
            filters.push(Filter::new().ids(self.events.iter().map(|event| event.target)));
        }
        let mut sets: BTreeMap<(PublicKey, u16), BTreeSet<&str>> = BTreeMap::new();
        for Reference { target, .. } in &self.addresses {
            sets.entry((target.pubkey, target.kind)).or_default().insert(&target.identifier);
        }
        for ((author, kind), identifiers) in sets {
            let filter = Filter::new().kinds([kind]).authors([author]);
            // Replaceable kinds have no `d` tag.
            let is_plain = identifiers.iter().all(|identifier| identifier.is_empty());
            let is_plain = is_plain && kind < 30_000;
            filters.push(if is_plain { filter } else { filter.tag('d', identifiers) });
        }
        filters
    }
}

struct Found<T> {
    list: Vec<Reference<T>>,
    places: HashMap<T, usize>,
    left_out: usize,
}

impl<T> Default for Found<T> {
    fn default() -> Self {
        Self { list: Vec::new(), places: HashMap::new(), left_out: 0 }
    }
}

impl<T: Clone + Eq + std::hash::Hash> Found<T> {
    fn add(&mut self, target: T, relays: impl IntoIterator<Item = RelayUrl>) {
        let place = match self.places.get(&target) {
            Some(place) => *place,
            None if self.list.len() >= MAX_REFERENCES => {
                self.left_out += 1;
                return;
            }
            None => {
                self.places.insert(target.clone(), self.list.len());
                self.list.push(Reference { target, relays: Vec::new() });
                self.list.len() - 1
            }
        };
        let Some(known) = self.list.get_mut(place) else { return };
        for relay in relays {
            if known.relays.len() < MAX_RELAY_HINTS && !known.relays.contains(&relay) {
                known.relays.push(relay);
            }
        }
    }
}
