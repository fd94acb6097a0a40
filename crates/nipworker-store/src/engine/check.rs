//! Compares every index with the events, and the other way round.

use nipworker_protocol::EventView;

use crate::{
    CheckReport, Direction, KeyRange, KvSnapshot, Position, StoreError,
    rules::{concerned, is_beyond_deletion},
};

use super::{keys, put::number, row::read_row};

/// Reads everything once and says what disagrees.
///
/// Each event's index entries must be there with the right value, and there must be as many
/// entries as the events account for: together that leaves no room for a stray one.
pub(super) fn check(snapshot: &dyn KvSnapshot) -> Result<CheckReport, StoreError> {
    let mut report = CheckReport::default();
    let mut accounted: u64 = 0;
    let mut bytes: u64 = 0;
    let mut cursor = snapshot.scan(KeyRange::prefix(&[keys::EVENT]), Direction::Forward)?;
    while let Some((key, value)) = cursor.advance()? {
        report.events += 1;
        let Some(position) = Position::from_key_end(key) else {
            report.problem(format!("event key of {} bytes", key.len()));
            continue;
        };
        let row = match read_row(position, value.to_vec()) {
            Ok(row) => row,
            Err(error) => {
                report.problem(error.to_string());
                continue;
            }
        };
        accounted += check_event(&row.view(), snapshot, &mut report)?;
        bytes += keys::bytes_of(&row.view());
    }
    drop(cursor);

    for first in [
        keys::ID,
        keys::AUTHOR,
        keys::KIND,
        keys::AUTHOR_KIND,
        keys::TAG,
        keys::ADDRESS,
        keys::EXPIRY,
    ] {
        report.index_entries += count(snapshot, first)?;
    }
    if report.index_entries != accounted {
        report.problem(format!(
            "{} index entries where the events account for {accounted}",
            report.index_entries
        ));
    }
    report.deletion_marks = count(snapshot, keys::DELETED_ID)?
        + count(snapshot, keys::DELETED_ADDRESS)?
        + count(snapshot, keys::VANISHED)?;
    let kept = report.events;
    check_counter(keys::META_EVENTS, "event counter", kept, snapshot, &mut report)?;
    // A row that cannot be read is a problem of its own, and what it took is not known.
    if report.is_clean() {
        check_counter(keys::META_BYTES, "byte counter", bytes, snapshot, &mut report)?;
    }
    Ok(report)
}

fn check_counter(
    key: &[u8],
    name: &str,
    expected: u64,
    snapshot: &dyn KvSnapshot,
    report: &mut CheckReport,
) -> Result<(), StoreError> {
    match snapshot.get(key)?.map(|value| number(&value, name)) {
        None if expected == 0 => {}
        Some(Ok(counted)) if counted.cast_unsigned() == expected => {}
        other => report.problem(format!("{name} is {other:?} where it should be {expected}")),
    }
    Ok(())
}

/// Checks one event and says how many of its index entries are there.
fn check_event(
    event: &EventView<'_>,
    snapshot: &dyn KvSnapshot,
    report: &mut CheckReport,
) -> Result<u64, StoreError> {
    let (id, author) = (event.id(), event.pubkey());
    let unpacked = event.to_event();
    if let Err(error) = unpacked.check_id() {
        report.problem(format!("event {id}: {error}"));
    }
    if unpacked.expiration() != event.expiration() {
        report.problem(format!("event {id}: its expiration time is not that of its tags"));
    }
    let mut there = 0;
    for (key, expected) in keys::index_entries(event) {
        let index = char::from(key[0]);
        match snapshot.get(&key)? {
            Some(value) if value == expected => there += 1,
            Some(_) => {
                there += 1;
                report.problem(format!("event {id}: index {index} names another"));
            }
            None => report.problem(format!("event {id}: index {index} misses it")),
        }
    }
    for author in concerned(event) {
        if let Some(until) = snapshot.get(&keys::vanished(&author))?
            && number(&until, "time of a request to vanish").is_ok_and(|t| event.created_at() <= t)
        {
            report.problem(format!("event {id} is kept although {author} asked to vanish"));
        }
    }
    if !is_beyond_deletion(event.kind()) && snapshot.get(&keys::deleted_id(&id, &author))?.is_some()
    {
        report.problem(format!("event {id} is kept although its author deleted it"));
    }
    if let Some(address) = event.coordinate()
        && let Some(until) = snapshot.get(&keys::deleted_address(&address))?
        && number(&until, "time of an address deletion").is_ok_and(|t| event.created_at() <= t)
    {
        report.problem(format!("event {id} is kept although its address was deleted"));
    }
    Ok(there)
}

fn count(snapshot: &dyn KvSnapshot, first: u8) -> Result<u64, StoreError> {
    let mut count = 0;
    let mut cursor = snapshot.scan(KeyRange::prefix(&[first]), Direction::Forward)?;
    while cursor.advance()?.is_some() {
        count += 1;
    }
    Ok(count)
}
