//! NIP-04: AES-256-CBC without authentication.

use nipworker_protocol::PublicKey;
use nostr::nips::nip04;

use super::{CipherError, CipherLimits, Plaintext, base64_chars, check_plaintext, keys};
use crate::{SecretKey, key::random_bytes};

/// Bytes of an AES block and of the initialisation vector.
const BLOCK_BYTES: usize = 16;
/// What stands between ciphertext and vector.
const SEPARATOR: &str = "?iv=";
/// Characters of one block in base64, and so of the vector.
const BLOCK_CHARS: usize = base64_chars(BLOCK_BYTES);
/// Characters of the shortest message: one block and the vector.
const MIN_PAYLOAD_CHARS: usize = 2 * BLOCK_CHARS + SEPARATOR.len();

pub(super) fn encrypt(
    limits: CipherLimits,
    secret: &SecretKey,
    peer: &PublicKey,
    plaintext: &str,
) -> Result<String, CipherError> {
    check_plaintext(limits, plaintext)?;
    let (secret, peer) = keys(secret, peer)?;
    let random = random_bytes().map_err(|_| CipherError::Randomness)?;
    let mut vector = [0; BLOCK_BYTES];
    vector.copy_from_slice(&random[..BLOCK_BYTES]);
    nip04::encrypt_with_iv(&secret, &peer, plaintext, vector).map_err(|_| CipherError::Peer)
}

pub(super) fn decrypt(
    limits: CipherLimits,
    secret: &SecretKey,
    peer: &PublicKey,
    payload: &str,
) -> Result<Plaintext, CipherError> {
    check(limits, payload)?;
    let (secret, peer) = keys(secret, peer)?;
    let bytes = nip04::decrypt_to_bytes(&secret, &peer, payload)
        .map_err(|_| CipherError::Authentication)?;
    Plaintext::from_utf8(bytes).ok_or(CipherError::NotText)
}

/// Lengths first; the vector is looked for from its end, so a second one is never searched.
pub(super) fn check(limits: CipherLimits, payload: &str) -> Result<(), CipherError> {
    let got = payload.len();
    if got < MIN_PAYLOAD_CHARS {
        return Err(CipherError::TooShort { got, minimum: MIN_PAYLOAD_CHARS });
    }
    // Padding fills a block, and adds one where the text ends with a block.
    let padded = (limits.max_plaintext_bytes / BLOCK_BYTES + 1) * BLOCK_BYTES;
    let limit = base64_chars(padded) + SEPARATOR.len() + BLOCK_CHARS;
    if got > limit {
        return Err(CipherError::TooLong { got, limit });
    }
    let bytes = payload.as_bytes();
    let (head, vector) = bytes.split_at(got - BLOCK_CHARS);
    let Some(ciphertext) = head.strip_suffix(SEPARATOR.as_bytes()) else {
        return Err(CipherError::Form("a vector of 16 bytes expected after ?iv="));
    };
    if decoded_bytes(vector) != Some(BLOCK_BYTES) {
        return Err(CipherError::Form("a vector of 16 bytes expected after ?iv="));
    }
    // `?` is no base64, so a second separator is refused here.
    match decoded_bytes(ciphertext) {
        Some(bytes) if bytes > 0 && bytes.is_multiple_of(BLOCK_BYTES) => Ok(()),
        _ => Err(CipherError::Form("whole blocks of 16 bytes in base64 expected")),
    }
}

/// Bytes that padded base64 stands for; `None` when it is none.
fn decoded_bytes(text: &[u8]) -> Option<usize> {
    let padding = text.iter().rev().take_while(|c| **c == b'=').count();
    let digits = &text[..text.len() - padding];
    let is_base64 = |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'/');
    let is_whole = text.len().is_multiple_of(4) && padding <= 2 && digits.iter().all(is_base64);
    is_whole.then(|| text.len() / 4 * 3 - padding)
}
