//! Names of keys, events and addresses (NIP-19), and keys as text.

use nipworker_pipeline::content::{Entity, MAX_RELAY_HINTS, Nip19Error};
use nipworker_signer::{SecretKey, npub, parse_public_key};

use crate::checked_bech32;

const PREFIXES: [&str; 8] =
    ["npub", "note", "nprofile", "nevent", "naddr", "nsec", "ncryptsec", "nrelay"];

pub(super) fn run(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        read(text);
    }
    // The same bytes as what a name says: the first one chooses the prefix.
    let Some((first, rest)) = bytes.split_first() else { return };
    let prefix = PREFIXES[usize::from(*first) % PREFIXES.len()];
    let Some(text) = checked_bech32::of_bytes(prefix, rest) else { return };
    read(&text);
    read(&format!("nostr:{text}"));
    read(&text.to_uppercase());
    if prefix == "nsec" {
        assert_eq!(Entity::parse(&text).err(), read_secret(&text));
    }
    if let (b"npub", Ok(bytes)) = (prefix.as_bytes(), <[u8; 32]>::try_from(rest)) {
        let Ok(Entity::PublicKey(key)) = Entity::parse(&text) else { panic!("32 bytes are a key") };
        assert_eq!(key.as_bytes(), &bytes);
        assert_eq!(npub(&key), text);
    }
}

/// A secret is refused before its length is looked at, unless the text is too long to be read.
fn read_secret(text: &str) -> Option<Nip19Error> {
    Some(if text.len() > 7_089 { Nip19Error::Bech32 } else { Nip19Error::Secret })
}

fn read(text: &str) {
    if let Ok(entity) = Entity::parse(text) {
        if let Entity::Profile { relays, .. }
        | Entity::Event { relays, .. }
        | Entity::Address { relays, .. } = &entity
        {
            assert!(relays.len() <= MAX_RELAY_HINTS);
        }
        if let Ok(written) = entity.to_bech32() {
            assert_eq!(Entity::parse(&written), Ok(entity), "what was written is read the same");
        }
    }
    if let Ok(key) = parse_public_key(text) {
        assert_eq!(parse_public_key(&npub(&key)), Ok(key));
    }
    if let Ok(secret) = SecretKey::parse(text) {
        let again = SecretKey::parse(&secret.to_nsec()).map(|key| key.public_key());
        assert_eq!(again, Ok(secret.public_key()));
        assert!(!format!("{secret:?}").contains(secret.to_hex().as_str()));
    }
}
