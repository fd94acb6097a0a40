//! Writing a packed event.

use crate::{Event, EventId, PublicKey, Signature};

use super::{EXPIRATION_BYTES, FIXED_BYTES, HAS_EXPIRATION, Layout, PACKED_VERSION};

/// What has a place of its own in front.
pub(crate) struct Head {
    pub(crate) kind: u16,
    pub(crate) created_at: i64,
    pub(crate) id: EventId,
    pub(crate) pubkey: PublicKey,
    pub(crate) sig: Signature,
    pub(crate) expiration: Option<i64>,
}

/// An event in a form that can be packed.
pub(crate) trait Parts {
    fn head(&self) -> Head;
    /// The bytes of each element of each tag.
    fn tags(&self) -> impl Iterator<Item = impl ExactSizeIterator<Item = usize>>;
    fn content_bytes(&self) -> usize;
    /// Appends all elements, then the content: UTF-8, and as many bytes as was said.
    fn write_text(&self, out: &mut Vec<u8>);
}

impl Parts for Event {
    fn head(&self) -> Head {
        Head {
            kind: self.kind,
            created_at: self.created_at,
            id: self.id,
            pubkey: self.pubkey,
            sig: self.sig,
            expiration: self.expiration(),
        }
    }

    fn tags(&self) -> impl Iterator<Item = impl ExactSizeIterator<Item = usize>> {
        self.tags.iter().map(|tag| tag.0.iter().map(String::len))
    }

    fn content_bytes(&self) -> usize {
        self.content.len()
    }

    fn write_text(&self, out: &mut Vec<u8>) {
        for element in self.tags.iter().flat_map(|tag| &tag.0) {
            out.extend_from_slice(element.as_bytes());
        }
        out.extend_from_slice(self.content.as_bytes());
    }
}

/// Packs `event` to the end of `out`.
pub(super) fn write(event: &impl Parts, out: &mut Vec<u8>) -> Layout {
    let begin = out.len();
    let head = event.head();
    let (mut lengths_bytes, mut tag_bytes) = (0, 0);
    for tag in event.tags() {
        lengths_bytes += varint_len(tag.len());
        for element in tag {
            lengths_bytes += varint_len(element);
            tag_bytes += element;
        }
    }
    let expiration_bytes = head.expiration.map_or(0, |_| EXPIRATION_BYTES);
    let lengths_at = FIXED_BYTES + expiration_bytes + varint_len(lengths_bytes);
    let text_at = lengths_at + lengths_bytes;
    let all_bytes = text_at + tag_bytes + event.content_bytes();
    out.reserve(all_bytes);

    out.push(PACKED_VERSION);
    out.push(if head.expiration.is_some() { HAS_EXPIRATION } else { 0 });
    out.extend_from_slice(&head.kind.to_le_bytes());
    out.extend_from_slice(&head.created_at.to_le_bytes());
    out.extend_from_slice(head.id.as_bytes());
    out.extend_from_slice(head.pubkey.as_bytes());
    out.extend_from_slice(head.sig.as_bytes());
    if let Some(expiration) = head.expiration {
        out.extend_from_slice(&expiration.to_le_bytes());
    }
    push_varint(out, lengths_bytes);
    debug_assert_eq!(out.len() - begin, lengths_at, "the lengths stand where they are looked for");
    for tag in event.tags() {
        push_varint(out, tag.len());
        tag.for_each(|element| push_varint(out, element));
    }
    debug_assert_eq!(out.len() - begin, text_at, "the text stands where it is looked for");
    event.write_text(out);
    debug_assert_eq!(out.len() - begin, all_bytes, "the text has the bytes that were counted");
    Layout { lengths_at, text_at, content_at: tag_bytes }
}

pub(super) fn varint_len(value: usize) -> usize {
    let bits = (usize::BITS - value.leading_zeros()).max(1);
    bits.div_ceil(7) as usize
}

pub(super) fn push_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        // The lowest seven bits.
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
