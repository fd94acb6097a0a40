//! The suite that every workload runs in its tests.
//!
//! Give [`check`] a factory, inputs that it takes and inputs that it refuses. It panics with a
//! sentence about what does not hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Instant;

use nipworker_pool::{BatchContext, PoolConfig, Span, thread_cpu_ns};
use serde_json::Value;

use crate::book::JobBook;
use crate::progress::Outcome;
use crate::request::{JobLimits, JobRequest};
use crate::workload::{Hit, Workload, WorkloadFactory};

/// A job that the suite runs.
#[derive(Clone, Debug)]
pub struct Case {
    /// Input of the workload; it must be deterministic: the same index is a hit each time.
    pub input: Value,
    /// Number of indices from 0 to try; at least one hit must be among them.
    pub within: u64,
}

/// Thread CPU time within which a cancelled batch must return.
const CANCEL_LIMIT_NS: u64 = 20_000_000;

/// Runs the suite.
///
/// # Panics
///
/// If anything does not hold.
pub fn check(factory: &Arc<dyn WorkloadFactory>, cases: &[Case], refused: &[Value]) {
    assert!(!factory.name().is_empty(), "a workload has a name");
    for input in refused.iter().chain([&Value::Null, &Value::from("nonsense")]) {
        let Err(error) = factory.prepare(input) else { panic!("{input} was not refused") };
        assert!(!error.to_string().is_empty(), "a refusal says why");
    }
    assert!(!cases.is_empty(), "the suite needs a case");
    for case in cases {
        let workload = prepare(factory, &case.input);
        assert_eq!(workload.name(), factory.name(), "a workload names its factory");
        let hint = workload.batch_hint();
        assert!(hint.initial >= 1 && hint.initial <= hint.max, "{hint:?} cannot be used");
        assert!(workload.space() >= case.within, "the case lies outside the space");
        check_spans(workload.as_ref(), case);
        check_preparing_again(factory, workload.as_ref(), case);
        check_hits(workload.as_ref(), case);
        check_cancel(workload.as_ref(), case);
        check_in_book(factory, case);
    }
}

fn prepare(factory: &Arc<dyn WorkloadFactory>, input: &Value) -> Arc<dyn Workload> {
    match factory.prepare(input) {
        Ok(workload) => workload,
        Err(error) => panic!("{input} was refused: {error}"),
    }
}

/// All hits of a span, run to its end in pieces of `piece`.
fn hits_of(workload: &dyn Workload, whole: Span, piece: u64) -> Vec<Hit> {
    let current = AtomicU64::new(0);
    let ctx = BatchContext::new(0, &current, 0);
    let mut hits = Vec::new();
    let mut rest = whole;
    while !rest.is_empty() {
        let (span, _) = rest.split_at(piece);
        let result = workload.run(span, &ctx);
        assert!(result.attempts <= span.len, "more attempts than items in {span:?}");
        assert!(result.attempts > 0, "no progress on {span:?} without a cancel");
        assert!(
            result.attempts == span.len || !result.hits.is_empty(),
            "{span:?} was left early without a hit"
        );
        let (done, _) = span.split_at(result.attempts);
        for hit in &result.hits {
            assert!(done.start <= hit.index && hit.index < done.end(), "{hit:?} outside {done:?}");
        }
        if let Some(best) = result.best {
            assert!(
                done.start <= best.index && best.index < done.end(),
                "{best:?} not in {done:?}"
            );
        }
        hits.extend(result.hits);
        rest = rest.split_at(result.attempts).1;
    }
    hits
}

fn check_spans(workload: &dyn Workload, case: &Case) {
    let current = AtomicU64::new(0);
    let none = workload.run(Span::new(3, 0), &BatchContext::new(0, &current, 0));
    assert_eq!((none.attempts, none.hits.len()), (0, 0), "an empty span has no attempts");
    let whole = Span::new(0, case.within);
    let want = hits_of(workload, whole, u64::MAX);
    assert!(!want.is_empty(), "no hit within the {} indices of the case", case.within);
    for piece in [1, 7, 64, 1_000] {
        // Single steps over a large case would only take long.
        if case.within / piece > 20_000 {
            continue;
        }
        assert_eq!(hits_of(workload, whole, piece), want, "pieces of {piece} change the hits");
    }
}

fn check_preparing_again(factory: &Arc<dyn WorkloadFactory>, workload: &dyn Workload, case: &Case) {
    let again = prepare(factory, &case.input);
    let whole = Span::new(0, case.within);
    assert_eq!(
        hits_of(again.as_ref(), whole, u64::MAX),
        hits_of(workload, whole, u64::MAX),
        "preparing the same input again changes what the indices mean"
    );
}

fn check_hits(workload: &dyn Workload, case: &Case) {
    for hit in hits_of(workload, Span::new(0, case.within), u64::MAX).iter().take(3) {
        if let Err(error) = workload.verify(hit) {
            panic!("its own hit fails the verification: {error}");
        }
        let moved = Hit { index: hit.index ^ 1, ..hit.clone() };
        assert!(workload.verify(&moved).is_err(), "a hit with another index passes");
        let raised = Hit { score: hit.score + 1, ..hit.clone() };
        assert!(workload.verify(&raised).is_err(), "a hit with a better score passes");
        for solution in [Value::Null, Value::from("x"), Value::Object(serde_json::Map::new())] {
            let spoilt = Hit { solution, ..hit.clone() };
            assert!(workload.verify(&spoilt).is_err(), "{spoilt:?} passes");
        }
    }
}

fn check_cancel(workload: &dyn Workload, case: &Case) {
    let current = AtomicU64::new(1);
    let cancelled = BatchContext::new(0, &current, 0);
    let start = thread_cpu_ns();
    let result = workload.run(Span::new(0, case.within), &cancelled);
    let took = thread_cpu_ns() - start;
    assert!(result.attempts < case.within.max(2), "a cancelled batch ran to its end");
    assert!(took < CANCEL_LIMIT_NS, "a cancelled batch took {took} ns");
    // Cancelled from outside while it runs over the rest of its space.
    let stop = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let running = scope.spawn(|| {
            let ctx = BatchContext::new(0, &stop, 0);
            let mut at = 0;
            while !ctx.is_cancelled() && at < workload.space() {
                at += workload.run(Span::new(at, u64::MAX), &ctx).attempts;
            }
        });
        std::thread::yield_now();
        stop.store(1, SeqCst);
        assert!(running.join().is_ok(), "a cancelled batch panicked");
    });
}

fn check_in_book(factory: &Arc<dyn WorkloadFactory>, case: &Case) {
    let book = JobBook::new();
    book.register(Arc::clone(factory));
    let config = PoolConfig { threads: Some(3), ..JobBook::pool_config() };
    if let Err(error) = book.start_pool(config) {
        panic!("the pool does not start: {error}");
    }
    let mut request = JobRequest::new(factory.name(), case.input.clone());
    request.limits = JobLimits { max_attempts: Some(case.within), ..JobLimits::default() };
    let job = match book.submit(request) {
        Ok(job) => job,
        Err(error) => panic!("the job is refused: {error}"),
    };
    let outcome = job.wait();
    let Outcome::Found(hit) = outcome else { panic!("the job ended with {outcome:?}") };
    if let Err(error) = prepare(factory, &case.input).verify(&hit) {
        panic!("the reported hit fails the verification: {error}");
    }
    let progress = job.progress(Instant::now());
    assert_eq!((progress.bad_hits, progress.doubled), (0, 0));
    assert!(progress.attempts <= case.within);
    assert!(progress.best.is_some_and(|best| best.score >= hit.score), "{progress:?}");
}
