//! Random numbers that are the same on every platform: integers only, no floats, no libm.

/// SplitMix64 (Steele, Lea and Flood, 2014): small, fast, and good enough for test data.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 up to, not including, `end`; 0 when `end` is 0.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        // The high half of the product: the bias is below 2^-40 for the sizes used here.
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    /// An index below `len`; 0 when `len` is 0.
    pub(super) fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// True in `per_mille` of a thousand cases.
    pub(super) fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        for chunk in bytes.chunks_mut(8) {
            let word = self.next().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
        bytes
    }

    /// A number whose distribution has these quantiles, as (per mille, value), straight between
    /// them. The first is at 0, the last at 1000.
    pub(super) fn quantile(&mut self, quantiles: &[(u64, u64)]) -> u64 {
        let at = self.below(1_000_000);
        for pair in quantiles.windows(2) {
            let ((from, low), (to, high)) = (pair[0], pair[1]);
            let (from, to) = (from * 1_000, to * 1_000);
            if at < to {
                return low + (high - low) * (at - from) / (to - from);
            }
        }
        quantiles.last().map_or(0, |(_, value)| *value)
    }
}

/// Ranks whose weight falls as `1 / (rank + shift)`: Zipf's law, with Mandelbrot's shift so that
/// the first rank does not take everything.
#[derive(Debug)]
pub(super) struct Zipf {
    /// Sum of the weights up to and including each rank.
    sums: Vec<u64>,
}

impl Zipf {
    pub(super) fn new(ranks: usize, shift: u64) -> Self {
        let mut sum = 0;
        let sums = (0..ranks as u64)
            .map(|rank| {
                sum += (1 << 40) / (rank + shift);
                sum
            })
            .collect();
        Self { sums }
    }

    pub(super) fn draw(&self, random: &mut Random) -> usize {
        let at = random.below(self.sums.last().copied().unwrap_or_default());
        self.sums.partition_point(|sum| *sum <= at)
    }
}
