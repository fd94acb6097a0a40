#![allow(clippy::unwrap_used)]

use super::*;

// The key pair that NIP-19 uses as its example.
const SECRET_HEX: &str = "67dea2ed018072d675f5415ecfaed7d2597555e202d85b3d65ea4e58d2d92ffa";
const NSEC_TEXT: &str = "nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5";
const PUBLIC_HEX: &str = "7e7e9c42a91bfef19fa929e5fda1b72e0ebc1a4c1141673e2794234d86addf4e";
const NPUB_TEXT: &str = "npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qzvjptg";
const ORDER: &str = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";

#[test]
fn hex_and_nsec_are_the_same_key() {
    let a = SecretKey::parse(SECRET_HEX).unwrap();
    let b = SecretKey::parse(NSEC_TEXT).unwrap();
    assert_eq!(a.public_key(), b.public_key());
    assert_eq!(a.public_key().to_hex(), PUBLIC_HEX);
    assert_eq!(*a.to_nsec(), NSEC_TEXT);
    assert_eq!(*b.to_hex(), SECRET_HEX);
}

#[test]
fn hex_and_npub_are_the_same_key() {
    let key = parse_public_key(NPUB_TEXT).unwrap();
    assert_eq!(key.to_hex(), PUBLIC_HEX);
    assert_eq!(parse_public_key(PUBLIC_HEX).unwrap(), key);
    assert_eq!(npub(&key), NPUB_TEXT);
}

#[test]
fn upper_case_and_surrounding_white_space_are_read_mixed_case_is_not() {
    let key = SecretKey::parse(&format!(" {}\n", NSEC_TEXT.to_uppercase())).unwrap();
    assert_eq!(*key.to_hex(), SECRET_HEX);
    assert!(SecretKey::parse(&SECRET_HEX.to_uppercase()).is_ok());
    let mixed = NSEC_TEXT.replacen('v', "V", 1);
    assert_eq!(SecretKey::parse(&mixed).unwrap_err(), KeyError::NotAKey { expected: "nsec" });
}

#[test]
fn zero_and_what_is_not_below_the_order_are_refused() {
    let above = ORDER.replace("4141", "4142");
    for text in ["0".repeat(64), ORDER.to_owned(), above, "f".repeat(64)] {
        assert_eq!(SecretKey::parse(&text).unwrap_err(), KeyError::OutOfRange, "{text}");
    }
    let largest = ORDER.replace("4141", "4140");
    assert_eq!(*SecretKey::parse(&largest).unwrap().to_hex(), largest);
    let zero = write_bech32(NSEC, &[0; 32]);
    assert_eq!(SecretKey::parse(&zero).unwrap_err(), KeyError::OutOfRange);
}

#[test]
fn every_single_wrong_character_is_caught_by_the_checksum() {
    for at in 5..NSEC_TEXT.len() {
        for other in "qpzry9x8gf2tvdw0s3jn54khce6mua7l".chars() {
            let mut text: Vec<char> = NSEC_TEXT.chars().collect();
            if text[at] == other {
                continue;
            }
            text[at] = other;
            let text: String = text.into_iter().collect();
            assert_eq!(
                SecretKey::parse(&text).unwrap_err(),
                KeyError::NotAKey { expected: "nsec" },
                "character {at} as {other}"
            );
        }
    }
}

#[test]
fn the_wrong_kind_of_bech32_is_named() {
    let error = SecretKey::parse(NPUB_TEXT).unwrap_err();
    assert_eq!(error.to_string(), "expected nsec1…, got npub1…");
    let error = parse_public_key(NSEC_TEXT).unwrap_err();
    assert_eq!(error.to_string(), "expected npub1…, got nsec1…");
}

#[test]
fn another_length_is_refused() {
    for length in [0, 1, 20, 31, 33, 40] {
        let text = bech32::encode::<Bech32>(NSEC, &vec![1; length]).unwrap();
        let got = length.min(33);
        assert_eq!(SecretKey::parse(&text).unwrap_err(), KeyError::Length { got });
    }
    for text in ["", " ", "nsec", "nsec1", &"1".repeat(63), &"1".repeat(65), &"x".repeat(64)] {
        assert_eq!(SecretKey::parse(text).unwrap_err(), KeyError::NotAKey { expected: "nsec" });
    }
}

#[test]
fn bech32m_is_not_nip_19() {
    let text = bech32::encode::<bech32::Bech32m>(NSEC, &[1; 32]).unwrap();
    assert_eq!(SecretKey::parse(&text).unwrap_err(), KeyError::NotAKey { expected: "nsec" });
}

#[test]
fn a_public_key_off_the_curve_is_refused() {
    let off = "eefdea4cdb677750a420fee807eacf21eb9898ae79b9768766e4faa04a2d4a34";
    assert_eq!(parse_public_key(off).unwrap_err(), KeyError::NotOnCurve);
    assert_eq!(parse_public_key(&"f".repeat(64)).unwrap_err(), KeyError::NotOnCurve);
}

#[test]
fn neither_debug_nor_errors_show_the_secret() {
    let key = SecretKey::parse(SECRET_HEX).unwrap();
    let signer = crate::PrivateKeySigner::new(key.clone());
    let shown = format!("{key:?} {key:#?} {signer:?} {signer:#?}");
    assert!(!shown.contains(&SECRET_HEX[..8]) && !shown.contains(&NSEC_TEXT[5..13]), "{shown}");
    let broken = NSEC_TEXT.replace("fe5", "fe4");
    for text in [broken.as_str(), &SECRET_HEX[1..], &format!("{SECRET_HEX}0")] {
        let error = SecretKey::parse(text).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(&text[5..13]), "{shown}");
    }
}

#[test]
fn generated_keys_differ_and_read_back() {
    let a = SecretKey::generate().unwrap();
    let b = SecretKey::generate().unwrap();
    assert_ne!(a.public_key(), b.public_key());
    assert_eq!(SecretKey::parse(&a.to_nsec()).unwrap().public_key(), a.public_key());
}

#[test]
fn a_dropped_key_leaves_no_secret_in_its_place() {
    let mut key = SecretKey::parse(SECRET_HEX).unwrap();
    let before = key.0.secret_bytes();
    key.0.non_secure_erase();
    assert_ne!(key.0.secret_bytes(), before);
}

proptest::proptest! {
    #[test]
    fn any_text_is_a_key_or_an_error(text in ".{0,100}") {
        _ = SecretKey::parse(&text);
        _ = parse_public_key(&text);
    }

    #[test]
    fn any_bytes_in_range_survive_the_text_forms(bytes: [u8; 32]) {
        if let Ok(key) = SecretKey::from_bytes(&bytes) {
            proptest::prop_assert_eq!(&*key.to_hex(), &hex::encode(bytes));
            let again = SecretKey::parse(&key.to_nsec()).unwrap();
            proptest::prop_assert_eq!(&*again.to_hex(), &hex::encode(bytes));
            let public = key.public_key();
            proptest::prop_assert_eq!(parse_public_key(&npub(&public)).unwrap(), public);
        }
    }
}
