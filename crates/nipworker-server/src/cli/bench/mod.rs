//! `nipworker bench`: a short measurement of this machine that a user can post.
//!
//! The kernels are measured alone and through the whole engine, on one thread; then the threads
//! together. Rates are per second of thread CPU time where that is said, so that other programs on
//! the machine change them little; the others are per second of wall time.

mod kernels;
mod machine;
mod mined;
mod report;

use std::time::Duration;

use nipworker_core::ClientConfig;
use serde::Serialize;

use self::{
    kernels::Shape,
    machine::Machine,
    mined::{Bench, Run},
};
use super::{
    args::{BenchArgs, PoolArgs},
    engine::runtime,
    one_shot,
    output::{Failure, json_line, line, note},
};

/// Content lengths in bytes: one block per attempt, and five.
const CONTENT_BYTES: [usize; 2] = [35, 280];
/// `created_at` of the notes that are mined: what they say does not matter.
const NOTE_TIME: i64 = 1_700_000_000;
/// The word for the fastest kernel.
const AUTO: &str = "auto";
/// Searches that are cancelled.
const CANCELS: usize = 50;
/// Searches for a few bits, at each difficulty.
const FINDS: usize = 25;
/// Difficulties at which the time to the event is measured, in bits.
const FIND_BITS: [u16; 2] = [8, 16];

/// Everything that was measured.
#[derive(Debug, Serialize)]
struct Report {
    version: &'static str,
    seconds: u16,
    machine: Machine,
    content_bytes: [usize; 2],
    kernels: Vec<KernelFigures>,
    scaling: Vec<Scale>,
    /// All threads for the longest time, at the first content length.
    feed: Run,
    latency: Latency,
}

/// One kernel, at each content length.
#[derive(Debug, Serialize)]
struct KernelFigures {
    name: &'static str,
    /// Whether mining takes it here unless told otherwise.
    chosen: bool,
    /// Nanoseconds of thread CPU time per hash of the kernel alone.
    raw_ns_per_hash: Vec<f64>,
    /// The same as hashes per second of thread CPU time.
    raw_per_cpu_second: Vec<f64>,
    /// Hashes per second of thread CPU time of a whole search on one thread.
    mined_per_cpu_second: Vec<f64>,
}

/// The rate of some threads together.
#[derive(Debug, Serialize)]
struct Scale {
    threads: usize,
    per_second: f64,
    per_cpu_second: f64,
    /// `per_second` by that of one thread.
    speedup: f64,
}

/// Times in milliseconds.
#[derive(Debug, Serialize)]
struct Latency {
    cancel_p50_ms: f64,
    cancel_p99_ms: f64,
    /// Median from asking to the mined event, by difficulty in bits.
    found_ms: Vec<(u16, f64)>,
}

pub(super) fn run(args: &BenchArgs) -> Result<(), Failure> {
    let loaded = one_shot(&args.config, args.config.flags(&[]))?;
    let engine = loaded.config.engine;
    let report = runtime()?.block_on(measure(args, &engine))?;
    if args.json { json_line(&report) } else { line(report::text(&report)) }
}

async fn measure(args: &BenchArgs, engine: &ClientConfig) -> Result<Report, Failure> {
    let all = Duration::from_secs(args.seconds.into());
    // Whatever cannot be had is told before anything is measured.
    let bench = Bench::start(engine, &args.pool).await?;
    let most = bench.threads();
    bench.close().await;
    let most = most?;
    let kernels = kernels(engine, &args.pool, all.mul_f64(0.4)).await?;
    let steps = steps(most);
    let mut scaling = Vec::new();
    let mut feed = None;
    for threads in steps.clone() {
        note(format_args!("measuring {}", count(threads, "thread")));
        let last = threads == most;
        let time = if last { all.mul_f64(0.3) } else { all.mul_f64(0.2) / steps.len() as u32 };
        let bench = Bench::start(engine, &with_threads(&args.pool, threads)).await?;
        let run = bench.run(CONTENT_BYTES[0], time).await;
        bench.close().await;
        let run = run?;
        let one = scaling.first().map_or(run.per_second, |one: &Scale| one.per_second);
        scaling.push(Scale {
            threads,
            per_second: run.per_second,
            per_cpu_second: run.per_cpu_second,
            speedup: run.per_second / one.max(1e-9),
        });
        feed = Some(run);
    }
    let feed = feed.ok_or_else(|| Failure::because("no thread was measured"))?;
    note("measuring how soon a search begins and ends");
    let bench = Bench::start(engine, &args.pool).await?;
    let latency = latency(&bench).await;
    bench.close().await;
    Ok(Report {
        version: env!("CARGO_PKG_VERSION"),
        seconds: args.seconds,
        machine: Machine::this(),
        content_bytes: CONTENT_BYTES,
        kernels,
        scaling,
        feed,
        latency: latency?,
    })
}

/// The same with so many threads.
fn with_threads(args: &PoolArgs, threads: usize) -> PoolArgs {
    PoolArgs { threads: u16::try_from(threads).ok(), ..args.clone() }
}

/// Each kernel alone and in a search, within about `time`; only the one that was asked for, if one
/// was.
async fn kernels(
    engine: &ClientConfig,
    args: &PoolArgs,
    time: Duration,
) -> Result<Vec<KernelFigures>, Failure> {
    let only = args.kernel.as_deref().filter(|name| *name != AUTO);
    let mut kernels = nipworker_hash::kernels();
    kernels.retain(|kernel| only.is_none_or(|only| only == kernel.name()));
    let chosen = nipworker_hash::choose().kernel.name();
    // A quarter for the kernel alone, the rest for searches, which take longer to settle.
    let each = time / (kernels.len() * CONTENT_BYTES.len()).max(1) as u32;
    let mut figures = Vec::new();
    for kernel in kernels {
        note(format_args!("measuring kernel {}", kernel.name()));
        let raw_ns_per_hash: Vec<f64> = CONTENT_BYTES
            .iter()
            .map(|bytes| kernels::ns_per_hash(kernel, Shape::of_content(*bytes), each / 4))
            .collect();
        let pool = PoolArgs { kernel: Some(kernel.name().to_owned()), ..with_threads(args, 1) };
        let bench = Bench::start(engine, &pool).await?;
        let mut mined_per_cpu_second = Vec::new();
        for bytes in CONTENT_BYTES {
            mined_per_cpu_second.push(bench.run(bytes, each * 3 / 4).await?.per_cpu_second);
        }
        bench.close().await;
        figures.push(KernelFigures {
            name: kernel.name(),
            chosen: chosen == kernel.name(),
            raw_per_cpu_second: raw_ns_per_hash.iter().map(|ns| 1e9 / ns).collect(),
            raw_ns_per_hash,
            mined_per_cpu_second,
        });
    }
    Ok(figures)
}

async fn latency(bench: &Bench) -> Result<Latency, Failure> {
    let mut cancels = Vec::new();
    for _ in 0..CANCELS {
        cancels.push(bench.cancel(CONTENT_BYTES[0]).await?);
    }
    let mut found_ms = Vec::new();
    for bits in FIND_BITS {
        let mut times = Vec::new();
        for _ in 0..FINDS {
            times.push(bench.find(CONTENT_BYTES[0], bits).await?);
        }
        found_ms.push((bits, 1e3 * quantile(&mut times, 0.5)));
    }
    Ok(Latency {
        cancel_p50_ms: 1e3 * quantile(&mut cancels, 0.5),
        cancel_p99_ms: 1e3 * quantile(&mut cancels, 0.99),
        found_ms,
    })
}

/// 1, 2, 4, … and `most`.
fn steps(most: usize) -> Vec<usize> {
    let powers = std::iter::successors(Some(1_usize), |n| n.checked_mul(2));
    powers.take_while(|n| *n < most).chain([most]).collect()
}

/// The smallest value that at least this share of the values does not exceed.
fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (share * values.len() as f64).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_doubled_up_to_the_most() {
        assert_eq!(steps(1), [1]);
        assert_eq!(steps(2), [1, 2]);
        assert_eq!(steps(6), [1, 2, 4, 6]);
        assert_eq!(steps(8), [1, 2, 4, 8]);
    }

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let mut values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(quantile(&mut values, 0.5), 50.0);
        assert_eq!(quantile(&mut values, 0.99), 99.0);
        assert_eq!(quantile(&mut [7.0], 0.99), 7.0);
        assert_eq!(quantile(&mut [], 0.5), 0.0);
    }
}
