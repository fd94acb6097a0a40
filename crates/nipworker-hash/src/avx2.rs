//! The kernel for x86-64 processors with AVX2 but without SHA instructions: one attempt in each
//! 32-bit element of the registers, two times eight side by side.

use std::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_and_si256, _mm256_castsi256_ps, _mm256_cmpeq_epi32,
    _mm256_loadu_si256, _mm256_min_epu32, _mm256_movemask_ps, _mm256_or_si256, _mm256_set1_epi32,
    _mm256_slli_epi32, _mm256_srli_epi32, _mm256_storeu_si256, _mm256_xor_si256,
};
use std::ops::Range;

use crate::block::K;
use crate::digits::{DIGITS, Shared};
use crate::kernel::{Candidate, Row, SearchKernel, Seed};
use crate::midstates::{GROUP, Midstates, begin_fill, begin_scan};

/// Attempts in a register.
const WIDTH: usize = 8;

/// Registers for one word of a group. Two chains of rounds side by side fill the ports better
/// than one, although the sixteen words of their states leave no register for anything else.
const HALVES: usize = GROUP / WIDTH;

/// The states of a group.
type States = [[__m256i; 8]; HALVES];

/// AVX2. A value of this type exists only where the processor has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

/// The kernel, if this processor runs it.
pub(crate) fn kernel() -> Option<&'static dyn SearchKernel> {
    static KERNEL: Avx2 = Avx2(());
    is_x86_feature_detected!("avx2").then_some(&KERNEL)
}

impl SearchKernel for Avx2 {
    fn name(&self) -> &'static str {
        "avx2"
    }

    fn fill(&self, seed: &Seed<'_>, lanes: Range<usize>, midstates: &mut Midstates) {
        begin_fill(self.name(), seed, &lanes, seed.hoisted.len(), midstates);
        if !lanes.is_empty() {
            // SAFETY: AVX2 was detected when `self` was made.
            unsafe { fill(&Shared::new(seed), lanes, midstates) }
        }
    }

    fn scan(&self, row: &Row<'_>, lanes: Range<usize>, limit: u32, found: &mut Vec<Candidate>) {
        begin_scan(self.name(), row, &lanes);
        if !lanes.is_empty() {
            // SAFETY: AVX2 was detected when `self` was made.
            unsafe { scan(row, lanes, limit, found) }
        }
    }
}

/// Eight rounds, after which each word stands again where it stood before. `$kw` is what round
/// `$at` of the eight adds.
macro_rules! eight_rounds {
    ($states:expr, $at:ident => $kw:expr) => {
        eight_rounds!($states, $at => $kw; 0 1 2 3 4 5 6 7)
    };
    ($states:expr, $at:ident => $kw:expr; $($round:literal)*) => {
        $({
            let $at: usize = $round;
            round::<$round>($states, $kw);
        })*
    };
}

#[target_feature(enable = "avx2")]
fn fill(shared: &Shared, lanes: Range<usize>, midstates: &mut Midstates) {
    // What the words 16 to 29 of the schedule take from their 15th and 16th predecessors does not
    // depend on the lane.
    let mut older = [0; 14];
    for (sum, pair) in older.iter_mut().zip(shared.words.windows(2)) {
        let sigma0 = pair[1].rotate_right(7) ^ pair[1].rotate_right(18) ^ (pair[1] >> 3);
        *sum = pair[0].wrapping_add(sigma0);
    }
    for group in lanes.start / GROUP..lanes.end.div_ceil(GROUP) {
        let digits = DIGITS.as_chunks::<GROUP>().0[group].as_chunks().0;
        let w = [schedule(shared, &older, &digits[0]), schedule(shared, &older, &digits[1])];
        let mut states = [splat_all(&shared.state15); HALVES];
        one_round(&mut states, [w[0][15], w[1][15]]);
        for t in (16..64).step_by(8) {
            eight_rounds!(&mut states, at => [w[0][t + at], w[1][t + at]]);
        }
        add_all(&mut states, &[splat_all(&shared.feed); HALVES]);
        put(&mut midstates.feed[group].0, &states);
        for kw in &shared.hoisted[..shared.rounds] {
            one_round(&mut states, [splat(*kw); HALVES]);
        }
        put(&mut midstates.start[group].0, &states);
    }
}

/// The schedule of the block before the boundary for eight lanes, with the constants of the rounds
/// added from word 15 on.
#[target_feature(enable = "avx2")]
fn schedule(shared: &Shared, older: &[u32; 14], digits: &[u32; WIDTH]) -> [__m256i; 64] {
    let mut w = [splat(0); 64];
    for (vector, word) in w.iter_mut().zip(shared.words) {
        *vector = splat(word);
    }
    w[15] = add(w[15], load(digits));
    for t in 16..30 {
        w[t] = add(add(splat(older[t - 16]), w[t - 7]), sigma1(w[t - 2]));
    }
    for t in 30..64 {
        let older = add(w[t - 16], sigma0(w[t - 15]));
        w[t] = add(add(older, w[t - 7]), sigma1(w[t - 2]));
    }
    for (vector, k) in w.iter_mut().zip(K).skip(15) {
        *vector = add(*vector, splat(k));
    }
    w
}

#[target_feature(enable = "avx2")]
fn scan(row: &Row<'_>, lanes: Range<usize>, limit: u32, found: &mut Vec<Candidate>) {
    let bound = splat(limit);
    for group in lanes.start / GROUP..lanes.end.div_ceil(GROUP) {
        let firsts = hash(row, group);
        let [low, high] = firsts.map(|word| within(word, bound));
        if low | high {
            report(firsts, group * GROUP, &lanes, limit, found);
        }
    }
}

/// Whether any of the words is at most the one of `bound` at its place.
#[inline]
#[target_feature(enable = "avx2")]
fn within(words: __m256i, bound: __m256i) -> bool {
    let within = _mm256_cmpeq_epi32(_mm256_min_epu32(words, bound), words);
    _mm256_movemask_ps(_mm256_castsi256_ps(within)) != 0
}

/// Appends what is within the limit and the lanes that were asked for.
#[cold]
#[target_feature(enable = "avx2")]
fn report(
    firsts: [__m256i; HALVES],
    lane: usize,
    lanes: &Range<usize>,
    limit: u32,
    found: &mut Vec<Candidate>,
) {
    let mut words = [[0; WIDTH]; HALVES];
    store(&mut words[0], firsts[0]);
    store(&mut words[1], firsts[1]);
    let all = (lane..).zip(words.into_iter().flatten());
    let candidates = all.map(|(lane, word)| Candidate { lane, word });
    found.extend(candidates.filter(|found| lanes.contains(&found.lane) && found.word <= limit));
}

/// The first words of the digests of a group.
#[inline]
#[target_feature(enable = "avx2")]
fn hash(row: &Row<'_>, group: usize) -> [__m256i; HALVES] {
    let mut feed = get(&row.midstates.feed[group].0);
    let mut states = get(&row.midstates.start[group].0);
    all_rounds(&mut states, &row.first.0[row.midstates.hoisted..]);
    add_all(&mut states, &feed);
    for block in row.tail {
        feed = states;
        all_rounds(&mut states, &block.0);
        add_all(&mut states, &feed);
    }
    [states[0][0], states[1][0]]
}

/// Does one round for each word of the schedule.
#[inline]
#[target_feature(enable = "avx2")]
fn all_rounds(states: &mut States, scheduled: &[u32]) {
    let (odd, eights) = scheduled.as_rchunks::<8>();
    for kw in odd {
        one_round(states, [splat(*kw); HALVES]);
    }
    for kw in eights {
        eight_rounds!(states, at => [splat(kw[at]); HALVES]);
    }
}

/// One round, after which each word stands where the next round looks for it.
#[inline]
#[target_feature(enable = "avx2")]
fn one_round(states: &mut States, kw: [__m256i; HALVES]) {
    round::<0>(states, kw);
    for [a, b, c, d, e, f, g, h] in states {
        (*a, *b, *c, *d, *e, *f, *g, *h) = (*h, *a, *b, *c, *d, *e, *f, *g);
    }
}

/// Round number `R` of eight. Instead of moving all words on by one place, each round looks for
/// them one place further: word `i` of FIPS 180-4's a to h stands at place `i - R`.
#[inline]
#[target_feature(enable = "avx2")]
fn round<const R: usize>(states: &mut States, kw: [__m256i; HALVES]) {
    let [a, b, c, d, e, f, g, h] = const {
        let mut places = [0; 8];
        let mut word = 0;
        while word < 8 {
            places[word] = (word + 8 - R) % 8;
            word += 1;
        }
        places
    };
    for (s, kw) in states.iter_mut().zip(kw) {
        let choice = xor(s[g], and(s[e], xor(s[f], s[g])));
        let t1 = add(add(add(s[h], kw), choice), sum1(s[e]));
        let majority = xor(s[b], and(xor(s[a], s[b]), xor(s[b], s[c])));
        s[d] = add(s[d], t1);
        s[h] = add(t1, add(majority, sum0(s[a])));
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn sum0(x: __m256i) -> __m256i {
    xor(xor(rotate::<2, 30>(x), rotate::<13, 19>(x)), rotate::<22, 10>(x))
}

#[inline]
#[target_feature(enable = "avx2")]
fn sum1(x: __m256i) -> __m256i {
    xor(xor(rotate::<6, 26>(x), rotate::<11, 21>(x)), rotate::<25, 7>(x))
}

#[inline]
#[target_feature(enable = "avx2")]
fn sigma0(x: __m256i) -> __m256i {
    xor(xor(rotate::<7, 25>(x), rotate::<18, 14>(x)), _mm256_srli_epi32::<3>(x))
}

#[inline]
#[target_feature(enable = "avx2")]
fn sigma1(x: __m256i) -> __m256i {
    xor(xor(rotate::<17, 15>(x), rotate::<19, 13>(x)), _mm256_srli_epi32::<10>(x))
}

/// Rotates to the right by `RIGHT`, which is 32 less `LEFT`.
#[inline]
#[target_feature(enable = "avx2")]
fn rotate<const RIGHT: i32, const LEFT: i32>(x: __m256i) -> __m256i {
    const { assert!(RIGHT + LEFT == 32) };
    _mm256_or_si256(_mm256_srli_epi32::<RIGHT>(x), _mm256_slli_epi32::<LEFT>(x))
}

#[inline]
#[target_feature(enable = "avx2")]
fn add(a: __m256i, b: __m256i) -> __m256i {
    _mm256_add_epi32(a, b)
}

#[inline]
#[target_feature(enable = "avx2")]
fn xor(a: __m256i, b: __m256i) -> __m256i {
    _mm256_xor_si256(a, b)
}

#[inline]
#[target_feature(enable = "avx2")]
fn and(a: __m256i, b: __m256i) -> __m256i {
    _mm256_and_si256(a, b)
}

#[inline]
#[target_feature(enable = "avx2")]
fn splat(word: u32) -> __m256i {
    _mm256_set1_epi32(word.cast_signed())
}

#[inline]
#[target_feature(enable = "avx2")]
fn splat_all(state: &[u32; 8]) -> [__m256i; 8] {
    let mut vectors = [splat(0); 8];
    for (vector, word) in vectors.iter_mut().zip(state) {
        *vector = splat(*word);
    }
    vectors
}

/// Adds `feed` to `states` word by word.
#[inline]
#[target_feature(enable = "avx2")]
fn add_all(states: &mut States, feed: &States) {
    for (word, fed) in states.as_flattened_mut().iter_mut().zip(feed.as_flattened()) {
        *word = add(*word, *fed);
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn get(group: &[[u32; GROUP]; 8]) -> States {
    let mut states = [[splat(0); 8]; HALVES];
    for (at, words) in group.iter().enumerate() {
        let halves = words.as_chunks().0;
        states[0][at] = load(&halves[0]);
        states[1][at] = load(&halves[1]);
    }
    states
}

#[inline]
#[target_feature(enable = "avx2")]
fn put(group: &mut [[u32; GROUP]; 8], states: &States) {
    for (at, words) in group.iter_mut().enumerate() {
        let halves = words.as_chunks_mut().0;
        store(&mut halves[0], states[0][at]);
        store(&mut halves[1], states[1][at]);
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(words: &[u32; WIDTH]) -> __m256i {
    // SAFETY: eight words are the 32 bytes that are read; they need no alignment.
    unsafe { _mm256_loadu_si256(words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(words: &mut [u32; WIDTH], vector: __m256i) {
    // SAFETY: eight words are the 32 bytes that are written; they need no alignment.
    unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), vector) }
}
