//! What a Cashu token says of itself (NUT-00): `cashuA…` is JSON, `cashuB…` is CBOR.

use base64::{
    Engine,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::{Deserialize, Serialize, Serializer, de::IgnoredAny};
use zeroize::Zeroizing;

/// Longest token that is decoded, in characters: some hundred proofs. A longer one is found in a
/// text all the same.
pub const MAX_TOKEN_CHARS: usize = 131_072;

/// Unit that amounts have where none is named.
const DEFAULT_UNIT: &str = "sat";

/// Wallets write the padding or leave it out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Why a token cannot be read. The text never quotes the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CashuError {
    /// It does not begin with `cashuA` or `cashuB`.
    #[error("not a Cashu token of version A or B")]
    Version,
    /// Longer than [`MAX_TOKEN_CHARS`].
    #[error("token is longer than {MAX_TOKEN_CHARS} characters")]
    TooLong,
    /// What follows the version is no base64 in the alphabet for URLs.
    #[error("token is not base64")]
    Base64,
    /// The decoded bytes are no token in JSON (A) or CBOR (B).
    #[error("token has not the form of its version")]
    Form,
    /// It holds no proof.
    #[error("token holds no proof")]
    Empty,
    /// It is of more than one mint: NUT-00 no longer has such, and there is no one amount.
    #[error("token is of several mints")]
    SeveralMints,
    /// The sum of its proofs is over 2^64 - 1.
    #[error("amount of the token is over 2^64 - 1")]
    Amount,
}

/// Ecash in a text. **Whoever reads the token can take it**, so it may be gone; that the mint has
/// signed it is not known either. The secrets of the proofs are not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CashuToken {
    /// The mint. It is not to be asked without a guard: a stranger wrote the URL.
    pub mint: String,
    /// Unit of the amount, `sat` where none is named.
    pub unit: String,
    /// Exact sum of the proofs, in `unit`.
    pub amount: u64,
    /// Words that go with it.
    pub memo: Option<String>,
    /// How many proofs it holds, at least one.
    pub proofs: usize,
}

impl CashuToken {
    /// Reads a token, without `cashu:` before it. Nothing is asked of the mint.
    ///
    /// # Errors
    /// See [`CashuError`].
    pub fn parse(text: &str) -> Result<Self, CashuError> {
        let versioned = text.strip_prefix("cashu").ok_or(CashuError::Version)?;
        if versioned.len() > MAX_TOKEN_CHARS {
            return Err(CashuError::TooLong);
        }
        let decode = |encoded: &str| {
            BASE64.decode(encoded).map(Zeroizing::new).map_err(|_| CashuError::Base64)
        };
        match versioned.split_at_checked(1) {
            Some(("A", encoded)) => {
                let token = serde_json::from_slice::<TokenA>(&decode(encoded)?);
                token.map_err(|_| CashuError::Form)?.read()
            }
            Some(("B", encoded)) => {
                let token = cbor4ii::serde::from_slice::<TokenB>(&decode(encoded)?);
                token.map_err(|_| CashuError::Form)?.read()
            }
            _ => Err(CashuError::Version),
        }
    }
}

/// A token that was read, or why not: `{"error": …}`.
pub(super) fn as_json<S: Serializer>(
    token: &Result<Box<CashuToken>, CashuError>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match token {
        Ok(token) => token.serialize(serializer),
        Err(error) => serde_json::json!({ "error": error.to_string() }).serialize(serializer),
    }
}

#[derive(Deserialize)]
struct TokenA {
    token: Vec<EntryA>,
    unit: Option<String>,
    memo: Option<String>,
}

#[derive(Deserialize)]
struct EntryA {
    mint: String,
    proofs: Vec<ProofA>,
}

/// Secret and signature have to be there, and are not copied.
#[derive(Deserialize)]
struct ProofA {
    amount: u64,
    #[serde(rename = "id")]
    _keyset: IgnoredAny,
    #[serde(rename = "secret")]
    _secret: IgnoredAny,
    #[serde(rename = "C")]
    _signature: IgnoredAny,
}

impl TokenA {
    fn read(self) -> Result<CashuToken, CashuError> {
        let mut entries = self.token.into_iter();
        let first = entries.next().ok_or(CashuError::Empty)?;
        let mint = first.mint;
        let mut proofs = first.proofs;
        for entry in entries {
            if entry.mint != mint {
                return Err(CashuError::SeveralMints);
            }
            proofs.extend(entry.proofs);
        }
        let amounts = proofs.iter().map(|proof| proof.amount);
        token(mint, self.unit, self.memo, amounts)
    }
}

#[derive(Deserialize)]
struct TokenB {
    #[serde(rename = "m")]
    mint: String,
    #[serde(rename = "u")]
    unit: Option<String>,
    #[serde(rename = "d")]
    memo: Option<String>,
    #[serde(rename = "t")]
    keysets: Vec<KeysetB>,
}

#[derive(Deserialize)]
struct KeysetB {
    #[serde(rename = "i")]
    _keyset: IgnoredAny,
    #[serde(rename = "p")]
    proofs: Vec<ProofB>,
}

#[derive(Deserialize)]
struct ProofB {
    #[serde(rename = "a")]
    amount: u64,
    #[serde(rename = "s")]
    _secret: IgnoredAny,
    #[serde(rename = "c")]
    _signature: IgnoredAny,
}

impl TokenB {
    fn read(self) -> Result<CashuToken, CashuError> {
        let proofs = self.keysets.iter().flat_map(|keyset| &keyset.proofs);
        let amounts = proofs.map(|proof| proof.amount);
        token(self.mint, self.unit, self.memo, amounts)
    }
}

fn token(
    mint: String,
    unit: Option<String>,
    memo: Option<String>,
    amounts: impl Iterator<Item = u64>,
) -> Result<CashuToken, CashuError> {
    let (mut amount, mut proofs) = (0_u64, 0);
    for next in amounts {
        amount = amount.checked_add(next).ok_or(CashuError::Amount)?;
        proofs += 1;
    }
    if proofs == 0 {
        return Err(CashuError::Empty);
    }
    let unit = unit.unwrap_or_else(|| DEFAULT_UNIT.to_owned());
    let memo = memo.filter(|memo| !memo.is_empty());
    Ok(CashuToken { mint, unit, amount, memo, proofs })
}
