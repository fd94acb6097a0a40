//! How large the next batch of a job is.

/// Weight of a new measurement in the moving average.
const EWMA_WEIGHT: f64 = 0.2;
/// Wall time that a batch may take at most, for items that wait instead of computing: their CPU
/// time says nothing about how long a batch keeps its results back.
pub(crate) const WALL_LIMIT_NS: u64 = 50_000_000;
/// Growth per step, so that one bad measurement cannot make a batch that never ends.
const MAX_GROWTH: u64 = 2;

/// Adapts the batch size of one job to its measured speed.
#[derive(Debug)]
pub(crate) struct Sizer {
    target_ns: f64,
    wall_limit_ns: f64,
    max: u64,
    current: u64,
    cpu_ns_per_item: Option<f64>,
    wall_ns_per_item: f64,
}

impl Sizer {
    /// A sizer that starts at `initial` items and stays within `1 ..= max`.
    ///
    /// A batch should take `target_ns` of CPU time and at most `wall_limit_ns` of wall time.
    pub(crate) fn new(initial: u64, max: u64, target_ns: u64, wall_limit_ns: u64) -> Self {
        let max = max.max(1);
        Self {
            target_ns: target_ns as f64,
            wall_limit_ns: wall_limit_ns as f64,
            max,
            current: initial.clamp(1, max),
            cpu_ns_per_item: None,
            wall_ns_per_item: 0.0,
        }
    }

    /// Size for steady flow; near the end [`tail`] cuts it.
    pub(crate) fn current(&self) -> u64 {
        self.current
    }

    /// Moving average of thread CPU nanoseconds per item; 0 before the first measurement.
    pub(crate) fn cpu_ns_per_item(&self) -> f64 {
        self.cpu_ns_per_item.unwrap_or(0.0)
    }

    /// Moving average of wall nanoseconds per item; 0 before the first measurement.
    pub(crate) fn wall_ns_per_item(&self) -> f64 {
        self.wall_ns_per_item
    }

    /// Takes the measurement of a finished batch.
    pub(crate) fn record(&mut self, items: u64, cpu_ns: u64, wall_ns: u64) {
        if items == 0 {
            return;
        }
        let cpu = cpu_ns as f64 / items as f64;
        let wall = wall_ns as f64 / items as f64;
        match &mut self.cpu_ns_per_item {
            None => {
                self.cpu_ns_per_item = Some(cpu);
                self.wall_ns_per_item = wall;
            }
            Some(average) => {
                *average += EWMA_WEIGHT * (cpu - *average);
                self.wall_ns_per_item += EWMA_WEIGHT * (wall - self.wall_ns_per_item);
            }
        }
        let by_cpu = self.target_ns / self.cpu_ns_per_item().max(1e-3);
        let by_wall = (self.wall_limit_ns / self.wall_ns_per_item.max(1e-3)).max(1.0);
        // `as` saturates, so an absurd quotient becomes the maximum.
        let ideal = by_cpu.min(by_wall) as u64;
        // A batch shorter than the size in force says nothing about growing beyond it.
        let ceiling = if items >= self.current {
            self.current.saturating_mul(MAX_GROWTH)
        } else {
            self.current
        };
        self.current = ideal.min(ceiling).clamp(1, self.max);
    }
}

/// Cuts `size` near the end of a job, so that the threads finish together.
pub(crate) fn tail(size: u64, remaining: u64, threads: usize) -> u64 {
    size.min((remaining / (2 * threads as u64)).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: u64 = 2_000_000;

    #[test]
    fn a_batch_grows_to_the_target_by_at_most_a_doubling_per_step() {
        let mut sizer = Sizer::new(1, 1_000_000, TARGET, WALL_LIMIT_NS);
        let mut last = sizer.current();
        for _ in 0..20 {
            let n = sizer.current();
            sizer.record(n, n * 1_000, n * 1_000);
            assert!(sizer.current() <= last * 2);
            last = sizer.current();
        }
        assert_eq!(last, 2_000);
    }

    #[test]
    fn a_batch_shrinks_at_once_when_items_become_slow() {
        let mut sizer = Sizer::new(1_000_000, 1_000_000, TARGET, WALL_LIMIT_NS);
        sizer.record(1_000_000, 1_000_000_000, 1_000_000_000);
        assert_eq!(sizer.current(), 2_000);
    }

    #[test]
    fn items_that_only_wait_do_not_make_endless_batches() {
        let mut sizer = Sizer::new(1, 1_000_000, TARGET, WALL_LIMIT_NS);
        for _ in 0..20 {
            let n = sizer.current();
            sizer.record(n, n * 100, n * 10_000_000);
        }
        assert_eq!(sizer.current(), 5);
    }

    #[test]
    fn the_limits_hold_for_items_that_cost_nothing_and_for_items_that_cost_seconds() {
        let mut sizer = Sizer::new(7, 1_000_000, TARGET, WALL_LIMIT_NS);
        for _ in 0..40 {
            sizer.record(sizer.current(), 0, 0);
        }
        assert_eq!(sizer.current(), 1_000_000);
        for _ in 0..40 {
            sizer.record(sizer.current(), 5_000_000_000, 5_000_000_000);
        }
        assert_eq!(sizer.current(), 1);
    }

    #[test]
    fn the_tail_is_cut_for_all_threads() {
        assert_eq!(tail(1_000, 1_000_000, 2), 1_000);
        assert_eq!(tail(1_000, 400, 2), 100);
        assert_eq!(tail(1_000, 3, 2), 1);
    }
}
