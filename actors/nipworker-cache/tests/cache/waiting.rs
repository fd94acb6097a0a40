//! Who waits for whom, and who does not.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use futures::{FutureExt, channel::oneshot, executor::block_on, future::join_all};
use nipworker_cache::IN_FLIGHT_MAX;
use nipworker_schema::*;
use nipworker_store::{
    EventStore,
    conformance::samples::{NOW, note},
};
use nipworker_supervision::{Exit, prelude::*};

use crate::system::*;

#[test]
fn queries_are_answered_while_connections_takes_its_time() {
    let system = System::start();
    let event = note(1, NOW, "hello");
    let (open, gate) = oneshot::channel();
    *system.gate.lock().unwrap() = Some(gate.shared());
    let publish = CacheEdge::encode(publish(&event, &["wss://a"], true));
    let sending = system.cache.try_ask(publish).unwrap();
    // Were the worker waiting for connections, this would never come back.
    while system.page(everything()).events.is_empty() {}
    open.send(()).unwrap();
    let sent = block_on(sending).unwrap().decode().unwrap();
    assert!(matches!(sent, CacheMessageT::Sent(_)));
}

#[test]
fn a_query_does_not_wait_for_a_commit() {
    let system = System::start();
    let before = note(1, NOW - 1, "before");
    system.persist(std::slice::from_ref(&before));
    let slow_disk = system.store.disk.lock().unwrap();
    let after = note(1, NOW, "after");
    let request = CacheEdge::encode(persist(std::slice::from_ref(&after)));
    let mut persisting = system.cache.try_ask(request).unwrap();
    system.commits_begun(2);
    for _ in 0..100 {
        assert_eq!(ids(&system.page(everything())), [before.id]);
    }
    assert!(
        (&mut persisting).now_or_never().is_none(),
        "nothing is acknowledged before its commit"
    );
    drop(slow_disk);
    let answer = block_on(persisting).unwrap().decode().unwrap();
    assert!(matches!(answer, CacheMessageT::Persisted(_)));
    assert_eq!(ids(&system.page(everything())), [after.id, before.id]);
}

#[test]
fn what_waits_for_a_commit_is_committed_together_and_answered_one_by_one() {
    let system = System::start();
    let slow_disk = system.store.disk.lock().unwrap();
    let batch = |n: i64| [note(1, NOW - n, "one"), note(2, NOW - n, "two")];
    let ask = |n| system.cache.try_ask(CacheEdge::encode(persist(&batch(n)))).unwrap();
    let first = ask(0);
    system.commits_begun(1);
    // The third brings what the second brought, and one request brings nothing.
    let more = [ask(1), ask(2), ask(2)];
    let empty = system.cache.try_ask(CacheEdge::encode(persist(&[]))).unwrap();
    // Both have been handed on when a question behind them is answered.
    assert!(system.page(everything()).events.is_empty());
    drop(slow_disk);
    let answers = block_on(join_all([first].into_iter().chain(more).chain([empty])));
    let statuses: Vec<Vec<PutStatus>> = answers
        .into_iter()
        .map(|answer| match answer.unwrap().decode().unwrap() {
            CacheMessageT::Persisted(answer) => {
                answer.outcomes.iter().map(|outcome| outcome.status).collect()
            }
            other => panic!("{other:?}"),
        })
        .collect();
    let (new, known) = ([PutStatus::Stored; 2].to_vec(), [PutStatus::Duplicate; 2].to_vec());
    assert_eq!(statuses, [new.clone(), new.clone(), new, known, vec![]]);
    assert_eq!(system.store.begun.load(Ordering::SeqCst), 2, "one for the first, one for the rest");
    assert_eq!(system.store.stats().unwrap().events, 6);
}

#[test]
fn more_requests_than_may_be_under_way_wait_and_are_all_answered() {
    let system = System::start();
    let slow_disk = system.store.disk.lock().unwrap();
    let count = IN_FLIGHT_MAX + 100;
    let asks: Vec<_> = (0..count as i64)
        .map(|n| {
            let request = CacheEdge::encode(persist(&[note(1, NOW - n, "")]));
            system.cache.ask(request)
        })
        .collect();
    let answers = std::thread::spawn(move || block_on(join_all(asks)));
    system.commits_begun(1);
    // No more are read than may be under way, and what waits is in the mailbox.
    let end = Instant::now() + Duration::from_secs(20);
    let (read, left) = (IN_FLIGHT_MAX as u64, (count - IN_FLIGHT_MAX) as u64);
    let seen = || (system.status().handled, system.status().mailbox.depth);
    while seen() != (read, left) {
        assert!(Instant::now() < end, "{:?}", seen());
        std::thread::yield_now();
    }
    for _ in 0..1_000 {
        assert_eq!(seen(), (read, left));
    }
    drop(slow_disk);
    for answer in answers.join().unwrap() {
        assert!(matches!(answer.unwrap().decode(), Ok(CacheMessageT::Persisted(_))));
    }
    assert_eq!(system.store.stats().unwrap().events, count as u64);
}

#[test]
fn publishes_that_wait_for_relays_keep_nothing_else_from_being_stored() {
    let system = System::start();
    let (open, gate) = oneshot::channel();
    *system.gate.lock().unwrap() = Some(gate.shared());
    let count = IN_FLIGHT_MAX + 50;
    let asks: Vec<_> = (0..count as i64)
        .map(|n| {
            let request = publish(&note(1, NOW - n, ""), &["wss://a"], true);
            system.cache.ask(CacheEdge::encode(StoreAndSendT { timeout_ms: 60_000, ..request }))
        })
        .collect();
    let answers = std::thread::spawn(move || block_on(join_all(asks)));
    let end = Instant::now() + Duration::from_secs(20);
    while system.asked.lock().unwrap().len() < count {
        assert!(Instant::now() < end, "{} publishes are sent", system.asked.lock().unwrap().len());
        std::thread::yield_now();
    }
    let status = system.persist(&[note(2, NOW, "from a relay")]);
    assert_eq!(status, [PutStatus::Stored]);
    assert!(!answers.is_finished(), "nobody has answered the publishes");
    open.send(()).unwrap();
    for answer in answers.join().unwrap() {
        assert!(matches!(answer.unwrap().decode(), Ok(CacheMessageT::Sent(_))));
    }
}

#[test]
fn a_stop_works_off_what_is_queued() {
    let mut system = System::start();
    let asks: Vec<_> = (0..100)
        .map(|n| {
            let request = CacheEdge::encode(persist(&[note(1, NOW - n, "")]));
            system.cache.try_ask(request).unwrap()
        })
        .collect();
    let handle = system.handle.take().unwrap();
    assert!(handle.stop_blocking().is_clean());
    for answer in block_on(join_all(asks)) {
        assert!(matches!(answer.unwrap().decode(), Ok(CacheMessageT::Persisted(_))));
    }
    assert_eq!(system.store.stats().unwrap().events, 100);
    assert!(matches!(block_on(handle.wait()), Exit::Stopped));
    assert_eq!(system.try_ask(everything()).unwrap_err(), AskError::Closed);
}
