//! How much of their time the threads may spend on a job.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Work and the pause after it should together take this long: well below the 100 ms within which
/// the share is to hold, and long enough that waking up costs little.
const CYCLE_NS: u64 = 50_000_000;

/// The pauses of one job with a share of CPU time below 100 %.
///
/// After a thread has worked on the job it stays away from it until work and pause stand in the
/// wanted proportion. So from the start of any piece of work on, the share is never above it.
#[derive(Debug)]
pub(crate) struct Throttle {
    percent: u64,
    /// Pool time from which each place may work on the job again.
    free_at: Box<[AtomicU64]>,
    /// The thread that has the first place; the next threads have the others.
    first: usize,
    threads: usize,
}

impl Throttle {
    /// Pauses for a pool of `threads`, of which `places` take part, from thread `first` on.
    pub(crate) fn new(percent: u8, places: usize, first: usize, threads: usize) -> Self {
        let places = places.clamp(1, threads.max(1));
        Self {
            percent: u64::from(percent.clamp(1, 100)),
            free_at: (0..places).map(|_| AtomicU64::new(0)).collect(),
            first,
            threads: threads.max(1),
        }
    }

    /// How long a batch should take at most, so that it and its pause fit into a cycle.
    pub(crate) fn longest_batch_ns(&self) -> u64 {
        CYCLE_NS * self.percent / 100
    }

    fn place(&self, thread: usize) -> Option<&AtomicU64> {
        let first = self.first % self.threads;
        self.free_at.get((thread + self.threads - first) % self.threads)
    }

    /// Pool time from which `thread` may work on the job; `None` if it never may.
    pub(crate) fn free_at(&self, thread: usize) -> Option<u64> {
        self.place(thread).map(|place| place.load(Relaxed))
    }

    /// Notes that `thread` has worked on the job for so long, until pool time `now_ns`.
    pub(crate) fn worked(&self, thread: usize, worked_ns: u64, now_ns: u64) {
        if let Some(place) = self.place(thread) {
            let pause = worked_ns.saturating_mul(100 - self.percent) / self.percent;
            place.store(now_ns.saturating_add(pause), Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_makes_up_for_the_work() {
        for percent in [1u8, 20, 50, 99, 100] {
            let throttle = Throttle::new(percent, 2, 0, 2);
            throttle.worked(1, 9_900, 1_000 + 9_900);
            let free = throttle.free_at(1).unwrap();
            let share = 9_900.0 * 100.0 / (free - 1_000) as f64;
            assert!((share - f64::from(percent)).abs() < 0.1, "{percent} % became {share}");
            assert_eq!(throttle.free_at(0), Some(0), "the other thread is not touched");
        }
    }

    #[test]
    fn with_fewer_places_than_threads_the_others_stay_away() {
        let throttle = Throttle::new(50, 2, 7, 4);
        let free: Vec<_> = (0..4).map(|thread| throttle.free_at(thread).is_some()).collect();
        assert_eq!(free, [true, false, false, true]);
    }

    #[test]
    fn a_cycle_is_well_within_the_window_at_every_share() {
        for percent in 1..=100 {
            let throttle = Throttle::new(percent, 1, 0, 1);
            let batch = throttle.longest_batch_ns();
            throttle.worked(0, batch, batch);
            assert!(throttle.free_at(0).unwrap() <= 51_000_000);
        }
    }
}
