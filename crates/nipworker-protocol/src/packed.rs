//! The packed event: one contiguous run of bytes that holds all of a signed event.
//!
//! It is made once, when an event is verified, and from then on stored, sent between workers and
//! written to sockets as it is. What it says is read in place by an [`EventView`].
//!
//! | bytes | what |
//! |---:|---|
//! | 1 | format version, [`PACKED_VERSION`] |
//! | 1 | flags; bit 0: an expiration time follows the signature |
//! | 2 | kind |
//! | 8 | creation time, unix seconds, signed |
//! | 32 | id |
//! | 32 | author |
//! | 64 | signature |
//! | 0 or 8 | expiration time (NIP-40), unix seconds, signed |
//! | 1 or more | size of the lengths in bytes, as a number of variable size |
//! | so many | lengths: for each tag its number of elements, then the bytes of each element |
//! | the rest | text: the elements of all tags one after another, then the content |
//!
//! Numbers are little-endian; those of variable size have seven bits in each byte, the lowest
//! first, and the eighth says that more follow. All text stands together, so that one pass over it
//! finds whether it is UTF-8.

mod batch;
mod json;
mod matching;
mod view;
mod write;

use std::fmt;

use bytes::Bytes;

use crate::{Event, EventId, EventText, PublicKey, Signature, Verified};

pub use batch::{PackedEvents, PackedEventsIter};
pub use view::{Elements, EventView, TagView, Tags};
pub(crate) use write::{Head, Parts};

/// The format that this release writes, and the only one that it reads. (1 was another form, of the
/// rows in stores of schema version 1.)
pub const PACKED_VERSION: u8 = 2;

/// Set in the flags when the event has an expiration time.
const HAS_EXPIRATION: u8 = 1;

const KIND_AT: usize = 2;
const CREATED_AT: usize = 4;
const ID_AT: usize = 12;
const PUBKEY_AT: usize = ID_AT + EventId::LEN;
const SIG_AT: usize = PUBKEY_AT + PublicKey::LEN;
const FIXED_BYTES: usize = SIG_AT + Signature::LEN;
const EXPIRATION_BYTES: usize = size_of::<i64>();

/// Why bytes are not a packed event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PackedError {
    /// The bytes end before the event does.
    #[error("packed event is cut short at {got} bytes")]
    Short {
        /// Bytes that are there.
        got: usize,
    },
    /// It was written by another release.
    #[error("packed event has format {found}, this release reads {PACKED_VERSION}")]
    Version {
        /// The version that it states.
        found: u8,
    },
    /// The parts contradict each other.
    #[error("packed event is malformed: {0}")]
    Malformed(&'static str),
    /// The text is not UTF-8.
    #[error("text of a packed event is not UTF-8")]
    Utf8,
}

/// Where the parts of variable size lie. Kept beside the bytes once they were found good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    /// First byte of the lengths.
    lengths_at: usize,
    /// First byte of the text.
    text_at: usize,
    /// First byte of the content, counted within the text.
    content_at: usize,
}

/// All of a signed event in one run of bytes. Cloning shares them.
#[derive(Clone)]
pub struct PackedEvent {
    bytes: Bytes,
    layout: Layout,
}

impl PackedEvent {
    /// Packs an event.
    pub fn new(event: &Event) -> Self {
        Self::of_parts(event)
    }

    /// Packs an event that stands in its JSON text.
    pub(crate) fn of_text(text: &EventText<'_>) -> Self {
        Self::of_parts(text)
    }

    fn of_parts(event: &impl Parts) -> Self {
        let mut bytes = Vec::new();
        let layout = write::write(event, &mut bytes);
        Self { bytes: bytes.into(), layout }
    }

    /// Takes packed bytes, which may come from anywhere: after this no accessor can fail.
    ///
    /// # Errors
    /// Any [`PackedError`]. What the event says is not judged: neither its id and signature, nor
    /// whether the expiration time is that of its tags.
    pub fn parse(bytes: impl Into<Bytes>) -> Result<Self, PackedError> {
        let bytes = bytes.into();
        let (layout, _) = Layout::find(&bytes)?;
        Ok(Self { bytes, layout })
    }

    /// The packed bytes.
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The packed bytes.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// What the event says.
    pub fn view(&self) -> EventView<'_> {
        let text = self.bytes.get(self.layout.text_at..).unwrap_or_default();
        // SAFETY: a `PackedEvent` is made by `of_parts`, which writes the text from `str`s, or by
        // `parse`, which has found everything from `text_at` on to be UTF-8. Neither the bytes nor
        // the layout change after that.
        let text = unsafe { std::str::from_utf8_unchecked(text) };
        EventView::of(&self.bytes, self.layout, text)
    }

    /// Unpacks it.
    pub fn to_event(&self) -> Event {
        self.view().to_event()
    }
}

impl PartialEq for PackedEvent {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for PackedEvent {}

impl fmt::Debug for PackedEvent {
    /// The id and the size: what an event says may be private.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PackedEvent({}, {} bytes)", self.view().id(), self.bytes.len())
    }
}

impl From<&Event> for PackedEvent {
    fn from(event: &Event) -> Self {
        Self::new(event)
    }
}

impl Verified<Event> {
    /// The same event, packed.
    pub fn pack(&self) -> Verified<PackedEvent> {
        self.map_ref(PackedEvent::new)
    }
}

impl Verified<PackedEvent> {
    /// The same event, unpacked.
    pub fn unpack(&self) -> Verified<Event> {
        self.map_ref(PackedEvent::to_event)
    }
}

/// The kind and the expiration time of a packed event, of which nothing else is looked at.
///
/// # Errors
/// As [`PackedEvent::parse`], as far as its head goes.
pub fn head_of(bytes: &[u8]) -> Result<(u16, Option<i64>), PackedError> {
    let short = PackedError::Short { got: bytes.len() };
    let (flags, kind) = match *bytes {
        [PACKED_VERSION, flags, low, high, ..] => (flags, u16::from_le_bytes([low, high])),
        [found, ..] if found != PACKED_VERSION => return Err(PackedError::Version { found }),
        _ => return Err(short),
    };
    if flags & HAS_EXPIRATION == 0 {
        return Ok((kind, None));
    }
    let rest = bytes.get(FIXED_BYTES..).and_then(|rest| rest.first_chunk());
    let expiration = rest.copied().map(i64::from_le_bytes).ok_or(short)?;
    Ok((kind, Some(expiration)))
}

/// Packs `event` to the end of `out`.
pub fn pack_into(event: &Event, out: &mut Vec<u8>) {
    write::write(event, out);
}

impl Layout {
    /// Checks bytes from end to end, and gives their text.
    fn find(bytes: &[u8]) -> Result<(Self, &str), PackedError> {
        let short = PackedError::Short { got: bytes.len() };
        match bytes.first() {
            None => return Err(short),
            Some(&PACKED_VERSION) => {}
            Some(&found) => return Err(PackedError::Version { found }),
        }
        let flags = *bytes.get(1).ok_or_else(|| short.clone())?;
        if flags & !HAS_EXPIRATION != 0 {
            return Err(PackedError::Malformed("flags that this release does not know"));
        }
        let mut at = FIXED_BYTES + if flags & HAS_EXPIRATION == 0 { 0 } else { EXPIRATION_BYTES };
        let mut head = bytes.get(at..).ok_or_else(|| short.clone())?;
        let before = head.len();
        let lengths_bytes = read_varint(&mut head).ok_or_else(|| short.clone())?;
        at += before - head.len();
        if lengths_bytes > head.len() {
            return Err(short);
        }
        let (mut lengths, text) = head.split_at(lengths_bytes);
        let text = std::str::from_utf8(text).map_err(|_| PackedError::Utf8)?;
        let mut content_at = 0_usize;
        let cut = PackedError::Malformed("a number of its lengths is cut short or too large");
        while !lengths.is_empty() {
            let elements = read_varint(&mut lengths).ok_or_else(|| cut.clone())?;
            for _ in 0..elements {
                let length = read_varint(&mut lengths).ok_or_else(|| cut.clone())?;
                content_at = content_at
                    .checked_add(length)
                    .filter(|end| text.is_char_boundary(*end))
                    .ok_or(PackedError::Malformed("an element of a tag ends where no text may"))?;
            }
        }
        Ok((Self { lengths_at: at, text_at: at + lengths_bytes, content_at }, text))
    }
}

/// Takes a number from the front; `None` when there is none or it does not fit.
fn read_varint(bytes: &mut &[u8]) -> Option<usize> {
    let (&first, rest) = bytes.split_first()?;
    *bytes = rest;
    if first < 0x80 {
        return Some(first.into());
    }
    let mut value = usize::from(first & 0x7f);
    let mut shift = 7;
    loop {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = usize::from(byte & 0x7f);
        if shift >= usize::BITS || (part << shift) >> shift != part {
            return None;
        }
        value |= part << shift;
        if byte < 0x80 {
            return Some(value);
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use super::{
        write::{push_varint, varint_len},
        *,
    };

    #[test]
    fn numbers_of_every_size_are_read_back() {
        for value in [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, usize::MAX >> 1, usize::MAX] {
            let mut bytes = Vec::new();
            push_varint(&mut bytes, value);
            assert_eq!(bytes.len(), varint_len(value), "{value}");
            let mut rest = bytes.as_slice();
            assert_eq!(read_varint(&mut rest), Some(value));
            assert!(rest.is_empty());
        }
        for bytes in [&[][..], &[0x80], &[0xff; 10], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff]] {
            assert_eq!(read_varint(&mut &*bytes), None, "{bytes:?}");
        }
    }
}
