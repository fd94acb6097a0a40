//! Many jobs share the threads by their weights.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Recorder, eventually, pool, sequential, spin};
use nipworker_pool::{JobSpec, JobTicket, Pool, PoolConfig, Priority, Span};

/// One urgent, two high, three normal and four bulk jobs.
fn ten_jobs(pool: &Pool) -> Vec<(Priority, JobTicket)> {
    let kinds =
        [(Priority::Urgent, 1), (Priority::High, 2), (Priority::Normal, 3), (Priority::Bulk, 4)];
    let each = kinds.iter().flat_map(|(priority, count)| vec![*priority; *count]);
    // Paused until all are there, so that none has a lead.
    let jobs: Vec<_> = each
        .map(|priority| {
            let mut spec = JobSpec::new("share", vec![Span::new(0, u64::MAX)]);
            spec.priority = priority;
            spec.paused = true;
            let task = Recorder::new(|_| spin(Duration::from_micros(20)));
            (priority, pool.submit(spec, task).unwrap())
        })
        .collect();
    for (_, ticket) in &jobs {
        ticket.resume();
    }
    jobs
}

/// CPU time of each job over the next `ms` milliseconds of CPU time of them all.
fn shares(jobs: &[(Priority, JobTicket)], ms: u64) -> Vec<f64> {
    let had = || jobs.iter().map(|(_, ticket)| ticket.stats().cpu_ns).collect::<Vec<_>>();
    let before = had();
    let total = |had: &[u64]| had.iter().sum::<u64>();
    eventually("thread time", || total(&had()) >= total(&before) + ms * 1_000_000);
    let after = had();
    let all = (total(&after) - total(&before)) as f64;
    before.iter().zip(&after).map(|(before, after)| (after - before) as f64 / all).collect()
}

fn small_batches(threads: usize) -> Pool {
    let config = PoolConfig {
        threads: Some(threads),
        target_batch: Duration::from_micros(200),
        ..PoolConfig::default()
    };
    Pool::new(config).unwrap()
}

#[test]
fn ten_jobs_of_four_priorities_share_as_documented_and_a_cancel_leaves_the_others_alone() {
    let pool = small_batches(2);
    let mut jobs = ten_jobs(&pool);
    shares(&jobs, 100);
    let before = shares(&jobs, 1_500);
    let weights: f64 = jobs.iter().map(|(priority, _)| priority.weight() as f64).sum();
    for class in [Priority::Urgent, Priority::High, Priority::Normal, Priority::Bulk] {
        let of_class = |shares: &[f64]| -> f64 {
            let pairs = jobs.iter().zip(shares).filter(|((priority, _), _)| *priority == class);
            let had: Vec<f64> = pairs.map(|(_, share)| *share).collect();
            had.iter().sum::<f64>() / had.len() as f64
        };
        let due = class.weight() as f64 / weights;
        let ratio = of_class(&before) / due;
        assert!((0.7..1.4).contains(&ratio), "{class:?} had {ratio:.2} of its due: {before:?}");
    }
    // One of the two high ones goes.
    let (_, gone) = jobs.remove(1);
    gone.cancel();
    let mut left = before.clone();
    left.remove(1);
    let sum: f64 = left.iter().sum();
    for ((priority, _), (before, after)) in
        jobs.iter().zip(left.iter().map(|share| share / sum).zip(shares(&jobs, 1_500)))
    {
        let ratio = after / before;
        assert!((0.6..1.6).contains(&ratio), "{priority:?} changed by {ratio:.2}");
    }
}

#[test]
fn while_a_sequential_driver_does_one_item_after_the_other_32_workers_do_twenty_times_as_many() {
    let nap = |_| std::thread::sleep(Duration::from_millis(10));
    let (many, one) = (pool(32), sequential(32));
    let spec = || JobSpec::new("nap", vec![Span::new(0, u64::MAX)]);
    let batched = many.submit(spec(), Recorder::new(nap)).unwrap();
    // The batches find their size first; they count from then on.
    eventually("all are at work", || batched.stats().items >= 200);
    let slow = Recorder::new(nap);
    let sequential = one.submit(spec(), Arc::clone(&slow)).unwrap();
    slow.wait_for_items(5);
    let (from, began) = (batched.stats().items, sequential.stats().items);
    slow.wait_for_items(began + 40);
    let (done, compared) = (batched.stats().items - from, sequential.stats().items - began);
    assert!(done >= 20 * compared, "{done} items beside {compared} of the sequential driver");
    assert_eq!(many.metrics().starved_ns, 0);
    assert_eq!(many.metrics().active_threads, 32);
}

#[test]
fn busy_threads_do_not_wait_for_each_other() {
    let pool = pool(2);
    let task = Recorder::new(|_| spin(Duration::from_micros(50)));
    let spec = JobSpec::new("busy", vec![Span::new(0, u64::MAX)]);
    let ticket = pool.submit(spec, task).unwrap();
    let each = |least: u64| pool.metrics().threads.iter().all(|thread| thread.batches >= least);
    eventually("a start", || each(20));
    let before = pool.metrics();
    eventually("batches", || each(320));
    let after = pool.metrics();
    ticket.cancel();
    for (before, after) in before.threads.iter().zip(&after.threads) {
        let batches = (after.batches - before.batches) as f64;
        let switches = (after.voluntary_switches - before.voluntary_switches) as f64;
        assert!(switches / batches < 0.1, "{switches} voluntary switches in {batches} batches");
        assert_eq!(after.idle_no_job_ns, before.idle_no_job_ns, "it did not sleep");
    }
    assert_eq!((after.starved_ns, after.throttled_ns), (0, 0));
    assert!(after.rate_1s > 0.0 && after.rate_10s > 0.0 && after.rate_60s > 0.0);
    assert!(after.active_ns > 0 && after.active_ns <= after.uptime_ns);
}

#[test]
fn a_thread_that_dies_starves_until_it_is_replaced() {
    let pool = pool(2);
    let task = Recorder::new(|_| spin(Duration::from_micros(20)));
    let spec = JobSpec::new("deadly", vec![Span::new(0, u64::MAX)]);
    let ticket = pool.submit(spec, task).unwrap();
    assert_eq!(pool.metrics().starved_ns, 0);
    for kill in 1..=3 {
        pool.kill_thread(1);
        eventually("the replacement", || pool.metrics().restarts == kill);
    }
    eventually("it is booked", || pool.metrics().threads[1].starvation_events == 3);
    let metrics = pool.metrics();
    assert!(metrics.threads[1].starved_ns > 0);
    assert_eq!(metrics.threads[0].starved_ns, 0);
    assert_eq!(metrics.starved_ns, metrics.threads[1].starved_ns);
    ticket.cancel();
}

#[test]
fn the_time_without_a_running_job_is_no_active_time() {
    let pool = pool(1);
    let task = Recorder::new(|_| spin(Duration::from_micros(50)));
    let spec = JobSpec::new("paused", vec![Span::new(0, u64::MAX)]);
    let ticket = pool.submit(spec, Arc::clone(&task)).unwrap();
    task.wait_for_items(10);
    ticket.pause();
    let active = pool.metrics().active_ns;
    let uptime = pool.metrics().uptime_ns;
    eventually("time passes", || pool.metrics().uptime_ns > uptime + 20_000_000);
    assert_eq!(pool.metrics().active_ns, active);
    ticket.resume();
    eventually("it counts again", || pool.metrics().active_ns > active);
    ticket.cancel();
    let active = pool.metrics().active_ns;
    let uptime = pool.metrics().uptime_ns;
    eventually("time passes", || pool.metrics().uptime_ns > uptime + 20_000_000);
    assert_eq!(pool.metrics().active_ns, active);
    eventually("the pause reached the thread", || pool.metrics().switch_p50_ns > 0);
}
