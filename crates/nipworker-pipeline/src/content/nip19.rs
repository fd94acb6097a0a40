//! The bech32 names of keys, events and addresses (NIP-19), and their URIs (NIP-21).

use bech32::Hrp;
use nipworker_protocol::{Coordinate, EventId, PublicKey, RelayUrl};

use super::long_bech32::{LongBech32, checked};

/// Relay hints that are kept of one entity; more are dropped. A name is written by a stranger,
/// and each hint may become a connection.
pub const MAX_RELAY_HINTS: usize = 8;

/// The scheme of NIP-21.
const SCHEME: &str = "nostr:";

const SPECIAL: u8 = 0;
const RELAY: u8 = 1;
const AUTHOR: u8 = 2;
const KIND: u8 = 3;

/// Why a text names nothing of Nostr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Nip19Error {
    /// Not bech32, too long, or the checksum is wrong: a character was lost or changed.
    #[error("not bech32, or its checksum is wrong")]
    Bech32,
    /// Good bech32, but not `npub`, `note`, `nprofile`, `nevent` or `naddr`.
    #[error("not a name of a key, event or address")]
    Prefix,
    /// A secret key (`nsec`, `ncryptsec`). It is never a mention, and is not handed on.
    #[error("a secret key is no mention")]
    Secret,
    /// A part has a wrong length or the list of parts ends early.
    #[error("a part of the name is cut or has a wrong length")]
    Part,
    /// A part without which the name means nothing is not there.
    #[error("{0} is missing from the name")]
    Missing(&'static str),
    /// A part to be written is longer than 255 bytes, or the whole longer than 7,089 characters.
    #[error("too long to be written as a name")]
    TooLong,
}

/// What a NIP-19 name points at.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Entity {
    /// `npub`: a key.
    PublicKey(PublicKey),
    /// `note`: an event.
    Note(EventId),
    /// `nprofile`: a key and where its owner writes.
    Profile {
        /// The key.
        pubkey: PublicKey,
        /// Relay hints, at most [`MAX_RELAY_HINTS`].
        relays: Vec<RelayUrl>,
    },
    /// `nevent`: an event and where it may be found.
    Event {
        /// Its id.
        id: EventId,
        /// Who is said to have written it.
        author: Option<PublicKey>,
        /// The kind it is said to have.
        kind: Option<u16>,
        /// Relay hints, at most [`MAX_RELAY_HINTS`].
        relays: Vec<RelayUrl>,
    },
    /// `naddr`: a replaceable or addressable event.
    Address {
        /// Its address.
        address: Coordinate,
        /// Relay hints, at most [`MAX_RELAY_HINTS`].
        relays: Vec<RelayUrl>,
    },
}

impl Entity {
    /// Reads a name, with or without `nostr:` before it. The checksum is verified. Relay hints
    /// that are no URLs and parts that NIP-19 does not name are passed over.
    ///
    /// # Errors
    /// See [`Nip19Error`].
    pub fn parse(text: &str) -> Result<Self, Nip19Error> {
        let text = match text.get(..SCHEME.len()) {
            Some(scheme) if scheme.eq_ignore_ascii_case(SCHEME) => &text[SCHEME.len()..],
            _ => text,
        };
        let checked = checked(text).ok_or(Nip19Error::Bech32)?;
        let prefix = checked.hrp().to_lowercase();
        // Before any byte of it is copied.
        if matches!(prefix.as_str(), "nsec" | "ncryptsec") {
            return Err(Nip19Error::Secret);
        }
        let bytes: Vec<u8> = checked.byte_iter().collect();
        match prefix.as_str() {
            "npub" => key(&bytes).map(Self::PublicKey),
            "note" => EventId::from_slice(&bytes).map(Self::Note).ok_or(Nip19Error::Part),
            "nprofile" => {
                let parts = Parts::read(&bytes)?;
                let pubkey = parts.special.ok_or(Nip19Error::Missing("the key"))?;
                Ok(Self::Profile { pubkey: key(pubkey)?, relays: parts.relays })
            }
            "nevent" => {
                let parts = Parts::read(&bytes)?;
                let id = parts.special.ok_or(Nip19Error::Missing("the event id"))?;
                Ok(Self::Event {
                    id: EventId::from_slice(id).ok_or(Nip19Error::Part)?,
                    // A hint only: without it the event is found all the same.
                    author: parts.author.and_then(PublicKey::from_slice),
                    kind: parts.kind,
                    relays: parts.relays,
                })
            }
            "naddr" => {
                let parts = Parts::read(&bytes)?;
                let identifier = parts.special.ok_or(Nip19Error::Missing("the identifier"))?;
                let address = Coordinate {
                    kind: parts.kind.ok_or(Nip19Error::Missing("the kind"))?,
                    pubkey: key(parts.author.ok_or(Nip19Error::Missing("the key"))?)?,
                    identifier: std::str::from_utf8(identifier)
                        .map_err(|_| Nip19Error::Part)?
                        .to_owned(),
                };
                Ok(Self::Address { address, relays: parts.relays })
            }
            _ => Err(Nip19Error::Prefix),
        }
    }

    /// The name as text, without `nostr:`.
    ///
    /// # Errors
    /// [`Nip19Error::TooLong`]: an identifier or a relay URL of more than 255 bytes.
    pub fn to_bech32(&self) -> Result<String, Nip19Error> {
        let mut bytes = Vec::with_capacity(128);
        let prefix = match self {
            Self::PublicKey(pubkey) => {
                bytes.extend(pubkey.as_bytes());
                "npub"
            }
            Self::Note(id) => {
                bytes.extend(id.as_bytes());
                "note"
            }
            Self::Profile { pubkey, relays } => {
                push(&mut bytes, SPECIAL, pubkey.as_bytes())?;
                push_relays(&mut bytes, relays)?;
                "nprofile"
            }
            Self::Event { id, author, kind, relays } => {
                push(&mut bytes, SPECIAL, id.as_bytes())?;
                push_relays(&mut bytes, relays)?;
                if let Some(author) = author {
                    push(&mut bytes, AUTHOR, author.as_bytes())?;
                }
                if let Some(kind) = kind {
                    push(&mut bytes, KIND, &u32::from(*kind).to_be_bytes())?;
                }
                "nevent"
            }
            Self::Address { address, relays } => {
                push(&mut bytes, SPECIAL, address.identifier.as_bytes())?;
                push_relays(&mut bytes, relays)?;
                push(&mut bytes, AUTHOR, address.pubkey.as_bytes())?;
                push(&mut bytes, KIND, &u32::from(address.kind).to_be_bytes())?;
                "naddr"
            }
        };
        let prefix = Hrp::parse(prefix).map_err(|_| Nip19Error::Prefix)?;
        bech32::encode_lower::<LongBech32>(prefix, &bytes).map_err(|_| Nip19Error::TooLong)
    }
}

fn key(bytes: &[u8]) -> Result<PublicKey, Nip19Error> {
    PublicKey::from_slice(bytes).ok_or(Nip19Error::Part)
}

fn push(bytes: &mut Vec<u8>, part: u8, value: &[u8]) -> Result<(), Nip19Error> {
    let length = u8::try_from(value.len()).map_err(|_| Nip19Error::TooLong)?;
    bytes.extend([part, length]);
    bytes.extend(value);
    Ok(())
}

fn push_relays(bytes: &mut Vec<u8>, relays: &[RelayUrl]) -> Result<(), Nip19Error> {
    relays.iter().try_for_each(|relay| push(bytes, RELAY, relay.as_str().as_bytes()))
}

/// The type-length-value list. Of a part that may stand once, the first counts.
#[derive(Default)]
struct Parts<'a> {
    special: Option<&'a [u8]>,
    author: Option<&'a [u8]>,
    kind: Option<u16>,
    relays: Vec<RelayUrl>,
}

impl<'a> Parts<'a> {
    fn read(mut bytes: &'a [u8]) -> Result<Self, Nip19Error> {
        let mut parts = Self::default();
        while let [part, length, rest @ ..] = bytes {
            let (value, rest) = rest.split_at_checked((*length).into()).ok_or(Nip19Error::Part)?;
            match *part {
                SPECIAL => parts.special = parts.special.or(Some(value)),
                AUTHOR => parts.author = parts.author.or(Some(value)),
                KIND if parts.kind.is_none() => {
                    let kind: [u8; 4] = value.try_into().map_err(|_| Nip19Error::Part)?;
                    let kind = u32::from_be_bytes(kind).try_into();
                    parts.kind = Some(kind.map_err(|_| Nip19Error::Part)?);
                }
                RELAY if parts.relays.len() < MAX_RELAY_HINTS => {
                    let url = std::str::from_utf8(value).ok();
                    parts.relays.extend(url.and_then(|url| RelayUrl::parse(url).ok()));
                }
                _ => {}
            }
            bytes = rest;
        }
        if bytes.is_empty() { Ok(parts) } else { Err(Nip19Error::Part) }
    }
}
