//! Reactions to events (kind 7) and to web pages (kind 17; NIP-25).

use nipworker_protocol::PublicKey;

use super::{AddressRef, Emoji, EventRef, Flaw, ProfileRef, Source, tags};

/// What somebody feels about something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Feeling<'a> {
    /// `+`, or nothing.
    Like,
    /// `-`.
    Dislike,
    /// A custom emoji that a tag explains (NIP-30).
    Emoji(Emoji<'a>),
    /// Anything else, as written: mostly one emoji of Unicode.
    Custom(&'a str),
}

impl<'a> Feeling<'a> {
    fn of(source: &Source<'a>) -> Self {
        match source.content.trim() {
            "" | "+" => Self::Like,
            "-" => Self::Dislike,
            other => other
                .strip_prefix(':')
                .and_then(|name| name.strip_suffix(':'))
                .and_then(|name| tags::emojis(source.tags).find(|emoji| emoji.shortcode == name))
                .map_or(Self::Custom(other), Self::Emoji),
        }
    }
}

/// A reaction to an event.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Reaction<'a> {
    /// What is felt.
    pub feeling: Feeling<'a>,
    /// The event: the last `e` tag. `None` when only an address is named.
    pub event: Option<EventRef<'a>>,
    /// The event's address, when it has one.
    pub address: Option<AddressRef<'a>>,
    /// Its author: the last `p` tag, else the one in the address or the `e` tag.
    pub author: Option<PublicKey>,
    /// Its kind, as stated.
    pub kind: Option<u16>,
}

impl<'a> Reaction<'a> {
    pub(super) fn read(source: Source<'a>) -> Result<Self, Flaw> {
        let event = tags::named(source.tags, "e").rev().find_map(EventRef::of);
        let address = tags::named(source.tags, "a").rev().find_map(AddressRef::of);
        if event.is_none() && address.is_none() {
            return Err(match tags::value(source.tags, "e") {
                Some(_) => Flaw::Tag { name: "e", expected: "an event id" },
                None => Flaw::MissingTag("e"),
            });
        }
        let person = tags::named(source.tags, "p").rev().find_map(ProfileRef::of);
        let author = person
            .map(|person| person.pubkey)
            .or(event.and_then(|event| event.author))
            .or(address.as_ref().map(|it| it.address.pubkey));
        let kind = tags::value(source.tags, "k").and_then(|kind| kind.parse().ok());
        Ok(Self { feeling: Feeling::of(&source), event, address, author, kind })
    }
}

/// A reaction to something outside Nostr.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ExternalReaction<'a> {
    /// What is felt.
    pub feeling: Feeling<'a>,
    /// What it is about: a URL (`r`), or an id of NIP-73 (`i`).
    pub subject: &'a str,
    /// What sort of thing that is, as stated in `k` (NIP-73).
    pub sort: Option<&'a str>,
}

impl<'a> ExternalReaction<'a> {
    pub(super) fn read(source: Source<'a>) -> Result<Self, Flaw> {
        let subject = tags::value(source.tags, "r").or_else(|| tags::value(source.tags, "i"));
        Ok(Self {
            feeling: Feeling::of(&source),
            subject: subject.ok_or(Flaw::MissingTag("r or i"))?,
            sort: tags::value(source.tags, "k"),
        })
    }
}
