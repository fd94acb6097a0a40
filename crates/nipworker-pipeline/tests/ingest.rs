//! The checks on what comes in.
#![allow(clippy::unwrap_used)]

mod common;

use common::{NOW, real_texts, settle, signed, verdicts};
use nipworker_pipeline::{
    Kept, Pipeline, PipelineConfig, Refusal, RefusalKind, Source, Verdict, VerdictCountError,
};
use nipworker_protocol::{Event, EventError, EventLimits, Filter, Signature, Tag};
use nipworker_signer::PrivateKeySigner;

fn relay() -> Source {
    Source::relay("wss://relay.example")
}

fn signer() -> PrivateKeySigner {
    PrivateKeySigner::generate().unwrap()
}

fn refusals(pipeline: &Pipeline, text: &str, filters: Option<&[Filter]>) -> Vec<Refusal> {
    let ingest = pipeline.ingest(relay(), filters, &[text], |_| false);
    let accepted = settle(pipeline, ingest);
    assert_eq!(accepted.genuine.len() + accepted.refused.len() + accepted.seen.len(), 1);
    accepted.refused.into_iter().map(|refused| refused.refusal).collect()
}

#[test]
fn all_real_events_pass_and_their_second_coming_is_not_verified_again() {
    let pipeline = Pipeline::default();
    let texts = real_texts();
    let accepted = settle(&pipeline, pipeline.ingest(relay(), None, &texts, |_| false));
    assert_eq!((accepted.genuine.len(), accepted.refused.len()), (544, 0));
    let order: Vec<usize> = accepted.genuine.iter().map(|genuine| genuine.at).collect();
    assert_eq!(order, (0..544).collect::<Vec<_>>());

    let again = pipeline.ingest(relay(), None, &texts, |_| false);
    assert_eq!((again.to_verify.len(), again.known.len()), (0, 544));
    let again = pipeline.ingest(relay(), None, &texts, |_| true);
    assert_eq!((again.known.len(), again.seen.len()), (0, 544));

    let stats = pipeline.stats();
    assert_eq!(stats.total.received, 3 * 544);
    assert_eq!(stats.relays["wss://relay.example"], stats.total);
    assert_eq!(stats.total.fresh, 544);
    assert_eq!(stats.known_events, 544);
}

/// Flips one bit of one byte of a hex field, content, tag or time of an event's text.
fn spoiled(text: &str, field: &str, at: usize) -> Option<String> {
    let mut event: serde_json::Value = serde_json::from_str(text).unwrap();
    match field {
        "id" | "pubkey" | "sig" => {
            let mut bytes = hex::decode(event[field].as_str()?).unwrap();
            let at = at % bytes.len();
            bytes[at] ^= 1;
            event[field] = hex::encode(bytes).into();
        }
        "created_at" => event[field] = (event[field].as_i64()? ^ 1).into(),
        "content" => {
            let mut content: Vec<char> = event[field].as_str()?.chars().collect();
            let at = at.checked_rem(content.len())?;
            content[at] = if content[at] == 'x' { 'y' } else { 'x' };
            event[field] = content.into_iter().collect::<String>().into();
        }
        "tags" => {
            let value = event[field].get_mut(0)?.get_mut(1)?;
            *value = format!("{}!", value.as_str()?).into();
        }
        _ => unreachable!(),
    }
    Some(event.to_string())
}

#[test]
fn no_real_event_passes_with_one_change_known_or_not() {
    let fresh = Pipeline::default();
    let knowing = Pipeline::default();
    let texts = real_texts();
    settle(&knowing, knowing.ingest(relay(), None, &texts, |_| false));
    let mut spoiled_texts = 0;
    for (n, text) in texts.iter().enumerate() {
        for field in ["id", "pubkey", "sig", "created_at", "content", "tags"] {
            let Some(bad) = spoiled(text, field, n) else { continue };
            spoiled_texts += 1;
            // RUSTSEC-2026-0224: the memory that was filled by the genuine one must not help.
            let pipelines: &[&Pipeline] =
                if n % 8 == 0 { &[&fresh, &knowing] } else { &[&knowing] };
            for pipeline in pipelines {
                let refused = refusals(pipeline, &bad, None);
                let right = match field {
                    "sig" => matches!(refused[..], [Refusal::Signature]),
                    _ => matches!(refused[..], [Refusal::Event(EventError::IdMismatch { .. })]),
                };
                assert!(right, "{field} of event {n}: {refused:?}");
            }
        }
    }
    assert!(spoiled_texts > 3_000, "{spoiled_texts}");
    assert_eq!(knowing.stats().known_events, 544);
}

#[test]
fn a_forgery_does_not_become_known_and_does_not_shut_out_the_genuine_event() {
    let pipeline = Pipeline::default();
    let event = signed(&signer(), 1, vec![], "genuine");
    let mut forged = event.clone();
    forged.sig = Signature::from_bytes([9; 64]);
    assert_eq!(refusals(&pipeline, &forged.to_json(), None), [Refusal::Signature]);
    assert_eq!(pipeline.stats().known_events, 0);
    assert_eq!(refusals(&pipeline, &event.to_json(), None), []);
    // RUSTSEC-2026-0232: nor does it pass once the id is known.
    assert_eq!(refusals(&pipeline, &forged.to_json(), None), [Refusal::Signature]);
    // The content of a known id exchanged, id and signature kept.
    let mut exchanged = event.clone();
    exchanged.content = "forged".to_owned();
    assert!(matches!(
        refusals(&pipeline, &exchanged.to_json(), None)[..],
        [Refusal::Event(EventError::IdMismatch { .. })]
    ));
}

#[test]
fn nothing_is_known_until_it_was_stored() {
    let pipeline = Pipeline::default();
    let text = signed(&signer(), 1, vec![], "").to_json();
    let ingest = pipeline.ingest(relay(), None, &[&text], |_| false);
    let verdicts = verdicts(&ingest);
    let accepted = pipeline.accept(ingest, &verdicts, NOW).unwrap();
    let again = pipeline.ingest(relay(), None, &[&text], |_| true);
    assert_eq!(again.to_verify.len(), 1, "its store may have failed");
    pipeline.remember(&accepted.genuine[0]);
    let again = pipeline.ingest(relay(), None, &[&text], |_| true);
    assert_eq!(again.seen.len(), 1);
}

#[test]
fn another_spelling_of_a_known_event_is_known() {
    let pipeline = Pipeline::default();
    let event = signed(&signer(), 1, vec![], "é");
    settle(&pipeline, pipeline.ingest(relay(), None, &[event.to_json()], |_| false));
    let spelled = event.to_json().replace('é', "\\u00e9").replace(",\"tags\"", " ,\n\"tags\"");
    assert_ne!(spelled, event.to_json());
    let ingest = pipeline.ingest(relay(), None, &[spelled], |_| true);
    assert_eq!((ingest.to_verify.len(), ingest.known.len()), (0, 1));
    let accepted = settle(&pipeline, ingest);
    assert!(accepted.genuine[0].is_known);
}

#[test]
fn copies_in_one_batch_share_one_check_and_its_outcome() {
    let pipeline = Pipeline::default();
    let event = signed(&signer(), 1, vec![], "");
    let mut forged = event.clone();
    forged.sig = Signature::from_bytes([9; 64]);
    let texts = [&event, &forged, &event, &forged, &event].map(Event::to_json);
    let ingest = pipeline.ingest(relay(), None, &texts, |_| false);
    // The forged one is checked apart, and its copy with it or again: it never counts as a copy
    // of the genuine one.
    assert_eq!(ingest.to_verify[0].copies, [2, 4]);
    let accepted = settle(&pipeline, ingest);
    assert_eq!(accepted.genuine.len(), 1);
    let mut refused: Vec<usize> = accepted.refused.iter().map(|refused| refused.at).collect();
    refused.sort_unstable();
    assert_eq!(refused, [1, 3]);
    let stats = pipeline.stats().total;
    assert_eq!((stats.fresh, stats.duplicates), (1, 2));
    assert_eq!(stats.refused, [(RefusalKind::Signature, 2)].into());
}

#[test]
fn a_relay_that_sends_what_nobody_asked_for_is_refused() {
    let pipeline = Pipeline::default();
    let text = signed(&signer(), 1_000, vec![Tag::new(["t", "a"])], "").to_json();
    for filter in [
        Filter::new().kinds([0]),
        Filter::new().since(1_001),
        Filter::new().until(999),
        Filter::new().tag('t', ["b"]),
        Filter::new().authors([]),
        Filter::new().kinds([1]).tag('e', ["a"]),
    ] {
        let filters = [filter];
        assert_eq!(refusals(&pipeline, &text, Some(&filters)), [Refusal::NotAsked], "{filters:?}");
    }
    assert_eq!(refusals(&pipeline, &text, Some(&[])), [Refusal::NotAsked]);
    let filters = [Filter::new().kinds([0]), Filter::new().tag('t', ["a"])];
    assert_eq!(refusals(&pipeline, &text, Some(&filters)), []);
    // A known text is still matched against what this subscription asked for.
    let filters = [Filter::new().kinds([0])];
    assert_eq!(refusals(&pipeline, &text, Some(&filters)), [Refusal::NotAsked]);
}

// An earlier engine took the first `"content":"` it saw in the text for the field.
#[test]
fn keys_inside_tags_and_content_are_not_taken_for_fields() {
    let pipeline = Pipeline::default();
    let tags = vec![
        Tag::new(["t", "content"]),
        Tag::new(["id", "\"id\":\"00\"", "\"content\":\"forged\""]),
    ];
    let content = "\"pubkey\":\"x\", café \u{8}\u{c}\u{1f} \\u0041";
    let event = signed(&signer(), 1, tags, content);
    let json: serde_json::Value = serde_json::from_str(&event.to_json()).unwrap();
    // The fields in another order, and one more that NIP-01 does not name.
    let text = format!(
        r#"{{"tags":{},"x":{{"content":"no"}},"content":{},"sig":{},"kind":1,"created_at":1,"pubkey":{},"id":{}}}"#,
        json["tags"], json["content"], json["sig"], json["pubkey"], json["id"],
    );
    let ingest = pipeline.ingest(relay(), None, &[text], |_| false);
    assert_eq!(ingest.to_verify[0].event.to_event(), event);
    assert_eq!(settle(&pipeline, ingest).genuine.len(), 1);
}

// An earlier engine delivered and cached all of these.
#[test]
fn forged_unsigned_and_unasked_events_do_not_pass() {
    let pipeline = Pipeline::default();
    let event = signed(&signer(), 1, vec![], "text");
    let json = event.to_json();
    let filters = [Filter::new().kinds([1])];
    let zero_sig = json.replace(&event.sig.to_hex(), &"0".repeat(128));
    assert_eq!(refusals(&pipeline, &zero_sig, Some(&filters)), [Refusal::Signature]);
    for (what, text) in [
        ("short signature", json.replace(&event.sig.to_hex(), "00")),
        ("no signature", json.replace(&format!(",\"sig\":\"{}\"", event.sig), "")),
        ("no id", json.replace(&format!("\"id\":\"{}\",", event.id), "")),
        ("upper case", json.replace(&event.id.to_hex(), &event.id.to_hex().to_uppercase())),
        ("not JSON", "hello".to_owned()),
        ("an array", format!("[{json}]")),
        ("cut", json[..json.len() - 1].to_owned()),
        ("two at once", format!("{json}{json}")),
        ("empty", String::new()),
        ("a field twice", json.replacen('{', "{\"kind\":1,", 1)),
        ("kind out of range", json.replace("\"kind\":1", "\"kind\":65536")),
        ("tag of numbers", json.replace("\"tags\":[]", "\"tags\":[[1]]")),
    ] {
        let refused = refusals(&pipeline, &text, Some(&filters));
        assert!(
            matches!(refused[..], [Refusal::Event(EventError::Shape(_))]),
            "{what}: {refused:?}"
        );
    }
    let unasked = refusals(&pipeline, &json, Some(&[Filter::new().kinds([7])]));
    assert_eq!(unasked, [Refusal::NotAsked]);
    assert_eq!(pipeline.stats().known_events, 0);
}

#[test]
fn limits_are_looked_at_before_the_text() {
    let event_limits = EventLimits { max_event_bytes: 500, max_tags: 2, max_tag_elements: 4 };
    let pipeline = Pipeline::new(PipelineConfig { event_limits, ..PipelineConfig::default() });
    let signer = signer();
    let refused = refusals(&pipeline, &"x".repeat(501), None);
    assert_eq!(refused, [EventError::TooLarge { got: 501, limit: 500 }.into()]);
    let tags = vec![Tag::default(); 3];
    let refused = refusals(&pipeline, &signed(&signer, 1, tags, "").to_json(), None);
    assert_eq!(refused, [EventError::TooManyTags { got: 3, limit: 2 }.into()]);
    let tags = vec![Tag::new(["a", "b", "c", "d", "e"])];
    let refused = refusals(&pipeline, &signed(&signer, 1, tags, "").to_json(), None);
    assert_eq!(refused, [EventError::TooManyTagElements { got: 5, limit: 4 }.into()]);
    let large = signed(&signer, 1, vec![], &"x".repeat(500));
    let ingest = pipeline.ingest_event(Source::Local, large);
    assert!(matches!(
        ingest.refused[0].refusal,
        Refusal::Event(EventError::TooLarge { limit: 500, .. })
    ));
    let stats = pipeline.stats().total;
    assert_eq!(stats.refused[&RefusalKind::TooLarge], 2);
    assert_eq!(stats.refused[&RefusalKind::TooManyTags], 2);
}

#[test]
fn what_has_expired_is_refused_after_its_signature_was_checked() {
    let pipeline = Pipeline::default();
    let signer = signer();
    let expiring = |at: i64| {
        let tags = vec![Tag::new(["expiration".to_owned(), at.to_string()])];
        signed(&signer, 1, tags, "").to_json()
    };
    assert_eq!(refusals(&pipeline, &expiring(NOW), None), [Refusal::Expired { at: NOW }]);
    let text = expiring(NOW + 1);
    assert_eq!(refusals(&pipeline, &text, None), []);
    // Known since it was young, refused when it has expired.
    let ingest = pipeline.ingest(relay(), None, &[&text], |_| false);
    assert_eq!(ingest.known.len(), 1);
    let accepted = pipeline.accept(ingest, &[], NOW + 1).unwrap();
    assert_eq!(accepted.refused[0].refusal, Refusal::Expired { at: NOW + 1 });
}

#[test]
fn a_wrong_number_of_verdicts_lets_nothing_in() {
    let pipeline = Pipeline::default();
    let text = signed(&signer(), 1, vec![], "").to_json();
    for verdicts in [vec![], vec![Verdict::Valid, Verdict::Valid]] {
        let ingest = pipeline.ingest(relay(), None, &[&text], |_| false);
        assert_eq!(
            pipeline.accept(ingest, &verdicts, NOW),
            Err(VerdictCountError { verdicts: verdicts.len(), candidates: 1 })
        );
    }
    assert_eq!(pipeline.stats().total.fresh, 0);
}

#[test]
fn an_event_whose_check_fails_is_refused_with_the_reason() {
    let pipeline = Pipeline::default();
    let text = signed(&signer(), 1, vec![], "").to_json();
    let ingest = pipeline.ingest(relay(), None, &[&text], |_| false);
    let verdict = Verdict::Undecided("worker panicked".to_owned());
    let accepted = pipeline.accept(ingest, &[verdict], NOW).unwrap();
    assert_eq!(accepted.refused[0].refusal, Refusal::Unverifiable("worker panicked".into()));
}

#[test]
fn what_was_forgotten_is_verified_again() {
    let config = PipelineConfig { known_events: 10, ..PipelineConfig::default() };
    let pipeline = Pipeline::new(config);
    let texts = &real_texts()[..60];
    settle(&pipeline, pipeline.ingest(relay(), None, texts, |_| false));
    assert!(pipeline.stats().known_events <= 20);
    let again = pipeline.ingest(relay(), None, texts, |_| false);
    assert!(again.known.len() >= 10 && again.known.len() <= 20, "{}", again.known.len());
    assert_eq!(again.to_verify.len() + again.known.len(), 60);
    assert_eq!(settle(&pipeline, again).genuine.len(), 60);
}

#[test]
fn relays_beyond_the_counted_number_are_counted_together() {
    let pipeline = Pipeline::default();
    let relays = nipworker_pipeline::MAX_RELAYS_COUNTED + 3;
    for n in 0..relays {
        let source = Source::relay(format!("wss://r{n}"));
        pipeline.refuse_unseen(&source, 2, &Refusal::NoSubscription);
    }
    let stats = pipeline.stats();
    assert_eq!(stats.relays.len(), nipworker_pipeline::MAX_RELAYS_COUNTED);
    assert_eq!(stats.others.refused_total(), 6);
    assert_eq!(stats.total.refused[&RefusalKind::NoSubscription], 2 * relays as u64);
}

#[test]
fn a_superseded_event_goes_only_to_who_asks_for_its_id() {
    let event = signed(&signer(), 1, vec![], "");
    let by_kind = [Filter::new().kinds([1])];
    let by_id = [Filter::new().kinds([1]), Filter::new().ids([event.id])];
    assert!(!Kept::Superseded.is_delivered(&event.id, &by_kind));
    assert!(Kept::Superseded.is_delivered(&event.id, &by_id));
    for kept in [Kept::Stored, Kept::Duplicate, Kept::Ephemeral, Kept::Unknown] {
        assert!(kept.is_delivered(&event.id, &by_kind));
    }
    for kept in [Kept::Deleted, Kept::Expired, Kept::Refused] {
        assert!(!kept.is_delivered(&event.id, &by_id));
    }
}

#[test]
fn a_duplicate_that_was_not_known_is_news_for_its_first_answer_may_have_been_lost() {
    for (kept, known, unknown) in [
        (Kept::Stored, true, true),
        (Kept::Ephemeral, true, true),
        (Kept::Duplicate, false, true),
        (Kept::Superseded, false, false),
        (Kept::Deleted, false, false),
        (Kept::Expired, false, false),
        (Kept::Refused, false, false),
        (Kept::Unknown, false, false),
    ] {
        assert_eq!((kept.is_news(true), kept.is_news(false)), (known, unknown), "{kept:?}");
    }
}

proptest::proptest! {
    #[test]
    fn any_text_ends_in_exactly_one_list(texts in proptest::collection::vec(".{0,200}", 0..20)) {
        let pipeline = Pipeline::default();
        let ingest = pipeline.ingest(relay(), None, &texts, |_| false);
        proptest::prop_assert_eq!(ingest.refused.len(), texts.len());
        proptest::prop_assert_eq!(pipeline.stats().total.refused_total(), texts.len() as u64);
    }

    /// Random cuts, repeats and exchanged bytes of genuine texts: whatever passes is genuine.
    #[test]
    fn whatever_passes_after_damage_equals_the_original(
        pick in 0..544_usize,
        at: usize,
        byte in 0x20_u8..0x7f,
        cut in proptest::bool::weighted(0.3),
    ) {
        thread_local! {
            static TEXTS: Vec<String> = real_texts();
        }
        let original = TEXTS.with(|texts| texts[pick].clone());
        let mut bytes = original.clone().into_bytes();
        let at = at % bytes.len();
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] = byte;
        }
        if let Ok(text) = String::from_utf8(bytes) {
            let pipeline = Pipeline::default();
            let accepted = settle(&pipeline, pipeline.ingest(relay(), None, &[text], |_| false));
            let wanted = Event::from_json(original.as_bytes(), &EventLimits::default()).unwrap();
            for genuine in accepted.genuine {
                proptest::prop_assert_eq!(&genuine.event.to_event(), &wanted);
            }
        }
    }
}
