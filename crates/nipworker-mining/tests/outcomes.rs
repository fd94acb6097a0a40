//! How jobs end.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Poison, PoisonFactory, book, endless, eventually, finite};
use futures::StreamExt;
use futures::executor::block_on;
use nipworker_mining::{JobLimits, JobPhase, JobRequest, Outcome, Span};
use serde_json::json;

#[test]
fn a_hit_is_found_verified_and_reported_with_its_solution() {
    let book = book(3);
    let input = json!({ "item_us": 3, "hit_at": 4_321 });
    let job = book.submit(JobRequest::new("synthetic", input)).unwrap();
    let Outcome::Found(hit) = job.wait() else { panic!("{:?}", job.outcome()) };
    assert_eq!((hit.index, &hit.solution), (4_321, &json!({ "index": 4_321 })));
    let progress = job.progress(Instant::now());
    assert_eq!(progress.phase, JobPhase::Ended);
    assert_eq!(progress.best.unwrap().index, 4_321);
    assert_eq!((progress.bad_hits, progress.doubled), (0, 0));
}

#[test]
fn a_space_without_a_hit_is_exhausted_and_every_index_is_counted_once() {
    let book = book(4);
    let job = book.submit(finite(30_000, 1)).unwrap();
    assert_eq!(job.wait(), Outcome::Exhausted);
    let progress = job.progress(Instant::now());
    assert_eq!((progress.attempts, progress.remaining), (30_000, 0));
}

#[test]
fn the_limit_of_attempts_is_exact_and_is_not_called_exhaustion() {
    let book = book(4);
    let mut request = endless(1);
    request.start = 77;
    request.limits.max_attempts = Some(12_345);
    let job = book.submit(request).unwrap();
    assert_eq!(job.wait(), Outcome::AttemptLimit);
    assert_eq!(job.progress(Instant::now()).attempts, 12_345);
}

#[test]
fn a_hit_before_the_start_index_is_not_seen() {
    let book = book(2);
    let mut request = JobRequest::new("synthetic", json!({ "items": 1_000, "hit_at": 10 }));
    request.start = 11;
    let job = book.submit(request).unwrap();
    assert_eq!(job.wait(), Outcome::Exhausted);
    assert_eq!(job.progress(Instant::now()).attempts, 989);
}

#[test]
fn a_timeout_ends_the_job_even_while_it_is_paused() {
    let book = book(2);
    let mut request = endless(20);
    request.limits.timeout = Some(Duration::from_millis(40));
    let running = book.submit(request.clone()).unwrap();
    let paused = book.submit(request).unwrap();
    assert!(book.pause(paused.id()).unwrap());
    assert_eq!(running.wait(), Outcome::TimedOut);
    assert_eq!(paused.wait(), Outcome::TimedOut);
    assert!(running.progress(Instant::now()).elapsed >= Duration::from_millis(40));
}

#[test]
fn what_a_cancel_acknowledges_is_final() {
    let book = book(4);
    for _ in 0..40 {
        let job = book.submit(endless(2)).unwrap();
        eventually("it works", || job.progress(Instant::now()).attempts > 100);
        let acknowledged = book.cancel(job.id()).unwrap().attempts;
        assert_eq!(job.wait(), Outcome::Cancelled);
        assert_eq!(job.progress(Instant::now()).attempts, acknowledged);
    }
}

#[test]
fn dropping_the_handle_cancels_and_detaching_does_not() {
    let book = book(2);
    let dropped = book.submit(endless(5)).unwrap();
    let watch = dropped.watch();
    drop(dropped);
    assert_eq!(watch.wait(), Outcome::Cancelled);
    let detached = book.submit(finite(5_000, 1)).unwrap().detach();
    assert_eq!(book.watch(detached).unwrap().wait(), Outcome::Exhausted);
}

#[test]
fn a_paused_job_stands_still_and_finishes_after_it_is_resumed() {
    let book = book(3);
    let job = book.submit(finite(60_000, 5)).unwrap();
    for _ in 0..10 {
        let before = job.progress(Instant::now()).attempts;
        eventually("it moves", || job.progress(Instant::now()).attempts > before);
        if !book.pause(job.id()).unwrap() {
            break;
        }
        assert!(!book.pause(job.id()).unwrap(), "paused twice");
        assert_eq!(job.progress(Instant::now()).phase, JobPhase::Paused);
        assert_eq!(job.progress(Instant::now()).rate_1s, 0.0);
        assert!(book.resume(job.id()).unwrap());
    }
    assert_eq!(job.wait(), Outcome::Exhausted);
    let progress = job.progress(Instant::now());
    assert_eq!((progress.attempts, progress.doubled), (60_000, 0));
}

#[test]
fn a_batch_that_panics_once_is_made_up_for_and_one_that_panics_twice_is_listed() {
    let book = book(3);
    let poison = Poison::new(4_000, &[(700, 1), (2_500, 2)]);
    book.register(Arc::new(PoisonFactory(poison)));
    let job = book.submit(JobRequest::new("poison", json!({}))).unwrap();
    let Outcome::Quarantined(spans) = job.wait() else { panic!("{:?}", job.outcome()) };
    let [bad] = spans[..] else { panic!("{spans:?}") };
    assert!(bad.start <= 2_500 && 2_500 < bad.end(), "{bad:?}");
    let progress = job.progress(Instant::now());
    assert_eq!(progress.quarantined, [bad]);
    assert_eq!(progress.attempts + bad.len, 4_000);
    assert_eq!(progress.doubled, 0);
}

#[test]
fn a_panic_that_does_not_come_back_leaves_no_trace_in_the_outcome() {
    let book = book(2);
    book.register(Arc::new(PoisonFactory(Poison::new(500, &[(3, 1), (400, 1)]))));
    let job = book.submit(JobRequest::new("poison", json!({}))).unwrap();
    assert_eq!(job.wait(), Outcome::Exhausted);
    assert_eq!(job.progress(Instant::now()).attempts, 500);
}

#[test]
fn threads_that_die_lose_no_range() {
    let book = book(3);
    let job = book.submit(finite(100_000, 10)).unwrap();
    let mut kills = 0;
    while job.outcome().is_none() && kills < 9 {
        let restarts = book.pool_metrics().unwrap().restarts;
        book.pool().unwrap().kill_thread(kills % 3);
        eventually("the restart", || {
            book.pool_metrics().unwrap().restarts > restarts || job.outcome().is_some()
        });
        kills += 1;
    }
    let quarantined: u64 = match job.wait() {
        Outcome::Exhausted => 0,
        Outcome::Quarantined(spans) => spans.iter().map(|span: &Span| span.len).sum(),
        other => panic!("{other:?}"),
    };
    let progress = job.progress(Instant::now());
    assert_eq!(progress.attempts + quarantined, 100_000);
    assert_eq!(progress.doubled, 0);
}

#[test]
fn a_watch_yields_progress_and_last_the_outcome() {
    let book = book(2);
    let job = book.submit(finite(40_000, 10)).unwrap();
    let seen: Vec<_> = block_on(job.watch().collect());
    let last = seen.last().unwrap();
    assert_eq!(last.outcome, Some(Outcome::Exhausted));
    assert_eq!(last.attempts, 40_000);
    assert!(seen.windows(2).all(|pair| pair[0].attempts <= pair[1].attempts));
    assert!(seen[..seen.len() - 1].iter().all(|progress| progress.outcome.is_none()));
}

#[test]
fn waiting_for_the_end_in_async_code_may_be_given_up_and_begun_again() {
    use futures::future::{Either, select};
    let book = book(2);
    let mut job = book.submit(endless(5)).unwrap();
    for _ in 0..5 {
        let given_up = block_on(select(Box::pin(job.ended()), futures::future::ready(())));
        assert!(matches!(given_up, Either::Right(_)));
    }
    book.cancel(job.id()).unwrap();
    assert_eq!(block_on(job.ended()), Outcome::Cancelled);
}

#[test]
fn rates_and_estimates_appear_while_it_runs() {
    let book = book(2);
    let mut request = finite(u64::MAX, 10);
    request.limits = JobLimits { max_attempts: Some(1_000_000_000), ..JobLimits::default() };
    let job = book.submit(request).unwrap();
    eventually("a rate", || {
        let progress = job.progress(Instant::now());
        progress.rate_1s > 0.0 && progress.rate_10s > 0.0 && progress.expected_p50_left.is_some()
    });
}

#[test]
fn whoever_waits_for_a_job_hears_of_the_end_of_its_book() {
    for pool_runs in [true, false] {
        let book = book(2);
        if !pool_runs {
            book.stop_pool();
        }
        let job = book.submit(endless(1)).unwrap();
        let waiting = std::thread::spawn(move || job.wait());
        drop(book);
        assert_eq!(waiting.join().unwrap(), Outcome::Cancelled, "pool runs: {pool_runs}");
    }
}
