//! Import, publish and count.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::atomic::Ordering;

use common::{NOW, RELAY, World, many, next_ids, notes, real_texts, signed};
use nipworker_schema::{
    ClientEdge, ClientMessageT, CountT, CountedT, CryptoEdge, FailureCode, GetPublicKeyT,
    ImportedT, IngestEdge, PublishT, PutOutcomeT, PutStatus, ReceiptStatus,
};
use nipworker_signer::{
    PrivateKeySigner,
    protocol::{Event, EventId, Signature, Tag, UnsignedEvent},
};

fn statuses(outcomes: &[PutOutcomeT]) -> Vec<PutStatus> {
    outcomes.iter().map(|outcome| outcome.status).collect()
}

#[test]
fn all_real_events_are_stored_and_a_second_import_finds_duplicates() {
    let world = World::new();
    let texts = real_texts();
    let outcomes = world.import(texts.clone());
    assert_eq!(statuses(&outcomes), vec![PutStatus::Stored; 544]);
    for (text, outcome) in texts.iter().zip(&outcomes) {
        assert!(text.contains(&EventId::from(&outcome.id).to_hex()), "outcomes stand in order");
    }
    assert_eq!(statuses(&world.import(texts)), vec![PutStatus::Duplicate; 544]);
    assert_eq!(world.script.verified.load(Ordering::SeqCst), 544, "each was verified once");
}

fn spoiled(text: &str, field: &str, at: usize) -> Option<String> {
    let mut event: serde_json::Value = serde_json::from_str(text).unwrap();
    let flip = |text: &str| -> Option<String> {
        let mut chars: Vec<char> = text.chars().collect();
        let at = at.checked_rem(chars.len())?;
        chars[at] = if chars[at] == '0' { '1' } else { '0' };
        Some(chars.into_iter().collect())
    };
    match field {
        "created_at" => event[field] = (event[field].as_i64()? ^ 1).into(),
        "tag" => {
            let value = event["tags"].get_mut(0)?.get_mut(1)?;
            *value = flip(value.as_str()?)?.into();
        }
        field => event[field] = flip(event[field].as_str()?)?.into(),
    }
    Some(event.to_string())
}

#[test]
fn no_real_event_with_one_changed_character_is_stored_and_each_has_its_reason() {
    let world = World::new();
    let texts = real_texts();
    for field in ["id", "pubkey", "sig", "created_at", "content", "tag"] {
        let bad: Vec<String> =
            texts.iter().enumerate().filter_map(|(n, text)| spoiled(text, field, n * 7)).collect();
        assert!(bad.len() > 400, "{field}: {}", bad.len());
        let reason =
            if field == "sig" { "signature is not valid" } else { "event id does not match" };
        for outcome in world.import(bad) {
            assert_eq!(outcome.status, PutStatus::Invalid, "{field}: {}", outcome.reason);
            assert!(outcome.reason.starts_with(reason), "{field}: {}", outcome.reason);
        }
    }
    assert!(world.script.stored.lock().unwrap().is_empty());
}

#[test]
fn each_text_has_its_outcome_in_order() {
    let world = World::new();
    let signer = PrivateKeySigner::generate().unwrap();
    let good = signed(&signer, 1, 1);
    let ephemeral = signed(&signer, 20_001, 2);
    let expired = UnsignedEvent::new(
        signer.key(),
        3,
        1,
        vec![Tag::new(["expiration".to_owned(), NOW.to_string()])],
        "",
    );
    let expired = signer.sign_now(expired).unwrap();
    let mut forged = good.clone();
    forged.sig = Signature::from_bytes([3; 64]);
    let outcomes = world.import(vec![
        "not JSON".to_owned(),
        good.to_json(),
        forged.to_json(),
        good.to_json(),
        ephemeral.to_json(),
        expired.to_json(),
    ]);
    assert_eq!(
        statuses(&outcomes),
        [
            PutStatus::Invalid,
            PutStatus::Stored,
            PutStatus::Invalid,
            PutStatus::Duplicate,
            PutStatus::Ephemeral,
            PutStatus::Expired,
        ]
    );
    assert_eq!(EventId::from(&outcomes[0].id), EventId::from_bytes([0; 32]));
    assert!(outcomes[0].reason.starts_with("not an event"), "{}", outcomes[0].reason);
    assert_eq!(EventId::from(&outcomes[3].id), good.id);
    assert_eq!(world.import(vec![]), []);
}

#[test]
fn what_is_imported_reaches_live_subscriptions_once() {
    let world = World::new();
    let mut stream = world.subscribe(notes("s"));
    let events = many(20);
    world.import(events.iter().map(Event::to_json).collect());
    assert_eq!(next_ids(&mut stream, 20), common::ids(&events));
    world.import(events.iter().map(Event::to_json).collect());
    assert_eq!(stream.try_next(), None);
}

fn try_publish(world: &World, event: &Event, relays: &[&str]) -> ClientMessageT {
    world.client(PublishT {
        event: event.into(),
        relays: relays.iter().map(|relay| (*relay).to_owned()).collect(),
        use_relays: !relays.is_empty(),
        timeout_ms: 1_000,
    })
}

fn publish(world: &World, event: &Event, relays: &[&str]) -> nipworker_schema::PublishedT {
    let answer = try_publish(world, event, relays);
    answer.as_published().unwrap_or_else(|| panic!("{answer:?}")).clone()
}

#[test]
fn a_published_event_is_stored_then_sent_and_the_receipts_come_back() {
    let world = World::new();
    let mut stream = world.subscribe(notes("s"));
    let event = many(1).remove(0);
    let published = publish(&world, &event, &[RELAY]);
    assert_eq!(published.outcome.status, PutStatus::Stored);
    assert_eq!(published.receipts[0].status, ReceiptStatus::Accepted);
    assert_eq!(next_ids(&mut stream, 1), [event.id]);
    assert_eq!(*world.script.sent.lock().unwrap(), [event.id]);
    // Publishing again sends again: a relay may have missed it.
    let published = publish(&world, &event, &[RELAY]);
    assert_eq!(published.outcome.status, PutStatus::Duplicate);
    assert_eq!(world.script.sent.lock().unwrap().len(), 2);
    assert_eq!(stream.try_next(), None);
}

#[test]
fn what_is_stored_reaches_live_subscriptions_even_if_the_first_answer_was_lost() {
    let world = World::new();
    let mut stream = world.subscribe(notes("s"));
    let events = many(5);
    world.script.cache_panics_after_storing.store(1, Ordering::SeqCst);
    let published = publish(&world, &events[0], &[RELAY]);
    assert_eq!(published.outcome.status, PutStatus::Duplicate);
    assert!(published.outcome.reason.contains("earlier attempt"), "{}", published.outcome.reason);
    assert_eq!(*world.script.sent.lock().unwrap(), [events[0].id]);
    assert_eq!(next_ids(&mut stream, 1), [events[0].id]);
    world.script.cache_panics_after_storing.store(1, Ordering::SeqCst);
    let outcomes = world.import(events[1..].iter().map(Event::to_json).collect());
    assert_eq!(statuses(&outcomes), vec![PutStatus::Duplicate; 4]);
    assert_eq!(next_ids(&mut stream, 4), common::ids(&events[1..]));
    // Now they are known, and no news any more.
    world.import(events.iter().map(Event::to_json).collect());
    assert_eq!(stream.try_next(), None);
    assert_eq!(world.script.stored.lock().unwrap().len(), 5);
}

#[test]
fn nobody_is_told_that_an_event_was_not_sent_when_only_the_answer_was_lost() {
    let world = World::new();
    let signer = PrivateKeySigner::generate().unwrap();
    for (kind, stored) in [(1, "the event is stored; "), (20_001, "")] {
        let event = signed(&signer, kind, 1);
        world.script.cache_panics_after_sending.store(1, Ordering::SeqCst);
        let answer = try_publish(&world, &event, &[RELAY]);
        let failed = answer.as_failed().unwrap();
        assert!(failed.transient && failed.code == FailureCode::Worker, "{failed}");
        let wanted = format!("{stored}what relays did with it is not known: ");
        assert!(failed.reason.starts_with(&wanted), "{}", failed.reason);
        assert_eq!(world.script.sent.lock().unwrap().last(), Some(&event.id));
    }
}

#[test]
fn without_relays_nothing_is_sent() {
    let world = World::new();
    let published = publish(&world, &many(1)[0], &[]);
    assert_eq!(published.outcome.status, PutStatus::Stored);
    assert!(published.receipts.is_empty() && world.script.sent.lock().unwrap().is_empty());
}

#[test]
fn a_forged_event_is_neither_stored_nor_sent_nor_delivered() {
    let world = World::new();
    let mut stream = world.subscribe(notes("s"));
    let event = many(1).remove(0);
    let mut forged = event.clone();
    forged.sig = Signature::from_bytes([3; 64]);
    let published = publish(&world, &forged, &[RELAY]);
    assert_eq!(published.outcome.status, PutStatus::Invalid);
    assert_eq!(published.outcome.reason, "signature is not valid");
    let mut changed = event.clone();
    changed.content.push('!');
    let published = publish(&world, &changed, &[RELAY]);
    assert!(published.outcome.reason.starts_with("event id does not match"));
    assert!(world.script.stored.lock().unwrap().is_empty());
    assert!(world.script.sent.lock().unwrap().is_empty());
    assert_eq!(stream.try_next(), None);
}

#[test]
fn a_deleted_event_is_not_sent() {
    let world = World::new();
    let event = many(1).remove(0);
    world.script.deleted.lock().unwrap().insert(event.id);
    let published = publish(&world, &event, &[RELAY]);
    assert_eq!(published.outcome.status, PutStatus::Deleted);
    assert!(world.script.sent.lock().unwrap().is_empty());
}

#[test]
fn a_count_is_the_caches() {
    let world = World::new();
    world.import(many(7).iter().map(Event::to_json).collect());
    assert_eq!(
        world.client(CountT { filters: vec![], hll: false }),
        CountedT { count: 7, hll: None }.into()
    );
}

#[test]
fn what_is_no_request_is_answered_as_such() {
    let world = World::new();
    let answer = world.client(ImportedT { outcomes: vec![] });
    assert_eq!(answer.as_failed().unwrap().code, FailureCode::Unsupported);
    let foreign = CryptoEdge::encode(GetPublicKeyT {}).into_bytes();
    for bytes in [foreign, vec![].into(), vec![9; 64].into()] {
        let asked = world.parser.ask(ClientEdge::from_bytes(bytes.clone()));
        let answer = futures::executor::block_on(asked).unwrap().decode().unwrap();
        assert!(
            matches!(answer, ClientMessageT::Failed(failed) if failed.code == FailureCode::Invalid)
        );
        let asked = world.parser.ask(IngestEdge::from_bytes(bytes));
        let answer = futures::executor::block_on(asked).unwrap().decode().unwrap();
        assert_eq!(answer.as_failed().unwrap().code, FailureCode::Invalid);
    }
}
