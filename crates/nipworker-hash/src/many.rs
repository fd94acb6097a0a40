//! Digests of many messages at once, each in a lane of its own.
//!
//! Where a processor has no instructions for SHA-256, one message leaves most of it idle: each
//! round waits for the one before. Here every 32-bit element of a vector register works on another
//! message. When one ends, its lane goes on with the next, the longest first, so that few lanes
//! run empty at the end.

// Elsewhere there are no lanes yet.
#![cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]

use crate::block::{BLOCK_BYTES, INITIAL_STATE, K};

/// Hashes lists of messages with one set of instructions.
#[derive(Clone, Copy, Debug)]
pub struct ManyDigests {
    name: &'static str,
    lanes: usize,
    digest: DigestFn,
}

/// Hashes messages in an order. Only called where the processor has the instructions that it needs.
type DigestFn = unsafe fn(&[&[u8]], &[usize], &mut [[u8; 32]]);

impl ManyDigests {
    /// The widest that this processor runs; `None` where hashing one message after another is at
    /// least as fast, because there are instructions for SHA-256 or no wide registers.
    pub fn detect() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if !is_x86_feature_detected!("sha") {
            return Self::wide().into_iter().next();
        }
        None
    }

    /// All that this processor runs, the widest first.
    #[cfg(target_arch = "x86_64")]
    fn wide() -> Vec<Self> {
        let mut all = Vec::new();
        if is_x86_feature_detected!("avx512f") {
            all.push(Self { name: "avx512", lanes: x86::LANES_512, digest: x86::digest_512 });
        }
        if is_x86_feature_detected!("avx2") {
            all.push(Self { name: "avx2", lanes: x86::LANES_256, digest: x86::digest_256 });
        }
        all
    }

    /// Name of the instruction set.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Messages that are hashed at once. Fewer take as long as so many.
    pub fn lanes(&self) -> usize {
        self.lanes
    }

    /// The SHA-256 digests of `messages`, in their order.
    pub fn digest(&self, messages: &[&[u8]]) -> Vec<[u8; 32]> {
        let mut order: Vec<usize> = (0..messages.len()).collect();
        order.sort_unstable_by_key(|at| std::cmp::Reverse(messages[*at].len()));
        let mut digests = vec![[0; 32]; messages.len()];
        // SAFETY: `detect` and `wide` make a value only when the processor has the instructions.
        unsafe { (self.digest)(messages, &order, &mut digests) };
        digests
    }
}

/// One message on its way through a lane.
#[derive(Clone, Copy)]
struct Job<'m> {
    /// Where its digest goes.
    at: usize,
    /// Whole blocks that are left.
    rest: &'m [[u8; BLOCK_BYTES]],
    /// The last block or two, with the padding.
    tail: [[u8; BLOCK_BYTES]; 2],
    /// Blocks of the tail that are done, and how many it has.
    tail_done: usize,
    tail_blocks: usize,
}

impl<'m> Job<'m> {
    fn new(at: usize, message: &'m [u8]) -> Self {
        let (rest, end) = message.as_chunks();
        let mut tail = [[0; BLOCK_BYTES]; 2];
        let bytes = tail.as_flattened_mut();
        bytes[..end.len()].copy_from_slice(end);
        bytes[end.len()] = 0x80;
        let tail_blocks = if end.len() < BLOCK_BYTES - 8 { 1 } else { 2 };
        let bits = (message.len() as u64).wrapping_mul(8);
        bytes[tail_blocks * BLOCK_BYTES - 8..tail_blocks * BLOCK_BYTES]
            .copy_from_slice(&bits.to_be_bytes());
        Self { at, rest, tail, tail_done: 0, tail_blocks }
    }

    fn next_block(&mut self) -> &[u8; BLOCK_BYTES] {
        if let Some((block, rest)) = self.rest.split_first() {
            self.rest = rest;
            return block;
        }
        self.tail_done += 1;
        &self.tail[self.tail_done - 1]
    }

    fn is_done(&self) -> bool {
        self.tail_done == self.tail_blocks
    }
}

/// A vector register: one word of each lane.
trait Words<const L: usize>: Copy {
    fn load(words: &[u32; L]) -> Self;
    fn store(self) -> [u32; L];
    fn all(word: u32) -> Self;
    fn plus(self, other: Self) -> Self;
    fn xor3(self, b: Self, c: Self) -> Self;
    fn rotated<const LEFT: i32, const RIGHT: i32>(self) -> Self;
    fn shifted<const RIGHT: u32>(self) -> Self;
    /// Of each bit: `b`'s where that of `self` is set, else `c`'s.
    fn choose(self, b: Self, c: Self) -> Self;
    /// Of each bit: what two of the three have.
    fn majority(self, b: Self, c: Self) -> Self;
}

/// Hashes all messages, in `order`, in `L` lanes.
#[inline(always)]
fn digest<W: Words<L>, const L: usize>(
    messages: &[&[u8]],
    order: &[usize],
    digests: &mut [[u8; 32]],
) {
    let mut waiting = order.iter().map(|at| Job::new(*at, messages[*at]));
    let mut jobs: [Option<Job<'_>>; L] = std::array::from_fn(|_| waiting.next());
    let mut state = INITIAL_STATE.map(|word| [word; L]);
    let mut words = [[0; L]; 16];
    while jobs.iter().any(Option::is_some) {
        for (lane, job) in jobs.iter_mut().enumerate() {
            let Some(job) = job else { continue };
            let block = job.next_block();
            for (lanes, bytes) in words.iter_mut().zip(block.as_chunks::<4>().0) {
                lanes[lane] = u32::from_be_bytes(*bytes);
            }
        }
        compress::<W, L>(&mut state, &words);
        for (lane, place) in jobs.iter_mut().enumerate() {
            let Some(job) = place.filter(Job::is_done) else { continue };
            for (bytes, lanes) in digests[job.at].as_chunks_mut::<4>().0.iter_mut().zip(&state) {
                *bytes = lanes[lane].to_be_bytes();
            }
            for (lanes, word) in state.iter_mut().zip(INITIAL_STATE) {
                lanes[lane] = word;
            }
            *place = waiting.next();
        }
    }
}

/// Feeds one block of each lane to its state.
#[inline(always)]
fn compress<W: Words<L>, const L: usize>(state: &mut [[u32; L]; 8], words: &[[u32; L]; 16]) {
    let mut w = [W::all(0); 16];
    for (word, lanes) in w.iter_mut().zip(words) {
        *word = W::load(lanes);
    }
    let mut s = [W::all(0); 8];
    for (word, lanes) in s.iter_mut().zip(state.iter()) {
        *word = W::load(lanes);
    }
    let fed = s;
    for (part, k) in K.as_chunks::<16>().0.iter().enumerate() {
        for t in 0..16 {
            if part > 0 {
                let w15 = w[(t + 1) % 16];
                let w2 = w[(t + 14) % 16];
                let s0 = w15.rotated::<25, 7>().xor3(w15.rotated::<14, 18>(), w15.shifted::<3>());
                let s1 = w2.rotated::<15, 17>().xor3(w2.rotated::<13, 19>(), w2.shifted::<10>());
                w[t] = w[t].plus(s0).plus(w[(t + 9) % 16].plus(s1));
            }
            let [a, b, c, d, e, f, g, h] = s;
            let s1 = e.rotated::<26, 6>().xor3(e.rotated::<21, 11>(), e.rotated::<7, 25>());
            let t1 = h.plus(w[t]).plus(W::all(k[t])).plus(s1.plus(e.choose(f, g)));
            let s0 = a.rotated::<30, 2>().xor3(a.rotated::<19, 13>(), a.rotated::<10, 22>());
            let t2 = s0.plus(a.majority(b, c));
            s = [t1.plus(t2), a, b, c, d.plus(t1), e, f, g];
        }
    }
    for ((lanes, word), fed) in state.iter_mut().zip(s).zip(fed) {
        *lanes = word.plus(fed).store();
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256i, __m512i, _mm_cvtsi32_si128, _mm256_add_epi32, _mm256_and_si256, _mm256_or_si256,
        _mm256_set1_epi32, _mm256_slli_epi32, _mm256_srl_epi32, _mm256_srli_epi32,
        _mm256_xor_si256, _mm512_add_epi32, _mm512_ror_epi32, _mm512_set1_epi32, _mm512_srl_epi32,
        _mm512_ternarylogic_epi32,
    };

    use super::Words;

    pub(super) const LANES_512: usize = 16;
    pub(super) const LANES_256: usize = 8;

    /// Sixteen words. It is used in [`digest_512`] only, where AVX-512 is there.
    #[derive(Clone, Copy)]
    struct Words512(__m512i);

    /// Eight words. It is used in [`digest_256`] only, where AVX2 is there.
    #[derive(Clone, Copy)]
    struct Words256(__m256i);

    /// # Safety
    /// The processor must have AVX-512 Foundation.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn digest_512(messages: &[&[u8]], order: &[usize], digests: &mut [[u8; 32]]) {
        super::digest::<Words512, LANES_512>(messages, order, digests);
    }

    /// # Safety
    /// The processor must have AVX2.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn digest_256(messages: &[&[u8]], order: &[usize], digests: &mut [[u8; 32]]) {
        super::digest::<Words256, LANES_256>(messages, order, digests);
    }

    /// Bits of the result for each three bits, as the instruction wants them: of the first operand
    /// the pattern is `f0`, of the second `cc`, of the third `aa`.
    const XOR3: i32 = 0x96;
    const CHOOSE: i32 = 0xca;
    const MAJORITY: i32 = 0xe8;

    impl Words<LANES_512> for Words512 {
        #[inline(always)]
        fn load(words: &[u32; LANES_512]) -> Self {
            // SAFETY: both are 64 bytes of which any value is allowed.
            Self(unsafe { std::mem::transmute::<[u32; LANES_512], __m512i>(*words) })
        }

        #[inline(always)]
        fn store(self) -> [u32; LANES_512] {
            // SAFETY: both are 64 bytes of which any value is allowed.
            unsafe { std::mem::transmute::<__m512i, [u32; LANES_512]>(self.0) }
        }

        #[inline(always)]
        fn all(word: u32) -> Self {
            // SAFETY: only called where AVX-512 is there.
            Self(unsafe { _mm512_set1_epi32(word.cast_signed()) })
        }

        #[inline(always)]
        fn plus(self, other: Self) -> Self {
            // SAFETY: only called where AVX-512 is there.
            Self(unsafe { _mm512_add_epi32(self.0, other.0) })
        }

        #[inline(always)]
        fn xor3(self, b: Self, c: Self) -> Self {
            // SAFETY: only called where AVX-512 is there.
            Self(unsafe { _mm512_ternarylogic_epi32::<XOR3>(self.0, b.0, c.0) })
        }

        #[inline(always)]
        fn rotated<const LEFT: i32, const RIGHT: i32>(self) -> Self {
            // SAFETY: only called where AVX-512 is there.
            Self(unsafe { _mm512_ror_epi32::<RIGHT>(self.0) })
        }

        #[inline(always)]
        fn shifted<const RIGHT: u32>(self) -> Self {
            // SAFETY: only called where AVX-512 is there.
            Self(unsafe { _mm512_srl_epi32(self.0, _mm_cvtsi32_si128(RIGHT.cast_signed())) })
        }

        #[inline(always)]
        fn choose(self, b: Self, c: Self) -> Self {
            // SAFETY: only called where AVX-512 is there.
            Self(unsafe { _mm512_ternarylogic_epi32::<CHOOSE>(self.0, b.0, c.0) })
        }

        #[inline(always)]
        fn majority(self, b: Self, c: Self) -> Self {
            // SAFETY: only called where AVX-512 is there.
            Self(unsafe { _mm512_ternarylogic_epi32::<MAJORITY>(self.0, b.0, c.0) })
        }
    }

    impl Words<LANES_256> for Words256 {
        #[inline(always)]
        fn load(words: &[u32; LANES_256]) -> Self {
            // SAFETY: both are 32 bytes of which any value is allowed.
            Self(unsafe { std::mem::transmute::<[u32; LANES_256], __m256i>(*words) })
        }

        #[inline(always)]
        fn store(self) -> [u32; LANES_256] {
            // SAFETY: both are 32 bytes of which any value is allowed.
            unsafe { std::mem::transmute::<__m256i, [u32; LANES_256]>(self.0) }
        }

        #[inline(always)]
        fn all(word: u32) -> Self {
            // SAFETY: only called where AVX2 is there.
            Self(unsafe { _mm256_set1_epi32(word.cast_signed()) })
        }

        #[inline(always)]
        fn plus(self, other: Self) -> Self {
            // SAFETY: only called where AVX2 is there.
            Self(unsafe { _mm256_add_epi32(self.0, other.0) })
        }

        #[inline(always)]
        fn xor3(self, b: Self, c: Self) -> Self {
            // SAFETY: only called where AVX2 is there.
            Self(unsafe { _mm256_xor_si256(self.0, _mm256_xor_si256(b.0, c.0)) })
        }

        #[inline(always)]
        fn rotated<const LEFT: i32, const RIGHT: i32>(self) -> Self {
            // SAFETY: only called where AVX2 is there.
            Self(unsafe {
                let left = _mm256_slli_epi32::<LEFT>(self.0);
                _mm256_or_si256(left, _mm256_srli_epi32::<RIGHT>(self.0))
            })
        }

        #[inline(always)]
        fn shifted<const RIGHT: u32>(self) -> Self {
            // SAFETY: only called where AVX2 is there.
            Self(unsafe { _mm256_srl_epi32(self.0, _mm_cvtsi32_si128(RIGHT.cast_signed())) })
        }

        #[inline(always)]
        fn choose(self, b: Self, c: Self) -> Self {
            // SAFETY: only called where AVX2 is there.
            Self(unsafe {
                let differ = _mm256_xor_si256(b.0, c.0);
                _mm256_xor_si256(c.0, _mm256_and_si256(self.0, differ))
            })
        }

        #[inline(always)]
        fn majority(self, b: Self, c: Self) -> Self {
            // SAFETY: only called where AVX2 is there.
            Self(unsafe {
                let [ab, bc] = [_mm256_xor_si256(self.0, b.0), _mm256_xor_si256(b.0, c.0)];
                _mm256_xor_si256(b.0, _mm256_and_si256(ab, bc))
            })
        }
    }
}

#[cfg(test)]
mod tests;
