//! Pictures (kind 20; NIP-68).

use super::{Flaw, ProfileRef, Source, refs, tags};
use crate::content::{Content, Imeta};

/// Pictures with a title.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Picture<'a> {
    /// The title.
    pub title: Option<&'a str>,
    /// What is said about them; cut into blocks when asked.
    pub description: Content<'a>,
    /// The pictures, at least one.
    pub images: Vec<Imeta<'a>>,
    /// Why they should not be shown at once; empty when no reason is given.
    pub content_warning: Option<&'a str>,
    /// Topics, each once.
    pub hashtags: Vec<&'a str>,
    /// Who is in them or named.
    pub people: Vec<ProfileRef<'a>>,
    /// Where they were taken, in words.
    pub location: Option<&'a str>,
    /// Where they were taken, as a geohash.
    pub geohash: Option<&'a str>,
}

impl<'a> Picture<'a> {
    pub(super) fn read(source: Source<'a>) -> Result<Self, Flaw> {
        let images = Imeta::all(source.tags);
        if images.is_empty() {
            return Err(Flaw::MissingTag("imeta"));
        }
        Ok(Self {
            title: tags::value(source.tags, "title"),
            description: source.text(),
            images,
            content_warning: tags::content_warning(source.tags),
            hashtags: tags::hashtags(source.tags),
            people: refs::people(source.tags),
            location: tags::value(source.tags, "location"),
            geohash: tags::value(source.tags, "g"),
        })
    }
}
