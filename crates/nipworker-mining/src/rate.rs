//! Attempts per second over the last moments.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Resolution of the meter.
const SLOT: Duration = Duration::from_millis(100);
/// Number of slots kept: ten seconds and the one that is being filled.
const SLOTS: u64 = 101;

/// Counts attempts in slots of 100 ms.
#[derive(Debug)]
pub(crate) struct RateMeter {
    started: Instant,
    /// Slot number and its count, oldest first.
    slots: VecDeque<(u64, u64)>,
}

impl RateMeter {
    pub(crate) fn new(started: Instant) -> Self {
        Self { started, slots: VecDeque::new() }
    }

    fn slot(&self, at: Instant) -> u64 {
        let elapsed = at.saturating_duration_since(self.started).as_nanos();
        u64::try_from(elapsed / SLOT.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Books attempts that ended at `at`. Threads report out of order by a little; what is late
    /// counts into the newest slot.
    pub(crate) fn record(&mut self, at: Instant, attempts: u64) {
        let slot = self.slot(at);
        match self.slots.back_mut() {
            Some((newest, count)) if *newest >= slot => *count += attempts,
            _ => self.slots.push_back((slot, attempts)),
        }
        while self.slots.front().is_some_and(|(oldest, _)| oldest + SLOTS <= slot) {
            self.slots.pop_front();
        }
    }

    /// Attempts per second over `window` before `now`, or since the start if that is shorter.
    pub(crate) fn per_second(&self, now: Instant, window: Duration) -> f64 {
        let elapsed = now.saturating_duration_since(self.started);
        let current = self.slot(now);
        // The full slots of the window, and the one that is being filled.
        let reach = u64::try_from(window.as_nanos() / SLOT.as_nanos()).unwrap_or(SLOTS);
        let attempts: u64 = self
            .slots
            .iter()
            .filter(|(slot, _)| slot + reach >= current && *slot <= current)
            .map(|(_, count)| count)
            .sum();
        let filling = elapsed.as_secs_f64() % SLOT.as_secs_f64();
        let covered = (window.as_secs_f64() + filling).min(elapsed.as_secs_f64());
        attempts as f64 / covered.max(SLOT.as_secs_f64() / 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_stream_shows_its_rate_in_both_windows() {
        let start = Instant::now();
        let mut meter = RateMeter::new(start);
        for ms in (5..12_000).step_by(5) {
            meter.record(start + Duration::from_millis(ms), 50);
        }
        let now = start + Duration::from_millis(12_000);
        for window in [1, 10] {
            let rate = meter.per_second(now, Duration::from_secs(window));
            assert!((9_000.0..=11_000.0).contains(&rate), "{window} s: {rate}");
        }
        assert!(meter.slots.len() <= SLOTS as usize);
    }

    #[test]
    fn the_short_window_forgets_and_the_long_one_remembers() {
        let start = Instant::now();
        let mut meter = RateMeter::new(start);
        meter.record(start + Duration::from_millis(50), 1_000);
        let now = start + Duration::from_secs(5);
        assert_eq!(meter.per_second(now, Duration::from_secs(1)), 0.0);
        let long = meter.per_second(now, Duration::from_secs(10));
        assert!((180.0..=220.0).contains(&long), "{long}");
        let later = start + Duration::from_secs(60);
        assert_eq!(meter.per_second(later, Duration::from_secs(10)), 0.0);
    }
}
