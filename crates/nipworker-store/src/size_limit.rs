//! How much a store holds, and what goes first.

use std::collections::HashSet;

use nipworker_protocol::{KindClass, PublicKey};

/// The order in which classes of kinds make room: first regular events, then addressable ones, then
/// replaceable ones such as profiles and relay lists, which are few and which every client asks for;
/// within each the oldest first, the highest id first where times tie. Ephemeral events are never kept.
/// Events of pinned authors never go. What leaves no mark may be put again.
pub const EVICTION_ORDER: [KindClass; 3] =
    [KindClass::Regular, KindClass::Addressable, KindClass::Replaceable];

/// Share of the limit, and bytes at most, that one round clears beyond the limit, so that not every
/// commit has to make room.
const CLEARED_SHARE: u64 = 40;
const CLEARED_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// How much a store holds at most.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SizeLimit {
    /// Bytes of all events and their index entries, as
    /// [`StoreStats::event_bytes`](crate::StoreStats::event_bytes) counts them; a backend needs more
    /// than that on its disk.
    pub max_bytes: u64,
    /// Authors whose events never make room. Should they alone hold more than the limit, it is
    /// exceeded.
    pub pinned: HashSet<PublicKey>,
}

impl SizeLimit {
    /// Where a round of making room ends, in bytes.
    pub fn low_water(&self) -> u64 {
        self.max_bytes - (self.max_bytes / CLEARED_SHARE).min(CLEARED_BYTES_MAX)
    }
}
