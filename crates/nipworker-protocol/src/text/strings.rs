//! Strings of JSON: where they end, and what their escapes stand for.

/// Puts characters in the place of escapes that [`escape_len`] let through, and hands out the string
/// in parts.
pub(super) fn unescape_into(raw: &str, mut push: impl FnMut(&str)) {
    let mut rest = raw;
    while let Some((plain, escape)) = rest.split_once('\\') {
        push(plain);
        let mut after = escape.chars();
        let character = match after.next() {
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
        };
        push(character.encode_utf8(&mut [0; 4]));
        rest = after.as_str();
    }
    push(rest);
}

/// What cannot stand in a string as it is.
fn is_special(byte: u8) -> bool {
    byte == b'"' || byte == b'\\' || byte < 0x20
}

/// Bytes before the first that [`is_special`].
pub(super) fn plain_len(bytes: &[u8]) -> usize {
    let (chunks, rest) = bytes.as_chunks::<16>();
    for (n, chunk) in chunks.iter().enumerate() {
        if let Some(at) = first_special(chunk) {
            return n * 16 + at;
        }
    }
    let end = chunks.len() * 16;
    end + rest.iter().position(|byte| is_special(*byte)).unwrap_or(rest.len())
}

/// Place of the first byte that [`is_special`].
#[cfg(target_arch = "x86_64")]
fn first_special(chunk: &[u8; 16]) -> Option<usize> {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128,
        _mm_set1_epi8,
    };
    // SAFETY: SSE2 is part of every x86-64 processor, and 16 bytes are there to be loaded.
    let marks = unsafe {
        let bytes = _mm_loadu_si128(chunk.as_ptr().cast());
        let quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"'.cast_signed()));
        let backslash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\'.cast_signed()));
        let control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
        _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quote, backslash), control))
    };
    (marks != 0).then(|| marks.trailing_zeros() as usize)
}

/// Place of the first byte that [`is_special`].
#[cfg(not(target_arch = "x86_64"))]
fn first_special(chunk: &[u8; 16]) -> Option<usize> {
    let word = u128::from_le_bytes(*chunk);
    let [low, high] = [word as u64, (word >> 64) as u64].map(special_bytes);
    if low != 0 {
        return Some(low.trailing_zeros() as usize / 8);
    }
    (high != 0).then(|| 8 + high.trailing_zeros() as usize / 8)
}

/// The highest bit of the lowest byte that [`is_special`] is set; higher ones may be set wrongly.
#[cfg(any(not(target_arch = "x86_64"), test))]
fn special_bytes(word: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let below = |word: u64, limit: u64| word.wrapping_sub(EACH * limit) & !word;
    let quote = word ^ (EACH * u64::from(b'"'));
    let backslash = word ^ (EACH * u64::from(b'\\'));
    (below(quote, 1) | below(backslash, 1) | below(word, 0x20)) & (EACH << 7)
}

/// Length of an escape, when the id's serialisation writes its character in the same way.
pub(super) fn escape_len(bytes: &[u8]) -> Option<usize> {
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_first_special_byte_is_found_wherever_it_stands() {
        for special in 0..=u8::MAX {
            for before in 0..40 {
                let mut bytes = vec![b'a'; before];
                bytes.extend([special, 0xff, b'"', 0x80, 1]);
                bytes.extend([b'a'; 30]);
                let naive = bytes.iter().position(|byte| is_special(*byte)).unwrap();
                assert_eq!(plain_len(&bytes), naive, "{special:#x} after {before} bytes");
            }
        }
    }

    #[test]
    fn without_wide_registers_the_same_bytes_are_special() {
        for byte in 0..=u8::MAX {
            let word = u64::from_le_bytes([b'a', b'z', byte, 0xff, byte, 0x80, b'a', byte]);
            let first = is_special(byte).then_some(2);
            let found = special_bytes(word);
            assert_eq!((found != 0).then(|| found.trailing_zeros() / 8), first, "{byte:#x}");
        }
    }
}
