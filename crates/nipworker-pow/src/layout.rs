//! Where the nonce lies in the blocks of SHA-256.
//!
//! The serialisation is `prefix nonce suffix`, and SHA-256 reads it in blocks of 64 bytes. The
//! digits of the nonce fill it up so that the suffix and the padding behind it take as few blocks
//! as possible, and that three digits end where those blocks begin: see [`crate::digits`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use nipworker_hash::{BLOCK_BYTES, INITIAL_STATE, Schedule};
use nipworker_protocol::UnsignedEvent;
use sha2::block_api::compress256;

use crate::digits::{Digits, PADDING};
use crate::input::with_nonce;

/// The NIP-01 serialisation of an event, cut at what changes.
#[derive(Debug)]
struct Text {
    /// The event without a nonce tag.
    event: UnsignedEvent,
    difficulty: u32,
    /// What comes before `created_at`.
    head: Vec<u8>,
    /// What comes between `created_at` and the nonce.
    middle: Vec<u8>,
    /// What follows the nonce.
    suffix: Vec<u8>,
}

/// The serialisation of one event at one second, laid out for the search.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// Tells layouts apart, for what threads keep of them.
    pub(crate) id: u64,
    text: Arc<Text>,
    created_at: i64,
    pub(crate) digits: Digits,
    /// The state before the block with the lane's digits.
    pub(crate) state: [u32; 8],
    /// That block, all its digits zero.
    pub(crate) lanes: [u8; BLOCK_BYTES],
    /// The block behind the boundary, all its digits zero.
    pub(crate) first: [u8; BLOCK_BYTES],
    /// The schedules of the blocks behind that one.
    pub(crate) tail: Arc<[Schedule]>,
}

impl Text {
    fn new(event: UnsignedEvent, difficulty: u32) -> Self {
        let created_at = event.created_at;
        let marked = with_nonce(event, "", difficulty);
        let bare = UnsignedEvent { content: String::new(), ..marked.clone() };
        let after_nonce = format!("\",\"{difficulty}\"]],\"\"]").len();
        let prefix_len = bare.id_preimage().len() - after_nonce;
        let mut prefix = marked.id_preimage();
        let suffix = prefix.split_off(prefix_len);
        // `[0,"<64 hex digits>",` is followed by the time.
        let head_len = r#"[0,"","#.len() + 64;
        let middle = prefix.split_off(head_len + created_at.to_string().len());
        prefix.truncate(head_len);
        let mut event = marked;
        event.tags.pop();
        Self { event, difficulty, head: prefix, middle, suffix }
    }

    /// What comes before the nonce.
    fn prefix(&self, created_at: i64) -> Vec<u8> {
        [&self.head, created_at.to_string().as_bytes(), &self.middle].concat()
    }
}

impl Layout {
    /// Lays out `event`, which has no nonce tag.
    pub(crate) fn new(event: UnsignedEvent, difficulty: u32) -> Self {
        let created_at = event.created_at;
        let text = Arc::new(Text::new(event, difficulty));
        let prefix = text.prefix(created_at);
        let digits = Digits::between(prefix.len(), text.suffix.len());
        let total = prefix.len() + digits.width() + text.suffix.len();

        let mut bytes = vec![b'0'; digits.behind];
        bytes.extend_from_slice(&text.suffix);
        bytes.push(0x80);
        bytes.resize((bytes.len() - 1 + PADDING).next_multiple_of(BLOCK_BYTES) - 8, 0);
        bytes.extend_from_slice(&(total as u64 * 8).to_be_bytes());
        let mut blocks = bytes.as_chunks::<BLOCK_BYTES>().0.iter();
        let first = blocks.next().copied().unwrap_or([0; BLOCK_BYTES]);
        let tail = blocks.map(Schedule::new).collect();

        let (state, lanes) = absorb(prefix, digits);
        Self { id: next_id(), text, created_at, digits, state, lanes, first, tail }
    }

    /// The same event at another time.
    pub(crate) fn at(&self, created_at: i64) -> Self {
        let text = &self.text;
        if created_at.to_string().len() != self.created_at.to_string().len() {
            return Self::new(UnsignedEvent { created_at, ..text.event.clone() }, text.difficulty);
        }
        // What comes behind the boundary depends on the length alone.
        let (state, lanes) = absorb(text.prefix(created_at), self.digits);
        Self { id: next_id(), created_at, state, lanes, ..self.clone() }
    }

    /// Unix seconds of the event.
    pub(crate) fn created_at(&self) -> i64 {
        self.created_at
    }

    /// The event as it was handed in, without a nonce tag.
    pub(crate) fn template(&self) -> &UnsignedEvent {
        &self.text.event
    }

    /// Blocks that an attempt hashes.
    pub(crate) fn blocks(&self) -> usize {
        1 + self.tail.len()
    }

    /// The nonce of `index` at another time, whose number of digits shifts what follows it.
    pub(crate) fn nonce_at(&self, created_at: i64, index: u64) -> String {
        let text = &self.text;
        let prefix_len = text.head.len() + created_at.to_string().len() + text.middle.len();
        Digits::between(prefix_len, text.suffix.len()).nonce(index)
    }

    /// The event with the nonce of `index`.
    pub(crate) fn event_at(&self, index: u64) -> UnsignedEvent {
        let text = &self.text;
        let event = UnsignedEvent { created_at: self.created_at, ..text.event.clone() };
        with_nonce(event, &self.digits.nonce(index), text.difficulty)
    }
}

/// The state before the block that ends at the boundary, and that block, with zeros as digits.
fn absorb(mut prefix: Vec<u8>, digits: Digits) -> ([u32; 8], [u8; BLOCK_BYTES]) {
    prefix.resize(prefix.len() + digits.before, b'0');
    let (blocks, _) = prefix.as_chunks::<BLOCK_BYTES>();
    let mut state = INITIAL_STATE;
    let Some((lanes, constant)) = blocks.split_last() else { return (state, [0; BLOCK_BYTES]) };
    compress256(&mut state, constant);
    (state, *lanes)
}

fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Relaxed)
}
