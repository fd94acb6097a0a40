//! Attempts per second of one thread against the length of the content, through the workload as
//! the pool runs it and, beside it, by the bare kernel on the same blocks:
//!
//! ```text
//! cargo run --release -p nipworker-pow --example rates -- [KERNEL|all] [LENGTH…|residues]
//! ```
//!
//! Without arguments it takes the kernel that is chosen on this processor and some typical
//! lengths; `residues` takes all from 0 to 127. Figures are millions per second of thread CPU
//! time, medians of interleaved runs.
#![allow(clippy::print_stdout, missing_docs)]

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use nipworker_hash::{LANES, Midstates, Row, Schedule, Seed};
use nipworker_mining::{BatchContext, Span, WorkloadFactory};
use nipworker_pool::thread_cpu_ns;
use nipworker_pow::{PowFactory, PowInput, SearchKernel, choose, kernel_named, kernels, mined};
use nipworker_protocol::{PublicKey, UnsignedEvent};

const TYPICAL: [usize; 12] = [0, 10, 20, 35, 42, 43, 50, 100, 140, 280, 1_000, 4_000];
/// What a batch takes in the pool.
const BATCH_NS: f64 = 2e6;
const ROUNDS: usize = 15;
/// Batches of a round.
const BATCHES: u64 = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let chosen = match arguments.next().as_deref() {
        None | Some("auto") => vec![choose().kernel],
        Some("all") => kernels(),
        Some(name) => vec![kernel_named(name)?],
    };
    let lengths: Vec<String> = arguments.collect();
    let lengths: Vec<usize> = match &lengths[..] {
        [] => TYPICAL.to_vec(),
        [all] if all == "residues" => (0..128).collect(),
        some => some.iter().map(|len| len.parse()).collect::<Result<_, _>>()?,
    };
    println!("kernel        content  blocks  hoisted  rows/set    MH/s  kernel MH/s   ratio");
    for kernel in chosen {
        for len in &lengths {
            measure(kernel, *len)?;
        }
    }
    Ok(())
}

fn measure(kernel: &'static dyn SearchKernel, len: usize) -> Result<(), Box<dyn Error>> {
    let note = UnsignedEvent::new(
        PublicKey::from_bytes([7; 32]),
        1_700_000_000,
        1,
        vec![],
        "x".repeat(len),
    );
    let factory = PowFactory::with_kernel(Arc::new(|| 1_700_000_000), kernel);
    let (blocks, hoisted, rows) = shape(&factory, &note)?;
    let workload = factory.prepare(&serde_json::to_value(PowInput::new(note, 60))?)?;

    let state = [0x1234_5678; 8];
    let block = [b'7'; 64];
    let words = [u32::from_be_bytes(*b"0000"); 15];
    let seed = Seed { state: &state, block: &block, hoisted: &words[..hoisted] };
    let mut midstates = Midstates::new();
    kernel.fill(&seed, 0..LANES, &mut midstates);
    let first = Schedule::new(&[b'0'; 64]);
    let tail = vec![Schedule::new(&[b'x'; 64]); blocks - 1];
    let row = Row { midstates: &midstates, first: &first, tail: &tail };
    let mut found = Vec::with_capacity(LANES);
    let mut bare = |lanes: u64| {
        let start = thread_cpu_ns();
        let mut left = lanes;
        while left > 0 {
            let now = left.min(LANES as u64);
            found.clear();
            kernel.scan(&row, 0..now as usize, 0, &mut found);
            left -= now;
        }
        (thread_cpu_ns() - start) as f64
    };

    let mut index = 0;
    let mut searched = |attempts: u64| {
        let current = AtomicU64::new(0);
        let ctx = BatchContext::new(0, &current, 0);
        let start = thread_cpu_ns();
        for _ in 0..BATCHES {
            let result = workload.run(Span::new(index, attempts), &ctx);
            index += result.attempts;
        }
        (thread_cpu_ns() - start) as f64
    };

    let warm = bare(2_000).min(bare(2_000)) / 2_000.0;
    let attempts = ((BATCH_NS / warm) as u64).max(1);
    searched(attempts);
    let whole = BATCHES * attempts;
    let mut ours: Vec<f64> = Vec::new();
    let mut kernels: Vec<f64> = Vec::new();
    for _ in 0..ROUNDS {
        ours.push(whole as f64 / searched(attempts) * 1e3);
        kernels.push(whole as f64 / bare(whole) * 1e3);
    }
    let mut ratios: Vec<f64> = ours.iter().zip(&kernels).map(|(ours, bare)| ours / bare).collect();
    println!(
        "{:12}  {len:7}  {blocks:6}  {hoisted:7}  {rows:8}  {:6.2}  {:11.2}  {:5.1} %",
        kernel.name(),
        median(&mut ours),
        median(&mut kernels),
        median(&mut ratios) * 100.0
    );
    Ok(())
}

/// Blocks of an attempt, hoisted rounds, and rows to a set of midstates.
fn shape(
    factory: &PowFactory,
    note: &UnsignedEvent,
) -> Result<(usize, usize, u64), Box<dyn Error>> {
    // As many digits in the target as the search has.
    let easy = factory.prepare(&serde_json::to_value(PowInput::new(note.clone(), 10))?)?;
    let current = AtomicU64::new(0);
    let result = easy.run(Span::new(0, 1 << 20), &BatchContext::new(0, &current, 0));
    let hit = result.hits.first().ok_or("10 bits are found in a million")?;
    let mined = mined(hit)?;
    let preimage = mined.event.id_preimage().len();
    // The 94 bytes before the nonce and 34 of its digits make two blocks.
    let behind = mined.nonce.len() - 34;
    let hoisted = (behind - 1) / 4;
    let blocks = (preimage + 9).div_ceil(64) - 2;
    Ok((blocks, hoisted, 10u64.pow((behind - 4 * hoisted) as u32)))
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
