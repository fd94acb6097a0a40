//! Encrypted texts (NIP-44, NIP-04): as they come, and as they are made here and then changed.

use nipworker_signer::{CipherLimits, Scheme, SecretKey};

/// Bytes of a text that is encrypted at most: the point is what happens to the ciphertext.
const MAX_TEXT_BYTES: usize = 256;
/// Longest reason in characters: fixed words and two numbers.
const MAX_REASON_CHARS: usize = 120;

pub(super) fn run(bytes: &[u8]) {
    let limits = CipherLimits::default();
    let (mine, theirs) = (secret(1), secret(2));
    let text = String::from_utf8_lossy(bytes);
    for scheme in [Scheme::Nip44, Scheme::Nip04] {
        if let Err(error) = scheme.decrypt(limits, &mine, &theirs.public_key(), &text) {
            assert!(error.to_string().chars().count() <= MAX_REASON_CHARS, "{error}");
        }
    }
    // The first two bytes say which character of a good payload is changed, and into what.
    let [at, digit, plain @ ..] = bytes else { return };
    let plain = String::from_utf8_lossy(&plain[..plain.len().min(MAX_TEXT_BYTES)]);
    for scheme in [Scheme::Nip44, Scheme::Nip04] {
        let Ok(payload) = scheme.encrypt(limits, &mine, &theirs.public_key(), &plain) else {
            assert!(plain.is_empty(), "a short text is encrypted");
            continue;
        };
        let read = scheme.decrypt(limits, &theirs, &mine.public_key(), &payload);
        assert_eq!(read.expect("what was encrypted is read").expose(), plain);
        let mut changed = payload.clone().into_bytes();
        let at = usize::from(*at) % changed.len();
        changed[at] = digit % 128;
        let changed = String::from_utf8(changed).expect("one ASCII character for another");
        let read = scheme.decrypt(limits, &theirs, &mine.public_key(), &changed);
        // Only NIP-44 notices every change; the last digit before the padding has spare bits, and
        // those must be zero.
        if scheme == Scheme::Nip44 && changed != payload {
            assert!(read.is_err(), "a changed payload is refused");
        }
    }
}

fn secret(n: u8) -> SecretKey {
    SecretKey::from_bytes(&[n; 32]).expect("a key in range")
}
