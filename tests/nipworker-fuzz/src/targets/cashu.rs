//! Cashu tokens (NUT-00), as text, as JSON and as CBOR.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use nipworker_pipeline::content::{CashuToken, MAX_TOKEN_CHARS};

pub(super) fn run(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        read(text);
    }
    let encoded = URL_SAFE_NO_PAD.encode(bytes);
    let json = read(&format!("cashuA{encoded}"));
    if let (Some(token), Some(amount)) = (json, naive_amount(bytes)) {
        assert_eq!(u128::from(token.amount), amount);
    }
    read(&format!("cashuB{encoded}"));
}

fn read(text: &str) -> Option<CashuToken> {
    let token = match CashuToken::parse(text) {
        Ok(token) => token,
        Err(error) => {
            assert!(error.to_string().chars().count() < 80, "{error}");
            return None;
        }
    };
    assert!(text.len() <= MAX_TOKEN_CHARS + 5);
    assert!(token.proofs > 0 && token.proofs < text.len());
    assert!(!format!("{token:?}").is_empty());
    Some(token)
}

/// The sum of all amounts, found without types; `None` where records are written as lists, which
/// `serde` reads too.
fn naive_amount(json: &[u8]) -> Option<u128> {
    let value: serde_json::Value = serde_json::from_slice(json).ok()?;
    let mut sum = 0_u128;
    for entry in value["token"].as_array()? {
        for proof in entry["proofs"].as_array()? {
            sum += u128::from(proof["amount"].as_u64()?);
        }
    }
    Some(sum)
}
