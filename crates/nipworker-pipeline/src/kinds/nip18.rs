//! Events shown again (kinds 6 and 16; NIP-18).

use nipworker_protocol::{Event, EventLimits, PublicKey, kinds};

use super::{EventRef, Flaw, ProfileRef, Source, refs, tags};

/// Kind of a repost of a note.
pub(super) const REPOST: u16 = 6;

/// A repost: of a note (kind 6) or of any other event (kind 16).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Repost<'a> {
    /// What is shown again.
    pub event: EventRef<'a>,
    /// Its author, as stated.
    pub author: Option<PublicKey>,
    /// Its kind, as stated; 1 for a repost of kind 6.
    pub kind: Option<u16>,
    /// The copy that the reposter put in, or why it is not believed; `None` when there is none.
    ///
    /// **Its id was computed anew, its signature was not checked**: it goes through the pipeline
    /// like any event that a stranger sends, before it is shown or kept.
    #[serde(serialize_with = "super::json::embedded")]
    pub embedded: Option<Result<Box<Event>, Flaw>>,
}

impl<'a> Repost<'a> {
    pub(super) fn read(source: Source<'a>) -> Result<Self, Flaw> {
        let event = refs::required(source.tags, "e", "an event id", EventRef::of)?;
        let person = tags::named(source.tags, "p").find_map(ProfileRef::of);
        let stated = tags::value(source.tags, "k").and_then(|kind| kind.parse().ok());
        let kind = if source.kind == REPOST { Some(kinds::TEXT_NOTE) } else { stated };
        let has_copy = !source.content.trim().is_empty();
        Ok(Self {
            event,
            author: person.map(|person| person.pubkey).or(event.author),
            kind,
            embedded: has_copy.then(|| embedded(source.content, &event)),
        })
    }
}

fn embedded(content: &str, named: &EventRef<'_>) -> Result<Box<Event>, Flaw> {
    let event = Event::from_json(content.as_bytes(), &EventLimits::default())
        .map_err(|_| Flaw::Content { expected: "an event in JSON" })?;
    if event.id != named.id {
        return Err(Flaw::OtherEvent("e"));
    }
    event.check_id().map_err(|_| Flaw::EmbeddedId)?;
    Ok(Box::new(event))
}
