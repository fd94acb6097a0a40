//! Compares every index with the events, and the other way round.

use nipworker_protocol::{Coordinate, Event, kinds};

use crate::{CheckReport, Direction, KeyRange, KvSnapshot, Position, StoreError};

use super::{keys, put::number, row::Row};

/// Reads everything once and says what disagrees.
///
/// Each event's index entries must be there with the right value, and there must be as many
/// entries as the events account for: together that leaves no room for a stray one.
pub(super) fn check(snapshot: &dyn KvSnapshot) -> Result<CheckReport, StoreError> {
    let mut report = CheckReport::default();
    let mut accounted: u64 = 0;
    let mut cursor = snapshot.scan(KeyRange::prefix(&[keys::EVENT]), Direction::Forward)?;
    while let Some((key, value)) = cursor.advance()? {
        report.events += 1;
        let Some(position) = Position::from_key_end(key) else {
            report.problem(format!("event key of {} bytes", key.len()));
            continue;
        };
        let row = match Row::new(position, value.to_vec()) {
            Ok(row) => row,
            Err(error) => {
                report.problem(error.to_string());
                continue;
            }
        };
        match row.event() {
            Ok(event) => accounted += check_event(event, snapshot, &mut report)?,
            Err(error) => report.problem(error.to_string()),
        }
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
    report.deletion_marks =
        count(snapshot, keys::DELETED_ID)? + count(snapshot, keys::DELETED_ADDRESS)?;
    match snapshot.get(keys::META_EVENTS)?.map(|value| number(&value, "event counter")) {
        None if report.events == 0 => {}
        Some(Ok(counted)) if counted.cast_unsigned() == report.events => {}
        other => {
            report.problem(format!("event counter is {other:?} where there are {}", report.events));
        }
    }
    Ok(report)
}

/// Checks one event and says how many of its index entries are there.
fn check_event(
    event: &Event,
    snapshot: &dyn KvSnapshot,
    report: &mut CheckReport,
) -> Result<u64, StoreError> {
    if let Err(error) = event.check_id() {
        report.problem(format!("event {}: {error}", event.id));
    }
    let mut there = 0;
    for (key, expected) in keys::index_entries(event) {
        let index = char::from(key[0]);
        match snapshot.get(&key)? {
            Some(value) if value == expected => there += 1,
            Some(_) => {
                there += 1;
                report.problem(format!("event {}: index {index} names another", event.id));
            }
            None => report.problem(format!("event {}: index {index} misses it", event.id)),
        }
    }
    if event.kind != kinds::DELETION
        && snapshot.get(&keys::deleted_id(&event.id, &event.pubkey))?.is_some()
    {
        report.problem(format!("event {} is kept although its author deleted it", event.id));
    }
    if let Some(address) = Coordinate::of(event)
        && let Some(until) = snapshot.get(&keys::deleted_address(&address))?
        && number(&until, "time of an address deletion").is_ok_and(|t| event.created_at <= t)
    {
        report.problem(format!("event {} is kept although its address was deleted", event.id));
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
