//! What several test files share.
#![allow(dead_code)]

use std::{sync::Arc, time::Duration};

use nipworker_core::{
    NostrClient, PrivateKeySigner, SecretKey,
    protocol::{Event, PublicKey, UnsignedEvent},
};

pub(crate) const TIME: i64 = 1_700_000_000;
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Gives the client a signer with a fresh key.
pub(crate) async fn sign_in(client: &NostrClient) -> PublicKey {
    let signer = PrivateKeySigner::new(SecretKey::generate().unwrap());
    client.set_signer(Some(Arc::new(signer)));
    client.public_key().await.unwrap()
}

pub(crate) fn template(author: PublicKey, text: &str) -> UnsignedEvent {
    UnsignedEvent::new(author, TIME, 1, vec![], text)
}

/// A template of nobody in particular.
pub(crate) fn work(text: &str) -> UnsignedEvent {
    template(PublicKey::from_bytes([2; 32]), text)
}

pub(crate) async fn note(client: &NostrClient, me: PublicKey, text: &str) -> Event {
    client.sign(template(me, text)).await.unwrap()
}

/// Waits for a condition.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let wait = tokio::time::timeout(PATIENCE, async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    });
    assert!(wait.await.is_ok(), "{what} did not come about");
}
