//! Films (kinds 21, 22, 34235 and 34236; NIP-71).

use super::{Flaw, ProfileRef, Source, refs, tags};
use crate::content::{Content, Imeta, milliseconds};

/// A part of a film.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Segment<'a> {
    /// Where it begins, in milliseconds.
    pub start_ms: u64,
    /// Where it ends, in milliseconds.
    pub end_ms: u64,
    /// What it is called.
    pub title: Option<&'a str>,
}

/// A film.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Video<'a> {
    /// Whether it is upright and short (kinds 22 and 34236).
    pub is_short: bool,
    /// The `d` tag of the addressable kinds.
    pub identifier: Option<&'a str>,
    /// The title.
    pub title: Option<&'a str>,
    /// What is said about it; cut into blocks when asked.
    pub description: Content<'a>,
    /// The film in its versions, at least one.
    pub versions: Vec<Imeta<'a>>,
    /// When it was first shown, unix seconds.
    pub published_at: Option<i64>,
    /// Playing time in milliseconds: of the first version that states it, else of the event.
    pub duration_ms: Option<u64>,
    /// What it shows, in words.
    pub alt: Option<&'a str>,
    /// Why it should not be shown at once; empty when no reason is given.
    pub content_warning: Option<&'a str>,
    /// Topics, each once.
    pub hashtags: Vec<&'a str>,
    /// Who takes part.
    pub people: Vec<ProfileRef<'a>>,
    /// Its parts.
    pub segments: Vec<Segment<'a>>,
}

impl<'a> Video<'a> {
    pub(super) fn read(source: Source<'a>) -> Result<Self, Flaw> {
        let versions = Imeta::all(source.tags);
        if versions.is_empty() {
            return Err(Flaw::MissingTag("imeta"));
        }
        let stated = tags::value(source.tags, "duration").and_then(milliseconds);
        Ok(Self {
            is_short: matches!(source.kind, 22 | 34_236),
            identifier: tags::value(source.tags, "d"),
            title: tags::value(source.tags, "title"),
            description: source.text(),
            published_at: tags::time(source.tags, "published_at"),
            duration_ms: versions.iter().find_map(|version| version.duration_ms).or(stated),
            versions,
            alt: tags::value(source.tags, "alt"),
            content_warning: tags::content_warning(source.tags),
            hashtags: tags::hashtags(source.tags),
            people: refs::people(source.tags),
            segments: tags::named(source.tags, "segment").filter_map(segment).collect(),
        })
    }
}

fn segment(tag: &nipworker_protocol::Tag) -> Option<Segment<'_>> {
    Some(Segment {
        start_ms: clock(tag.get(1)?)?,
        end_ms: clock(tag.get(2)?)?,
        title: tag.get(3).filter(|title| !title.is_empty()),
    })
}

/// `HH:MM:SS.sss`, or seconds, in milliseconds.
fn clock(text: &str) -> Option<u64> {
    let mut parts = text.rsplitn(3, ':');
    let seconds_ms = milliseconds(parts.next()?)?;
    let minutes = parts.next().map_or(Some(0), tags::whole_number)?;
    let hours = parts.next().map_or(Some(0), tags::whole_number)?;
    let before_ms = hours.checked_mul(60)?.checked_add(minutes)?.checked_mul(60_000)?;
    before_ms.checked_add(seconds_ms)
}
