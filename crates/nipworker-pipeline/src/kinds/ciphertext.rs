//! The outer form of encrypted content. It is checked before a signer is asked: what cannot be
//! decrypted by anybody costs no round trip, and no decryption code sees it.

use super::Flaw;

/// Fewest characters of a NIP-44 payload: version, nonce, one padded block and MAC.
const MIN_NIP44_CHARS: usize = 132;

/// Bytes of an AES block, and of the initialisation vector.
const BLOCK_BYTES: usize = 16;

/// Text encrypted by NIP-44, version 2. Only its form was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Nip44Text<'a>(&'a str);

impl<'a> Nip44Text<'a> {
    /// # Errors
    /// [`Flaw::Content`]: shorter than any payload, not base64, or of another version.
    pub(super) fn parse(text: &'a str) -> Result<Self, Flaw> {
        const FLAW: Flaw = Flaw::Content { expected: "NIP-44 version 2 text" };
        // The length first, then the alphabet: NIP-44 asks for it in this order.
        if text.len() < MIN_NIP44_CHARS {
            return Err(FLAW);
        }
        // Version 2 is the first byte: base64 of 0x02 begins with `A` and one of sixteen.
        let is_version_2 = matches!(text.as_bytes(), [b'A', b'g'..=b'v', ..]);
        if is_version_2 && base64_bytes(text).is_some() { Ok(Self(text)) } else { Err(FLAW) }
    }

    /// The payload, for a signer.
    pub fn as_str(&self) -> &'a str {
        self.0
    }
}

/// Text encrypted by NIP-04. Only its form was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Nip04Text<'a>(&'a str);

impl<'a> Nip04Text<'a> {
    /// # Errors
    /// [`Flaw::Content`]: not two base64 texts around one `?iv=`, no whole number of blocks, or
    /// an initialisation vector that is not 16 bytes long.
    pub(super) fn parse(text: &'a str) -> Result<Self, Flaw> {
        const FLAW: Flaw = Flaw::Content { expected: "NIP-04 text" };
        // `?` is no base64, so a second `?iv=` is refused with the vector.
        let (ciphertext, vector) = text.split_once("?iv=").ok_or(FLAW)?;
        let blocks = base64_bytes(ciphertext).filter(|bytes| *bytes > 0).ok_or(FLAW)?;
        if !blocks.is_multiple_of(BLOCK_BYTES) || base64_bytes(vector) != Some(BLOCK_BYTES) {
            return Err(FLAW);
        }
        Ok(Self(text))
    }

    /// The payload, for a signer.
    pub fn as_str(&self) -> &'a str {
        self.0
    }
}

/// Content that is for some readers only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ciphertext<'a> {
    /// By NIP-44.
    Nip44(Nip44Text<'a>),
    /// By NIP-04, which older lists still have.
    Nip04(Nip04Text<'a>),
}

impl<'a> Ciphertext<'a> {
    /// `None` when it is neither.
    pub(super) fn of(text: &'a str) -> Option<Self> {
        if text.contains("?iv=") {
            return Nip04Text::parse(text).ok().map(Self::Nip04);
        }
        Nip44Text::parse(text).ok().map(Self::Nip44)
    }
}

/// Bytes that base64 text in the standard alphabet stands for; `None` when it is none. Padding
/// may be left out.
fn base64_bytes(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let padding = bytes.iter().rev().take(2).take_while(|c| **c == b'=').count();
    if padding > 0 && !bytes.len().is_multiple_of(4) {
        return None;
    }
    let digits = &bytes[..bytes.len() - padding];
    let is_base64 = |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'/');
    if digits.len() % 4 == 1 || !digits.iter().all(is_base64) {
        return None;
    }
    Some(digits.len() * 3 / 4)
}
