//! Our own contenders: the raw kernel, the search over it, and the whole engine.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use nipworker_benches::{process_cpu, thread_cpu};
use nipworker_core::{ClientConfig, MineOptions, MiningOutcome, NostrClient};
use nipworker_hash::{BLOCK_BYTES, LANES, Midstates, Row, Schedule, SearchKernel, Seed};
use nipworker_mining::{BatchContext, BatchResult, Span, Workload, WorkloadFactory};
use nipworker_pow::{PowFactory, PowInput, mined_event};
use nipworker_transport::memory::MemoryNetwork;

use crate::note::{Note, WRITTEN_AT, assert_mined};

/// Leading zero bits that nothing here will reach.
const UNREACHABLE: u32 = 60;
/// Leading zero bits that are soon reached, written with as many digits.
const EASY: u32 = 12;
/// CPU time of one batch: what the pool aims at.
const BATCH: Duration = Duration::from_millis(2);

/// How much of a hash is left to an attempt, in the layout that the search chose for a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Shape {
    /// Blocks behind the one with the last digits.
    pub(crate) tail: usize,
    /// Rounds of that block before its first word that changes from row to row.
    pub(crate) hoisted: usize,
}

impl Shape {
    /// Read off a note that was mined.
    pub(crate) fn of(note: Note) -> Self {
        let event = Search::new(nipworker_hash::choose().kernel, note).mine();
        let preimage = event.id_preimage();
        let digits = &event.tags.last().expect("a mined note has a nonce").0[1];
        let mark = format!("[\"nonce\",\"{digits}");
        let at = preimage
            .windows(mark.len())
            .rposition(|window| window == mark.as_bytes())
            .expect("the nonce is in the serialisation");
        let last_digit = at + mark.len() - 1;
        let first_block = last_digit / BLOCK_BYTES;
        // SHA-256 appends a marker byte and the length in eight.
        let blocks = (preimage.len() + 9).div_ceil(BLOCK_BYTES);
        Self { tail: blocks - first_block - 1, hoisted: last_digit % BLOCK_BYTES / 4 }
    }
}

/// The kernel alone, on rows of a shape.
pub(crate) struct Raw {
    kernel: &'static dyn SearchKernel,
    midstates: Midstates,
    first: Schedule,
    tail: Vec<Schedule>,
    found: Vec<nipworker_hash::Candidate>,
}

impl Raw {
    pub(crate) fn new(kernel: &'static dyn SearchKernel, shape: Shape) -> Self {
        let block = [b'0'; BLOCK_BYTES];
        let words = [u32::from_be_bytes(*b"0000"); 16];
        let mut midstates = Midstates::new();
        let seed = Seed {
            state: &nipworker_hash::INITIAL_STATE,
            block: &block,
            hoisted: &words[..shape.hoisted.min(15)],
        };
        kernel.fill(&seed, 0..LANES, &mut midstates);
        let schedule = Schedule::new(&block);
        let tail = vec![schedule.clone(); shape.tail];
        Self { kernel, midstates, first: schedule, tail, found: Vec::new() }
    }

    /// Hashes some rows; says how many attempts that was.
    pub(crate) fn step(&mut self) -> u64 {
        const ROWS: u64 = 16;
        let row = Row { midstates: &self.midstates, first: &self.first, tail: &self.tail };
        for _ in 0..ROWS {
            self.kernel.scan(&row, 0..LANES, 0, &mut self.found);
        }
        self.found.clear();
        ROWS * LANES as u64
    }
}

/// The NIP-13 search on one kernel, batch by batch as the pool would call it.
pub(crate) struct Search {
    workload: Arc<dyn Workload>,
    note: Note,
    kernel: &'static dyn SearchKernel,
    next: u64,
    batch: u64,
    most: u64,
}

impl Search {
    pub(crate) fn new(kernel: &'static dyn SearchKernel, note: Note) -> Self {
        let workload = workload(kernel, note, UNREACHABLE);
        let hint = workload.batch_hint();
        Self { workload, note, kernel, next: 0, batch: hint.initial, most: hint.max }
    }

    /// One batch; says how many attempts it made.
    pub(crate) fn step(&mut self) -> u64 {
        let span = Span::new(self.next, self.batch);
        let start = thread_cpu();
        let result = run(&*self.workload, span);
        let used = (thread_cpu() - start).as_secs_f64().max(1e-7);
        assert_eq!(result.attempts, span.len, "a batch that nobody stops is finished");
        assert!(result.hits.is_empty(), "{UNREACHABLE} bits were reached");
        self.next = span.end();
        let fitting = self.batch as f64 * BATCH.as_secs_f64() / used;
        self.batch = (fitting as u64).clamp(1, self.most).min(self.batch.saturating_mul(4));
        result.attempts
    }

    /// Runs batches until they have the size the pool would give them.
    pub(crate) fn warmed_up(mut self) -> Self {
        let start = thread_cpu();
        while thread_cpu() - start < 2 * BATCH {
            self.step();
        }
        self
    }

    /// Mines the note for real, and has the result checked by rust-nostr.
    pub(crate) fn mine(&self) -> nipworker_protocol::UnsignedEvent {
        let workload = workload(self.kernel, self.note, EASY);
        let mut start = 0;
        loop {
            let span = Span::new(start, 10_000);
            let result = run(&*workload, span);
            if let Some(hit) = result.hits.first() {
                workload.verify(hit).expect("a hit is real");
                let event = mined_event(hit).expect("a hit is an event");
                assert_mined(&event, EASY as u8, self.kernel.name());
                return event;
            }
            start = span.end();
        }
    }
}

fn workload(kernel: &'static dyn SearchKernel, note: Note, difficulty: u32) -> Arc<dyn Workload> {
    let input = PowInput::new(note.event(), difficulty).into_request().input;
    let factory = PowFactory::with_kernel(Arc::new(|| WRITTEN_AT), kernel);
    factory.prepare(&input).expect("a plain note can be mined")
}

fn run(workload: &dyn Workload, span: Span) -> BatchResult {
    let current = AtomicU64::new(0);
    workload.run(span, &BatchContext::new(0, &current, 0))
}

/// The engine as a client uses it: request, actor, book, queue, pool.
pub(crate) struct Engine {
    runtime: tokio::runtime::Runtime,
    client: NostrClient,
}

impl Engine {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime can be built");
        let client = runtime
            .block_on(
                NostrClient::builder()
                    .config(ClientConfig::default())
                    .transport(Arc::new(MemoryNetwork::new()))
                    .build(),
            )
            .expect("the engine starts with its defaults");
        Self { runtime, client }
    }

    /// Attempts per second of CPU time of the whole process, on so many threads (0 for all), for
    /// a job of about `cpu_seconds` at `guess` attempts per second.
    pub(crate) fn rate(&self, note: Note, threads: u32, cpu_seconds: f64, guess: f64) -> f64 {
        let options = MineOptions {
            threads: (threads > 0).then_some(threads),
            max_attempts: Some((guess * cpu_seconds) as u64 + 1),
            ..MineOptions::default()
        };
        let before = process_cpu();
        let outcome = self.runtime.block_on(async {
            let bits = UNREACHABLE as u16;
            let job = self.client.mine_with(note.event(), bits, options).await?;
            job.solved().await
        });
        let used = (process_cpu() - before).as_secs_f64();
        match outcome {
            Ok(MiningOutcome::Exhausted { attempts }) => attempts as f64 / used,
            other => panic!("the job was to end at its limit: {other:?}"),
        }
    }

    pub(crate) fn stop(self) {
        self.runtime.block_on(self.client.close());
    }
}
