//! What the benches share: CPU clocks, medians, interleaved rounds, and a [`corpus`] of events.
//!
//! Wall time on a shared machine says little. Each bench runs its contenders in turn, round by
//! round, counts CPU time, and prints ratios of medians to a baseline of the same run.

pub mod corpus;

use std::time::Duration;

fn clock(id: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for one timespec, and the call writes nothing else.
    let failed = unsafe { libc::clock_gettime(id, &mut time) } != 0;
    assert!(!failed, "the CPU clock {id} is not available");
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanos = u64::try_from(time.tv_nsec).unwrap_or_default();
    Duration::from_secs(seconds) + Duration::from_nanos(nanos)
}

/// CPU time that all threads of this process have used.
pub fn process_cpu() -> Duration {
    clock(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// CPU time that the calling thread has used.
pub fn thread_cpu() -> Duration {
    clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// MiB that this process has in memory, and the most that it ever had. Linux only.
pub fn resident_mib() -> (f64, f64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mib = |name: &str| {
        status
            .lines()
            .find_map(|line| {
                line.strip_prefix(name)?.split_whitespace().next()?.parse::<f64>().ok()
            })
            .map_or(0.0, |kib| kib / 1024.0)
    };
    (mib("VmRSS:"), mib("VmHWM:"))
}

/// The median; 0 for no samples.
pub fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// One contender: its name and a closure that runs it once and returns its figure.
pub type Contender<'a> = (&'a str, Box<dyn FnMut() -> f64 + 'a>);

/// Runs all contenders in turn `rounds` times (after one round that does not count, and with
/// the order reversed every other round) and returns the median figure of each.
pub fn interleaved(rounds: usize, contenders: &mut [Contender<'_>]) -> Vec<(String, f64)> {
    let figures = figures_by_round(rounds, contenders);
    contenders
        .iter()
        .zip(figures)
        .map(|((name, _), figures)| ((*name).to_owned(), median(&figures)))
        .collect()
}

/// Runs all contenders like [`interleaved`] and returns all figures of each, by round: a ratio
/// of two contenders is steadier as the median of the rounds' ratios ([`median_ratio`]).
pub fn figures_by_round(rounds: usize, contenders: &mut [Contender<'_>]) -> Vec<Vec<f64>> {
    let mut figures = vec![Vec::with_capacity(rounds); contenders.len()];
    for (_, run) in contenders.iter_mut() {
        run();
    }
    for round in 0..rounds {
        let mut order: Vec<usize> = (0..contenders.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for index in order {
            let figure = contenders[index].1();
            figures[index].push(figure);
        }
    }
    figures
}

/// The median of `of / to`, round by round; 0 for no rounds.
pub fn median_ratio(of: &[f64], to: &[f64]) -> f64 {
    median(&of.iter().zip(to).map(|(of, to)| of / to).collect::<Vec<_>>())
}

/// What is done per second of the calling thread's CPU time: `step` is repeated until `budget`
/// is used up and says each time how much it has done.
pub fn per_cpu_second(budget: Duration, mut step: impl FnMut() -> u64) -> f64 {
    let start = thread_cpu();
    let mut done = 0;
    loop {
        done += step();
        let used = thread_cpu() - start;
        if used >= budget {
            return done as f64 / used.as_secs_f64();
        }
    }
}
