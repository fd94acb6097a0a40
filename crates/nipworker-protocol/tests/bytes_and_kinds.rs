//! Fixed-size bytes, kinds and addresses.
#![allow(clippy::unwrap_used)]

mod common;

use common::event;
use nipworker_protocol::{
    Attestation, Coordinate, Event, EventId, KindClass, ParseBytesError, PublicKey, Signature, Tag,
    Verified,
};
use proptest::prelude::*;

#[test]
fn hex_is_lower_case_and_of_the_right_length() {
    let text = "0123456789abcdef".repeat(4);
    let id = EventId::from_hex(&text).unwrap();
    assert_eq!((id.to_hex(), id.to_string()), (text.clone(), text.clone()));
    assert_eq!(format!("{id:?}"), format!("EventId({text})"));
    assert_eq!(
        EventId::from_hex(&text[1..]),
        Err(ParseBytesError::Length { expected: 64, got: 63 })
    );
    assert_eq!(EventId::from_hex(""), Err(ParseBytesError::Length { expected: 64, got: 0 }));
    let upper = text.replacen('a', "A", 1);
    assert_eq!(EventId::from_hex(&upper), Err(ParseBytesError::Character { at: 10 }));
    assert_eq!(EventId::from_hex(&"é".repeat(32)), Err(ParseBytesError::Character { at: 0 }));
    assert!(Signature::from_hex(&text).is_err() && Signature::from_hex(&text.repeat(2)).is_ok());
}

#[test]
fn slices_must_have_the_right_length() {
    for length in [0, 31, 32, 33, 64] {
        assert_eq!(PublicKey::from_slice(&vec![1; length]).is_some(), length == PublicKey::LEN);
        assert_eq!(Signature::from_slice(&vec![1; length]).is_some(), length == Signature::LEN);
    }
}

#[test]
fn classes_change_exactly_where_nip_01_says() {
    for (kind, class) in [
        (0, KindClass::Replaceable),
        (1, KindClass::Regular),
        (2, KindClass::Regular),
        (3, KindClass::Replaceable),
        (4, KindClass::Regular),
        (9_999, KindClass::Regular),
        (10_000, KindClass::Replaceable),
        (19_999, KindClass::Replaceable),
        (20_000, KindClass::Ephemeral),
        (29_999, KindClass::Ephemeral),
        (30_000, KindClass::Addressable),
        (39_999, KindClass::Addressable),
        (40_000, KindClass::Regular),
        (65_535, KindClass::Regular),
    ] {
        assert_eq!(KindClass::of(kind), class, "{kind}");
    }
}

#[test]
fn addresses_name_author_kind_and_d_tag() {
    let of = |kind, tags| Coordinate::of(&Event { kind, tags, ..event() });
    assert_eq!(of(1, vec![]), None);
    assert_eq!(of(20_000, vec![Tag::new(["d", "x"])]), None);
    assert_eq!(of(0, vec![Tag::new(["d", "x"])]).unwrap().identifier, "");
    assert_eq!(of(30_000, vec![]).unwrap().identifier, "");
    assert_eq!(of(30_000, vec![Tag::new(["d"])]).unwrap().identifier, "");
    let tags = vec![Tag::new(["d", "a:b"]), Tag::new(["d", "c"])];
    let address = of(30_000, tags).unwrap();
    assert_eq!(address.identifier, "a:b");
    assert_eq!(address.to_string(), format!("30000:{}:a:b", event().pubkey));
    assert_eq!(address.to_string().parse(), Ok(address));
}

#[test]
fn what_is_no_address_is_refused() {
    let key = event().pubkey;
    for text in ["", "30000", "30000:", "x:y:z", &format!("65536:{key}:"), &format!("-1:{key}:x")] {
        assert!(text.parse::<Coordinate>().is_err(), "{text:?}");
    }
    let short: Coordinate = format!("0:{key}").parse().unwrap();
    assert_eq!(short.identifier, "");
}

#[test]
fn a_verified_event_reads_like_the_event() {
    let verified = Verified::attest(event(), Attestation::FromEdge);
    assert_eq!(verified.content, "hello");
    assert_eq!(verified.into_inner(), event());
}

proptest! {
    #[test]
    fn bytes_survive_hex_and_json(bytes: [u8; 32]) {
        let key = PublicKey::from_bytes(bytes);
        prop_assert_eq!(PublicKey::from_hex(&key.to_hex()).unwrap(), key);
        let json = serde_json::to_string(&key).unwrap();
        prop_assert_eq!(&json, &format!("\"{key}\""));
        prop_assert_eq!(serde_json::from_str::<PublicKey>(&json).unwrap(), key);
    }
}
