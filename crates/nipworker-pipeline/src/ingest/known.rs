//! The memory of events that were verified and stored.

use std::sync::{Mutex, MutexGuard, PoisonError};

use nipworker_protocol::{EventId, Signature};
use sha2::{Digest, Sha256};

use crate::generations::Generations;

/// SHA-256 of an event's text. A shorter or weaker key would let somebody craft a forgery that
/// looks known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TextDigest([u8; 32]);

impl TextDigest {
    pub(crate) fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }
}

#[derive(Debug)]
struct Inner {
    /// Exact texts, so that a copy costs one hash and no decoding.
    texts: Generations<TextDigest, EventId>,
    /// Ids with the signature that was checked, for copies that are spelled differently.
    pairs: Generations<EventId, Signature>,
}

/// What was verified and stored. Filled by [`Known::remember`] only.
#[derive(Debug)]
pub(super) struct Known(Mutex<Inner>);

impl Known {
    pub(super) fn new(events: usize) -> Self {
        Self(Mutex::new(Inner { texts: Generations::new(events), pairs: Generations::new(events) }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn id_of(&self, text: &TextDigest) -> Option<EventId> {
        self.lock().texts.get(text).copied()
    }

    /// Whether this signature of this id was checked. The id must have been recomputed.
    pub(super) fn has(&self, id: &EventId, sig: &Signature) -> bool {
        self.lock().pairs.get(id) == Some(sig)
    }

    pub(super) fn remember(&self, text: Option<TextDigest>, id: EventId, sig: Signature) {
        let mut inner = self.lock();
        if let Some(text) = text {
            inner.texts.insert(text, id);
        }
        inner.pairs.insert(id, sig);
    }

    pub(super) fn len(&self) -> usize {
        self.lock().pairs.len()
    }
}
