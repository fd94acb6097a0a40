//! How the digits of a nonce are shared out.
//!
//! ```text
//!                block boundary
//!                      |
//!   0…0 high… lane(3)  |  middle(4J) inner(k)  ","20"]],"content"]
//!   '---- before ----' | '----- behind -----'
//! ```
//!
//! * The **lane** is the three digits that end at the boundary: one midstate for each of its 1000
//!   values.
//! * The **inner** number is the last one to four digits. They lie in one word of SHA-256, so that
//!   the words before it are the same in every row of a set of midstates: their `J` rounds are
//!   hoisted.
//! * Everything else is the **outer** counter: its low digits are the middle ones, the rest stands
//!   before the lane. Unused digits are zeros.
//!
//! An index counts lanes first, then inner numbers, then the outer counter:
//! `index = (outer · 10^k + inner) · 1000 + lane`. The mapping to the text is part of what a
//! checkpoint means, so it must not change.

use nipworker_hash::{BLOCK_BYTES, LANES};

/// What SHA-256 appends at least: one marker byte and the length in eight.
pub(crate) const PADDING: usize = 9;
/// Digits of the lane.
pub(crate) const LANE_DIGITS: usize = 3;
/// Most digits of the inner number: those of one word.
const MAX_INNER: usize = 4;
/// A nonce must hold every `u64`.
const MIN_WIDTH: usize = 20;
/// Most digits behind the boundary. With the lane before them they make 38, and every number of 38
/// digits is a `u128`.
pub(crate) const MAX_BEHIND: usize = 35;

/// What a set of midstates costs per attempt, in rounds, by the number of inner digits: making it
/// is worth about forty rounds a lane, and a set serves `10^k` rows. Sets of a hundred rows are
/// smaller than most batches, so that each batch makes two of them.
const SET_ROUNDS: [f32; MAX_INNER + 1] = [f32::INFINITY, 4.0, 1.0, 0.1, 0.0];

/// The numbers of digits on both sides of the boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digits {
    /// Digits before the boundary, the lane's among them.
    pub(crate) before: usize,
    /// Digits behind it.
    pub(crate) behind: usize,
}

/// An index, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) outer: u64,
    pub(crate) inner: u64,
    pub(crate) lane: usize,
}

impl Digits {
    /// The digits between a prefix and a suffix of these lengths in bytes that make an attempt
    /// cheapest: first of all few blocks, then few rounds.
    pub(crate) fn between(prefix_len: usize, suffix_len: usize) -> Self {
        let tail = suffix_len + PADDING;
        let room = (tail + 1).next_multiple_of(BLOCK_BYTES) - tail;
        let behind = (1..=room.min(MAX_BEHIND))
            .min_by(|&one, &other| rounds(one).total_cmp(&rounds(other)))
            .unwrap_or(1);
        let mut before = (prefix_len + LANE_DIGITS).next_multiple_of(BLOCK_BYTES) - prefix_len;
        if before + behind < MIN_WIDTH {
            before += BLOCK_BYTES;
        }
        Self { before, behind }
    }

    /// Number of digits.
    pub(crate) fn width(self) -> usize {
        self.before + self.behind
    }

    /// Words behind the boundary that only the outer counter changes: their rounds are hoisted.
    pub(crate) fn hoisted(self) -> usize {
        hoisted(self.behind)
    }

    /// Number of rows that a set of midstates serves: the values of the inner number.
    pub(crate) fn rows(self) -> u64 {
        10u64.pow(inner(self.behind) as u32)
    }

    /// Takes `index` apart.
    pub(crate) fn place(self, index: u64) -> Place {
        let row = index / LANES as u64;
        Place {
            outer: row / self.rows(),
            inner: row % self.rows(),
            lane: (index % LANES as u64) as usize,
        }
    }

    /// The nonce of `index`.
    pub(crate) fn nonce(self, index: u64) -> String {
        let Place { outer, inner, lane } = self.place(index);
        let mut text = vec![b'0'; self.width()];
        let (before, behind) = text.split_at_mut(self.before);
        let (high, lane_place) = before.split_at_mut(self.before - LANE_DIGITS);
        write_digits(lane_place, lane as u64);
        self.write_outer(high, behind, outer);
        self.write_inner(behind, inner);
        text.into_iter().map(char::from).collect()
    }

    /// Writes the outer counter: `high` is what comes before the lane, as much of it as there is
    /// room for; `behind` begins at the boundary.
    pub(crate) fn write_outer(self, high: &mut [u8], behind: &mut [u8], outer: u64) {
        let rest = write_digits(&mut behind[..4 * self.hoisted()], outer);
        let lost = write_digits(high, rest);
        debug_assert_eq!(lost, 0, "a nonce has room for every u64");
    }

    /// Writes the inner number; `behind` begins at the boundary.
    #[inline]
    pub(crate) fn write_inner(self, behind: &mut [u8], inner: u64) {
        write_digits(&mut behind[4 * self.hoisted()..self.behind], inner);
    }
}

fn hoisted(behind: usize) -> usize {
    (behind - 1) / 4
}

fn inner(behind: usize) -> usize {
    behind - 4 * hoisted(behind)
}

/// What the choice of digits adds to the rounds of an attempt.
fn rounds(behind: usize) -> f32 {
    let hoisted = hoisted(behind);
    // SHA instructions do rounds in pairs, so an odd one is worth only half on the average of the
    // kernels.
    let saved = (hoisted + (hoisted & !1)) as f32 / 2.0;
    SET_ROUNDS[inner(behind)] - saved
}

/// Writes the low digits of `value` over all of `place`, with leading zeros, and returns what has
/// no room there.
#[inline]
pub(crate) fn write_digits(place: &mut [u8], mut value: u64) -> u64 {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
    value
}
