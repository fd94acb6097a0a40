//! Badges: definitions (kind 30009), awards (kind 8), what somebody wears (kinds 10008 and
//! 30008; NIP-58).

use nipworker_protocol::Coordinate;

use super::{AddressRef, EventRef, Flaw, ProfileRef, Source, refs, tags};

/// What a badge is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct BadgeDefinition<'a> {
    /// Its address.
    pub address: Coordinate,
    /// Its name.
    pub name: Option<&'a str>,
    /// What it stands for.
    pub description: Option<&'a str>,
    /// Its picture.
    pub image: Option<&'a str>,
    /// Smaller pictures.
    pub thumbs: Vec<&'a str>,
}

impl<'a> BadgeDefinition<'a> {
    pub(super) fn read(source: Source<'a>) -> Result<Self, Flaw> {
        tags::required(source.tags, "d")?;
        Ok(Self {
            address: source.address(),
            name: tags::value(source.tags, "name"),
            description: tags::value(source.tags, "description"),
            image: tags::value(source.tags, "image"),
            thumbs: tags::values(source.tags, "thumb").collect(),
        })
    }
}

/// A badge given to people. It is genuine only where the address is the awarder's own.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct BadgeAward<'a> {
    /// What is given: mostly a badge definition, sometimes a calendar event or another address.
    pub badge: AddressRef<'a>,
    /// To whom.
    pub recipients: Vec<ProfileRef<'a>>,
    /// Whether the awarder defined the badge; anybody can write the other sort.
    pub by_owner: bool,
    /// Words that go with it; may be empty.
    pub comment: &'a str,
    /// Recipients passed over because they hold no key.
    pub skipped: usize,
}

impl<'a> BadgeAward<'a> {
    pub(super) fn read(source: Source<'a>) -> Result<Self, Flaw> {
        let badge = refs::required(source.tags, "a", "an address", AddressRef::of)?;
        let mut skipped = 0;
        Ok(Self {
            by_owner: badge.address.pubkey == source.pubkey,
            badge,
            recipients: refs::all(source.tags, "p", ProfileRef::of, &mut skipped),
            comment: source.content,
            skipped,
        })
    }
}

/// A badge that somebody wears: its definition and the award of it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct WornBadge<'a> {
    /// The definition.
    pub badge: AddressRef<'a>,
    /// The award.
    pub award: EventRef<'a>,
}

/// The badges that somebody wears, in order.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ProfileBadges<'a> {
    /// An `a` tag with the `e` tag that follows it.
    pub badges: Vec<WornBadge<'a>>,
}

impl<'a> ProfileBadges<'a> {
    pub(super) fn read(source: Source<'a>) -> Result<Self, Flaw> {
        let pairs = source.tags.windows(2).filter_map(|pair| match pair {
            [badge, award] if badge.name() == "a" && award.name() == "e" => {
                Some(WornBadge { badge: AddressRef::of(badge)?, award: EventRef::of(award)? })
            }
            _ => None,
        });
        Ok(Self { badges: pairs.collect() })
    }
}
