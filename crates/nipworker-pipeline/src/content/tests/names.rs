use nipworker_protocol::{Coordinate, EventId, PublicKey, RelayUrl};
use nostr::nips::nip19::{FromBech32, Nip19};

use super::*;

fn relay(n: u8) -> RelayUrl {
    RelayUrl::parse(&format!("wss://relay{n}.example")).unwrap()
}

fn entities() -> impl Strategy<Value = Entity> {
    let relays = || proptest::collection::vec(any::<u8>().prop_map(relay), 0..MAX_RELAY_HINTS);
    let key = || any::<[u8; 32]>().prop_map(PublicKey::from_bytes);
    let id = || any::<[u8; 32]>().prop_map(EventId::from_bytes);
    prop_oneof![
        key().prop_map(Entity::PublicKey),
        id().prop_map(Entity::Note),
        (key(), relays()).prop_map(|(pubkey, relays)| Entity::Profile { pubkey, relays }),
        (id(), proptest::option::of(key()), any::<Option<u16>>(), relays())
            .prop_map(|(id, author, kind, relays)| Entity::Event { id, author, kind, relays }),
        (any::<u16>(), key(), "[a-zé:-]{0,60}", relays()).prop_map(
            |(kind, pubkey, identifier, relays)| {
                Entity::Address { address: Coordinate { kind, pubkey, identifier }, relays }
            }
        ),
    ]
}

/// Every byte string of `entity`, as another implementation reads it.
fn read_by_another(name: &str, entity: &Entity) -> bool {
    let urls = |relays: &[RelayUrl], theirs: &[nostr::types::RelayUrl]| {
        relays.len() == theirs.len()
            && relays
                .iter()
                .zip(theirs)
                .all(|(a, b)| a.as_str().trim_end_matches('/') == b.as_str().trim_end_matches('/'))
    };
    match (Nip19::from_bech32(name).unwrap(), entity) {
        (Nip19::Pubkey(theirs), Entity::PublicKey(key)) => theirs.as_bytes() == key.as_bytes(),
        (Nip19::EventId(theirs), Entity::Note(id)) => theirs.as_bytes() == id.as_bytes(),
        (Nip19::Profile(theirs), Entity::Profile { pubkey, relays }) => {
            theirs.public_key.as_bytes() == pubkey.as_bytes() && urls(relays, &theirs.relays)
        }
        (Nip19::Event(theirs), Entity::Event { id, author, kind, relays }) => {
            theirs.event_id.as_bytes() == id.as_bytes()
                && theirs.author.map(|key| *key.as_bytes()) == author.map(|key| *key.as_bytes())
                && theirs.kind.map(|kind| kind.as_u16()) == *kind
                && urls(relays, &theirs.relays)
        }
        (Nip19::Coordinate(theirs), Entity::Address { address, relays }) => {
            theirs.kind.as_u16() == address.kind
                && theirs.public_key.as_bytes() == address.pubkey.as_bytes()
                && theirs.identifier == address.identifier
                && urls(relays, &theirs.relays)
        }
        _ => false,
    }
}

proptest! {
    #[test]
    fn names_are_read_back_by_us_and_by_another_implementation(entity in entities()) {
        let name = entity.to_bech32().unwrap();
        prop_assert_eq!(Entity::parse(&name), Ok(entity.clone()));
        prop_assert_eq!(Entity::parse(&format!("nostr:{name}")), Ok(entity.clone()));
        if name.len() <= 1_023 {
            prop_assert!(read_by_another(&name, &entity));
        }
    }

    /// An earlier engine took names whose checksum was wrong: a slip of the pen named a stranger.
    #[test]
    fn a_name_with_one_changed_character_is_refused(
        entity in entities(), at in any::<proptest::sample::Index>(), by in 1..32_usize,
    ) {
        const LETTERS: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
        let mut name = entity.to_bech32().unwrap().into_bytes();
        let start = name.iter().rposition(|c| *c == b'1').unwrap() + 1;
        let at = start + at.index(name.len() - start);
        let old = LETTERS.iter().position(|c| *c == name[at]).unwrap();
        name[at] = LETTERS[(old + by) % 32];
        prop_assert_eq!(Entity::parse(&String::from_utf8(name).unwrap()), Err(Nip19Error::Bech32));
    }
}

fn name(prefix: &str, bytes: &[u8]) -> String {
    bech32::encode::<bech32::Bech32>(bech32::Hrp::parse(prefix).unwrap(), bytes).unwrap()
}

#[test]
fn cut_and_incomplete_names_are_refused_with_their_reason() {
    let part = |part: u8, value: &[u8]| [&[part, value.len() as u8], value].concat();
    for (name, reason) in [
        (name("npub", &[1; 31]), Nip19Error::Part),
        (name("note", &[1; 33]), Nip19Error::Part),
        (name("nprofile", &[]), Nip19Error::Missing("the key")),
        (name("nprofile", &part(0, &[1; 31])), Nip19Error::Part),
        (name("nprofile", &[0, 32, 1]), Nip19Error::Part),
        (name("nprofile", &[0]), Nip19Error::Part),
        (name("nevent", &part(2, &[1; 32])), Nip19Error::Missing("the event id")),
        (name("nevent", &[part(0, &[1; 32]), part(3, &[1])].concat()), Nip19Error::Part),
        (name("nevent", &[part(0, &[1; 32]), part(3, &[0, 1, 0, 0])].concat()), Nip19Error::Part),
        (name("naddr", &part(0, b"x")), Nip19Error::Missing("the kind")),
        (
            name("naddr", &[part(0, b"x"), part(3, &[0; 4])].concat()),
            Nip19Error::Missing("the key"),
        ),
        (name("nrelay", b"wss://x"), Nip19Error::Prefix),
        (name("ncryptsec", &[2; 91]), Nip19Error::Secret),
        ("npub".to_owned(), Nip19Error::Bech32),
        (String::new(), Nip19Error::Bech32),
    ] {
        assert_eq!(Entity::parse(&name), Err(reason), "{name}");
    }
}

#[test]
fn the_newer_checksum_of_bitcoin_addresses_is_not_taken() {
    let prefix = bech32::Hrp::parse("npub").unwrap();
    let name = bech32::encode::<bech32::Bech32m>(prefix, &[1; 32]).unwrap();
    assert_eq!(Entity::parse(&name), Err(Nip19Error::Bech32));
}

#[test]
fn a_useless_hint_does_not_cost_the_name_and_hints_are_bounded() {
    let mut bytes = [&[0, 32][..], &[7; 32]].concat();
    for hint in ["", "http://a.b", "wss://relay1.example/", "wss://\u{7f}"] {
        bytes.extend([1, hint.len() as u8]);
        bytes.extend(hint.as_bytes());
    }
    bytes.extend([2, 1, 9, 77, 2, 1, 1]);
    let expected = Entity::Event {
        id: EventId::from_bytes([7; 32]),
        author: None,
        kind: None,
        relays: vec![relay(1)],
    };
    assert_eq!(Entity::parse(&name("nevent", &bytes)), Ok(expected));

    let relays: Vec<_> = (0..50).map(relay).collect();
    let pubkey = PublicKey::from_bytes([1; 32]);
    let name = Entity::Profile { pubkey, relays }.to_bech32().unwrap();
    assert!(name.len() > 1_023);
    let Ok(Entity::Profile { relays, .. }) = Entity::parse(&name) else { panic!("{name}") };
    assert_eq!(relays.len(), MAX_RELAY_HINTS);
}

#[test]
fn an_identifier_that_does_not_fit_is_an_error_and_not_cut() {
    let pubkey = PublicKey::from_bytes([1; 32]);
    let address = |length| Coordinate { kind: 30_023, pubkey, identifier: "x".repeat(length) };
    let name = |length| Entity::Address { address: address(length), relays: vec![] }.to_bech32();
    assert!(name(255).is_ok());
    assert_eq!(name(256), Err(Nip19Error::TooLong));
}
