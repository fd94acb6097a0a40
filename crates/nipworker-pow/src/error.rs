//! What can be wrong with an event's work.

use nipworker_protocol::{EventError, EventId};

/// Why an event, or a request to mine one, is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PowError {
    /// An id has 256 bits; no more of them can be zero.
    #[error("difficulty {bits} is out of range, allowed are 0 to 256 bits")]
    Difficulty {
        /// The difficulty that was asked for, in bits.
        bits: u32,
    },
    /// The event is signed. Mining changes its id, so the signature would be void: mine the event
    /// unsigned, then sign it.
    #[error("the event is signed already; mining it would void the signature")]
    Signed,
    /// The text is no event.
    #[error(transparent)]
    Event(#[from] EventError),
    /// The event is too large to be mined.
    #[error("the event serialises to {bytes} bytes, at most {limit} can be mined")]
    TooLarge {
        /// Size of the NIP-01 serialisation.
        bytes: usize,
        /// The limit, [`crate::MAX_PREIMAGE_BYTES`].
        limit: usize,
    },
    /// The id is not the hash of the event, so its zero bits prove nothing.
    #[error("the id is {stated}, but the event hashes to {computed}")]
    Id {
        /// The id that the event states.
        stated: EventId,
        /// The id that it has.
        computed: EventId,
    },
    /// The event has no nonce tag with a target, so its work may be luck.
    #[error("the event commits to no difficulty, {required} bits are required")]
    Uncommitted {
        /// What is required, in bits.
        required: u32,
    },
    /// The event commits to less than is required, or to more than it has.
    #[error("{counted} bits of work count, {required} are required")]
    TooLittle {
        /// What counts, in bits; see [`crate::Pow::committed`].
        counted: u32,
        /// What is required, in bits.
        required: u32,
    },
    /// A solution is not an event of the expected form.
    #[error("not a mined event: {reason}")]
    Solution {
        /// What is wrong.
        reason: String,
    },
}
