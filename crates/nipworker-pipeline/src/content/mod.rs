//! What a text is made of: mentions, links, hashtags, emoji, invoices.
//!
//! [`Content::blocks`] cuts a text into blocks. **Put together, the `raw` of all blocks is the text
//! again, byte for byte**: nothing is lost or rewritten, so whoever does not know a block shows
//! its `raw`. One pass over the text, in time that grows with its length only; at most
//! [`MAX_BLOCKS`] blocks, after which the rest is one block of text.
//!
//! Nothing here is fetched, and no signature is checked. What is doubtful stays text: a name with
//! a wrong checksum, a secret key, an emoji without its tag.
//!
//! [`Content::markdown`] reads a long text (NIP-23) as CommonMark instead, into at most
//! [`MAX_MARKDOWN_NODES`] pieces, [`MAX_MARKDOWN_DEPTH`] deep.
//!
//! Sources: NIP-08 (`#[0]`), 19, 21, 27 (mentions), 24 (hashtags), 30 (emoji), 92 (`imeta`),
//! BOLT 11 (invoices), NUT-00 (Cashu tokens).
//!
//! ```
//! use nipworker_pipeline::content::{BlockKind, Content};
//!
//! let blocks = Content::new("gm #nostr https://example.com/cat.png", &[]).blocks();
//! assert_eq!(blocks[1].what, BlockKind::Hashtag("nostr"));
//! assert!(matches!(&blocks[3].what, BlockKind::Link(link) if link.kind.is_media()));
//! ```

mod bolt11;
mod cashu;
mod imeta;
mod link;
mod long_bech32;
mod markdown;
mod nip19;
mod scan;
mod short;
#[cfg(test)]
pub(crate) mod tests;

use nipworker_protocol::Tag;

pub use bolt11::{Invoice, InvoiceError, MAX_INVOICE_MSAT, Network};
pub use cashu::{CashuError, CashuToken, MAX_TOKEN_CHARS};
pub(crate) use imeta::milliseconds;
pub use imeta::{Annotation, Imeta};
pub use link::{Link, LinkKind};
pub use markdown::{
    Inline, MAX_MARKDOWN_DEPTH, MAX_MARKDOWN_NODES, Markdown, MarkdownBlock, Picture,
};
pub use nip19::{Entity, MAX_RELAY_HINTS, Nip19Error};
pub use short::{Shortening, galleries, shortened};

/// Blocks that a text is cut into at most: 0.7 MB. What follows is one block of text.
pub const MAX_BLOCKS: usize = 10_000;

/// A text and the tags that explain it. Nothing is read before [`Content::blocks`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content<'a> {
    text: &'a str,
    tags: &'a [Tag],
}

impl<'a> Content<'a> {
    /// The text of an event with the event's tags.
    pub fn new(text: &'a str, tags: &'a [Tag]) -> Self {
        Self { text, tags }
    }

    /// The text as it is.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// What the text is made of, in order.
    pub fn blocks(&self) -> Vec<Block<'a>> {
        scan::blocks(self.text, &scan::Explained::new(self.tags))
    }
}

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Block<'a> {
    /// As it stands in the text.
    pub raw: &'a str,
    /// What it is.
    pub what: BlockKind<'a>,
}

/// What a piece of a text is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum BlockKind<'a> {
    /// Words.
    Text,
    /// Between two fences of three back-ticks.
    Code {
        /// What stands on the line of the opening fence; may be empty.
        language: &'a str,
        /// The lines between the fences.
        code: &'a str,
    },
    /// `#word`, without the `#`, as written. It is at least one letter: `#1` is a number.
    Hashtag(&'a str),
    /// A key, event or address, with or without `nostr:` (NIP-27).
    Mention(Box<Entity>),
    /// `#[N]`: the tag with that number (NIP-08, no longer written).
    TagMention(&'a Tag),
    /// A link.
    Link(Link<'a>),
    /// `:shortcode:` that an `emoji` tag explains (NIP-30).
    Emoji {
        /// The name without colons.
        shortcode: &'a str,
        /// The picture.
        url: &'a str,
    },
    /// A Lightning invoice.
    Invoice(Box<Invoice>),
    /// A Cashu token, `cashuA…` or `cashuB…`: ecash that whoever reads it can take.
    Cashu {
        /// The token as written.
        text: &'a str,
        /// What it says of itself, or why it cannot be read.
        #[serde(serialize_with = "cashu::as_json")]
        token: Result<Box<CashuToken>, CashuError>,
    },
}
