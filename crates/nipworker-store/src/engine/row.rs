//! How an event is written: a format byte, its expiration time, its canonical JSON.

use std::cell::OnceCell;

use nipworker_protocol::{Attestation, Event, EventLimits, Verified};

use crate::{Position, StoreError};

use super::put::EVENT_JSON_BYTES_MAX;

/// The format byte of this release.
const FORMAT: u8 = 1;
const HEADER_BYTES: usize = 1 + size_of::<i64>();
/// Stands for an event that never expires. One that truly expires then is as good as that.
const NEVER: i64 = i64::MAX;

/// Writes `event`, whose canonical JSON is `json`.
pub(super) fn encode(event: &Event, json: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + json.len());
    bytes.push(FORMAT);
    bytes.extend(event.expiration().unwrap_or(NEVER).to_be_bytes());
    bytes.extend(json.as_bytes());
    bytes
}

/// A stored event, read only as far as it is needed.
pub(super) struct Row {
    position: Position,
    bytes: Vec<u8>,
    event: OnceCell<Event>,
}

impl Row {
    /// Wraps what stands at `position`.
    pub(super) fn new(position: Position, bytes: Vec<u8>) -> Result<Self, StoreError> {
        if bytes.len() < HEADER_BYTES || bytes[0] != FORMAT {
            return Err(StoreError::damaged(format!(
                "event {} of {} bytes has an unknown format",
                position.id,
                bytes.len()
            )));
        }
        Ok(Self { position, bytes, event: OnceCell::new() })
    }

    pub(super) fn is_expired(&self, now: i64) -> bool {
        let mut expires_at = [0; size_of::<i64>()];
        expires_at.copy_from_slice(&self.bytes[1..HEADER_BYTES]);
        let expires_at = i64::from_be_bytes(expires_at);
        expires_at != NEVER && expires_at <= now
    }

    pub(super) fn json_bytes(&self) -> usize {
        self.bytes.len() - HEADER_BYTES
    }

    pub(super) fn event(&self) -> Result<&Event, StoreError> {
        if let Some(event) = self.event.get() {
            return Ok(event);
        }
        let event = self.parse()?;
        Ok(self.event.get_or_init(|| event))
    }

    pub(super) fn into_event(self) -> Result<Verified<Event>, StoreError> {
        let event = match self.event.into_inner() {
            Some(event) => event,
            None => Self { event: OnceCell::new(), ..self }.parse()?,
        };
        Ok(Verified::attest(event, Attestation::FromStore))
    }

    fn parse(&self) -> Result<Event, StoreError> {
        // What was taken in is taken out; only the size is bounded.
        let limits = EventLimits {
            max_event_bytes: EVENT_JSON_BYTES_MAX,
            max_tags: usize::MAX,
            max_tag_elements: usize::MAX,
        };
        let event = Event::from_json(&self.bytes[HEADER_BYTES..], &limits)
            .map_err(|error| StoreError::damaged(format!("event {}: {error}", self.position.id)))?;
        if Position::of(&event) == self.position {
            Ok(event)
        } else {
            Err(StoreError::damaged(format!(
                "event {} stands where {} belongs",
                event.id, self.position.id
            )))
        }
    }
}
