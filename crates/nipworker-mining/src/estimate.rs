//! How long a search with a known chance will still take.

use std::time::Duration;

/// The time within which a search ends with probability `quantile` (between 0 and 1), at `rate`
/// attempts per second when each attempt hits with probability `chance`.
///
/// Attempts are independent, so what has been tried so far changes nothing. `None` if the rate or
/// the chance is zero, or if the time is beyond what a `Duration` holds.
pub fn expected_time_left(chance: f64, rate: f64, quantile: f64) -> Option<Duration> {
    if !(chance > 0.0 && rate > 0.0 && (0.0..1.0).contains(&quantile)) {
        return None;
    }
    let attempts = if chance < 1.0 { (-quantile).ln_1p() / (-chance).ln_1p() } else { 1.0 };
    Duration::try_from_secs_f64(attempts.max(1.0) / rate).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_0_69_and_the_95th_percentile_3_0_times_the_mean() {
        let mean = 2f64.powi(20) / 1e6;
        let p50 = expected_time_left(2f64.powi(-20), 1e6, 0.5).unwrap().as_secs_f64() / mean;
        let p95 = expected_time_left(2f64.powi(-20), 1e6, 0.95).unwrap().as_secs_f64() / mean;
        assert!((0.692..0.694).contains(&p50), "{p50}");
        assert!((2.995..2.997).contains(&p95), "{p95}");
    }

    #[test]
    fn what_has_no_answer_gives_none() {
        assert_eq!(expected_time_left(0.0, 1.0, 0.5), None);
        assert_eq!(expected_time_left(0.5, 0.0, 0.5), None);
        assert_eq!(expected_time_left(2f64.powi(-256), 1.0, 0.5), None);
        assert_eq!(expected_time_left(1.0, 2.0, 0.5), Some(Duration::from_millis(500)));
    }
}
