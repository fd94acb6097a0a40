//! Whether a mint has signed a piece of ecash, found out without asking it (NUT-12, NUT-00).

use secp256k1::{PublicKey, SECP256K1, Scalar, SecretKey};
use sha2::{Digest, Sha256};

use crate::kinds::Dleq;

/// Hashes that are tried for a point on the curve. Half of them are one, so this many fail with a
/// chance of 2^-256.
const MAX_TRIES: u32 = 256;

const DOMAIN: &[u8] = b"Secp256k1_HashToCurve_Cashu_";

/// Why a proof is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DleqError {
    /// The blinding factor is missing, without which only who minted can check.
    #[error("the blinding factor is missing")]
    NoBlinding,
    /// A number is no scalar, or a point none of the curve.
    #[error("{0} has a wrong form")]
    Form(&'static str),
    /// The equation does not hold: the mint has not signed with this key.
    #[error("the mint has not signed this")]
    Unsigned,
}

/// The point of the curve that a secret stands for.
fn hash_to_curve(secret: &[u8]) -> Option<PublicKey> {
    let seed = Sha256::new().chain_update(DOMAIN).chain_update(secret).finalize();
    (0..MAX_TRIES).find_map(|count| {
        let hash = Sha256::new().chain_update(seed).chain_update(count.to_le_bytes()).finalize();
        let mut point = [2; 33];
        point[1..].copy_from_slice(&hash);
        PublicKey::from_slice(&point).ok()
    })
}

/// SHA-256 over the points in uncompressed hex.
fn hash_points(points: [&PublicKey; 4]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for point in points {
        let mut hex = String::with_capacity(130);
        for byte in point.serialize_uncompressed() {
            push_hex(&mut hex, byte);
        }
        hash.update(hex);
    }
    hash.finalize().into()
}

fn push_hex(out: &mut String, byte: u8) {
    for digit in [byte >> 4, byte & 15] {
        out.extend(char::from_digit(u32::from(digit), 16));
    }
}

fn times(point: &PublicKey, scalar: &SecretKey) -> Result<PublicKey, DleqError> {
    point.mul_tweak(SECP256K1, &Scalar::from(*scalar)).map_err(|_| DleqError::Unsigned)
}

fn minus(a: &PublicKey, b: &PublicKey) -> Result<PublicKey, DleqError> {
    // The point at infinity has no encoding, so no honest proof leads there.
    a.combine(&b.negate(SECP256K1)).map_err(|_| DleqError::Unsigned)
}

fn scalar(text: &str, name: &'static str) -> Result<SecretKey, DleqError> {
    text.parse().map_err(|_| DleqError::Form(name))
}

/// What is checked on a blind signature: that the key behind `mint_key` made `blind_signature` of
/// `blinded`.
fn check_blind(
    mint_key: &PublicKey,
    blinded: &PublicKey,
    blind_signature: &PublicKey,
    e: &SecretKey,
    s: &SecretKey,
) -> Result<(), DleqError> {
    let first = minus(&PublicKey::from_secret_key(SECP256K1, s), &times(mint_key, e)?)?;
    let second = minus(&times(blinded, s)?, &times(blind_signature, e)?)?;
    let hash = hash_points([&first, &second, mint_key, blind_signature]);
    if hash == e.secret_bytes() { Ok(()) } else { Err(DleqError::Unsigned) }
}

/// Checks that the mint's key signed the secret: `signature` is `C` in hex.
pub(super) fn check(
    mint_key: &PublicKey,
    secret: &str,
    signature: &str,
    dleq: &Dleq,
) -> Result<(), DleqError> {
    let blinding = dleq.blinding.as_ref().ok_or(DleqError::NoBlinding)?;
    let r = scalar(blinding.expose(), "the blinding factor")?;
    let (e, s) = (scalar(&dleq.e, "the challenge")?, scalar(&dleq.s, "the response")?);
    let signature: PublicKey = signature.parse().map_err(|_| DleqError::Form("the signature"))?;
    let secret = hash_to_curve(secret.as_bytes()).ok_or(DleqError::Form("the secret"))?;
    let blinded = secret
        .combine(&PublicKey::from_secret_key(SECP256K1, &r))
        .map_err(|_| DleqError::Unsigned)?;
    let blind_signature =
        signature.combine(&times(mint_key, &r)?).map_err(|_| DleqError::Unsigned)?;
    check_blind(mint_key, &blinded, &blind_signature, &e, &s)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(text: &str) -> PublicKey {
        text.parse().unwrap()
    }

    #[test]
    fn the_official_vectors_of_hash_to_curve_hold() {
        for (n, expected) in [
            (0, "024cce997d3b518f739663b757deaec95bcd9473c30a14ac2fd04023a739d1a725"),
            (1, "022e7158e11c9506f1aa4248bf531298daa7febd6194f003edcd9b93ade6253acf"),
            (2, "026cdbe15362df59cd1dd3c9c11de8aedac2106eca69236ecd9fbe117af897be4f"),
        ] {
            let mut message = [0; 32];
            message[31] = n;
            assert_eq!(hash_to_curve(&message), Some(point(expected)), "{n}");
        }
    }

    #[test]
    fn the_official_vector_of_the_challenge_holds() {
        let one = point("020000000000000000000000000000000000000000000000000000000000000001");
        let c = point("02a9acc1e48c25eeeb9289b5031cc57da9fe72f3fe2861d264bdc074209b107ba2");
        assert_eq!(
            hex::encode(hash_points([&one, &one, &one, &c])),
            "a4dc034b74338c28c6bc3ea49731f2a24440fc7c4affc08b31a93fc9fbe6401e"
        );
    }

    #[test]
    fn the_official_vectors_of_blind_signatures_hold_and_no_neighbour_does() {
        for [a, b, c, e, s] in [
            [
                "02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5",
                "02a9acc1e48c25eeeb9289b5031cc57da9fe72f3fe2861d264bdc074209b107ba2",
                "0244eccfc7a348274458bb38044c7f3c389b3c2086c7ec18b5812d2877ab937787",
                "be53688e1952a916726cf4f031584404c6a79b32ccf0b58f3db9a46794abc1dc",
                "1d6ecdf7ca128c90f65bd64e1f894fad985be8af6b350fece5ca4e9e259a54ad",
            ],
            [
                "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
                "02a9acc1e48c25eeeb9289b5031cc57da9fe72f3fe2861d264bdc074209b107ba2",
                "02a9acc1e48c25eeeb9289b5031cc57da9fe72f3fe2861d264bdc074209b107ba2",
                "9818e061ee51d5c8edc3342369a554998ff7b4381c8652d724cdf46429be73d9",
                "9818e061ee51d5c8edc3342369a554998ff7b4381c8652d724cdf46429be73da",
            ],
        ] {
            let (a, b, c) = (point(a), point(b), point(c));
            let (e, s): (SecretKey, SecretKey) = (e.parse().unwrap(), s.parse().unwrap());
            assert_eq!(check_blind(&a, &b, &c, &e, &s), Ok(()));
            let other = e.add_tweak(&Scalar::ONE).unwrap();
            assert_eq!(check_blind(&a, &b, &c, &other, &s), Err(DleqError::Unsigned));
            let other = b.add_exp_tweak(SECP256K1, &Scalar::ONE).unwrap();
            assert_eq!(check_blind(&a, &other, &c, &e, &s), Err(DleqError::Unsigned));
        }
    }
}
