//! Whatever is killed and whenever: after a restore no finished range is tried again, and none is
//! left out.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{book, config, endless, eventually, finite};
use nipworker_mining::{
    BatchContext, BatchResult, Best, BookCheckpoint, CHECKPOINT_VERSION, CheckpointError, Hit,
    JobBook, JobId, JobLimits, JobRequest, Outcome, Priority, Span, Workload, WorkloadError,
    WorkloadFactory, spin_calibrated,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const ITEMS: u64 = 40_000;

/// How often each index was tried in this life of the book. Its score is a hash of the index, so
/// that the best is at a place that nobody expects.
struct Marks(Vec<AtomicU32>);

struct MarkFactory(Arc<Marks>);

struct MarkWork(Arc<Marks>);

fn score(index: u64) -> u64 {
    (index + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40
}

impl WorkloadFactory for MarkFactory {
    fn name(&self) -> &str {
        "marks"
    }
    fn prepare(&self, _: &Value) -> Result<Arc<dyn Workload>, WorkloadError> {
        Ok(Arc::new(MarkWork(Arc::clone(&self.0))))
    }
}

impl Workload for MarkWork {
    fn name(&self) -> &str {
        "marks"
    }
    fn space(&self) -> u64 {
        ITEMS
    }
    fn run(&self, span: Span, ctx: &BatchContext<'_>) -> BatchResult {
        let mut result = BatchResult::default();
        for index in span.start..span.end() {
            if ctx.is_cancelled() {
                break;
            }
            self.0.0[index as usize].fetch_add(1, SeqCst);
            spin_calibrated(5);
            let best = Best { index, score: score(index) };
            result.best = Some(result.best.map_or(best, |other| other.better(best)));
            result.attempts += 1;
        }
        result
    }
    fn verify(&self, hit: &Hit) -> Result<(), WorkloadError> {
        let (workload, reason) = ("marks".into(), "it has none".into());
        Err(WorkloadError::BadHit { workload, index: hit.index, reason })
    }
}

/// A book of its own, as after a restart of the process.
struct Life {
    book: JobBook,
    marks: Arc<Marks>,
}

impl Life {
    fn new(threads: usize) -> Self {
        let marks = Arc::new(Marks((0..ITEMS).map(|_| AtomicU32::new(0)).collect()));
        let book = JobBook::new();
        book.register(Arc::new(MarkFactory(Arc::clone(&marks))));
        book.start_pool(config(threads)).unwrap();
        Self { book, marks }
    }

    fn tried(&self, index: u64) -> u32 {
        self.marks.0[index as usize].load(SeqCst)
    }

    fn attempts(&self, id: JobId) -> u64 {
        self.book.progress(id, Instant::now()).unwrap().attempts
    }

    fn ended(&self, id: JobId) -> bool {
        self.book.progress(id, Instant::now()).unwrap().outcome.is_some()
    }

    /// Waits for some more attempts, or the end.
    fn advance(&self, id: JobId, by: u64) {
        let before = self.attempts(id);
        eventually("progress", || self.attempts(id) >= before + by || self.ended(id));
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// A thread dies.
    Kill(usize),
    /// The pool is replaced by one of so many threads.
    Restart(usize),
    /// The job stands still for a moment.
    Pause,
    /// The process is killed so many attempts after its last checkpoint.
    Crash(u64),
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let step = prop_oneof![
        3 => (0usize..3).prop_map(Step::Kill),
        1 => (1usize..4).prop_map(Step::Restart),
        1 => Just(Step::Pause),
        3 => (0u64..4_000).prop_map(Step::Crash),
    ];
    proptest::collection::vec((0u64..3_000, step), 1..10)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn kills_checkpoints_and_restores_in_any_order_neither_lose_nor_double_a_range(
        steps in steps(),
        start in 0u64..500,
    ) {
        let mut life = Life::new(3);
        let mut threads = 3;
        let mut request = JobRequest::new("marks", json!({}));
        request.start = start;
        let id = life.book.submit(request).unwrap().detach();
        // What the present life began with.
        let mut done = vec![false; ITEMS as usize];
        let mut best = None;
        for (wait, step) in steps {
            life.advance(id, wait);
            match step {
                Step::Kill(index) => life.book.pool().unwrap().kill_thread(index % threads),
                Step::Restart(count) => {
                    threads = count;
                    life.book.start_pool(config(count)).unwrap();
                }
                Step::Pause => {
                    if life.book.pause(id).unwrap() {
                        prop_assert!(life.book.resume(id).unwrap());
                    }
                }
                Step::Crash(later) => {
                    let text = life.book.checkpoint(Instant::now()).to_json().unwrap();
                    life.advance(id, later);
                    let checkpoint = BookCheckpoint::from_json(&text).unwrap();
                    let Some(job) = checkpoint.jobs.first() else { break };
                    life = Life::new(threads);
                    prop_assert_eq!(*life.book.restore(&checkpoint)[0].as_ref().unwrap(), id);
                    let progress = life.book.progress(id, Instant::now()).unwrap();
                    prop_assert!(progress.elapsed >= job.elapsed);
                    prop_assert!(progress.attempts >= job.attempts);
                    done.fill(false);
                    for span in job.finished.spans().iter().chain(&job.quarantined) {
                        done[span.start as usize..span.end() as usize].fill(true);
                    }
                    best = job.best;
                }
            }
        }
        let outcome = life.book.watch(id).unwrap().wait();
        let quarantined = match outcome {
            Outcome::Exhausted => Vec::new(),
            Outcome::Quarantined(spans) => spans,
            other => panic!("{other:?}"),
        };
        let progress = life.book.progress(id, Instant::now()).unwrap();
        let given_up: u64 = quarantined.iter().map(|span| span.len).sum();
        prop_assert_eq!(progress.doubled, 0);
        prop_assert_eq!(progress.attempts + given_up, ITEMS - start);
        for index in 0..ITEMS {
            let lost = quarantined.iter().any(|span| span.start <= index && index < span.end());
            let tried = life.tried(index);
            if index < start || done[index as usize] {
                prop_assert_eq!(tried, 0, "{} was finished and is tried again", index);
            } else if !lost {
                prop_assert!(tried >= 1, "{} was never tried", index);
            }
        }
        if quarantined.is_empty() {
            let want = (start..ITEMS)
                .map(|index| Best { index, score: score(index) })
                .reduce(Best::better);
            prop_assert_eq!(progress.best, want, "the best of all lives");
        }
        if let (Some(kept), Some(best)) = (best, progress.best) {
            prop_assert_eq!(best.better(kept), best);
        }
    }

    #[test]
    fn a_text_that_was_cut_or_changed_is_refused_or_harmless(
        cut in 0usize..2_000,
        change in (0usize..2_000, any::<u8>()),
    ) {
        let text = sample().to_json().unwrap();
        let short = &text[..cut % text.len()];
        let refused = BookCheckpoint::from_json(short);
        prop_assert!(matches!(refused, Err(CheckpointError::Damaged { .. })), "{refused:?}");
        let mut changed = text.clone();
        let at = change.0 % text.len();
        changed[at] = change.1;
        if let Ok(checkpoint) = BookCheckpoint::from_json(&changed) {
            // Each job is taken whole or refused with a reason.
            let next = book(0);
            for answer in next.restore(&checkpoint) {
                if let Err(error) = answer {
                    prop_assert!(!error.to_string().is_empty());
                }
            }
        }
    }
}

/// Two jobs of which one has run.
fn sample() -> BookCheckpoint {
    static SAMPLE: Mutex<Option<BookCheckpoint>> = Mutex::new(None);
    let mut sample = SAMPLE.lock().unwrap();
    let taken = sample.get_or_insert_with(|| {
        let book = book(2);
        let id = book.submit(finite(10_000_000, 10)).unwrap().detach();
        let mut request = endless(10);
        request.priority = Priority::Bulk;
        request.limits =
            JobLimits { cpu_percent: Some(30), max_attempts: Some(77), ..JobLimits::default() };
        let other = book.submit(request).unwrap().detach();
        book.pause(other).unwrap();
        eventually("it works", || book.progress(id, Instant::now()).unwrap().attempts > 100);
        book.checkpoint(Instant::now())
    });
    taken.clone()
}

#[test]
fn a_checkpoint_comes_back_as_it_was_and_carries_its_version() {
    let checkpoint = sample();
    let text = checkpoint.to_json().unwrap();
    assert_eq!(BookCheckpoint::from_json(&text).unwrap(), checkpoint);
    let value: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(value["version"], json!(CHECKPOINT_VERSION));
    assert_eq!(checkpoint.jobs[1].request.limits.cpu_percent, Some(30));
}

#[test]
fn a_checkpoint_of_a_later_release_is_refused_with_both_versions() {
    let text = json!({ "version": CHECKPOINT_VERSION + 1, "pages": {} }).to_string();
    let error = BookCheckpoint::from_json(text.as_bytes()).unwrap_err();
    assert_eq!(error, CheckpointError::Version { found: 2, known: 1 });
    assert_eq!(error.to_string(), "the checkpoint has version 2, this release reads up to 1");
    // As a part of something larger as well.
    let inner = json!([{ "version": CHECKPOINT_VERSION + 1, "jobs": [] }]);
    let error = serde_json::from_value::<Vec<BookCheckpoint>>(inner).unwrap_err();
    assert!(error.to_string().contains("version 2"), "{error}");
}

#[test]
fn the_time_that_has_passed_counts_towards_the_timeout_after_a_restore() {
    let first = book(1);
    let mut request = endless(20);
    request.limits.timeout = Some(Duration::from_millis(150));
    let id = first.submit(request).unwrap().detach();
    eventually("half of it is over", || {
        first.progress(id, Instant::now()).unwrap().elapsed > Duration::from_millis(100)
    });
    let checkpoint = first.checkpoint(Instant::now());
    drop(first);
    // On a machine that others load it may have run out before the checkpoint.
    let Some(job) = checkpoint.jobs.first() else { return };
    assert!(job.elapsed > Duration::from_millis(100));
    let next = book(1);
    next.restore(&checkpoint)[0].as_ref().unwrap();
    assert_eq!(next.watch(id).unwrap().wait(), Outcome::TimedOut);
    let progress = next.progress(id, Instant::now()).unwrap();
    assert!(progress.elapsed >= Duration::from_millis(150), "{:?}", progress.elapsed);
}
