//! Kind numbers and what a relay does with them (NIP-01).

use std::{fmt, str::FromStr};

use crate::{Event, PublicKey};

/// Kind numbers that the engine itself gives a meaning to.
pub mod kinds {
    /// User metadata (NIP-01).
    pub const METADATA: u16 = 0;
    /// Short text note (NIP-10).
    pub const TEXT_NOTE: u16 = 1;
    /// Follow list (NIP-02).
    pub const CONTACTS: u16 = 3;
    /// Encrypted direct message (NIP-04).
    pub const DIRECT_MESSAGE: u16 = 4;
    /// Deletion request (NIP-09).
    pub const DELETION: u16 = 5;
    /// Request to vanish (NIP-62).
    pub const VANISH: u16 = 62;
    /// Gift wrap (NIP-59).
    pub const GIFT_WRAP: u16 = 1059;
    /// Relay list (NIP-65).
    pub const RELAY_LIST: u16 = 10002;
}

/// How events of a kind are kept (NIP-01).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KindClass {
    /// Every event is kept.
    Regular,
    /// One per author and kind is kept: the newest, the lowest id where times tie.
    Replaceable,
    /// Never stored, only passed on.
    Ephemeral,
    /// One per author, kind and `d` tag is kept.
    Addressable,
}

impl KindClass {
    /// The class of a kind number.
    ///
    /// NIP-01 lists the ranges; 0 and 3 are replaceable, and a kind that no range names
    /// (40 000 and above) is regular.
    pub const fn of(kind: u16) -> Self {
        match kind {
            0 | 3 | 10_000..=19_999 => Self::Replaceable,
            20_000..=29_999 => Self::Ephemeral,
            30_000..=39_999 => Self::Addressable,
            _ => Self::Regular,
        }
    }
}

/// The address of a replaceable or addressable event: `kind:pubkey:d` (the `a` tag of NIP-01).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Coordinate {
    /// Kind number.
    pub kind: u16,
    /// Author.
    pub pubkey: PublicKey,
    /// Value of the `d` tag; empty for replaceable kinds.
    pub identifier: String,
}

impl Coordinate {
    /// The address of `event`; `None` when its kind is neither replaceable nor addressable.
    pub fn of(event: &Event) -> Option<Self> {
        let identifier = match KindClass::of(event.kind) {
            KindClass::Replaceable => String::new(),
            KindClass::Addressable => event.tag_value("d").unwrap_or_default().to_owned(),
            KindClass::Regular | KindClass::Ephemeral => return None,
        };
        Some(Self { kind: event.kind, pubkey: event.pubkey, identifier })
    }
}

impl fmt::Display for Coordinate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.kind, self.pubkey, self.identifier)
    }
}

/// As text: `kind:pubkey:d`.
impl serde::Serialize for Coordinate {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for Coordinate {
    type Err = &'static str;

    /// Reads `kind:pubkey:d`; the identifier may hold colons and may be left out.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.splitn(3, ':');
        let kind = parts
            .next()
            .and_then(|kind| kind.parse().ok())
            .ok_or("address must begin with a kind number from 0 to 65535")?;
        let pubkey = parts
            .next()
            .and_then(|key| PublicKey::from_hex(key).ok())
            .ok_or("address needs a public key of 64 hex characters after the kind")?;
        Ok(Self { kind, pubkey, identifier: parts.next().unwrap_or_default().to_owned() })
    }
}
