//! The kernel for every processor, in plain Rust.
//!
//! It hashes a group of attempts side by side, in loops that a compiler turns into vector
//! instructions where the target has them: SSE2 on any x86-64, NEON on any 64-bit ARM. Where it has
//! none, the attempts still fill each other's pauses.

use std::ops::Range;

use crate::block::K;
use crate::digits::{DIGITS, Shared};
use crate::kernel::{Candidate, Row, SearchKernel, Seed};
use crate::midstates::{GROUP, Midstates, begin_fill, begin_scan};

/// One word of each attempt of a group.
type Word = [u32; GROUP];

/// Plain Rust.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;

impl SearchKernel for Portable {
    fn name(&self) -> &'static str {
        "portable"
    }

    fn fill(&self, seed: &Seed<'_>, lanes: Range<usize>, midstates: &mut Midstates) {
        begin_fill(self.name(), seed, &lanes, seed.hoisted.len(), midstates);
        if lanes.is_empty() {
            return;
        }
        let shared = Shared::new(seed);
        for group in lanes.start / GROUP..lanes.end.div_ceil(GROUP) {
            let mut state = shared.state15.map(|word| [word; GROUP]);
            let scheduled = schedule(&shared, &DIGITS.as_chunks().0[group]);
            state.rotate_right(1);
            round::<7>(&mut state, &scheduled[15]);
            for kw in scheduled[16..].as_chunks().0 {
                eight_rounds(&mut state, kw);
            }
            add(&mut state, &shared.feed.map(|word| [word; GROUP]));
            midstates.feed[group].0 = state;
            rounds(&mut state, &shared.hoisted[..shared.rounds]);
            midstates.start[group].0 = state;
        }
    }

    fn scan(&self, row: &Row<'_>, lanes: Range<usize>, limit: u32, found: &mut Vec<Candidate>) {
        begin_scan(self.name(), row, &lanes);
        if lanes.is_empty() {
            return;
        }
        for group in lanes.start / GROUP..lanes.end.div_ceil(GROUP) {
            for (lane, word) in (group * GROUP..).zip(hash(row, group)) {
                if word <= limit && lanes.contains(&lane) {
                    found.push(Candidate { lane, word });
                }
            }
        }
    }
}

/// The first words of the digests of a group.
fn hash(row: &Row<'_>, group: usize) -> Word {
    let mut state = row.midstates.start[group].0;
    rounds(&mut state, &row.first.0[row.midstates.hoisted..]);
    add(&mut state, &row.midstates.feed[group].0);
    for block in row.tail {
        let feed = state;
        rounds(&mut state, &block.0);
        add(&mut state, &feed);
    }
    state[0]
}

/// The schedule of the block before the boundary, with the constants of the rounds added.
fn schedule(shared: &Shared, digits: &Word) -> [Word; 64] {
    let mut w = [[0; GROUP]; 64];
    for (lanes, word) in w.iter_mut().zip(shared.words) {
        *lanes = [word; GROUP];
    }
    w[15] = std::array::from_fn(|n| shared.words[15] | digits[n]);
    for t in 16..64 {
        let [w16, w15, w7, w2] = [w[t - 16], w[t - 15], w[t - 7], w[t - 2]];
        for n in 0..GROUP {
            let s0 = w15[n].rotate_right(7) ^ w15[n].rotate_right(18) ^ (w15[n] >> 3);
            let s1 = w2[n].rotate_right(17) ^ w2[n].rotate_right(19) ^ (w2[n] >> 10);
            w[t][n] = w16[n].wrapping_add(s0).wrapping_add(w7[n]).wrapping_add(s1);
        }
    }
    for (lanes, k) in w.iter_mut().zip(K) {
        for word in lanes {
            *word = word.wrapping_add(k);
        }
    }
    w
}

/// Does one round for each word of the schedule.
fn rounds(state: &mut [Word; 8], scheduled: &[u32]) {
    let (odd, eights) = scheduled.as_rchunks::<8>();
    last_rounds(state, odd);
    for eight in eights {
        eight_rounds(state, &eight.map(|kw| [kw; GROUP]));
    }
}

/// Eight rounds, after which each word stands again where it stood before.
#[inline(always)]
fn eight_rounds(state: &mut [Word; 8], kw: &[Word; 8]) {
    round::<0>(state, &kw[0]);
    round::<1>(state, &kw[1]);
    round::<2>(state, &kw[2]);
    round::<3>(state, &kw[3]);
    round::<4>(state, &kw[4]);
    round::<5>(state, &kw[5]);
    round::<6>(state, &kw[6]);
    round::<7>(state, &kw[7]);
}

/// Fewer than eight rounds: the last ones of eight. All words move on by as many places first, once
/// instead of after each round.
fn last_rounds(state: &mut [Word; 8], scheduled: &[u32]) {
    state.rotate_right(scheduled.len());
    for (number, kw) in (8 - scheduled.len()..).zip(scheduled) {
        let kw = [*kw; GROUP];
        match number {
            1 => round::<1>(state, &kw),
            2 => round::<2>(state, &kw),
            3 => round::<3>(state, &kw),
            4 => round::<4>(state, &kw),
            5 => round::<5>(state, &kw),
            6 => round::<6>(state, &kw),
            _ => round::<7>(state, &kw),
        }
    }
}

/// Round number `R` of eight. Instead of moving all words on by one place, each round looks for
/// them one place further: word `i` of FIPS 180-4's a to h stands at place `i - R`.
#[inline(always)]
fn round<const R: usize>(state: &mut [Word; 8], kw: &Word) {
    let [a, b, c, d, e, f, g, h] = [0, 1, 2, 3, 4, 5, 6, 7].map(|word| (word + 8 - R) % 8);
    for n in 0..GROUP {
        let [a, b, c, e, f, g] = [a, b, c, e, f, g].map(|place| state[place][n]);
        let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let choice = g ^ (e & (f ^ g));
        let t1 = state[h][n].wrapping_add(kw[n]).wrapping_add(choice).wrapping_add(s1);
        let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let majority = b ^ ((a ^ b) & (b ^ c));
        state[d][n] = state[d][n].wrapping_add(t1);
        state[h][n] = t1.wrapping_add(s0).wrapping_add(majority);
    }
}

/// Adds `feed` to `state` word by word.
fn add(state: &mut [Word; 8], feed: &[Word; 8]) {
    for (word, fed) in state.as_flattened_mut().iter_mut().zip(feed.as_flattened()) {
        *word = word.wrapping_add(*fed);
    }
}
