//! What does an attempt cost on each kernel, against one block of the `sha2` crate per call?
//!
//! All contenders run in turns on one thread, round by round; a figure is the median over the
//! rounds of thread CPU time per hash. A fill counts per midstate. Cycles follow from the clock,
//! which a chain of dependent multiplications calibrates before and after.
//!
//! The floor of a processor with SHA instructions is the throughput of `sha256rnds2`, of which 64
//! rounds take 32; the bench measures that too.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::cell::RefCell;
use std::hint::black_box;

use nipworker_benches::{Contender, interleaved, median, thread_cpu};
use nipworker_hash::{
    BLOCK_BYTES, INITIAL_STATE, LANES, Midstates, Row, Schedule, SearchKernel, Seed, kernels,
};

const ROUNDS: usize = 21;
/// Blocks that one run of a contender hashes, about.
const BLOCKS: usize = 40_000;

/// What is hashed: hoisted words of the first block, and blocks behind it.
const CASES: [(usize, usize); 6] = [(0, 0), (6, 0), (8, 0), (0, 1), (0, 4), (0, 15)];

fn main() {
    let before = clock_ghz();
    let kernels = kernels();
    let bench = Bench::new();
    let mut names = Vec::new();
    for kernel in &kernels {
        for (hoisted, tail) in CASES {
            names.push(format!("{} {hoisted} {tail}", kernel.name()));
        }
        names.push(format!("{} fill", kernel.name()));
    }
    let mut contenders: Vec<Contender<'_>> = vec![("sha2", Box::new(|| bench.sha2()))];
    let mut name = names.iter();
    for kernel in &kernels {
        let bench = &bench;
        for (hoisted, tail) in CASES {
            let midstates = RefCell::new(Midstates::new());
            bench.fill(*kernel, hoisted, &mut midstates.borrow_mut());
            let run = move || bench.scan(*kernel, &midstates.borrow(), tail);
            contenders.push((name.next().unwrap(), Box::new(run)));
        }
        let mut midstates = Midstates::new();
        let run = move || bench.fills(*kernel, &mut midstates);
        contenders.push((name.next().unwrap(), Box::new(run)));
    }
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("sha") {
        contenders.push(("sha256rnds2", Box::new(rounds_ns)));
    }
    let figures = interleaved(ROUNDS, &mut contenders);
    drop(contenders);
    let after = clock_ghz();
    let ghz = f64::midpoint(before, after);
    println!("clock: {ghz:.3} GHz by dependent multiplications ({before:.3}, then {after:.3})");
    let of = |wanted: &str| figures.iter().find(|(name, _)| name == wanted).map(|(_, ns)| *ns);
    let sha2 = of("sha2").unwrap();
    println!("sha2, one block per call: {sha2:.2} ns, {:.1} cycles", sha2 * ghz);
    let unit = of("sha256rnds2").map(|ns| ns * ghz);
    if let Some(cycles) = unit {
        println!("sha256rnds2 alone: one in {cycles:.2} cycles");
    }
    println!();
    println!(
        "| kernel | hoisted | blocks behind | ns | cycles | a block | x sha2 | floor | unit |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|");
    for kernel in &kernels {
        for (hoisted, tail) in CASES {
            let ns = of(&format!("{} {hoisted} {tail}", kernel.name())).unwrap();
            let cycles = ns * ghz;
            let blocks = (tail + 1) as f64;
            // Two rounds each; without those that are hoisted.
            let instructions = 32.0 * blocks - (hoisted / 2) as f64;
            let of_unit = unit.map_or("-".to_owned(), |unit| {
                format!("{:.1} %", 100.0 * instructions * unit / cycles)
            });
            println!(
                "| {} | {hoisted} | {tail} | {ns:.2} | {cycles:.1} | {:.1} | {:.2} | {:.1} % | {of_unit} |",
                kernel.name(),
                cycles / blocks,
                blocks * sha2 / ns,
                100.0 * instructions / cycles,
            );
        }
    }
    println!();
    println!("x sha2: against as many blocks of it. floor: one sha256rnds2 in a cycle as 100 %.");
    println!("unit: this processor's own rate of them as 100 %; above that, other units help.");
    println!();
    println!("| kernel | fill of one midstate, ns | cycles | of a block of sha2 |");
    println!("|---|---:|---:|---:|");
    for kernel in &kernels {
        let ns = of(&format!("{} fill", kernel.name())).unwrap();
        let share = 100.0 * ns / sha2;
        println!("| {} | {ns:.2} | {:.1} | {share:.0} % |", kernel.name(), ns * ghz);
    }
}

struct Bench {
    first: Schedule,
    words: [u32; 15],
    tail: Vec<Schedule>,
}

impl Bench {
    const BEFORE: [u8; BLOCK_BYTES] = [b'a'; BLOCK_BYTES];

    fn new() -> Self {
        let tail = (0..15).map(|block| Schedule::new(&[block; BLOCK_BYTES])).collect();
        let word = u32::from_be_bytes([b'b'; 4]);
        Self { first: Schedule::new(&[b'b'; BLOCK_BYTES]), words: [word; 15], tail }
    }

    fn fill(&self, kernel: &dyn SearchKernel, hoisted: usize, midstates: &mut Midstates) {
        let seed =
            Seed { state: &INITIAL_STATE, block: &Self::BEFORE, hoisted: &self.words[..hoisted] };
        kernel.fill(black_box(&seed), 0..LANES, midstates);
    }

    /// Nanoseconds of one midstate, with nothing hoisted.
    fn fills(&self, kernel: &dyn SearchKernel, midstates: &mut Midstates) -> f64 {
        let times = BLOCKS / LANES;
        ns_each(times * LANES, || (0..times).for_each(|_| self.fill(kernel, 0, midstates)))
    }

    /// Nanoseconds of one hash.
    fn scan(&self, kernel: &dyn SearchKernel, midstates: &Midstates, tail: usize) -> f64 {
        let row = Row { midstates, first: &self.first, tail: &self.tail[..tail] };
        let times = (BLOCKS / LANES / (tail + 1)).max(1);
        let mut found = Vec::new();
        let ns = ns_each(times * LANES, || {
            for _ in 0..times {
                kernel.scan(black_box(&row), 0..LANES, 0, &mut found);
            }
        });
        black_box(found);
        ns
    }

    /// Nanoseconds of one block, each in a call of its own that begins with the last one's state.
    fn sha2(&self) -> f64 {
        let mut state = INITIAL_STATE;
        let ns = ns_each(BLOCKS, || {
            for _ in 0..BLOCKS {
                sha2::block_api::compress256(&mut state, black_box(&[Self::BEFORE]));
            }
        });
        black_box(state);
        ns
    }
}

fn ns_each(times: usize, work: impl FnOnce()) -> f64 {
    let begin = thread_cpu();
    work();
    (thread_cpu() - begin).as_secs_f64() * 1e9 / times as f64
}

/// The clock in GHz: a multiplication that needs the result of the one before takes three cycles
/// on every x86 processor since 2008, and so it does on the common ARM cores.
fn clock_ghz() -> f64 {
    const TIMES: usize = 1_000_000;
    let samples: Vec<f64> = (0..15)
        .map(|_| {
            let mut x = black_box(3u64);
            let ns = ns_each(TIMES, || {
                for _ in 0..TIMES / 50 {
                    fifty_multiplications(&mut x);
                }
            });
            black_box(x);
            3.0 / ns
        })
        .collect();
    median(&samples)
}

#[cfg(target_arch = "x86_64")]
fn fifty_multiplications(x: &mut u64) {
    // SAFETY: the instructions change this one register and the flags.
    unsafe {
        std::arch::asm!(
            ".rept 50",
            "imul {0}, {0}",
            ".endr",
            inout(reg) * x,
            options(nomem, nostack)
        );
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn fifty_multiplications(x: &mut u64) {
    for _ in 0..50 {
        *x = black_box(x.wrapping_mul(*x));
    }
}

/// Nanoseconds of one `sha256rnds2`, with six chains of them side by side.
#[cfg(target_arch = "x86_64")]
fn rounds_ns() -> f64 {
    const TIMES: usize = 60_000;
    ns_each(TIMES, || {
        for _ in 0..TIMES / 60 {
            // SAFETY: the caller found the SHA extensions; the instructions change these registers
            // only.
            unsafe {
                std::arch::asm!(
                    ".rept 10",
                    "sha256rnds2 xmm1, xmm2",
                    "sha256rnds2 xmm3, xmm4",
                    "sha256rnds2 xmm5, xmm6",
                    "sha256rnds2 xmm7, xmm8",
                    "sha256rnds2 xmm9, xmm10",
                    "sha256rnds2 xmm11, xmm12",
                    ".endr",
                    out("xmm1") _, out("xmm3") _, out("xmm5") _,
                    out("xmm7") _, out("xmm9") _, out("xmm11") _,
                    options(nomem, nostack),
                );
            }
        }
    })
}
