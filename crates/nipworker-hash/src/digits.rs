//! What the kernels' `fill`s have in common: the digits of the lanes, and the rounds before them.

use crate::block::{K, rounds, words};
use crate::kernel::Seed;
use crate::midstates::LANES;

/// Lanes rounded up to whole groups of sixteen.
pub(crate) const PADDED: usize = LANES.next_multiple_of(16);

/// The lane's number as three decimal digits in the low bytes of a word; a lane beyond the last
/// one gets those of its remainder.
pub(crate) const fn digit_word(lane: usize) -> u32 {
    let digits = (lane / 100 % 10) << 16 | (lane / 10 % 10) << 8 | (lane % 10);
    0x30_3030 + digits as u32
}

/// [`digit_word`] of every lane.
pub(crate) static DIGITS: [u32; PADDED] = {
    let mut words = [0; PADDED];
    let mut lane = 0;
    while lane < PADDED {
        words[lane] = digit_word(lane);
        lane += 1;
    }
    words
};

/// What the midstates of one seed have in common: the block differs only in the low bytes of its
/// sixteenth word.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    /// The state before the block.
    pub(crate) feed: [u32; 8],
    /// The state after its first 14 rounds.
    #[cfg(target_arch = "x86_64")]
    pub(crate) state14: [u32; 8],
    /// The state after its first 15 rounds.
    pub(crate) state15: [u32; 8],
    /// The words of the block; of the sixteenth only the high byte.
    pub(crate) words: [u32; 16],
    /// The words that the hoisted rounds of the next block add, round constants included.
    pub(crate) hoisted: [u32; 15],
    /// Number of hoisted rounds.
    pub(crate) rounds: usize,
}

impl Shared {
    /// Does the rounds that all lanes of `seed` have in common.
    pub(crate) fn new(seed: &Seed<'_>) -> Self {
        let mut words = words(seed.block);
        words[15] &= 0xff00_0000;
        let mut scheduled = words;
        for (word, k) in scheduled.iter_mut().zip(K) {
            *word = word.wrapping_add(k);
        }
        let mut state15 = *seed.state;
        rounds(&mut state15, &scheduled[..14]);
        #[cfg(target_arch = "x86_64")]
        let state14 = state15;
        rounds(&mut state15, &scheduled[14..15]);
        let mut hoisted = [0; 15];
        for (at, word) in seed.hoisted.iter().enumerate() {
            hoisted[at] = word.wrapping_add(K[at]);
        }
        Self {
            feed: *seed.state,
            #[cfg(target_arch = "x86_64")]
            state14,
            state15,
            words,
            hoisted,
            rounds: seed.hoisted.len(),
        }
    }
}
