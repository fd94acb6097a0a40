//! The search itself, over the portable-to-accelerated SHA-256 of the `sha2` crate.

use nipworker_mining::{BatchContext, Span};
use sha2::block_api::compress256;

use crate::layout::{BLOCK, Layout};

/// Blocks hashed between two looks at the cancel flag: a fifth of a millisecond with SHA
/// instructions, less than one without.
const BLOCKS_PER_LOOK: u64 = 2048;

/// What a search over a span saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Indices tried from the start of the span.
    pub(crate) attempts: u64,
    /// The index with most leading zero bits, and their number; the lowest among equals.
    pub(crate) best: Option<(u64, u32)>,
    /// The index that reached the target, and its bits.
    pub(crate) hit: Option<(u64, u32)>,
}

/// Attempts between two looks at the cancel flag.
pub(crate) fn attempts_per_look(layout: &Layout) -> u64 {
    (BLOCKS_PER_LOOK / layout.inner.len() as u64).max(1)
}

/// Tries the nonces of `span` until one has `target` leading zero bits.
pub(crate) fn search(layout: &Layout, target: u32, span: Span, ctx: &BatchContext<'_>) -> Found {
    let mut found = Found::default();
    let mut outer = layout.outer.clone();
    let mut inner = layout.inner.clone();
    let look_every = attempts_per_look(layout);
    let mut until_look = 0;
    let mut index = span.start;
    while index < span.end() {
        let (high, low) = layout.row().map_or((0, index), |row| (index / row, index % row));
        let row_left = layout.row().map_or(u64::MAX, |row| row - low);
        write_digits(&mut outer.as_flattened_mut()[layout.outer_from()..], high);
        let mut midstate = layout.base;
        compress256(&mut midstate, &outer);
        write_digits(&mut inner.as_flattened_mut()[..layout.inner_digits], low);
        let row_end = index.saturating_add(row_left).min(span.end());
        while index < row_end {
            if until_look == 0 {
                if ctx.is_cancelled() {
                    return found;
                }
                until_look = look_every;
            }
            until_look -= 1;
            let mut state = midstate;
            compress256(&mut state, &inner);
            let bits = leading_zero_bits(&state);
            found.attempts += 1;
            if found.best.is_none_or(|(_, best)| bits > best) {
                found.best = Some((index, bits));
            }
            if bits >= target {
                found.hit = Some((index, bits));
                return found;
            }
            increment(&mut inner[0], layout.inner_digits);
            index += 1;
        }
    }
    found
}

#[inline]
fn leading_zero_bits(state: &[u32; 8]) -> u32 {
    let first = state[0].leading_zeros();
    if first < u32::BITS { first } else { count_on(state) }
}

/// The rare case of a first word that is all zero.
#[cold]
fn count_on(state: &[u32; 8]) -> u32 {
    let mut bits = 0;
    for word in state {
        bits += word.leading_zeros();
        if *word != 0 {
            break;
        }
    }
    bits
}

/// Writes `value` in decimal over all of `place`, with leading zeros.
fn write_digits(place: &mut [u8], mut value: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Adds one to the decimal number in the first `digits` bytes; all nines become all zeros.
#[inline]
fn increment(block: &mut [u8; BLOCK], digits: usize) {
    for digit in block[..digits].iter_mut().rev() {
        if *digit != b'9' {
            *digit += 1;
            return;
        }
        *digit = b'0';
    }
}
