//! Neighbours that fail, and the parser's own restarts.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::{Mutex, atomic::Ordering};

use common::{
    RELAY, World, batch, eventually, ids, many, next, next_ids, notes, subscribe_request,
};
use futures::{FutureExt, executor::block_on};
use nipworker_parser::{MAX_BAD_ITEMS, MAX_IN_FLIGHT};
use nipworker_pipeline::{RefusalKind, SubscriptionEvent};
use nipworker_schema::{
    ClientEdge, EndOfStoredT, FailureCode, IngestEdge, IngestMessageT, IngestedT, PutStatus,
};
use nipworker_signer::protocol::Event;
use nipworker_supervision::Fault;

fn ingested(fresh: u32, duplicates: u32, refused: u32) -> IngestMessageT {
    IngestedT { fresh, duplicates, refused }.into()
}

fn texts(events: &[Event]) -> Vec<String> {
    events.iter().map(Event::to_json).collect()
}

#[test]
fn one_panic_of_crypto_or_cache_is_not_noticed() {
    let world = World::new();
    let mut stream = world.subscribe(notes("s"));
    for round in 0..5 {
        let events = many(20);
        world.script.crypto_panics.store(1, Ordering::SeqCst);
        world.script.cache_panics.store(round % 2, Ordering::SeqCst);
        assert_eq!(world.ingest(batch("s", &events)), ingested(20, 0, 0), "round {round}");
        assert_eq!(next_ids(&mut stream, 20), ids(&events));
    }
    // The supervisor counts a moment after the asker has its answer.
    eventually("the panics are counted", || {
        let status = world.supervisor.status();
        let panics = |name| status.worker(name).unwrap().panics;
        (panics("crypto"), panics("cache")) == (5, 2)
    });
}

#[test]
fn an_event_that_makes_crypto_panic_is_refused_alone() {
    let world = World::new();
    let mut stream = world.subscribe(notes("s"));
    let events = many(10);
    world.script.crypto_poison.lock().unwrap().insert(events[4].id);
    assert_eq!(world.ingest(batch("s", &events)), ingested(9, 0, 1));
    let mut wanted = ids(&events);
    wanted.remove(4);
    assert_eq!(next_ids(&mut stream, 9), wanted);
    let refused = world.pipeline.stats().total.refused;
    assert_eq!(refused[&RefusalKind::Unverifiable], 1);
    let outcomes = world.import(texts(&events));
    assert_eq!(outcomes[4].status, PutStatus::Failed);
    assert!(outcomes[4].reason.contains("injected panic of crypto"), "{}", outcomes[4].reason);
    assert_eq!(outcomes[5].status, PutStatus::Duplicate);
    // It was never let in, and is not known: once the fault is gone it passes.
    world.script.crypto_poison.lock().unwrap().clear();
    assert_eq!(world.ingest(batch("s", &events[4..5])), ingested(1, 0, 0));
    assert_eq!(next_ids(&mut stream, 1), [events[4].id]);
}

#[test]
fn an_event_that_makes_the_cache_panic_is_delivered_but_not_known() {
    let world = World::new();
    let mut stream = world.subscribe(notes("s"));
    let events = many(10);
    world.script.cache_poison.lock().unwrap().insert(events[7].id);
    assert_eq!(world.ingest(batch("s", &events)), ingested(10, 0, 0));
    assert_eq!(next_ids(&mut stream, 10), ids(&events));
    assert_eq!(world.script.stored.lock().unwrap().len(), 9);
    let outcomes = world.import(texts(&events));
    assert_eq!(outcomes[7].status, PutStatus::Failed);
    assert_eq!(nipworker_signer::protocol::EventId::from(&outcomes[7].id), events[7].id);
    world.script.cache_poison.lock().unwrap().clear();
    assert_eq!(world.import(texts(&events))[7].status, PutStatus::Stored);
}

#[test]
fn a_batch_full_of_poison_is_given_up_as_a_transient_failure() {
    let world = World::new();
    let events = many(20);
    *world.script.crypto_poison.lock().unwrap() = ids(&events).into_iter().collect();
    let _stream = world.subscribe(notes("s"));
    let answer = world.ingest(batch("s", &events));
    let failed = answer.as_failed().unwrap();
    assert!(failed.transient && failed.code == FailureCode::Worker, "{failed}");
    assert_eq!(world.script.crypto_panicked.load(Ordering::SeqCst), 2 + 2 * MAX_BAD_ITEMS + 1);
}

#[test]
fn when_the_store_fails_readers_still_get_events_and_a_repeated_batch_is_stored() {
    let world = World::new();
    let mut stream = world.subscribe(notes("s"));
    let events = many(10);
    world.script.cache_fails.store(true, Ordering::SeqCst);
    let answer = world.ingest(batch("s", &events));
    let failed = answer.as_failed().unwrap();
    assert_eq!((failed.code, failed.transient), (FailureCode::Store, true));
    assert_eq!(failed.reason, "the disk is full");
    assert_eq!(next_ids(&mut stream, 10), ids(&events));
    world.script.cache_fails.store(false, Ordering::SeqCst);
    // The relay's batch is repeated: stored now, and not delivered twice.
    assert_eq!(world.ingest(batch("s", &events)), ingested(10, 0, 0));
    assert_eq!(world.script.stored.lock().unwrap().len(), 10);
    assert_eq!(stream.try_next(), None);
}

#[test]
fn a_restart_of_the_parser_is_not_felt_by_open_subscriptions() {
    let world = World::new();
    let mut streams: Vec<_> = (0..5).map(|n| world.subscribe(notes(&format!("s{n}")))).collect();
    for round in 1..=3 {
        world.parser.inject(Fault::Panic).unwrap();
        eventually("the parser has panicked", || {
            world.supervisor.status().worker("parser").unwrap().panics == round
        });
        for (n, stream) in streams.iter_mut().enumerate() {
            let events = many(10);
            let name = format!("s{n}");
            assert_eq!(world.ingest(batch(&name, &events)), ingested(10, 0, 0));
            assert_eq!(next_ids(stream, 10), ids(&events));
        }
    }
    let mut asked = world.script.asked.lock().unwrap().clone();
    asked.sort();
    assert_eq!(asked, ["s0", "s1", "s2", "s3", "s4"], "relays are asked once");
}

#[test]
fn a_new_parser_reads_on_in_the_cache_and_asks_the_relays() {
    let world = World::new();
    let events = many(100);
    world.import(texts(&events));
    let mut spec = notes("s");
    spec.queue_events = Some(10);
    let request = subscribe_request(&spec);
    let mut stream = world.hub.register(spec).unwrap();
    let asked = world.parser.try_ask(ClientEdge::encode(request)).unwrap();
    eventually("a page is there", || stream.stats().queued == 10);
    world.parser.inject(Fault::Panic).unwrap();
    eventually("the parser has panicked", || {
        world.supervisor.status().worker("parser").unwrap().panics == 1
    });
    let newest_first: Vec<_> = ids(&events).into_iter().rev().collect();
    assert_eq!(next_ids(&mut stream, 100), newest_first, "no gap, nothing twice");
    eventually("relays are asked", || *world.script.asked.lock().unwrap() == ["s"]);
    let end = EndOfStoredT { relay: RELAY.into(), subscription: "s".into(), ..Default::default() };
    world.ingest(end);
    loop {
        match next(&mut stream) {
            SubscriptionEvent::EndOfStored => break,
            SubscriptionEvent::Relay { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    // Whoever asked has an answer, of one kind or the other.
    drop(block_on(asked));
}

#[test]
fn a_panic_of_the_parser_does_not_end_a_subscription_that_is_reading_the_cache() {
    let world = World::new();
    let events = many(100);
    world.import(texts(&events));
    let mut spec = notes("s");
    spec.queue_events = Some(10);
    let request = subscribe_request(&spec);
    let mut stream = world.hub.register(spec).unwrap();
    let asked = world.parser.try_ask(ClientEdge::encode(request.clone())).unwrap();
    eventually("a page is there", || stream.stats().queued == 10);
    let again = world.parser.try_ask(ClientEdge::encode(request)).unwrap();
    // Another request has taken over: whoever asked first has nothing to complain of.
    let answer = block_on(asked).unwrap().decode().unwrap();
    assert_eq!(answer.as_subscribed().unwrap().cached, 10, "{answer:?}");
    world.parser.inject(Fault::Panic).unwrap();
    eventually("the parser has panicked", || {
        world.supervisor.status().worker("parser").unwrap().panics == 1
    });
    // The new incarnation takes over from the second request.
    let answer = block_on(again).unwrap().decode().unwrap();
    assert!(answer.as_subscribed().is_some(), "{answer:?}");
    let newest_first: Vec<_> = ids(&events).into_iter().rev().collect();
    assert_eq!(next_ids(&mut stream, 100), newest_first, "no gap, nothing twice");
}

#[test]
fn relays_that_were_asked_after_they_were_told_of_the_end_are_told_again() {
    let world = World::new();
    let spec = notes("s");
    let request = subscribe_request(&spec);
    let stream = Mutex::new(Some(world.hub.register(spec).unwrap()));
    let cache = world.cache.clone();
    // The reader goes while relays are being asked, which fails both times, after they were asked.
    *world.script.on_ask.lock().unwrap() = Some(Box::new(move || {
        if stream.lock().unwrap().take().is_some() {
            eventually("the end waits to be told", || cache.status().depth == 1);
        }
        panic!("injected panic of cache while it asks relays");
    }));
    let answer = world.client(request);
    assert!(answer.as_failed().is_some(), "{answer:?}");
    assert_eq!(*world.script.asked.lock().unwrap(), ["s", "s"]);
    eventually("relays are told again", || *world.script.stopped.lock().unwrap() == ["s", "s"]);
    eventually("the name is free", || world.hub.register(notes("s")).is_ok());
}

#[test]
fn a_cache_that_is_away_while_a_subscription_resumes_is_asked_until_it_answers() {
    let world = World::new();
    let events = many(30);
    world.import(texts(&events));
    let mut spec = notes("s");
    spec.queue_events = Some(10);
    let request = subscribe_request(&spec);
    let mut stream = world.hub.register(spec).unwrap();
    let asked = world.parser.try_ask(ClientEdge::encode(request)).unwrap();
    eventually("a page is there", || stream.stats().queued == 10);
    world.script.cache_fails.store(true, Ordering::SeqCst);
    world.parser.inject(Fault::Panic).unwrap();
    next_ids(&mut stream, 10);
    drop(asked);
    eventually("the parser has panicked", || {
        world.supervisor.status().worker("parser").unwrap().panics == 1
    });
    world.script.cache_fails.store(false, Ordering::SeqCst);
    assert_eq!(next_ids(&mut stream, 20).len(), 20);
    eventually("relays are asked", || !world.script.asked.lock().unwrap().is_empty());
}

#[test]
fn relays_are_told_of_ended_subscriptions_even_if_the_cache_was_away() {
    let world = World::new();
    let stream = world.subscribe(notes("s"));
    world.script.cache_panics.store(2, Ordering::SeqCst);
    drop(stream);
    eventually("relays are told", || *world.script.stopped.lock().unwrap() == ["s"]);
    let stream = {
        let mut stream = None;
        eventually("the name is free", || {
            stream = world.hub.register(notes("s")).ok();
            stream.is_some()
        });
        stream.unwrap()
    };
    assert_eq!(world.hub.len(), 1);
    drop(stream);
}

#[test]
fn the_mailbox_is_not_read_while_too_much_is_under_way() {
    let world = World::new();
    let mut stream = world.subscribe(notes("s"));
    world.script.crypto_waits.store(true, Ordering::SeqCst);
    let events = many(MAX_IN_FLIGHT as i64 + 20);
    let mut asked: Vec<_> = events
        .iter()
        .map(|event| {
            let message = IngestEdge::encode(batch("s", std::slice::from_ref(event)));
            world.parser.try_ask(message).unwrap()
        })
        .collect();
    eventually("the bound is reached", || {
        world.script.crypto_held.load(Ordering::SeqCst) == MAX_IN_FLIGHT
    });
    eventually("the rest waits", || world.parser.status().depth == 20);
    assert_eq!(world.script.crypto_held.load(Ordering::SeqCst), MAX_IN_FLIGHT);
    assert!(asked.iter_mut().all(|asked| asked.now_or_never().is_none()));
    world.script.crypto_waits.store(false, Ordering::SeqCst);
    for answer in block_on(futures::future::join_all(asked)) {
        assert_eq!(answer.unwrap().decode().unwrap(), ingested(1, 0, 0));
    }
    let mut got = next_ids(&mut stream, events.len());
    let mut wanted = ids(&events);
    got.sort();
    wanted.sort();
    assert_eq!(got, wanted);
}

/// Under load, each worker panics at random times: what was answered as taken is in the store, and
/// every event that a relay repeats until it is taken reaches the reader once.
#[test]
fn under_random_panics_nothing_is_lost_or_doubled() {
    let world = World::new();
    let mut spec = notes("s");
    spec.queue_events = Some(10_000);
    let mut stream = world.subscribe(spec);
    let events = many(600);
    for (n, chunk) in events.chunks(10).enumerate() {
        match n % 6 {
            0 => world.parser.inject(Fault::Panic).unwrap(),
            2 => world.script.crypto_panics.store(2, Ordering::SeqCst),
            4 => world.script.cache_panics.store(2, Ordering::SeqCst),
            _ => {}
        }
        // As connections does: a batch that failed is given again.
        for attempt in 0.. {
            assert!(attempt < 50, "batch {n} is never taken");
            let message = IngestEdge::encode(batch("s", chunk));
            match block_on(world.parser.ask(message)).map(|answer| answer.decode().unwrap()) {
                Ok(IngestMessageT::Ingested(ingested)) => {
                    assert_eq!(ingested.refused, 0, "batch {n}");
                    break;
                }
                Ok(IngestMessageT::Failed(failed)) => assert!(failed.transient, "{failed}"),
                Ok(other) => panic!("{other:?}"),
                Err(_) => {}
            }
        }
    }
    let mut got = next_ids(&mut stream, events.len());
    assert_eq!(stream.try_next(), None);
    got.sort();
    let mut wanted = ids(&events);
    wanted.sort();
    assert_eq!(got, wanted);
    assert_eq!(world.script.stored.lock().unwrap().len(), events.len());
    eventually("the panics are counted", || {
        world.supervisor.status().worker("parser").unwrap().panics == 10
    });
}
