//! Whom somebody follows (kind 3; NIP-02).

use super::{Flaw, ProfileRef, Source, refs};
use std::collections::HashSet;

/// A follow list.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Contacts<'a> {
    /// The people in order, each once; the label is the pet name.
    pub people: Vec<ProfileRef<'a>>,
    /// Entries passed over because they hold no key.
    pub skipped: usize,
}

impl<'a> Contacts<'a> {
    pub(super) fn read(source: Source<'a>) -> Result<Self, Flaw> {
        let mut skipped = 0;
        let mut people = refs::all(source.tags, "p", ProfileRef::of, &mut skipped);
        let mut seen = HashSet::new();
        people.retain(|person| seen.insert(person.pubkey));
        Ok(Self { people, skipped })
    }
}
