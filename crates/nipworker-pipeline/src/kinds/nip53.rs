//! Talk beside a live activity (kind 1311; NIP-53).

use super::{AddressRef, EventRef, Flaw, ProfileRef, Source, refs, tags};
use crate::content::Content;

/// A message in the chat of a live activity.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct LiveChatMessage<'a> {
    /// The activity.
    pub activity: AddressRef<'a>,
    /// The text; cut into blocks when asked.
    pub content: Content<'a>,
    /// Messages that it answers.
    pub replies: Vec<EventRef<'a>>,
    /// Whom it names.
    pub people: Vec<ProfileRef<'a>>,
}

impl<'a> LiveChatMessage<'a> {
    pub(super) fn read(source: Source<'a>) -> Result<Self, Flaw> {
        Ok(Self {
            activity: refs::required(source.tags, "a", "an address", AddressRef::of)?,
            content: source.text(),
            replies: tags::named(source.tags, "e").filter_map(EventRef::of).collect(),
            people: refs::people(source.tags),
        })
    }
}
