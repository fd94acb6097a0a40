//! Long texts (kinds 30023 and 30024; NIP-23).

use nipworker_protocol::{Coordinate, RelayUrl};

use super::{Flaw, Source, tags};
use crate::content::{Content, Entity, Nip19Error};

/// Kind of a draft.
pub(super) const DRAFT: u16 = 30_024;

/// A long text in Markdown.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Article<'a> {
    /// Its address; the `d` tag is often called slug.
    pub address: Coordinate,
    /// Whether it is a draft (kind 30024).
    pub is_draft: bool,
    /// The title.
    pub title: Option<&'a str>,
    /// The summary.
    pub summary: Option<&'a str>,
    /// A picture.
    pub image: Option<&'a str>,
    /// Where it stands outside Nostr.
    pub canonical: Option<&'a str>,
    /// When it was first published, unix seconds; the event's time is that of the last change.
    pub published_at: Option<i64>,
    /// Topics, each once.
    pub hashtags: Vec<&'a str>,
    /// The Markdown text. [`Content::markdown`] cuts it into headings, paragraphs and the rest.
    #[serde(serialize_with = "super::json::markdown")]
    pub content: Content<'a>,
}

impl<'a> Article<'a> {
    pub(super) fn read(source: Source<'a>) -> Result<Self, Flaw> {
        let text = |name| tags::value(source.tags, name);
        Ok(Self {
            address: source.address(),
            is_draft: source.kind == DRAFT,
            title: text("title"),
            summary: text("summary"),
            image: text("image"),
            canonical: text("canonical"),
            published_at: tags::time(source.tags, "published_at"),
            hashtags: tags::hashtags(source.tags),
            content: source.text(),
        })
    }

    /// Its name in bech32 (`naddr1…`, NIP-19), with hints where it is found.
    ///
    /// # Errors
    /// [`Nip19Error::TooLong`]: a `d` tag or relay URL of more than 255 bytes.
    pub fn naddr(&self, relays: Vec<RelayUrl>) -> Result<String, Nip19Error> {
        Entity::Address { address: self.address.clone(), relays }.to_bech32()
    }
}
