//! Verification of real events, alone and in batches.
#![allow(clippy::unwrap_used)]

use futures::executor::block_on;
use nipworker_protocol::{Event, EventId, EventLimits, PublicKey, Signature};
use nipworker_signer::{SignedId, Verifier, VerifyError, verify_event};

fn real_events() -> Vec<Event> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/real-events.jsonl");
    std::fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| Event::from_json(line.as_bytes(), &EventLimits::default()).unwrap())
        .collect()
}

#[test]
fn all_real_events_are_genuine() {
    let events = real_events();
    assert_eq!(events.len(), 544);
    for event in events {
        let id = event.id;
        assert!(verify_event(event).is_ok(), "{id}");
    }
}

fn flip<const N: usize>(bytes: &[u8; N], at: usize) -> [u8; N] {
    let mut bytes = *bytes;
    bytes[at % N] ^= 1 << (at % 8);
    bytes
}

#[test]
fn no_real_event_survives_one_flipped_bit() {
    for (n, event) in real_events().into_iter().enumerate() {
        let mut bad = event.clone();
        bad.id = EventId::from_bytes(flip(event.id.as_bytes(), n));
        assert!(matches!(verify_event(bad), Err(VerifyError::Id(_))));
        let mut bad = event.clone();
        bad.pubkey = PublicKey::from_bytes(flip(event.pubkey.as_bytes(), n));
        assert!(matches!(verify_event(bad), Err(VerifyError::Id(_))));
        let mut bad = event.clone();
        bad.sig = Signature::from_bytes(flip(event.sig.as_bytes(), n));
        assert_eq!(verify_event(bad), Err(VerifyError::Signature));
    }
}

#[test]
fn an_id_that_fits_forged_content_does_not_help_the_forger() {
    let mut event = real_events().swap_remove(3);
    event.content.push('!');
    event.id = event.compute_id();
    assert_eq!(verify_event(event), Err(VerifyError::Signature));
}

#[test]
fn verdicts_of_a_batch_stand_in_the_order_of_its_items() {
    let verifier = Verifier::new(Some(2)).unwrap();
    let mut items: Vec<SignedId> = real_events().iter().map(SignedId::from).collect();
    for (n, item) in items.iter_mut().enumerate() {
        if n % 3 == 1 {
            item.sig = Signature::from_bytes(flip(item.sig.as_bytes(), n));
        }
    }
    let wanted: Vec<bool> = (0..items.len()).map(|n| n % 3 != 1).collect();
    let halves = items.split_at(items.len() / 2);
    // Two batches at the same time keep apart.
    let first = verifier.verify(halves.0.to_vec());
    let second = verifier.verify(halves.1.to_vec());
    let (first, second) = block_on(futures::future::join(first, second));
    assert_eq!([first.unwrap(), second.unwrap()].concat(), wanted);
    assert_eq!(block_on(verifier.verify(Vec::new())).unwrap(), Vec::<bool>::new());
}

#[test]
fn a_dropped_batch_does_not_hold_up_the_next() {
    let verifier = Verifier::new(Some(1)).unwrap();
    let items: Vec<SignedId> = real_events().iter().map(SignedId::from).collect();
    for _ in 0..20 {
        drop(verifier.verify(items.clone()));
    }
    let verdicts = block_on(verifier.verify(items)).unwrap();
    assert!(verdicts.iter().all(|valid| *valid));
}

#[test]
fn a_batch_after_shutdown_is_a_typed_error() {
    let verifier = Verifier::new(Some(1)).unwrap();
    verifier.pool().shutdown();
    let item = SignedId::from(&real_events()[0]);
    assert_eq!(block_on(verifier.verify(vec![item])), Err(nipworker_signer::BatchError::Closed));
}
