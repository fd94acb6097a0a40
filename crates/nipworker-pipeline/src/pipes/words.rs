//! Whole words in a text, whatever their case.

use std::collections::HashMap;

use unicode_segmentation::UnicodeSegmentation;

/// The one spelling of a text for comparison: `ß`, `SS` and `ss` are the same, and so are the
/// Greek sigmas. Character by character, because at the end of a word lower case alone would tell
/// them apart.
pub(super) fn folded(text: &str) -> String {
    text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// Words and phrases, found where they begin and end at word boundaries (UAX #29).
#[derive(Debug, Clone, Default)]
pub(super) struct Words {
    /// By their first segment.
    by_start: HashMap<String, Vec<String>>,
}

impl Words {
    pub(super) fn new<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        let mut by_start: HashMap<String, Vec<String>> = HashMap::new();
        for word in words {
            let word = folded(word.trim());
            if let Some(start) = word.split_word_bounds().next() {
                by_start.entry(start.to_owned()).or_default().push(word);
            }
        }
        Self { by_start }
    }

    /// Whether one of them stands in the text.
    pub(super) fn stand_in(&self, text: &str) -> bool {
        if self.by_start.is_empty() {
            return false;
        }
        let text = folded(text);
        text.split_word_bound_indices().any(|(at, segment)| {
            let words = self.by_start.get(segment);
            words.is_some_and(|words| words.iter().any(|word| stands_at(word, &text[at..])))
        })
    }
}

/// Whether `rest`, which begins at a boundary, begins with the word and a boundary follows.
fn stands_at(word: &str, rest: &str) -> bool {
    if !rest.starts_with(word) {
        return false;
    }
    // Only the segments under the word are looked at, not the whole rest.
    let mut bounds = rest.split_word_bound_indices().map(|(at, segment)| at + segment.len());
    bounds.find(|end| *end >= word.len()) == Some(word.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_whole_in_any_case_and_script() {
        let found = |word: &str, text: &str| Words::new([word]).stand_in(text);
        for (word, text) in [
            ("spam", "SPAM!"),
            ("spam", "no(spam)here"),
            ("Straße", "in der STRASSE"),
            ("ΟΔΟΣ", "οδος, οδός"),
            ("buy now", "you can Buy Now."),
            ("c++", "I like C++ a lot"),
            ("🔥", "gm🔥🔥"),
            ("垃圾", "这是垃圾信息"),
            ("don't", "DON'T"),
            ("$btc", "get $BTC today"),
            ("  spam ", "spam"),
        ] {
            assert!(found(word, text), "{word:?} in {text:?}");
        }
        for (word, text) in [
            ("ass", "class, passing, assassin"),
            ("spam", "spammer antispam spam_bot"),
            ("buy now", "buy nowhere"),
            ("👩", "👩‍💻"),
            ("don", "don't"),
            ("", "anything"),
            ("e", "é"),
        ] {
            assert!(!found(word, text), "{word:?} not in {text:?}");
        }
    }
}
