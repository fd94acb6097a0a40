//! Why an event has no view.

/// What is wrong with an event. The text names the place, never what stood there: the place may
/// hold a secret, or megabytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Flaw {
    /// A tag without which the event means nothing is not there, or has no value.
    #[error("tag {0:?} is missing")]
    MissingTag(&'static str),
    /// A tag has another form than it should.
    #[error("tag {name:?} is not {expected}")]
    Tag {
        /// Name of the tag.
        name: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// The content has another form than it should.
    #[error("content is not {expected}")]
    Content {
        /// What it should be.
        expected: &'static str,
    },
    /// JSON that ends early, is none, or has other fields than it should.
    #[error("{place} is not {expected} in JSON: line {line}, column {column}")]
    Json {
        /// Where the JSON stands.
        place: &'static str,
        /// What it should be.
        expected: &'static str,
        /// Line of the first fault, counted from 1; 0 when unknown.
        line: usize,
        /// Column of the first fault, counted from 1; 0 when unknown.
        column: usize,
    },
    /// An amount is no whole number, or a sum is over 2^64 - 1.
    #[error("{place} is no amount: a whole number below 2^64")]
    Amount {
        /// Where the amount stands.
        place: &'static str,
    },
    /// An embedded event is not the one that the tags name.
    #[error("the embedded event is not the one that tag {0:?} names")]
    OtherEvent(&'static str),
    /// The id of an embedded event is not the hash of its content.
    #[error("the id of the embedded event is not its hash")]
    EmbeddedId,
}

impl Flaw {
    /// Without the message of `serde_json`, which may quote what it read.
    pub(super) fn json(
        place: &'static str,
        expected: &'static str,
        error: &serde_json::Error,
    ) -> Self {
        Self::Json { place, expected, line: error.line(), column: error.column() }
    }
}

/// Why an event of a known kind has no view. The event itself may still be stored and shown raw.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("kind {kind}: {flaw}")]
pub struct KindError {
    /// The event's kind.
    pub kind: u16,
    /// What is wrong.
    #[source]
    pub flaw: Flaw,
}
