use std::collections::HashMap;

use secp256k1::{SECP256K1, XOnlyPublicKey, schnorr};
use sha2::{Digest, Sha256};

use super::*;

const TEN_THOUSAND: u64 = 10_000;

fn corpus() -> Vec<Verified<Event>> {
    Corpus::new(CorpusConfig::of(TEN_THOUSAND)).collect()
}

/// Figures of one corpus are comparable with those of another day and machine only while it is
/// the same corpus; whoever changes the generator measures anew.
#[test]
fn the_first_ten_thousand_ids_are_the_same_everywhere() {
    let mut hasher = Sha256::new();
    for event in corpus() {
        hasher.update(event.id.as_bytes());
    }
    assert_eq!(
        hex::encode(hasher.finalize()),
        "cc7a7251bbe0477085316309ffcdc87c7647cc6bb03127ba0ba8f50a33dcb65f"
    );
}

#[test]
fn every_id_is_right_and_no_two_are_equal() {
    let mut ids = std::collections::HashSet::new();
    for event in corpus() {
        event.check_id().unwrap();
        assert!(ids.insert(event.id), "{} comes twice", event.id);
    }
}

#[test]
fn signatures_are_valid_when_asked_for() {
    let config = CorpusConfig { signed: true, ..CorpusConfig::of(300) };
    for event in Corpus::new(config) {
        let key = XOnlyPublicKey::from_slice(event.pubkey.as_bytes()).unwrap();
        let signature = schnorr::Signature::from_slice(event.sig.as_bytes()).unwrap();
        SECP256K1.verify_schnorr(&signature, event.id.as_bytes(), &key).unwrap();
    }
}

#[test]
fn another_seed_makes_another_corpus() {
    let config = CorpusConfig::of(50);
    let first: Vec<_> = Corpus::new(config).collect();
    assert_eq!(first, Corpus::new(config).collect::<Vec<_>>());
    assert_ne!(first, Corpus::new(CorpusConfig { seed: 6, ..config }).collect::<Vec<_>>());
}

#[test]
fn it_has_the_kinds_and_the_crowds_of_a_relay() {
    let events = corpus();
    let mut kinds: HashMap<u16, usize> = HashMap::new();
    let mut authors: HashMap<_, usize> = HashMap::new();
    let mut hashtags: HashMap<&str, usize> = HashMap::new();
    for event in &events {
        *kinds.entry(event.kind).or_default() += 1;
        *authors.entry(event.pubkey).or_default() += 1;
        for tag in event.tags.iter().filter(|tag| tag.name() == "t") {
            *hashtags.entry(tag.value().unwrap()).or_default() += 1;
        }
    }
    for (kind, at_least) in [
        (0, 400),
        (1, 3_500),
        (3, 100),
        (4, 300),
        (5, 80),
        (6, 400),
        (7, 2_500),
        (9_735, 600),
        (10_002, 100),
        (30_023, 30),
    ] {
        let found = kinds.get(&kind).copied().unwrap_or_default();
        assert!(found >= at_least, "{found} of kind {kind}, {at_least} expected");
    }
    let mut crowd: Vec<_> = authors.into_values().collect();
    crowd.sort_unstable();
    let top: usize = crowd.iter().rev().take(40).sum();
    assert!(top > events.len() / 3, "the 40 busiest wrote {top}");
    assert!(hashtags.values().max() > Some(&50), "no hashtag is popular");
    assert!(hashtags.values().filter(|count| **count == 1).count() > 100, "none is rare");
}

#[test]
fn threads_are_marked_and_name_notes_that_came_before() {
    let mut notes = std::collections::HashSet::new();
    let mut answers = 0;
    for event in corpus().iter().filter(|event| event.kind == 1) {
        for tag in event.tags.iter().filter(|tag| tag.name() == "e") {
            assert!(matches!(tag.get(3), Some("root" | "reply")), "{tag:?}");
            assert!(notes.contains(tag.value().unwrap()), "{tag:?} names no note");
            answers += 1;
        }
        notes.insert(event.id.to_hex());
    }
    assert!(answers > 2_000, "{answers} answers");
}

#[test]
fn a_zap_receipt_holds_the_request_of_the_sender() {
    let corpus = corpus();
    let receipt = corpus.iter().find(|event| event.kind == 9_735).unwrap();
    let request = receipt.tag_value("description").unwrap();
    let request = Event::from_json(request.as_bytes(), &Default::default()).unwrap();
    request.check_id().unwrap();
    assert_eq!(request.kind, 9_734);
    assert_eq!(receipt.tag_value("P"), Some(request.pubkey.to_hex().as_str()));
    assert!(receipt.tag_value("bolt11").unwrap().starts_with("lnbc"));
}

#[test]
fn an_hour_has_about_three_hundred_events() {
    let config = CorpusConfig::of(TEN_THOUSAND);
    let since = config.end() - 2 * 3_600;
    let hour = since..since + 3_600;
    let found = corpus().iter().filter(|event| hour.contains(&event.created_at)).count();
    assert!((200..=400).contains(&found), "{found}");
}
