//! How long to wait before the next attempt.

use std::time::Duration;

use rand::{Rng, rngs::SmallRng};

/// An exponential back-off.
#[derive(Debug, Clone, PartialEq)]
pub struct BackoffConfig {
    /// Wait before the first retry. Default: 500 ms.
    pub min: Duration,
    /// Longest wait. Default: 30 s.
    pub max: Duration,
    /// Growth from one attempt to the next. Default: 2.
    pub factor: f64,
    /// Share of the wait that is left to chance, 0 to 1, so that clients of a relay that comes
    /// back do not all come at once. Default: 0.25, which means between 75 % and 125 %.
    pub jitter: f64,
    /// A connection that lasted so long starts the back-off anew. Default: 30 s.
    pub reset_after: Duration,
}

impl Default for BackoffConfig {
    fn default() -> Self {
        Self {
            min: Duration::from_millis(500),
            max: Duration::from_secs(30),
            factor: 2.0,
            jitter: 0.25,
            reset_after: Duration::from_secs(30),
        }
    }
}

impl BackoffConfig {
    /// The wait after so many failures before the last one.
    pub(crate) fn wait(&self, failures: u32, rng: &mut SmallRng) -> Duration {
        let Self { min, max, factor, jitter, .. } = self;
        let exponent = i32::try_from(failures).unwrap_or(i32::MAX);
        let wait = (min.as_secs_f64() * factor.powi(exponent)).min(max.as_secs_f64());
        let chance = 1.0 + jitter * rng.random_range(-1.0..=1.0);
        Duration::from_secs_f64(wait * chance)
    }
}

/// The back-off of one relay.
#[derive(Debug, Clone)]
pub struct Backoff {
    config: BackoffConfig,
    failures: u32,
}

impl Backoff {
    /// Without a failure yet.
    pub fn new(config: BackoffConfig) -> Self {
        Self { config, failures: 0 }
    }

    /// Counts a failure and tells how long to wait.
    pub fn next(&mut self, rng: &mut SmallRng) -> Duration {
        let wait = self.config.wait(self.failures, rng);
        self.failures = self.failures.saturating_add(1);
        wait
    }

    /// Starts anew.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Failures since the last reset.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn waits_grow_to_the_cap_and_stay_within_their_jitter() {
        let config = BackoffConfig::default();
        for seed in 0..200 {
            let mut rng = SmallRng::seed_from_u64(seed);
            let mut backoff = Backoff::new(config.clone());
            for expected in [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] {
                let wait = backoff.next(&mut rng).as_secs_f64();
                assert!((0.75 * expected..=1.25 * expected).contains(&wait), "{wait} s");
            }
            backoff.reset();
            assert!(backoff.next(&mut rng).as_secs_f64() <= 0.625);
        }
    }

    #[test]
    fn two_relays_do_not_wait_equally_long() {
        let wait =
            |seed| Backoff::new(BackoffConfig::default()).next(&mut SmallRng::seed_from_u64(seed));
        assert_ne!(wait(1), wait(2));
    }

    #[test]
    fn any_number_of_failures_is_counted_without_overflow() {
        let mut backoff = Backoff::new(BackoffConfig { jitter: 0.0, ..BackoffConfig::default() });
        backoff.failures = u32::MAX;
        assert_eq!(backoff.next(&mut SmallRng::seed_from_u64(0)), Duration::from_secs(30));
        assert_eq!(backoff.failures(), u32::MAX);
    }
}
