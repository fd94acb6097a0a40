#![allow(clippy::unwrap_used)]

use futures::executor::block_on;
use nipworker_protocol::{Event, Signature, Tag, UnsignedEvent};

use super::*;
use crate::{CipherError, Plaintext, PrivateKeySigner, Scheme, Signer, SignerError, verify_event};

const NOW: i64 = 1_700_000_000;

fn people() -> [PrivateKeySigner; 3] {
    [0; 3].map(|_| PrivateKeySigner::generate().unwrap())
}

/// A wrap by hand, so that each part of it can be wrong.
fn wrap_around(seal: &Event, reader: &PrivateKeySigner) -> Event {
    let once = PrivateKeySigner::generate().unwrap();
    let json = Plaintext::new(seal.to_json());
    let content = block_on(once.encrypt(Scheme::Nip44, reader.key(), json)).unwrap();
    let tags = vec![Tag::new(["p".to_owned(), reader.key().to_hex()])];
    once.sign_now(UnsignedEvent::new(once.key(), NOW, GIFT_WRAP, tags, content)).unwrap()
}

fn seal_around(rumor: &str, sender: &PrivateKeySigner, reader: &PrivateKeySigner) -> Event {
    let json = Plaintext::new(rumor);
    let content = block_on(sender.encrypt(Scheme::Nip44, reader.key(), json)).unwrap();
    sender.sign_now(UnsignedEvent::new(sender.key(), NOW, SEAL, vec![], content)).unwrap()
}

fn rumor_json(rumor: &UnsignedEvent) -> String {
    serde_json::to_string(rumor).unwrap()
}

fn error(reader: &PrivateKeySigner, wrap: Event) -> OpenError {
    block_on(open(reader, wrap)).unwrap_err()
}

#[test]
fn everybody_named_and_the_author_can_open_it_and_nobody_else() {
    let [alice, bob, carol] = people();
    let stranger = PrivateKeySigner::generate().unwrap();
    let rumor = chat_message(alice.key(), &[bob.key(), carol.key()], "hello", NOW);
    let wraps = block_on(wrap_for_all(&alice, &rumor, NOW)).unwrap();
    assert_eq!(wraps.len(), 3);
    for reader in [&alice, &bob, &carol] {
        let mine = wraps.iter().find(|wrap| wrap.recipient == reader.key()).unwrap();
        let opened = block_on(open(reader, mine.event.clone())).unwrap();
        assert_eq!((opened.rumor(), opened.sender()), (&rumor, alice.key()));
        assert_eq!(error(&stranger, mine.event.clone()), OpenError::NotForUs);
    }
    let keys: std::collections::BTreeSet<_> = wraps.iter().map(|wrap| wrap.event.pubkey).collect();
    assert_eq!(keys.len(), 3, "a key is used once");
    for Wrapped { event, .. } in wraps {
        assert!((NOW - MAX_AGE_SECS..=NOW).contains(&event.created_at));
        assert!(!event.to_json().contains(&alice.key().to_hex()) || event.tag_value("p").is_some());
        assert!(verify_event(event).is_ok());
    }
}

#[test]
fn a_draft_becomes_a_rumor_with_its_parts_and_a_note_to_oneself_has_a_reader() {
    let [alice, bob, _] = people();
    let reply_to = chat_message(bob.key(), &[alice.key()], "?", NOW).compute_id();
    let draft = ChatDraft {
        author: alice.key(),
        recipients: vec![bob.key(), alice.key()],
        text: "secret words".to_owned(),
        created_at: NOW,
        reply_to: Some(reply_to),
        subject: Some("weather".to_owned()),
    };
    assert!(!format!("{draft:?}").contains("secret"));
    let rumor = draft.into_rumor();
    let tags: Vec<Vec<String>> = rumor.tags.iter().map(|tag| tag.0.clone()).collect();
    let wanted: [[String; 2]; 3] = [
        ["p".to_owned(), bob.key().to_hex()],
        ["e".to_owned(), reply_to.to_hex()],
        ["subject".to_owned(), "weather".to_owned()],
    ];
    assert_eq!(tags, wanted);
    assert_eq!((rumor.kind, rumor.created_at), (14, NOW));
    let note = chat_message(alice.key(), &[], "note", NOW);
    assert_eq!(block_on(wrap_for_all(&alice, &note, NOW)).unwrap().len(), 1);
}

#[test]
fn nobody_and_too_many_readers_are_refused() {
    let [alice, ..] = people();
    let nobody = UnsignedEvent::new(alice.key(), NOW, 14, vec![], "x");
    let got = |rumor: &UnsignedEvent| block_on(wrap_for_all(&alice, rumor, NOW)).unwrap_err();
    assert_eq!(got(&nobody), WrapError::Recipients { got: 0 });
    let keys: Vec<_> =
        (0..MAX_RECIPIENTS).map(|_| PrivateKeySigner::generate().unwrap().key()).collect();
    let crowd = chat_message(alice.key(), &keys, "x", NOW);
    assert_eq!(got(&crowd), WrapError::Recipients { got: MAX_RECIPIENTS + 1 });
    let [bob, ..] = people();
    let stolen = chat_message(bob.key(), &[alice.key()], "x", NOW);
    assert!(matches!(got(&stolen), WrapError::Signer(SignerError::WrongAuthor { .. })));
}

/// RUSTSEC-2026-0226: what was decrypted was believed before author and signature were checked.
#[test]
fn a_rumor_in_another_s_name_is_refused() {
    let [alice, bob, mallory] = people();
    let forged = rumor_json(&chat_message(alice.key(), &[bob.key()], "send money", NOW));
    let wrap = wrap_around(&seal_around(&forged, &mallory, &bob), &bob);
    let expected = OpenError::WrongAuthor { rumor: alice.key(), seal: mallory.key() };
    assert_eq!(error(&bob, wrap), expected);
}

/// RUSTSEC-2026-0226: a seal in Alice's name that Alice did not sign.
#[test]
fn a_seal_with_a_wrong_signature_is_refused_before_it_is_decrypted() {
    let [alice, bob, mallory] = people();
    let rumor = rumor_json(&chat_message(alice.key(), &[bob.key()], "hi", NOW));
    let good = seal_around(&rumor, &alice, &bob);
    let mut forged = good.clone();
    forged.sig = Signature::from_bytes([7; 64]);
    assert_eq!(error(&bob, wrap_around(&forged, &bob)), OpenError::SealSignature);
    let mut moved = good.clone();
    moved.content = seal_around(&rumor, &mallory, &bob).content;
    assert_eq!(error(&bob, wrap_around(&moved, &bob)), OpenError::SealSignature);
    let mut tagged = UnsignedEvent::from(good);
    tagged.tags.push(Tag::new(["p", "x"]));
    let tagged = alice.sign_now(tagged).unwrap();
    assert_eq!(error(&bob, wrap_around(&tagged, &bob)), OpenError::NotASeal);
}

#[test]
fn each_other_fault_of_a_wrap_has_its_error() {
    let [alice, bob, _] = people();
    let rumor = chat_message(alice.key(), &[bob.key()], "hi", NOW);
    let seal = seal_around(&rumor_json(&rumor), &alice, &bob);
    let good = wrap_around(&seal, &bob);

    let mut wrong = good.clone();
    wrong.kind = 1;
    assert_eq!(error(&bob, wrong), OpenError::NotAWrap(1));
    let mut wrong = good.clone();
    wrong.sig = Signature::from_bytes([7; 64]);
    assert_eq!(error(&bob, wrong), OpenError::WrapSignature);

    let once = PrivateKeySigner::generate().unwrap();
    let mut template = UnsignedEvent::from(good);
    template.pubkey = once.key();
    let moved = once.sign_now(template).unwrap();
    let refused = SignerError::Cipher(CipherError::Authentication);
    assert_eq!(error(&bob, moved), OpenError::Signer(refused));

    let note = alice.sign_now(UnsignedEvent::new(alice.key(), NOW, 1, vec![], "note")).unwrap();
    assert_eq!(error(&bob, wrap_around(&note, &bob)), OpenError::NotASeal);

    for (text, expected) in [
        ("no json", OpenError::NotARumor),
        ("{}", OpenError::NotARumor),
        (&rumor_json(&rumor).replacen('{', "{\"id\":7,", 1), OpenError::NotARumor),
        (
            &rumor_json(&rumor).replacen('{', &format!("{{\"id\":\"{}\",", "0".repeat(64)), 1),
            OpenError::RumorId,
        ),
    ] {
        let wrap = wrap_around(&seal_around(text, &alice, &bob), &bob);
        assert_eq!(error(&bob, wrap), expected, "{text}");
    }
}
