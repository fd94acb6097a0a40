//! One block of SHA-256: its schedule and its rounds, in plain Rust.

/// Bytes of a block.
pub const BLOCK_BYTES: usize = 64;

/// The state that SHA-256 starts from (FIPS 180-4, section 5.3.3).
pub const INITIAL_STATE: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// The constants of the rounds (FIPS 180-4, section 4.2.2).
#[rustfmt::skip]
pub(crate) const K: [u32; 64] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
];

/// The message schedule of one block with the round constants added: what each of the 64 rounds
/// adds to the state.
#[derive(Clone, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Schedule(pub(crate) [u32; 64]);

impl Schedule {
    /// The schedule of `block`.
    pub fn new(block: &[u8; BLOCK_BYTES]) -> Self {
        let mut w = [0; 64];
        w[..16].copy_from_slice(&words(block));
        for t in 16..64 {
            let s0 = w[t - 15].rotate_right(7) ^ w[t - 15].rotate_right(18) ^ (w[t - 15] >> 3);
            let s1 = w[t - 2].rotate_right(17) ^ w[t - 2].rotate_right(19) ^ (w[t - 2] >> 10);
            w[t] = w[t - 16].wrapping_add(s0).wrapping_add(w[t - 7]).wrapping_add(s1);
        }
        for (word, k) in w.iter_mut().zip(K) {
            *word = word.wrapping_add(k);
        }
        Self(w)
    }
}

impl Schedule {
    /// The schedules of `N` blocks at once that differ in one word, the one at `at`: those of `N`
    /// rows. Side by side they cost a third of what they cost one by one, or less.
    ///
    /// # Panics
    ///
    /// If `at` is above 15.
    pub fn rows<const N: usize>(
        block: &[u8; BLOCK_BYTES],
        at: usize,
        values: &[u32; N],
        schedules: &mut [Self; N],
    ) {
        assert!(at < 16, "word {at} of a block of 16");
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2.
            return unsafe { rows_avx2(block, at, values, schedules) };
        }
        rows(block, at, values, schedules);
    }
}

/// [`rows`] for the compiler to vectorise with AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn rows_avx2<const N: usize>(
    block: &[u8; BLOCK_BYTES],
    at: usize,
    values: &[u32; N],
    schedules: &mut [Schedule; N],
) {
    rows(block, at, values, schedules);
}

/// [`Schedule::rows`] with whatever instructions the caller has.
#[inline(always)]
fn rows<const N: usize>(
    block: &[u8; BLOCK_BYTES],
    at: usize,
    values: &[u32; N],
    schedules: &mut [Schedule; N],
) {
    let mut w = [[0; N]; 64];
    for (lanes, word) in w.iter_mut().zip(words(block)) {
        *lanes = [word; N];
    }
    w[at] = *values;
    for t in 16..64 {
        let [w16, w15, w7, w2] = [w[t - 16], w[t - 15], w[t - 7], w[t - 2]];
        for n in 0..N {
            let s0 = w15[n].rotate_right(7) ^ w15[n].rotate_right(18) ^ (w15[n] >> 3);
            let s1 = w2[n].rotate_right(17) ^ w2[n].rotate_right(19) ^ (w2[n] >> 10);
            w[t][n] = w16[n].wrapping_add(s0).wrapping_add(w7[n]).wrapping_add(s1);
        }
    }
    for (n, schedule) in schedules.iter_mut().enumerate() {
        for ((to, lanes), k) in schedule.0.iter_mut().zip(&w).zip(K) {
            *to = lanes[n].wrapping_add(k);
        }
    }
}

/// The sixteen words of a block.
pub(crate) fn words(block: &[u8; BLOCK_BYTES]) -> [u32; 16] {
    let mut words = [0; 16];
    for (word, bytes) in words.iter_mut().zip(block.as_chunks::<4>().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    words
}

/// Feeds `block` to `state`, as SHA-256 does.
pub fn compress(state: &mut [u32; 8], block: &[u8; BLOCK_BYTES]) {
    compress_scheduled(state, &Schedule::new(block));
}

/// Feeds the block of `schedule` to `state`.
pub(crate) fn compress_scheduled(state: &mut [u32; 8], schedule: &Schedule) {
    let feed = *state;
    rounds(state, &schedule.0);
    add(state, &feed);
}

/// Does one round for each word, which is the schedule's with the round constant.
#[inline(always)]
pub(crate) fn rounds(state: &mut [u32; 8], scheduled: &[u32]) {
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    for kw in scheduled {
        let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let choice = (e & f) ^ (!e & g);
        let t1 = h.wrapping_add(s1).wrapping_add(choice).wrapping_add(*kw);
        let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let majority = (a & b) ^ (a & c) ^ (b & c);
        (h, g, f, e) = (g, f, e, d.wrapping_add(t1));
        (d, c, b, a) = (c, b, a, t1.wrapping_add(s0).wrapping_add(majority));
    }
    *state = [a, b, c, d, e, f, g, h];
}

/// Adds `feed` to `state` word by word.
#[inline(always)]
pub(crate) fn add(state: &mut [u32; 8], feed: &[u32; 8]) {
    for (word, fed) in state.iter_mut().zip(feed) {
        *word = word.wrapping_add(*fed);
    }
}
