//! A job outlives its pool and its process without a lost or doubled range.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use common::{book, config, endless, eventually, finite};
use nipworker_mining::{
    BatchContext, BatchResult, BookCheckpoint, Hit, JobId, JobPhase, JobRequest, Outcome, Span,
    SubmitError, Workload, WorkloadError, WorkloadFactory,
};
use serde_json::{Value, json};

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

#[test]
fn a_cancel_is_not_lost_when_the_pool_is_stopped_at_the_same_time() {
    let book = book(2);
    for round in 0..200 {
        let id = book.submit(endless(50)).unwrap().detach();
        let start = Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                book.stop_pool();
            });
            start.wait();
            for _ in 0..(round % 100) * 30 {
                std::hint::spin_loop();
            }
            book.cancel(id).unwrap();
        });
        // The pool is gone, so that whatever the job is now it stays.
        let outcome = book.progress(id, Instant::now()).unwrap().outcome;
        assert_eq!(outcome, Some(Outcome::Cancelled), "round {round}");
        book.start_pool(config(2)).unwrap();
    }
}

#[test]
fn a_resume_beside_a_restart_of_the_pool_strands_no_job() {
    let book = book(2);
    for round in 0..100 {
        let id = book.submit(endless(50)).unwrap().detach();
        book.pause(id).unwrap();
        let start = Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                book.start_pool(config(2)).unwrap();
            });
            start.wait();
            for _ in 0..(round % 50) * 200 {
                std::hint::spin_loop();
            }
            book.resume(id).unwrap();
        });
        let phase = book.progress(id, Instant::now()).unwrap().phase;
        assert_eq!(phase, JobPhase::Running, "round {round}");
        book.cancel(id).unwrap();
    }
}

#[test]
fn a_paused_job_keeps_its_timeout_over_a_restart_of_the_pool() {
    let book = book(2);
    let mut request = endless(50);
    request.limits.timeout = Some(Duration::from_millis(200));
    let job = book.submit(request).unwrap();
    assert!(book.pause(job.id()).unwrap());
    book.start_pool(config(2)).unwrap();
    assert_eq!(job.wait(), Outcome::TimedOut);
}

#[test]
fn an_absurd_time_in_a_checkpoint_is_refused() {
    let first = book(0);
    first.submit(finite(10, 0)).unwrap().detach();
    let mut checkpoint = first.checkpoint(Instant::now());
    checkpoint.jobs[0].elapsed = Duration::MAX;
    let answer = book(1).restore(&checkpoint).remove(0);
    assert!(matches!(answer, Err(SubmitError::Checkpoint { .. })), "{answer:?}");
}

/// Two items of which the first is a hit; the second is not left before the gate opens.
struct Pair(Arc<(Barrier, Barrier)>);

impl WorkloadFactory for Pair {
    fn name(&self) -> &str {
        "pair"
    }
    fn prepare(&self, _input: &Value) -> Result<Arc<dyn Workload>, WorkloadError> {
        Ok(Arc::new(Pair(Arc::clone(&self.0))))
    }
}

impl Workload for Pair {
    fn name(&self) -> &str {
        "pair"
    }
    fn space(&self) -> u64 {
        2
    }
    fn run(&self, span: Span, _ctx: &BatchContext<'_>) -> BatchResult {
        let mut result = BatchResult { attempts: span.len, ..BatchResult::default() };
        self.0.0.wait();
        if span.start == 0 {
            result.hits.push(Hit { index: 0, score: 1, solution: json!("first") });
        } else {
            self.0.1.wait();
        }
        result
    }
    fn verify(&self, hit: &Hit) -> Result<(), WorkloadError> {
        match hit.index {
            0 => Ok(()),
            index => Err(WorkloadError::BadHit {
                workload: "pair".into(),
                index,
                reason: "only the first is one".into(),
            }),
        }
    }
}

#[test]
fn a_checkpoint_between_the_hit_and_the_end_keeps_the_hit() {
    let gates = Arc::new((Barrier::new(2), Barrier::new(2)));
    let first = book(2);
    first.register(Arc::new(Pair(Arc::clone(&gates))));
    let job = first.submit(JobRequest::new("pair", json!({}))).unwrap();
    // Both batches are out; the hit is booked while the other batch holds the end up.
    eventually("the hit", || job.progress(Instant::now()).attempts == 1);
    let checkpoint = first.checkpoint(Instant::now());
    gates.1.wait();
    let found = job.wait();
    assert!(matches!(found, Outcome::Found(_)), "{found:?}");
    let text = serde_json::to_string(&checkpoint).unwrap();
    let mut checkpoint: BookCheckpoint = serde_json::from_str(&text).unwrap();
    let next = book(2);
    next.register(Arc::new(Pair(gates)));
    let id = *next.restore(&checkpoint)[0].as_ref().unwrap();
    assert_eq!(next.watch(id).unwrap().wait(), found);
    // A hit that is none is as bad as a wrong ledger.
    checkpoint.jobs[0].id = JobId(99);
    checkpoint.jobs[0].hit = Some(Hit { index: 1, score: 1, solution: json!(null) });
    assert!(matches!(next.restore(&checkpoint)[0], Err(SubmitError::Checkpoint { .. })));
}

#[test]
fn what_was_found_is_in_every_checkpoint_until_it_is_forgotten() {
    let request = JobRequest::new("synthetic", json!({ "hit_at": 200 }));
    let mut last = book(2);
    let id = last.submit(request).unwrap().detach();
    let found = last.watch(id).unwrap().wait();
    assert!(matches!(found, Outcome::Found(_)), "{found:?}");
    for _ in 0..3 {
        let checkpoint = last.checkpoint(Instant::now());
        last = book(2);
        assert_eq!(*last.restore(&checkpoint)[0].as_ref().unwrap(), id);
        assert_eq!(last.watch(id).unwrap().outcome().as_ref(), Some(&found));
    }
    assert_eq!(last.pool_metrics().unwrap().attempts, 0, "nothing is tried again");
    assert!(last.forget(id).unwrap());
    assert!(last.checkpoint(Instant::now()).jobs.is_empty());
}

#[test]
fn a_cancelled_job_that_its_threads_have_not_left_is_in_no_checkpoint() {
    let gates = Arc::new((Barrier::new(2), Barrier::new(2)));
    let book = book(1);
    book.register(Arc::new(Pair(Arc::clone(&gates))));
    let mut request = JobRequest::new("pair", json!({}));
    request.start = 1;
    let job = book.submit(request).unwrap();
    gates.0.wait();
    let before = book.checkpoint(Instant::now());
    job.cancel();
    let outcome = job.outcome();
    let after = book.checkpoint(Instant::now());
    // The thread goes on before anything is asserted: a panic would wait for it.
    gates.1.wait();
    assert_eq!(outcome, None, "its thread was held up");
    assert_eq!((before.jobs.len(), after.jobs.len()), (1, 0));
    assert_eq!(job.wait(), Outcome::Cancelled);
}

#[test]
fn closing_a_book_ends_every_job_and_takes_no_other() {
    let book = book(2);
    let running = book.submit(endless(50)).unwrap();
    let paused = book.submit(endless(50)).unwrap();
    book.pause(paused.id()).unwrap();
    book.close();
    assert_eq!(running.outcome(), Some(Outcome::Cancelled));
    assert_eq!(paused.outcome(), Some(Outcome::Cancelled));
    assert!(book.submit(endless(50)).is_err());
    assert!(book.start_pool(config(1)).is_err());
    book.close();
}

#[test]
fn a_job_that_is_given_up_before_its_request_arrives_is_not_begun() {
    let book = book(1);
    book.abandon(JobId(7));
    let refused = book.submit_as(JobId(7), endless(50));
    assert!(matches!(refused, Err(SubmitError::Abandoned { id: JobId(7) })), "{refused:?}");
    book.submit_as(JobId(8), endless(50)).unwrap();
    let watch = book.watch(JobId(8)).unwrap();
    book.abandon(JobId(8));
    assert_eq!(watch.wait(), Outcome::Cancelled);
    assert!(book.submit_as(JobId(8), endless(50)).is_err());
}
