//! Path and query in one spelling (RFC 3986, sections 5.2.4 and 6.2.2).

use std::fmt::Write as _;

/// The path without dot segments and without slashes at its end.
pub(super) fn normal_path(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    push_encoded(&mut encoded, path);
    let mut segments: Vec<&str> = Vec::new();
    for segment in encoded.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    let mut path = String::with_capacity(encoded.len());
    for segment in segments {
        path.push('/');
        path.push_str(segment);
    }
    path.truncate(path.trim_end_matches('/').len());
    path
}

/// Appends `text` with `%` codes where RFC 3986 demands them and nowhere else, their digits in
/// capitals. A `%` that begins no code is one of itself.
pub(super) fn push_encoded(out: &mut String, text: &str) {
    let mut bytes = text.as_bytes();
    while let Some((&first, rest)) = bytes.split_first() {
        bytes = rest;
        if first == b'%'
            && let Some(byte) = code(rest)
        {
            bytes = &rest[2..];
            if is_unreserved(byte) { out.push(char::from(byte)) } else { push_code(out, byte) }
        } else if is_unreserved(first) || is_reserved(first) {
            out.push(char::from(first));
        } else {
            push_code(out, first);
        }
    }
}

fn push_code(out: &mut String, byte: u8) {
    // Writing into a text cannot fail.
    _ = write!(out, "%{byte:02X}");
}

/// The byte whose two hexadecimal digits stand at the beginning of `bytes`.
fn code(bytes: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(*bytes.first()?)? << 4 | digit(*bytes.get(1)?)?)
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// What may stand in a path or a query as it is, and means something there.
fn is_reserved(byte: u8) -> bool {
    b":/?@!$&'()*+,;=".contains(&byte)
}
