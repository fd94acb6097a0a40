//! Events for tests: signed here, or the real ones of the repository.

use nipworker_core::protocol::{Event, Tag, UnsignedEvent};
use nipworker_signer::PrivateKeySigner;

/// Text of the file of real events, one a line.
pub(crate) fn real_events() -> String {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/real-events.jsonl");
    std::fs::read_to_string(file).unwrap()
}

pub(crate) fn signer(number: u8) -> PrivateKeySigner {
    PrivateKeySigner::parse(&format!("{number:064x}")).unwrap()
}

/// A signed event.
pub(crate) fn event(
    author: u8,
    kind: u16,
    created_at: i64,
    tags: &[&[&str]],
    content: &str,
) -> Event {
    let signer = signer(author);
    let tags = tags.iter().map(|tag| Tag::new(tag.iter().copied())).collect();
    signer.sign_now(UnsignedEvent::new(signer.key(), created_at, kind, tags, content)).unwrap()
}

/// A signed text note.
pub(crate) fn note(content: &str) -> Event {
    event(1, 1, 1_700_000_000, &[], content)
}
