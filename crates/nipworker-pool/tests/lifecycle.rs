//! Starting and stopping.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{PATIENCE, Recorder, eventually, pool, spin};
use nipworker_pool::{
    BatchContext, BatchReport, Done, EndReason, JobEnd, JobSpec, MAX_THREADS, Next, Pool,
    PoolConfig, PoolError, Priority, RangeTask, Span, default_threads,
};

/// Names of this process's threads.
#[cfg(target_os = "linux")]
fn threads_named(prefix: &str) -> usize {
    let mut count = 0;
    for entry in std::fs::read_dir("/proc/self/task").unwrap() {
        let name = entry.and_then(|entry| std::fs::read_to_string(entry.path().join("comm")));
        // A thread may end between the listing and the reading.
        if name.is_ok_and(|name| name.starts_with(prefix)) {
            count += 1;
        }
    }
    count
}

#[test]
#[cfg(target_os = "linux")]
fn a_hundred_pools_leave_no_thread_behind() {
    for round in 0..100 {
        let config =
            PoolConfig { threads: Some(3), name_prefix: "cycle".into(), ..PoolConfig::default() };
        let pool = Pool::new(config).unwrap();
        let task = Recorder::new(|_| {});
        let spec = JobSpec::new("short", vec![Span::new(0, u64::MAX)]);
        let ticket = pool.submit(spec, Arc::clone(&task)).unwrap();
        task.wait_for_items(1);
        if round % 2 == 0 {
            pool.shutdown();
        }
        drop(pool);
        assert_eq!(ticket.wait().reason, EndReason::Shutdown);
        // The system wakes the joiner just before it takes the thread off its list.
        eventually("the threads are off the list", || threads_named("cycle") == 0);
    }
}

#[test]
fn a_shutdown_keeps_what_running_batches_have_done() {
    let pool = pool(3);
    let task = Recorder::new(|_| spin(Duration::from_micros(20)));
    let spec = JobSpec::new("down", vec![Span::new(0, u64::MAX)]);
    let ticket = pool.submit(spec, Arc::clone(&task)).unwrap();
    task.wait_for_items(500);
    pool.shutdown();
    let end = ticket.wait();
    assert_eq!(end.items, task.items());
    assert_eq!(
        task.runs.load(std::sync::atomic::Ordering::SeqCst) as usize,
        task.committed.lock().unwrap().len(),
        "every batch that ran was committed"
    );
    task.merged();
}

#[test]
fn a_pool_that_is_shut_down_refuses_jobs_and_can_be_shut_down_again() {
    let pool = pool(2);
    pool.shutdown();
    pool.shutdown();
    let refused = pool.submit(JobSpec::new("late", vec![Span::new(0, 1)]), Recorder::new(|_| {}));
    assert!(matches!(refused, Err(PoolError::Closed)));
}

#[test]
fn dropping_the_last_pool_on_one_of_its_own_threads_does_not_hang() {
    let pool = pool(2);
    let inner = pool.clone();
    let batch =
        pool.run_batch(Priority::Normal, vec![std::sync::Mutex::new(Some(inner))], |held| {
            drop(held.lock().unwrap().take());
        });
    drop(pool);
    // Either the batch was done before the shutdown, or it was refused; it must not hang.
    _ = futures::executor::block_on(batch);
}

#[test]
fn settings_outside_their_limits_are_refused_with_the_limit() {
    let refused = |config: PoolConfig| Pool::new(config).unwrap_err().to_string();
    let text = refused(PoolConfig { threads: Some(0), ..PoolConfig::default() });
    assert_eq!(text, "0 worker threads asked for, allowed are 1 to 1024");
    let text = refused(PoolConfig { threads: Some(MAX_THREADS + 1), ..PoolConfig::default() });
    assert_eq!(text, "1025 worker threads asked for, allowed are 1 to 1024");
    let text = refused(PoolConfig { low_water_per_thread: 4, ..PoolConfig::default() });
    assert!(text.starts_with("high_water_per_thread is 4, allowed is more than"), "{text}");
    let text = refused(PoolConfig { target_batch: Duration::ZERO, ..PoolConfig::default() });
    assert_eq!(text, "target_batch is 0, allowed is 10 to 1000000 microseconds");
    let text = refused(PoolConfig { stats_every: Duration::ZERO, ..PoolConfig::default() });
    assert_eq!(text, "stats_every is 0, allowed is at least 10 milliseconds");
}

#[test]
fn the_default_leaves_a_core_to_others_from_four_cores_on() {
    let cores = std::thread::available_parallelism().unwrap().get();
    let want = if cores >= 4 { cores - 1 } else { cores };
    assert_eq!(default_threads(), want);
}

/// Keeps a pool until it ends.
struct Holder(std::sync::Mutex<Option<Pool>>, std::sync::mpsc::Sender<&'static str>);

impl RangeTask for Holder {
    type Output = ();
    fn run(&self, span: Span, _ctx: &BatchContext<'_>) -> Done<()> {
        Done { items: span.len, output: () }
    }
    fn commit(&self, _report: &BatchReport, (): ()) -> Next {
        Next::Continue
    }
    fn ended(&self, _end: &JobEnd) {
        drop(self.0.lock().unwrap().take());
        self.1.send("dropped").unwrap();
    }
}

#[test]
fn the_last_pool_dropped_on_its_coordinator_stops_it_in_order() {
    let pool = pool(2);
    let endless = Recorder::new(|_| spin(Duration::from_micros(20)));
    let spec = JobSpec::new("endless", vec![Span::new(0, u64::MAX)]);
    let other = pool.submit(spec, endless).unwrap();
    let (sender, dropped) = std::sync::mpsc::channel();
    let holder = Arc::new(Holder(std::sync::Mutex::new(None), sender));
    // The deadline of a paused job ends it on the coordinator.
    let mut spec = JobSpec::new("holder", vec![Span::new(0, u64::MAX)]);
    spec.deadline = Some(std::time::Instant::now() + Duration::from_millis(300));
    let mut held = holder.0.lock().unwrap();
    let ticket = pool.submit(spec, Arc::clone(&holder)).unwrap();
    ticket.pause();
    *held = Some(pool);
    drop(held);
    assert_eq!(dropped.recv_timeout(PATIENCE), Ok("dropped"));
    assert_eq!(ticket.wait().reason, EndReason::TimedOut);
    assert_eq!(other.wait().reason, EndReason::Shutdown);
}

#[test]
fn a_sleeping_thread_shows_the_time_it_has_been_idle() {
    let pool = pool(2);
    eventually("idle time of threads that have never been woken", || {
        pool.metrics().threads.iter().all(|thread| thread.idle_no_job_ns > 20_000_000)
    });
    assert_eq!(pool.metrics().starvation_events, 0);
}
