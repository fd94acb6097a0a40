//! Reading a packed event in place.

use std::fmt;

use crate::{Coordinate, Event, EventId, KindClass, PublicKey, Signature, SingleLetterTag, Tag};

use super::{
    CREATED_AT, FIXED_BYTES, HAS_EXPIRATION, ID_AT, KIND_AT, Layout, PUBKEY_AT, PackedError,
    PackedEvent, SIG_AT, read_varint,
};

/// What a packed event says, read in place: no accessor allocates or fails.
#[derive(Clone, Copy)]
pub struct EventView<'a> {
    bytes: &'a [u8],
    layout: Layout,
    /// The elements of all tags, then the content.
    text: &'a str,
}

/// `N` bytes at a place that is known to be there.
fn fixed<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

impl<'a> EventView<'a> {
    /// Reads packed bytes, which may come from anywhere.
    ///
    /// # Errors
    /// As [`PackedEvent::parse`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PackedError> {
        let (layout, text) = Layout::find(bytes)?;
        Ok(Self::of(bytes, layout, text))
    }

    pub(super) fn of(bytes: &'a [u8], layout: Layout, text: &'a str) -> Self {
        Self { bytes, layout, text }
    }

    /// The packed bytes.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Hash of the event.
    pub fn id(&self) -> EventId {
        EventId::from_bytes(fixed(self.bytes, ID_AT))
    }

    /// Author.
    pub fn pubkey(&self) -> PublicKey {
        PublicKey::from_bytes(fixed(self.bytes, PUBKEY_AT))
    }

    /// The author's signature over the id.
    pub fn sig(&self) -> Signature {
        Signature::from_bytes(fixed(self.bytes, SIG_AT))
    }

    /// Unix seconds.
    pub fn created_at(&self) -> i64 {
        i64::from_le_bytes(fixed(self.bytes, CREATED_AT))
    }

    /// Kind number.
    pub fn kind(&self) -> u16 {
        u16::from_le_bytes(fixed(self.bytes, KIND_AT))
    }

    /// When the event asks to be forgotten (NIP-40), in unix seconds.
    pub fn expiration(&self) -> Option<i64> {
        let flags = self.bytes.get(1).copied().unwrap_or_default();
        (flags & HAS_EXPIRATION != 0).then(|| i64::from_le_bytes(fixed(self.bytes, FIXED_BYTES)))
    }

    /// Whether it has expired at `now` (unix seconds, NIP-40).
    pub fn is_expired(&self, now: i64) -> bool {
        self.expiration().is_some_and(|at| at <= now)
    }

    /// Free text.
    pub fn content(&self) -> &'a str {
        self.text.get(self.layout.content_at..).unwrap_or_default()
    }

    /// Tags in the author's order.
    pub fn tags(&self) -> Tags<'a> {
        let lengths =
            self.bytes.get(self.layout.lengths_at..self.layout.text_at).unwrap_or_default();
        Tags { lengths, text: self.text }
    }

    /// Value of the first tag named `name`, if there is one with a value.
    pub fn tag_value(&self, name: &str) -> Option<&'a str> {
        self.tags().find(|tag| tag.name() == name)?.value()
    }

    /// The address of the event; `None` when its kind is neither replaceable nor addressable.
    pub fn coordinate(&self) -> Option<Coordinate> {
        let identifier = match KindClass::of(self.kind()) {
            KindClass::Replaceable => String::new(),
            KindClass::Addressable => self.tag_value("d").unwrap_or_default().to_owned(),
            KindClass::Regular | KindClass::Ephemeral => return None,
        };
        Some(Coordinate { kind: self.kind(), pubkey: self.pubkey(), identifier })
    }

    /// Unpacks it.
    pub fn to_event(&self) -> Event {
        Event {
            id: self.id(),
            pubkey: self.pubkey(),
            created_at: self.created_at(),
            kind: self.kind(),
            tags: self.tags().map(|tag| Tag(tag.elements().map(str::to_owned).collect())).collect(),
            content: self.content().to_owned(),
            sig: self.sig(),
        }
    }

    /// A copy that owns its bytes.
    pub fn to_packed(&self) -> PackedEvent {
        PackedEvent { bytes: self.bytes.to_vec().into(), layout: self.layout }
    }
}

impl fmt::Debug for EventView<'_> {
    /// The id and the size: what an event says may be private.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventView({}, {} bytes)", self.id(), self.bytes.len())
    }
}

/// The tags of an [`EventView`] in the author's order.
#[derive(Debug, Clone)]
pub struct Tags<'a> {
    lengths: &'a [u8],
    text: &'a str,
}

impl<'a> Iterator for Tags<'a> {
    type Item = TagView<'a>;

    fn next(&mut self) -> Option<TagView<'a>> {
        let len = read_varint(&mut self.lengths)?;
        let tag =
            TagView { elements: Elements { left: len, lengths: self.lengths, text: self.text } };
        let mut bytes = 0;
        for _ in 0..len {
            bytes += read_varint(&mut self.lengths)?;
        }
        self.text = self.text.get(bytes..)?;
        Some(tag)
    }
}

/// One tag of an [`EventView`].
#[derive(Debug, Clone)]
pub struct TagView<'a> {
    elements: Elements<'a>,
}

impl<'a> TagView<'a> {
    /// The elements in order; the first is the name.
    pub fn elements(&self) -> Elements<'a> {
        self.elements.clone()
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.elements.left
    }

    /// Whether it has no element at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name (first element); empty when the tag is empty.
    pub fn name(&self) -> &'a str {
        self.get(0).unwrap_or_default()
    }

    /// The value (second element), if there is one.
    pub fn value(&self) -> Option<&'a str> {
        self.get(1)
    }

    /// Element `index`, if there is one.
    pub fn get(&self, index: usize) -> Option<&'a str> {
        self.elements().nth(index)
    }

    /// The name and value when the name is one ASCII letter: what relays index (NIP-01).
    pub fn indexed(&self) -> Option<(SingleLetterTag, &'a str)> {
        let mut elements = self.elements();
        let &[letter] = elements.next()?.as_bytes() else { return None };
        Some((SingleLetterTag::new(char::from(letter))?, elements.next()?))
    }
}

/// The elements of a [`TagView`].
#[derive(Debug, Clone)]
pub struct Elements<'a> {
    left: usize,
    lengths: &'a [u8],
    text: &'a str,
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        self.left = self.left.checked_sub(1)?;
        let length = read_varint(&mut self.lengths)?;
        let (element, rest) = self.text.split_at_checked(length)?;
        self.text = rest;
        Some(element)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left.min(self.lengths.len()), Some(self.left))
    }
}
