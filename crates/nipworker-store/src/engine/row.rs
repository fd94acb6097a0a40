//! A stored event: its packed bytes, checked as they are read.

use nipworker_protocol::PackedEvent;

use crate::{Position, StoreError};

/// Reads what stands at `position`, and checks that it is an event and belongs there.
pub(super) fn read_row(position: Position, bytes: Vec<u8>) -> Result<PackedEvent, StoreError> {
    let packed = PackedEvent::parse(bytes)
        .map_err(|error| StoreError::damaged(format!("event {}: {error}", position.id)))?;
    let found = Position::of_view(&packed.view());
    if found == position {
        Ok(packed)
    } else {
        Err(StoreError::damaged(format!("event {} stands where {} belongs", found.id, position.id)))
    }
}
