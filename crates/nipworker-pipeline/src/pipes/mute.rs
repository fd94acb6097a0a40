//! What a reader does not want to see.

use std::collections::HashSet;

use nipworker_protocol::{EventId, PublicKey, Tag};
use serde::{Deserialize, Serialize};

use super::{
    Item, Notes, Pipe, Step,
    words::{Words, folded},
};
use crate::kinds::ListEntries;

/// Entries of each sort in a mute list.
pub const MAX_MUTED: usize = 10_000;

/// Bytes of a muted word, phrase or topic.
pub const MAX_WORD_BYTES: usize = 256;

/// Why a mute list is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MuteError {
    /// A sort of entry has too many.
    #[error("{got} {sort} are muted, the most is {MAX_MUTED}")]
    TooMany {
        /// Which sort.
        sort: &'static str,
        /// How many.
        got: usize,
    },
    /// A word or topic is empty or too long.
    #[error("a muted {sort} is {got} bytes long, allowed are 1 to {MAX_WORD_BYTES}")]
    Length {
        /// Word or topic.
        sort: &'static str,
        /// Its length.
        got: usize,
    },
}

/// What is muted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MuteList {
    /// Authors.
    pub pubkeys: Vec<PublicKey>,
    /// Events, and every event that names one of them in an `e`, `E` or `q` tag: answers,
    /// reactions, reposts, quotes.
    pub events: Vec<EventId>,
    /// Topics (`t` tags), in any case, without `#`.
    pub hashtags: Vec<String>,
    /// Words and phrases in the content, the subject and the title, in any case. They are found
    /// as whole words, at the word boundaries of Unicode.
    pub words: Vec<String>,
}

impl MuteList {
    /// Adds the entries of a mute list (kind 10000, NIP-51): its public ones, or the private ones
    /// once they were decrypted. What is too long to be an entry is passed over; the number of
    /// those is returned.
    pub fn add_list(&mut self, entries: &ListEntries<'_>) -> usize {
        self.pubkeys.extend(entries.people.iter().map(|person| person.pubkey));
        self.events.extend(entries.events.iter().map(|event| event.id));
        let mut skipped = 0;
        let mut fitting = |texts: &[&str]| -> Vec<String> {
            let fits = |text: &&&str| (1..=MAX_WORD_BYTES).contains(&text.trim().len());
            let kept: Vec<_> = texts.iter().filter(fits).map(|text| (*text).to_owned()).collect();
            skipped += texts.len() - kept.len();
            kept
        };
        self.hashtags.extend(fitting(&entries.hashtags));
        self.words.extend(fitting(&entries.words));
        skipped
    }

    /// Checks the bounds.
    ///
    /// # Errors
    /// See [`MuteError`].
    pub fn validate(&self) -> Result<(), MuteError> {
        for (sort, got) in [
            ("pubkeys", self.pubkeys.len()),
            ("events", self.events.len()),
            ("hashtags", self.hashtags.len()),
            ("words", self.words.len()),
        ] {
            if got > MAX_MUTED {
                return Err(MuteError::TooMany { sort, got });
            }
        }
        for (sort, texts) in [("hashtag", &self.hashtags), ("word", &self.words)] {
            for text in texts {
                let got = text.trim().len();
                if got == 0 || got > MAX_WORD_BYTES {
                    return Err(MuteError::Length { sort, got });
                }
            }
        }
        Ok(())
    }
}

pub(super) struct Mute {
    pubkeys: HashSet<PublicKey>,
    events: HashSet<EventId>,
    hashtags: HashSet<String>,
    words: Words,
}

impl Mute {
    pub(super) fn new(list: &MuteList) -> Self {
        let MuteList { pubkeys, events, hashtags, words } = list;
        Self {
            pubkeys: pubkeys.iter().copied().collect(),
            events: events.iter().copied().collect(),
            hashtags: hashtags.iter().map(|topic| bare_topic(topic)).collect(),
            words: Words::new(words.iter().map(String::as_str)),
        }
    }

    fn refers_to_a_muted_event(&self, tags: &[Tag]) -> bool {
        !self.events.is_empty()
            && tags.iter().filter(|tag| matches!(tag.name(), "e" | "E" | "q")).any(|tag| {
                let id = tag.value().and_then(|id| EventId::from_hex(id).ok());
                id.is_some_and(|id| self.events.contains(&id))
            })
    }

    fn has_a_muted_topic(&self, tags: &[Tag]) -> bool {
        !self.hashtags.is_empty()
            && tags
                .iter()
                .filter(|tag| tag.name() == "t")
                .filter_map(Tag::value)
                .any(|topic| self.hashtags.contains(&bare_topic(topic)))
    }

    fn has_a_muted_word(&self, content: &str, tags: &[Tag]) -> bool {
        let headings = tags
            .iter()
            .filter(|tag| matches!(tag.name(), "subject" | "title" | "summary"))
            .filter_map(Tag::value);
        std::iter::once(content).chain(headings).any(|text| self.words.stand_in(text))
    }
}

fn bare_topic(topic: &str) -> String {
    folded(topic.trim().trim_start_matches('#'))
}

impl Pipe for Mute {
    fn take(&mut self, item: &Item<'_>, _: &mut Notes) -> Step {
        let event = item.event();
        if self.pubkeys.contains(&event.pubkey) {
            return Step::Drop("author");
        }
        if self.events.contains(&event.id) || self.refers_to_a_muted_event(&event.tags) {
            return Step::Drop("event");
        }
        if self.has_a_muted_topic(&event.tags) {
            return Step::Drop("hashtag");
        }
        if self.has_a_muted_word(&event.content, &event.tags) {
            return Step::Drop("word");
        }
        Step::Pass
    }
}
