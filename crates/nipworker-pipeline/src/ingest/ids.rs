//! The ids of a batch.

use nipworker_hash::ManyDigests;
use nipworker_protocol::EventId;
use sha2::{Digest, Sha256};

/// Fewest messages that are hashed side by side: for fewer, one after another is faster.
const MANY_FROM: usize = 2;

/// Hashes in the way that is fastest on this processor.
#[derive(Debug)]
pub(super) struct Ids(Option<ManyDigests>);

impl Ids {
    pub(super) fn detect() -> Self {
        Self(ManyDigests::detect())
    }

    /// The ids whose preimages these are, in their order.
    pub(super) fn of(&self, preimages: &[&[u8]]) -> Vec<EventId> {
        match &self.0 {
            Some(many) if preimages.len() >= MANY_FROM => {
                many.digest(preimages).into_iter().map(EventId::from_bytes).collect()
            }
            _ => preimages
                .iter()
                .map(|preimage| EventId::from_bytes(Sha256::digest(preimage).into()))
                .collect(),
        }
    }
}
