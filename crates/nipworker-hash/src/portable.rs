//! The kernel for every processor, in plain Rust.

use std::ops::Range;

use crate::block::{K, Schedule, add, compress_scheduled, rounds};
use crate::kernel::{Candidate, Row, SearchKernel, Seed};
use crate::midstates::{GROUP, Midstates, begin_fill, begin_scan};

/// Plain Rust, one attempt at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;

impl SearchKernel for Portable {
    fn name(&self) -> &'static str {
        "portable"
    }

    fn stride(&self) -> usize {
        1
    }

    fn fill(&self, seed: &Seed<'_>, lanes: Range<usize>, midstates: &mut Midstates) {
        begin_fill(self.name(), seed, &lanes, seed.hoisted.len(), midstates);
        let mut scheduled = [0; 15];
        for (at, word) in seed.hoisted.iter().enumerate() {
            scheduled[at] = word.wrapping_add(K[at]);
        }
        let scheduled = &scheduled[..seed.hoisted.len()];
        let mut block = *seed.block;
        for lane in lanes {
            block[61..].copy_from_slice(&digits(lane));
            let mut state = *seed.state;
            compress_scheduled(&mut state, &Schedule::new(&block));
            put(&mut midstates.feed[lane / GROUP].0, lane, &state);
            rounds(&mut state, scheduled);
            put(&mut midstates.start[lane / GROUP].0, lane, &state);
        }
    }

    fn scan(&self, row: &Row<'_>, lanes: Range<usize>, limit: u32, found: &mut Vec<Candidate>) {
        begin_scan(self.name(), row, &lanes);
        let first = &row.first.0[row.midstates.hoisted..];
        for lane in lanes {
            let feed = get(&row.midstates.feed[lane / GROUP].0, lane);
            let mut state = get(&row.midstates.start[lane / GROUP].0, lane);
            rounds(&mut state, first);
            add(&mut state, &feed);
            for block in row.tail {
                compress_scheduled(&mut state, block);
            }
            if state[0] <= limit {
                found.push(Candidate { lane, word: state[0] });
            }
        }
    }
}

/// The lane's number as three decimal digits.
pub(crate) fn digits(lane: usize) -> [u8; 3] {
    [lane / 100 % 10, lane / 10 % 10, lane % 10].map(|digit| b'0' + digit as u8)
}

fn put(group: &mut [[u32; GROUP]; 8], lane: usize, state: &[u32; 8]) {
    for (words, word) in group.iter_mut().zip(state) {
        words[lane % GROUP] = *word;
    }
}

fn get(group: &[[u32; GROUP]; 8], lane: usize) -> [u32; 8] {
    group.map(|words| words[lane % GROUP])
}
