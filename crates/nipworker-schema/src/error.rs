//! Why bytes are not a message, or a message not what the base types hold.

/// Why an edge refuses bytes or a conversion refuses values. Asking again with the same bytes
/// gives the same answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EdgeError {
    /// Fewer bytes than the smallest message has.
    #[error("{got} bytes are no message: the smallest has {minimum} bytes")]
    TooShort {
        /// Number of bytes given.
        got: usize,
        /// Number of bytes that a message has at least.
        minimum: usize,
    },
    /// The bytes belong to another edge, or to none.
    #[error("file identifier is {got:?}, not {expected:?}")]
    Identifier {
        /// The edge's file identifier.
        expected: &'static str,
        /// The four bytes that stand in its place; what is not ASCII is escaped.
        got: String,
    },
    /// Another version of the edge than this one reads.
    #[error("message version is {got}, not {expected}")]
    Version {
        /// The version that is read and written here.
        expected: u16,
        /// The version of the message.
        got: u16,
    },
    /// The FlatBuffers verifier found an offset, length, text or table that cannot be.
    #[error("malformed message: {0}")]
    Malformed(String),
    /// The union holds nothing, or a member that this version does not know.
    #[error("unknown member {tag} of the message union")]
    UnknownMember {
        /// Number of the union's member; 0 is none.
        tag: u8,
    },
    /// A tag filter is not named by one ASCII letter.
    #[error("tag filter of byte {byte:#04x} is not named by an ascii letter")]
    NotALetter {
        /// The byte that was given.
        byte: u8,
    },
    /// Two tag filters for the same letter.
    #[error("two tag filters for the letter {letter:?}")]
    RepeatedLetter {
        /// The letter.
        letter: char,
    },
    /// A filter's limit does not fit this machine's `usize`.
    #[error("limit {got} is larger than {max}")]
    LimitTooLarge {
        /// The limit given.
        got: u64,
        /// The largest limit possible.
        max: usize,
    },
}
