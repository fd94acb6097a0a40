//! One job event and then silence: is every thread fed?

use std::sync::Arc;
use std::time::{Duration, Instant};

use nipworker_benches::median;
use nipworker_pool::{DispatchMode, JobSpec, Span};

use super::{Items, SPIN_US, pool, verdict, verdict_if_idle};

/// Runs one endless job for `silence`; true if every target is met that a loaded machine can
/// judge.
pub(super) fn one_event(threads: usize, silence: Duration) -> bool {
    println!(
        "\nfeed: one job event, then {:.0} s of silence, {threads} threads",
        silence.as_secs_f64()
    );
    let pool = pool(threads, DispatchMode::Batched);
    let spec = JobSpec::new("feed", vec![Span::new(0, u64::MAX)]);
    let event = Instant::now();
    let ticket =
        pool.submit(spec, Arc::new(Items(nipworker_mining::spin_calibrated, SPIN_US))).unwrap();
    let active = loop {
        let metrics = pool.metrics();
        if metrics.threads.iter().all(|thread| thread.last_batch_age_ns.is_some()) {
            break event.elapsed();
        }
        std::thread::sleep(Duration::from_micros(100));
    };
    // The first batches find their size.
    std::thread::sleep(Duration::from_millis(200));
    let before = pool.metrics();
    std::thread::sleep(silence);
    let after = pool.metrics();
    ticket.cancel();
    let end = ticket.wait();
    let wall = (after.uptime_ns - before.uptime_ns) as f64;
    let (mut fed, mut least) = (true, f64::INFINITY);
    println!("| thread | busy    | CPU     | items     | batches | voluntary switches per batch |");
    println!("|---|---|---|---|---|---|");
    for (before, after) in before.threads.iter().zip(&after.threads) {
        let batches = after.batches - before.batches;
        let switches = (after.voluntary_switches - before.voluntary_switches) as f64;
        let busy = (after.busy_ns - before.busy_ns) as f64 / wall;
        let cpu = (after.cpu_ns - before.cpu_ns) as f64 / wall;
        let per_batch = switches / batches.max(1) as f64;
        println!(
            "| {:>6} | {:>5.1} % | {:>5.1} % | {:>9} | {batches:>7} | {per_batch:>28.4} |",
            after.index,
            busy * 100.0,
            cpu * 100.0,
            after.attempts - before.attempts,
        );
        // CPU over wall needs an idle machine; a thread that never waits shows it on any.
        fed &= cpu >= 0.98 || per_batch <= 0.01;
        least = least.min(busy);
    }
    let sum: u64 = pool.metrics().threads.iter().map(|thread| thread.attempts).sum();
    let items: Vec<u64> =
        before.threads.iter().zip(&after.threads).map(|(b, a)| a.attempts - b.attempts).collect();
    let (min, max) = (items.iter().min().unwrap(), items.iter().max().unwrap());
    let fairness = *min as f64 / *max as f64;
    println!(
        "active after {:.2} ms; starved {} ns ({} times); fairness min/max {fairness:.3}, Jain {:.4}; \
         sum of ranges {} = attempts {sum}; idle with a job {:.3} ms; rate {:.0}/s",
        active.as_secs_f64() * 1e3,
        after.starved_ns,
        after.starvation_events,
        after.fairness_jain,
        end.items,
        after.threads.iter().map(|t| t.idle_with_job_ns).sum::<u64>() as f64 / 1e6,
        after.rate_10s,
    );
    let mut met = verdict("all threads active within 50 ms", active <= Duration::from_millis(50));
    met &= verdict("starved 0", after.starved_ns == 0);
    met &= verdict("sum of ranges = attempts", end.items == sum);
    met &= verdict("each ≥ 98 % CPU, or ≤ 0.01 voluntary switches per batch", fed);
    // Equal threads do not get equal cores beside other programs.
    let fair = verdict_if_idle(threads, "fairness min/max ≥ 0.8 (equal cores)", fairness >= 0.8);
    let full = verdict_if_idle(threads, "busy ≥ 98 % of wall", least >= 0.98);
    met && fair && full
}

/// Items per second of CPU time and of wall time, of one thread and of two.
pub(super) fn scaling(rounds: usize) -> bool {
    let pools = [pool(1, DispatchMode::Batched), pool(2, DispatchMode::Batched)];
    let (mut by_cpu, mut by_wall) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let rates = [0, 1].map(|at: usize| {
            let threads = at as u64 + 1;
            let items = 300_000 / SPIN_US * threads;
            let cost =
                super::dispatched(&pools[at], nipworker_mining::spin_calibrated, SPIN_US, items);
            (items as f64 / cost.cpu * threads as f64, items as f64 / cost.wall)
        });
        by_cpu.push(rates[1].0 / rates[0].0);
        by_wall.push(rates[1].1 / rates[0].1);
    }
    let (cpu, wall) = (median(&by_cpu), median(&by_wall));
    println!(
        "\nscaling from 1 to 2 threads: {cpu:.3} (items per thread-CPU second × threads), \
         {wall:.3} by wall (needs an idle machine), medians of {rounds} rounds"
    );
    verdict("scaling ≥ 1.95 per thread-CPU second × threads", cpu >= 1.95)
}
