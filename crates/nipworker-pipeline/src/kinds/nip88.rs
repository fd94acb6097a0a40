//! Polls (kind 1068) and answers to them (kind 1018; NIP-88).

use std::collections::HashSet;

use nipworker_protocol::RelayUrl;

use super::{EventRef, Flaw, Source, refs, tags};
use crate::content::Content;

/// One answer that can be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct PollOption<'a> {
    /// Its name in responses.
    pub id: &'a str,
    /// What is shown; may be empty.
    pub label: &'a str,
}

/// A poll.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Poll<'a> {
    /// The question; cut into blocks when asked.
    pub question: Content<'a>,
    /// What can be answered, each id once.
    pub options: Vec<PollOption<'a>>,
    /// Whether one response may choose several.
    pub multiple_choice: bool,
    /// Responses after this time do not count; unix seconds.
    pub ends_at: Option<i64>,
    /// Where responses are sent.
    pub relays: Vec<RelayUrl>,
}

impl<'a> Poll<'a> {
    pub(super) fn read(source: Source<'a>) -> Result<Self, Flaw> {
        let mut seen = HashSet::new();
        let options: Vec<_> = tags::named(source.tags, "option")
            .filter_map(|tag| {
                let id = tag.value().filter(|id| !id.is_empty())?;
                Some(PollOption { id, label: tag.get(2).unwrap_or_default() })
            })
            .filter(|option| seen.insert(option.id))
            .collect();
        if options.is_empty() {
            return Err(Flaw::MissingTag("option"));
        }
        let multiple_choice = match tags::value(source.tags, "polltype") {
            None | Some("singlechoice") => false,
            Some("multiplechoice") => true,
            Some(_) => {
                let expected = "singlechoice or multiplechoice";
                return Err(Flaw::Tag { name: "polltype", expected });
            }
        };
        // An end that cannot be read must not make an ended poll endless.
        let ends_at = tags::value(source.tags, "endsAt").map(str::parse).transpose();
        Ok(Self {
            question: source.text(),
            options,
            multiple_choice,
            ends_at: ends_at.map_err(|_| Flaw::Tag { name: "endsAt", expected: "unix seconds" })?,
            relays: tags::relay_urls(source.tags, "relay"),
        })
    }
}

/// A response to a poll.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct PollResponse<'a> {
    /// The poll.
    pub poll: EventRef<'a>,
    /// Chosen ids as written. See [`PollResponse::counted`].
    pub choices: Vec<&'a str>,
    /// When it was given, unix seconds.
    pub created_at: i64,
}

impl<'a> PollResponse<'a> {
    pub(super) fn read(source: Source<'a>) -> Result<Self, Flaw> {
        Ok(Self {
            poll: refs::required(source.tags, "e", "an event id", EventRef::of)?,
            choices: tags::values(source.tags, "response").collect(),
            created_at: source.created_at,
        })
    }

    /// The choices that count in `poll`: those it offers, each once, the first only where one is
    /// allowed, none after its end. Of a person's responses the newest one counts; that is for
    /// the caller.
    pub fn counted(&self, poll: &Poll<'_>) -> Vec<&'a str> {
        if poll.ends_at.is_some_and(|end| self.created_at > end) {
            return Vec::new();
        }
        let offered: HashSet<&str> = poll.options.iter().map(|option| option.id).collect();
        let chosen = self.choices.iter().copied();
        if poll.multiple_choice {
            return tags::unique(chosen.filter(|choice| offered.contains(choice)));
        }
        // The first response tag decides, also where it chooses nothing that is offered.
        chosen.take(1).filter(|choice| offered.contains(choice)).collect()
    }
}
