//! Making room: which events go when a store holds more than it may.
//!
//! First regular events, then addressable ones, then replaceable ones such as profiles and relay lists,
//! which are few and which every client asks for; within each the oldest first, the highest id first
//! where times tie. Events of pinned authors never go. What leaves no mark may be put again.

use std::collections::HashSet;

use nipworker_protocol::{EventView, KindClass, PublicKey, packed::head_of};

use crate::{Direction, KeyRange, KvSnapshot, Position, StoreError};

use super::{keys, put::Changes, row::read_row};

/// The order in which classes of kinds make room. Ephemeral events are never kept.
const ORDER: [KindClass; 3] = [KindClass::Regular, KindClass::Addressable, KindClass::Replaceable];

/// Share of the limit, and bytes at most, that one round clears beyond the limit, so that not every
/// commit has to make room.
const CLEARED_SHARE: u64 = 40;
const CLEARED_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Events that one commit lets go of at most.
const EVENTS_PER_COMMIT: usize = 4_000;

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

/// Up to where the oldest events were looked at, for each class of [`ORDER`]: what is left there is
/// pinned, unreadable, or of another class. So that a round does not begin with all of these again.
pub(super) type Barren = [Option<Position>; ORDER.len()];

/// Takes note of an event that was put where nothing but pinned events was left.
pub(super) fn settle(barren: &mut Barren, event: &EventView<'_>) {
    let class = KindClass::of(event.kind());
    let entry = ORDER.iter().zip(barren).find(|(one, _)| **one == class);
    if let Some((_, barren)) = entry
        && barren.is_some_and(|barren| Position::of_view(event) >= barren)
    {
        *barren = None;
    }
}

/// Which classes a round may take from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    /// Within a put, whose own events are not looked at: only what goes first in any case.
    WithinPut,
    /// All.
    Full,
}

/// Takes events out until `changes` hold less than the limit again, as far as one commit may, and
/// says how many. Does nothing below the limit. `barren` is to be kept once the changes are committed.
pub(super) fn make_room(
    changes: &mut Changes<'_>,
    snapshot: &dyn KvSnapshot,
    limit: &SizeLimit,
    round: Round,
    barren: &mut Barren,
) -> Result<usize, StoreError> {
    let mut evicted = 0;
    if changes.bytes() <= limit.max_bytes {
        return Ok(evicted);
    }
    let enough = limit.low_water();
    let classes = if round == Round::WithinPut { 1 } else { ORDER.len() };
    for (class, barren) in ORDER.iter().zip(barren).take(classes) {
        let mut range = KeyRange::prefix(&[keys::EVENT]);
        if let Some(barren) = barren {
            range.end = keys::event(*barren);
        }
        // The events themselves, from the last in the order of answers up.
        let mut oldest = snapshot.scan(range, Direction::Backward)?;
        while let Some((key, value)) = oldest.advance()? {
            if changes.bytes() <= enough || evicted >= EVENTS_PER_COMMIT {
                return Ok(evicted);
            }
            let Some(position) = Position::from_key_end(key) else { continue };
            let is_of_class = head_of(value).is_ok_and(|(kind, _)| KindClass::of(kind) == *class);
            // What cannot be read is not let go of either: `check` tells of it.
            if is_of_class
                && let Ok(row) = read_row(position, value.to_vec())
                && !limit.pinned.contains(&row.view().pubkey())
                && changes.is_kept(position)
            {
                changes.remove_row(position, &row);
                evicted += 1;
            }
            *barren = Some(position);
        }
    }
    Ok(evicted)
}
