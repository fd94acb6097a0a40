//! The kernels alone: how fast each hashes rows, without a job around them.

use std::time::Duration;

use nipworker_hash::{
    BLOCK_BYTES, INITIAL_STATE, LANES, Midstates, Row, Schedule, SearchKernel, Seed,
};
use nipworker_pool::thread_cpu_ns;

/// Rows between two looks at the clock: some ten microseconds at least.
const ROWS_PER_LOOK: u64 = 4;

/// The shape of the rows that a note of some length has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// Words of the first block that are the same in every row.
    hoisted: usize,
    /// Blocks behind the first.
    tail: usize,
}

impl Shape {
    /// That of a note with so many bytes of content and a target of two digits: 21 bytes stand
    /// around the content behind the nonce, the padding included, and up to 34 digits of the nonce,
    /// four at a time, fit before them.
    pub(super) fn of_content(bytes: usize) -> Self {
        let behind = bytes + 21;
        let blocks = (behind + 1).div_ceil(BLOCK_BYTES);
        let digits = (blocks * BLOCK_BYTES - behind).min(34);
        Self { hoisted: (digits - 1) / 4, tail: blocks - 1 }
    }
}

/// Nanoseconds of thread CPU time that `kernel` takes for one hash. A row's schedule, which
/// changes from row to row, is part of it.
pub(super) fn ns_per_hash(kernel: &dyn SearchKernel, shape: Shape, time: Duration) -> f64 {
    let mut block = [b'0'; BLOCK_BYTES];
    let mut midstates = Midstates::new();
    let hoisted = [u32::from_be_bytes(*b"0000"); 16];
    let seed =
        Seed { state: &INITIAL_STATE, block: &block.clone(), hoisted: &hoisted[..shape.hoisted] };
    kernel.fill(&seed, 0..LANES, &mut midstates);
    let tail = vec![Schedule::new(&[b'x'; BLOCK_BYTES]); shape.tail];
    let mut found = Vec::new();
    let mut rows = 0_u64;
    let budget = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let began = thread_cpu_ns();
    loop {
        for _ in 0..ROWS_PER_LOOK {
            let changing = &mut block[4 * shape.hoisted..4 * shape.hoisted + 4];
            changing.copy_from_slice(&(rows as u32).to_be_bytes());
            let first = Schedule::new(&block);
            let row = Row { midstates: &midstates, first: &first, tail: &tail };
            // Of four thousand million attempts one is a candidate.
            kernel.scan(&row, 0..LANES, 0, &mut found);
            rows += 1;
        }
        found.clear();
        let spent = thread_cpu_ns().saturating_sub(began);
        if spent >= budget {
            return spent as f64 / (rows * LANES as u64) as f64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_the_blocks_that_their_content_needs() {
        for (content, hoisted, tail) in [(0, 8, 0), (35, 1, 0), (42, 0, 0), (43, 8, 1), (280, 4, 4)]
        {
            let shape = Shape::of_content(content);
            assert_eq!((shape.hoisted, shape.tail), (hoisted, tail), "{content} bytes");
        }
    }

    #[test]
    fn every_kernel_has_a_rate_that_more_blocks_make_slower() {
        for kernel in nipworker_hash::kernels() {
            let ns = |content| {
                let shape = Shape::of_content(content);
                // The best of some: another program may have had the processor's caches.
                (0..3)
                    .map(|_| ns_per_hash(kernel, shape, Duration::from_millis(3)))
                    .fold(f64::INFINITY, f64::min)
            };
            let (short, long) = (ns(35), ns(280));
            assert!(short > 0.0 && long > 1.5 * short, "{}: {short} {long}", kernel.name());
        }
    }
}
