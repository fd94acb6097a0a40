//! Spans are disjoint and leave no gap, whatever happens to the job.
#![allow(clippy::unwrap_used)]

mod common;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use common::{Recorder, eventually, pool, sequential, spin};
use nipworker_pool::{EndReason, JobSpec, PoolError, Priority, Span};
use proptest::prelude::*;

#[test]
fn a_job_is_committed_without_gap_or_overlap_and_ends_exhausted() {
    let pool = pool(4);
    let task = Recorder::new(|_| spin(Duration::from_micros(1)));
    let spec = JobSpec::new("whole", vec![Span::new(10, 50_000)]);
    let end = pool.submit(spec, Arc::clone(&task)).unwrap().wait();
    assert_eq!(end.reason, EndReason::Exhausted);
    assert_eq!(end.items, 50_000);
    assert_eq!(task.merged(), [Span::new(10, 50_000)]);
    assert_eq!(task.ends.load(SeqCst), 1);
    assert_eq!(pool.metrics().attempts, 50_000);
}

#[test]
fn a_job_without_items_ends_before_submit_returns() {
    let pool = pool(2);
    let task = Recorder::new(|_| {});
    let ticket = pool.submit(JobSpec::new("none", vec![Span::new(5, 0)]), task).unwrap();
    assert_eq!(ticket.end().map(|end| end.reason), Some(EndReason::Exhausted));
}

#[test]
fn a_range_up_to_the_last_index_does_not_overflow() {
    let pool = pool(3);
    let task = Recorder::new(|_| {});
    let spec = JobSpec::new("top", vec![Span::new(u64::MAX - 5_000, u64::MAX)]);
    let end = pool.submit(spec, Arc::clone(&task)).unwrap().wait();
    assert_eq!(end.items, 5_000);
    assert_eq!(task.merged(), [Span::new(u64::MAX - 5_000, 5_000)]);
}

#[test]
fn overlapping_or_unordered_spans_are_refused_with_their_place() {
    let pool = pool(1);
    let spans = vec![Span::new(0, 10), Span::new(9, 1)];
    let error = pool.submit(JobSpec::new("bad", spans), Recorder::new(|_| {})).unwrap_err();
    assert!(matches!(error, PoolError::Spans { at: 1, start: 9, previous_end: 10 }), "{error}");
}

#[test]
fn pausing_and_resuming_again_and_again_neither_loses_nor_doubles_an_item() {
    let pool = pool(4);
    let task = Recorder::new(|_| spin(Duration::from_micros(20)));
    let spec = JobSpec::new("paused", vec![Span::new(0, 60_000)]);
    let ticket = pool.submit(spec, Arc::clone(&task)).unwrap();
    let mut pauses = 0;
    while ticket.end().is_none() && pauses < 40 {
        if ticket.pause() {
            pauses += 1;
            eventually("all threads out", || ticket.stats().running == 0);
            let before = task.items();
            std::thread::yield_now();
            assert_eq!(task.items(), before, "committed while paused");
            ticket.resume();
        }
        let before = task.items();
        eventually("progress", || task.items() > before || ticket.end().is_some());
    }
    assert!(pauses > 3, "only {pauses} pauses");
    assert_eq!(ticket.wait().items, 60_000);
    assert_eq!(task.merged(), [Span::new(0, 60_000)]);
}

#[test]
fn nothing_is_committed_after_cancel_has_returned() {
    let pool = pool(4);
    for round in 0..50 {
        let task = Recorder::new(|_| spin(Duration::from_micros(5)));
        let spec = JobSpec::new("cancelled", vec![Span::new(0, u64::MAX)]);
        let ticket = pool.submit(spec, Arc::clone(&task)).unwrap();
        task.wait_for_items(1 + round * 7);
        ticket.cancel();
        let acknowledged = task.items();
        let end = ticket.wait();
        assert_eq!(end.reason, EndReason::Cancelled);
        assert_eq!(end.items, acknowledged);
        assert_eq!(task.items(), acknowledged);
        task.merged();
    }
    eventually("the queue is free of stale batches", || pool.metrics().queue_depth == 0);
    assert!(pool.metrics().stale > 0);
}

#[test]
fn a_commit_that_says_stop_is_the_last_one() {
    let pool = pool(4);
    let task = Recorder::stopping_at(Some(5_000), |_| spin(Duration::from_micros(2)));
    let spec = JobSpec::new("hit", vec![Span::new(0, u64::MAX)]);
    let end = pool.submit(spec, Arc::clone(&task)).unwrap().wait();
    assert_eq!(end.reason, EndReason::Stopped);
    let last = *task.committed.lock().unwrap().last().unwrap();
    assert!(last.start <= 5_000 && 5_000 < last.end(), "{last:?} came after the stop");
    assert_eq!(end.items, task.items());
}

#[test]
fn a_deadline_ends_the_job() {
    let pool = pool(2);
    let task = Recorder::new(|_| spin(Duration::from_micros(50)));
    let mut spec = JobSpec::new("late", vec![Span::new(0, u64::MAX)]);
    spec.deadline = Some(Instant::now() + Duration::from_millis(30));
    let start = Instant::now();
    let end = pool.submit(spec, task).unwrap().wait();
    assert_eq!(end.reason, EndReason::TimedOut);
    assert!(start.elapsed() >= Duration::from_millis(30));
}

#[test]
fn a_paused_job_still_keeps_its_deadline() {
    let pool = pool(2);
    let mut spec = JobSpec::new("asleep", vec![Span::new(0, u64::MAX)]);
    spec.deadline = Some(Instant::now() + Duration::from_millis(30));
    let ticket = pool.submit(spec, Recorder::new(|_| {})).unwrap();
    ticket.pause();
    assert_eq!(ticket.wait().reason, EndReason::TimedOut);
}

#[test]
fn a_job_never_runs_on_more_threads_than_it_may() {
    let pool = pool(4);
    let inside = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let task = Recorder::new({
        let (inside, most) = (Arc::clone(&inside), Arc::clone(&most));
        move |_| {
            most.fetch_max(inside.fetch_add(1, SeqCst) + 1, SeqCst);
            std::thread::yield_now();
            inside.fetch_sub(1, SeqCst);
        }
    });
    let mut spec = JobSpec::new("narrow", vec![Span::new(0, 5_000)]);
    spec.max_threads = NonZeroUsize::new(2);
    let end = pool.submit(spec, Arc::clone(&task)).unwrap().wait();
    assert_eq!(end.items, 5_000);
    assert!(most.load(SeqCst) <= 2, "{} threads at once", most.load(SeqCst));
    assert_eq!(task.merged(), [Span::new(0, 5_000)]);
}

#[test]
fn the_sequential_mode_hands_out_one_item_at_a_time_and_finishes() {
    let pool = sequential(4);
    let inside = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let task = Recorder::new({
        let (inside, most) = (Arc::clone(&inside), Arc::clone(&most));
        move |_| {
            most.fetch_max(inside.fetch_add(1, SeqCst) + 1, SeqCst);
            std::thread::yield_now();
            inside.fetch_sub(1, SeqCst);
        }
    });
    let spec = JobSpec::new("one by one", vec![Span::new(0, 300)]);
    assert_eq!(pool.submit(spec, Arc::clone(&task)).unwrap().wait().items, 300);
    assert_eq!(most.load(SeqCst), 1);
    assert_eq!(task.runs.load(SeqCst), 300);
    assert_eq!(task.merged(), [Span::new(0, 300)]);
}

#[test]
fn the_sequential_mode_goes_on_after_a_cancelled_job() {
    let pool = sequential(2);
    for _ in 0..20 {
        let task = Recorder::new(|_| {});
        let spec = JobSpec::new("gone", vec![Span::new(0, u64::MAX)]);
        let ticket = pool.submit(spec, Arc::clone(&task)).unwrap();
        task.wait_for_items(2);
        ticket.cancel();
    }
    let spec = JobSpec::new("after", vec![Span::new(0, 10)]);
    assert_eq!(pool.submit(spec, Recorder::new(|_| {})).unwrap().wait().items, 10);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_list_of_spans_is_committed_exactly(
        gaps in proptest::collection::vec((0u64..50, 1u64..400), 1..12),
        threads in 1usize..6,
        urgent in any::<bool>(),
        largest in 1u64..200,
    ) {
        let mut spans = Vec::new();
        let mut at = 0;
        for (gap, len) in gaps {
            spans.push(Span::new(at + gap, len));
            at += gap + len;
        }
        let pool = pool(threads);
        let task = Recorder::new(|_| {});
        let mut spec = JobSpec::new("spans", spans.clone());
        spec.priority = if urgent { Priority::Urgent } else { Priority::Bulk };
        spec.max_batch = largest;
        let end = pool.submit(spec, Arc::clone(&task)).unwrap().wait();
        prop_assert_eq!(end.items, spans.iter().map(|span| span.len).sum::<u64>());
        let mut want: Vec<Span> = Vec::new();
        for span in spans {
            match want.last_mut() {
                Some(last) if last.end() == span.start => last.len += span.len,
                _ => want.push(span),
            }
        }
        prop_assert_eq!(task.merged(), want);
    }
}
