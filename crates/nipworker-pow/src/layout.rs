//! Where the nonce lies in the blocks of SHA-256.
//!
//! The serialisation is `prefix nonce suffix`, and SHA-256 reads it in blocks of 64 bytes. With
//! the suffix and the padding behind it in as few blocks as possible, the rest of the first of
//! these blocks is filled by the last digits of the nonce: the *inner* digits. The *outer* digits
//! before them fill the block that ends where the inner ones begin, and change only when those
//! have run through.

use nipworker_protocol::UnsignedEvent;
use sha2::block_api::compress256;

use crate::input::with_nonce;

/// Bytes of a block of SHA-256.
pub(crate) const BLOCK: usize = 64;
/// What SHA-256 appends at least: one marker byte and the length in eight.
const PADDING: usize = 9;
/// A nonce must hold every `u64`.
const MIN_DIGITS: usize = 20;
/// Outer digits there are at least, so that a row of inner digits is never the whole nonce.
const MIN_OUTER: usize = 3;
/// Inner digits at most; more would only make the nonce longer.
const MAX_INNER: usize = 34;

/// The state that SHA-256 starts from (FIPS 180-4, section 5.3.3).
const INITIAL: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// The serialisation of one event, cut for the search.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// The event without a nonce tag.
    event: UnsignedEvent,
    difficulty: u32,
    /// State after the whole blocks before the nonce.
    pub(crate) base: [u32; 8],
    /// Blocks from there to the inner digits: the rest of the prefix and the outer digits.
    pub(crate) outer: Vec<[u8; BLOCK]>,
    /// Blocks from the inner digits to the end, padding included.
    pub(crate) inner: Vec<[u8; BLOCK]>,
    pub(crate) outer_digits: usize,
    pub(crate) inner_digits: usize,
}

impl Layout {
    /// Cuts `event`, which has no nonce tag.
    pub(crate) fn new(event: UnsignedEvent, difficulty: u32) -> Self {
        let one_digit = with_nonce(event.clone(), "0", difficulty).id_preimage();
        let suffix_len = suffix_len(&event, difficulty);
        let prefix_len = one_digit.len() - suffix_len - 1;
        let (prefix, rest) = one_digit.split_at(prefix_len);
        let suffix = &rest[1..];
        let (outer_digits, inner_digits) = digits(prefix_len, suffix_len);
        let total = prefix_len + outer_digits + inner_digits + suffix_len;

        let mut bytes = Vec::with_capacity(total + BLOCK + PADDING);
        bytes.extend_from_slice(prefix);
        bytes.resize(prefix_len + outer_digits + inner_digits, b'0');
        bytes.extend_from_slice(suffix);
        bytes.push(0x80);
        bytes.resize((total + PADDING).next_multiple_of(BLOCK) - 8, 0);
        bytes.extend_from_slice(&(total as u64 * 8).to_be_bytes());

        let (blocks, _) = bytes.as_chunks::<BLOCK>();
        let constant = prefix_len / BLOCK;
        let inner_from = (prefix_len + outer_digits) / BLOCK;
        let mut base = INITIAL;
        compress256(&mut base, &blocks[..constant]);
        Self {
            base,
            outer: blocks[constant..inner_from].to_vec(),
            inner: blocks[inner_from..].to_vec(),
            event,
            difficulty,
            outer_digits,
            inner_digits,
        }
    }

    /// Unix seconds of the event.
    pub(crate) fn created_at(&self) -> i64 {
        self.event.created_at
    }

    /// Where the outer digits begin in `outer`, in bytes.
    pub(crate) fn outer_from(&self) -> usize {
        self.outer.len() * BLOCK - self.outer_digits
    }

    /// How many indices share their outer digits; `None` if all do.
    pub(crate) fn row(&self) -> Option<u64> {
        10u64.checked_pow(u32::try_from(self.inner_digits).unwrap_or(u32::MAX))
    }

    /// The event with nonce `index`.
    pub(crate) fn event_at(&self, index: u64) -> UnsignedEvent {
        let width = self.outer_digits + self.inner_digits;
        with_nonce(self.event.clone(), &format!("{index:0width$}"), self.difficulty)
    }
}

/// Length of what follows the nonce: the target, the end of the tags and the content.
fn suffix_len(event: &UnsignedEvent, difficulty: u32) -> usize {
    // The content as NIP-01 writes it; a string always has a JSON form.
    let content = serde_json::to_string(&event.content).map_or(0, |json| json.len());
    format!("\",\"{difficulty}\"]],").len() + content + "]".len()
}

/// Numbers of outer and inner digits.
fn digits(prefix_len: usize, suffix_len: usize) -> (usize, usize) {
    let tail = suffix_len + PADDING;
    let blocks = (tail + 1).div_ceil(BLOCK);
    let mut inner = (blocks * BLOCK - tail).min(MAX_INNER);
    if inner >= 4 {
        // Whole words of SHA-256: the last digits then lie in one word.
        inner -= inner % 4;
    }
    let mut outer = (prefix_len + MIN_OUTER).next_multiple_of(BLOCK) - prefix_len;
    if outer + inner < MIN_DIGITS {
        outer += BLOCK;
    }
    (outer, inner)
}
