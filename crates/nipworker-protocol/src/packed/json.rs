//! A packed event as JSON, written straight from its bytes.

use super::EventView;

/// Bytes of JSON around the values: names, quotes, commas and braces, the hex included.
const FRAME_BYTES: usize =
    r#"{"id":"","pubkey":"","created_at":,"kind":,"tags":[],"content":"","sig":""}"#.len()
        + 2 * (32 + 32 + 64);

const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";

/// What stands for a character behind a backslash: 0 for none, `u` for a number.
const ESCAPES: [u8; 256] = {
    let mut table = [0; 256];
    let mut control = 0;
    while control < 0x20 {
        table[control] = b'u';
        control += 1;
    }
    table[0x08] = b'b';
    table[0x09] = b't';
    table[0x0a] = b'n';
    table[0x0c] = b'f';
    table[0x0d] = b'r';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table
};

/// Two hex digits for each byte.
const HEX: [[u8; 2]; 256] = {
    let mut table = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = [HEX_DIGITS[byte >> 4], HEX_DIGITS[byte & 15]];
        byte += 1;
    }
    table
};

impl EventView<'_> {
    /// Appends the event as compact JSON with the fields in NIP-01's order: the text that
    /// [`Event::to_json`](crate::Event::to_json) gives, byte by byte.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        // Room for the text as it is; more is found when something has to be escaped.
        out.reserve(FRAME_BYTES + self.as_bytes().len());
        out.extend_from_slice(br#"{"id":""#);
        push_hex(out, self.id().as_bytes());
        out.extend_from_slice(br#"","pubkey":""#);
        push_hex(out, self.pubkey().as_bytes());
        out.extend_from_slice(br#"","created_at":"#);
        push_number(out, self.created_at());
        out.extend_from_slice(br#","kind":"#);
        push_number(out, self.kind().into());
        out.extend_from_slice(br#","tags":["#);
        let mut comma: &[u8] = b"";
        for tag in self.tags() {
            out.extend_from_slice(comma);
            out.push(b'[');
            let mut inner: &[u8] = b"\"";
            for element in tag.elements() {
                out.extend_from_slice(inner);
                push_escaped(out, element);
                out.push(b'"');
                inner = b",\"";
            }
            out.push(b']');
            comma = b",";
        }
        out.extend_from_slice(br#"],"content":""#);
        push_escaped(out, self.content());
        out.extend_from_slice(br#"","sig":""#);
        push_hex(out, self.sig().as_bytes());
        out.extend_from_slice(br#""}"#);
    }

    /// The event as JSON text.
    pub fn to_json(&self) -> String {
        let mut out = Vec::with_capacity(self.json_len());
        self.write_json(&mut out);
        // Made of strings and ASCII, so always the first case.
        String::from_utf8(out).unwrap_or_default()
    }

    /// Bytes that [`EventView::write_json`] appends.
    pub fn json_len(&self) -> usize {
        let mut len = FRAME_BYTES + digits(self.created_at()) + digits(self.kind().into());
        for (n, tag) in self.tags().enumerate() {
            // Brackets, quotes, and commas between.
            len += usize::from(n > 0) + 2 + (3 * tag.len()).saturating_sub(1);
            len += tag.elements().map(escaped_len).sum::<usize>();
        }
        len + escaped_len(self.content())
    }
}

fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        out.extend_from_slice(&HEX[usize::from(*byte)]);
    }
}

fn push_number(out: &mut Vec<u8>, number: i64) {
    // Twenty characters hold any of them.
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut left = number.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    if number < 0 {
        at -= 1;
        digits[at] = b'-';
    }
    out.extend_from_slice(&digits[at..]);
}

fn digits(number: i64) -> usize {
    let magnitude = number.unsigned_abs();
    usize::from(number < 0) + magnitude.checked_ilog10().unwrap_or(0) as usize + 1
}

/// Whether any of eight bytes has to be escaped: a control character, a quote or a backslash.
fn any_special(word: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let zero_in = |word: u64| word.wrapping_sub(ONES) & !word;
    let controls = word.wrapping_sub(ONES * 0x20) & !word;
    let quotes = zero_in(word ^ (ONES * 0x22));
    let backslashes = zero_in(word ^ (ONES * 0x5c));
    (controls | quotes | backslashes) & HIGHS != 0
}

/// The first byte from `at` on that has to be escaped, or the end.
fn next_special(bytes: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        if any_special(u64::from_le_bytes(*chunk)) {
            break;
        }
        at += 8;
    }
    while let Some(byte) = bytes.get(at) {
        if ESCAPES[usize::from(*byte)] != 0 {
            break;
        }
        at += 1;
    }
    at
}

fn push_escaped(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let mut plain_from = 0;
    loop {
        let at = next_special(bytes, plain_from);
        out.extend_from_slice(&bytes[plain_from..at]);
        let Some(&byte) = bytes.get(at) else { return };
        match ESCAPES[usize::from(byte)] {
            b'u' => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&HEX[usize::from(byte)]);
            }
            short => out.extend_from_slice(&[b'\\', short]),
        }
        plain_from = at + 1;
    }
}

fn escaped_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut len = bytes.len();
    let mut at = next_special(bytes, 0);
    while let Some(&byte) = bytes.get(at) {
        len += if ESCAPES[usize::from(byte)] == b'u' { 5 } else { 1 };
        at = next_special(bytes, at + 1);
    }
    len
}
