//! Where an event stands in the order of answers, and where a page ended.

use std::cmp::Ordering;

use nipworker_protocol::{Event, EventId, EventView};

/// An event's place in the order of answers: newest first, the lowest id first where times tie
/// (NIP-01). A smaller position comes earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    /// Unix seconds.
    pub created_at: i64,
    /// Id of the event.
    pub id: EventId,
}

impl Position {
    /// Bytes of the key form.
    pub(crate) const KEY_LEN: usize = 8 + EventId::LEN;

    /// The place of `event`.
    pub fn of(event: &Event) -> Self {
        Self { created_at: event.created_at, id: event.id }
    }

    /// The place of a packed event.
    pub fn of_view(event: &EventView<'_>) -> Self {
        Self { created_at: event.created_at(), id: event.id() }
    }

    /// Bytes that sort as positions do.
    pub(crate) fn to_key(self) -> [u8; Self::KEY_LEN] {
        let mut key = [0; Self::KEY_LEN];
        key[..8].copy_from_slice(&newest_first(self.created_at));
        key[8..].copy_from_slice(self.id.as_bytes());
        key
    }

    /// Reads the last bytes of an index key; `None` when it is too short.
    pub(crate) fn from_key_end(key: &[u8]) -> Option<Self> {
        let (time, id) = key.last_chunk::<{ Self::KEY_LEN }>()?.split_at(8);
        Some(Self {
            created_at: from_newest_first(time.try_into().ok()?),
            id: EventId::from_slice(id)?,
        })
    }
}

impl Ord for Position {
    fn cmp(&self, other: &Self) -> Ordering {
        other.created_at.cmp(&self.created_at).then_with(|| self.id.cmp(&other.id))
    }
}

impl PartialOrd for Position {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A time as bytes that sort the newest first, negative times included.
pub(crate) fn newest_first(time: i64) -> [u8; 8] {
    (!(time.cast_unsigned() ^ (1 << 63))).to_be_bytes()
}

fn from_newest_first(bytes: [u8; 8]) -> i64 {
    (!u64::from_be_bytes(bytes) ^ (1 << 63)).cast_signed()
}

/// A time as bytes that sort the oldest first, negative times included.
pub(crate) fn oldest_first(time: i64) -> [u8; 8] {
    (time.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

/// Where a page ended: what the next page needs so that nothing is repeated, nothing is left
/// out, and each filter's `limit` holds over all pages together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The last event that was looked at.
    pub after: Position,
    /// Events up to `after` that answered each filter, in the order of the filters. Left empty
    /// it is counted anew, which costs another walk over what the earlier pages held.
    pub matched: Vec<u64>,
}

impl Cursor {
    /// Continues behind `after` without knowing what the earlier pages held.
    pub fn behind(after: Position) -> Self {
        Self { after, matched: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_positions_do_and_read_back() {
        let times = [i64::MIN, -2, -1, 0, 1, 1_700_000_000, i64::MAX];
        let mut positions: Vec<Position> = times
            .iter()
            .flat_map(|&created_at| {
                [0, 7, 255].map(|id| Position { created_at, id: EventId::from_bytes([id; 32]) })
            })
            .collect();
        positions.sort();
        assert_eq!(positions[0].created_at, i64::MAX);
        assert_eq!(positions[0].id, EventId::from_bytes([0; 32]));
        let keys: Vec<_> = positions.iter().map(|position| position.to_key()).collect();
        assert!(keys.is_sorted());
        for (position, key) in positions.iter().zip(&keys) {
            assert_eq!(Position::from_key_end(key), Some(*position));
        }
        assert_eq!(Position::from_key_end(&[0; 39]), None);
        let oldest: Vec<_> = times.iter().map(|&time| oldest_first(time)).collect();
        assert!(oldest.is_sorted());
    }
}
