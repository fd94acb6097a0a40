//! Events as JSON lines: numbered, bounded, each with its outcome.

use nipworker_core::{
    ClientError, PutOutcome, PutStatus,
    kinds::view_json,
    protocol::{Event, EventId, MachinePrefix},
};
use serde::{Deserialize, Serialize};

use crate::verdict::{Verdict, error_message, prefixed};

/// Events that are handed to the engine at once.
pub(crate) const IMPORT_BATCH: usize = 256;

/// An event in JSON with one member more: what it says, by its kind.
pub(crate) fn with_view(event: &Event) -> String {
    let mut text = event.to_json();
    // An event is an object that is never empty.
    text.truncate(text.len().saturating_sub(1));
    text.push_str(",\"view\":");
    text.push_str(&view_json(event).to_string());
    text.push('}');
    text
}

/// One line that is not blank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// Counts from 1, blank lines included.
    pub(crate) number: u64,
    /// The text, or why it cannot be read.
    pub(crate) text: Result<String, String>,
}

impl Line {
    /// Judges the bytes of one line; `None` when it is blank.
    pub(crate) fn of(number: u64, bytes: &[u8], max_bytes: usize) -> Option<Self> {
        let bytes = bytes.trim_ascii();
        if bytes.is_empty() {
            return None;
        }
        let text = if bytes.len() > max_bytes {
            Err(too_long(bytes.len(), max_bytes))
        } else {
            std::str::from_utf8(bytes)
                .map(str::to_owned)
                .map_err(|error| format!("line is not UTF-8 after {} bytes", error.valid_up_to()))
        };
        Some(Self { number, text })
    }
}

/// The lines of a text that is whole in memory.
pub(crate) fn numbered(bytes: &[u8], max_bytes: usize) -> impl Iterator<Item = Line> {
    (1..)
        .zip(bytes.split(|byte| *byte == b'\n'))
        .filter_map(move |(number, line)| Line::of(number, line, max_bytes))
}

/// Cuts a stream of bytes into batches of lines, with bounded memory: a line over the limit is
/// counted and dropped, and a batch is full at [`IMPORT_BATCH`] lines or [`BATCH_BYTES`].
#[derive(Debug)]
pub(crate) struct LineBatches {
    max_bytes: usize,
    number: u64,
    line: Vec<u8>,
    /// Bytes of the present line that were dropped.
    dropped: usize,
    batch: Vec<Line>,
    batch_bytes: usize,
}

/// Text of one batch in bytes; one line more may be in it.
const BATCH_BYTES: usize = 1024 * 1024;

/// White space around an event does not count towards its size; so much is let in.
const WHITE_SPACE_BYTES: usize = 1024;

impl LineBatches {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            number: 1,
            line: Vec::new(),
            dropped: 0,
            batch: Vec::new(),
            batch_bytes: 0,
        }
    }

    /// Takes the next bytes; the batches that are full now.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<Vec<Line>> {
        let mut full = Vec::new();
        let mut pieces = bytes.split(|byte| *byte == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            let room = (self.max_bytes + WHITE_SPACE_BYTES).saturating_sub(self.line.len());
            let taken = piece.len().min(room);
            self.line.extend_from_slice(&piece[..taken]);
            self.dropped += piece.len() - taken;
            if pieces.peek().is_none() {
                break;
            }
            self.end_line();
            if self.batch.len() >= IMPORT_BATCH || self.batch_bytes >= BATCH_BYTES {
                self.batch_bytes = 0;
                full.push(std::mem::take(&mut self.batch));
            }
        }
        full
    }

    /// The last batch, which may be empty. The last line needs no line break.
    pub(crate) fn finish(mut self) -> Vec<Line> {
        self.end_line();
        self.batch
    }

    fn end_line(&mut self) {
        let line = match self.dropped {
            0 => Line::of(self.number, &self.line, self.max_bytes),
            dropped => Some(Line {
                number: self.number,
                text: Err(too_long(self.line.len() + dropped, self.max_bytes)),
            }),
        };
        self.batch_bytes += self.line.len();
        self.batch.extend(line);
        self.number += 1;
        self.line.clear();
        self.dropped = 0;
    }
}

fn too_long(bytes: usize, limit: usize) -> String {
    format!("line of {bytes} bytes is over the limit of {limit} bytes")
}

/// What became of one line. In JSON this is a line of `nipworker import --json` and of the
/// answer to JSON lines sent to `/api/v1/events`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LineOutcome {
    /// Number of the line, from 1.
    pub(crate) line: u64,
    /// The event's id, where one could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<EventId>,
    /// Whether it is stored, was stored before, or was passed on as an ephemeral event.
    pub(crate) accepted: bool,
    /// What the store did.
    pub(crate) status: PutStatus,
    /// Why, with a machine-readable prefix; may be empty.
    pub(crate) message: String,
}

impl LineOutcome {
    /// The outcome of a line that was handed to the engine.
    pub(crate) fn of(line: u64, outcome: Option<PutOutcome>) -> Self {
        let Some(outcome) = outcome else {
            // The engine answers each text; a missing answer must not pass for a good one.
            return Self::refused(line, PutStatus::Failed, "error: no outcome".to_owned());
        };
        let Verdict { accepted, message } = Verdict::of_outcome(&outcome);
        let id = (outcome.id.as_bytes() != &[0; EventId::LEN]).then_some(outcome.id);
        Self { line, id, accepted, status: outcome.status, message }
    }

    /// The outcome of a line that is no text or no event.
    pub(crate) fn unreadable(line: u64, reason: String) -> Self {
        Self::refused(line, PutStatus::Invalid, prefixed(MachinePrefix::Invalid, &reason))
    }

    /// The outcome of a line that the engine failed to work on.
    pub(crate) fn failed(line: u64, error: &ClientError) -> Self {
        Self::refused(line, PutStatus::Failed, error_message(error))
    }

    fn refused(line: u64, status: PutStatus, message: String) -> Self {
        Self { line, id: None, accepted: false, status, message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_numbers_when_blank_ones_are_skipped() {
        let lines: Vec<_> = numbered(b"one\r\n\n  \n two \n\xff\nlonger than ten", 10).collect();
        let numbers: Vec<_> = lines.iter().map(|line| line.number).collect();
        assert_eq!(numbers, [1, 4, 5, 6]);
        assert_eq!(lines[0].text.as_deref(), Ok("one"));
        assert_eq!(lines[1].text.as_deref(), Ok("two"));
        assert_eq!(lines[2].text, Err("line is not UTF-8 after 0 bytes".to_owned()));
        assert!(lines[3].text.as_ref().is_err_and(|why| why.contains("limit of 10 bytes")));
    }

    fn batches(text: &[u8], piece: usize, max_bytes: usize) -> Vec<Vec<Line>> {
        let mut batches = LineBatches::new(max_bytes);
        let mut all: Vec<_> = text.chunks(piece).flat_map(|piece| batches.push(piece)).collect();
        all.push(batches.finish());
        all
    }

    #[test]
    fn batches_hold_the_same_lines_however_the_bytes_are_cut() {
        let text: String = (0..1_000).map(|n| format!("{n}\n{}", "\n".repeat(n % 3))).collect();
        let wanted: Vec<Line> = numbered(text.as_bytes(), 100).collect();
        for piece in [1, 7, 256, 4_096, text.len()] {
            let batches = batches(text.as_bytes(), piece, 100);
            assert!(batches.iter().all(|batch| batch.len() <= IMPORT_BATCH));
            assert_eq!(batches.concat(), wanted, "in pieces of {piece}");
        }
    }

    #[test]
    fn a_batch_is_full_by_its_bytes_too() {
        let text = format!("{}\n", "x".repeat(300_000)).repeat(10);
        let lens: Vec<usize> =
            batches(text.as_bytes(), 65_536, 400_000).iter().map(Vec::len).collect();
        assert_eq!(lens, [4, 4, 2]);
    }

    #[test]
    fn an_endless_line_is_dropped_and_the_next_is_read() {
        let text = format!("{}\nok", "x".repeat(50_000));
        let lines = batches(text.as_bytes(), 16, 100).concat();
        assert_eq!(lines[0].text, Err(too_long(50_000, 100)));
        assert_eq!(lines[1], Line { number: 2, text: Ok("ok".to_owned()) });
        let mut batches = LineBatches::new(100);
        (0..10_000).for_each(|_| assert!(batches.push(&[b'x'; 16]).is_empty()));
        assert!(batches.line.capacity() < 10_000, "what is too long is not kept");
    }
}
