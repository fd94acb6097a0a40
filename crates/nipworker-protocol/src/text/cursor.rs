//! The cursor that goes through the text.

use super::{
    EventReader, Piece,
    strings::{escape_len, plain_len},
};

/// A strict reader of JSON. `None` means that the text is spelled in another way, or no JSON.
pub(super) struct Cursor<'t> {
    pub(super) text: &'t [u8],
    pub(super) at: usize,
    /// Whether white space was passed over.
    has_spaces: bool,
}

impl<'t> Cursor<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text: text.as_bytes(), at: 0, has_spaces: false }
    }

    pub(super) fn skip_spaces(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.text.get(self.at) {
            self.at += 1;
            self.has_spaces = true;
        }
    }

    fn peek(&mut self) -> Option<u8> {
        self.skip_spaces();
        self.text.get(self.at).copied()
    }

    pub(super) fn take(&mut self, byte: u8) -> Option<()> {
        let is_there = self.peek()? == byte;
        self.at += 1;
        is_there.then_some(())
    }

    /// Takes a comma, or what ends the list or object. Whether there is more.
    pub(super) fn goes_on(&mut self, end: u8) -> Option<bool> {
        let byte = self.peek()?;
        self.at += 1;
        match byte {
            b',' => Some(true),
            _ if byte == end => Some(false),
            _ => None,
        }
    }

    /// All of them fit: a longer text is not read here at all.
    fn place(start: usize, end: usize, escapes: usize) -> Piece {
        Piece { start: start as u32, end: end as u32, escapes: escapes as u32 }
    }

    pub(super) fn string(&mut self) -> Option<Piece> {
        self.take(b'"')?;
        let start = self.at;
        let mut escapes = 0;
        loop {
            let rest = self.text.get(self.at..)?;
            self.at += plain_len(rest);
            match self.text.get(self.at)? {
                b'"' => break,
                b'\\' => {
                    let len = escape_len(&self.text[self.at..])?;
                    self.at += len;
                    // Each stands for one byte.
                    escapes += len - 1;
                }
                // A control character: no JSON.
                _ => return None,
            }
        }
        self.at += 1;
        Some(Self::place(start, self.at - 1, escapes))
    }

    /// An integer of at most 18 digits, so that any of them fits.
    pub(super) fn integer(&mut self, value: &mut i64) -> Option<Piece> {
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
        Some(Self::place(start, self.at, 0))
    }

    /// A list of lists of strings. Whether there is no white space in it.
    pub(super) fn tags(&mut self, to: &mut EventReader) -> Option<(Piece, bool)> {
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
                to.tag_ends.push(to.elements.len() as u32);
                if !self.goes_on(b']')? {
                    break;
                }
            }
        }
        Some((Self::place(start, self.at, 0), !self.has_spaces))
    }
}
