//! What the tests share.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use nipworker_protocol::{Event, EventId, EventLimits, PublicKey, Signature, Tag};
use proptest::prelude::*;

pub fn real_texts() -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/real-events.jsonl");
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

pub fn real_events() -> Vec<Event> {
    real_texts().iter().map(|text| read(text).unwrap()).collect()
}

pub fn read(text: &str) -> Result<Event, nipworker_protocol::EventError> {
    Event::from_json(text.as_bytes(), &EventLimits::default())
}

pub fn event() -> Event {
    Event {
        id: EventId::from_bytes([1; 32]),
        pubkey: PublicKey::from_bytes([2; 32]),
        created_at: 1_700_000_000,
        kind: 1,
        tags: vec![Tag::new(["e", "x"]), Tag::new(["t", "y", "z"])],
        content: "hello".to_owned(),
        sig: Signature::from_bytes([3; 64]),
    }
}

/// Text with everything that JSON escapes, and beyond the first plane.
pub fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => any::<char>().prop_map(String::from),
        4 => "[ -~]{0,8}",
        2 => (0..0x20_u8).prop_map(|c| char::from(c).to_string()),
        1 => Just("\u{7f}".to_owned()),
        1 => Just("\u{2028}\u{2029}".to_owned()),
        1 => Just("\\u0041\\n\"".to_owned()),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

pub fn tag() -> impl Strategy<Value = Tag> {
    proptest::collection::vec(text(), 0..4).prop_map(Tag)
}

pub fn any_event() -> impl Strategy<Value = Event> {
    let keys = (any::<[u8; 32]>(), any::<[u8; 32]>(), any::<[u8; 32]>(), any::<[u8; 32]>());
    let rest = (any::<i64>(), any::<u16>(), proptest::collection::vec(tag(), 0..5), text());
    (keys, rest).prop_map(|((id, key, r, s), (created_at, kind, tags, content))| {
        let mut sig = [0; 64];
        sig[..32].copy_from_slice(&r);
        sig[32..].copy_from_slice(&s);
        Event {
            id: EventId::from_bytes(id),
            pubkey: PublicKey::from_bytes(key),
            created_at,
            kind,
            tags,
            content,
            sig: Signature::from_bytes(sig),
        }
    })
}
