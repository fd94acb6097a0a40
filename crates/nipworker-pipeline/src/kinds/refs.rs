//! What tags point at.

use nipworker_protocol::{Coordinate, EventId, PublicKey, RelayUrl, Tag};

use super::{Flaw, tags};

/// Where something may be found, as a stranger wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
pub struct RelayHint<'a>(&'a str);

impl<'a> RelayHint<'a> {
    /// `None` for an empty text: many clients write one to fill the place.
    pub(super) fn new(text: Option<&'a str>) -> Option<Self> {
        text.map(str::trim).filter(|text| !text.is_empty()).map(Self)
    }

    /// As written.
    pub fn as_str(&self) -> &'a str {
        self.0
    }

    /// In the one spelling of relay URLs; `None` when it is none.
    pub fn url(&self) -> Option<RelayUrl> {
        RelayUrl::parse(self.0).ok()
    }
}

/// A reference to an event (`e`, `E`, `q`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
pub struct EventRef<'a> {
    /// The event.
    pub id: EventId,
    /// Where it may be found.
    pub relay: Option<RelayHint<'a>>,
    /// Who is said to have written it.
    pub author: Option<PublicKey>,
    /// What it is to this event: `root`, `reply`, `redeemed`…
    pub marker: Option<&'a str>,
}

impl<'a> EventRef<'a> {
    /// The author stands after the relay, or after a marker (NIP-10).
    pub(super) fn of(tag: &'a Tag) -> Option<Self> {
        let key = |index| tag.get(index).and_then(|key| PublicKey::from_hex(key).ok());
        Some(Self {
            id: EventId::from_hex(tag.value()?).ok()?,
            relay: RelayHint::new(tag.get(2)),
            author: key(4).or_else(|| key(3)),
            marker: tag.get(3).filter(|marker| !marker.is_empty() && key(3).is_none()),
        })
    }
}

/// A reference to a person (`p`, `P`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
pub struct ProfileRef<'a> {
    /// The person's key.
    pub pubkey: PublicKey,
    /// Where the person may be found.
    pub relay: Option<RelayHint<'a>>,
    /// The fourth element: a pet name, a role, as the kind says.
    pub label: Option<&'a str>,
}

impl<'a> ProfileRef<'a> {
    pub(super) fn of(tag: &'a Tag) -> Option<Self> {
        Some(Self {
            pubkey: PublicKey::from_hex(tag.value()?).ok()?,
            relay: RelayHint::new(tag.get(2)),
            label: tag.get(3).filter(|label| !label.is_empty()),
        })
    }
}

/// A reference to a replaceable or addressable event (`a`, `A`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize)]
pub struct AddressRef<'a> {
    /// The address.
    pub address: Coordinate,
    /// Where it may be found.
    pub relay: Option<RelayHint<'a>>,
}

impl<'a> AddressRef<'a> {
    pub(super) fn of(tag: &'a Tag) -> Option<Self> {
        let address = tag.value()?.parse().ok()?;
        Some(Self { address, relay: RelayHint::new(tag.get(2)) })
    }
}

/// What a quote or a target is: an event or an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AnyRef<'a> {
    /// By id.
    Event(EventRef<'a>),
    /// By address.
    Address(AddressRef<'a>),
}

impl<'a> AnyRef<'a> {
    /// Of a `q` tag (NIP-18), whose value is an id or an address.
    pub(super) fn of(tag: &'a Tag) -> Option<Self> {
        EventRef::of(tag).map(Self::Event).or_else(|| AddressRef::of(tag).map(Self::Address))
    }
}

/// A list of references of one kind, and how many were passed over because they could not be
/// read.
pub(super) fn all<'a, T>(
    tags: &'a [Tag],
    name: &'a str,
    read: impl Fn(&'a Tag) -> Option<T>,
    skipped: &mut usize,
) -> Vec<T> {
    let mut found = Vec::new();
    for tag in tags::named(tags, name) {
        match read(tag) {
            Some(reference) => found.push(reference),
            None => *skipped += 1,
        }
    }
    found
}

/// The quotes (`q`, NIP-18).
pub(super) fn quotes(tags: &[Tag]) -> Vec<AnyRef<'_>> {
    tags::named(tags, "q").filter_map(AnyRef::of).collect()
}

/// The people (`p`).
pub(super) fn people(tags: &[Tag]) -> Vec<ProfileRef<'_>> {
    tags::named(tags, "p").filter_map(ProfileRef::of).collect()
}

/// The first tag of the name must be there and must be readable.
pub(super) fn required<'a, T>(
    tags: &'a [Tag],
    name: &'static str,
    expected: &'static str,
    read: impl Fn(&'a Tag) -> Option<T>,
) -> Result<T, Flaw> {
    let tag = tags::named(tags, name).next().ok_or(Flaw::MissingTag(name))?;
    read(tag).ok_or(Flaw::Tag { name, expected })
}
