//! What the tests share.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::sync::Arc;

use nipworker_pipeline::{Accepted, Ingest, Pipeline, Verdict};
use nipworker_protocol::{Attestation, Event, PublicKey, Signature, Tag, UnsignedEvent, Verified};
use nipworker_signer::{PrivateKeySigner, verify_one};

pub const NOW: i64 = 1_800_000_000;

pub fn signed(signer: &PrivateKeySigner, time: i64, tags: Vec<Tag>, content: &str) -> Event {
    signer.sign_now(UnsignedEvent::new(signer.key(), time, 1, tags, content)).unwrap()
}

/// An event that nobody verifies, told apart by its number.
pub fn attested(n: u32) -> Verified<Event> {
    let author = PublicKey::from_bytes([1; 32]);
    let event = UnsignedEvent::new(author, i64::from(n), 1, vec![], n.to_string())
        .with_signature(Signature::from_bytes([0; 64]));
    Verified::attest(event, Attestation::FromEdge)
}

pub fn shared(n: u32) -> Arc<Verified<Event>> {
    Arc::new(attested(n))
}

/// What the crypto worker answers.
pub fn verdicts(ingest: &Ingest) -> Vec<Verdict> {
    ingest
        .to_verify
        .iter()
        .map(|it| it.view())
        .map(|it| verify_one(&it.id(), &it.pubkey(), &it.sig()).into())
        .collect()
}

/// Verifies, accepts and remembers, as the parser does when the store answers well.
pub fn settle(pipeline: &Pipeline, ingest: Ingest) -> Accepted {
    let verdicts = verdicts(&ingest);
    let accepted = pipeline.accept(ingest, &verdicts, NOW).unwrap();
    for genuine in &accepted.genuine {
        pipeline.remember(genuine);
    }
    accepted
}

pub fn real_texts() -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/real-events.jsonl");
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}
