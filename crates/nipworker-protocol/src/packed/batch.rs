//! Several packed events in one run of bytes, as messages between workers carry them.

use bytes::Bytes;

use crate::Event;

use super::{PackedError, PackedEvent, pack_into, read_varint, write::push_varint};

/// Packed events one after another, each behind its size in bytes as a number of variable size.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackedEvents {
    bytes: Vec<u8>,
    len: usize,
}

impl PackedEvents {
    /// Holds nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends one that is packed.
    pub fn push(&mut self, packed: &[u8]) {
        push_varint(&mut self.bytes, packed.len());
        self.bytes.extend_from_slice(packed);
        self.len += 1;
    }

    /// Packs one to the end.
    pub fn push_event(&mut self, event: &Event) {
        let mut packed = Vec::new();
        pack_into(event, &mut packed);
        self.push(&packed);
    }

    /// Number of events.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of all of them.
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes, as [`PackedEvents::read`] takes them.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Reads what [`PackedEvents::into_bytes`] gave: each event, or why the bytes from there on
    /// are not one. Nothing comes after an error. The events share the bytes.
    pub fn read(bytes: impl Into<Bytes>) -> PackedEventsIter {
        PackedEventsIter { left: bytes.into() }
    }
}

impl<'e> FromIterator<&'e Event> for PackedEvents {
    fn from_iter<I: IntoIterator<Item = &'e Event>>(events: I) -> Self {
        let mut packed = Self::new();
        events.into_iter().for_each(|event| packed.push_event(event));
        packed
    }
}

/// Reads [`PackedEvents`].
#[derive(Debug, Clone)]
pub struct PackedEventsIter {
    left: Bytes,
}

impl PackedEventsIter {
    fn take(&mut self) -> Result<PackedEvent, PackedError> {
        let short = PackedError::Short { got: self.left.len() };
        let mut rest: &[u8] = &self.left;
        let size = read_varint(&mut rest).ok_or_else(|| short.clone())?;
        if size > rest.len() {
            return Err(short);
        }
        let head = self.left.len() - rest.len();
        let mut event = self.left.split_to(head + size);
        PackedEvent::parse(event.split_off(head))
    }
}

impl Iterator for PackedEventsIter {
    type Item = Result<PackedEvent, PackedError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left.is_empty() {
            return None;
        }
        let event = self.take();
        if event.is_err() {
            self.left.clear();
        }
        Some(event)
    }
}
