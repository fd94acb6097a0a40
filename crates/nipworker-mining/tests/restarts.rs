//! A job outlives its pool and its process without a lost or doubled range.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use common::{book, config, endless, eventually, finite};
use nipworker_mining::{BookCheckpoint, JobId, JobPhase, Outcome, Span, SubmitError};

#[test]
fn restarting_the_pool_again_and_again_neither_loses_nor_doubles_a_range() {
    let book = book(2);
    let job = book.submit(finite(150_000, 10)).unwrap();
    let mut restarts = 0;
    while job.outcome().is_none() && restarts < 12 {
        let before = job.progress(Instant::now()).attempts;
        eventually("progress after the restart", || {
            job.progress(Instant::now()).attempts > before || job.outcome().is_some()
        });
        book.start_pool(config(1 + restarts % 4)).unwrap();
        restarts += 1;
    }
    assert!(restarts > 2, "only {restarts} restarts");
    assert_eq!(job.wait(), Outcome::Exhausted);
    let progress = job.progress(Instant::now());
    assert_eq!((progress.attempts, progress.doubled), (150_000, 0));
}

#[test]
fn without_a_pool_jobs_wait_and_with_one_they_go_on() {
    let book = book(0);
    let job = book.submit(finite(1_000, 0)).unwrap();
    assert_eq!(job.progress(Instant::now()).phase, JobPhase::Suspended);
    book.start_pool(config(2)).unwrap();
    assert_eq!(job.wait(), Outcome::Exhausted);
    book.stop_pool();
    let next = book.submit(finite(1_000, 0)).unwrap();
    book.stop_pool();
    assert_eq!(next.outcome(), None);
    next.cancel();
    assert_eq!(next.wait(), Outcome::Cancelled);
}

#[test]
fn a_paused_job_stays_paused_over_a_restart_of_the_pool() {
    let book = book(2);
    let job = book.submit(finite(20_000, 5)).unwrap();
    assert!(book.pause(job.id()).unwrap());
    book.start_pool(config(2)).unwrap();
    assert_eq!(job.progress(Instant::now()).phase, JobPhase::Paused);
    assert!(book.resume(job.id()).unwrap());
    assert_eq!(job.wait(), Outcome::Exhausted);
    assert_eq!(job.progress(Instant::now()).attempts, 20_000);
}

#[test]
fn a_checkpoint_carries_a_job_into_another_process() {
    let mut left = 0;
    let first = book(3);
    let id = first.submit(finite(30_000, 10)).unwrap().detach();
    eventually("it works", || first.progress(id, Instant::now()).unwrap().attempts > 3_000);
    let mut text = serde_json::to_string(&first.checkpoint(Instant::now())).unwrap();
    drop(first);
    for _ in 0..4 {
        let checkpoint: BookCheckpoint = serde_json::from_str(&text).unwrap();
        let [job] = &checkpoint.jobs[..] else { panic!("{checkpoint:?}") };
        assert_eq!(job.attempts, job.finished.items());
        left = 30_000 - job.attempts;
        let next = book(3);
        assert_eq!(next.restore(&checkpoint)[0].as_ref().unwrap(), &id);
        let want = job.attempts;
        eventually("it goes on", || {
            let progress = next.progress(id, Instant::now()).unwrap();
            progress.attempts > want || progress.outcome.is_some()
        });
        let after = next.checkpoint(Instant::now());
        if after.jobs.is_empty() {
            break;
        }
        text = serde_json::to_string(&after).unwrap();
    }
    let last = book(3);
    let checkpoint: BookCheckpoint = serde_json::from_str(&text).unwrap();
    last.restore(&checkpoint);
    let watch = last.watch(id).unwrap();
    assert_eq!(watch.wait(), Outcome::Exhausted);
    let progress = watch.progress(Instant::now());
    assert_eq!((progress.attempts, progress.doubled), (30_000, 0));
    assert!(left < 30_000);
}

#[test]
fn checkpoints_taken_while_it_runs_always_add_up() {
    let book = book(4);
    let job = book.submit(endless(1)).unwrap();
    let start = Instant::now();
    let mut seen = 0;
    while start.elapsed() < Duration::from_millis(300) || seen < 20 {
        let checkpoint = book.checkpoint(Instant::now());
        assert_eq!(checkpoint.jobs[0].attempts, checkpoint.jobs[0].finished.items());
        seen += 1;
    }
    drop(job);
}

#[test]
fn a_restored_timeout_counts_what_had_passed() {
    let first = book(0);
    let mut request = endless(10);
    request.limits.timeout = Some(Duration::from_secs(3_600));
    let id = first.submit(request).unwrap().detach();
    let mut checkpoint = first.checkpoint(Instant::now());
    checkpoint.jobs[0].elapsed = Duration::from_secs(3_600);
    let next = book(1);
    next.restore(&checkpoint)[0].as_ref().unwrap();
    assert_eq!(next.watch(id).unwrap().wait(), Outcome::TimedOut);
}

#[test]
fn a_paused_job_is_restored_paused() {
    let first = book(1);
    let id = first.submit(endless(10)).unwrap().detach();
    first.pause(id).unwrap();
    let next = book(1);
    next.restore(&first.checkpoint(Instant::now()))[0].as_ref().unwrap();
    assert_eq!(next.progress(id, Instant::now()).unwrap().phase, JobPhase::Paused);
    assert!(next.resume(id).unwrap());
    eventually("it works", || next.progress(id, Instant::now()).unwrap().attempts > 0);
}

#[test]
fn a_damaged_checkpoint_is_refused_with_its_reason_and_does_not_touch_the_others() {
    let first = book(0);
    for _ in 0..4 {
        first.submit(finite(1_000, 0)).unwrap().detach();
    }
    let mut checkpoint = first.checkpoint(Instant::now());
    checkpoint.jobs[0].attempts = 7;
    checkpoint.jobs[1].quarantined = vec![Span::new(990, 20)];
    checkpoint.jobs[2].request.workload = "unheard-of".into();
    let next = book(1);
    let answers = next.restore(&checkpoint);
    let texts: Vec<String> = answers
        .iter()
        .map(|answer| answer.as_ref().map_or_else(ToString::to_string, |id| format!("ok {id}")))
        .collect();
    assert_eq!(
        texts,
        [
            "the checkpoint of job 1 is damaged: 7 attempts are stated but 0 are in the ledger",
            "the checkpoint of job 2 is damaged: finished ranges 990 to 1010 lie outside the \
             job's 0 to 1000",
            "unknown workload \"unheard-of\", known are: synthetic",
            "ok 4",
        ]
    );
    assert_eq!(next.watch(JobId(4)).unwrap().wait(), Outcome::Exhausted);
    assert!(matches!(next.restore(&checkpoint)[3], Err(SubmitError::IdTaken { id: JobId(4) })));
}
