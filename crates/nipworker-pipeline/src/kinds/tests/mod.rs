mod advisories;
mod defects;
mod money;
mod properties;
mod rows;
mod views;

use nipworker_protocol::{
    Coordinate, Event, EventId, EventLimits, PublicKey, Signature, Tag, UnsignedEvent,
};

use super::*;

pub(super) fn key(n: u8) -> PublicKey {
    PublicKey::from_bytes([n; 32])
}

pub(super) fn id(n: u8) -> EventId {
    EventId::from_bytes([n; 32])
}

/// 64 hex characters: an id, a key or a hash.
pub(super) fn hex(n: u8) -> String {
    id(n).to_hex()
}

pub(super) fn tags(tags: &[&[&str]]) -> Vec<Tag> {
    tags.iter().map(|tag| Tag::new(tag.iter().copied())).collect()
}

/// By key 1, with the right id and no right signature.
pub(super) fn event(kind: u16, tag_list: &[&[&str]], content: &str) -> Event {
    UnsignedEvent::new(key(1), 1_700_000_000, kind, tags(tag_list), content)
        .with_signature(Signature::from_bytes([0; 64]))
}

pub(super) fn flaw(event: &Event) -> Flaw {
    let error = ParsedKind::of(event).unwrap_err();
    assert_eq!(error.kind, event.kind);
    error.flaw
}

/// The view of an event, which must be of the named variant.
macro_rules! view {
    ($variant:ident, $event:expr) => {
        match ParsedKind::of($event).unwrap() {
            ParsedKind::$variant(view) => *view,
            other => panic!("{other:?}"),
        }
    };
}
pub(super) use view;

pub(super) fn real_events() -> Vec<Event> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/real-events.jsonl");
    let lines = std::fs::read_to_string(path).unwrap();
    let limits = EventLimits::default();
    lines.lines().map(|line| Event::from_json(line.as_bytes(), &limits).unwrap()).collect()
}

/// Base64 with the first byte of NIP-44 version 2, of `chars` characters.
pub(super) fn nip44_text(chars: usize) -> String {
    format!("Ag{}", "A".repeat(chars - 2))
}
