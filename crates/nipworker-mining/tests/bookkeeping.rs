//! Ids, limits and what the log says.
#![allow(clippy::unwrap_used)]

mod common;

use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{book, config, endless, eventually, finite};
use nipworker_mining::{
    DispatchMode, JobBook, JobId, JobLimits, JobRequest, MAX_ACTIVE_JOBS, MAX_ENDED_JOBS, Outcome,
    PoolConfig, Priority, SubmitError, Submitted, SyntheticFactory, UnknownJob, conformance,
};
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

#[test]
fn the_same_request_under_the_same_id_joins_and_another_is_refused() {
    let book = book(1);
    let id = JobId(99);
    assert_eq!(book.submit_as(id, endless(10)).unwrap(), Submitted::New);
    assert_eq!(book.submit_as(id, endless(10)).unwrap(), Submitted::Joined);
    let error = book.submit_as(id, endless(11)).unwrap_err();
    assert_eq!(error.to_string(), "job 99 exists with another request");
    book.cancel(id).unwrap();
    let watch = book.watch(id).unwrap();
    assert_eq!(watch.wait(), Outcome::Cancelled);
    assert_eq!(book.submit_as(id, endless(10)).unwrap(), Submitted::Joined, "its outcome stands");
    assert!(book.forget(id).unwrap());
    assert_eq!(book.forget(id), Err(UnknownJob { id }));
    assert_eq!(book.submit_as(id, endless(10)).unwrap(), Submitted::New);
}

#[test]
fn ids_of_the_book_avoid_those_of_the_callers() {
    let book = book(0);
    for id in 1..5 {
        book.submit_as(JobId(id), endless(0)).unwrap();
    }
    assert_eq!(book.submit(endless(0)).unwrap().id(), JobId(5));
}

#[test]
fn unusable_requests_are_refused_with_the_reason() {
    let book = book(0);
    let refused = |request: JobRequest| book.submit(request).unwrap_err().to_string();
    assert_eq!(
        refused(JobRequest::new("gold", json!({}))),
        "unknown workload \"gold\", known are: synthetic"
    );
    let text = refused(JobRequest::new("synthetic", json!({ "item_us": 99_000_000 })));
    assert_eq!(text, "invalid synthetic input: item_us is 99000000, allowed is at most 60000000");
    let text = refused(JobRequest::new("synthetic", json!({ "colour": 1 })));
    assert!(text.contains("unknown field `colour`"), "{text}");
    let mut request = endless(0);
    request.limits.max_attempts = Some(0);
    assert_eq!(refused(request), "max_attempts is 0, allowed is at least 1");
    let limited = |limits: JobLimits| refused(JobRequest { limits, ..endless(0) });
    for percent in [0, 101] {
        let limits = JobLimits { cpu_percent: Some(percent), ..JobLimits::default() };
        let text = format!("cpu_percent is {percent}, allowed is 1 to 100 percent");
        assert_eq!(limited(limits), text);
    }
    let limits = JobLimits { timeout: Some(Duration::ZERO), ..JobLimits::default() };
    assert_eq!(
        limited(limits),
        "timeout is 0, allowed is more than 0: the deadline would lie in the past"
    );
    let none = serde_json::from_value::<JobLimits>(json!({ "max_threads": 0 }));
    assert!(none.is_err(), "no threads are no limit but a mistake");
    assert_eq!(book.cancel(JobId(7)), Err(UnknownJob { id: JobId(7) }));
}

#[test]
fn the_number_of_active_jobs_is_bounded() {
    let book = book(0);
    for id in 0..MAX_ACTIVE_JOBS as u64 {
        book.submit_as(JobId(id), endless(0)).unwrap();
    }
    let error = book.submit_as(JobId(u64::MAX), endless(0)).unwrap_err();
    assert!(matches!(error, SubmitError::TooManyJobs { limit: MAX_ACTIVE_JOBS }));
    book.cancel(JobId(3)).unwrap();
    book.submit_as(JobId(u64::MAX), endless(0)).unwrap();
}

#[test]
fn ended_jobs_are_remembered_up_to_a_bound() {
    let book = book(1);
    for id in 0..MAX_ENDED_JOBS as u64 + 50 {
        book.submit_as(JobId(id), finite(1, 0)).unwrap();
        assert_eq!(book.watch(JobId(id)).unwrap().wait(), Outcome::Exhausted);
    }
    assert_eq!(book.list(Instant::now()).len(), MAX_ENDED_JOBS);
    assert!(book.watch(JobId(0)).is_err());
}

#[test]
fn two_jobs_share_the_pool_and_cancelling_one_leaves_the_other() {
    let book = book(2);
    let mut bulk = finite(20_000, 10);
    bulk.priority = Priority::Bulk;
    let kept = book.submit(bulk).unwrap();
    let other = book.submit(endless(10)).unwrap();
    eventually("both work", || {
        book.list(Instant::now()).iter().all(|progress| progress.attempts > 100)
    });
    other.cancel();
    assert_eq!(kept.wait(), Outcome::Exhausted);
    assert_eq!(kept.progress(Instant::now()).attempts, 20_000);
}

#[test]
fn a_book_may_hold_a_job_to_its_share_and_keep_it_idle() {
    let book = book(2);
    let mut request = endless(20);
    request.limits = JobLimits { cpu_percent: Some(20), idle: true, ..JobLimits::default() };
    let job = book.submit(request).unwrap();
    eventually("it is throttled", || {
        let metrics = book.pool_metrics().unwrap();
        metrics.threads.iter().all(|thread| thread.batches > 5)
            && metrics.throttled_ns > metrics.threads.iter().map(|t| t.busy_ns).sum()
    });
    assert_eq!(book.pool_metrics().unwrap().starved_ns, 0);
    job.cancel();
    assert_eq!(job.wait(), Outcome::Cancelled);
}

#[test]
fn the_sequential_baseline_ends_with_the_same_outcome() {
    let book = JobBook::new();
    book.register(Arc::new(SyntheticFactory));
    book.start_pool(PoolConfig { dispatch: DispatchMode::Sequential, ..config(4) }).unwrap();
    let job = book.submit(JobRequest::new("synthetic", json!({ "hit_at": 200 }))).unwrap();
    assert!(matches!(job.wait(), Outcome::Found(hit) if hit.index == 200));
    assert_eq!(job.progress(Instant::now()).attempts, 201);
    assert!(book.pool_metrics().unwrap().starvation_events > 0);
}

#[test]
fn the_synthetic_workload_conforms() {
    let factory: Arc<dyn nipworker_mining::WorkloadFactory> = Arc::new(SyntheticFactory);
    let case = |input| conformance::Case { input, within: 600 };
    conformance::check(
        &factory,
        &[
            case(json!({ "hit_at": 599 })),
            case(json!({ "hit_at": 0, "item_us": 2 })),
            case(json!({ "hit_at": 30, "item_us": 100, "wear": "wait", "items": 600 })),
        ],
        &[json!({ "items": -1 }), json!({ "wear": "tear" }), json!([])],
    );
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[test]
fn the_log_tells_how_work_reaches_the_threads() {
    // The only test that installs a subscriber; the pool's threads need the global one.
    let lines = Lines::default();
    tracing_subscriber::fmt()
        .with_env_filter("miner::dispatch=trace")
        .with_writer(lines.clone())
        .with_ansi(false)
        .init();
    let text = || String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let book = JobBook::new();
    book.register(Arc::new(SyntheticFactory));
    let settings = PoolConfig { stats_every: Duration::from_millis(20), ..config(32) };
    book.start_pool(settings).unwrap();
    let job = book.submit(endless(20)).unwrap();
    eventually("statistics", || text().contains("mining stats: attempts="));
    job.cancel();
    book.stop_pool();
    let text = text();
    for words in [
        "batched dispatch config: workers=32 cores=",
        "low=64 high=128",
        "spawned 32 mining workers",
        "worker #0 started core=",
        "worker #31 started core=",
        "parallel work: 32",
        "nonces generated: ",
        "batch #1: received ",
        "active=",
        "hits=0",
        "throttled_ms=0",
        "lag=0",
        "worker #31 stopped: shutdown",
    ] {
        assert!(text.contains(words), "{words:?} is not in the log:\n{text}");
    }
    assert!(!text.contains("no more work"));
}
