//! Defects of other engines, each by its name: a number of the lessons that were drawn from an
//! earlier engine (L…), or an advisory.
#![allow(clippy::unwrap_used)]

mod common;

use common::{NOW, real_texts, settle, signed, verdicts};
use nipworker_pipeline::{Pipeline, Refusal, Source, Verdict, kinds::ParsedKind};
use nipworker_protocol::{Event, EventError, EventLimits, Filter, PublicKey, Signature, Tag};
use nipworker_protocol::{UnsignedEvent, Verified};
use nipworker_signer::{PrivateKeySigner, verify_event};

fn relay() -> Source {
    Source::relay("wss://relay.example")
}

fn signer() -> PrivateKeySigner {
    PrivateKeySigner::generate().unwrap()
}

/// The refusal of one text, if it is refused.
fn refusal(pipeline: &Pipeline, text: &str) -> Option<Refusal> {
    let accepted = settle(pipeline, pipeline.ingest(relay(), None, &[text], |_| false));
    accepted.refused.into_iter().next().map(|refused| refused.refusal)
}

#[test]
fn rustsec_2026_0224_what_was_not_verified_yet_is_not_known() {
    let pipeline = Pipeline::default();
    let genuine = signed(&signer(), 1, vec![], "genuine");
    let forged = Event { sig: Signature::from_bytes([7; 64]), ..genuine.clone() };
    let text = forged.to_json();
    // Seen twice before any verdict, and once more after it.
    let first = pipeline.ingest(relay(), None, &[&text], |_| true);
    let second = pipeline.ingest(relay(), None, &[&text], |_| true);
    assert_eq!((first.to_verify.len(), second.to_verify.len()), (1, 1));
    for ingest in [first, second] {
        let accepted = pipeline.accept(ingest, &[Verdict::Invalid], NOW).unwrap();
        assert!(accepted.genuine.is_empty());
    }
    assert_eq!(pipeline.ingest(relay(), None, &[&text], |_| true).to_verify.len(), 1);
    assert_eq!(pipeline.stats().known_events, 0);
}

#[test]
fn rustsec_2026_0232_a_known_id_vouches_for_no_other_signature_content_or_text() {
    let pipeline = Pipeline::default();
    let genuine = signed(&signer(), 1, vec![], "genuine");
    assert_eq!(refusal(&pipeline, &genuine.to_json()), None);
    let forged = Event { sig: Signature::from_bytes([7; 64]), ..genuine.clone() };
    assert_eq!(refusal(&pipeline, &forged.to_json()), Some(Refusal::Signature));
    let exchanged = Event { content: "another".to_owned(), ..genuine.clone() };
    assert!(matches!(
        refusal(&pipeline, &exchanged.to_json()),
        Some(Refusal::Event(EventError::IdMismatch { .. }))
    ));
    // Every text that differs in one byte is looked at by itself, before the subscription's own
    // memory of ids is asked.
    let text = genuine.to_json();
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1;
        let Ok(other) = String::from_utf8(bytes) else { continue };
        assert!(pipeline.ingest(relay(), None, &[&other], |_| true).seen.is_empty(), "{other}");
    }
    assert_eq!(pipeline.ingest(relay(), None, &[&text], |_| true).seen.len(), 1);
}

#[test]
fn rustsec_2026_0232_the_digest_of_a_text_is_another_in_another_process() {
    // Its key is drawn for each pipeline: what collides here does not collide there. That it has
    // 128 bits stands where it is defined; here it only shows that no text is mistaken.
    let (one, other) = (Pipeline::default(), Pipeline::default());
    let texts = real_texts();
    settle(&one, one.ingest(relay(), None, &texts, |_| false));
    assert_eq!(one.ingest(relay(), None, &texts, |_| true).seen.len(), texts.len());
    assert_eq!(other.ingest(relay(), None, &texts, |_| true).to_verify.len(), texts.len());
}

#[test]
fn l1_a_large_frame_among_small_ones_loses_none() {
    let (pipeline, signer) = (Pipeline::default(), signer());
    for large_at in 0..6 {
        let texts: Vec<String> = (0..6)
            .map(|n| {
                let bytes = if n == large_at { 20 * 1024 } else { 1024 };
                signed(&signer, n * 10 + large_at, vec![], &"x".repeat(bytes)).to_json()
            })
            .collect();
        let accepted = settle(&pipeline, pipeline.ingest(relay(), None, &texts, |_| false));
        let order: Vec<usize> = accepted.genuine.iter().map(|genuine| genuine.at).collect();
        assert_eq!(order, [0, 1, 2, 3, 4, 5]);
    }
}

#[test]
fn l2_events_that_broke_an_earlier_engine_are_read_or_refused() {
    let author = PublicKey::from_bytes([2; 32]);
    let event = |kind: u16, content: &str| {
        let e = Tag::new(["e", &"01".repeat(32)]);
        let tags = vec![e, Tag::new(["p", &"02".repeat(32)]), Tag::new(["r", "https://a.b"])];
        UnsignedEvent::new(author, 1, kind, tags, content)
            .with_signature(Signature::from_bytes([0; 64]))
    };
    let contents =
        ["", ":", "::", ":a", "a:", "{\"a\":", "{", "[", "\"", "?iv=", "AA==?iv=AA==", "?iv=?iv="];
    for kind in [0, 1, 3, 4, 5, 6, 7, 8, 16, 17, 20, 22, 1018, 1068, 1111, 1311, 7374, 7375, 7376]
        .into_iter()
        .chain([9321, 9735, 10002, 10019, 17375, 30000, 30023, 30311, 39089])
    {
        for content in contents {
            let event = event(kind, content);
            drop(ParsedKind::of(&event));
            drop(ParsedKind::of(&Event { tags: vec![Tag::default()], ..event }));
        }
    }
}

#[test]
fn l3_fields_are_found_by_reading_json_and_never_by_their_letters() {
    let pipeline = Pipeline::default();
    let tags = vec![Tag::new(["t", "content"]), Tag::new(["id", "\"id\":\"00\""])];
    let event = signed(&signer(), 1, tags, "caf\u{e9} \u{8}\u{c} \"content\":\"no\"");
    let json: serde_json::Value = serde_json::from_str(&event.to_json()).unwrap();
    let text = format!(
        "{{\"tags\":{},\"content\":{},\"sig\":{},\"kind\":1,\"created_at\":1,\"pubkey\":{},\
         \"id\":{}}}",
        json["tags"], json["content"], json["sig"], json["pubkey"], json["id"],
    );
    for text in [text.clone(), text.replace('\u{e9}', "\\u00e9").replace("\\b", "\\u0008")] {
        let ingest = Pipeline::default().ingest(relay(), None, &[&text], |_| false);
        assert_eq!(ingest.to_verify[0].event.to_event(), event, "{text}");
        assert_eq!(refusal(&pipeline, &text), None);
    }
}

#[test]
fn l7_what_is_forged_unsigned_or_not_asked_for_is_let_in_nowhere() {
    let pipeline = Pipeline::default();
    let event = signed(&signer(), 1, vec![], "text");
    let json = event.to_json();
    let unsigned = json.replace(&event.sig.to_hex(), "00");
    assert!(matches!(refusal(&pipeline, &unsigned), Some(Refusal::Event(_))));
    let zero = json.replace(&event.sig.to_hex(), &"0".repeat(128));
    assert_eq!(refusal(&pipeline, &zero), Some(Refusal::Signature));
    let forged_id = json.replace(&event.id.to_hex(), &"0".repeat(64));
    assert!(matches!(refusal(&pipeline, &forged_id), Some(Refusal::Event(_))));
    let filters = [Filter::new().kinds([7])];
    let ingest = pipeline.ingest(relay(), Some(&filters), &[&json], |_| false);
    assert!(ingest.to_verify.is_empty());
    assert_eq!(ingest.refused[0].refusal, Refusal::NotAsked);
    assert_eq!(pipeline.stats().known_events, 0);
}

#[test]
fn l8_the_signature_is_checked_over_the_id_and_not_over_its_hash() {
    for text in real_texts() {
        let event = Event::from_json(text.as_bytes(), &EventLimits::default()).unwrap();
        let verified: Verified<Event> = verify_event(event).unwrap();
        let ingest = Pipeline::default().ingest(relay(), None, &[&text], |_| false);
        assert_eq!(ingest.to_verify[0].event.to_event(), *verified);
        assert_eq!(verdicts(&ingest), [Verdict::Valid]);
    }
}

#[test]
fn l11_ids_are_right_for_every_control_character_alone_and_in_a_batch() {
    let signer = signer();
    let all: String = (0..0x80_u8).map(char::from).collect();
    let contents = (0..0x80_u8).map(|code| char::from(code).to_string()).chain([all]);
    let events: Vec<Event> = contents
        .map(|content| {
            let tags = vec![Tag::new(["t", &content]), Tag::new([&content])];
            signed(&signer, 1, tags, &content)
        })
        .collect();
    let texts: Vec<String> = events.iter().map(Event::to_json).collect();
    let pipeline = Pipeline::default();
    let ingest = pipeline.ingest(relay(), None, &texts, |_| false);
    assert_eq!((ingest.to_verify.len(), ingest.refused.len()), (129, 0));
    for (text, event) in texts.iter().zip(&events) {
        let alone = pipeline.ingest(relay(), None, &[text], |_| false);
        assert_eq!(&alone.to_verify[0].event.to_event(), event);
    }
}
