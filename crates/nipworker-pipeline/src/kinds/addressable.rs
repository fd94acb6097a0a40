//! Addressable events that have no view of their own (kinds 30000 to 39999).

use nipworker_protocol::{Coordinate, PublicKey, RelayUrl, Tag};

use super::{AddressRef, EventRef, Flaw, ProfileRef, RelayHint, Source, refs, tags};
use crate::content::Content;

/// Somebody who takes part (NIP-53).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Participant<'a> {
    /// Who.
    pub pubkey: PublicKey,
    /// Where to be found.
    pub relay: Option<RelayHint<'a>>,
    /// As what.
    pub role: Option<&'a str>,
    /// The participant's signature that it is so, not checked.
    pub proof: Option<&'a str>,
}

/// What most addressable kinds have in common. Other fields are read by name.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Addressable<'a> {
    /// Its address.
    pub address: Coordinate,
    /// The text; cut into blocks when asked.
    pub content: Content<'a>,
    /// Topics (`t`), each once.
    pub hashtags: Vec<&'a str>,
    /// Links (`r`), each once.
    pub links: Vec<&'a str>,
    /// Who takes part (`p`).
    pub participants: Vec<Participant<'a>>,
    /// Where it takes place (`relays`, NIP-53; `relay`), each once.
    pub relays: Vec<RelayUrl>,
    /// Events (`e`).
    pub events: Vec<EventRef<'a>>,
    /// Addresses (`a`).
    pub addresses: Vec<AddressRef<'a>>,
    #[serde(rename = "fields", serialize_with = "super::json::fields")]
    source: Source<'a>,
}

impl<'a> Addressable<'a> {
    pub(super) fn read(source: Source<'a>) -> Result<Self, Flaw> {
        let participants = tags::named(source.tags, "p").filter_map(|tag| {
            let ProfileRef { pubkey, relay, label } = ProfileRef::of(tag)?;
            Some(Participant { pubkey, relay, role: label, proof: tag.get(4) })
        });
        let relays = tags::named(source.tags, "relays").flat_map(|tag| tag.0.iter().skip(1));
        let relays = relays.map(String::as_str).chain(tags::values(source.tags, "relay"));
        let mut skipped = 0;
        Ok(Self {
            address: source.address(),
            content: source.text(),
            hashtags: tags::hashtags(source.tags),
            links: tags::unique(tags::values(source.tags, "r")),
            participants: participants.collect(),
            relays: tags::unique(relays.filter_map(|url| RelayUrl::parse(url).ok())),
            events: refs::all(source.tags, "e", EventRef::of, &mut skipped),
            addresses: refs::all(source.tags, "a", AddressRef::of, &mut skipped),
            source,
        })
    }

    /// The title (`title`, or `name`).
    pub fn title(&self) -> Option<&'a str> {
        self.field("title").or_else(|| self.field("name"))
    }

    /// The summary (`summary`, or `description`).
    pub fn summary(&self) -> Option<&'a str> {
        self.field("summary").or_else(|| self.field("description"))
    }

    /// All tags, as they are.
    pub fn tags(&self) -> &'a [Tag] {
        self.source.tags
    }

    /// The value of a tag: `image`, `streaming`, `recording`, `service`, `status`, `room`, `pinned`…
    pub fn field(&self, name: &str) -> Option<&'a str> {
        tags::value(self.source.tags, name)
    }

    /// A tag that holds unix seconds: `starts`, `ends`, `published_at`…
    pub fn time(&self, name: &str) -> Option<i64> {
        tags::time(self.source.tags, name)
    }

    /// A tag that holds a whole number: `current_participants`, `total_participants`…
    pub fn number(&self, name: &str) -> Option<u64> {
        self.field(name).and_then(tags::whole_number)
    }
}
