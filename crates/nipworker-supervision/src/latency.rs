//! A histogram of handler times: lock-free, fixed size, good to a quarter of a power of two.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Steps per power of two.
const STEPS: usize = 4;
/// Enough for 2^40 ns, about 18 minutes; longer times count as that.
const BUCKETS: usize = 40 * STEPS;

pub(crate) struct Histogram([AtomicU64; BUCKETS]);

impl Histogram {
    pub(crate) fn new() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }

    pub(crate) fn record(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1);
        self.0[bucket(nanos)].fetch_add(1, Ordering::Relaxed);
    }

    /// The time below which `share` (0.0 to 1.0) of the samples lie, in microseconds. 0 without
    /// samples.
    pub(crate) fn quantile_us(&self, share: f64) -> f64 {
        let counts: Vec<u64> = self.0.iter().map(|n| n.load(Ordering::Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        if total == 0 {
            return 0.0;
        }
        let wanted = (total as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (i, n) in counts.iter().enumerate() {
            seen += n;
            if seen >= wanted {
                return upper_bound_nanos(i) / 1000.0;
            }
        }
        upper_bound_nanos(BUCKETS - 1) / 1000.0
    }
}

fn bucket(nanos: u64) -> usize {
    let power = nanos.ilog2() as usize;
    let step = if power >= 2 { (nanos >> (power - 2)) as usize & (STEPS - 1) } else { 0 };
    (power * STEPS + step).min(BUCKETS - 1)
}

fn upper_bound_nanos(bucket: usize) -> f64 {
    let base = 2_f64.powi((bucket / STEPS) as i32);
    base * (1.0 + (bucket % STEPS + 1) as f64 / STEPS as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_at_most_a_quarter_above_the_true_time() {
        for nanos in [1_u64, 7, 100, 999, 12_345, 1_000_000, 123_456_789] {
            let histogram = Histogram::new();
            histogram.record(Duration::from_nanos(nanos));
            let told = histogram.quantile_us(0.99) * 1000.0;
            assert!(told >= nanos as f64 && told <= nanos as f64 * 2.0, "{nanos}: {told}");
            if nanos >= 4 {
                assert!(told <= nanos as f64 * 1.26, "{nanos}: {told}");
            }
        }
    }

    #[test]
    fn quantiles_tell_the_many_fast_from_the_few_slow() {
        let histogram = Histogram::new();
        for _ in 0..985 {
            histogram.record(Duration::from_micros(10));
        }
        for _ in 0..15 {
            histogram.record(Duration::from_millis(10));
        }
        assert!(histogram.quantile_us(0.5) < 13.0);
        assert!(histogram.quantile_us(0.99) > 9_000.0);
        assert_eq!(Histogram::new().quantile_us(0.5), 0.0);
    }
}
