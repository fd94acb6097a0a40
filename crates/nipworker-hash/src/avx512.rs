//! The kernel for AVX-512: sixteen attempts in a register, two registers side by side.
//!
//! A round is 16 vector instructions: six rotations, four three-input logic functions and six
//! additions. The scheduled word is the same in all attempts, so it comes as a broadcast operand
//! from memory and costs nothing.

use std::arch::x86_64::{
    __m512i, _mm512_add_epi32, _mm512_cmple_epu32_mask, _mm512_loadu_si512, _mm512_or_si512,
    _mm512_ror_epi32, _mm512_set1_epi32, _mm512_setzero_si512, _mm512_srli_epi32,
    _mm512_storeu_si512, _mm512_ternarylogic_epi32, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64,
    _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};
use std::ops::Range;

use crate::block::K;
use crate::digits::{DIGITS, Shared};
use crate::kernel::{Candidate, Row, SearchKernel, Seed};
use crate::midstates::{GROUP, Group, Midstates, begin_fill, begin_scan};

/// AVX-512 Foundation.
#[derive(Debug)]
pub(crate) struct Avx512(());

/// The kernel, if this processor has the instructions (and the system saves the registers).
pub(crate) fn kernel() -> Option<&'static dyn SearchKernel> {
    is_x86_feature_detected!("avx512f").then_some(&Avx512(()) as &dyn SearchKernel)
}

impl SearchKernel for Avx512 {
    fn name(&self) -> &'static str {
        "avx512"
    }

    fn stride(&self) -> usize {
        2 * GROUP
    }

    fn fill(&self, seed: &Seed<'_>, lanes: Range<usize>, midstates: &mut Midstates) {
        begin_fill(self.name(), seed, &lanes, seed.hoisted.len(), midstates);
        let shared = Shared::new(seed);
        if lanes.is_empty() {
            return;
        }
        let groups = lanes.start / GROUP..lanes.end.div_ceil(GROUP);
        let digits = &DIGITS.as_chunks().0[groups.clone()];
        let feed = &mut midstates.feed[groups.clone()];
        let start = &mut midstates.start[groups];
        // SAFETY: `self` exists only where the processor has AVX-512 Foundation.
        unsafe { fill_groups(&shared, shared.rounds, digits, feed, start) };
    }

    fn scan(&self, row: &Row<'_>, lanes: Range<usize>, limit: u32, found: &mut Vec<Candidate>) {
        begin_scan(self.name(), row, &lanes);
        if lanes.is_empty() {
            return;
        }
        let groups = lanes.start / GROUP..lanes.end.div_ceil(GROUP);
        let first = groups.start * GROUP;
        // SAFETY: `self` exists only where the processor has AVX-512 Foundation.
        unsafe { scan_groups(row, groups, first, &lanes, limit, found) };
    }
}

/// Scans `groups`, the first of which holds the lanes from `lane` on, for `lanes`.
#[target_feature(enable = "avx512f")]
pub(crate) fn scan_groups(
    row: &Row<'_>,
    groups: Range<usize>,
    mut lane: usize,
    lanes: &Range<usize>,
    limit: u32,
    found: &mut Vec<Candidate>,
) {
    let feed = &row.midstates.feed[groups.clone()];
    let start = &row.midstates.start[groups];
    let (start_pairs, start_last) = start.as_chunks::<2>();
    let (feed_pairs, feed_last) = feed.as_chunks::<2>();
    for (start, feed) in start_pairs.iter().zip(feed_pairs) {
        let words = digests(row, start, feed);
        report(words, lane, lanes, limit, found);
        lane += 2 * GROUP;
    }
    for (start, feed) in start_last.as_chunks::<1>().0.iter().zip(feed_last.as_chunks::<1>().0) {
        report(digests(row, start, feed), lane, lanes, limit, found);
    }
}

/// The first words of the digests of `N` groups.
#[target_feature(enable = "avx512f")]
#[inline]
fn digests<const N: usize>(row: &Row<'_>, start: &[Group; N], feed: &[Group; N]) -> [__m512i; N] {
    let mut states = start.each_ref().map(|group| group.0.each_ref().map(|words| load(words)));
    rounds(&mut states, &row.first.0[row.midstates.hoisted..]);
    let [tail @ .., last] = row.tail else {
        return std::array::from_fn(|n| _mm512_add_epi32(states[n][0], load(&feed[n].0[0])));
    };
    for (state, feed) in states.iter_mut().zip(feed) {
        for (word, feed) in state.iter_mut().zip(&feed.0) {
            *word = _mm512_add_epi32(*word, load(feed));
        }
    }
    for block in tail {
        let feed = states;
        rounds(&mut states, &block.0);
        for (state, feed) in states.iter_mut().zip(feed) {
            for (word, feed) in state.iter_mut().zip(feed) {
                *word = _mm512_add_epi32(*word, feed);
            }
        }
    }
    let feed = states.map(|state| state[0]);
    rounds(&mut states, &last.0);
    std::array::from_fn(|n| _mm512_add_epi32(states[n][0], feed[n]))
}

/// Compares the words of the lanes from `lane` on with the limit.
#[target_feature(enable = "avx512f")]
#[inline]
fn report<const N: usize>(
    words: [__m512i; N],
    lane: usize,
    lanes: &Range<usize>,
    limit: u32,
    found: &mut Vec<Candidate>,
) {
    let limits = _mm512_set1_epi32(limit.cast_signed());
    let masks = words.map(|words| _mm512_cmple_epu32_mask(words, limits));
    if masks == [0; N] {
        return;
    }
    let mut stored = [const { Words([0; GROUP]) }; N];
    for (to, words) in stored.iter_mut().zip(words) {
        store(&mut to.0, words);
    }
    for (n, words) in stored.iter().enumerate() {
        collect(&words.0, lane + n * GROUP, lanes, limit, found);
    }
}

/// Appends the words of at most `limit` whose lanes are wanted; the first one is that of `lane`.
#[cold]
pub(crate) fn collect(
    words: &[u32],
    lane: usize,
    lanes: &Range<usize>,
    limit: u32,
    found: &mut Vec<Candidate>,
) {
    for (lane, &word) in (lane..).zip(words) {
        if word <= limit && lanes.contains(&lane) {
            found.push(Candidate { lane, word });
        }
    }
}

/// Makes the midstates of the lanes with `digits`: the states after their block, to be added at the
/// end of the next one, and those `hoisted` rounds further.
#[target_feature(enable = "avx512f")]
pub(crate) fn fill_groups(
    shared: &Shared,
    hoisted: usize,
    digits: &[[u32; GROUP]],
    feed: &mut [Group],
    start: &mut [Group],
) {
    let terms = shared_terms(&shared.words);
    let (digits, last_digits) = digits.as_chunks::<2>();
    let (feed, last_feed) = feed.as_chunks_mut::<2>();
    let (start, last_start) = start.as_chunks_mut::<2>();
    for ((digits, feed), start) in digits.iter().zip(feed).zip(start) {
        fill(shared, &terms, hoisted, digits, feed, start);
    }
    if let ([digits], [feed], [start]) = (last_digits, last_feed, last_start) {
        let (feed, start) = (std::array::from_mut(feed), std::array::from_mut(start));
        fill(shared, &terms, hoisted, &[*digits], feed, start);
    }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn fill<const N: usize>(
    shared: &Shared,
    terms: &[u32; TERMS],
    hoisted: usize,
    digits: &[[u32; GROUP]; N],
    feed: &mut [Group; N],
    start: &mut [Group; N],
) {
    let mut w = [[_mm512_setzero_si512(); N]; 16];
    let mut states = [shared.state15.map(|word| set(word)); N];
    for n in 0..N {
        w[15][n] = _mm512_or_si512(set(shared.words[15]), load(&digits[n]));
        round(&mut states[n], _mm512_add_epi32(w[15][n], set(K[15])));
    }
    eight_rounds::<16, N>(&mut w, &mut states, terms);
    eight_rounds::<24, N>(&mut w, &mut states, terms);
    eight_rounds::<32, N>(&mut w, &mut states, terms);
    eight_rounds::<40, N>(&mut w, &mut states, terms);
    eight_rounds::<48, N>(&mut w, &mut states, terms);
    eight_rounds::<56, N>(&mut w, &mut states, terms);
    for (state, feed) in states.iter_mut().zip(feed) {
        for ((word, before), to) in state.iter_mut().zip(shared.feed).zip(&mut feed.0) {
            *word = _mm512_add_epi32(*word, set(before));
            store(to, *word);
        }
    }
    rounds(&mut states, &shared.hoisted[..hoisted]);
    for (state, start) in states.iter().zip(start) {
        for (word, to) in state.iter().zip(&mut start.0) {
            store(to, *word);
        }
    }
}

/// Eight rounds from round `T` on and their words of the schedule, of which `w` holds the last
/// sixteen.
#[target_feature(enable = "avx512f")]
#[inline]
fn eight_rounds<const T: usize, const N: usize>(
    w: &mut [[__m512i; N]; 16],
    states: &mut [[__m512i; 8]; N],
    terms: &[u32; TERMS],
) {
    for t in T..T + 8 {
        for (n, state) in states.iter_mut().enumerate() {
            let mut word = if t < TERMS { set(terms[t]) } else { _mm512_setzero_si512() };
            if !is_shared(t - 16) {
                word = _mm512_add_epi32(word, w[t % 16][n]);
            }
            if !is_shared(t - 15) {
                word = _mm512_add_epi32(word, small_sigma0(w[(t - 15) % 16][n]));
            }
            if !is_shared(t - 7) {
                word = _mm512_add_epi32(word, w[(t - 7) % 16][n]);
            }
            if !is_shared(t - 2) {
                word = _mm512_add_epi32(word, small_sigma1(w[(t - 2) % 16][n]));
            }
            w[t % 16][n] = word;
            round(state, _mm512_add_epi32(word, set(K[t])));
        }
    }
}

/// Words of the schedule with terms that all lanes of a seed share.
const TERMS: usize = 37;

/// Whether all lanes of a seed have the same word `t` in their schedules.
const fn is_shared(t: usize) -> bool {
    t < 15 || t == 16 || t == 18 || t == 20
}

/// What is known of each word of the schedule without the digits: the sum of its shared terms.
fn shared_terms(words: &[u32; 16]) -> [u32; TERMS] {
    let mut terms = [0u32; TERMS];
    terms[..16].copy_from_slice(words);
    for t in 16..terms.len() {
        let mut sum = 0u32;
        if is_shared(t - 2) {
            let word = terms[t - 2];
            sum = sum.wrapping_add(word.rotate_right(17) ^ word.rotate_right(19) ^ (word >> 10));
        }
        if is_shared(t - 7) {
            sum = sum.wrapping_add(terms[t - 7]);
        }
        if is_shared(t - 15) {
            let word = terms[t - 15];
            sum = sum.wrapping_add(word.rotate_right(7) ^ word.rotate_right(18) ^ (word >> 3));
        }
        if is_shared(t - 16) {
            sum = sum.wrapping_add(terms[t - 16]);
        }
        terms[t] = sum;
    }
    terms
}

#[target_feature(enable = "avx512f")]
#[inline]
fn small_sigma0(x: __m512i) -> __m512i {
    let (r7, r18) = (_mm512_ror_epi32::<7>(x), _mm512_ror_epi32::<18>(x));
    _mm512_ternarylogic_epi32::<XOR3>(r7, r18, _mm512_srli_epi32::<3>(x))
}

#[target_feature(enable = "avx512f")]
#[inline]
fn small_sigma1(x: __m512i) -> __m512i {
    let (r17, r19) = (_mm512_ror_epi32::<17>(x), _mm512_ror_epi32::<19>(x));
    _mm512_ternarylogic_epi32::<XOR3>(r17, r19, _mm512_srli_epi32::<10>(x))
}

/// Turns sixteen states that lie word by word into states one behind the other, each in two
/// quarters of a register: the words that `order` names.
#[target_feature(enable = "avx512f")]
pub(crate) fn transpose(group: &mut Group, order: [[usize; 4]; 2]) {
    let words = group.0.map(|words| load(&words));
    let (states, _) = group.0.as_flattened_mut().as_chunks_mut::<8>();
    for (half, order) in order.iter().enumerate() {
        let [a, b, c, d] = order.map(|word| words[word]);
        let (ab, cd) = (_mm512_unpacklo_epi32(a, b), _mm512_unpacklo_epi32(c, d));
        let (ab2, cd2) = (_mm512_unpackhi_epi32(a, b), _mm512_unpackhi_epi32(c, d));
        // Each has every fourth state.
        let fourths = [
            _mm512_unpacklo_epi64(ab, cd),
            _mm512_unpackhi_epi64(ab, cd),
            _mm512_unpacklo_epi64(ab2, cd2),
            _mm512_unpackhi_epi64(ab2, cd2),
        ];
        for (n, fourth) in fourths.iter().enumerate() {
            let mut stored = [0; GROUP];
            store(&mut stored, *fourth);
            for (to, from) in states[n..].iter_mut().step_by(4).zip(stored.as_chunks::<4>().0) {
                to[4 * half..][..4].copy_from_slice(from);
            }
        }
    }
}

/// The exclusive or of three words, as a truth table.
const XOR3: i32 = 0x96;
/// The second word where the first has ones, else the third.
const CHOICE: i32 = 0xca;
/// What two of three words have.
const MAJORITY: i32 = 0xe8;

/// Does one round for each word, eight at a time so that no word need change its register.
#[target_feature(enable = "avx512f")]
#[inline]
fn rounds<const N: usize>(states: &mut [[__m512i; 8]; N], scheduled: &[u32]) {
    let (odd, eights) = scheduled.as_rchunks::<8>();
    for &word in odd {
        for state in states.iter_mut() {
            round(state, set(word));
        }
    }
    for eight in eights {
        for &word in eight {
            for state in states.iter_mut() {
                round(state, set(word));
            }
        }
    }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn round(state: &mut [__m512i; 8], scheduled: __m512i) {
    let [a, b, c, d, e, f, g, h] = *state;
    let s1 = _mm512_ternarylogic_epi32::<XOR3>(
        _mm512_ror_epi32::<6>(e),
        _mm512_ror_epi32::<11>(e),
        _mm512_ror_epi32::<25>(e),
    );
    let s0 = _mm512_ternarylogic_epi32::<XOR3>(
        _mm512_ror_epi32::<2>(a),
        _mm512_ror_epi32::<13>(a),
        _mm512_ror_epi32::<22>(a),
    );
    let choice = _mm512_ternarylogic_epi32::<CHOICE>(e, f, g);
    let majority = _mm512_ternarylogic_epi32::<MAJORITY>(a, b, c);
    let t1 = _mm512_add_epi32(_mm512_add_epi32(h, scheduled), choice);
    let t1 = _mm512_add_epi32(t1, s1);
    let t2 = _mm512_add_epi32(s0, majority);
    *state = [_mm512_add_epi32(t1, t2), a, b, c, _mm512_add_epi32(d, t1), e, f, g];
}

/// Sixteen words on the boundary of a cache line.
#[repr(C, align(64))]
struct Words([u32; GROUP]);

#[target_feature(enable = "avx512f")]
#[inline]
fn set(word: u32) -> __m512i {
    _mm512_set1_epi32(word.cast_signed())
}

#[target_feature(enable = "avx512f")]
#[inline]
fn load(words: &[u32; GROUP]) -> __m512i {
    // SAFETY: the reference is to 64 bytes, and the load asks for no alignment.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn store(words: &mut [u32; GROUP], value: __m512i) {
    // SAFETY: the reference is to 64 bytes, and the store asks for no alignment.
    unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), value) }
}
