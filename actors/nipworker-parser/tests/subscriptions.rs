//! Subscriptions: cache, relays, delivery.
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use common::{
    RELAY, World, batch, eventually, ids, many, next, next_ids, notes, subscribe_request,
};
use nipworker_parser::{PAGE_EVENTS, ParserConfig};
use nipworker_pipeline::{
    CloseReason, Overflow, Plan, RefusalKind, RelayNews, Source, SubscriptionEvent,
};
use nipworker_schema::{
    ClientEdge, EndOfStoredT, FailureCode, IngestEdge, IngestMessageT, IngestedT, RelayNoticeT,
    RelayUnavailableT, SubscriptionClosedT, UnsubscribeT, UnsubscribedT,
};
use nipworker_signer::protocol::{Attestation, Event, Filter, Verified};

fn ingested(fresh: u32, duplicates: u32, refused: u32) -> IngestMessageT {
    IngestedT { fresh, duplicates, refused }.into()
}

fn end_of_stored(subscription: &str) -> EndOfStoredT {
    EndOfStoredT { relay: RELAY.into(), subscription: subscription.into(), ..Default::default() }
}

#[test]
fn the_cache_comes_first_in_pages_then_relays_and_their_copies_are_left_out() {
    let world = World::new();
    let events = many(3 * PAGE_EVENTS as i64 + 10);
    for chunk in events.chunks(500) {
        world.import(chunk.iter().map(Event::to_json).collect());
    }
    let mut stream = world.subscribe(notes("s"));
    let newest_first: Vec<_> = ids(&events).into_iter().rev().collect();
    assert_eq!(next_ids(&mut stream, events.len()), newest_first);
    assert_eq!(world.script.pages.load(Ordering::SeqCst), 4);
    assert_eq!(*world.script.asked.lock().unwrap(), ["s"]);

    let fresh = many(5);
    assert_eq!(world.ingest(batch("s", &events[..20])), ingested(0, 20, 0));
    assert_eq!(world.ingest(batch("s", &fresh)), ingested(5, 0, 0));
    assert_eq!(world.ingest(batch("s", &fresh)), ingested(0, 5, 0));
    assert_eq!(next_ids(&mut stream, 5), ids(&fresh));
    world.ingest(end_of_stored("s"));
    let news = RelayNews::EndOfStored;
    assert_eq!(next(&mut stream), SubscriptionEvent::Relay { relay: RELAY.into(), news });
    assert_eq!(next(&mut stream), SubscriptionEvent::EndOfStored);
    assert_eq!(stream.try_next(), None);
}

#[test]
fn an_event_that_one_subscription_has_got_still_reaches_the_other() {
    let world = World::new();
    let (mut a, mut b) = (world.subscribe(notes("a")), world.subscribe(notes("b")));
    let events = many(10);
    assert_eq!(world.ingest(batch("a", &events)), ingested(10, 0, 0));
    assert_eq!(b.try_next(), None, "it goes to who asked");
    assert_eq!(world.ingest(batch("b", &events)), ingested(0, 10, 0));
    assert_eq!(next_ids(&mut a, 10), ids(&events));
    assert_eq!(next_ids(&mut b, 10), ids(&events));
    assert_eq!(world.script.verified.load(Ordering::SeqCst), 10, "verified once");
}

#[test]
fn what_nobody_asked_for_is_refused_and_counted_for_its_relay() {
    let world = World::new();
    let mut stream = world.subscribe(notes("s"));
    let signer = nipworker_signer::PrivateKeySigner::generate().unwrap();
    let off_filter = common::signed(&signer, 7, 1);
    let wanted = common::signed(&signer, 1, 1);
    assert_eq!(world.ingest(batch("s", &[off_filter, wanted.clone()])), ingested(1, 0, 1));
    assert_eq!(world.ingest(batch("gone", std::slice::from_ref(&wanted))), ingested(0, 0, 1));
    assert_eq!(next_ids(&mut stream, 1), [wanted.id]);
    assert_eq!(stream.try_next(), None);
    let stats = world.pipeline.stats();
    let refused = &stats.relays[RELAY].refused;
    assert_eq!(refused[&RefusalKind::NotAsked], 1);
    assert_eq!(refused[&RefusalKind::NoSubscription], 1);
    assert_eq!(world.script.stored.lock().unwrap().len(), 1);
}

#[test]
fn a_deleted_event_that_a_relay_still_has_is_not_delivered() {
    let world = World::new();
    let mut stream = world.subscribe(notes("s"));
    let events = many(3);
    world.script.deleted.lock().unwrap().insert(events[1].id);
    world.ingest(batch("s", &events));
    assert_eq!(next_ids(&mut stream, 2), [events[0].id, events[2].id]);
    assert_eq!(stream.try_next(), None);
}

#[test]
fn a_query_ends_when_every_relay_has_answered_or_failed() {
    let world = World::new();
    let events = many(4);
    world.import(events.iter().map(Event::to_json).collect());
    let mut spec = notes("q");
    spec.plan.close_on_eose = true;
    spec.plan.relays = vec![RELAY.to_owned(), "wss://down".to_owned(), "wss://shy".to_owned()];
    let mut stream = world.subscribe(spec);
    next_ids(&mut stream, 4);
    world.ingest(RelayUnavailableT {
        relay: "wss://down".into(),
        subscriptions: vec!["q".into(), "other".into()],
        reason: "connection refused".into(),
    });
    world.ingest(RelayNoticeT { relay: RELAY.into(), message: "slow down".into() });
    world.ingest(SubscriptionClosedT {
        relay: "wss://shy".into(),
        subscription: "q".into(),
        message: "auth-required: sorry".into(),
        ..Default::default()
    });
    world.ingest(end_of_stored("q"));
    let items: Vec<_> = std::iter::from_fn(|| stream.try_next()).collect();
    let relay = |relay: &str, news| SubscriptionEvent::Relay { relay: relay.into(), news };
    assert_eq!(
        items,
        [
            relay("wss://down", RelayNews::Unavailable("connection refused".into())),
            relay(RELAY, RelayNews::Notice("slow down".into())),
            relay("wss://shy", RelayNews::Closed("auth-required: sorry".into())),
            relay(RELAY, RelayNews::EndOfStored),
            SubscriptionEvent::EndOfStored,
            SubscriptionEvent::Closed(CloseReason::Complete),
        ]
    );
    eventually("relays are told", || *world.script.stopped.lock().unwrap() == ["q"]);
}

#[test]
fn a_relay_that_never_answers_holds_a_query_up_until_the_deadline_only() {
    let world = World::with(ParserConfig {
        relay_deadline: Duration::from_millis(50),
        ..ParserConfig::default()
    });
    let mut spec = notes("q");
    spec.plan.close_on_eose = true;
    let mut stream = world.subscribe(spec);
    assert_eq!(next(&mut stream), SubscriptionEvent::EndOfStored);
    assert_eq!(next(&mut stream), SubscriptionEvent::Closed(CloseReason::Complete));
}

#[test]
fn a_request_that_is_repeated_does_not_put_the_deadline_of_the_relays_off_for_ever() {
    let world = World::with(ParserConfig {
        relay_deadline: Duration::from_millis(300),
        ..ParserConfig::default()
    });
    let spec = notes("s");
    let request = subscribe_request(&spec);
    let mut stream = world.subscribe(spec);
    let answer = world.client(request);
    assert!(answer.as_subscribed().is_some(), "{answer:?}");
    assert_eq!(*world.script.asked.lock().unwrap(), ["s"], "relays are asked once");
    assert_eq!(next(&mut stream), SubscriptionEvent::EndOfStored);
}

#[test]
fn relays_that_work_for_a_subscription_that_is_not_there_are_told_to_stop() {
    let world = World::new();
    world.ingest(batch("one", &many(1)));
    eventually("relays are told", || *world.script.stopped.lock().unwrap() == ["one"]);
    world.ingest(end_of_stored("two"));
    eventually("relays are told", || *world.script.stopped.lock().unwrap() == ["one", "two"]);
    eventually("the names are free", || world.hub.register(notes("one")).is_ok());
}

#[test]
fn a_dropped_stream_stops_the_relays() {
    let world = World::new();
    drop(world.subscribe(notes("s")));
    eventually("relays are told", || *world.script.stopped.lock().unwrap() == ["s"]);
    eventually("the name is free", || world.hub.register(notes("s")).is_ok());
}

#[test]
fn unsubscribing_ends_the_stream_and_stops_the_relays() {
    let world = World::new();
    let mut stream = world.subscribe(notes("s"));
    let request = || UnsubscribeT { subscription: "s".into() };
    assert_eq!(world.client(request()), UnsubscribedT { known: true }.into());
    assert_eq!(next(&mut stream), SubscriptionEvent::Closed(CloseReason::Unsubscribed));
    assert_eq!(world.client(request()), UnsubscribedT { known: false }.into());
    eventually("relays are told", || *world.script.stopped.lock().unwrap() == ["s"]);
}

#[test]
fn a_subscription_must_be_registered_as_it_is_asked_for() {
    let world = World::new();
    let answer = world.client(subscribe_request(&notes("s")));
    assert_eq!(answer.as_failed().unwrap().code, FailureCode::NotFound);
    let _stream = world.hub.register(notes("s")).unwrap();
    let mut other = notes("s");
    other.filters = vec![Filter::new().kinds([2])];
    let answer = world.client(subscribe_request(&other));
    assert_eq!(answer.as_failed().unwrap().code, FailureCode::Invalid);
    assert!(world.client(subscribe_request(&notes("s"))).as_subscribed().is_some());
}

#[test]
fn the_cache_is_read_at_the_readers_pace() {
    let world = World::new();
    let events = many(100);
    world.import(events.iter().map(Event::to_json).collect());
    let mut spec = notes("s");
    spec.queue_events = Some(10);
    let request = subscribe_request(&spec);
    let mut stream = world.hub.register(spec).unwrap();
    let asked = world.parser.try_ask(ClientEdge::encode(request)).unwrap();
    eventually("a page is there", || stream.stats().queued == 10);
    assert_eq!(world.script.pages.load(Ordering::SeqCst), 1, "no page without room");
    // Meanwhile nobody else waits.
    let mut other = world.subscribe(notes("other"));
    assert_eq!(next_ids(&mut other, 100).len(), 100);
    let newest_first: Vec<_> = ids(&events).into_iter().rev().collect();
    assert_eq!(next_ids(&mut stream, 100), newest_first);
    let answer = futures::executor::block_on(asked).unwrap().decode().unwrap();
    assert_eq!(answer.as_subscribed().unwrap().cached, 100);
    assert_eq!(stream.stats().lagged, 0);
}

#[test]
fn a_slow_reader_loses_the_oldest_and_learns_how_many() {
    let world = World::new();
    let mut spec = notes("s");
    spec.queue_events = Some(10);
    let mut stream = world.subscribe(spec);
    let events = many(35);
    assert_eq!(world.ingest(batch("s", &events)), ingested(35, 0, 0));
    assert_eq!(next(&mut stream), SubscriptionEvent::Lagged(25));
    assert_eq!(next_ids(&mut stream, 10), ids(&events[25..]));
}

#[test]
fn a_reader_that_is_waited_for_gets_everything_and_holds_up_its_relay_only() {
    let world = World::with(ParserConfig {
        reader_deadline: Duration::from_secs(600),
        ..ParserConfig::default()
    });
    let mut spec = notes("slow");
    spec.queue_events = Some(10);
    spec.overflow = Overflow::Wait;
    let mut slow = world.subscribe(spec);
    let mut other = world.subscribe(notes("other"));
    let events = many(35);
    let message = IngestEdge::encode(batch("slow", &events));
    let mut held = world.parser.try_ask(message).unwrap();
    eventually("the queue is full", || slow.stats().queued == 10);
    let more = many(5);
    assert_eq!(world.ingest(batch("other", &more)), ingested(5, 0, 0));
    assert_eq!(next_ids(&mut other, 5), ids(&more));
    assert!(futures::FutureExt::now_or_never(&mut held).is_none(), "its relay waits");
    assert_eq!(next_ids(&mut slow, 35), ids(&events));
    let answer = futures::executor::block_on(held).unwrap().decode().unwrap();
    assert_eq!(answer, ingested(35, 0, 0));
}

#[test]
fn a_reader_that_is_waited_for_is_not_waited_for_without_end() {
    let world = World::with(ParserConfig {
        reader_deadline: Duration::from_millis(50),
        ..ParserConfig::default()
    });
    let mut spec = notes("s");
    spec.queue_events = Some(10);
    spec.overflow = Overflow::Wait;
    let mut stream = world.subscribe(spec);
    assert_eq!(world.ingest(batch("s", &many(35))), ingested(35, 0, 0));
    assert_eq!(next(&mut stream), SubscriptionEvent::Lagged(25));
}

#[test]
fn a_reader_that_was_waited_for_in_vain_holds_up_no_further_batch_until_it_reads() {
    let world = World::with(ParserConfig {
        reader_deadline: Duration::from_secs(600),
        ..ParserConfig::default()
    });
    let mut spec = notes("unread");
    spec.queue_events = Some(10);
    spec.overflow = Overflow::Wait;
    let mut stream = world.subscribe(spec);
    let events = many(100);
    assert_eq!(world.ingest(batch("unread", &events[..10])), ingested(10, 0, 0));
    let held = IngestEdge::encode(batch("unread", &events[10..20]));
    let mut held = world.parser.try_ask(held).unwrap();
    eventually("they are stored", || world.script.stored.lock().unwrap().len() == 20);
    assert!(futures::FutureExt::now_or_never(&mut held).is_none(), "it is waited for");
    // The time of another batch runs out.
    let other = Arc::new(Verified::attest(many(1).remove(0), Attestation::FromEdge));
    world.hub.offer_at_any_rate("unread", &other, &Source::relay("wss://other"));
    let mut answer = None;
    eventually("its batch is answered", || {
        answer = futures::FutureExt::now_or_never(&mut held);
        answer.is_some()
    });
    assert_eq!(answer.unwrap().unwrap().decode().unwrap(), ingested(10, 0, 0));
    for chunk in events[20..].chunks(20) {
        assert_eq!(world.ingest(batch("unread", chunk)), ingested(20, 0, 0));
    }
    assert_eq!(next(&mut stream), SubscriptionEvent::Lagged(91));
    assert_eq!(next_ids(&mut stream, 10), ids(&events[90..]));
}

#[test]
fn without_cache_and_relays_a_subscription_lives_on_what_is_published_here() {
    let world = World::new();
    world.import(many(3).iter().map(Event::to_json).collect());
    let mut spec = notes("s");
    spec.plan = Plan { use_cache: false, use_relays: false, ..Plan::default() };
    let mut stream = world.subscribe(spec);
    assert_eq!(next(&mut stream), SubscriptionEvent::EndOfStored);
    let events = many(2);
    world.import(events.iter().map(Event::to_json).collect());
    match next(&mut stream) {
        SubscriptionEvent::Event { event, source } => {
            assert_eq!((event.id, source), (events[0].id, Source::Local));
        }
        other => panic!("{other:?}"),
    }
    assert!(world.script.asked.lock().unwrap().is_empty());
}
