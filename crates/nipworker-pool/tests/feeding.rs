//! No thread waits while there is work, and jobs share fairly.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use common::{Recorder, eventually, pool, sequential, spin};
use nipworker_pool::{JobSpec, JobTicket, Pool, PoolConfig, Priority, Span};

#[test]
fn one_job_reaches_all_32_workers_even_on_few_cores() {
    let pool = pool(32);
    let everybody = Arc::new(Barrier::new(32));
    // Each of the first 32 items waits for the other 31: it can only end if every worker has one.
    let task = Recorder::new(move |item| {
        if item < 32 {
            everybody.wait();
        }
    });
    let mut spec = JobSpec::new("all", vec![Span::new(0, 32)]);
    spec.max_batch = 1;
    let end = pool.submit(spec, task).unwrap().wait();
    assert_eq!(end.items, 32);
    assert_eq!(pool.metrics().active_threads, 32);
}

#[test]
fn no_thread_starves_in_batched_mode() {
    let pool = pool(4);
    let task = Recorder::new(|_| spin(Duration::from_micros(100)));
    let spec = JobSpec::new("fed", vec![Span::new(0, 4_000)]);
    pool.submit(spec, task).unwrap().wait();
    let metrics = pool.metrics();
    assert_eq!((metrics.starvation_events, metrics.starved_ns), (0, 0));
    for thread in &metrics.threads {
        assert!(thread.batches > 0, "{thread:?}");
    }
    assert!(metrics.mean_batch > 1.0, "{}", metrics.mean_batch);
    assert_eq!(metrics.attempts, 4_000);
}

#[test]
fn the_sequential_baseline_shows_its_starvation_and_only_while_there_is_work() {
    let pool = sequential(4);
    let mut before = 0;
    for _ in 0..3 {
        let task = Recorder::new(|_| spin(Duration::from_micros(200)));
        let spec = JobSpec::new("hungry", vec![Span::new(0, 300)]);
        pool.submit(spec, task).unwrap().wait();
        let metrics = || pool.metrics();
        eventually("the thread of the last item has seen the end", || {
            let starved = metrics().starved_ns;
            let uptime = metrics().uptime_ns;
            eventually("time passes", || metrics().uptime_ns > uptime + 20_000_000);
            metrics().starved_ns == starved
        });
        // Three of four threads wait at any time; the fourth for its next item.
        let starved = metrics().starved_ns;
        assert!(starved - before > 3 * 300 * 200_000, "{starved} ns after {before} ns");
        before = starved;
    }
    assert!(pool.metrics().starvation_events > 0);
}

#[test]
fn workers_refill_themselves_when_the_queue_is_empty() {
    // A job that passes the queue, on all threads, is never put into it by the generator.
    let pool = pool(2);
    let task = Recorder::new(|_| {});
    let mut spec = JobSpec::new("fast", vec![Span::new(0, 200_000)]);
    // One item per batch outruns any generator.
    spec.max_batch = 1;
    pool.submit(spec, task).unwrap().wait();
    let metrics = pool.metrics();
    let refills: u64 = metrics.threads.iter().map(|t| t.self_refills).sum();
    assert!(refills > 0);
    assert_eq!(metrics.starvation_events, 0);
}

#[test]
fn a_batch_settles_near_two_milliseconds_of_thread_time() {
    let pool = pool(1);
    let task = Recorder::new(|_| spin(Duration::from_micros(10)));
    let spec = JobSpec::new("sized", vec![Span::new(0, u64::MAX)]);
    let ticket = pool.submit(spec, Arc::clone(&task)).unwrap();
    eventually("the size settles", || {
        let stats = ticket.stats();
        let batch_us = stats.batch_size as f64 * stats.cpu_ns_per_item / 1e3;
        stats.batches > 20 && (1_000.0..=4_000.0).contains(&batch_us)
    });
    ticket.cancel();
}

#[test]
fn jobs_share_by_their_weights_and_the_lowest_still_gets_its_part() {
    let pool = pool(2);
    let submit = |priority| {
        let task = Recorder::new(|_| spin(Duration::from_micros(20)));
        let mut spec = JobSpec::new("share", vec![Span::new(0, u64::MAX)]);
        spec.priority = priority;
        (pool.submit(spec, Arc::clone(&task)).unwrap(), task)
    };
    let (bulk, _bulk_task) = submit(Priority::Bulk);
    let (normal, normal_task) = submit(Priority::Normal);
    normal_task.wait_for_items(20_000);
    let (low, high) = (bulk.stats().cpu_ns as f64, normal.stats().cpu_ns as f64);
    let ratio = high / low;
    assert!((2.0..8.0).contains(&ratio), "weights 4 : 1 gave {ratio:.2} : 1");
    bulk.cancel();
    normal.cancel();
}

#[test]
fn cancelling_one_job_does_not_disturb_another() {
    let pool = pool(2);
    let keep = Recorder::new(|_| spin(Duration::from_micros(10)));
    let kept =
        pool.submit(JobSpec::new("keep", vec![Span::new(0, 5_000)]), Arc::clone(&keep)).unwrap();
    for _ in 0..10 {
        let task = Recorder::new(|_| spin(Duration::from_micros(10)));
        let spec = JobSpec::new("drop", vec![Span::new(0, u64::MAX)]);
        let ticket = pool.submit(spec, Arc::clone(&task)).unwrap();
        task.wait_for_items(10);
        ticket.cancel();
    }
    assert_eq!(kept.wait().items, 5_000);
    assert_eq!(keep.merged(), [Span::new(0, 5_000)]);
}

#[test]
fn an_urgent_job_passes_the_queue_of_bulk_work() {
    let pool = pool(1);
    let gate = Arc::new(Barrier::new(2));
    let order = Arc::new(Mutex::new(Vec::new()));
    let bulk = Recorder::new({
        let (gate, order) = (Arc::clone(&gate), Arc::clone(&order));
        move |item| {
            if item == 0 {
                gate.wait();
            }
            order.lock().unwrap().push("bulk");
        }
    });
    let mut spec = JobSpec::new("bulk", vec![Span::new(0, u64::MAX)]);
    spec.priority = Priority::Bulk;
    spec.max_batch = 1;
    let ticket = pool.submit(spec, bulk).unwrap();
    // The only thread is inside the first item, and others are queued.
    eventually("the queue is full", || {
        ticket.stats().running == 1 && pool.metrics().queue_depth >= 2
    });
    let urgent = pool.run_batch(Priority::Urgent, vec![()], {
        let order = Arc::clone(&order);
        move |()| order.lock().unwrap().push("urgent")
    });
    gate.wait();
    futures::executor::block_on(urgent).unwrap();
    ticket.cancel();
    assert_eq!(order.lock().unwrap()[..2], ["bulk", "urgent"]);
}

#[test]
fn threads_are_named_numbered_and_pinned_in_turn() {
    let config =
        PoolConfig { threads: Some(5), name_prefix: "miner".into(), ..PoolConfig::default() };
    let pool = Pool::new(config).unwrap();
    let names = pool.run_batch(Priority::High, vec![(); 200], |()| {
        spin(Duration::from_micros(100));
        std::thread::current().name().map(str::to_owned)
    });
    for name in futures::executor::block_on(names).unwrap() {
        let name = name.unwrap();
        assert!(name.starts_with("miner-0"), "{name}");
    }
    eventually("all threads have started", || {
        pool.metrics().threads.iter().all(|thread| thread.core.is_some())
    });
    let metrics = pool.metrics();
    let cores: Vec<_> = metrics.threads.iter().map(|thread| thread.core.unwrap()).collect();
    let distinct: std::collections::BTreeSet<_> = cores.iter().collect();
    assert!(metrics.threads.iter().all(|thread| thread.pinned), "{metrics:?}");
    assert_eq!(cores[0], cores[distinct.len() % cores.len()], "given out in turn: {cores:?}");
    // Nobody on this thread was pinned by it.
    assert!(std::thread::available_parallelism().unwrap().get() >= distinct.len().min(2));
}

#[test]
fn a_job_switch_reaches_a_busy_thread_within_one_item() {
    let pool = pool(2);
    let task = Recorder::new(|_| spin(Duration::from_micros(200)));
    let spec = JobSpec::new("switch", vec![Span::new(0, u64::MAX)]);
    let ticket = pool.submit(spec, Arc::clone(&task)).unwrap();
    task.wait_for_items(50);
    let start = Instant::now();
    ticket.cancel();
    ticket.wait();
    // Generous for a machine that others load; without the look inside a batch it would take
    // as long as the batches, and they never end for a job of this size if size ran away.
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
}

fn endless(pool: &Pool, name: &str) -> JobTicket {
    let task = Recorder::new(|_| spin(Duration::from_micros(50)));
    pool.submit(JobSpec::new(name, vec![Span::new(0, u64::MAX)]), task).unwrap()
}

const MS: u64 = 1_000_000;

/// Lets `newcomer` have 100 ms of thread time; the other must have had its part of the time.
fn assert_shared(newcomer: &JobTicket, other: &JobTicket) {
    let (new_before, before) = (newcomer.stats().cpu_ns, other.stats().cpu_ns);
    eventually("thread time", || newcomer.stats().cpu_ns >= new_before + 100 * MS);
    let had = other.stats().cpu_ns - before;
    assert!(had >= 30 * MS, "the other had {had} ns beside 100 ms");
}

#[test]
fn a_resumed_job_is_not_owed_the_time_of_its_pause() {
    let pool = pool(1);
    let paused = endless(&pool, "paused");
    paused.pause();
    let other = endless(&pool, "other");
    eventually("a lead", || other.stats().cpu_ns >= 300 * MS);
    paused.resume();
    assert_shared(&paused, &other);
}

#[test]
fn a_new_job_beside_a_paused_one_is_not_owed_the_past() {
    let pool = pool(1);
    let paused = endless(&pool, "paused");
    paused.pause();
    let other = endless(&pool, "other");
    eventually("a lead", || other.stats().cpu_ns >= 300 * MS);
    let new = endless(&pool, "new");
    assert_shared(&new, &other);
}

#[test]
fn a_new_job_beside_one_of_few_threads_is_not_owed_what_that_one_lags() {
    let pool = pool(2);
    let mut spec = JobSpec::new("limited", vec![Span::new(0, u64::MAX)]);
    spec.max_threads = std::num::NonZeroUsize::new(1);
    // By its weight it is due far more than its one thread can give it.
    spec.priority = Priority::Urgent;
    let task = Recorder::new(|_| spin(Duration::from_micros(50)));
    let _limited = pool.submit(spec, task).unwrap();
    let other = endless(&pool, "other");
    eventually("a lead", || other.stats().cpu_ns >= 300 * MS);
    let new = endless(&pool, "new");
    assert_shared(&new, &other);
}

#[test]
fn jobs_that_come_while_threads_fall_asleep_are_no_starvation() {
    let pool = pool(2);
    for round in 0..3_000u64 {
        let batch = pool.run_batch(Priority::Normal, vec![round; 4], |item| item + 1);
        assert_eq!(futures::executor::block_on(batch).unwrap(), vec![round + 1; 4]);
    }
    assert_eq!(pool.metrics().starvation_events, 0);
}
