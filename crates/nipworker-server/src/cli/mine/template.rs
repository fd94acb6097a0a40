//! What is mined: an event that is given, or a note made of a text.

use std::io::{self, IsTerminal};

use nipworker_core::protocol::{EventError, EventLimits, PublicKey, UnsignedEvent};
use nipworker_signer::PrivateKeySigner;

use crate::{
    cli::{
        args::MineArgs,
        input,
        output::{Failure, note},
    },
    template,
};

/// Kind of a text note (NIP-01).
const TEXT_NOTE: u16 = 1;

/// Reads or makes the event of a command line.
pub(super) fn of(
    args: &MineArgs,
    limits: &EventLimits,
    signer: Option<&PrivateKeySigner>,
    now: i64,
) -> Result<UnsignedEvent, Failure> {
    if let Some(text) = &args.text {
        return text_note(text, args.pubkey, limits, signer, now);
    }
    let from_stdin = args.event == "-";
    if from_stdin && io::stdin().is_terminal() {
        note("reading an event or the text of a note from the terminal; Ctrl-D ends it");
    }
    let input = input::read(&args.event, limits.max_event_bytes as u64)?;
    if from_stdin && !looks_like_json(&input) {
        let text = note_text(&input)?;
        return text_note(text, args.pubkey, limits, signer, now);
    }
    if args.pubkey.is_some() {
        return Err(Failure::usage(
            "--pubkey is the author of a text note; an event names its own",
        ));
    }
    template::read(&input, limits).map_err(Failure::because)
}

/// A text that is meant as JSON must not be mined as a note because of a slip in it.
fn looks_like_json(input: &[u8]) -> bool {
    matches!(input.trim_ascii_start().first(), Some(b'{' | b'['))
}

/// The text without the line break that programs write at the end.
fn note_text(input: &[u8]) -> Result<&str, Failure> {
    let text = std::str::from_utf8(input)
        .map_err(|error| Failure::because(format_args!("stdin is no text: {error}")))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.trim().is_empty() {
        return Err(Failure::because("nothing came on stdin: no event, and no text of a note"));
    }
    Ok(text)
}

fn text_note(
    text: &str,
    author: Option<PublicKey>,
    limits: &EventLimits,
    signer: Option<&PrivateKeySigner>,
    now: i64,
) -> Result<UnsignedEvent, Failure> {
    let author = author.or(signer.map(PrivateKeySigner::key)).ok_or_else(|| {
        Failure::usage(
            "a text note needs an author: --pubkey, or a key by signer.key_file or \
             NIPWORKER_SIGNER__KEY",
        )
    })?;
    let event = UnsignedEvent::new(author, now, TEXT_NOTE, Vec::new(), text);
    let got = serde_json::to_vec(&event).map_or(0, |json| json.len());
    let limit = limits.max_event_bytes;
    if got > limit {
        return Err(Failure::because(EventError::TooLarge { got, limit }));
    }
    Ok(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_begins_like_json_is_no_note() {
        for json in ["{", " \n{\"kind\":1}", "[\"EVENT\",{}]"] {
            assert!(looks_like_json(json.as_bytes()), "{json}");
        }
        for text in ["hello", "\"quoted\"", "7", ""] {
            assert!(!looks_like_json(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn a_note_keeps_its_line_breaks_but_the_last() {
        assert_eq!(note_text(b"a\nb\n").unwrap(), "a\nb");
        assert_eq!(note_text(b"a\r\n").unwrap(), "a");
        assert_eq!(note_text(b" a \n\n").unwrap(), " a \n");
        assert!(note_text(b" \n").is_err());
        assert!(note_text(b"\xff").is_err());
    }

    #[test]
    fn a_note_over_the_limit_is_refused_by_its_size_as_json() {
        let limits = EventLimits { max_event_bytes: 1_000, ..EventLimits::default() };
        let author = Some(PublicKey::from_bytes([7; 32]));
        let note = |text: &str| text_note(text, author, &limits, None, 1);
        assert_eq!(note("hello").unwrap().content, "hello");
        assert!(note(&"\n".repeat(600)).is_err(), "a line break is two bytes of JSON");
        assert!(text_note("x", None, &limits, None, 1).is_err(), "nobody's note");
    }
}
