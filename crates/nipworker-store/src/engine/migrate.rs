//! Stores of earlier schema versions are brought up to this one when they are opened.
//!
//! Version 1 kept an event as a format byte (1), its expiration time and its JSON, and said nothing
//! of it in the indexes but where it stands. The first commit
//! raises the version, so that an earlier release refuses the store from then on, and leaves a mark;
//! the last one takes the mark away. In between every commit is whole, and opening again goes on:
//! a row says by its first byte in which form it is.

use nipworker_protocol::{Event, EventLimits, PackedEvent, packed::PACKED_VERSION};

use crate::{
    Direction, EVENT_JSON_BYTES_MAX, KeyRange, OrderedKv, Position, StoreError, WriteBatch,
};

use super::{keys, store::SCHEMA_VERSION};

/// Events that one commit rewrites.
const EVENTS_PER_COMMIT: usize = 1_000;

/// First byte of a row of version 1, and the bytes before its JSON.
const JSON_FORMAT: u8 = 1;
const JSON_AT: usize = 1 + size_of::<i64>();

const _: () = assert!(JSON_FORMAT != PACKED_VERSION, "a row says in which form it is");

/// Rewrites a store of version 1, or goes on where that was interrupted.
pub(super) fn from_version_1(kv: &dyn OrderedKv) -> Result<(), StoreError> {
    let mut begin = WriteBatch::new();
    begin.put(keys::META_SCHEMA, SCHEMA_VERSION.to_be_bytes());
    begin.put(keys::META_MIGRATING, []);
    kv.commit(&begin)?;
    let mut range = KeyRange::prefix(&[keys::EVENT]);
    loop {
        let snapshot = kv.snapshot()?;
        let mut cursor = snapshot.scan(range.clone(), Direction::Forward)?;
        let mut batch = WriteBatch::new();
        let mut last = None;
        let mut rewritten = 0;
        while rewritten < EVENTS_PER_COMMIT {
            let Some((key, value)) = cursor.advance()? else { break };
            last = Some(key.to_vec());
            if value.first() == Some(&JSON_FORMAT) {
                let event = packed(key, value)?;
                batch.put(key, event.as_bytes().to_vec());
                for (key, value) in keys::index_entries(&event.view()) {
                    batch.put(key, value);
                }
                rewritten += 1;
            }
        }
        drop(cursor);
        drop(snapshot);
        let Some(mut behind) = last else { break };
        if !batch.is_empty() {
            kv.commit(&batch)?;
        }
        behind.push(0);
        range.start = behind;
    }
    let mut end = WriteBatch::new();
    end.delete(keys::META_MIGRATING);
    Ok(kv.commit(&end)?)
}

fn packed(key: &[u8], value: &[u8]) -> Result<PackedEvent, StoreError> {
    let limits = EventLimits {
        max_event_bytes: EVENT_JSON_BYTES_MAX,
        max_tags: usize::MAX,
        max_tag_elements: usize::MAX,
    };
    let named = |what: &dyn std::fmt::Display| match Position::from_key_end(key) {
        Some(position) => StoreError::damaged(format!("event {}: {what}", position.id)),
        None => StoreError::damaged(format!("event key of {} bytes: {what}", key.len())),
    };
    let json = value.get(JSON_AT..).ok_or_else(|| named(&"row is cut short"))?;
    let event = Event::from_json(json, &limits).map_err(|error| named(&error))?;
    Ok(PackedEvent::new(&event))
}
