use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::*;

/// The examples of NUT-00.
const VERSION_A: &str = "cashuAeyJ0b2tlbiI6W3sibWludCI6Imh0dHBzOi8vODMzMy5zcGFjZTozMzM4IiwicHJvb2ZzIjpbeyJhbW91bnQiOjIsImlkIjoiMDA5YTFmMjkzMjUzZTQxZSIsInNlY3JldCI6IjQwNzkxNWJjMjEyYmU2MWE3N2UzZTZkMmFlYjRjNzI3OTgwYmRhNTFjZDA2YTZhZmMyOWUyODYxNzY4YTc4MzciLCJDIjoiMDJiYzkwOTc5OTdkODFhZmIyY2M3MzQ2YjVlNDM0NWE5MzQ2YmQyYTUwNmViNzk1ODU5OGE3MmYwY2Y4NTE2M2VhIn0seyJhbW91bnQiOjgsImlkIjoiMDA5YTFmMjkzMjUzZTQxZSIsInNlY3JldCI6ImZlMTUxMDkzMTRlNjFkNzc1NmIwZjhlZTBmMjNhNjI0YWNhYTNmNGUwNDJmNjE0MzNjNzI4YzcwNTdiOTMxYmUiLCJDIjoiMDI5ZThlNTA1MGI4OTBhN2Q2YzA5NjhkYjE2YmMxZDVkNWZhMDQwZWExZGUyODRmNmVjNjlkNjEyOTlmNjcxMDU5In1dfV0sInVuaXQiOiJzYXQiLCJtZW1vIjoiVGhhbmsgeW91LiJ9";
const VERSION_B: &str = "cashuBpGF0gaJhaUgArSaMTR9YJmFwgaNhYQFhc3hAOWE2ZGJiODQ3YmQyMzJiYTc2ZGIwZGYxOTcyMTZiMjlkM2I4Y2MxNDU1M2NkMjc4MjdmYzFjYzk0MmZlZGI0ZWFjWCEDhhhUP_trhpXfStS6vN6So0qWvc2X3O4NfM-Y1HISZ5JhZGlUaGFuayB5b3VhbXVodHRwOi8vbG9jYWxob3N0OjMzMzhhdWNzYXQ=";
const TWO_KEYSETS: &str = "cashuBo2F0gqJhaUgA_9SLj17PgGFwgaNhYQFhc3hAYWNjMTI0MzVlN2I4NDg0YzNjZjE4NTAxNDkyMThhZjkwZjcxNmE1MmJmNGE1ZWQzNDdlNDhlY2MxM2Y3NzM4OGFjWCECRFODGd5IXVW-07KaZCvuWHk3WrnnpiDhHki6SCQh88-iYWlIAK0mjE0fWCZhcIKjYWECYXN4QDEzMjNkM2Q0NzA3YTU4YWQyZTIzYWRhNGU5ZjFmNDlmNWE1YjRhYzdiNzA4ZWIwZDYxZjczOGY0ODMwN2U4ZWVhY1ghAjRWqhENhLSsdHrr2Cw7AFrKUL9Ffr1XN6RBT6w659lNo2FhAWFzeEA1NmJjYmNiYjdjYzY0MDZiM2ZhNWQ1N2QyMTc0ZjRlZmY4YjQ0MDJiMTc2OTI2ZDNhNTdkM2MzZGNiYjU5ZDU3YWNYIQJzEpxXGeWZN5qXSmJjY8MzxWyvwObQGr5G1YCCgHicY2FtdWh0dHA6Ly9sb2NhbGhvc3Q6MzMzOGF1Y3NhdA";

fn token(mint: &str, amount: u64, memo: Option<&str>, proofs: usize) -> CashuToken {
    let memo = memo.map(str::to_owned);
    CashuToken { mint: mint.to_owned(), unit: "sat".to_owned(), amount, memo, proofs }
}

fn of_json(json: &str) -> Result<CashuToken, CashuError> {
    CashuToken::parse(&format!("cashuA{}", URL_SAFE_NO_PAD.encode(json)))
}

#[test]
fn tokens_of_both_versions_say_mint_unit_amount_and_memo() {
    let a = token("https://8333.space:3338", 10, Some("Thank you."), 2);
    let b = token("http://localhost:3338", 1, Some("Thank you"), 1);
    let two = token("http://localhost:3338", 4, None, 3);
    for (text, expected) in [(VERSION_A, a), (VERSION_B, b), (TWO_KEYSETS, two)] {
        assert_eq!(CashuToken::parse(text), Ok(expected.clone()));
        // With padding or without.
        assert_eq!(CashuToken::parse(text.trim_end_matches('=')), Ok(expected.clone()));
        let note = format!("for you: {text}, enjoy");
        let blocks = Content::new(&note, &[]).blocks();
        let token = Ok(Box::new(expected));
        assert_eq!(blocks[1].what, BlockKind::Cashu { text, token });
    }
}

#[test]
fn what_is_shown_of_a_token_holds_no_secret() {
    let secrets = [
        "407915bc212be61a77e3e6d2aeb4c727980bda51cd06a6afc29e2861768a7837",
        "9a6dbb847bd232ba76db0df197216b29d3b8cc14553cd27827fc1cc942fedb4e",
    ];
    for text in [VERSION_A, VERSION_B] {
        let token = CashuToken::parse(text).unwrap();
        let shown = format!("{token:?} {}", serde_json::to_string(&token).unwrap());
        assert!(shown.contains("Thank you"));
        assert!(secrets.iter().all(|secret| !shown.contains(secret)), "{shown}");
    }
}

#[test]
fn amounts_of_tokens_are_exact_or_refused() {
    let with = |amounts: &[&str]| {
        let proofs: Vec<_> = amounts
            .iter()
            .map(|amount| format!(r#"{{"amount":{amount},"id":"0","secret":"s","C":"c"}}"#))
            .collect();
        of_json(&format!(
            r#"{{"token":[{{"mint":"m","proofs":[{}]}}],"unit":"msat"}}"#,
            proofs.join(",")
        ))
    };
    let largest = with(&["18446744073709551614", "1"]).unwrap();
    assert_eq!((largest.amount, largest.unit.as_str()), (u64::MAX, "msat"));
    assert_eq!(with(&["18446744073709551615", "1"]), Err(CashuError::Amount));
    assert_eq!(with(&[]), Err(CashuError::Empty));
    for amount in ["-1", "1.5", "\"1\"", "18446744073709551616", "null"] {
        assert_eq!(with(&[amount]), Err(CashuError::Form), "{amount}");
    }
}

#[test]
fn what_is_no_token_is_refused_with_its_reason() {
    let proof = r#"{"amount":1,"id":"0","secret":"s","C":"c"}"#;
    let two = |a: &str, b: &str| {
        of_json(&format!(
            r#"{{"token":[{{"mint":"{a}","proofs":[{proof}]}},{{"mint":"{b}","proofs":[{proof}]}}]}}"#
        ))
    };
    assert_eq!(two("a", "b"), Err(CashuError::SeveralMints));
    assert_eq!(two("a", "a"), Ok(token("a", 2, None, 2)));
    assert_eq!(of_json(r#"{"token":[]}"#), Err(CashuError::Empty));
    assert_eq!(of_json(r#"{"token":[{"mint":"a"}]}"#), Err(CashuError::Form));
    let without_secret = r#"{"token":[{"mint":"a","proofs":[{"amount":1,"id":"0","C":"c"}]}]}"#;
    assert_eq!(of_json(without_secret), Err(CashuError::Form));
    assert_eq!(CashuToken::parse("cashuC"), Err(CashuError::Version));
    assert_eq!(CashuToken::parse("cashué"), Err(CashuError::Version));
    assert_eq!(CashuToken::parse("cashuA+/"), Err(CashuError::Base64));
    let long = format!("cashuB{}", "A".repeat(MAX_TOKEN_CHARS));
    assert_eq!(CashuToken::parse(&long), Err(CashuError::TooLong));
    // CBOR that promises more than there is, and CBOR that is deeper than any token.
    let promise = [&[0xa1, 0x61, 0x74, 0x9b][..], &[0xff; 8]].concat();
    for bytes in [promise, vec![0x81; 50_000], [&[0xa1, 0x61, 0x7a][..], &[0x81; 9_000]].concat()] {
        let text = format!("cashuB{}", URL_SAFE_NO_PAD.encode(bytes));
        assert_eq!(CashuToken::parse(&text), Err(CashuError::Form));
    }
}

#[test]
fn every_cut_of_a_token_is_refused() {
    for text in [VERSION_A, TWO_KEYSETS] {
        for end in 0..text.len() - 1 {
            assert!(CashuToken::parse(&text[..end]).is_err(), "{}", &text[..end]);
        }
    }
}
