//! The memory of events that were verified and stored.

use std::sync::{Mutex, MutexGuard, PoisonError};

use highway::{HighwayHash, HighwayHasher, Key};
use nipworker_protocol::{EventId, Signature};

use crate::generations::Generations;

/// A keyed digest of an event's text: HighwayHash with 128 bits (Alakuijala, Cox, Wassenberg, 2016),
/// as strong against guessing as SipHash by what is known, and several times as fast. Its key is
/// drawn for each [`Known`] and never leaves it, and nobody is told a digest; so a text that is to be
/// mistaken for a known one has to be guessed, once in 2^128. 64 bits would be too few
/// (RUSTSEC-2026-0232).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TextDigest([u64; 2]);

#[derive(Debug)]
struct Inner {
    /// Exact texts, so that a copy costs one hash and no decoding.
    texts: Generations<TextDigest, EventId>,
    /// Ids with the signature that was checked, for copies that are spelled differently.
    pairs: Generations<EventId, Signature>,
}

/// What was verified and stored. Filled by [`Known::remember`] only.
pub(super) struct Known {
    key: [u64; 4],
    inner: Mutex<Inner>,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Known").field("events", &self.len()).finish_non_exhaustive()
    }
}

impl Known {
    pub(super) fn new(events: usize) -> Self {
        let (texts, pairs) = (Generations::new(events), Generations::new(events));
        Self { key: rand::random(), inner: Mutex::new(Inner { texts, pairs }) }
    }

    pub(super) fn digest(&self, text: &str) -> TextDigest {
        TextDigest(HighwayHasher::new(Key(self.key)).hash128(text.as_bytes()))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
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
