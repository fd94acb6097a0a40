//! Why a text is not encrypted or decrypted.

/// Why a text is not encrypted or decrypted. It never holds any part of a text or a key. Asking
/// again gives the same answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CipherError {
    /// NIP-44 has no form for an empty text.
    #[error("an empty text cannot be encrypted")]
    Empty,
    /// The text to be encrypted is longer than the limit.
    #[error("a text of {got} bytes is over the limit of {limit} bytes")]
    PlaintextTooLong {
        /// Bytes of the text.
        got: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The encrypted text is shorter than any there is.
    #[error("an encrypted text of {got} characters is cut: the shortest has {minimum}")]
    TooShort {
        /// Characters that are there.
        got: usize,
        /// Characters of the shortest.
        minimum: usize,
    },
    /// The encrypted text is longer than the limit allows.
    #[error("an encrypted text of {got} characters is over the limit of {limit} characters")]
    TooLong {
        /// Characters that are there.
        got: usize,
        /// The limit in characters.
        limit: usize,
    },
    /// Encrypted by another version of NIP-44 than 2, or by something else.
    #[error("encrypted by an unknown version")]
    Version,
    /// Not base64, or not of the form that it should have.
    #[error("not encrypted text: {0}")]
    Form(&'static str),
    /// Not encrypted between these two keys, or changed on the way.
    #[error("not encrypted between these two keys, or changed on the way")]
    Authentication,
    /// Decrypted, but what came out is no text.
    #[error("what was encrypted is no text")]
    NotText,
    /// The other side's 32 bytes are no public key.
    #[error("the other side's key is no point on the curve")]
    Peer,
    /// The secret key cannot be used.
    #[error("the secret key cannot be used")]
    Key,
    /// The operating system gave no random bytes.
    #[error("the system gave no random bytes")]
    Randomness,
}
