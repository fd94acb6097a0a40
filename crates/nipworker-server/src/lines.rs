//! Events as JSON lines: numbered, bounded, each with its outcome.

use nipworker_core::{
    PutOutcome, PutStatus,
    protocol::{EventId, MachinePrefix},
};
use serde::{Deserialize, Serialize};

use crate::verdict::{Verdict, prefixed};

/// Events that are handed to the engine at once.
pub(crate) const IMPORT_BATCH: usize = 256;

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
            Err(format!("line of {} bytes is over the limit of {max_bytes} bytes", bytes.len()))
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
}
