//! Requests to vanish (NIP-62): everything of an author up to a time goes, and stays away.
//!
//! The request leaves two marks in its own commit: one for ever, against which everything that comes
//! is held, and one that says that something is left to remove. What is there is then removed in
//! commits of bounded size; opening the store goes on where that was interrupted.

use nipworker_protocol::{PublicKey, kinds};

use crate::{Direction, KeyRange, KvSnapshot, Position, StoreError};

use super::{facts::Facts, keys, put::number};

/// What is left to remove of one author: at most `max` events.
pub(super) struct Left {
    pub(super) author: PublicKey,
    pub(super) positions: Vec<Position>,
    /// Whether these are the last.
    pub(super) is_all: bool,
}

/// The next author of whom something may be left.
pub(super) fn next(snapshot: &dyn KvSnapshot, max: usize) -> Result<Option<Left>, StoreError> {
    let mut cursor = snapshot.scan(KeyRange::prefix(&[keys::VANISHING]), Direction::Forward)?;
    let Some((key, until)) = cursor.advance()? else { return Ok(None) };
    let author = PublicKey::from_slice(&key[1..])
        .ok_or_else(|| StoreError::damaged("mark of an author who vanishes"))?;
    let until = Some(number(until, "time of a request to vanish")?);
    let mut positions = Vec::new();
    let own = keys::window(&keys::author(&author), None, until, None);
    collect(snapshot, own, |kind| kind != kinds::VANISH, max, &mut positions)?;
    let wraps = keys::window(&keys::tag_p(&author), None, until, None);
    collect(snapshot, wraps, |kind| kind == kinds::GIFT_WRAP, max, &mut positions)?;
    let is_all = positions.len() < max;
    // A gift wrap to oneself stands in both.
    positions.sort_unstable();
    positions.dedup();
    Ok(Some(Left { author, positions, is_all }))
}

fn collect(
    snapshot: &dyn KvSnapshot,
    range: KeyRange,
    wanted: impl Fn(u16) -> bool,
    max: usize,
    found: &mut Vec<Position>,
) -> Result<(), StoreError> {
    let mut cursor = snapshot.scan(range, Direction::Forward)?;
    while found.len() < max
        && let Some((key, value)) = cursor.advance()?
    {
        match (Position::from_key_end(key), Facts::read(value)) {
            (Some(position), Some(facts)) if wanted(facts.kind) => found.push(position),
            (Some(_), Some(_)) => {}
            _ => return Err(StoreError::damaged("index entry of an author who vanishes")),
        }
    }
    Ok(())
}
