//! The events of the known answers, made from a few numbers.

use nipworker_protocol::{PublicKey, Tag, UnsignedEvent};

/// Seconds of every recipe.
pub(crate) const CREATED_AT: i64 = 1_700_000_000;

/// What an event is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recipe {
    /// Difficulty in bits.
    pub(crate) bits: u32,
    /// Serialised length of the content.
    pub(crate) len: usize,
    /// Number of tags before the nonce, 0 to 4.
    pub(crate) tags: usize,
    /// 0: plain, 1: characters that JSON escapes, 2: of several bytes.
    pub(crate) text: usize,
}

impl Recipe {
    /// The recipes of `bits`: each content length mod 64, and over a few difficulties each with
    /// every number of tags and kind of text. From 27 bits on there are fewer, since one takes as
    /// long as all of 21 bits.
    pub(crate) fn of(bits: u32) -> impl Iterator<Item = Self> {
        let step = 1 << bits.saturating_sub(26);
        let long = if bits <= 24 { 64 } else { 0 };
        (bits as usize % step..64).step_by(step).map(move |residue| {
            let turn = residue / step + 7 * bits as usize;
            Self { bits, len: residue + long * (turn % 2), tags: turn % 5, text: turn % 3 }
        })
    }

    /// The event.
    pub(crate) fn event(self) -> UnsignedEvent {
        let pieces: &[(&str, usize)] = match self.text {
            0 => &[("x", 1)],
            1 => &[("\"", 2), ("\n", 2), ("\u{1}", 6), ("\\", 2), ("/", 1)],
            _ => &[("🦀", 4), ("€", 3), ("é", 2), ("\u{7f}", 1)],
        };
        let mut content = String::new();
        let mut left = self.len;
        for (piece, cost) in pieces.iter().cycle() {
            if left == 0 {
                break;
            }
            if *cost <= left {
                content.push_str(piece);
                left -= cost;
            }
        }
        let tags = [
            Tag::new(["e", &"5a".repeat(32)]),
            Tag::new(["t", "\"quoted\" ü"]),
            Tag::new(["p", &"c3".repeat(32), "wss://relay.example", "mention"]),
            Tag::new(["client"]),
        ];
        let tags = tags.into_iter().take(self.tags).collect();
        UnsignedEvent::new(PublicKey::from_bytes([0x42; 32]), CREATED_AT, 1, tags, content)
    }
}
