//! The in-memory signer and the slot against the suite, and signers that misbehave.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use futures::executor::block_on;
use nipworker_protocol::{Event, PublicKey, Tag, UnsignedEvent};
use nipworker_signer::{
    PrivateKeySigner, Signer, SignerError, SignerFuture, SignerSlot, conformance,
};

fn note(author: PublicKey) -> UnsignedEvent {
    UnsignedEvent::new(author, 1_700_000_000, 1, vec![Tag::new(["t", "a"])], "text")
}

#[test]
fn the_in_memory_signer_conforms() {
    block_on(conformance::run(Arc::new(PrivateKeySigner::generate().unwrap())));
}

#[test]
fn a_filled_slot_conforms() {
    let slot = SignerSlot::with(PrivateKeySigner::generate().unwrap());
    block_on(conformance::run(Arc::new(slot)));
}

#[test]
fn an_empty_slot_says_that_there_is_no_signer() {
    let slot = SignerSlot::new();
    let author = PrivateKeySigner::generate().unwrap().key();
    assert_eq!(block_on(slot.public_key()), Err(SignerError::NoSigner));
    assert_eq!(block_on(slot.sign(note(author))), Err(SignerError::NoSigner));
}

#[test]
fn clones_of_a_slot_see_an_exchange_and_requests_under_way_keep_their_signer() {
    let first = PrivateKeySigner::generate().unwrap();
    let second = PrivateKeySigner::generate().unwrap();
    let slot = SignerSlot::with(first.clone());
    let other = slot.clone();
    let under_way = other.public_key();
    slot.set(Some(Arc::new(second.clone())));
    assert_eq!(block_on(under_way), Ok(first.key()));
    assert_eq!(block_on(other.public_key()), Ok(second.key()));
    assert!(slot.set(None).is_some());
    assert_eq!(block_on(other.public_key()), Err(SignerError::NoSigner));
}

#[test]
fn a_template_by_somebody_else_is_refused_with_both_keys() {
    let signer = PrivateKeySigner::generate().unwrap();
    let other = PrivateKeySigner::generate().unwrap().key();
    assert_eq!(
        block_on(signer.sign(note(other))),
        Err(SignerError::WrongAuthor { template: other, signer: signer.key() })
    );
}

/// Signs well, then spoils the answer.
struct Spoiler(PrivateKeySigner, fn(&mut Event));

impl Signer for Spoiler {
    fn public_key(&self) -> SignerFuture<'_, PublicKey> {
        self.0.public_key()
    }

    fn sign(&self, template: UnsignedEvent) -> SignerFuture<'_, Event> {
        Box::pin(async {
            let mut event = self.0.sign(template).await?;
            self.1(&mut event);
            Ok(event)
        })
    }
}

#[test]
fn a_slot_does_not_pass_on_a_wrong_answer() {
    let spoilers: [fn(&mut Event); 5] = [
        |event| event.content.push('!'),
        |event| event.created_at += 1,
        |event| event.tags.clear(),
        |event| event.id = nipworker_protocol::EventId::from_bytes([7; 32]),
        |event| event.sig = nipworker_protocol::Signature::from_bytes([7; 64]),
    ];
    for spoil in spoilers {
        let signer = PrivateKeySigner::generate().unwrap();
        let template = note(signer.key());
        let slot = SignerSlot::with(Spoiler(signer, spoil));
        let answer = block_on(slot.sign(template));
        assert!(matches!(answer, Err(SignerError::WrongAnswer { .. })), "{answer:?}");
    }
}

#[test]
fn signatures_of_one_template_differ_and_are_all_valid() {
    let signer = PrivateKeySigner::generate().unwrap();
    let a = block_on(signer.sign(note(signer.key()))).unwrap();
    let b = block_on(signer.sign(note(signer.key()))).unwrap();
    assert_eq!(a.id, b.id);
    assert_ne!(a.sig, b.sig, "the nonce takes in fresh randomness");
    assert!(nipworker_signer::verify_event(a).is_ok() && nipworker_signer::verify_event(b).is_ok());
}
