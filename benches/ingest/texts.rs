//! The events that are taken in.

use nipworker_benches::corpus::{Corpus, CorpusConfig};
use nipworker_protocol::{
    Event, EventLimits, PublicKey, RelayMessage, Signature, Tag, UnsignedEvent,
};
use secp256k1::{Keypair, SECP256K1};

/// The subscription that all frames belong to.
pub(crate) const SUBSCRIPTION: &str = "a1b2c3d4";

/// The real events of the tests, as texts.
pub(crate) fn real() -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/real-events.jsonl");
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

/// A signed corpus, as texts.
pub(crate) fn corpus(events: u64) -> Vec<String> {
    let config = CorpusConfig { signed: true, ..CorpusConfig::of(events) };
    Corpus::new(config).map(|event| event.to_json()).collect()
}

pub(crate) fn decode(text: &str) -> Event {
    Event::from_json(text.as_bytes(), &EventLimits::default()).unwrap()
}

pub(crate) fn frames(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| RelayMessage::event_frame(SUBSCRIPTION, text)).collect()
}

/// A note with this content, signed by key `number`.
pub(crate) fn note(number: u8, tags: Vec<Tag>, content: &str) -> Event {
    let keys = Keypair::from_seckey_slice(SECP256K1, &[number; 32]).unwrap();
    let author = PublicKey::from_bytes(keys.x_only_public_key().0.serialize());
    let note = UnsignedEvent::new(author, 1_700_000_000, 1, tags, content);
    let id = note.compute_id();
    let sig = SECP256K1.sign_schnorr_no_aux_rand(id.as_bytes(), &keys);
    note.with_signature(Signature::from_bytes(sig.to_byte_array()))
}

/// A reply whose JSON text has about 1 KB: two `e` and two `p` tags, and some lines of text.
pub(crate) fn typical(number: u8) -> Event {
    let hex = |n: u8| format!("{n:02x}").repeat(32);
    let tags = vec![
        Tag::new(["e", &hex(number), "wss://relay.example.com", "root"]),
        Tag::new(["e", &hex(number ^ 1), "", "reply"]),
        Tag::new(["p", &hex(number ^ 2)]),
        Tag::new(["p", &hex(number ^ 3)]),
    ];
    let text = "I read the whole thread, and what \"they\" measured is real.\nIt says less than \
                it seems to: the table compares two machines, not two programs. Run both here, \
                in turn, and look again \u{1f914}";
    note(number, tags, text)
}

/// A frame of about `bytes` bytes.
pub(crate) fn frame_of(bytes: usize) -> String {
    let text = note(1, vec![], &"A word, and another. ".repeat(bytes / 21 - 20)).to_json();
    RelayMessage::event_frame(SUBSCRIPTION, &text)
}

/// A note with much to find in its text: mentions, links, hashtags, emoji, an invoice.
pub(crate) fn rich() -> Event {
    let npub = "npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qzvjptg";
    let note1 = "note1fntxtkcy9pjwucqwa9mddn7v03wwwsu9j330jj350nvhpky2tuaspk6nqc";
    // From the examples of BOLT 11.
    let invoice = "lnbc2500u1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyq\
                   cyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdq5xysxxatsyp3k7enxv4jsxqzpu9qrs\
                   gquk0rl77nj30yxdy8j9vdx85fkpmdla2087ne0xh8nhedh8w27kyke0lp53ut353s06fv3qfegext\
                   0eh0ymjpf39tuven09sam30g4vgpfna3rh";
    let text = format!(
        "gm #nostr and #bitcoin :wave: nostr:{npub} wrote nostr:{note1} about it, see \
         https://example.com/a/long/path?with=query#and-fragment and \
         https://image.example.com/picture.jpg\n\nThe #plan, as nostr:{npub} and nostr:{npub} \
         put it :rocket::\n- read https://blog.example.org/2024/01/some-words-about-relays.html\n\
         - pay {invoice}\n- watch https://video.example.net/clip.mp4 #film\n\n\
         More words stand here, as they do in notes: some short, some longer, none of them \
         special. :wave: That was all, thanks to nostr:{npub}! #thanks"
    );
    let tags = vec![
        Tag::new(["emoji", "wave", "https://example.com/wave.png"]),
        Tag::new(["emoji", "rocket", "https://example.com/rocket.png"]),
        Tag::new(["t", "nostr"]),
        Tag::new(["t", "bitcoin"]),
        Tag::new(["p", &"7e".repeat(32)]),
    ];
    note(2, tags, &text)
}
