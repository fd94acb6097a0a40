//! Texts as they stand in columns that are compared.

use sha2::{Digest, Sha256};

/// Longer values stand by their hash: PostgreSQL's indexes take no more than about 2,700 bytes.
const VALUE_BYTES_MAX: usize = 1_024;

/// What marks a value that stands by its hash.
const MARK: char = '\u{1}';

/// `value` so that both databases can hold, compare and index it; no two values become one. PostgreSQL's
/// texts cannot hold U+0000.
pub(crate) fn encoded(value: &str) -> String {
    if value.len() > VALUE_BYTES_MAX || value.starts_with(MARK) || value.contains('\0') {
        format!("{MARK}{}", hex::encode(Sha256::digest(value)))
    } else {
        value.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_values_become_one_and_none_holds_a_null() {
        let long = "x".repeat(VALUE_BYTES_MAX);
        let longer = "x".repeat(VALUE_BYTES_MAX + 1);
        let like_encoded = encoded("a\0");
        let values = ["", "a", "a\0", "a\u{fffd}", "\0", "\u{1}", &long, &longer, &like_encoded];
        let all: HashSet<String> = values.iter().map(|value| encoded(value)).collect();
        assert_eq!(all.len(), values.len());
        assert!(all.iter().all(|one| !one.contains('\0') && one.len() <= VALUE_BYTES_MAX));
        assert_eq!(encoded("nostr"), "nostr");
    }
}
