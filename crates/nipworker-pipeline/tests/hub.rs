//! The registry, its streams, and the seam between cache and live events.
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use common::{attested, shared};
use futures::{FutureExt, StreamExt, executor::block_on};
use nipworker_pipeline::{
    CloseReason, Hub, HubConfig, HubError, Offered, Overflow, Plan, RelayNews, Source,
    SubscriptionEvent, SubscriptionSpec, SubscriptionStream,
};
use nipworker_protocol::Filter;
use proptest::prelude::*;

fn spec(id: &str) -> SubscriptionSpec {
    SubscriptionSpec::new(id, vec![Filter::new().kinds([1])])
}

fn from_relay() -> Source {
    Source::relay("wss://r")
}

fn number(item: &SubscriptionEvent) -> Option<u32> {
    match item {
        SubscriptionEvent::Event { event, .. } => event.content.parse().ok(),
        _ => None,
    }
}

fn drain(stream: &mut SubscriptionStream) -> Vec<SubscriptionEvent> {
    std::iter::from_fn(|| stream.try_next()).collect()
}

fn numbers(stream: &mut SubscriptionStream) -> Vec<u32> {
    drain(stream).iter().filter_map(number).collect()
}

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn names_are_unique_and_the_number_is_bounded() {
    let hub = Hub::new(HubConfig { max_subscriptions: 2, ..HubConfig::default() });
    let _one = hub.register(spec("one")).unwrap();
    assert_eq!(hub.register(spec("one")).unwrap_err(), HubError::InUse("one".into()));
    let _two = hub.register(spec("two")).unwrap();
    assert_eq!(hub.register(spec("three")).unwrap_err(), HubError::TooMany { limit: 2 });
}

#[test]
fn a_dropped_stream_is_reported_once_and_its_name_is_free_after_relays_were_told() {
    let hub = Hub::default();
    let stream = hub.register(spec("s")).unwrap();
    let claim = hub.claim_abandoned();
    assert!(hub.abandoned(claim).now_or_never().is_none());
    drop(stream);
    assert!(hub.is_empty() && hub.filters("s").is_none());
    assert_eq!(hub.register(spec("s")).unwrap_err(), HubError::InUse("s".into()));
    let names = block_on(hub.abandoned(claim)).unwrap();
    assert_eq!(&*names[0], "s");
    assert!(hub.abandoned(claim).now_or_never().is_none(), "given once");
    hub.put_back(&names[0]);
    assert_eq!(block_on(hub.abandoned(claim)), Some(names.clone()));
    let claim = hub.claim_abandoned();
    assert_eq!(block_on(hub.abandoned(claim)), Some(names), "a new driver starts over");
    hub.released("s");
    assert!(hub.register(spec("s")).is_ok());
}

#[test]
fn what_never_used_relays_needs_no_telling() {
    let hub = Hub::default();
    let claim = hub.claim_abandoned();
    let mut local = spec("s");
    local.plan.use_relays = false;
    drop(hub.register(local).unwrap());
    assert!(hub.abandoned(claim).now_or_never().is_none());
    assert!(hub.register(spec("s")).is_ok());
}

#[test]
fn waiting_for_abandoned_names_is_woken_by_a_drop() {
    let hub = Hub::default();
    let stream = hub.register(spec("s")).unwrap();
    let claim = hub.claim_abandoned();
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&count));
    let mut waiting = hub.abandoned(claim);
    assert!(waiting.poll_unpin(&mut Context::from_waker(&waker)).is_pending());
    drop(stream);
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
    assert!(waiting.poll_unpin(&mut Context::from_waker(&waker)).is_ready());
}

#[test]
fn who_comes_back_after_being_replaced_does_not_take_abandoned_names_from_the_successor() {
    let hub = Hub::default();
    let stream = hub.register(spec("s")).unwrap();
    let counts = [(); 2].map(|()| Arc::new(Count(AtomicUsize::new(0))));
    let wakers = counts.each_ref().map(|count| Waker::from(Arc::clone(count)));
    let first = hub.claim_abandoned();
    let mut old = hub.abandoned(first);
    assert!(old.poll_unpin(&mut Context::from_waker(&wakers[0])).is_pending());
    let mut new = hub.abandoned(hub.claim_abandoned());
    assert_eq!(counts[0].0.load(Ordering::SeqCst), 1, "the first learns that it was replaced");
    assert!(new.poll_unpin(&mut Context::from_waker(&wakers[1])).is_pending());
    assert_eq!(old.poll_unpin(&mut Context::from_waker(&wakers[0])), Poll::Ready(None));
    assert_eq!(block_on(hub.abandoned(first)), None);
    drop(stream);
    assert_eq!(counts[1].0.load(Ordering::SeqCst), 1, "the successor is still the one woken");
    let names = new.poll_unpin(&mut Context::from_waker(&wakers[1]));
    assert_eq!(names, Poll::Ready(Some(vec!["s".into()])));
}

#[test]
fn a_relay_that_works_for_a_subscription_that_is_not_there_is_to_be_told() {
    let hub = Hub::default();
    let claim = hub.claim_abandoned();
    let stream = hub.register(spec("here")).unwrap();
    assert!(!hub.not_wanted("here"));
    assert!(hub.not_wanted("gone") && hub.not_wanted("gone"));
    assert_eq!(block_on(hub.abandoned(claim)), Some(vec!["gone".into()]));
    assert!(hub.not_wanted("gone"));
    assert!(hub.abandoned(claim).now_or_never().is_none(), "it is being taken care of");
    // Relays may have been asked after they were told: they are told once more.
    hub.put_back(&"gone".into());
    hub.released("gone");
    assert_eq!(hub.register(spec("gone")).unwrap_err(), HubError::InUse("gone".into()));
    assert_eq!(block_on(hub.abandoned(claim)), Some(vec!["gone".into()]));
    hub.released("gone");
    // A name that is in use again is not stopped by who knew it before.
    hub.put_back(&"here".into());
    assert!(hub.abandoned(claim).now_or_never().is_none());
    drop(stream);
}

#[test]
fn what_is_published_here_goes_to_matching_live_subscriptions_only() {
    let hub = Hub::default();
    let mut wanted = hub.register(spec("wanted")).unwrap();
    let mut other =
        hub.register(SubscriptionSpec::new("other", vec![Filter::new().kinds([7])])).unwrap();
    let mut query = spec("query");
    query.plan.close_on_eose = true;
    let mut query = hub.register(query).unwrap();
    let (claim, _) = hub.begin("wanted").unwrap();
    hub.cache_done("wanted", claim);
    assert_eq!(hub.publish(&shared(1)), 1);
    assert_eq!(hub.publish(&shared(1)), 0, "a copy goes nowhere");
    assert_eq!(hub.offer("wanted", &shared(1), &from_relay()), Offered::Duplicate);
    assert_eq!(numbers(&mut wanted), [1]);
    assert!(drain(&mut other).is_empty() && drain(&mut query).is_empty());
    assert_eq!(wanted.stats().from_local, 1);
}

#[test]
fn a_reader_is_woken_for_each_thing_that_comes_and_the_stream_ends_after_closed() {
    let hub = Hub::default();
    let mut stream = hub.register(spec("s")).unwrap();
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&count));
    let mut cx = Context::from_waker(&waker);
    let (claim, _) = hub.begin("s").unwrap();
    let relay: Arc<str> = "wss://r".into();
    let steps: [&dyn Fn(); 6] = [
        &|| assert_eq!(hub.cache_page("s", claim, [attested(1)]), Some(1)),
        &|| assert!(hub.offer("s", &shared(2), &from_relay()) == Offered::Taken),
        &|| assert!(hub.cache_done("s", claim)),
        &|| assert!(hub.relays_asked("s", [&*relay])),
        &|| hub.relay("s", &relay, RelayNews::EndOfStored),
        &|| assert!(hub.close("s", CloseReason::Shutdown)),
    ];
    let mut items = Vec::new();
    for (n, step) in steps.iter().enumerate() {
        while let Poll::Ready(item) = stream.poll_next_unpin(&mut cx) {
            items.push(item.unwrap());
        }
        let before = count.0.load(Ordering::SeqCst);
        step();
        assert!(count.0.load(Ordering::SeqCst) > before, "step {n} wakes");
    }
    while let Poll::Ready(Some(item)) = stream.poll_next_unpin(&mut cx) {
        items.push(item);
    }
    assert_eq!(items.iter().filter_map(number).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(items[2], SubscriptionEvent::Relay { relay, news: RelayNews::EndOfStored });
    assert_eq!(items[3], SubscriptionEvent::EndOfStored);
    assert_eq!(items[4], SubscriptionEvent::Closed(CloseReason::Shutdown));
    assert_eq!(block_on(stream.next()), None);
}

#[test]
fn room_comes_with_reading_and_ends_with_the_subscription() {
    let hub = Hub::default();
    let mut small = spec("s");
    small.queue_events = Some(4);
    small.overflow = Overflow::Wait;
    small.plan.use_cache = false;
    let mut stream = hub.register(small).unwrap();
    assert!(block_on(hub.room("s", 1_000)), "as much as it can ever hold");
    for n in 0..4 {
        assert_eq!(hub.offer("s", &shared(n), &from_relay()), Offered::Taken);
    }
    assert_eq!(hub.offer("s", &shared(4), &from_relay()), Offered::Full);
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&count));
    let mut cx = Context::from_waker(&waker);
    let mut room = hub.room("s", 2);
    assert!(room.poll_unpin(&mut cx).is_pending());
    drop(hub.room("s", 1));
    stream.try_next();
    assert_eq!(count.0.load(Ordering::SeqCst), 1, "woken by reading");
    assert!(room.poll_unpin(&mut cx).is_pending(), "one place is not two");
    stream.try_next();
    assert_eq!(room.poll_unpin(&mut cx), Poll::Ready(true));
    let mut room = hub.room("s", 4);
    assert!(room.poll_unpin(&mut cx).is_pending());
    drop(stream);
    assert_eq!(room.poll_unpin(&mut cx), Poll::Ready(false));
    assert!(!block_on(hub.room("s", 1)));
    assert_eq!(hub.offer("s", &shared(9), &from_relay()), Offered::Gone);
}

#[test]
fn all_who_wait_for_a_reader_stop_when_one_has_waited_in_vain() {
    let hub = Hub::default();
    let mut small = spec("s");
    small.queue_events = Some(4);
    small.overflow = Overflow::Wait;
    small.plan.use_cache = false;
    let mut stream = hub.register(small).unwrap();
    for n in 0..4 {
        hub.offer("s", &shared(n), &from_relay());
    }
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&count));
    let mut cx = Context::from_waker(&waker);
    let mut room = hub.room("s", 1);
    assert!(room.poll_unpin(&mut cx).is_pending());
    // What is published here waits for nobody, and says nothing about the reader.
    hub.publish(&shared(4));
    assert!(room.poll_unpin(&mut cx).is_pending());
    assert_eq!(hub.offer_at_any_rate("s", &shared(5), &from_relay()), Offered::TakenWithLoss);
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
    assert_eq!(room.poll_unpin(&mut cx), Poll::Ready(true));
    assert_eq!(hub.offer("s", &shared(6), &from_relay()), Offered::TakenWithLoss);
    assert_eq!(numbers(&mut stream), [3, 4, 5, 6]);
}

#[test]
fn a_query_ends_and_leaves_the_register_when_all_is_delivered() {
    let hub = Hub::default();
    let mut query = spec("q");
    query.plan = Plan { close_on_eose: true, ..Plan::default() };
    let stream = hub.register(query).unwrap();
    let (claim, begun) = hub.begin("q").unwrap();
    assert!(begun.plan.close_on_eose && !begun.cache_done);
    assert_eq!(hub.cache_page("q", claim, [attested(2), attested(1)]), Some(2));
    assert!(hub.cache_done("q", claim));
    assert!(hub.relays_asked("q", ["wss://a", "wss://b"]));
    hub.relay("q", &"wss://a".into(), RelayNews::EndOfStored);
    assert_eq!(hub.waiting_for_relays(), [("q".into(), claim)]);
    hub.deadline("q", claim);
    assert!(hub.is_empty());
    let abandoned = block_on(hub.abandoned(hub.claim_abandoned()));
    assert_eq!(abandoned.unwrap().len(), 1, "the late relay is told to stop");
    let items: Vec<_> = block_on(stream.collect());
    assert_eq!(items.last(), Some(&SubscriptionEvent::Closed(CloseReason::Complete)));
    assert_eq!(items.iter().filter_map(number).collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn a_new_driver_goes_on_where_the_last_one_stopped() {
    let hub = Hub::default();
    let mut stream = hub.register(spec("s")).unwrap();
    assert!(hub.unfinished().is_empty(), "not begun");
    let (first, _) = hub.begin("s").unwrap();
    hub.cache_page("s", first, [attested(9), attested(8)]);
    let unfinished = hub.unfinished();
    assert_eq!(unfinished.len(), 1);
    let (second, _) = hub.begin("s").unwrap();
    assert_eq!(hub.cursor("s", first), None);
    assert_eq!(hub.cache_page("s", first, [attested(7)]), None, "the old claim has ended");
    assert!(!hub.cache_done("s", first));
    let cursor = hub.cursor("s", second).unwrap();
    assert_eq!((cursor.after, cursor.rows), (Some((8, attested(8).id)), 2));
    hub.cache_page("s", second, [attested(7)]);
    hub.cache_done("s", second);
    assert!(!hub.unfinished().is_empty(), "relays were not asked");
    hub.relays_asked("s", []);
    assert!(hub.unfinished().is_empty());
    assert_eq!(numbers(&mut stream), [9, 8, 7]);
}

#[test]
fn shutdown_ends_every_stream_and_refuses_new_ones() {
    let hub = Hub::default();
    let streams: Vec<_> = (0..3).map(|n| hub.register(spec(&n.to_string())).unwrap()).collect();
    hub.shutdown();
    for stream in streams {
        let items: Vec<_> = block_on(stream.collect());
        assert_eq!(items, [SubscriptionEvent::Closed(CloseReason::Shutdown)]);
    }
    assert_eq!(hub.register(spec("x")).unwrap_err(), HubError::Closed);
}

#[test]
fn notices_go_to_the_subscriptions_of_their_relay() {
    let hub = Hub::default();
    let mut a = hub.register(spec("a")).unwrap();
    let mut b = hub.register(spec("b")).unwrap();
    hub.relays_asked("a", ["wss://a"]);
    assert_eq!(hub.notice(&"wss://a".into(), "hello"), 1);
    assert_eq!(drain(&mut a).len(), 1);
    assert!(drain(&mut b).is_empty());
}

#[derive(Debug, Clone)]
enum Step {
    Page(usize),
    Live(u32),
    Publish(u32),
    Read(usize),
    NewDriver,
    Done,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (1..8_usize).prop_map(Step::Page),
        6 => (0..60_u32).prop_map(Step::Live),
        2 => (0..60_u32).prop_map(Step::Publish),
        3 => (0..10_usize).prop_map(Step::Read),
        1 => Just(Step::NewDriver),
        1 => Just(Step::Done),
    ];
    proptest::collection::vec(step, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(800))]

    /// Rows of the cache and live events in any order, with readers and drivers that come and go:
    /// each event reaches the reader once, in the order cache before live, or is counted as lost.
    #[test]
    fn each_event_is_delivered_once_or_counted_as_lost(
        steps in steps(),
        rows in proptest::collection::btree_set(0..60_u32, 0..40),
        capacity in prop_oneof![Just(1_000_usize), 1..12_usize],
    ) {
        let hub = Hub::default();
        let mut wanted = spec("s");
        wanted.queue_events = Some(capacity);
        let mut stream = hub.register(wanted).unwrap();
        let (mut claim, _) = hub.begin("s").unwrap();
        let mut rows: Vec<u32> = rows.into_iter().rev().collect();
        let mut expected = BTreeSet::new();
        let (mut got, mut order) = (Vec::new(), Vec::new());
        let mut lagged = 0;
        let mut read = |stream: &mut SubscriptionStream, most: usize| {
            for _ in 0..most {
                match stream.try_next() {
                    Some(SubscriptionEvent::Lagged(n)) => lagged += n,
                    Some(item) => {
                        if let SubscriptionEvent::Event { source, .. } = &item {
                            order.push(*source == Source::Cache);
                        }
                        got.extend(number(&item));
                    }
                    None => break,
                }
            }
        };
        let mut done = false;
        for step in steps {
            match step {
                Step::Page(most) if !done => {
                    let most = most.min(rows.len()).min(capacity);
                    // As the parser does: a page only when there is room for it.
                    while hub.room("s", most).now_or_never().is_none() {
                        read(&mut stream, 1);
                    }
                    let page: Vec<u32> = rows.drain(..most).collect();
                    expected.extend(page.iter().copied());
                    hub.cache_page("s", claim, page.into_iter().map(attested));
                }
                Step::Live(n) => {
                    hub.offer("s", &shared(n), &from_relay());
                    expected.insert(n);
                }
                Step::Publish(n) => {
                    hub.publish(&shared(n));
                    expected.insert(n);
                }
                Step::Read(most) => read(&mut stream, most),
                Step::NewDriver => claim = hub.begin("s").unwrap().0,
                Step::Done if rows.is_empty() => {
                    hub.cache_done("s", claim);
                    done = true;
                }
                Step::Page(_) | Step::Done => {}
            }
        }
        hub.cache_done("s", claim);
        read(&mut stream, usize::MAX);
        let distinct: BTreeSet<u32> = got.iter().copied().collect();
        prop_assert_eq!(distinct.len(), got.len(), "delivered twice");
        prop_assert!(order.is_sorted_by(|a, b| a >= b), "a row of the cache after a live event");
        prop_assert!(distinct.is_subset(&expected));
        let missing = (expected.len() - distinct.len()) as u64;
        if capacity == 1_000 {
            prop_assert_eq!((missing, lagged), (0, 0));
        }
        // Beyond the bounds of the buffer more may be reported than were lost, never fewer.
        prop_assert!(lagged >= missing, "{} missing, {} reported", missing, lagged);
        let stats = stream.stats();
        prop_assert_eq!(stats.delivered, got.len() as u64);
        prop_assert_eq!(stats.lagged, lagged);
        prop_assert!(stats.high_water <= 2 * capacity as u64);
        prop_assert_eq!(
            stats.from_cache + stats.from_relays + stats.from_local,
            stats.delivered + stats.queued + stats.lagged
        );
    }

    /// Any order of answers, deadlines and the end of the cache: the end comes exactly once, and
    /// not before everything is in.
    #[test]
    fn the_end_of_stored_comes_exactly_once(
        order in Just((0..8_usize).collect::<Vec<_>>()).prop_shuffle(),
        kinds in proptest::collection::vec(0..3_u8, 6),
        deadline_after in 0..10_usize,
    ) {
        let hub = Hub::default();
        let mut stream = hub.register(spec("s")).unwrap();
        let (claim, _) = hub.begin("s").unwrap();
        let relays: Vec<Arc<str>> = (0..6).map(|n| format!("wss://r{n}").into()).collect();
        let (mut answered, mut cache, mut asked, mut late) = (0, false, false, false);
        let mut ends = 0;
        for (n, step) in order.into_iter().enumerate() {
            match step {
                6 => {
                    cache = true;
                    hub.cache_done("s", claim);
                }
                7 => {
                    asked = true;
                    hub.relays_asked("s", relays.iter().map(|relay| &**relay));
                }
                relay => {
                    answered += 1;
                    let news = match kinds[relay] {
                        0 => RelayNews::EndOfStored,
                        1 => RelayNews::Closed("x".into()),
                        _ => RelayNews::Unavailable("x".into()),
                    };
                    hub.relay("s", &relays[relay], news);
                }
            }
            if n == deadline_after {
                hub.deadline("s", claim);
                // A deadline before relays were asked ends nothing.
                late = asked;
            }
            let new = drain(&mut stream)
                .iter()
                .filter(|item| **item == SubscriptionEvent::EndOfStored)
                .count();
            ends += new;
            let is_due = cache && asked && (answered == 6 || late);
            prop_assert_eq!(ends, usize::from(is_due), "after step {}", n);
        }
        prop_assert_eq!(ends, 1);
    }
}
