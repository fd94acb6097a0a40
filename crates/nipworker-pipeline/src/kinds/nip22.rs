//! Comments on anything (kind 1111; NIP-22).

use nipworker_protocol::PublicKey;

use super::{AddressRef, AnyRef, EventRef, Flaw, ProfileRef, Source, refs, tags};
use crate::content::Content;

/// What a comment is about.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Subject<'a> {
    /// The event by id (`E`, `e`).
    pub event: Option<EventRef<'a>>,
    /// The event by address (`A`, `a`).
    pub address: Option<AddressRef<'a>>,
    /// Something outside Nostr, by its id of NIP-73 (`I`, `i`).
    pub external: Option<&'a str>,
    /// The event's kind, or what sort of thing it is (`K`, `k`).
    pub kind: Option<&'a str>,
    /// Who wrote it (`P`, `p`).
    pub author: Option<ProfileRef<'a>>,
}

impl<'a> Subject<'a> {
    /// `names` are the tags of id, address, external id, kind and author.
    fn read(source: &Source<'a>, names: [&'static str; 5]) -> Option<Self> {
        let [event, address, external, kind, author] = names;
        let subject = Self {
            event: tags::named(source.tags, event).find_map(EventRef::of),
            address: tags::named(source.tags, address).find_map(AddressRef::of),
            external: tags::value(source.tags, external),
            kind: tags::value(source.tags, kind),
            author: tags::named(source.tags, author).find_map(ProfileRef::of),
        };
        let names_something =
            subject.event.is_some() || subject.address.is_some() || subject.external.is_some();
        names_something.then_some(subject)
    }

    /// The kind as a number; `None` for something outside Nostr.
    pub fn event_kind(&self) -> Option<u16> {
        self.kind?.parse().ok()
    }

    /// The author as stated in its tag, in the `e` tag or in the address.
    pub fn author_key(&self) -> Option<PublicKey> {
        self.author
            .map(|author| author.pubkey)
            .or(self.event.and_then(|event| event.author))
            .or(self.address.as_ref().map(|it| it.address.pubkey))
    }
}

/// A comment.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Comment<'a> {
    /// The text; cut into blocks when asked.
    pub content: Content<'a>,
    /// What the whole conversation is about.
    pub root: Subject<'a>,
    /// What is answered: the root itself or another comment.
    pub parent: Subject<'a>,
    /// What is quoted (`q`).
    pub quotes: Vec<AnyRef<'a>>,
    /// Whom it names, the parent's author among them.
    pub people: Vec<ProfileRef<'a>>,
}

impl<'a> Comment<'a> {
    pub(super) fn read(source: Source<'a>) -> Result<Self, Flaw> {
        let root = Subject::read(&source, ["E", "A", "I", "K", "P"]);
        let parent = Subject::read(&source, ["e", "a", "i", "k", "p"]);
        Ok(Self {
            content: source.text(),
            root: root.ok_or(Flaw::MissingTag("E, A or I"))?,
            parent: parent.ok_or(Flaw::MissingTag("e, a or i"))?,
            quotes: refs::quotes(source.tags),
            people: refs::people(source.tags),
        })
    }
}
