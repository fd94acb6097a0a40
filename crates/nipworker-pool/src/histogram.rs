//! A histogram of durations that many threads fill without a lock.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Buckets per power of two; a quantile is exact to one part in eight.
const STEPS_LOG2: u32 = 3;
const BUCKETS: usize = (64 - STEPS_LOG2 as usize + 1) << STEPS_LOG2;

/// Counts of nanosecond values in logarithmic buckets.
pub(crate) struct Histogram {
    buckets: Box<[AtomicU64]>,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect() }
    }

    pub(crate) fn record(&self, nanos: u64) {
        self.buckets[bucket(nanos)].fetch_add(1, Relaxed);
    }

    /// The upper bound of the bucket that holds the `q` quantile (0 ..= 1); 0 without any value.
    pub(crate) fn quantile(&self, q: f64) -> u64 {
        let counts: Vec<u64> = self.buckets.iter().map(|b| b.load(Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        if total == 0 {
            return 0;
        }
        let rank = ((total as f64 * q).ceil() as u64).clamp(1, total);
        let mut seen = 0;
        for (index, count) in counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return upper_bound(index);
            }
        }
        upper_bound(BUCKETS - 1)
    }
}

fn bucket(value: u64) -> usize {
    let steps = 1u64 << STEPS_LOG2;
    if value < steps {
        return value as usize;
    }
    let log = 63 - value.leading_zeros();
    let within = (value >> (log - STEPS_LOG2)) - steps;
    (((log - STEPS_LOG2 + 1) << STEPS_LOG2) as u64 + within) as usize
}

fn upper_bound(index: usize) -> u64 {
    let steps = 1u64 << STEPS_LOG2;
    let index = index as u64;
    if index < steps {
        return index;
    }
    let shift = (index >> STEPS_LOG2) - 1;
    let within = index & (steps - 1);
    // The last bucket reaches to u64::MAX: its bound overflows without the wrapping.
    ((steps + within + 1) << shift).wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_a_bucket_whose_bound_is_at_most_an_eighth_above_it() {
        for shift in 0u32..64 {
            for offset in [0u64, 1, 2, 3] {
                let value = (1u64 << shift).wrapping_add(offset << shift.saturating_sub(3));
                let bound = upper_bound(bucket(value));
                assert!(bound >= value, "{value} above its bound {bound}");
                assert!(bound - value <= value / 8, "{value} far below its bound {bound}");
            }
        }
        assert_eq!(upper_bound(bucket(u64::MAX)), u64::MAX);
    }

    #[test]
    fn quantiles_follow_the_recorded_values() {
        let histogram = Histogram::new();
        assert_eq!(histogram.quantile(0.5), 0);
        for value in 1..=1000 {
            histogram.record(value);
        }
        let p50 = histogram.quantile(0.5);
        let p99 = histogram.quantile(0.99);
        assert!((500..=563).contains(&p50), "{p50}");
        assert!((990..=1114).contains(&p99), "{p99}");
    }
}
