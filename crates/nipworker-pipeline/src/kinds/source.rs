//! What a view is made of.

use nipworker_protocol::{Coordinate, Event, PublicKey, Tag, UnsignedEvent};

use crate::content::Content;

/// The parts of an event that a view is read from. A rumor (NIP-59) has them too, though it has
/// no signature.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct Source<'a> {
    /// Author.
    pub pubkey: PublicKey,
    /// Unix seconds.
    pub created_at: i64,
    /// Kind number.
    pub kind: u16,
    /// Tags.
    pub tags: &'a [Tag],
    /// Text.
    pub content: &'a str,
}

impl<'a> Source<'a> {
    /// The text with the tags that explain it.
    pub fn text(&self) -> Content<'a> {
        Content::new(self.content, self.tags)
    }

    /// The address under the `d` tag, for addressable kinds.
    pub(super) fn address(&self) -> Coordinate {
        let identifier = super::tags::value(self.tags, "d").unwrap_or_default().to_owned();
        Coordinate { kind: self.kind, pubkey: self.pubkey, identifier }
    }
}

impl<'a> From<&'a Event> for Source<'a> {
    fn from(event: &'a Event) -> Self {
        let Event { pubkey, created_at, kind, tags, content, .. } = event;
        Self { pubkey: *pubkey, created_at: *created_at, kind: *kind, tags, content }
    }
}

impl<'a> From<&'a UnsignedEvent> for Source<'a> {
    fn from(event: &'a UnsignedEvent) -> Self {
        let UnsignedEvent { pubkey, created_at, kind, tags, content } = event;
        Self { pubkey: *pubkey, created_at: *created_at, kind: *kind, tags, content }
    }
}
