//! One tag of an event: a list of strings whose first is its name.

use serde::{Deserialize, Serialize};

use crate::SingleLetterTag;

/// A tag. NIP-01 gives meaning to the first two elements: the name and the value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tag(pub Vec<String>);

impl Tag {
    /// Makes a tag of its elements.
    pub fn new<S: Into<String>>(elements: impl IntoIterator<Item = S>) -> Self {
        Self(elements.into_iter().map(Into::into).collect())
    }

    /// The name (first element); empty when the tag is empty.
    pub fn name(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }

    /// The value (second element), if there is one.
    pub fn value(&self) -> Option<&str> {
        self.0.get(1).map(String::as_str)
    }

    /// Element `index`, if there is one.
    pub fn get(&self, index: usize) -> Option<&str> {
        self.0.get(index).map(String::as_str)
    }

    /// The name and value when the name is one ASCII letter: what relays index (NIP-01).
    pub fn indexed(&self) -> Option<(SingleLetterTag, &str)> {
        let mut chars = self.name().chars();
        let letter = SingleLetterTag::new(chars.next()?)?;
        if chars.next().is_some() {
            return None;
        }
        Some((letter, self.value()?))
    }
}
