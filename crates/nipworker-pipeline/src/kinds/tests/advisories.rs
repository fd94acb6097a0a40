//! Published faults of other implementations, as far as the form of events is concerned.

use super::*;

/// RUSTSEC-2026-0216 and -0227: short ciphertext panicked, and base64 was decoded before its size
/// was looked at.
#[test]
fn nip44_text_is_measured_before_it_is_decoded() {
    let wrap = |content: &str| event(1_059, &[&["p", &hex(2)]], content);
    let expected = Flaw::Content { expected: "NIP-44 version 2 text" };
    for chars in [2, 4, 88, 128, 131] {
        assert_eq!(flaw(&wrap(&nip44_text(chars))), expected, "{chars} characters");
    }
    for content in ["", "#", "Ag", "=", &"A".repeat(200), &format!("#{}", "A".repeat(200))] {
        assert_eq!(flaw(&wrap(content)), expected, "{content}");
    }
    assert_eq!(flaw(&wrap(&format!("{}!", nip44_text(199)))), expected);
    assert_eq!(view!(GiftWrap, &wrap(&nip44_text(132))).recipient.pubkey, key(2));
    assert_eq!(flaw(&event(1_059, &[], &nip44_text(132))), Flaw::MissingTag("p"));
}

/// RUSTSEC-2026-0219: a vector that is not 16 bytes long panicked.
#[test]
fn nip04_vectors_of_every_other_length_are_refused() {
    for bytes in 0..64_usize {
        let vector = match bytes % 3 {
            0 => "A".repeat(bytes / 3 * 4),
            1 => format!("{}==", "A".repeat(bytes / 3 * 4 + 2)),
            _ => format!("{}=", "A".repeat(bytes / 3 * 4 + 3)),
        };
        let message = format!("{}?iv={vector}", "AAAAAAAAAAAAAAAAAAAAAA==");
        let message = event(4, &[&["p", &hex(2)]], &message);
        assert_eq!(ParsedKind::of(&message).is_ok(), bytes == 16, "{bytes} bytes");
    }
}

/// RUSTSEC-2026-0228: every `?iv=` of a text multiplied the work.
#[test]
fn a_second_vector_is_refused_at_once() {
    let vector = "?iv=AAAAAAAAAAAAAAAAAAAAAA==";
    let message = format!("AAAAAAAAAAAAAAAAAAAAAA=={}", vector.repeat(10_000));
    let expected = Flaw::Content { expected: "NIP-04 text" };
    assert_eq!(flaw(&event(4, &[&["p", &hex(2)]], &message)), expected);
    let one = format!("AAAAAAAAAAAAAAAAAAAAAA=={vector}");
    let one = event(4, &[&["p", &hex(2)]], &one);
    let message = view!(DirectMessage, &one);
    assert_eq!(message.chat_id(), format!("{}_{}", hex(1), hex(2)));
    let peers = [key(1), key(2), key(3)].map(|me| message.peer_of(&me));
    assert_eq!(peers, [Some(key(2)), Some(key(1)), None]);
}

/// RUSTSEC-2026-0225: `Debug` of wallets and sessions printed their secrets. An earlier engine
/// logged the decrypted wallet when it could not be read.
#[test]
fn neither_views_nor_reasons_print_a_secret() {
    const SECRET: &str = "5ec2e75ec2e75ec2e7";
    let wallet = WalletContent::parse(&format!(r#"[["privkey","{SECRET}"],["mint","https://m"]]"#));
    let wallet = wallet.unwrap();
    assert_eq!(wallet.private_key.as_ref().map(Secret::expose), Some(SECRET));
    let token = format!(
        r#"{{"mint":"https://m","proofs":[{{"id":"1","amount":1,"secret":"{SECRET}","C":"2"}}]}}"#
    );
    let token = TokenContent::parse(&token).unwrap();
    assert_eq!(token.proofs[0].secret.expose(), SECRET);
    let file = event(
        15,
        &[
            &["p", &hex(2)],
            &["file-type", "image/png"],
            &["encryption-algorithm", "aes-gcm"],
            &["decryption-key", SECRET],
            &["decryption-nonce", "00"],
        ],
        "https://a.b/c",
    );
    let file = view!(FileMessage, &file);
    assert_eq!(file.key.expose(), SECRET);
    let proof = format!(r#"{{"id":"1","amount":1,"secret":"{SECRET}","C":"2"}}"#);
    let nutzap = event(9_321, &[&["proof", &proof], &["u", "https://m"], &["p", &hex(2)]], "");
    let shown = format!("{wallet:?}{token:?}{file:?}{:?}", view!(Nutzap, &nutzap));
    assert!(!shown.contains(SECRET), "{shown}");

    for text in [
        format!(r#""{SECRET}""#),
        format!(r#"{{"mint":"{SECRET}","proofs":"{SECRET}"}}"#),
        format!(r#"[["privkey",{SECRET}]]"#),
        format!(r#"[["direction","{SECRET}"]]"#),
        format!(r#"[["direction","in"],["amount","{SECRET}"]]"#),
    ] {
        for flaw in
            [TokenContent::parse(&text).unwrap_err(), HistoryContent::parse(&text).unwrap_err()]
        {
            assert!(!format!("{flaw:?} {flaw}").contains("5ec2e7"), "{flaw}");
        }
        if let Err(flaw) = WalletContent::parse(&text) {
            assert!(!format!("{flaw:?} {flaw}").contains("5ec2e7"), "{flaw}");
        }
    }
}

/// RUSTSEC-2026-0226: what somebody else wrote was decrypted as if it were the owner's. The view
/// names the author, so that whoever decrypts can look first.
#[test]
fn a_wallet_event_names_its_owner_before_it_is_decrypted() {
    let token = event(7_375, &[], &nip44_text(132));
    assert_eq!(view!(WalletEvent, &token).owner, key(1));
    let seal = event(13, &[], &nip44_text(132));
    let seal = view!(Seal, &seal);
    let rumor = |author| UnsignedEvent::new(key(author), 0, 14, vec![], "");
    assert!(seal.owns(&rumor(1)) && !seal.owns(&rumor(2)));
}
