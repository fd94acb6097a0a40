//! Keys as text: hex and NIP-19.

use std::fmt;

use bech32::{Bech32, Hrp, primitives::decode::CheckedHrpstring};
use nipworker_protocol::PublicKey;
use rand::{TryRngCore, rngs::OsRng};
use secp256k1::{Keypair, SECP256K1, XOnlyPublicKey};
use zeroize::Zeroizing;

const NSEC: Hrp = Hrp::parse_unchecked("nsec");
const NPUB: Hrp = Hrp::parse_unchecked("npub");

/// Why a text is not a key. It never holds any part of the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Neither 64 hex characters nor bech32 with a right checksum.
    #[error("expected 64 hex characters or {expected}1… with a right checksum")]
    NotAKey {
        /// The bech32 prefix that would have been right.
        expected: &'static str,
    },
    /// Good bech32, but of something else.
    #[error("expected {expected}1…, got {got}1…")]
    WrongPrefix {
        /// The prefix that would have been right.
        expected: &'static str,
        /// The prefix that is there.
        got: String,
    },
    /// Good bech32, but not of 32 bytes.
    #[error("a key has 32 bytes, this has {got}")]
    Length {
        /// Bytes that are there; counting stops at 33.
        got: usize,
    },
    /// Zero, or not below the order of the curve: no such secret key exists.
    #[error("the number is no secret key: it is zero or not below the order of the curve")]
    OutOfRange,
    /// The 32 bytes are no point of the curve.
    #[error("the 32 bytes are no public key: there is no such point on the curve")]
    NotOnCurve,
    /// The operating system gave no random bytes.
    #[error("the system gave no random bytes: {0}")]
    Randomness(String),
}

fn read_bech32(text: &str, expected: &'static str, out: &mut [u8; 32]) -> Result<(), KeyError> {
    let checked =
        CheckedHrpstring::new::<Bech32>(text).map_err(|_| KeyError::NotAKey { expected })?;
    let hrp = checked.hrp();
    if hrp.to_lowercase() != expected {
        return Err(KeyError::WrongPrefix { expected, got: hrp.to_lowercase() });
    }
    let mut got = 0;
    for byte in checked.byte_iter().take(33) {
        if let Some(place) = out.get_mut(got) {
            *place = byte;
        }
        got += 1;
    }
    if got == 32 { Ok(()) } else { Err(KeyError::Length { got }) }
}

fn read_key(text: &str, expected: &'static str, out: &mut [u8; 32]) -> Result<(), KeyError> {
    let text = text.trim();
    if text.len() == 64 && hex::decode_to_slice(text, out).is_ok() {
        return Ok(());
    }
    read_bech32(text, expected, out)
}

/// Lower-case bech32 without a buffer that would keep a copy behind: the text of 32 bytes is 63
/// characters, so the one allocation is large enough from the start.
fn write_bech32(prefix: Hrp, bytes: &[u8; 32]) -> String {
    let mut text = String::with_capacity(64);
    let written = bech32::encode_lower_to_fmt::<Bech32, _>(&mut text, prefix, bytes);
    debug_assert!(written.is_ok(), "32 bytes are far below the longest bech32 text");
    text
}

/// The NIP-19 text of a public key.
pub fn npub(key: &PublicKey) -> String {
    write_bech32(NPUB, key.as_bytes())
}

/// Reads a public key as 64 hex characters or `npub1…`, and checks that it is on the curve.
///
/// # Errors
/// See [`KeyError`].
pub fn parse_public_key(text: &str) -> Result<PublicKey, KeyError> {
    let mut bytes = [0; 32];
    read_key(text, "npub", &mut bytes)?;
    XOnlyPublicKey::from_slice(&bytes).map_err(|_| KeyError::NotOnCurve)?;
    Ok(PublicKey::from_bytes(bytes))
}

/// A secret key with its public half. Wiped when dropped; `Debug` shows the public half only.
///
/// It is kept behind a pointer so that moving the value leaves no copy of the secret behind.
#[derive(Clone)]
pub struct SecretKey(Box<Keypair>);

impl SecretKey {
    /// Makes a key of the operating system's randomness.
    ///
    /// # Errors
    /// [`KeyError::Randomness`] when the system has none.
    pub fn generate() -> Result<Self, KeyError> {
        let mut bytes = Zeroizing::new([0; 32]);
        loop {
            OsRng
                .try_fill_bytes(bytes.as_mut_slice())
                .map_err(|error| KeyError::Randomness(error.to_string()))?;
            // One draw in 2^128 is outside the range.
            if let Ok(key) = Self::from_bytes(&bytes) {
                return Ok(key);
            }
        }
    }

    /// Takes the 32 bytes of a key, big-endian.
    ///
    /// # Errors
    /// [`KeyError::OutOfRange`].
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        Keypair::from_seckey_slice(SECP256K1, bytes)
            .map(|pair| Self(Box::new(pair)))
            .map_err(|_| KeyError::OutOfRange)
    }

    /// Reads 64 hex characters or `nsec1…`.
    ///
    /// # Errors
    /// See [`KeyError`]; the text is never part of the error.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let mut bytes = Zeroizing::new([0; 32]);
        read_key(text, "nsec", &mut bytes)?;
        Self::from_bytes(&bytes)
    }

    /// The public half.
    pub fn public_key(&self) -> PublicKey {
        PublicKey::from_bytes(self.0.x_only_public_key().0.serialize())
    }

    /// The NIP-19 text, `nsec1…`. Wiped when dropped.
    pub fn to_nsec(&self) -> Zeroizing<String> {
        let bytes = self.to_bytes();
        Zeroizing::new(write_bech32(NSEC, &bytes))
    }

    /// 64 lower-case hex characters. Wiped when dropped.
    pub fn to_hex(&self) -> Zeroizing<String> {
        let bytes = self.to_bytes();
        Zeroizing::new(hex::encode(bytes.as_slice()))
    }

    /// The 32 bytes. Wiped when dropped.
    pub(crate) fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.secret_bytes())
    }

    /// BIP-340 signature of a 32-byte message.
    pub(crate) fn sign(&self, message: &[u8; 32], aux: &[u8; 32]) -> [u8; 64] {
        SECP256K1.sign_schnorr_with_aux_rand(message, &self.0, aux).to_byte_array()
    }
}

/// 32 random bytes of the operating system.
pub(crate) fn random_bytes() -> Result<[u8; 32], KeyError> {
    let mut bytes = [0; 32];
    OsRng.try_fill_bytes(&mut bytes).map_err(|error| KeyError::Randomness(error.to_string()))?;
    Ok(bytes)
}

impl Drop for SecretKey {
    fn drop(&mut self) {
        self.0.non_secure_erase();
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(hidden, of {})", self.public_key())
    }
}

#[cfg(test)]
#[path = "key_tests.rs"]
mod tests;
