//! How much work a relay demands of an event (NIP-13): read from the words of its refusal, and
//! from its information document (NIP-11).

use nipworker_protocol::MachinePrefix;
use serde_json::Value;

/// Most leading zero bits that can be demanded: an id has no more.
pub const MAX_DEMANDED_BITS: u16 = 256;

/// Longest refusal that is searched for a number, in bytes; what is behind that is not read.
const MAX_SEARCHED_BYTES: usize = 1_024;

/// Words before a number that say that it is what is demanded.
const BEFORE: [&str; 14] = [
    "than", "least", "required", "requires", "require", "minimum", "min", "need", "needs",
    "needed", "target", "must", "be", "expected",
];
/// Words behind a number that say so.
const BEHIND: [&str; 7] = ["bit", "bits", "required", "needed", "expected", "minimum", "or"];
/// Words before a number that say that it is something else.
const ELSE: [&str; 6] = ["nip", "kind", "kinds", "retry", "code", "error"];

/// What a relay that refused an event for too little work wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkDemand {
    /// So many leading zero bits of the id, 1 to [`MAX_DEMANDED_BITS`].
    Bits(u16),
    /// More than there is; how much more it does not say.
    Unnamed,
    /// Work on the author's key, which no mining of the event brings.
    OfKey,
}

impl WorkDemand {
    /// What the text of an `OK false` demands; `None` when it refuses for another reason. Whether
    /// it does is said by the machine-readable prefix `pow:` (NIP-01) alone.
    ///
    /// The text behind the prefix is for people, and relays word it as they like: `difficulty 26
    /// is less than 30`, `difficulty 3<20`, `difficulty 28 required`, `must be at least 20, got
    /// 10`. A refusal means that what is there is less than what is demanded, so that the largest
    /// number is the demand; numbers whose neighbours speak of a demand go before all others,
    /// and those that are part of a word, of a fraction or of a name such as NIP-13 do not count.
    pub fn of(refusal: &str) -> Option<Self> {
        let (prefix, text) = refusal.split_once(':')?;
        if !prefix.trim().eq_ignore_ascii_case(MachinePrefix::Pow.as_str()) {
            return None;
        }
        let mut end = text.len().min(MAX_SEARCHED_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let text = text[..end].to_lowercase();
        if text.contains("pubkey") || text.contains("public key") {
            return Some(Self::OfKey);
        }
        Some(demanded(&text).map_or(Self::Unnamed, Self::Bits))
    }
}

fn demanded(text: &str) -> Option<u16> {
    let words = words(text);
    let mut demands = None;
    let mut others = None;
    for (at, word) in words.iter().enumerate() {
        let Some(number) = number(word) else { continue };
        let before = at.checked_sub(1).map(|at| words[at]).unwrap_or_default();
        let behind = words.get(at + 1).copied().unwrap_or_default();
        if ELSE.contains(&before) {
            continue;
        }
        let compared = matches!(before, "<" | "<=" | ">" | ">=" | "≥" | "≤");
        let found = if compared || BEFORE.contains(&before) || BEHIND.contains(&behind) {
            &mut demands
        } else {
            &mut others
        };
        *found = (*found).max(Some(number));
    }
    demands.or(others)
}

fn number(word: &str) -> Option<u16> {
    if !word.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    word.parse().ok().filter(|bits| (1..=MAX_DEMANDED_BITS).contains(bits))
}

/// Cuts `text` into words, numbers and signs of comparison; the rest separates them. A number
/// within a word stays a part of it (`sha256`, `1.5`), but one before `bits` is cut off it.
fn words(text: &str) -> Vec<&str> {
    let is_sign = |c: char| matches!(c, '<' | '>' | '=' | '≥' | '≤');
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '/' | '#' | '+');
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let part = |of: &dyn Fn(char) -> bool| rest.find(|c| !of(c)).unwrap_or(rest.len());
        let end = if is_sign(first) {
            part(&is_sign)
        } else if is_word(first) {
            part(&is_word)
        } else {
            rest = &rest[first.len_utf8()..];
            continue;
        };
        let (word, behind) = rest.split_at(end);
        rest = behind;
        let word = word.trim_matches(['.', '/', '_', '+']);
        match word.find(|c: char| !c.is_ascii_digit()) {
            Some(at) if at > 0 && word[at..].starts_with("bit") => {
                words.extend([&word[..at], &word[at..]]);
            }
            _ if word.is_empty() => {}
            _ => words.push(word),
        }
    }
    words
}

/// `limitation.min_pow_difficulty` of an information document (NIP-11), in bits; `None` when it
/// is missing, or zero, or no number. What is more than a `u32` holds is its largest value.
///
/// # Errors
/// When the text is not JSON, with the place.
pub fn min_pow_difficulty(document: &str) -> Result<Option<u32>, serde_json::Error> {
    let document: Value = serde_json::from_str(document)?;
    let bits = match &document["limitation"]["min_pow_difficulty"] {
        Value::Number(number) => number.as_u64().or_else(|| {
            // Some write 20.0; half a bit demands a whole one.
            let bits = number.as_f64()?;
            (bits > 0.0).then_some(bits.ceil() as u64)
        }),
        // Nor are all of them numbers.
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    Ok(bits.filter(|bits| *bits > 0).map(|bits| u32::try_from(bits).unwrap_or(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::{WorkDemand::*, *};

    #[test]
    fn the_demand_is_found_in_the_words_of_many_relays() {
        for (refusal, bits) in [
            ("pow: difficulty 26 is less than 30", 30),
            ("pow: difficulty 3<20", 20),
            ("pow: difficulty 19 < 20", 20),
            ("pow: difficulty 28 required", 28),
            ("pow: required a difficulty >= 24", 24),
            ("pow: 28 bits needed. (2)", 28),
            ("pow: 28bits needed", 28),
            ("pow: PoW difficulty must be at least 20, got 10", 20),
            ("pow: got 10, expected 20", 20),
            ("pow: event needs 16 bits of NIP-13 work", 16),
            ("pow: NIP 13 asks for 12", 12),
            ("pow: kind 150 events need 20 bits", 20),
            ("pow: minimum difficulty is 18.", 18),
            ("pow: min 8; see https://relay.example/pow/200", 8),
            ("pow: Schwierigkeit 7 < 9", 9),
            ("POW : not enough (5/21)? at least 21", 21),
            ("pow: 256", 256),
        ] {
            assert_eq!(WorkDemand::of(refusal), Some(Bits(bits)), "{refusal}");
        }
    }

    #[test]
    fn a_refusal_without_a_usable_number_names_none() {
        for refusal in [
            "pow:",
            "pow: insufficient proof of work",
            "pow: difficulty 0 is too low",
            "pow: 257",
            "pow: 99999999999999999999999999",
            "pow: -",
            "pow: sha256 of 0000ab12 1.5",
            "pow: kind 1",
            "pow: NIP-13",
            "pow: at least ٣٠",
        ] {
            assert_eq!(WorkDemand::of(refusal), Some(Unnamed), "{refusal}");
        }
        let late = format!("pow: {} 30", "é".repeat(2_000));
        assert_eq!(WorkDemand::of(&late), Some(Unnamed), "what is far behind is not read");
    }

    #[test]
    fn work_on_a_key_is_another_demand() {
        assert_eq!(WorkDemand::of("pow: pubkey difficulty 0<20"), Some(OfKey));
        assert_eq!(WorkDemand::of("pow: mine your public key, 20 bits"), Some(OfKey));
    }

    #[test]
    fn only_the_prefix_says_that_it_is_about_work() {
        for refusal in
            ["", "30", "blocked: difficulty 26 is less than 30", "power: 30", "no pow: 30"]
        {
            assert_eq!(WorkDemand::of(refusal), None, "{refusal}");
        }
    }

    #[test]
    fn no_text_breaks_the_search() {
        proptest::proptest!(|(text in ".*")| {
            let demand = WorkDemand::of(&format!("pow:{text}"));
            let usable = match demand {
                Some(Bits(bits)) => (1..=MAX_DEMANDED_BITS).contains(&bits),
                other => other.is_some(),
            };
            proptest::prop_assert!(usable);
        });
    }

    #[test]
    fn the_information_document_states_its_demand_in_several_ways() {
        for (value, bits) in [
            ("20", Some(20)),
            ("20.0", Some(20)),
            ("19.2", Some(20)),
            ("\"20\"", Some(20)),
            ("0", None),
            ("-5", None),
            ("null", None),
            ("true", None),
            ("\"much\"", None),
            ("300", Some(300)),
            ("99999999999999999999", Some(u32::MAX)),
            ("18446744073709551615", Some(u32::MAX)),
        ] {
            let text = format!(r#"{{"limitation":{{"min_pow_difficulty":{value}}}}}"#);
            assert_eq!(min_pow_difficulty(&text).unwrap(), bits, "{value}");
        }
        for text in ["{}", "[]", "7", r#"{"limitation":7}"#, r#"{"limitation":{}}"#] {
            assert_eq!(min_pow_difficulty(text).unwrap(), None, "{text}");
        }
        for text in ["", "<html>", "{\"limitation\":"] {
            assert!(min_pow_difficulty(text).is_err(), "{text}");
        }
    }
}
