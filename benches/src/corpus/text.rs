//! What people write: words, hashtags, links, mentions, names.

use bech32::{Bech32, Hrp};
use nipworker_protocol::PublicKey;

use super::random::{Random, Zipf};

/// Different hashtags of a corpus.
const HASHTAGS: usize = 2_000;

const WORDS: &[&str] = &[
    "the",
    "to",
    "a",
    "and",
    "of",
    "is",
    "in",
    "it",
    "that",
    "for",
    "you",
    "on",
    "this",
    "be",
    "not",
    "with",
    "are",
    "have",
    "just",
    "but",
    "my",
    "so",
    "we",
    "can",
    "if",
    "all",
    "what",
    "like",
    "from",
    "your",
    "more",
    "they",
    "at",
    "as",
    "about",
    "will",
    "people",
    "out",
    "time",
    "good",
    "no",
    "new",
    "one",
    "now",
    "get",
    "when",
    "an",
    "up",
    "how",
    "relay",
    "would",
    "there",
    "was",
    "do",
    "has",
    "think",
    "money",
    "bitcoin",
    "only",
    "why",
    "some",
    "need",
    "client",
    "make",
    "or",
    "nostr",
    "know",
    "see",
    "who",
    "should",
    "day",
    "really",
    "want",
    "here",
    "work",
    "morning",
    "much",
    "too",
    "because",
    "them",
    "world",
    "key",
    "use",
    "still",
    "way",
    "even",
    "right",
    "note",
    "years",
    "could",
    "great",
    "open",
    "every",
    "free",
    "other",
    "than",
    "love",
    "code",
    "been",
    "life",
    "today",
    "going",
    "first",
    "where",
    "then",
    "never",
    "network",
    "any",
    "thanks",
    "into",
    "long",
    "build",
    "again",
    "back",
    "run",
    "over",
    "block",
    "node",
    "these",
    "market",
    "something",
    "zap",
    "post",
    "am",
    "our",
    "protocol",
    "also",
    "thing",
    "before",
    "coffee",
    "image",
    "price",
    "event",
    "working",
    "best",
    "feed",
    "always",
    "follow",
    "through",
    "better",
    "signal",
    "list",
    "same",
    "phone",
    "account",
    "little",
    "between",
    "history",
    "thank",
    "value",
    "simple",
    "server",
    "question",
    "house",
    "water",
    "garden",
    "bread",
    "music",
    "paper",
    "grün",
    "über",
    "señal",
    "café",
    "自由",
    "通貨",
    "朝",
    "привет",
    "⚡",
    "🤙",
    "😂",
    "🔥",
    "🫡",
];

const REACTIONS: &[&str] = &["+", "+", "+", "+", "+", "🤙", "❤️", "🔥", "😂", "⚡", ":zap:", "-"];

/// Draws texts.
#[derive(Debug)]
pub(super) struct Writer {
    words: Zipf,
    hashtags: Zipf,
}

impl Writer {
    pub(super) fn new() -> Self {
        Self { words: Zipf::new(WORDS.len(), 4), hashtags: Zipf::new(HASHTAGS, 2) }
    }

    pub(super) fn word(&self, random: &mut Random) -> &'static str {
        WORDS[self.words.draw(random)]
    }

    /// Words of `bytes` bytes or a word more.
    pub(super) fn prose(&self, random: &mut Random, bytes: u64) -> String {
        let mut text = String::with_capacity(bytes as usize + 16);
        while (text.len() as u64) < bytes {
            if !text.is_empty() {
                text.push_str(match random.below(60) {
                    0..=2 => ". ",
                    3 => "\n\n",
                    4 => ", ",
                    5 => " \"quoted\" ",
                    _ => " ",
                });
            }
            text.push_str(self.word(random));
        }
        text
    }

    /// A hashtag, without its `#`.
    pub(super) fn hashtag(&self, random: &mut Random) -> String {
        // Ascii words first, then pairs of them: the popular ones are short.
        let ascii = WORDS.iter().filter(|word| word.is_ascii() && word.len() > 3).count();
        let nth =
            |n: usize| WORDS.iter().filter(|word| word.is_ascii() && word.len() > 3).nth(n % ascii);
        let rank = self.hashtags.draw(random);
        let word = nth(rank).copied().unwrap_or_default();
        match rank / ascii {
            0 => word.to_owned(),
            more => format!("{word}{}", nth(rank * 7 + more).copied().unwrap_or_default()),
        }
    }

    pub(super) fn reaction(&self, random: &mut Random) -> &'static str {
        REACTIONS[random.index(REACTIONS.len())]
    }
}

/// A link to a picture.
pub(super) fn image(random: &mut Random) -> String {
    format!("https://image.example.com/{}.jpg", hex::encode(random.bytes::<32>()))
}

/// A relay's address, of few.
pub(super) fn relay(random: &mut Random) -> String {
    format!("wss://relay{}.example.com", random.below(40))
}

/// A public key as people mention it (NIP-19, NIP-27).
pub(super) fn mention(pubkey: &PublicKey) -> String {
    format!("nostr:{}", bech32_text("npub", pubkey.as_bytes()))
}

/// Text of the form of a Lightning invoice: right prefix, length and checksum, random content.
pub(super) fn invoice(random: &mut Random, sats: u64) -> String {
    bech32_text(&format!("lnbc{}n", sats * 10), &random.bytes::<190>())
}

/// Text of the form of a NIP-04 message.
pub(super) fn ciphertext(random: &mut Random, bytes: u64) -> String {
    const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for _ in 0..bytes {
        text.push(char::from(BASE64[random.index(64)]));
    }
    for (at, count) in [("?iv=", 22), ("==", 0)] {
        text.push_str(at);
        for _ in 0..count {
            text.push(char::from(BASE64[random.index(64)]));
        }
    }
    text
}

fn bech32_text(prefix: &str, data: &[u8]) -> String {
    let Ok(prefix) = Hrp::parse(prefix) else { return String::new() };
    bech32::encode::<Bech32>(prefix, data).unwrap_or_default()
}
