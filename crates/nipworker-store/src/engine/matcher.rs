//! A filter made ready for many comparisons: long lists become sets.

use std::collections::HashSet;

use nipworker_protocol::{EventView, Filter, PublicKey, SingleLetterTag};

/// Values up to which a list is searched from end to end.
const LISTED_MAX: usize = 16;

/// Answers as [`Filter::matches`] does, but refuses quickly what long lists refuse slowly: of the
/// many candidates that an index offers, few answer.
pub(super) struct Matcher<'f> {
    filter: &'f Filter,
    authors: Option<HashSet<&'f PublicKey>>,
    /// Sorted, where the filter names kinds.
    kinds: Option<Vec<u16>>,
    tags: Vec<(SingleLetterTag, HashSet<&'f str>)>,
}

impl<'f> Matcher<'f> {
    pub(super) fn new(filter: &'f Filter) -> Self {
        Self {
            filter,
            authors: filter
                .authors
                .as_ref()
                .filter(|authors| authors.len() > LISTED_MAX)
                .map(|authors| authors.iter().collect()),
            kinds: filter.kinds.clone().map(|mut kinds| {
                kinds.sort_unstable();
                kinds
            }),
            tags: filter
                .tags
                .iter()
                .filter(|(_, values)| values.len() > LISTED_MAX)
                .map(|(letter, values)| (*letter, values.iter().map(String::as_str).collect()))
                .collect(),
        }
    }

    /// Whether events of this kind may answer.
    pub(super) fn allows(&self, kind: u16) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.binary_search(&kind).is_ok())
    }

    /// Whether events of this author may answer.
    pub(super) fn allows_author(&self, author: &PublicKey) -> bool {
        match (&self.authors, &self.filter.authors) {
            (Some(authors), _) => authors.contains(author),
            (None, Some(authors)) => authors.contains(author),
            (None, None) => true,
        }
    }

    pub(super) fn matches(&self, event: &EventView<'_>) -> bool {
        self.authors.as_ref().is_none_or(|authors| authors.contains(&event.pubkey()))
            && self.allows(event.kind())
            && self.tags.iter().all(|(letter, values)| {
                event
                    .tags()
                    .filter_map(|tag| tag.indexed())
                    .any(|(name, value)| name == *letter && values.contains(value))
            })
            && self.filter.matches_view(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::samples::{NOW, author, event};

    #[test]
    fn long_lists_answer_as_the_filter_itself_does() {
        let words = || (0..40).map(|n| n.to_string());
        let filters = [
            Filter::new().authors((0..40).map(author)),
            Filter::new().kinds(0..40),
            Filter::new().tag('t', words()),
            Filter::new().tag('t', words()).tag('e', words()),
            Filter::new().authors((0..40).map(author)).kinds(0..40).tag('t', words()).since(NOW),
        ];
        for n in 0..60_u8 {
            let word = n.to_string();
            let tags: &[&[&str]] = &[&["t", "no"], &["t", &word], &["e", "39"], &["t"]];
            for tags in [tags, &tags[..1]] {
                let event = event(n, NOW - 1 + i64::from(n % 2), n.into(), tags, "");
                for filter in &filters {
                    let matches = Matcher::new(filter).matches(&event.pack().view());
                    assert_eq!(matches, filter.matches(&event), "{n}: {filter:?}");
                }
            }
        }
    }
}
