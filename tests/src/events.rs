//! Making events.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use nipworker_protocol::{Event, PublicKey, Tag, UnsignedEvent};
use nipworker_signer::PrivateKeySigner;

/// The present, in unix seconds.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Somebody who writes: a key, and a counter that makes each text another one.
#[derive(Debug)]
pub struct Author {
    signer: PrivateKeySigner,
    written: AtomicU64,
}

impl Author {
    /// With a fresh key.
    ///
    /// # Panics
    /// When the system gives no randomness.
    pub fn new() -> Self {
        let signer = PrivateKeySigner::generate().expect("the system gives randomness");
        Self { signer, written: AtomicU64::new(0) }
    }

    /// The author's key.
    pub fn key(&self) -> PublicKey {
        self.signer.key()
    }

    /// The author's signer.
    pub fn signer(&self) -> PrivateKeySigner {
        self.signer.clone()
    }

    /// Signs what carries the author's key.
    ///
    /// # Panics
    /// When it carries another one.
    pub fn sign(&self, event: UnsignedEvent) -> Event {
        self.signer.sign_now(event).expect("an event of this author")
    }

    /// A text note of now, unlike every other of this author.
    pub fn note(&self, about: &str) -> Event {
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        self.event(1, vec![], &format!("{about} {number}"), now())
    }

    /// So many text notes.
    pub fn notes(&self, about: &str, number: usize) -> Vec<Event> {
        (0..number).map(|_| self.note(about)).collect()
    }

    /// An event as told.
    ///
    /// # Panics
    /// Never: the template carries the author's own key.
    pub fn event(&self, kind: u16, tags: Vec<Tag>, content: &str, created_at: i64) -> Event {
        self.sign(self.template(kind, tags, content, created_at))
    }

    /// An event as told, without a signature.
    pub fn template(
        &self,
        kind: u16,
        tags: Vec<Tag>,
        content: &str,
        created_at: i64,
    ) -> UnsignedEvent {
        UnsignedEvent::new(self.key(), created_at, kind, tags, content)
    }
}

impl Default for Author {
    fn default() -> Self {
        Self::new()
    }
}
