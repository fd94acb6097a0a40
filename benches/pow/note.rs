//! The notes that are mined.

use std::str::FromStr;

use nipworker_protocol::{PublicKey, Tag, UnsignedEvent};

/// Unix seconds that every note is written at.
pub(crate) const WRITTEN_AT: i64 = 1_700_000_000;
/// The point that everybody knows: it is nobody's key.
const AUTHOR: &str = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
const TEXT: &str = "The quick brown fox jumps over the lazy dog and mines a note. ";

/// A text note of a given size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Note {
    /// Length of its content, in bytes; none of them is escaped.
    pub(crate) content: usize,
    /// Number of `e` tags before the nonce.
    pub(crate) e_tags: usize,
}

impl Note {
    pub(crate) const fn new(content: usize, e_tags: usize) -> Self {
        Self { content, e_tags }
    }

    /// The note as our engine takes it.
    pub(crate) fn event(self) -> UnsignedEvent {
        let content: String = TEXT.chars().cycle().take(self.content).collect();
        let tags = (0..self.e_tags).map(|n| Tag::new(["e".to_owned(), format!("{n:064x}")]));
        UnsignedEvent::new(author(), WRITTEN_AT, 1, tags.collect(), content)
    }

    /// The note in JSON, without an id.
    pub(crate) fn json(self) -> serde_json::Value {
        let event = self.event();
        let tags: Vec<_> = event.tags.iter().map(|tag| tag.0.clone()).collect();
        serde_json::json!({
            "pubkey": AUTHOR,
            "created_at": event.created_at,
            "kind": 1,
            "tags": tags,
            "content": event.content,
        })
    }

    /// The note as rust-nostr takes it.
    pub(crate) fn for_rust_nostr(self) -> nostr::event::UnsignedEvent {
        serde_json::from_value(self.json()).expect("rust-nostr reads a plain note")
    }
}

fn author() -> PublicKey {
    PublicKey::from_str(AUTHOR).expect("64 hexadecimal digits")
}

/// Asserts that the event's last tag is a nonce and that its id, by rust-nostr, has `bits`
/// leading zero bits.
pub(crate) fn assert_mined(event: &UnsignedEvent, bits: u8, by: &str) {
    let tag = event.tags.last().expect("a mined note has a tag");
    assert_eq!(tag.name(), "nonce", "{by} puts the nonce last");
    let json = serde_json::to_value(event).expect("an event has a JSON form");
    let theirs: nostr::event::UnsignedEvent =
        serde_json::from_value(json).expect("rust-nostr reads it");
    let id = theirs.compute_id();
    assert_eq!(id.as_bytes(), event.compute_id().as_bytes(), "{by}: both agree on the id");
    assert!(id.check_pow(bits), "{by}: {id} has less than {bits} bits");
}
