//! A filter made ready for many comparisons: long lists become sets.

use std::collections::HashSet;

use nipworker_protocol::{Event, Filter, PublicKey};

/// Authors up to which a list is searched from end to end.
const AUTHORS_LISTED_MAX: usize = 16;

pub(super) struct Matcher<'f> {
    filter: &'f Filter,
    /// The authors as a set, when they are many.
    authors: Option<HashSet<&'f PublicKey>>,
}

impl<'f> Matcher<'f> {
    pub(super) fn new(filter: &'f Filter) -> Self {
        let authors = filter
            .authors
            .as_ref()
            .filter(|authors| authors.len() > AUTHORS_LISTED_MAX)
            .map(|authors| authors.iter().collect());
        Self { filter, authors }
    }

    pub(super) fn matches(&self, event: &Event) -> bool {
        // The set refuses quickly what the list would refuse slowly.
        self.authors.as_ref().is_none_or(|authors| authors.contains(&event.pubkey))
            && self.filter.matches(event)
    }
}
