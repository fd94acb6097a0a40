//! NIP-44, version 2.

use nipworker_protocol::PublicKey;
use nostr::nips::nip44::{self, Nonce};

use super::{CipherError, CipherLimits, Plaintext, base64_chars, check_plaintext, keys};
use crate::{SecretKey, key::random_bytes};

/// Largest text that the limits may allow, in bytes: 1 MiB, twice the largest event.
pub const MAX_NIP44_PLAINTEXT_BYTES: usize = 1024 * 1024;

/// Fewest characters of a payload: version, nonce, length, one block of 32 bytes, MAC.
pub(super) const MIN_PAYLOAD_CHARS: usize = 132;

/// Version, nonce, the longer form of the length, and MAC, in bytes.
const FRAME_BYTES: usize = 1 + 32 + 6 + 32;

pub(super) fn encrypt(
    limits: CipherLimits,
    secret: &SecretKey,
    peer: &PublicKey,
    plaintext: &str,
) -> Result<String, CipherError> {
    let nonce = random_bytes().map_err(|_| CipherError::Randomness)?;
    encrypt_with_nonce(limits, secret, peer, plaintext, nonce)
}

pub(super) fn encrypt_with_nonce(
    limits: CipherLimits,
    secret: &SecretKey,
    peer: &PublicKey,
    plaintext: &str,
    nonce: [u8; 32],
) -> Result<String, CipherError> {
    if plaintext.is_empty() {
        return Err(CipherError::Empty);
    }
    check_plaintext(limits, plaintext)?;
    let (secret, peer) = keys(secret, peer)?;
    nip44::encrypt_with_nonce(&secret, &peer, plaintext, Nonce::V2(nonce))
        .map_err(|_| CipherError::Peer)
}

pub(super) fn decrypt(
    limits: CipherLimits,
    secret: &SecretKey,
    peer: &PublicKey,
    payload: &str,
) -> Result<Plaintext, CipherError> {
    check(limits, payload)?;
    let (secret, peer) = keys(secret, peer)?;
    // What is left to be wrong at this point is not told apart: a forger learns nothing from it.
    let bytes = nip44::decrypt_to_bytes(&secret, &peer, payload)
        .map_err(|_| CipherError::Authentication)?;
    Plaintext::from_utf8(bytes).ok_or(CipherError::NotText)
}

/// The length first, then the version, then the alphabet; nothing is decoded or copied.
pub(super) fn check(limits: CipherLimits, payload: &str) -> Result<(), CipherError> {
    let got = payload.len();
    // NIP-44 keeps this sign for encodings of later versions.
    if payload.starts_with('#') {
        return Err(CipherError::Version);
    }
    if got < MIN_PAYLOAD_CHARS {
        return Err(CipherError::TooShort { got, minimum: MIN_PAYLOAD_CHARS });
    }
    let limit = max_payload_chars(limits);
    if got > limit {
        return Err(CipherError::TooLong { got, limit });
    }
    let digits = payload.trim_end_matches('=').bytes();
    let is_base64 = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'/');
    if !got.is_multiple_of(4) || got - digits.len() > 2 || !digits.clone().all(is_base64) {
        return Err(CipherError::Form("base64 expected"));
    }
    // Base64 of the byte 2 begins with `A` and one of the sixteen from `g` to `v`.
    match payload.as_bytes() {
        [b'A', b'g'..=b'v', ..] => Ok(()),
        _ => Err(CipherError::Version),
    }
}

fn max_payload_chars(limits: CipherLimits) -> usize {
    base64_chars(FRAME_BYTES + padded_bytes(limits.max_plaintext_bytes))
}

/// NIP-44's padding: the next multiple of an eighth of the next power of two, at least 32.
pub(super) fn padded_bytes(bytes: usize) -> usize {
    let chunk = (bytes.max(1).next_power_of_two() / 8).max(32);
    bytes.max(1).div_ceil(chunk) * chunk
}
