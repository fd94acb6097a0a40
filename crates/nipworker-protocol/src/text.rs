//! An event's JSON text, read where it stands.
//!
//! [`EventReader`] takes the spelling that clients and relays write: the seven fields of NIP-01,
//! each once and in any order, integers, and strings whose escapes are those of the id's
//! serialisation. It finds where each value stands and copies nothing. Any other text it leaves to
//! `serde_json`, which decides whether it is an event; so what is read here is always what
//! `serde_json` would have read.
//!
//! In this spelling the id's serialisation is made of pieces of the text as they stand.

mod cursor;
mod strings;

use crate::{
    Event, EventError, EventId, EventLimits, PackedEvent, PublicKey, Signature, Tag,
    packed::{Head, Parts},
};

use cursor::Cursor;
use strings::unescape_into;

/// Characters of a string, between its quotes.
#[derive(Debug, Clone, Copy, Default)]
struct Piece {
    start: u32,
    end: u32,
    /// Bytes by which its escapes are longer than what they stand for.
    escapes: u32,
}

impl Piece {
    /// Bytes of the string itself, without escapes.
    fn len(self) -> usize {
        (self.end - self.start - self.escapes) as usize
    }
}

/// Reads one event after another, and keeps the memory that it needs for that.
#[derive(Debug, Default)]
pub struct EventReader {
    /// The elements of all tags.
    elements: Vec<Piece>,
    /// For each tag, where its elements end.
    tag_ends: Vec<u32>,
}

/// An event whose fields stand in its JSON text. Nothing is checked beyond its shape.
#[derive(Debug, Clone, Copy)]
pub struct EventText<'t> {
    text: &'t str,
    reader: &'t EventReader,
    id: EventId,
    pubkey: PublicKey,
    created_at: i64,
    kind: u16,
    sig: Signature,
    /// Where author, time, kind and content stand.
    places: [Piece; 4],
    /// Where the tags stand, when there is no white space in them.
    compact_tags: Option<(u32, u32)>,
}

/// The fields of NIP-01; each is a bit of what was seen.
const ID: usize = 0;
const PUBKEY: usize = 1;
const CREATED_AT: usize = 2;
const KIND: usize = 3;
const TAGS: usize = 4;
const CONTENT: usize = 5;
const SIG: usize = 6;

impl EventReader {
    /// A reader without memory yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads an event from a JSON text under `limits`, as [`Event::from_json`] does, and packs it.
    /// `preimage` gets, at its end, the bytes whose SHA-256 is the id (NIP-01).
    ///
    /// # Errors
    /// As [`Event::from_json`]; nothing is appended then.
    pub fn read_packed(
        &mut self,
        text: &str,
        limits: &EventLimits,
        preimage: &mut Vec<u8>,
    ) -> Result<PackedEvent, EventError> {
        limits.check_size(text.len())?;
        if let Some(found) = self.read(text) {
            limits.check_counts(found.reader.tag_ends.len(), found.reader.elements.len())?;
            found.write_preimage(preimage);
            return Ok(found.pack());
        }
        let event = Event::from_any_json(text, limits)?;
        event.write_preimage(preimage);
        Ok(PackedEvent::new(&event))
    }

    /// Finds the fields of an event; `None` when it is not spelled in the expected way.
    pub fn read<'t>(&'t mut self, text: &'t str) -> Option<EventText<'t>> {
        u32::try_from(text.len()).ok()?;
        self.elements.clear();
        self.tag_ends.clear();
        let mut cursor = Cursor::new(text);
        let mut places = [Piece::default(); 7];
        let (mut created_at, mut kind) = (0, 0);
        let mut seen = 0_u8;
        let mut is_compact = false;
        cursor.take(b'{')?;
        loop {
            let key = cursor.string()?;
            let key = cursor.text.get(key.start as usize..key.end as usize)?;
            let field = match key {
                b"id" => ID,
                b"pubkey" => PUBKEY,
                b"created_at" => CREATED_AT,
                b"kind" => KIND,
                b"tags" => TAGS,
                b"content" => CONTENT,
                b"sig" => SIG,
                _ => return None,
            };
            if seen & (1 << field) != 0 {
                return None;
            }
            seen |= 1 << field;
            cursor.take(b':')?;
            places[field] = match field {
                CREATED_AT => cursor.integer(&mut created_at)?,
                KIND => cursor.integer(&mut kind)?,
                TAGS => {
                    let (place, is_without_spaces) = cursor.tags(self)?;
                    is_compact = is_without_spaces;
                    place
                }
                _ => cursor.string()?,
            };
            if !cursor.goes_on(b'}')? {
                break;
            }
        }
        cursor.skip_spaces();
        if seen != 0x7f || cursor.at != text.len() {
            return None;
        }
        let hex = |field: usize| {
            let Piece { start, end, .. } = places[field];
            text.get(start as usize..end as usize)
        };
        let tags = places[TAGS];
        Some(EventText {
            text,
            id: EventId::from_hex(hex(ID)?).ok()?,
            pubkey: PublicKey::from_hex(hex(PUBKEY)?).ok()?,
            created_at,
            kind: u16::try_from(kind).ok()?,
            sig: Signature::from_hex(hex(SIG)?).ok()?,
            places: [places[PUBKEY], places[CREATED_AT], places[KIND], places[CONTENT]],
            compact_tags: is_compact.then_some((tags.start, tags.end)),
            reader: self,
        })
    }
}

impl EventText<'_> {
    /// The id that it states.
    pub fn id(&self) -> EventId {
        self.id
    }

    /// The author that it states.
    pub fn pubkey(&self) -> PublicKey {
        self.pubkey
    }

    /// Unix seconds.
    pub fn created_at(&self) -> i64 {
        self.created_at
    }

    /// Kind number.
    pub fn kind(&self) -> u16 {
        self.kind
    }

    /// Appends the bytes whose SHA-256 is the id (NIP-01).
    pub fn write_preimage(&self, out: &mut Vec<u8>) {
        let [pubkey, created_at, kind, content] = self.places.map(|place| self.raw(place));
        out.reserve(self.text.len());
        out.extend_from_slice(b"[0,\"");
        out.extend_from_slice(pubkey.as_bytes());
        out.extend_from_slice(b"\",");
        out.extend_from_slice(created_at.as_bytes());
        out.push(b',');
        out.extend_from_slice(kind.as_bytes());
        out.push(b',');
        match self.compact_tags {
            Some((start, end)) => {
                let tags = self.text.get(start as usize..end as usize).unwrap_or_default();
                out.extend_from_slice(tags.as_bytes());
            }
            None => self.write_tags(out),
        }
        out.extend_from_slice(b",\"");
        out.extend_from_slice(content.as_bytes());
        out.extend_from_slice(b"\"]");
    }

    fn write_tags(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        for (n, tag) in self.tags().enumerate() {
            out.extend_from_slice(if n == 0 { b"[" } else { b",[" });
            for (n, element) in tag.iter().enumerate() {
                out.extend_from_slice(if n == 0 { b"\"" } else { b",\"" });
                out.extend_from_slice(self.raw(*element).as_bytes());
                out.push(b'"');
            }
            out.push(b']');
        }
        out.push(b']');
    }

    /// The event by itself.
    pub fn to_event(&self) -> Event {
        let own = |tag: &[Piece]| Tag(tag.iter().map(|element| self.own(*element)).collect());
        Event {
            id: self.id,
            pubkey: self.pubkey,
            created_at: self.created_at,
            kind: self.kind,
            tags: self.tags().map(own).collect(),
            content: self.own(self.places[3]),
            sig: self.sig,
        }
    }

    fn tags(&self) -> impl ExactSizeIterator<Item = &[Piece]> {
        let mut start = 0;
        self.reader.tag_ends.iter().map(move |end| {
            let end = *end as usize;
            let tag = self.reader.elements.get(start..end).unwrap_or_default();
            start = end;
            tag
        })
    }

    /// Characters as they stand, escapes and all.
    fn raw(&self, Piece { start, end, .. }: Piece) -> &str {
        // Pieces begin and end at quotes or digits, never inside a character.
        self.text.get(start as usize..end as usize).unwrap_or_default()
    }

    fn own(&self, piece: Piece) -> String {
        let raw = self.raw(piece);
        if piece.escapes == 0 {
            return raw.to_owned();
        }
        let mut own = String::with_capacity(piece.len());
        unescape_into(raw, |part| own.push_str(part));
        own
    }

    /// Appends a string, without escapes.
    fn write_own(&self, piece: Piece, out: &mut Vec<u8>) {
        let raw = self.raw(piece);
        if piece.escapes == 0 {
            out.extend_from_slice(raw.as_bytes());
        } else {
            unescape_into(raw, |part| out.extend_from_slice(part.as_bytes()));
        }
    }

    /// The event, packed: what [`PackedEvent::new`] makes of it.
    pub fn pack(&self) -> PackedEvent {
        PackedEvent::of_text(self)
    }

    /// When the event asks to be forgotten (NIP-40), in unix seconds.
    fn expiration(&self) -> Option<i64> {
        // Neither the name nor a number has characters that are escaped in this spelling.
        let name = |tag: &&[Piece]| tag.first().is_some_and(|it| self.raw(*it) == "expiration");
        self.raw(*self.tags().find(name)?.get(1)?).parse().ok()
    }
}

impl Parts for EventText<'_> {
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
        EventText::tags(self).map(|tag| tag.iter().map(|element| element.len()))
    }

    fn content_bytes(&self) -> usize {
        self.places[3].len()
    }

    fn write_text(&self, out: &mut Vec<u8>) {
        self.reader.elements.iter().for_each(|element| self.write_own(*element, out));
        self.write_own(self.places[3], out);
    }
}
