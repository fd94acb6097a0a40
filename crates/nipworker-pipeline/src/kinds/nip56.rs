//! Reports of people, events and files (kind 1984; NIP-56).

use nipworker_protocol::{EventId, PublicKey, Tag};

use super::{Flaw, ProfileRef, Source, refs, tags};

/// What is objectionable, as the reporter sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum ReportReason<'a> {
    /// Nudity.
    Nudity,
    /// Software that does harm.
    Malware,
    /// Hateful speech.
    Profanity,
    /// What may be against a law.
    Illegal,
    /// Spam.
    Spam,
    /// Somebody who passes for somebody else.
    Impersonation,
    /// None of these (`other`).
    Other,
    /// A word that NIP-56 does not name.
    Unknown(&'a str),
}

impl<'a> ReportReason<'a> {
    fn of(tag: &'a Tag) -> Option<Self> {
        Some(match tag.get(2).filter(|word| !word.is_empty())? {
            "nudity" => Self::Nudity,
            "malware" => Self::Malware,
            "profanity" => Self::Profanity,
            "illegal" => Self::Illegal,
            "spam" => Self::Spam,
            "impersonation" => Self::Impersonation,
            "other" => Self::Other,
            unknown => Self::Unknown(unknown),
        })
    }
}

/// One thing that is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Reported<'a, T> {
    /// What.
    pub target: T,
    /// Why, if a reason stands at this target.
    pub reason: Option<ReportReason<'a>>,
}

/// A report. Anybody can report anybody: it is worth what its author is worth.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Report<'a> {
    /// Who is reported, or who wrote what is reported (`p`); at least one.
    pub people: Vec<Reported<'a, PublicKey>>,
    /// Events (`e`).
    pub events: Vec<Reported<'a, EventId>>,
    /// Files (`x`), by the SHA-256 of their content.
    #[serde(serialize_with = "super::json::reported_files")]
    pub files: Vec<Reported<'a, [u8; 32]>>,
    /// Servers that keep the files (`server`). A stranger wrote the URLs.
    pub servers: Vec<&'a str>,
    /// More words; may be empty.
    pub comment: &'a str,
    /// Targets passed over because they could not be read.
    pub skipped: usize,
}

impl<'a> Report<'a> {
    pub(super) fn read(source: Source<'a>) -> Result<Self, Flaw> {
        refs::required(source.tags, "p", "a public key", ProfileRef::of)?;
        let mut skipped = 0;
        Ok(Self {
            people: reported(source.tags, "p", |it| PublicKey::from_hex(it).ok(), &mut skipped),
            events: reported(source.tags, "e", |it| EventId::from_hex(it).ok(), &mut skipped),
            files: reported(source.tags, "x", tags::sha256, &mut skipped),
            servers: tags::unique(tags::values(source.tags, "server")),
            comment: source.content,
            skipped,
        })
    }

    /// The reason that counts: of a file, else of an event, else of a person, each the first
    /// that states one. A reason stands at what is reported, and the author's `p` tag has none.
    pub fn reason(&self) -> Option<ReportReason<'a>> {
        let files = self.files.iter().find_map(|it| it.reason);
        let events = || self.events.iter().find_map(|it| it.reason);
        let people = || self.people.iter().find_map(|it| it.reason);
        files.or_else(events).or_else(people)
    }
}

fn reported<'a, T>(
    all: &'a [Tag],
    name: &'a str,
    read: impl Fn(&'a str) -> Option<T>,
    skipped: &mut usize,
) -> Vec<Reported<'a, T>> {
    let one = |tag: &'a Tag| {
        Some(Reported { target: read(tag.value()?)?, reason: ReportReason::of(tag) })
    };
    refs::all(all, name, one, skipped)
}
