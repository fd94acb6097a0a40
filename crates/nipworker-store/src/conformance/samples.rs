//! Events to test with. Ids are real, signatures are not: a store takes a [`Verified`] on trust.

use nipworker_protocol::{Attestation, Event, PublicKey, Signature, Tag, UnsignedEvent, Verified};

/// A moment to test at, unix seconds.
pub const NOW: i64 = 1_700_000_000;

/// The author with this number.
pub fn author(number: u8) -> PublicKey {
    PublicKey::from_bytes([number; 32])
}

/// An event of author number `by`.
pub fn event(by: u8, created_at: i64, kind: u16, tags: &[&[&str]], content: &str) -> Verified {
    let tags = tags.iter().map(|tag| Tag::new(tag.iter().copied())).collect();
    let event = UnsignedEvent::new(author(by), created_at, kind, tags, content)
        .with_signature(Signature::from_bytes([by; Signature::LEN]));
    Verified::attest(event, Attestation::Checked)
}

/// A text note of author number `by`.
pub fn note(by: u8, created_at: i64, content: &str) -> Verified<Event> {
    event(by, created_at, 1, &[], content)
}
