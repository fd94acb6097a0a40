//! Encryption between two keys: NIP-44 version 2, and NIP-04 for what older programs wrote.
//!
//! The primitives are the `nostr` crate's. What this module adds stands before them: every size is
//! checked before anything is decoded, copied or computed, and an error never holds any part of
//! a text or a key.

mod error;
mod nip04;
mod nip44;
mod plaintext;
#[cfg(test)]
mod tests;

use nipworker_protocol::PublicKey;

use crate::SecretKey;

pub use error::CipherError;
pub use nip44::MAX_NIP44_PLAINTEXT_BYTES;
pub use plaintext::Plaintext;

/// How a text is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// NIP-44, version 2: what to write.
    Nip44,
    /// NIP-04: it tells the length, and a changed text may pass for another. For reading what
    /// exists and for those who read nothing else.
    Nip04,
}

/// What encryption and decryption take at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CipherLimits {
    /// Bytes of a text before encryption, 1 to [`MAX_NIP44_PLAINTEXT_BYTES`]. Default: 65,535,
    /// which every implementation of NIP-44 reads; more is written in the form with the longer
    /// length field, which older ones do not know.
    pub max_plaintext_bytes: usize,
}

impl CipherLimits {
    /// The default of [`max_plaintext_bytes`](Self::max_plaintext_bytes).
    pub const DEFAULT_MAX_PLAINTEXT_BYTES: usize = 65_535;

    /// Limits with another size, moved into the range that is possible.
    pub fn with_max_plaintext_bytes(bytes: usize) -> Self {
        Self { max_plaintext_bytes: bytes.clamp(1, MAX_NIP44_PLAINTEXT_BYTES) }
    }
}

impl Default for CipherLimits {
    fn default() -> Self {
        Self { max_plaintext_bytes: Self::DEFAULT_MAX_PLAINTEXT_BYTES }
    }
}

impl Scheme {
    /// Encrypts `plaintext` so that the owner of `peer` can read it, and whoever has `secret`.
    ///
    /// # Errors
    /// See [`CipherError`].
    pub fn encrypt(
        self,
        limits: CipherLimits,
        secret: &SecretKey,
        peer: &PublicKey,
        plaintext: &str,
    ) -> Result<String, CipherError> {
        match self {
            Self::Nip44 => nip44::encrypt(limits, secret, peer, plaintext),
            Self::Nip04 => nip04::encrypt(limits, secret, peer, plaintext),
        }
    }

    /// Decrypts what the owner of `peer` encrypted for `secret`, or `secret` for `peer`. The text
    /// is wiped when dropped.
    ///
    /// # Errors
    /// See [`CipherError`].
    pub fn decrypt(
        self,
        limits: CipherLimits,
        secret: &SecretKey,
        peer: &PublicKey,
        payload: &str,
    ) -> Result<Plaintext, CipherError> {
        match self {
            Self::Nip44 => nip44::decrypt(limits, secret, peer, payload),
            Self::Nip04 => nip04::decrypt(limits, secret, peer, payload),
        }
    }
}

impl Scheme {
    /// Whether `payload` has the form of encrypted text; whether anybody can decrypt it is not
    /// known.
    pub(crate) fn check_form(self, payload: &str) -> Result<(), CipherError> {
        let limits = CipherLimits::with_max_plaintext_bytes(MAX_NIP44_PLAINTEXT_BYTES);
        match self {
            Self::Nip44 => nip44::check(limits, payload),
            Self::Nip04 => nip04::check(limits, payload),
        }
    }
}

/// The pair of keys in the other crate's types. Its secret key is wiped when dropped.
fn keys(
    secret: &SecretKey,
    peer: &PublicKey,
) -> Result<(nostr::key::SecretKey, nostr::key::PublicKey), CipherError> {
    let bytes = secret.to_bytes();
    let secret =
        nostr::key::SecretKey::from_slice(bytes.as_slice()).map_err(|_| CipherError::Key)?;
    let peer = nostr::key::PublicKey::from_slice(peer.as_bytes()).map_err(|_| CipherError::Peer)?;
    Ok((secret, peer))
}

/// Checks the length of a text that is to be encrypted.
fn check_plaintext(limits: CipherLimits, plaintext: &str) -> Result<(), CipherError> {
    let (got, limit) = (plaintext.len(), limits.max_plaintext_bytes);
    if got > limit { Err(CipherError::PlaintextTooLong { got, limit }) } else { Ok(()) }
}

/// Characters of base64 with padding.
const fn base64_chars(bytes: usize) -> usize {
    bytes.div_ceil(3) * 4
}
