//! Making room: which events go when a store holds more than it may.
//!
//! First regular events, then addressable ones, then replaceable ones such as profiles and relay lists,
//! which are few and which every client asks for; within each the oldest first, the highest id first
//! where times tie. Events of pinned authors never go. What leaves no mark may be put again.

use std::collections::{BinaryHeap, HashSet};

use nipworker_protocol::{KindClass, PublicKey};

use crate::{Direction, KeyRange, KvCursor, KvSnapshot, Position, StoreError};

use super::{keys, put::Changes};

/// The order in which classes of kinds make room. Ephemeral events are never kept.
const ORDER: [KindClass; 3] = [KindClass::Regular, KindClass::Addressable, KindClass::Replaceable];

/// Share of the limit, and bytes at most, that one round clears beyond the limit, so that not every
/// commit has to make room.
const CLEARED_SHARE: u64 = 40;
const CLEARED_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Events that one commit lets go of at most.
const EVENTS_PER_COMMIT: usize = 4_000;

/// Kinds whose events are compared by age at a time; of more, the first so many by number go first.
const KINDS_AT_ONCE: usize = 1_024;

/// How much a store holds at most.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SizeLimit {
    /// Bytes of the keys and values of all events and their index entries; a backend needs more than
    /// that on its disk.
    pub max_bytes: u64,
    /// Authors whose events never make room. Should they alone hold more than the limit, it is
    /// exceeded.
    pub pinned: HashSet<PublicKey>,
}

impl SizeLimit {
    /// Where a round of making room ends.
    fn low_water(&self) -> u64 {
        self.max_bytes - (self.max_bytes / CLEARED_SHARE).min(CLEARED_BYTES_MAX)
    }
}

/// Takes events out until `changes` hold less than the limit again, as far as one commit may, and
/// says how many. Does nothing below the limit.
pub(super) fn make_room(
    changes: &mut Changes<'_>,
    snapshot: &dyn KvSnapshot,
    limit: &SizeLimit,
) -> Result<usize, StoreError> {
    let mut evicted = 0;
    if changes.bytes() <= limit.max_bytes {
        return Ok(evicted);
    }
    let enough = limit.low_water();
    for class in ORDER {
        for kinds in kinds_of(class, snapshot)?.chunks(KINDS_AT_ONCE) {
            let mut oldest = OldestFirst::of(kinds, snapshot)?;
            while let Some(position) = oldest.next()? {
                if changes.bytes() <= enough || evicted >= EVENTS_PER_COMMIT {
                    return Ok(evicted);
                }
                // These changes may have removed it before.
                let Some(row) = changes.row_if_kept(position)? else { continue };
                if !limit.pinned.contains(&row.view().pubkey()) {
                    changes.remove_row(position, &row);
                    evicted += 1;
                }
            }
        }
    }
    Ok(evicted)
}

/// The kinds of a class that something is kept of, found by leaping from each to the next.
fn kinds_of(class: KindClass, snapshot: &dyn KvSnapshot) -> Result<Vec<u16>, StoreError> {
    let mut kinds = Vec::new();
    let mut range = KeyRange::prefix(&[keys::KIND]);
    while let Some((key, _)) = snapshot.scan(range.clone(), Direction::Forward)?.advance()? {
        let kind = key
            .get(1..3)
            .and_then(|kind| kind.try_into().ok())
            .map(u16::from_be_bytes)
            .ok_or_else(|| StoreError::damaged("index of kinds"))?;
        if KindClass::of(kind) == class {
            kinds.push(kind);
        }
        match kind.checked_add(1) {
            Some(next) => range.start = keys::kind(next),
            None => break,
        }
    }
    Ok(kinds)
}

/// Positions of events of several kinds, the last in the order of answers first.
struct OldestFirst<'s> {
    cursors: Vec<Box<dyn KvCursor + 's>>,
    heads: BinaryHeap<(Position, usize)>,
}

impl<'s> OldestFirst<'s> {
    fn of(kinds: &[u16], snapshot: &'s dyn KvSnapshot) -> Result<Self, StoreError> {
        let mut found = Self { cursors: Vec::with_capacity(kinds.len()), heads: BinaryHeap::new() };
        for kind in kinds {
            let range = KeyRange::prefix(&keys::kind(*kind));
            found.cursors.push(snapshot.scan(range, Direction::Backward)?);
            found.refill(found.cursors.len() - 1)?;
        }
        Ok(found)
    }

    fn refill(&mut self, index: usize) -> Result<(), StoreError> {
        if let Some((key, _)) = self.cursors[index].advance()? {
            let position = Position::from_key_end(key)
                .ok_or_else(|| StoreError::damaged(format!("index key of {} bytes", key.len())))?;
            self.heads.push((position, index));
        }
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Position>, StoreError> {
        let Some((position, index)) = self.heads.pop() else { return Ok(None) };
        self.refill(index)?;
        Ok(Some(position))
    }
}
