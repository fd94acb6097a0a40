//! The official vectors of NIP-44, and faults of others that must not be ours.
#![allow(clippy::unwrap_used)]

use nostr::nips::nip44::v2::ConversationKey;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{nip04, nip44, *};
use crate::PrivateKeySigner;

const LIMITS: CipherLimits =
    CipherLimits { max_plaintext_bytes: CipherLimits::DEFAULT_MAX_PLAINTEXT_BYTES };

fn vectors(kind: &str, name: &str) -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/nip44.vectors.json");
    let all: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let list = all["v2"][kind][name].as_array().unwrap_or_else(|| panic!("{kind}.{name}")).clone();
    assert!(!list.is_empty());
    list
}

fn str_of<'a>(vector: &'a Value, key: &str) -> &'a str {
    vector[key].as_str().unwrap_or_else(|| panic!("{key} in {vector}"))
}

fn bytes_of(vector: &Value, key: &str) -> [u8; 32] {
    hex::decode(str_of(vector, key)).unwrap().try_into().unwrap()
}

fn secret_of(vector: &Value, key: &str) -> SecretKey {
    SecretKey::from_bytes(&bytes_of(vector, key)).unwrap()
}

fn conversation(secret: &SecretKey, peer: &PublicKey) -> Result<String, CipherError> {
    let (secret, peer) = keys(secret, peer)?;
    let key = ConversationKey::derive(&secret, &peer).map_err(|_| CipherError::Peer)?;
    Ok(hex::encode(key.as_bytes()))
}

fn pair() -> (SecretKey, SecretKey) {
    (SecretKey::generate().unwrap(), SecretKey::generate().unwrap())
}

#[test]
fn the_official_conversation_keys_come_out() {
    for vector in vectors("valid", "get_conversation_key") {
        let peer = PublicKey::from_bytes(bytes_of(&vector, "pub2"));
        let key = conversation(&secret_of(&vector, "sec1"), &peer).unwrap();
        assert_eq!(key, str_of(&vector, "conversation_key"));
    }
}

#[test]
fn keys_that_the_vectors_call_invalid_are_refused() {
    for vector in vectors("invalid", "get_conversation_key") {
        let note = str_of(&vector, "note");
        let peer = PublicKey::from_bytes(bytes_of(&vector, "pub2"));
        let refused = match SecretKey::from_bytes(&bytes_of(&vector, "sec1")) {
            Err(_) => true,
            Ok(secret) => {
                nip44::encrypt(LIMITS, &secret, &peer, "x") == Err(CipherError::Peer)
                    && conversation(&secret, &peer).is_err()
            }
        };
        assert!(refused, "{note}");
    }
}

#[test]
fn the_official_payloads_come_out_and_are_read_by_both_sides() {
    for vector in vectors("valid", "encrypt_decrypt") {
        let (one, two) = (secret_of(&vector, "sec1"), secret_of(&vector, "sec2"));
        let plaintext = str_of(&vector, "plaintext");
        let payload = str_of(&vector, "payload");
        let nonce = bytes_of(&vector, "nonce");
        let made = nip44::encrypt_with_nonce(LIMITS, &one, &two.public_key(), plaintext, nonce);
        assert_eq!(made.as_deref(), Ok(payload));
        for (reader, writer) in [(&one, &two), (&two, &one)] {
            let read = Scheme::Nip44.decrypt(LIMITS, reader, &writer.public_key(), payload);
            assert_eq!(read.unwrap().expose(), plaintext);
        }
    }
}

/// These vectors give the conversation key alone: the library's primitive gives the published
/// payload, and with keys of our own the size is the same and the text comes back. The longest
/// is over the largest limit there is.
#[test]
fn long_texts_of_the_vectors_come_back_whole() {
    let (one, two) = pair();
    let limits = CipherLimits::with_max_plaintext_bytes(MAX_NIP44_PLAINTEXT_BYTES);
    for vector in vectors("valid", "encrypt_decrypt_long_msg") {
        let repeat = usize::try_from(vector["repeat"].as_u64().unwrap()).unwrap();
        let plaintext = str_of(&vector, "pattern").repeat(repeat);
        let digest = hex::encode(Sha256::digest(plaintext.as_bytes()));
        assert_eq!(digest, str_of(&vector, "plaintext_sha256"));
        if repeat > MAX_NIP44_PLAINTEXT_BYTES {
            let got = plaintext.len();
            let limit = MAX_NIP44_PLAINTEXT_BYTES;
            let refused = Scheme::Nip44.encrypt(limits, &one, &two.public_key(), &plaintext);
            assert_eq!(refused, Err(CipherError::PlaintextTooLong { got, limit }));
            continue;
        }
        let key = ConversationKey::from_slice(&bytes_of(&vector, "conversation_key")).unwrap();
        let official = nostr::nips::nip44::v2::encrypt_to_bytes_with_nonce(
            &key,
            plaintext.as_bytes(),
            bytes_of(&vector, "nonce"),
        );
        let official = base64_encode(&official.unwrap());
        let digest = hex::encode(Sha256::digest(official.as_bytes()));
        assert_eq!(digest, str_of(&vector, "payload_sha256"));
        let payload = Scheme::Nip44.encrypt(limits, &one, &two.public_key(), &plaintext).unwrap();
        assert_eq!(payload.len(), official.len());
        let read = Scheme::Nip44.decrypt(limits, &two, &one.public_key(), &payload).unwrap();
        assert!(read.expose() == plaintext);
    }
}

#[test]
fn padding_has_the_official_lengths() {
    for vector in vectors("valid", "calc_padded_len") {
        let [bytes, padded] = [0, 1].map(|n| usize::try_from(vector[n].as_u64().unwrap()).unwrap());
        assert_eq!(nip44::padded_bytes(bytes), padded, "{bytes}");
    }
}

#[test]
fn texts_of_the_lengths_that_the_vectors_call_invalid_are_refused_and_more_on_request() {
    let (one, two) = pair();
    for length in vectors("invalid", "encrypt_msg_lengths") {
        let got = usize::try_from(length.as_u64().unwrap()).unwrap();
        let plaintext = "x".repeat(got);
        let expected = match got {
            0 => CipherError::Empty,
            got => CipherError::PlaintextTooLong { got, limit: 65_535 },
        };
        let made = Scheme::Nip44.encrypt(LIMITS, &one, &two.public_key(), &plaintext);
        assert_eq!(made, Err(expected));
    }
    let wide = CipherLimits::with_max_plaintext_bytes(100_000);
    let plaintext = "x".repeat(100_000);
    let payload = Scheme::Nip44.encrypt(wide, &one, &two.public_key(), &plaintext).unwrap();
    let read = Scheme::Nip44.decrypt(wide, &two, &one.public_key(), &payload).unwrap();
    assert!(read.expose() == plaintext);
    let narrow = Scheme::Nip44.decrypt(LIMITS, &two, &one.public_key(), &payload);
    assert!(matches!(narrow, Err(CipherError::TooLong { limit: 87_476, .. })), "{narrow:?}");
    let most = CipherLimits::with_max_plaintext_bytes(usize::MAX).max_plaintext_bytes;
    assert_eq!(most, MAX_NIP44_PLAINTEXT_BYTES);
}

/// The vectors give conversation keys, no secrets: with the library's primitive they fail as they
/// should, and with any keys of ours they are refused by form or authentication.
#[test]
fn payloads_that_the_vectors_call_invalid_are_refused_with_the_reason() {
    let (one, two) = pair();
    for vector in vectors("invalid", "decrypt") {
        let note = str_of(&vector, "note");
        let payload = str_of(&vector, "payload");
        let error = Scheme::Nip44.decrypt(LIMITS, &one, &two.public_key(), payload).unwrap_err();
        let expected = match note.split(':').next().unwrap_or_default() {
            "invalid payload length" => {
                CipherError::TooShort { got: payload.len(), minimum: nip44::MIN_PAYLOAD_CHARS }
            }
            start if start.starts_with("unknown encryption version") => CipherError::Version,
            "invalid base64" => CipherError::Form("base64 expected"),
            _ => CipherError::Authentication,
        };
        assert_eq!(error, expected, "{note}");
        if error == CipherError::Authentication {
            let key = ConversationKey::from_slice(&bytes_of(&vector, "conversation_key")).unwrap();
            let bytes = base64_decode(payload);
            let read = nostr::nips::nip44::v2::decrypt_to_bytes(&key, &bytes);
            assert!(read.is_err(), "{note}");
        }
    }
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64_decode(text: &str) -> Vec<u8> {
    let (mut bytes, mut held, mut bits) = (Vec::new(), 0_u32, 0);
    for digit in text.trim_end_matches('=').bytes() {
        let value = DIGITS.iter().position(|known| *known == digit).unwrap();
        held = (held << 6 | u32::try_from(value).unwrap()) & 0xffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits & 0xff) as u8);
        }
    }
    bytes
}

fn base64_encode(bytes: &[u8]) -> String {
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let value = (0..3).fold(0, |n, at| n << 8 | usize::from(*group.get(at).unwrap_or(&0)));
        let digit =
            |n: usize| if n <= group.len() { DIGITS[value >> (18 - 6 * n) & 63] } else { b'=' };
        text.extend((0..4).map(|n| char::from(digit(n))));
    }
    text
}

/// RUSTSEC-2026-0216: a short ciphertext panicked.
#[test]
fn a_nip44_payload_cut_at_any_length_is_a_typed_error() {
    let (one, two) = pair();
    let payload = Scheme::Nip44.encrypt(LIMITS, &one, &two.public_key(), "text").unwrap();
    assert_eq!(payload.len(), 132);
    for cut in 0..payload.len() {
        let error = Scheme::Nip44.decrypt(LIMITS, &two, &one.public_key(), &payload[..cut]);
        let expected = CipherError::TooShort { got: cut, minimum: 132 };
        assert_eq!(error.unwrap_err(), expected);
    }
}

/// RUSTSEC-2026-0227: base64 was decoded and authenticated before its size was looked at.
#[test]
fn a_nip44_payload_is_measured_before_it_is_decoded() {
    let limit = base64_chars(1 + 32 + 6 + 32 + 65_536);
    for got in [limit + 4, limit + 1, 64 << 20] {
        // It is not base64 either: the length is what is told.
        let error = nip44::check(LIMITS, &"!".repeat(got));
        assert_eq!(error, Err(CipherError::TooLong { got, limit }));
    }
}

/// RUSTSEC-2026-0219: a vector that is not 16 bytes long panicked.
#[test]
fn a_nip04_vector_of_another_length_is_a_typed_error() {
    let (one, two) = pair();
    let payload = Scheme::Nip04.encrypt(LIMITS, &one, &two.public_key(), "text").unwrap();
    let (ciphertext, vector) = payload.split_once("?iv=").unwrap();
    let vectors = ["", "AA==", "AAAA", "AAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAAA="];
    let longer = "A".repeat(44);
    for wrong in vectors.into_iter().chain([&vector[1..], longer.as_str()]) {
        let payload = format!("{ciphertext}?iv={wrong}");
        let error = Scheme::Nip04.decrypt(LIMITS, &two, &one.public_key(), &payload);
        assert!(
            matches!(error, Err(CipherError::Form(_) | CipherError::TooShort { .. })),
            "{wrong}: {error:?}"
        );
    }
}

/// RUSTSEC-2026-0228: every `?iv=` of a text multiplied the work and the memory.
#[test]
fn a_nip04_text_with_many_vectors_is_refused_by_its_form() {
    let vector = "?iv=AAAAAAAAAAAAAAAAAAAAAA==";
    let many = format!("AAAAAAAAAAAAAAAAAAAAAA=={}", vector.repeat(2_000));
    let expected = Err(CipherError::Form("whole blocks of 16 bytes in base64 expected"));
    assert_eq!(nip04::check(LIMITS, &many), expected);
    let got = 100_000 * vector.len();
    let limit = base64_chars(65_536) + 28;
    let error = nip04::check(LIMITS, &vector.repeat(100_000));
    assert_eq!(error, Err(CipherError::TooLong { got, limit }));
}

#[test]
fn nip04_is_read_by_both_sides_and_as_another_implementation_writes_it() {
    let (one, two) = pair();
    for text in ["", "a", "exactly 16 bytes", "漢字 😀", &"x".repeat(65_535)] {
        let payload = Scheme::Nip04.encrypt(LIMITS, &one, &two.public_key(), text).unwrap();
        for (reader, writer) in [(&one, &two), (&two, &one)] {
            let read = Scheme::Nip04.decrypt(LIMITS, reader, &writer.public_key(), &payload);
            assert_eq!(read.unwrap().expose(), text);
        }
    }
    let (one, two) = (
        SecretKey::parse("6b911fd37cdf5c81d4c0adb1ab7fa822ed253ab0ad9aa18d77257c88b29b718e"),
        SecretKey::parse("7b911fd37cdf5c81d4c0adb1ab7fa822ed253ab0ad9aa18d77257c88b29b718e"),
    );
    let payload = "dJc+WbBgaFCD2/kfg1XCWJParplBDxnZIdJGZ6FCTOg=?iv=M6VxRPkMZu7aIdD+10xPuw==";
    let read =
        Scheme::Nip04.decrypt(LIMITS, &two.unwrap(), &one.unwrap().public_key(), payload).unwrap();
    assert_eq!(read.expose(), "Saturn, bringer of old age");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn any_payload_is_a_text_or_a_typed_error(
        payload in "(Ag[A-Za-z0-9+/]{120,200}=?|[A-Za-z0-9+/]{0,60}=?(\\?iv=[A-Za-z0-9+/]{22}==){0,2}|.{0,200})",
        wide: bool,
    ) {
        let limits = CipherLimits::with_max_plaintext_bytes(if wide { usize::MAX } else { 1 });
        let secret = SecretKey::from_bytes(&[3; 32]).unwrap();
        let peer = PrivateKeySigner::new(secret.clone()).key();
        for scheme in [Scheme::Nip44, Scheme::Nip04] {
            if let Err(error) = scheme.decrypt(limits, &secret, &peer, &payload) {
                proptest::prop_assert!(error.to_string().len() < 120);
            }
        }
    }

    #[test]
    fn what_was_encrypted_comes_back_and_one_changed_character_does_not(
        text in "\\PC{1,300}",
        at: proptest::sample::Index,
    ) {
        let (one, two) = (SecretKey::from_bytes(&[3; 32]), SecretKey::from_bytes(&[4; 32]));
        let (one, two) = (one.unwrap(), two.unwrap());
        let payload = Scheme::Nip44.encrypt(LIMITS, &one, &two.public_key(), &text).unwrap();
        let read = Scheme::Nip44.decrypt(LIMITS, &two, &one.public_key(), &payload).unwrap();
        proptest::prop_assert_eq!(read.expose(), text.as_str());
        let at = at.index(payload.trim_end_matches('=').len() - 1);
        let mut changed = payload.into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        let read = Scheme::Nip44.decrypt(LIMITS, &two, &one.public_key(), &changed);
        proptest::prop_assert!(read.is_err());
    }
}
