//! An event's JSON text, read where it stands.
//!
//! [`EventReader`] takes the spelling that clients and relays write: the seven fields of NIP-01,
//! each once and in any order, integers, and strings whose escapes are those of the id's
//! serialisation. It finds where each value stands and copies nothing. Any other text it leaves to
//! `serde_json`, which decides whether it is an event; so what is read here is always what
//! `serde_json` would have read.
//!
//! In this spelling the id's serialisation is made of pieces of the text as they stand.

use crate::{Event, EventError, EventId, EventLimits, PublicKey, Signature, Tag};

/// Characters of a string, between its quotes.
#[derive(Debug, Clone, Copy, Default)]
struct Piece {
    start: u32,
    end: u32,
    has_escapes: bool,
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

    /// Reads an event from a JSON text under `limits`, as [`Event::from_json`] does. `preimage`
    /// gets, at its end, the bytes whose SHA-256 is the id (NIP-01).
    ///
    /// # Errors
    /// As [`Event::from_json`]; nothing is appended then.
    pub fn read_with_preimage(
        &mut self,
        text: &str,
        limits: &EventLimits,
        preimage: &mut Vec<u8>,
    ) -> Result<Event, EventError> {
        limits.check_size(text.len())?;
        if let Some(found) = self.read(text) {
            limits.check_counts(found.reader.tag_ends.len(), found.reader.elements.len())?;
            found.write_preimage(preimage);
            return Ok(found.to_event());
        }
        let event = Event::from_any_json(text, limits)?;
        event.write_preimage(preimage);
        Ok(event)
    }

    /// Finds the fields of an event; `None` when it is not spelled in the expected way.
    pub fn read<'t>(&'t mut self, text: &'t str) -> Option<EventText<'t>> {
        u32::try_from(text.len()).ok()?;
        self.elements.clear();
        self.tag_ends.clear();
        let mut cursor = Cursor { text: text.as_bytes(), at: 0, has_spaces: false };
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
        if piece.has_escapes { unescape(raw) } else { raw.to_owned() }
    }
}

/// Puts characters in the place of escapes that [`escape_len`] let through.
fn unescape(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((plain, escape)) = rest.split_once('\\') {
        out.push_str(plain);
        let mut after = escape.chars();
        out.push(match after.next() {
            Some('b') => '\u{8}',
            Some('t') => '\t',
            Some('n') => '\n',
            Some('f') => '\u{c}',
            Some('r') => '\r',
            Some('u') => {
                let code = after.as_str().get(..4).and_then(|hex| u8::from_str_radix(hex, 16).ok());
                after = after.as_str().get(4..).unwrap_or_default().chars();
                char::from(code.unwrap_or_default())
            }
            Some(other) => other,
            None => '\\',
        });
        rest = after.as_str();
    }
    out.push_str(rest);
    out
}

/// A strict reader of JSON. `None` means that the text is spelled in another way, or no JSON.
struct Cursor<'t> {
    text: &'t [u8],
    at: usize,
    /// Whether white space was passed over.
    has_spaces: bool,
}

impl Cursor<'_> {
    fn skip_spaces(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.text.get(self.at) {
            self.at += 1;
            self.has_spaces = true;
        }
    }

    fn peek(&mut self) -> Option<u8> {
        self.skip_spaces();
        self.text.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        let is_there = self.peek()? == byte;
        self.at += 1;
        is_there.then_some(())
    }

    /// Takes a comma, or what ends the list or object. Whether there is more.
    fn goes_on(&mut self, end: u8) -> Option<bool> {
        let byte = self.peek()?;
        self.at += 1;
        match byte {
            b',' => Some(true),
            _ if byte == end => Some(false),
            _ => None,
        }
    }

    fn place(&self, start: usize, end: usize, has_escapes: bool) -> Option<Piece> {
        let (start, end) = (u32::try_from(start).ok()?, u32::try_from(end).ok()?);
        Some(Piece { start, end, has_escapes })
    }

    fn string(&mut self) -> Option<Piece> {
        self.take(b'"')?;
        let start = self.at;
        let mut has_escapes = false;
        loop {
            let rest = self.text.get(self.at..)?;
            self.at += plain_len(rest);
            match self.text.get(self.at)? {
                b'"' => break,
                b'\\' => {
                    self.at += escape_len(&self.text[self.at..])?;
                    has_escapes = true;
                }
                // A control character: no JSON.
                _ => return None,
            }
        }
        self.at += 1;
        self.place(start, self.at - 1, has_escapes)
    }

    /// An integer of at most 18 digits, so that any of them fits.
    fn integer(&mut self, value: &mut i64) -> Option<Piece> {
        let is_negative = self.peek()? == b'-';
        let start = self.at;
        let first = start + usize::from(is_negative);
        let digits = self.text.get(first..)?.iter().take_while(|byte| byte.is_ascii_digit());
        *value = 0;
        let mut count = 0;
        for digit in digits.take(19) {
            *value = value.wrapping_mul(10).wrapping_add(i64::from(*digit - b'0'));
            count += 1;
        }
        if !(1..=18).contains(&count) || (self.text[first] == b'0' && (count > 1 || is_negative)) {
            return None;
        }
        if is_negative {
            *value = -*value;
        }
        self.at = first + count;
        self.place(start, self.at, false)
    }

    /// A list of lists of strings. Whether there is no white space in it.
    fn tags(&mut self, to: &mut EventReader) -> Option<(Piece, bool)> {
        self.take(b'[')?;
        let start = self.at - 1;
        self.has_spaces = false;
        if self.peek()? == b']' {
            self.at += 1;
        } else {
            loop {
                self.take(b'[')?;
                if self.peek()? == b']' {
                    self.at += 1;
                } else {
                    loop {
                        to.elements.push(self.string()?);
                        if !self.goes_on(b']')? {
                            break;
                        }
                    }
                }
                to.tag_ends.push(u32::try_from(to.elements.len()).ok()?);
                if !self.goes_on(b']')? {
                    break;
                }
            }
        }
        Some((self.place(start, self.at, false)?, !self.has_spaces))
    }
}

/// What cannot stand in a string as it is.
fn is_special(byte: u8) -> bool {
    byte == b'"' || byte == b'\\' || byte < 0x20
}

/// Bytes before the first that [`is_special`].
fn plain_len(bytes: &[u8]) -> usize {
    let mut len = 0;
    let mut rest = bytes;
    while let Some((chunk, after)) = rest.split_first_chunk::<16>() {
        let word = u128::from_le_bytes(*chunk);
        let [low, high] = [word as u64, (word >> 64) as u64].map(special_bytes);
        if low != 0 {
            return len + low.trailing_zeros() as usize / 8;
        }
        if high != 0 {
            return len + 8 + high.trailing_zeros() as usize / 8;
        }
        len += 16;
        rest = after;
    }
    len + rest.iter().position(|byte| is_special(*byte)).unwrap_or(rest.len())
}

/// The highest bit of the lowest byte that [`is_special`] is set; higher ones may be set wrongly.
fn special_bytes(word: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let below = |word: u64, limit: u64| word.wrapping_sub(EACH * limit) & !word;
    let quote = word ^ (EACH * u64::from(b'"'));
    let backslash = word ^ (EACH * u64::from(b'\\'));
    (below(quote, 1) | below(backslash, 1) | below(word, 0x20)) & (EACH << 7)
}

/// Length of an escape, when the id's serialisation writes its character in the same way.
fn escape_len(bytes: &[u8]) -> Option<usize> {
    match bytes.get(1)? {
        b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' => {
            let [b'0', b'0', high @ (b'0' | b'1'), low] = bytes.get(2..6)? else { return None };
            let is_short = *high == b'0' && matches!(low, b'8' | b'9' | b'a' | b'c' | b'd');
            (!is_short && matches!(low, b'0'..=b'9' | b'a'..=b'f')).then_some(6)
        }
        _ => None,
    }
}
