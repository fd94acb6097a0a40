//! The worker under a real supervisor.
#![allow(clippy::unwrap_used)]

use std::{
    future::pending,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::executor::block_on;
use nipworker_crypto::{CryptoActor, CryptoParts, MAX_SIGNER_REQUESTS};
use nipworker_schema::{
    CipherScheme, ClientEdge, CountT, CryptoEdge, CryptoMessageT, DecryptT, EncryptT, FailedT,
    FailureCode, GetPublicKeyT, SignT, SignedIdT, VerdictsT, VerifyBatchT,
};
use nipworker_signer::{
    Plaintext, PrivateKeySigner, Scheme, Signer, SignerFuture, SignerSlot, Verifier,
    protocol::{Event, EventLimits, PublicKey, UnsignedEvent},
    verify_event,
};
use nipworker_supervision::{Address, AskError, Backoff, Fault, Supervisor, SupervisorHandle};

struct World {
    address: Address<CryptoActor>,
    slot: SignerSlot,
    supervisor: SupervisorHandle,
}

impl World {
    fn new(deadline: Duration) -> Self {
        let slot = SignerSlot::new();
        let mut parts = CryptoParts::new(Verifier::new(Some(2)).unwrap(), slot.clone());
        parts.signer_deadline = deadline;
        let address = CryptoActor::address();
        let child = CryptoActor::child(address.clone(), parts).backoff(Backoff::NONE);
        let supervisor = Supervisor::builder("test").child(child).start_blocking().unwrap();
        Self { address, slot, supervisor }
    }

    fn ask(&self, message: impl Into<CryptoMessageT>) -> CryptoMessageT {
        let asked = self.address.ask(CryptoEdge::encode(message)).timeout(Duration::from_secs(60));
        block_on(asked).unwrap().decode().unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.supervisor.stop_blocking();
    }
}

fn failed(message: CryptoMessageT) -> FailedT {
    message.as_failed().unwrap_or_else(|| panic!("{message:?}")).clone()
}

fn real_events() -> Vec<Event> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/real-events.jsonl");
    std::fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| Event::from_json(line.as_bytes(), &EventLimits::default()).unwrap())
        .collect()
}

fn item(event: &Event) -> SignedIdT {
    SignedIdT { id: event.id.into(), pubkey: event.pubkey.into(), sig: event.sig.into() }
}

/// A signer that never answers.
struct Silent;

impl Signer for Silent {
    fn public_key(&self) -> SignerFuture<'_, PublicKey> {
        Box::pin(pending())
    }

    fn sign(&self, _: UnsignedEvent) -> SignerFuture<'_, Event> {
        Box::pin(pending())
    }

    fn decrypt(&self, _: Scheme, _: PublicKey, _: String) -> SignerFuture<'_, Plaintext> {
        Box::pin(pending())
    }
}

const LONG: Duration = Duration::from_secs(600);

#[test]
fn verdicts_stand_in_the_order_of_the_items() {
    let world = World::new(LONG);
    let mut items: Vec<_> = real_events().iter().map(item).collect();
    for (n, item) in items.iter_mut().enumerate() {
        item.sig.bytes[5] ^= u8::from(n % 5 == 0);
    }
    let wanted: Vec<bool> = (0..items.len()).map(|n| n % 5 != 0).collect();
    let answer = world.ask(VerifyBatchT { items });
    assert_eq!(answer, VerdictsT { valid: wanted }.into());
    assert_eq!(world.ask(VerifyBatchT { items: vec![] }), VerdictsT { valid: vec![] }.into());
}

#[test]
fn it_signs_with_the_signer_that_is_in_the_slot_now() {
    let world = World::new(LONG);
    let request = || GetPublicKeyT {};
    let answer = failed(world.ask(request()));
    assert_eq!((answer.code, answer.transient), (FailureCode::Signer, false));
    assert_eq!(answer.reason, "there is no signer");

    let signer = PrivateKeySigner::generate().unwrap();
    world.slot.set(Some(Arc::new(signer.clone())));
    let answer = world.ask(request());
    assert_eq!(PublicKey::from(&answer.as_public_key_is().unwrap().pubkey), signer.key());

    let template = UnsignedEvent::new(signer.key(), 5, 1, vec![], "hello");
    let answer = world.ask(SignT { template: template.clone().into() });
    let event: Event = answer.as_signed().unwrap().event.clone().into();
    assert_eq!(UnsignedEvent::from(event.clone()), template);
    assert!(verify_event(event).is_ok());

    let stranger = PrivateKeySigner::generate().unwrap().key();
    let template = UnsignedEvent::new(stranger, 5, 1, vec![], "hello");
    let answer = failed(world.ask(SignT { template: template.into() }));
    assert_eq!(answer.code, FailureCode::Signer);
    assert!(answer.reason.contains(&stranger.to_hex()), "{}", answer.reason);
}

fn encrypt(peer: PublicKey, plaintext: &str) -> EncryptT {
    let plaintext = plaintext.to_owned();
    EncryptT { scheme: CipherScheme::Nip44, peer: peer.into(), plaintext }
}

#[test]
fn it_encrypts_and_decrypts_with_the_signer_in_the_slot() {
    let world = World::new(LONG);
    let [alice, bob] = [0; 2].map(|_| PrivateKeySigner::generate().unwrap());
    let answer = failed(world.ask(encrypt(bob.key(), "text")));
    assert_eq!((answer.code, answer.reason.as_str()), (FailureCode::Signer, "there is no signer"));
    for scheme in [CipherScheme::Nip44, CipherScheme::Nip04] {
        world.slot.set(Some(Arc::new(alice.clone())));
        let request = EncryptT { scheme, ..encrypt(bob.key(), "text") };
        let payload = world.ask(request).as_encrypted().unwrap().payload.clone();
        assert!(!payload.contains("text"));
        world.slot.set(Some(Arc::new(bob.clone())));
        let request = DecryptT { scheme, peer: alice.key().into(), payload };
        let answer = world.ask(request);
        assert_eq!(answer.as_decrypted().unwrap().plaintext, "text");
        assert!(!format!("{answer:?}").contains("text"), "{answer:?}");
        let request = DecryptT { scheme, peer: alice.key().into(), payload: "short".to_owned() };
        let answer = failed(world.ask(request));
        assert_eq!((answer.code, answer.transient), (FailureCode::Signer, false));
        assert!(answer.reason.contains("an encrypted text of 5 characters"), "{}", answer.reason);
    }
}

/// An earlier engine held a lock while it decrypted, so one slow signer stopped all that waited
/// behind it.
#[test]
fn a_slow_signer_delays_neither_another_signer_nor_verification_nor_its_own_other_requests() {
    /// Answers for its key at once and never decrypts.
    struct Slow(PrivateKeySigner);

    impl Signer for Slow {
        fn public_key(&self) -> SignerFuture<'_, PublicKey> {
            self.0.public_key()
        }

        fn sign(&self, template: UnsignedEvent) -> SignerFuture<'_, Event> {
            self.0.sign(template)
        }

        fn decrypt(&self, _: Scheme, _: PublicKey, _: String) -> SignerFuture<'_, Plaintext> {
            Box::pin(pending())
        }
    }

    let world = World::new(LONG);
    let [slow, quick] = [0; 2].map(|_| PrivateKeySigner::generate().unwrap());
    world.slot.set(Some(Arc::new(Slow(slow.clone()))));
    let request = DecryptT {
        scheme: CipherScheme::Nip44,
        peer: quick.key().into(),
        payload: "A".repeat(132),
    };
    let stuck: Vec<_> = (0..MAX_SIGNER_REQUESTS - 1)
        .map(|_| world.address.try_ask(CryptoEdge::encode(request.clone())).unwrap())
        .collect();
    let answer = world.ask(GetPublicKeyT {});
    assert_eq!(PublicKey::from(&answer.as_public_key_is().unwrap().pubkey), slow.key());
    let items: Vec<_> = real_events().iter().map(item).collect();
    assert!(world.ask(VerifyBatchT { items }).as_verdicts().is_some());
    world.slot.set(Some(Arc::new(quick)));
    assert!(world.ask(encrypt(slow.key(), "text")).as_encrypted().is_some());
    drop(stuck);
}

#[test]
fn each_slow_decryption_ends_at_its_own_deadline() {
    let world = World::new(Duration::from_millis(50));
    world.slot.set(Some(Arc::new(Silent)));
    let peer = PrivateKeySigner::generate().unwrap().key();
    let request =
        DecryptT { scheme: CipherScheme::Nip44, peer: peer.into(), payload: "A".repeat(132) };
    let answer = failed(world.ask(request));
    assert_eq!((answer.code, answer.transient), (FailureCode::Timeout, true));
    assert_eq!(answer.reason, "no answer of the signer in 0.05 s");
}

#[test]
fn a_silent_signer_holds_up_neither_verification_nor_the_next_signer() {
    let world = World::new(LONG);
    world.slot.set(Some(Arc::new(Silent)));
    let waiting: Vec<_> = (0..MAX_SIGNER_REQUESTS)
        .map(|_| world.address.try_ask(CryptoEdge::encode(GetPublicKeyT {})).unwrap())
        .collect();
    let answer = failed(world.ask(GetPublicKeyT {}));
    assert_eq!((answer.code, answer.transient), (FailureCode::Busy, true));
    let items: Vec<_> = real_events().iter().map(item).collect();
    let answer = world.ask(VerifyBatchT { items });
    assert!(answer.as_verdicts().unwrap().valid.iter().all(|valid| *valid));
    drop(waiting);
}

#[test]
fn a_signer_that_does_not_answer_in_time_is_a_typed_transient_failure() {
    let world = World::new(Duration::from_millis(50));
    world.slot.set(Some(Arc::new(Silent)));
    let begin = Instant::now();
    let answer = failed(world.ask(GetPublicKeyT {}));
    assert!(begin.elapsed() >= Duration::from_millis(50));
    assert_eq!((answer.code, answer.transient), (FailureCode::Timeout, true));
    assert_eq!(answer.reason, "no answer of the signer in 0.05 s");
    // Requests that ran out of time have given their places back.
    for _ in 0..2 {
        let asked: Vec<_> = (0..MAX_SIGNER_REQUESTS)
            .map(|_| world.address.try_ask(CryptoEdge::encode(GetPublicKeyT {})).unwrap())
            .collect();
        for answer in block_on(futures::future::join_all(asked)) {
            assert_eq!(failed(answer.unwrap().decode().unwrap()).code, FailureCode::Timeout);
        }
    }
}

#[test]
fn what_is_no_request_is_answered_as_such() {
    let world = World::new(LONG);
    let answer = failed(world.ask(VerdictsT { valid: vec![true] }));
    assert_eq!((answer.code, answer.transient), (FailureCode::Unsupported, false));
    let foreign = ClientEdge::encode(CountT { filters: vec![], hll: false }).into_bytes();
    for bytes in [foreign, vec![].into(), vec![7; 100].into()] {
        let asked = world.address.ask(CryptoEdge::from_bytes(bytes));
        let answer = failed(block_on(asked).unwrap().decode().unwrap());
        assert_eq!(answer.code, FailureCode::Invalid, "{}", answer.reason);
    }
}

#[test]
fn a_restart_costs_one_message_and_keeps_signer_and_pool() {
    let world = World::new(LONG);
    let signer = PrivateKeySigner::generate().unwrap();
    world.slot.set(Some(Arc::new(signer.clone())));
    for round in 1..=3 {
        world.address.inject(Fault::Panic).unwrap();
        // It is lost if it was queued when the fault struck.
        let lost = block_on(world.address.ask(CryptoEdge::encode(GetPublicKeyT {})));
        assert!(matches!(lost, Ok(_) | Err(AskError::Panicked { .. })), "{lost:?}");
        let answer = world.ask(GetPublicKeyT {});
        assert_eq!(PublicKey::from(&answer.as_public_key_is().unwrap().pubkey), signer.key());
        let items: Vec<_> = real_events().iter().map(item).collect();
        assert!(world.ask(VerifyBatchT { items }).as_verdicts().is_some());
        while world.supervisor.status().worker("crypto").unwrap().panics < round {
            std::thread::yield_now();
        }
    }
}
