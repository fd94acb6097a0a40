//! The workload in the miner.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use nipworker_mining::{
    JobBook, JobLimits, JobRequest, Outcome, PoolConfig, Span, WorkloadFactory,
    conformance::{Case, check},
};
use nipworker_tip5::{MODULUS, Tip5Factory, WORKLOAD_NAME, hash};
use serde_json::{Value, json};

/// One digest in 128.
const SEVEN_BITS: u64 = 1 << 57;

fn input(target: u64) -> Value {
    json!({ "header": [1, 2, 3, 4, 5], "target": [0, 0, 0, 0, target], "nonce_tail": [9, 8, 7, 6] })
}

#[test]
fn it_passes_the_suite_of_every_workload() {
    let factory: Arc<dyn WorkloadFactory> = Arc::new(Tip5Factory);
    let last = MODULUS - 1;
    let largest = json!({ "header": [last, last, last, last, last],
        "target": [last, last, last, last, SEVEN_BITS] });
    let cases =
        [Case { input: input(SEVEN_BITS), within: 1_000 }, Case { input: largest, within: 1_000 }];
    let five = [0u64; 5];
    let refused = [
        json!({}),
        json!([five, five]),
        json!({ "header": five }),
        json!({ "header": five, "target": five, "difficulty": 3 }),
        json!({ "header": [0, 0, 0, 0], "target": five }),
        json!({ "header": [0, 0, 0, 0, 0, 0], "target": five }),
        json!({ "header": five, "target": [0, 0, 0, 0, MODULUS] }),
        json!({ "header": five, "target": five, "nonce_tail": [0, u64::MAX, 0, 0] }),
        json!({ "header": five, "target": [0, 0, 0, 0, -1] }),
        json!({ "header": five, "target": [0, 0, 0, 0, 0.5] }),
        json!({ "header": five, "target": "00" }),
    ];
    check(&factory, &cases, &refused);
}

fn book() -> JobBook {
    let book = JobBook::new();
    book.register(Arc::new(Tip5Factory));
    book.start_pool(PoolConfig { threads: Some(2), ..JobBook::pool_config() }).unwrap();
    book
}

#[test]
fn a_solution_holds_the_nonce_and_its_digest() {
    let book = book();
    let job = book.submit(JobRequest::new(WORKLOAD_NAME, input(SEVEN_BITS))).unwrap();
    let Outcome::Found(hit) = job.wait() else { panic!("every 128th nonce is one") };
    let nonce = [hit.index, 9, 8, 7, 6];
    let digest = hash([1, 2, 3, 4, 5], nonce);
    assert_eq!(hit.solution, json!({ "nonce": nonce, "digest": digest }));
    assert!(digest[4] <= SEVEN_BITS && hit.score >= 6, "{hit:?}");
}

#[test]
fn the_nonces_end_where_the_field_ends() {
    let mut request = JobRequest::new(WORKLOAD_NAME, input(0));
    request.start = MODULUS - 3_000;
    let book = book();
    let job = book.submit(request).unwrap();
    assert_eq!(job.wait(), Outcome::Exhausted);
    assert_eq!(job.progress(std::time::Instant::now()).attempts, 3_000);
}

#[test]
fn a_limit_of_attempts_is_met_exactly_and_the_best_is_the_best_of_all() {
    const ATTEMPTS: u64 = 20_000;
    let mut request = JobRequest::new(WORKLOAD_NAME, input(0));
    request.limits = JobLimits { max_attempts: Some(ATTEMPTS), ..JobLimits::default() };
    let book = book();
    let job = book.submit(request).unwrap();
    assert_eq!(job.wait(), Outcome::AttemptLimit);
    let progress = job.progress(std::time::Instant::now());
    assert_eq!((progress.attempts, progress.doubled), (ATTEMPTS, 0));
    let smallest = (0..ATTEMPTS).map(|index| hash([1, 2, 3, 4, 5], [index, 9, 8, 7, 6])[4]).min();
    let best = progress.best.unwrap();
    assert_eq!(best.score, u64::from(smallest.unwrap().leading_zeros()));
    assert!(Span::new(0, ATTEMPTS).end() > best.index);
}
