//! What a kernel must answer before it is trusted.

use std::ops::Range;

use crate::block::{BLOCK_BYTES, INITIAL_STATE, Schedule, words};
use crate::kernel::{Candidate, Row, SearchKernel, Seed};
use crate::midstates::{LANES, Midstates};

/// One search of all lanes, and what must come out of it.
pub(crate) struct Answer {
    /// Words of the first block whose rounds are hoisted.
    pub(crate) hoisted: usize,
    /// Blocks behind the first.
    pub(crate) tail: usize,
    /// [`checksum`] of the digests' first words.
    pub(crate) sum: u64,
}

/// The usual shapes: rounds hoisted and nothing behind the first block; an odd number hoisted and
/// a tail. The sums are those of an independent implementation of SHA-256.
pub(crate) const ANSWERS: [Answer; 2] = [
    Answer { hoisted: 8, tail: 0, sum: 0xd56f_b45e_7a8e_7311 },
    Answer { hoisted: 3, tail: 2, sum: 0x1ca7_1cb5_d5dc_46fe },
];

/// Block number `number` of the searches: bytes without a pattern that a mistake could keep.
pub(crate) fn block(number: usize) -> [u8; BLOCK_BYTES] {
    let mut x = number as u32 + 1;
    [(); BLOCK_BYTES].map(|()| {
        x = x.wrapping_mul(0x0019_660d).wrapping_add(0x3c6e_f35f);
        (x >> 24) as u8
    })
}

/// A sum in which the order counts.
pub(crate) fn checksum(words: impl IntoIterator<Item = u32>) -> u64 {
    words.into_iter().fold(0, |sum: u64, word| {
        (sum ^ u64::from(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
    })
}

/// Whether `kernel` gives the right bits for every lane, and keeps to the lanes and the limit that
/// it is asked for.
pub(crate) fn right(kernel: &dyn SearchKernel) -> bool {
    ANSWERS.iter().all(|answer| {
        let search = Search::new(kernel, answer.hoisted, answer.tail);
        let all = search.scan(0..LANES, u32::MAX);
        let limit = u32::MAX / 3;
        let few = |found: &Candidate| (5..995).contains(&found.lane) && found.word <= limit;
        all.iter().map(|found| found.lane).eq(0..LANES)
            && checksum(all.iter().map(|found| found.word)) == answer.sum
            && search.scan(5..995, limit).into_iter().eq(all.into_iter().filter(few))
    })
}

/// A row to try a kernel on.
pub(crate) struct Search<'a> {
    kernel: &'a dyn SearchKernel,
    midstates: Midstates,
    first: Schedule,
    tail: Vec<Schedule>,
}

impl<'a> Search<'a> {
    /// A row with all lanes made, in two pieces that meet inside a group.
    pub(crate) fn new(kernel: &'a dyn SearchKernel, hoisted: usize, tail: usize) -> Self {
        let first = block(1);
        let seed =
            Seed { state: &INITIAL_STATE, block: &block(0), hoisted: &words(&first)[..hoisted] };
        let mut midstates = Midstates::new();
        kernel.fill(&seed, 499..LANES, &mut midstates);
        kernel.fill(&seed, 0..499, &mut midstates);
        let first = Schedule::new(&first);
        let tail = (2..2 + tail).map(|number| Schedule::new(&block(number))).collect();
        Self { kernel, midstates, first, tail }
    }

    /// Scans some of it.
    pub(crate) fn scan(&self, lanes: Range<usize>, limit: u32) -> Vec<Candidate> {
        let mut found = Vec::new();
        let row = Row { midstates: &self.midstates, first: &self.first, tail: &self.tail };
        self.kernel.scan(&row, lanes, limit, &mut found);
        found
    }
}

#[cfg(test)]
mod tests;
