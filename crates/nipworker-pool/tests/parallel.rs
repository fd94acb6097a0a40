//! Lists of items in, lists of results out.
#![allow(clippy::unwrap_used)]

mod common;

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use common::{eventually, pool, spin};
use futures::executor::block_on;
use nipworker_pool::{BatchError, Priority};

#[test]
fn results_keep_the_order_of_the_items() {
    let pool = pool(4);
    let items: Vec<u64> = (0..10_000).collect();
    let results = block_on(pool.run_batch(Priority::High, items, |n| n * 2)).unwrap();
    assert!(results.iter().enumerate().all(|(at, &n)| n == at as u64 * 2));
    assert_eq!(results.len(), 10_000);
}

#[test]
fn an_empty_list_gives_an_empty_list() {
    let results = block_on(pool(1).run_batch(Priority::Urgent, Vec::<u8>::new(), |n| *n));
    assert_eq!(results, Ok(Vec::new()));
}

#[test]
fn a_panic_fails_its_own_batch_and_no_other() {
    let pool = pool(3);
    let bad = pool.run_batch(Priority::High, (0..500u64).collect(), |n| {
        if *n == 250 {
            resume_unwind(Box::new(format!("item {n} is bad")));
        }
        *n
    });
    let good = pool.run_batch(Priority::High, (0..500u64).collect(), |n| *n);
    assert_eq!(block_on(bad), Err(BatchError::Panicked { message: "item 250 is bad".into() }));
    assert_eq!(block_on(good).unwrap().len(), 500);
}

#[test]
fn dropping_the_future_stops_the_batch() {
    let pool = pool(1);
    let done = Arc::new(AtomicU64::new(0));
    let future = pool.run_batch(Priority::Normal, vec![(); 1_000_000], {
        let done = Arc::clone(&done);
        move |()| {
            spin(Duration::from_micros(50));
            done.fetch_add(1, SeqCst);
        }
    });
    eventually("it has begun", || done.load(SeqCst) > 0);
    drop(future);
    eventually("the job is gone", || pool.metrics().jobs == 0);
    assert!(done.load(SeqCst) < 1_000_000);
}

#[test]
fn after_a_shutdown_batches_are_refused_and_running_ones_fail() {
    let pool = pool(2);
    let running = pool.run_batch(Priority::Normal, vec![(); 1_000_000], |()| {
        spin(Duration::from_micros(50));
    });
    pool.shutdown();
    assert_eq!(block_on(running), Err(BatchError::Closed));
    let late = pool.run_batch(Priority::Normal, vec![1], |n| *n);
    assert_eq!(block_on(late), Err(BatchError::Closed));
}

#[test]
fn many_small_batches_from_many_threads_all_come_back() {
    let pool = pool(3);
    std::thread::scope(|scope| {
        for base in 0..4u64 {
            let pool = &pool;
            scope.spawn(move || {
                for round in 0..100u64 {
                    let items: Vec<u64> = (0..round % 40).map(|n| n + base).collect();
                    let want: Vec<u64> = items.iter().map(|n| n + 1).collect();
                    let got = block_on(pool.run_batch(Priority::Urgent, items, |n| n + 1));
                    assert_eq!(got, Ok(want));
                }
            });
        }
    });
}
