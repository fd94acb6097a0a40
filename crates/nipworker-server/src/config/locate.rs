//! From a place in a TOML text to its line, column and key, and back.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// A position for a person: both count from 1, columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// Line and column of byte `at`.
pub(super) fn position(text: &str, at: usize) -> Position {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let before = &text[..at];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Position {
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
    }
}

/// The dotted key whose value, or whose own name, holds `span`.
pub(super) fn key_at(text: &str, span: &Range<usize>) -> Option<String> {
    let (document, _) = DeTable::parse_recoverable(text);
    let mut path = Vec::new();
    descend(document.get_ref(), span, &mut path);
    (!path.is_empty()).then(|| path.join("."))
}

fn descend(table: &DeTable<'_>, span: &Range<usize>, path: &mut Vec<String>) {
    let holds = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    for (key, value) in table {
        if holds(key.span()) {
            path.push(key.get_ref().to_string());
            return;
        }
        match value.get_ref() {
            // A header's own span does not hold the keys below it, so look into every table.
            DeValue::Table(inner) => {
                let depth = path.len();
                path.push(key.get_ref().to_string());
                descend(inner, span, path);
                if path.len() > depth + 1 || holds(value.span()) {
                    return;
                }
                path.truncate(depth);
            }
            _ if holds(value.span()) => {
                path.push(key.get_ref().to_string());
                return;
            }
            _ => {}
        }
    }
}

/// Where the value of a dotted key stands.
pub(super) fn span_of(text: &str, key: &str) -> Option<Range<usize>> {
    let (document, _) = DeTable::parse_recoverable(text);
    let mut table = document.into_inner();
    let mut segments = key.split('.').peekable();
    while let Some(segment) = segments.next() {
        let (_, value) = table.into_iter().find(|(name, _)| name.get_ref() == segment)?;
        let span = value.span();
        if segments.peek().is_none() {
            return Some(span);
        }
        match value.into_inner() {
            DeValue::Table(inner) => table = inner,
            _ => return Some(span),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# größe\n[gateway]\nlisten = \"x\"\n[gateway.websocket]\n  idle = 3\n";

    #[test]
    fn a_byte_has_a_line_and_a_column_in_characters() {
        let at = |needle: &str| position(TEXT, TEXT.find(needle).unwrap());
        assert_eq!(at("#"), Position { line: 1, column: 1 });
        assert_eq!(at("\"x\""), Position { line: 3, column: 10 });
        assert_eq!(at("3"), Position { line: 5, column: 10 });
        assert_eq!(position(TEXT, 10_000).line, 6);
    }

    #[test]
    fn a_span_has_a_dotted_key() {
        let span = |needle: &str| {
            let start = TEXT.find(needle).unwrap();
            start..start + needle.len()
        };
        assert_eq!(key_at(TEXT, &span("\"x\"")).as_deref(), Some("gateway.listen"));
        assert_eq!(key_at(TEXT, &span("idle")).as_deref(), Some("gateway.websocket.idle"));
        assert_eq!(key_at(TEXT, &span("3")).as_deref(), Some("gateway.websocket.idle"));
    }

    #[test]
    fn a_dotted_key_has_a_span() {
        let span = span_of(TEXT, "gateway.websocket.idle").unwrap();
        assert_eq!(&TEXT[span], "3");
        assert_eq!(span_of(TEXT, "gateway.nothing"), None);
    }
}
