//! A stored event: its packed bytes, checked as they are read.

use nipworker_protocol::{Attestation, EventView, PackedEvent, Verified};

use crate::{Position, StoreError};

/// A stored event, checked to be one and to stand where it belongs.
pub(super) struct Row {
    packed: PackedEvent,
}

impl Row {
    /// Reads what stands at `position`.
    pub(super) fn new(position: Position, bytes: Vec<u8>) -> Result<Self, StoreError> {
        let packed = PackedEvent::parse(bytes)
            .map_err(|error| StoreError::damaged(format!("event {}: {error}", position.id)))?;
        let found = Position::of_view(&packed.view());
        if found == position {
            Ok(Self { packed })
        } else {
            Err(StoreError::damaged(format!(
                "event {} stands where {} belongs",
                found.id, position.id
            )))
        }
    }

    pub(super) fn is_expired(&self, now: i64) -> bool {
        self.view().is_expired(now)
    }

    pub(super) fn view(&self) -> EventView<'_> {
        self.packed.view()
    }

    pub(super) fn into_packed(self) -> Verified<PackedEvent> {
        Verified::attest(self.packed, Attestation::FromStore)
    }
}
