//! The key layout (schema version 2). All numbers are big-endian.
//!
//! | first byte | rest of the key | value |
//! |---|---|---|
//! | `E` | position | the packed event |
//! | `I` | id | creation time, so that the position is known; facts |
//! | `A` | author, position | facts |
//! | `K` | kind, position | facts |
//! | `P` | author, kind, position | facts |
//! | `T` | tag letter, value, position | facts |
//! | `R` | address | position of the event that holds the address |
//! | `X` | expiration time, position | |
//! | `D` | id, author who deleted it | |
//! | `G` | address | time up to which its author deleted it |
//! | `V` | author | time up to which the author asked to vanish |
//! | `W` | author | the same, while something is left to remove |
//! | `M` | name | a number about the store itself |
//!
//! A position is the inverted creation time and the id, 40 bytes, so that walking a range
//! forward gives the newest first and the lowest id first where times tie. Facts are the kind and,
//! where there is one, the expiration time. The events
//! themselves stand in that order, so neighbours in an answer are neighbours on disk.

use nipworker_protocol::{Coordinate, EventId, EventView, PublicKey, SingleLetterTag};
use sha2::{Digest, Sha256};

use crate::{KeyRange, Position, StoreError, position};

use super::facts::Facts;

/// Values up to this many bytes stand in the key as they are; longer ones by their SHA-256, so
/// that no key grows with what an author writes.
const VALUE_BYTES_INLINE: usize = 64;

pub(crate) const EVENT: u8 = b'E';
pub(super) const ID: u8 = b'I';
pub(super) const AUTHOR: u8 = b'A';
pub(super) const KIND: u8 = b'K';
pub(super) const AUTHOR_KIND: u8 = b'P';
pub(super) const TAG: u8 = b'T';
pub(super) const ADDRESS: u8 = b'R';
pub(super) const EXPIRY: u8 = b'X';
pub(super) const DELETED_ID: u8 = b'D';
pub(super) const DELETED_ADDRESS: u8 = b'G';

pub(super) const VANISHED: u8 = b'V';
pub(super) const VANISHING: u8 = b'W';

pub(super) const META_SCHEMA: &[u8] = b"Mschema";
/// There while an older store is being rewritten.
pub(super) const META_MIGRATING: &[u8] = b"Mmigrating";
/// A text that is known, sealed: whether a key is the right one.
pub(super) const META_SEAL: &[u8] = b"Mseal";
pub(super) const META_EVENTS: &[u8] = b"Mevents";
/// Bytes of the keys and values of all events and their index entries.
pub(super) const META_BYTES: &[u8] = b"Mbytes";

/// Starts a key and gives it room for what usually follows.
fn begin(first: u8) -> Vec<u8> {
    let mut key = Vec::with_capacity(112);
    key.push(first);
    key
}

/// Appends `value` so that no encoding is the beginning of another.
fn push_value(key: &mut Vec<u8>, value: &str) {
    let mut hash = [0; 32];
    let lower_hex = value.len() == 64 && !value.bytes().any(|c| c.is_ascii_uppercase());
    if lower_hex && hex::decode_to_slice(value, &mut hash).is_ok() {
        // Ids and public keys, which most tags name, at half their length.
        key.push(0);
        key.extend(hash);
    } else if value.len() <= VALUE_BYTES_INLINE {
        key.push(1);
        // At most VALUE_BYTES_INLINE, which fits.
        key.push(value.len() as u8);
        key.extend(value.as_bytes());
    } else {
        key.push(2);
        key.extend(Sha256::digest(value));
    }
}

pub(super) fn event(position: Position) -> Vec<u8> {
    let mut key = begin(EVENT);
    key.extend(position.to_key());
    key
}

pub(super) fn id(id: &EventId) -> Vec<u8> {
    let mut key = begin(ID);
    key.extend(id.as_bytes());
    key
}

/// Reads the value of [`id`].
pub(super) fn read_id_entry(id: &EventId, value: &[u8]) -> Result<(Position, Facts), StoreError> {
    value
        .split_first_chunk()
        .and_then(|(time, facts)| Some((i64::from_be_bytes(*time), Facts::read(facts)?)))
        .map(|(created_at, facts)| (Position { created_at, id: *id }, facts))
        .ok_or_else(|| {
            StoreError::damaged(format!("index of ids has {} bytes for event {id}", value.len()))
        })
}

pub(super) fn deleted_id(id: &EventId, author: &PublicKey) -> Vec<u8> {
    let mut key = begin(DELETED_ID);
    key.extend(id.as_bytes());
    key.extend(author.as_bytes());
    key
}

fn with_address(first: u8, address: &Coordinate) -> Vec<u8> {
    let mut key = begin(first);
    key.extend(address.kind.to_be_bytes());
    key.extend(address.pubkey.as_bytes());
    push_value(&mut key, &address.identifier);
    key
}

pub(super) fn address(address: &Coordinate) -> Vec<u8> {
    with_address(ADDRESS, address)
}

pub(super) fn deleted_address(address: &Coordinate) -> Vec<u8> {
    with_address(DELETED_ADDRESS, address)
}

pub(super) fn author(author: &PublicKey) -> Vec<u8> {
    let mut key = begin(AUTHOR);
    key.extend(author.as_bytes());
    key
}

pub(super) fn vanished(author: &PublicKey) -> Vec<u8> {
    [&[VANISHED], &author.as_bytes()[..]].concat()
}

pub(super) fn vanishing(author: &PublicKey) -> Vec<u8> {
    [&[VANISHING], &author.as_bytes()[..]].concat()
}

pub(super) fn kind(kind: u16) -> Vec<u8> {
    let mut key = begin(KIND);
    key.extend(kind.to_be_bytes());
    key
}

pub(super) fn author_kind(author: &PublicKey, kind: u16) -> Vec<u8> {
    let mut key = begin(AUTHOR_KIND);
    key.extend(author.as_bytes());
    key.extend(kind.to_be_bytes());
    key
}

pub(super) fn tag(letter: SingleLetterTag, value: &str) -> Vec<u8> {
    let mut key = begin(TAG);
    key.push(letter.as_byte());
    push_value(&mut key, value);
    key
}

/// The index of `p` tags that name `author`.
pub(super) fn tag_p(author: &PublicKey) -> Vec<u8> {
    let mut key = begin(TAG);
    key.extend([b'p', 0]);
    key.extend(author.as_bytes());
    key
}

/// Entries that expired at `now` or before.
pub(super) fn expired_range(now: i64) -> KeyRange {
    let mut end = begin(EXPIRY);
    match now.checked_add(1) {
        Some(next) => end.extend(position::oldest_first(next)),
        None => end = vec![EXPIRY + 1],
    }
    KeyRange { start: vec![EXPIRY], end }
}

/// The part of an index below `prefix` that lies within `since..=until`, behind `after`.
pub(super) fn window(
    prefix: &[u8],
    since: Option<i64>,
    until: Option<i64>,
    after: Option<Position>,
) -> KeyRange {
    let mut range = KeyRange::prefix(prefix);
    if let Some(until) = until {
        range.start = [prefix, &position::newest_first(until)].concat();
    }
    if let Some(after) = after {
        // One byte more makes the first key behind it.
        let behind = [prefix, &after.to_key(), &[0]].concat();
        range.start = range.start.max(behind);
    }
    if let Some(since) = since
        && let Some(older) = since.checked_sub(1)
    {
        range.end = [prefix, &position::newest_first(older)].concat();
    }
    range
}

/// Bytes that `event` counts for in [`StoreStats::event_bytes`](crate::StoreStats::event_bytes) and
/// against a [`SizeLimit`](crate::SizeLimit): its own key and value, and those of its index entries.
/// Other kinds of store count by the same measure.
pub fn bytes_of(event: &EventView<'_>) -> u64 {
    let entries = index_entries(event);
    let indexes: usize = entries.iter().map(|(key, value)| key.len() + value.len()).sum();
    (1 + Position::KEY_LEN + event.as_bytes().len() + indexes) as u64
}

/// Every index entry that `event` has, the event itself excluded.
pub(super) fn index_entries(event: &EventView<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let place = Position::of_view(event).to_key();
    let facts = Facts::of(event);
    let placed = |mut key: Vec<u8>| {
        key.extend(place);
        let mut value = Vec::with_capacity(2);
        facts.write(&mut value);
        (key, value)
    };
    let mut found_by_id = event.created_at().to_be_bytes().to_vec();
    facts.write(&mut found_by_id);
    let mut entries = vec![
        (id(&event.id()), found_by_id),
        placed(author(&event.pubkey())),
        placed(kind(event.kind())),
        placed(author_kind(&event.pubkey(), event.kind())),
    ];
    if let Some(held) = event.coordinate() {
        entries.push((address(&held), place.to_vec()));
    }
    if let Some(expires_at) = event.expiration() {
        let mut key = begin(EXPIRY);
        key.extend(position::oldest_first(expires_at));
        key.extend(place);
        entries.push((key, Vec::new()));
    }
    let mut tags: Vec<_> = event
        .tags()
        .filter_map(|one| one.indexed())
        .map(|(letter, value)| placed(tag(letter, value)))
        .collect();
    tags.sort_unstable();
    tags.dedup();
    entries.append(&mut tags);
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::samples::{NOW, event};

    #[test]
    fn no_value_is_written_as_the_beginning_of_another() {
        let hex = "ab".repeat(32);
        let long = "x".repeat(65);
        let values = ["", "a", "aa", "\0", &hex, &hex.to_uppercase(), &hex[..62], &long, "\u{1}"];
        let written: Vec<Vec<u8>> = values
            .iter()
            .map(|value| {
                let mut key = Vec::new();
                push_value(&mut key, value);
                key
            })
            .collect();
        for (i, one) in written.iter().enumerate() {
            for (j, other) in written.iter().enumerate() {
                assert!(i == j || !other.starts_with(one), "{:?}, {:?}", values[i], values[j]);
            }
        }
    }

    #[test]
    fn ids_and_public_keys_take_half_their_length() {
        let mut key = Vec::new();
        push_value(&mut key, &"ab".repeat(32));
        assert_eq!(key, [&[0][..], &[0xab; 32]].concat());
    }

    #[test]
    fn tags_that_name_an_author_are_found_by_the_author() {
        let author = PublicKey::from_bytes([0xab; 32]);
        let letter = SingleLetterTag::new('p').unwrap();
        assert_eq!(tag_p(&author), tag(letter, &author.to_hex()));
    }

    #[test]
    fn no_key_grows_with_what_an_author_writes() {
        let huge = "x".repeat(100_000);
        let event = event(1, NOW, 30_000, &[&["d", &huge], &["t", &huge]], &huge);
        for (key, _) in index_entries(&event.pack().view()) {
            assert!(key.len() <= 160, "key of {} bytes", key.len());
        }
    }

    #[test]
    fn a_window_holds_the_seconds_at_both_its_ends() {
        let place = |time, id| Position { created_at: time, id: EventId::from_bytes([id; 32]) };
        let key = |position: Position| [&b"K"[..], &position.to_key()].concat();
        let range = window(b"K", Some(10), Some(20), None);
        let within = |position| (range.start.clone()..range.end.clone()).contains(&key(position));
        for (time, expected) in [(9, false), (10, true), (15, true), (20, true), (21, false)] {
            assert_eq!(within(place(time, 0)), expected, "{time}, lowest id");
            assert_eq!(within(place(time, 255)), expected, "{time}, highest id");
        }
        let behind = window(b"K", Some(10), Some(20), Some(place(15, 7)));
        assert!(!(behind.start.clone()..behind.end.clone()).contains(&key(place(15, 7))));
        assert!((behind.start.clone()..behind.end.clone()).contains(&key(place(15, 8))));
        assert!(!(behind.start..behind.end).contains(&key(place(15, 6))));
    }
}
