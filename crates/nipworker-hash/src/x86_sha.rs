//! The kernel for the x86 SHA extensions: several attempts at once, so that the unit that does
//! two rounds is never idle while one attempt waits for its result.
//!
//! The state of an attempt lies in two registers, in the order that `sha256rnds2` wants: the words
//! F, E, B, A of the state in the one and H, G, D, C in the other (lowest first). The scheduled
//! words of two rounds are the third operand, loaded once for all attempts.

use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_extract_epi32, _mm_loadl_epi64, _mm_loadu_si128,
    _mm_min_epu32, _mm_or_si128, _mm_set_epi32, _mm_sha256msg1_epu32, _mm_sha256msg2_epu32,
    _mm_sha256rnds2_epu32, _mm_shuffle_epi32, _mm_storeu_si128, _mm256_zeroupper,
};
use std::ops::Range;

use crate::block::K;
use crate::digits::{DIGITS, Shared};
use crate::kernel::{Candidate, Row, SearchKernel, Seed};
use crate::midstates::{GROUP, Group, Midstates, begin_fill, begin_scan};

/// Attempts side by side where one block follows the midstates.
const SHORT_WAYS: usize = 4;
/// Attempts side by side where more blocks follow: the pauses at the ends of blocks hide behind
/// the other attempts' rounds.
const LONG_WAYS: usize = 7;
/// Midstates made side by side.
const FILL_WAYS: usize = 2;

/// The x86 SHA extensions (with SSE4.1, which every processor with them has).
#[derive(Debug)]
pub(crate) struct X86Sha(());

/// The kernel, if this processor has the instructions.
pub(crate) fn kernel() -> Option<&'static dyn SearchKernel> {
    let detected = is_x86_feature_detected!("sha")
        && is_x86_feature_detected!("sse4.1")
        && is_x86_feature_detected!("ssse3");
    detected.then_some(&X86Sha(()) as &dyn SearchKernel)
}

impl SearchKernel for X86Sha {
    fn name(&self) -> &'static str {
        "x86_sha"
    }

    fn stride(&self) -> usize {
        LONG_WAYS
    }

    fn fill(&self, seed: &Seed<'_>, lanes: Range<usize>, midstates: &mut Midstates) {
        // Rounds come in twos.
        let hoisted = seed.hoisted.len() & !1;
        begin_fill(self.name(), seed, &lanes, hoisted, midstates);
        if lanes.is_empty() {
            return;
        }
        let shared = Shared::new(seed);
        clear_upper_parts();
        // SAFETY: `self` exists only where the processor has SHA, SSE4.1 and SSSE3.
        unsafe { fill_lanes(&shared, lanes, midstates) };
    }

    fn scan(&self, row: &Row<'_>, lanes: Range<usize>, limit: u32, found: &mut Vec<Candidate>) {
        begin_scan(self.name(), row, &lanes);
        if lanes.is_empty() {
            return;
        }
        clear_upper_parts();
        // SAFETY: `self` exists only where the processor has SHA, SSE4.1 and SSSE3.
        unsafe {
            let rest = if row.tail.is_empty() {
                scan_ways::<SHORT_WAYS>(row, lanes, limit, found)
            } else {
                scan_ways::<LONG_WAYS>(row, lanes, limit, found)
            };
            let rest = scan_ways::<2>(row, rest, limit, found);
            scan_ways::<1>(row, rest, limit, found);
        }
    }
}

/// Gives up what the caller may have left in the upper parts of the vector registers.
///
/// `sha256rnds2` has only a legacy encoding. With something in an upper part, every change between
/// it and an AVX instruction costs hundreds of cycles; a build for processors with AVX has such
/// changes. Compiled code leaves the upper parts clear, assembly of others may not.
fn clear_upper_parts() {
    #[target_feature(enable = "avx")]
    fn clear() {
        _mm256_zeroupper();
    }
    if is_x86_feature_detected!("avx") {
        // SAFETY: the processor has AVX.
        unsafe { clear() }
    }
}

/// The two registers of each of `N` attempts: F, E, B, A and H, G, D, C.
#[derive(Clone, Copy)]
struct Ways<const N: usize> {
    feba: [__m128i; N],
    hgdc: [__m128i; N],
}

/// Scans as many of `lanes` as there are whole sets of `N`; gives back the rest.
#[target_feature(enable = "sha,sse4.1,ssse3")]
#[inline]
fn scan_ways<const N: usize>(
    row: &Row<'_>,
    lanes: Range<usize>,
    limit: u32,
    found: &mut Vec<Candidate>,
) -> Range<usize> {
    let first = &row.first.0[row.midstates.hoisted..];
    let starts = states(&row.midstates.start);
    let feeds = states(&row.midstates.feed);
    let mut lane = lanes.start;
    while lane + N <= lanes.end {
        let mut ways = load_ways::<N>(starts, lane);
        rounds(&mut ways, first);
        if let [tail @ .., last] = row.tail {
            add(&mut ways, &load_ways(feeds, lane));
            for block in tail {
                let feed = ways;
                rounds(&mut ways, &block.0);
                add(&mut ways, &feed);
            }
            let feed = ways;
            rounds(&mut ways, &last.0);
            for (state, feed) in ways.feba.iter_mut().zip(feed.feba) {
                *state = _mm_add_epi32(*state, feed);
            }
        } else {
            for (n, state) in ways.feba.iter_mut().enumerate() {
                *state = _mm_add_epi32(*state, load(&feeds[lane + n][0]));
            }
        }
        let mut least = ways.feba[0];
        for state in &ways.feba[1..] {
            least = _mm_min_epu32(least, *state);
        }
        if first_word(least) <= limit {
            collect(ways.feba.map(|state| first_word(state)), lane, limit, found);
        }
        lane += N;
    }
    lane..lanes.end
}

/// Appends the words of at most `limit`; the first one is that of `lane`.
#[cold]
fn collect<const N: usize>(words: [u32; N], lane: usize, limit: u32, found: &mut Vec<Candidate>) {
    for (lane, word) in (lane..).zip(words) {
        if word <= limit {
            found.push(Candidate { lane, word });
        }
    }
}

/// The midstates' memory as this kernel uses it: for each lane F, E, B, A and H, G, D, C.
fn states(groups: &[Group]) -> &[[[u32; 4]; 2]] {
    const { assert!(size_of::<Group>() == GROUP * size_of::<[[u32; 4]; 2]>()) };
    // SAFETY: a group is 128 words without padding, and so are sixteen of these states, which ask
    // for no more alignment; the memory stays borrowed as long as the view is.
    unsafe { std::slice::from_raw_parts(groups.as_ptr().cast(), groups.len() * GROUP) }
}

/// [`states`], to write.
fn states_mut(groups: &mut [Group]) -> &mut [[[u32; 4]; 2]] {
    // SAFETY: as in `states`; the exclusive borrow passes to the view.
    unsafe { std::slice::from_raw_parts_mut(groups.as_mut_ptr().cast(), groups.len() * GROUP) }
}

#[target_feature(enable = "sha,sse4.1,ssse3")]
#[inline]
fn load_ways<const N: usize>(states: &[[[u32; 4]; 2]], lane: usize) -> Ways<N> {
    let states = &states[lane..lane + N];
    Ways {
        feba: std::array::from_fn(|n| load(&states[n][0])),
        hgdc: std::array::from_fn(|n| load(&states[n][1])),
    }
}

#[target_feature(enable = "sha,sse4.1,ssse3")]
#[inline]
fn add<const N: usize>(ways: &mut Ways<N>, feed: &Ways<N>) {
    for n in 0..N {
        ways.feba[n] = _mm_add_epi32(ways.feba[n], feed.feba[n]);
        ways.hgdc[n] = _mm_add_epi32(ways.hgdc[n], feed.hgdc[n]);
    }
}

/// Does two rounds for each two words (their number is even), four at a time so that the
/// registers need not change places.
#[target_feature(enable = "sha,sse4.1,ssse3")]
#[inline]
fn rounds<const N: usize>(ways: &mut Ways<N>, scheduled: &[u32]) {
    let (odd, fours) = scheduled.as_rchunks::<4>();
    if let [first, second] = odd {
        two_rounds(ways, load_two(&[*first, *second]));
    }
    for [first, second, third, fourth] in fours {
        two_rounds(ways, load_two(&[*first, *second]));
        two_rounds(ways, load_two(&[*third, *fourth]));
    }
}

#[target_feature(enable = "sha,sse4.1,ssse3")]
#[inline]
fn two_rounds<const N: usize>(ways: &mut Ways<N>, scheduled: __m128i) {
    for n in 0..N {
        let next = _mm_sha256rnds2_epu32(ways.hgdc[n], ways.feba[n], scheduled);
        ways.hgdc[n] = ways.feba[n];
        ways.feba[n] = next;
    }
}

/// Makes the midstates of `lanes`.
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn fill_lanes(shared: &Shared, lanes: Range<usize>, midstates: &mut Midstates) {
    let mut lane = lanes.start;
    while lane + FILL_WAYS <= lanes.end {
        fill_ways::<FILL_WAYS>(shared, lane, midstates);
        lane += FILL_WAYS;
    }
    for lane in lane..lanes.end {
        fill_ways::<1>(shared, lane, midstates);
    }
}

/// Makes the midstates of `N` lanes. Their blocks differ in the sixteenth word only, so they share
/// the first 14 rounds, and some terms of the first words of the schedule.
#[target_feature(enable = "sha,sse4.1,ssse3")]
#[inline]
fn fill_ways<const N: usize>(shared: &Shared, lane: usize, midstates: &mut Midstates) {
    let words = shared.words.as_chunks::<4>().0;
    let [w0, w1, w2] = [load(&words[0]), load(&words[1]), load(&words[2])];
    let last = load(&words[3]);
    // The words 16.., 20.. and 24.. begin with terms that all lanes share.
    let begun16 = _mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8::<4>(last, w2));
    let begun20 = _mm_sha256msg1_epu32(w1, w2);
    let begun24 = _mm_sha256msg1_epu32(w2, last);
    let mut ways =
        Ways { feba: [order(&shared.state14)[0]; N], hgdc: [order(&shared.state14)[1]; N] };
    // The last four words of each lane's schedule, four earlier ones, and so on.
    let w3: [_; N] = std::array::from_fn(|n| {
        _mm_or_si128(last, _mm_set_epi32(DIGITS[lane + n].cast_signed(), 0, 0, 0))
    });
    for (n, w3) in w3.iter().enumerate() {
        let scheduled = _mm_add_epi32(*w3, load(&K.as_chunks::<4>().0[3]));
        two_rounds_of(&mut ways, n, _mm_shuffle_epi32::<0x0e>(scheduled));
    }
    let w4 = w3.map(|w3| _mm_sha256msg2_epu32(begun16, w3));
    four_rounds(&mut ways, &w4, 4);
    let w5 = std::array::from_fn(|n| {
        let begun = _mm_add_epi32(begun20, _mm_alignr_epi8::<4>(w4[n], w3[n]));
        _mm_sha256msg2_epu32(begun, w4[n])
    });
    four_rounds(&mut ways, &w5, 5);
    let w6 = std::array::from_fn(|n| {
        let begun = _mm_add_epi32(begun24, _mm_alignr_epi8::<4>(w5[n], w4[n]));
        _mm_sha256msg2_epu32(begun, w5[n])
    });
    four_rounds(&mut ways, &w6, 6);
    let mut recent = [w3, w4, w5, w6];
    for quad in 7..16 {
        let [w0, w1, w2, w3] = recent;
        let w4 = std::array::from_fn(|n| {
            let begun = _mm_sha256msg1_epu32(w0[n], w1[n]);
            let begun = _mm_add_epi32(begun, _mm_alignr_epi8::<4>(w3[n], w2[n]));
            _mm_sha256msg2_epu32(begun, w3[n])
        });
        four_rounds(&mut ways, &w4, quad);
        recent = [w1, w2, w3, w4];
    }
    let [feba, hgdc] = order(&shared.feed);
    add(&mut ways, &Ways { feba: [feba; N], hgdc: [hgdc; N] });
    store_ways(&ways, &mut states_mut(&mut midstates.feed)[lane..lane + N]);
    rounds(&mut ways, &shared.hoisted[..shared.rounds & !1]);
    store_ways(&ways, &mut states_mut(&mut midstates.start)[lane..lane + N]);
}

/// Does the rounds of the words `4 * quad..`, each lane with its own.
#[target_feature(enable = "sha,sse4.1,ssse3")]
#[inline]
fn four_rounds<const N: usize>(ways: &mut Ways<N>, words: &[__m128i; N], quad: usize) {
    let k = load(&K.as_chunks::<4>().0[quad]);
    let scheduled = words.map(|words| _mm_add_epi32(words, k));
    for (n, scheduled) in scheduled.iter().enumerate() {
        two_rounds_of(ways, n, *scheduled);
    }
    for (n, scheduled) in scheduled.iter().enumerate() {
        two_rounds_of(ways, n, _mm_shuffle_epi32::<0x0e>(*scheduled));
    }
}

#[target_feature(enable = "sha,sse4.1,ssse3")]
#[inline]
fn two_rounds_of<const N: usize>(ways: &mut Ways<N>, n: usize, scheduled: __m128i) {
    let next = _mm_sha256rnds2_epu32(ways.hgdc[n], ways.feba[n], scheduled);
    ways.hgdc[n] = ways.feba[n];
    ways.feba[n] = next;
}

#[target_feature(enable = "sha,sse4.1,ssse3")]
#[inline]
fn store_ways<const N: usize>(ways: &Ways<N>, states: &mut [[[u32; 4]; 2]]) {
    for ((to, feba), hgdc) in states.iter_mut().zip(ways.feba).zip(ways.hgdc) {
        store(&mut to[0], feba);
        store(&mut to[1], hgdc);
    }
}

/// The state in the order of the instructions.
#[target_feature(enable = "sha,sse4.1,ssse3")]
#[inline]
fn order(state: &[u32; 8]) -> [__m128i; 2] {
    let [a, b, c, d, e, f, g, h] = *state;
    [load(&[f, e, b, a]), load(&[h, g, d, c])]
}

/// The word A of a state.
#[target_feature(enable = "sha,sse4.1,ssse3")]
#[inline]
fn first_word(feba: __m128i) -> u32 {
    _mm_extract_epi32::<3>(feba).cast_unsigned()
}

#[target_feature(enable = "sha,sse4.1,ssse3")]
#[inline]
fn load(words: &[u32; 4]) -> __m128i {
    // SAFETY: the reference is to 16 bytes, and the load asks for no alignment.
    unsafe { _mm_loadu_si128(words.as_ptr().cast()) }
}

#[target_feature(enable = "sha,sse4.1,ssse3")]
#[inline]
fn load_two(words: &[u32; 2]) -> __m128i {
    // SAFETY: the reference is to the 8 bytes that the load reads, at any alignment.
    unsafe { _mm_loadl_epi64(words.as_ptr().cast()) }
}

#[target_feature(enable = "sha,sse4.1,ssse3")]
#[inline]
fn store(words: &mut [u32; 4], value: __m128i) {
    // SAFETY: the reference is to 16 bytes, and the store asks for no alignment.
    unsafe { _mm_storeu_si128(words.as_mut_ptr().cast(), value) }
}
