//! The kernel for ARMv8 processors with the SHA-256 instructions, which do four rounds each.

use std::arch::aarch64::{
    uint32x4_t, vaddq_u32, vdupq_n_u32, vld1q_u32, vsha256h2q_u32, vsha256hq_u32, vsha256su0q_u32,
    vsha256su1q_u32, vst1q_u32,
};
use std::arch::is_aarch64_feature_detected;
use std::ops::Range;

use crate::block::{K, Schedule};
use crate::digits::{DIGITS, Shared};
use crate::kernel::{Candidate, Row, SearchKernel, Seed};
use crate::midstates::{GROUP, Group, Midstates, begin_fill, begin_scan};

/// Attempts that are hashed side by side. The instructions take several cycles from the operands
/// to the result; others run meanwhile.
const WAYS: usize = 4;

/// Rounds of one instruction.
const STEP: usize = 4;

/// The SHA-256 instructions. A value of this type exists only where the processor has them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sha2(());

/// The kernel, if this processor runs it.
pub(crate) fn kernel() -> Option<&'static dyn SearchKernel> {
    static KERNEL: Sha2 = Sha2(());
    is_aarch64_feature_detected!("sha2").then_some(&KERNEL)
}

impl SearchKernel for Sha2 {
    fn name(&self) -> &'static str {
        "aarch64_sha2"
    }

    fn stride(&self) -> usize {
        WAYS
    }

    fn fill(&self, seed: &Seed<'_>, lanes: Range<usize>, midstates: &mut Midstates) {
        // The instructions do four rounds or none.
        let hoisted = seed.hoisted.len() / STEP * STEP;
        begin_fill(self.name(), seed, &lanes, hoisted, midstates);
        if !lanes.is_empty() {
            // SAFETY: the instructions were detected when `self` was made.
            unsafe { fill(&Shared::new(seed), lanes, midstates) }
        }
    }

    fn scan(&self, row: &Row<'_>, lanes: Range<usize>, limit: u32, found: &mut Vec<Candidate>) {
        begin_scan(self.name(), row, &lanes);
        if !lanes.is_empty() {
            // SAFETY: the instructions were detected when `self` was made.
            unsafe { scan(row, lanes, limit, found) }
        }
    }
}

/// A state in two registers: the words a to d, and e to h.
#[derive(Clone, Copy)]
struct State {
    abcd: uint32x4_t,
    efgh: uint32x4_t,
}

#[target_feature(enable = "sha2")]
fn fill(shared: &Shared, lanes: Range<usize>, midstates: &mut Midstates) {
    let before = load(&shared.feed);
    let [w0, w1, w2, w3] = quads(&shared.words);
    let mut twelve = before;
    for (w, k) in [w0, w1, w2].into_iter().zip(K.as_chunks::<STEP>().0) {
        twelve = four_rounds(twelve, vaddq_u32(w, quad(k)));
    }
    for lane in (lanes.start / WAYS * WAYS..lanes.end).step_by(WAYS) {
        let mut states = [twelve; WAYS];
        let mut w = [[w0, w1, w2, w3]; WAYS];
        for (w, digits) in w.iter_mut().zip(&DIGITS[lane..]) {
            w[3] = vaddq_u32(w3, quad(&[0, 0, 0, *digits]));
        }
        for (t, k) in K.as_chunks::<STEP>().0.iter().enumerate().skip(3) {
            let k = quad(k);
            for (state, w) in states.iter_mut().zip(&mut w) {
                if t > 3 {
                    let older = vsha256su0q_u32(w[0], w[1]);
                    *w = [w[1], w[2], w[3], vsha256su1q_u32(older, w[2], w[3])];
                }
                *state = four_rounds(*state, vaddq_u32(w[3], k));
            }
        }
        for (lane, state) in (lane..).zip(&mut states) {
            *state = add(*state, before);
            store(of_lane_mut(&mut midstates.feed, lane), *state);
            for kw in shared.hoisted[..midstates.hoisted].as_chunks::<STEP>().0 {
                *state = four_rounds(*state, quad(kw));
            }
            store(of_lane_mut(&mut midstates.start, lane), *state);
        }
    }
}

#[target_feature(enable = "sha2")]
fn scan(row: &Row<'_>, lanes: Range<usize>, limit: u32, found: &mut Vec<Candidate>) {
    for first in (lanes.start / WAYS * WAYS..lanes.end).step_by(WAYS) {
        for (lane, word) in (first..).zip(hash(row, first)) {
            if word <= limit && lanes.contains(&lane) {
                found.push(Candidate { lane, word });
            }
        }
    }
}

/// The first words of the digests of the lanes from `lane` on.
#[inline]
#[target_feature(enable = "sha2")]
fn hash(row: &Row<'_>, lane: usize) -> [u32; WAYS] {
    let nothing = State { abcd: vdupq_n_u32(0), efgh: vdupq_n_u32(0) };
    let mut feed = [nothing; WAYS];
    let mut states = feed;
    for way in 0..WAYS {
        feed[way] = load(of_lane(&row.midstates.feed, lane + way));
        states[way] = load(of_lane(&row.midstates.start, lane + way));
    }
    block(&mut states, &feed, row.first, row.midstates.hoisted);
    for schedule in row.tail {
        feed = states;
        block(&mut states, &feed, schedule, 0);
    }
    let mut firsts = [0; WAYS];
    for (first, state) in firsts.iter_mut().zip(states) {
        let mut words = [0; 8];
        store(&mut words, state);
        *first = words[0];
    }
    firsts
}

/// Does the rounds of a block but the first `skip`, which is a multiple of four, and adds `feed`.
#[inline]
#[target_feature(enable = "sha2")]
fn block(states: &mut [State; WAYS], feed: &[State; WAYS], schedule: &Schedule, skip: usize) {
    for kw in schedule.0[skip..].as_chunks::<STEP>().0 {
        let kw = quad(kw);
        for state in &mut *states {
            *state = four_rounds(*state, kw);
        }
    }
    for (state, feed) in states.iter_mut().zip(feed) {
        *state = add(*state, *feed);
    }
}

#[inline]
#[target_feature(enable = "sha2")]
fn four_rounds(State { abcd, efgh }: State, kw: uint32x4_t) -> State {
    State { abcd: vsha256hq_u32(abcd, efgh, kw), efgh: vsha256h2q_u32(efgh, abcd, kw) }
}

#[inline]
#[target_feature(enable = "neon")]
fn add(a: State, b: State) -> State {
    State { abcd: vaddq_u32(a.abcd, b.abcd), efgh: vaddq_u32(a.efgh, b.efgh) }
}

/// The place of a lane's state. This kernel keeps the words of one lane together.
#[inline]
fn of_lane(groups: &[Group], lane: usize) -> &[u32; 8] {
    &groups[lane / GROUP].0.as_flattened().as_chunks().0[lane % GROUP]
}

#[inline]
fn of_lane_mut(groups: &mut [Group], lane: usize) -> &mut [u32; 8] {
    &mut groups[lane / GROUP].0.as_flattened_mut().as_chunks_mut().0[lane % GROUP]
}

#[inline]
#[target_feature(enable = "neon")]
fn quads(words: &[u32; 16]) -> [uint32x4_t; 4] {
    let [a, b, c, d] = words.as_chunks().0 else { unreachable!("sixteen words are four quads") };
    [quad(a), quad(b), quad(c), quad(d)]
}

#[inline]
#[target_feature(enable = "neon")]
fn quad(words: &[u32; 4]) -> uint32x4_t {
    // SAFETY: four words are the 16 bytes that are read.
    unsafe { vld1q_u32(words.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
fn load(state: &[u32; 8]) -> State {
    // SAFETY: eight words are the two times 16 bytes that are read.
    unsafe { State { abcd: vld1q_u32(state.as_ptr()), efgh: vld1q_u32(state[4..].as_ptr()) } }
}

#[inline]
#[target_feature(enable = "neon")]
fn store(words: &mut [u32; 8], state: State) {
    // SAFETY: eight words are the two times 16 bytes that are written.
    unsafe {
        vst1q_u32(words.as_mut_ptr(), state.abcd);
        vst1q_u32(words[4..].as_mut_ptr(), state.efgh);
    }
}
