//! Making room, from the keys' end: walks over the events from the oldest on.

use nipworker_protocol::{EventView, KindClass, packed::head_of};

use crate::{Direction, EVICTION_ORDER, KeyRange, KvSnapshot, Position, SizeLimit, StoreError};

use super::{keys, put::Changes, row::read_row};

/// Events that one commit lets go of at most.
const EVENTS_PER_COMMIT: usize = 4_000;

/// Up to where the oldest events were looked at, for each class of [`EVICTION_ORDER`]: what is left there is
/// pinned, unreadable, or of another class. So that a round does not begin with all of these again.
pub(super) type Barren = [Option<Position>; EVICTION_ORDER.len()];

/// Takes note of an event that was put where nothing but pinned events was left.
pub(super) fn settle(barren: &mut Barren, event: &EventView<'_>) {
    let class = KindClass::of(event.kind());
    let entry = EVICTION_ORDER.iter().zip(barren).find(|(one, _)| **one == class);
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
    let classes = if round == Round::WithinPut { 1 } else { EVICTION_ORDER.len() };
    for (class, barren) in EVICTION_ORDER.iter().zip(barren).take(classes) {
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
