//! Subscription filters (NIP-01).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess},
    ser::SerializeMap,
};

use crate::{Event, EventId, PublicKey};

/// The name of a tag that relays index: one ASCII letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SingleLetterTag(u8);

impl SingleLetterTag {
    /// `None` unless `letter` is `a-z` or `A-Z`.
    pub fn new(letter: char) -> Option<Self> {
        letter.is_ascii_alphabetic().then_some(Self(letter as u8))
    }

    /// The letter.
    pub fn as_char(self) -> char {
        char::from(self.0)
    }

    /// The letter as a byte.
    pub fn as_byte(self) -> u8 {
        self.0
    }
}

/// What a filter may be at most; enforced where filters come from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FilterLimits {
    /// Filters of one REQ or COUNT.
    pub max_filters: usize,
    /// Values of all lists of one filter together.
    pub max_filter_values: usize,
    /// Largest `limit`; larger ones are lowered to it, a missing one is set to it.
    pub max_limit: usize,
}

impl Default for FilterLimits {
    fn default() -> Self {
        Self { max_filters: 20, max_filter_values: 5_000, max_limit: 5_000 }
    }
}

/// Why a filter is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FilterError {
    /// No filter at all.
    #[error("a request needs at least one filter")]
    None,
    /// More filters than allowed.
    #[error("{got} filters are more than the limit of {limit}")]
    TooManyFilters {
        /// Number of filters.
        got: usize,
        /// The limit.
        limit: usize,
    },
    /// More values than allowed.
    #[error("a filter with {got} values is over the limit of {limit}")]
    TooManyValues {
        /// Number of values.
        got: usize,
        /// The limit.
        limit: usize,
    },
}

impl FilterLimits {
    /// Checks a set of filters and applies `max_limit` to each.
    ///
    /// # Errors
    /// The first limit that is broken.
    pub fn apply(&self, filters: &mut [Filter]) -> Result<(), FilterError> {
        if filters.is_empty() {
            return Err(FilterError::None);
        }
        if filters.len() > self.max_filters {
            return Err(FilterError::TooManyFilters {
                got: filters.len(),
                limit: self.max_filters,
            });
        }
        for filter in filters {
            let got = filter.value_count();
            if got > self.max_filter_values {
                return Err(FilterError::TooManyValues { got, limit: self.max_filter_values });
            }
            filter.limit = Some(filter.limit.unwrap_or(self.max_limit).min(self.max_limit));
        }
        Ok(())
    }
}

/// What events a subscription wants. Lists are alternatives, fields must all hold. `None` means
/// no condition; an empty list matches nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Event ids.
    pub ids: Option<Vec<EventId>>,
    /// Authors.
    pub authors: Option<Vec<PublicKey>>,
    /// Kind numbers.
    pub kinds: Option<Vec<u16>>,
    /// Values of single-letter tags: `#e`, `#p`, `#t`, …
    pub tags: BTreeMap<SingleLetterTag, Vec<String>>,
    /// Earliest time, inclusive, unix seconds.
    pub since: Option<i64>,
    /// Latest time, inclusive, unix seconds.
    pub until: Option<i64>,
    /// At most so many stored events; does not concern live ones.
    pub limit: Option<usize>,
    /// Full-text search (NIP-50), carried so that whoever cannot serve it can refuse it.
    pub search: Option<String>,
}

impl Filter {
    /// Matches everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// With these ids.
    pub fn ids(mut self, ids: impl IntoIterator<Item = EventId>) -> Self {
        self.ids.get_or_insert_default().extend(ids);
        self
    }

    /// By these authors.
    pub fn authors(mut self, authors: impl IntoIterator<Item = PublicKey>) -> Self {
        self.authors.get_or_insert_default().extend(authors);
        self
    }

    /// Of these kinds.
    pub fn kinds(mut self, kinds: impl IntoIterator<Item = u16>) -> Self {
        self.kinds.get_or_insert_default().extend(kinds);
        self
    }

    /// With one of these values in a tag of this name; no effect when `letter` is no letter.
    pub fn tag<S: Into<String>>(
        mut self,
        letter: char,
        values: impl IntoIterator<Item = S>,
    ) -> Self {
        if let Some(letter) = SingleLetterTag::new(letter) {
            self.tags.entry(letter).or_default().extend(values.into_iter().map(Into::into));
        }
        self
    }

    /// Not older than `since` (unix seconds).
    pub fn since(mut self, since: i64) -> Self {
        self.since = Some(since);
        self
    }

    /// Not newer than `until` (unix seconds).
    pub fn until(mut self, until: i64) -> Self {
        self.until = Some(until);
        self
    }

    /// At most `limit` stored events.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Number of values in all lists together.
    pub fn value_count(&self) -> usize {
        self.ids.as_ref().map_or(0, Vec::len)
            + self.authors.as_ref().map_or(0, Vec::len)
            + self.kinds.as_ref().map_or(0, Vec::len)
            + self.tags.values().map(Vec::len).sum::<usize>()
    }

    /// Whether `event` answers this filter. `limit` and `search` play no part.
    pub fn matches(&self, event: &Event) -> bool {
        self.since.is_none_or(|since| event.created_at >= since)
            && self.until.is_none_or(|until| event.created_at <= until)
            && self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&event.kind))
            && self.ids.as_ref().is_none_or(|ids| ids.contains(&event.id))
            && self.authors.as_ref().is_none_or(|authors| authors.contains(&event.pubkey))
            && self.tags.iter().all(|(letter, wanted)| {
                event.tags.iter().filter_map(|tag| tag.indexed()).any(|(name, value)| {
                    name == *letter && wanted.iter().any(|wanted| wanted == value)
                })
            })
    }

    /// Whether `event` answers at least one of `filters`.
    pub fn any_matches(filters: &[Self], event: &Event) -> bool {
        filters.iter().any(|filter| filter.matches(event))
    }
}

impl Serialize for Filter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(ids) = &self.ids {
            map.serialize_entry("ids", ids)?;
        }
        if let Some(authors) = &self.authors {
            map.serialize_entry("authors", authors)?;
        }
        if let Some(kinds) = &self.kinds {
            map.serialize_entry("kinds", kinds)?;
        }
        for (letter, values) in &self.tags {
            map.serialize_entry(&format!("#{}", letter.as_char()), values)?;
        }
        if let Some(since) = self.since {
            map.serialize_entry("since", &since)?;
        }
        if let Some(until) = self.until {
            map.serialize_entry("until", &until)?;
        }
        if let Some(limit) = self.limit {
            map.serialize_entry("limit", &limit)?;
        }
        if let Some(search) = &self.search {
            map.serialize_entry("search", search)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Filter {
    /// Refuses keys that it does not know, and a key that is given twice: an ignored condition
    /// would match too much.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Filter;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a filter object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Filter, M::Error> {
                let mut filter = Filter::default();
                let mut keys = BTreeSet::new();
                while let Some(key) = map.next_key::<String>()? {
                    if !keys.insert(key.clone()) {
                        let problem = format_args!("filter key {key:?} is given twice");
                        return Err(de::Error::custom(problem));
                    }
                    match key.as_str() {
                        "ids" => filter.ids = Some(map.next_value()?),
                        "authors" => filter.authors = Some(map.next_value()?),
                        "kinds" => filter.kinds = Some(map.next_value()?),
                        "since" => filter.since = Some(map.next_value()?),
                        "until" => filter.until = Some(map.next_value()?),
                        "limit" => filter.limit = Some(map.next_value()?),
                        "search" => filter.search = Some(map.next_value()?),
                        other => {
                            let letter = other
                                .strip_prefix('#')
                                .filter(|name| name.len() == 1)
                                .and_then(|name| name.chars().next())
                                .and_then(SingleLetterTag::new)
                                .ok_or_else(|| {
                                    de::Error::custom(format_args!(
                                        "unknown filter key {other:?}; known are ids, authors, \
                                         kinds, since, until, limit, search and # with one letter"
                                    ))
                                })?;
                            filter.tags.insert(letter, map.next_value()?);
                        }
                    }
                }
                Ok(filter)
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}
