//! A panic or a lost thread costs one batch, which is queued again exactly once.
#![allow(clippy::unwrap_used)]

mod common;

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Recorder, eventually, pool, spin};
use nipworker_pool::{
    BatchContext, BatchReport, Done, EndReason, JobSpec, Next, Observer, OnPanic, Pool, PoolConfig,
    PoolEvent, RangeTask, Span,
};

/// Panics without a message on the test's standard error.
fn fail() {
    resume_unwind(Box::new("poison"));
}

#[test]
fn a_batch_that_panics_once_is_run_again_and_nothing_is_lost_or_doubled() {
    let pool = pool(3);
    let fuse = Arc::new(AtomicU64::new(0));
    let task = Recorder::new({
        let fuse = Arc::clone(&fuse);
        move |item| {
            if item == 700 && fuse.fetch_add(1, SeqCst) == 0 {
                fail();
            }
        }
    });
    let ticket =
        pool.submit(JobSpec::new("once", vec![Span::new(0, 10_000)]), Arc::clone(&task)).unwrap();
    let end = ticket.wait();
    assert_eq!(end.reason, EndReason::Exhausted);
    assert_eq!(end.items, 10_000);
    assert_eq!(end.quarantined, []);
    assert_eq!(task.merged(), [Span::new(0, 10_000)]);
    assert_eq!(ticket.stats().panics, 1);
    assert_eq!(fuse.load(SeqCst), 2);
}

#[test]
fn a_batch_that_panics_twice_is_quarantined_and_listed() {
    let pool = pool(3);
    let tries = Arc::new(AtomicU64::new(0));
    let task = Recorder::new({
        let tries = Arc::clone(&tries);
        move |item| {
            if item == 4_321 {
                tries.fetch_add(1, SeqCst);
                fail();
            }
        }
    });
    let end = pool
        .submit(JobSpec::new("twice", vec![Span::new(0, 10_000)]), Arc::clone(&task))
        .unwrap()
        .wait();
    assert_eq!(end.reason, EndReason::Exhausted);
    assert_eq!(tries.load(SeqCst), 2, "queued again exactly once");
    let [bad] = end.quarantined[..] else { panic!("{:?}", end.quarantined) };
    assert!(bad.start <= 4_321 && 4_321 < bad.end());
    assert_eq!(end.items + bad.len, 10_000);
    let mut all = task.merged();
    all.push(bad);
    all.sort();
    let covered: u64 = all.iter().map(|span| span.len).sum();
    assert_eq!((all[0].start, covered, all.last().unwrap().end()), (0, 10_000, 10_000));
}

#[test]
fn a_job_can_ask_to_end_at_the_first_panic() {
    let pool = pool(2);
    let task = Recorder::new(|item| {
        if item == 50 {
            fail()
        }
    });
    let mut spec = JobSpec::new("fragile", vec![Span::new(0, u64::MAX)]);
    spec.on_panic = OnPanic::EndJob;
    let end = pool.submit(spec, task).unwrap().wait();
    assert_eq!(end.reason, EndReason::Panicked { message: "poison".into() });
}

#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl Observer for Log {
    fn event(&self, event: &PoolEvent<'_>) {
        if let PoolEvent::BatchPanicked { .. } | PoolEvent::Restarted { .. } = event {
            self.0.lock().unwrap().push(format!("{event:?}"));
        }
    }
}

#[test]
fn a_killed_thread_is_replaced_and_its_batch_is_neither_lost_nor_doubled() {
    let log = Arc::new(Log::default());
    let config = PoolConfig {
        threads: Some(3),
        observer: Some(Arc::clone(&log) as Arc<dyn Observer>),
        ..PoolConfig::default()
    };
    let pool = Pool::new(config).unwrap();
    let task = Recorder::new(|_| spin(Duration::from_micros(10)));
    let ticket = pool
        .submit(JobSpec::new("killed", vec![Span::new(0, 120_000)]), Arc::clone(&task))
        .unwrap();
    let mut kills = 0;
    while ticket.end().is_none() && kills < 12 {
        let restarts = pool.metrics().restarts;
        pool.kill_thread((kills % 3) as usize);
        eventually("the restart", || pool.metrics().restarts > restarts || ticket.end().is_some());
        kills += 1;
    }
    let end = ticket.wait();
    assert_eq!(end.reason, EndReason::Exhausted);
    let gone: u64 = end.quarantined.iter().map(|span| span.len).sum();
    assert_eq!(end.items + gone, 120_000);
    assert_eq!(task.items(), end.items);
    task.merged();
    let metrics = pool.metrics();
    assert!(metrics.restarts >= 3, "{} restarts", metrics.restarts);
    // Every thread still works, each bound as before.
    let after = Recorder::new(|_| spin(Duration::from_micros(100)));
    pool.submit(JobSpec::new("after", vec![Span::new(0, 1_000)]), after).unwrap().wait();
    assert!(log.0.lock().unwrap().iter().any(|line| line.contains("Restarted")));
}

#[test]
fn a_panic_whose_payload_panics_when_dropped_does_not_kill_the_thread() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            resume_unwind(Box::new("second"));
        }
    }
    let pool = pool(1);
    let task = Recorder::new(|item| {
        if item == 5 {
            resume_unwind(Box::new(Bomb));
        }
    });
    let end = pool.submit(JobSpec::new("bomb", vec![Span::new(0, 10)]), task).unwrap().wait();
    assert_eq!(end.quarantined.len(), 1);
    assert_eq!(pool.metrics().restarts, 0);
    assert_eq!(pool.metrics().panics, 2);
}

#[test]
fn a_commit_that_panics_is_quarantined_at_once() {
    struct BadCommit;
    impl RangeTask for BadCommit {
        type Output = ();
        fn run(&self, span: Span, _ctx: &BatchContext<'_>) -> Done<()> {
            Done { items: span.len, output: () }
        }
        fn commit(&self, report: &BatchReport, (): ()) -> Next {
            if report.done.start == 3 {
                fail();
            }
            Next::Continue
        }
    }
    let pool = pool(2);
    let mut spec = JobSpec::new("commit", vec![Span::new(0, 10)]);
    spec.max_batch = 1;
    let end = pool.submit(spec, Arc::new(BadCommit)).unwrap().wait();
    assert_eq!(end.quarantined, [Span::new(3, 1)]);
    assert_eq!(end.items, 9);
}

#[test]
fn a_task_that_claims_more_than_its_span_is_cut_to_it() {
    struct Boaster;
    impl RangeTask for Boaster {
        type Output = ();
        fn run(&self, _span: Span, _ctx: &BatchContext<'_>) -> Done<()> {
            Done { items: u64::MAX, output: () }
        }
        fn commit(&self, _report: &BatchReport, (): ()) -> Next {
            Next::Continue
        }
    }
    let pool = pool(2);
    let spec = JobSpec::new("boast", vec![Span::new(0, 1_000)]);
    assert_eq!(pool.submit(spec, Arc::new(Boaster)).unwrap().wait().items, 1_000);
}

struct Lazy;

impl RangeTask for Lazy {
    type Output = ();
    fn run(&self, _span: Span, _ctx: &BatchContext<'_>) -> Done<()> {
        Done { items: 0, output: () }
    }
    fn commit(&self, _report: &BatchReport, (): ()) -> Next {
        Next::Continue
    }
}

#[test]
fn a_batch_that_does_nothing_uncancelled_is_tried_once_more_and_then_quarantined() {
    let pool = pool(2);
    let span = Span::new(0, 100);
    let end = pool.submit(JobSpec::new("lazy", vec![span]), Arc::new(Lazy)).unwrap().wait();
    assert_eq!((end.reason, end.items), (EndReason::Exhausted, 0));
    assert_eq!(end.quarantined.iter().map(|span| span.len).sum::<u64>(), 100);
}

#[test]
fn statistics_that_are_never_due_do_not_stop_the_coordinator() {
    let config =
        PoolConfig { threads: Some(2), stats_every: Duration::MAX, ..PoolConfig::default() };
    let pool = Pool::new(config).unwrap();
    let task = Recorder::new(|_| spin(Duration::from_micros(20)));
    let spec = JobSpec::new("endless", vec![Span::new(0, u64::MAX)]);
    let ticket = pool.submit(spec, Arc::clone(&task)).unwrap();
    task.wait_for_items(100);
    pool.kill_thread(0);
    eventually("the replacement", || pool.metrics().restarts == 1);
    pool.shutdown();
    assert_eq!(ticket.wait().reason, EndReason::Shutdown);
}

/// Its drop panics, without a message on the test's standard error.
struct Bomb(Arc<AtomicU64>);

impl RangeTask for Bomb {
    type Output = ();
    fn run(&self, span: Span, _ctx: &BatchContext<'_>) -> Done<()> {
        Done { items: span.len, output: () }
    }
    fn commit(&self, _report: &BatchReport, (): ()) -> Next {
        Next::Continue
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
        fail();
    }
}

#[test]
fn a_task_whose_drop_panics_harms_neither_the_coordinator_nor_the_workers() {
    let pool = pool(2);
    let drops = Arc::new(AtomicU64::new(0));
    // The deadline of a paused job ends it on the coordinator, which holds it last.
    let mut spec = JobSpec::new("bomb", vec![Span::new(0, u64::MAX)]);
    spec.deadline = Some(std::time::Instant::now() + Duration::from_millis(50));
    let ticket = pool.submit(spec, Arc::new(Bomb(Arc::clone(&drops)))).unwrap();
    ticket.pause();
    drop(ticket);
    eventually("the drop on the coordinator", || drops.load(SeqCst) == 1);
    // One that comes to its end is dropped by whichever thread is the last.
    let spec = JobSpec::new("short", vec![Span::new(0, 100)]);
    drop(pool.submit(spec, Arc::new(Bomb(Arc::clone(&drops)))).unwrap());
    eventually("the drop on a worker", || drops.load(SeqCst) == 2);
    let task = Recorder::new(|_| spin(Duration::from_micros(20)));
    let spec = JobSpec::new("endless", vec![Span::new(0, u64::MAX)]);
    let ticket = pool.submit(spec, Arc::clone(&task)).unwrap();
    task.wait_for_items(100);
    let restarts = pool.metrics().restarts;
    pool.kill_thread(0);
    eventually("the replacement", || pool.metrics().restarts == restarts + 1);
    pool.shutdown();
    assert_eq!(ticket.wait().reason, EndReason::Shutdown);
}

#[test]
fn where_everything_panics_the_list_of_what_was_given_up_stays_short() {
    let pool = pool(2);
    let task = Recorder::new(|_| fail());
    let mut spec = JobSpec::new("hopeless", vec![Span::new(0, 600)]);
    spec.max_batch = 1;
    let ticket = pool.submit(spec, task).unwrap();
    let longest = AtomicU64::new(0);
    eventually("the end", || {
        longest.fetch_max(ticket.stats().quarantined.len() as u64, SeqCst);
        ticket.end().is_some()
    });
    assert_eq!(ticket.wait().quarantined, [Span::new(0, 600)]);
    assert!(longest.load(SeqCst) <= 64, "{} spans at once", longest.load(SeqCst));
}
