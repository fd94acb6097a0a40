#![allow(clippy::unwrap_used)]

use nipworker_protocol::{Attestation, PublicKey, Signature, UnsignedEvent};

use super::*;

fn event(n: u32) -> Arc<Verified<Event>> {
    let author = PublicKey::from_bytes([1; 32]);
    let event = UnsignedEvent::new(author, i64::from(n), 1, vec![], n.to_string())
        .with_signature(Signature::from_bytes([0; 64]));
    Arc::new(Verified::attest(event, Attestation::FromEdge))
}

fn of(spec: SubscriptionSpec, config: &HubConfig) -> Subscription {
    Subscription::new(spec, config, Ledger::default(), None)
}

fn subscription(capacity: usize, plan: Plan, overflow: Overflow) -> Subscription {
    let mut spec = SubscriptionSpec::new("s", vec![Filter::new()]);
    spec.plan = plan;
    spec.overflow = overflow;
    spec.queue_events = Some(capacity);
    let mut subscription = of(spec, &HubConfig::default());
    subscription.begin(Claim(1));
    subscription
}

fn live(capacity: usize, overflow: Overflow) -> Subscription {
    let plan = Plan { use_cache: false, ..Plan::default() };
    subscription(capacity, plan, overflow)
}

fn relay(n: u32) -> Arc<str> {
    format!("wss://r{n}").into()
}

fn push(subscription: &mut Subscription, n: u32) -> Push {
    subscription.push(&event(n), &Source::Relay(relay(1)), false)
}

fn rest(subscription: &mut Subscription) -> Vec<String> {
    std::iter::from_fn(|| subscription.pop())
        .map(|item| match item {
            SubscriptionEvent::Event { event, .. } => event.content.clone(),
            SubscriptionEvent::EndOfStored => "end".to_owned(),
            SubscriptionEvent::Lagged(n) => format!("lagged {n}"),
            SubscriptionEvent::Relay { news, .. } => format!("{news:?}"),
            SubscriptionEvent::Note { note, .. } => format!("{note:?}"),
            SubscriptionEvent::Closed(reason) => format!("{reason:?}"),
        })
        .collect()
}

#[test]
fn the_oldest_give_way_and_the_reader_learns_how_many() {
    let mut s = live(3, Overflow::DropOldest);
    for n in 0..3 {
        assert_eq!(push(&mut s, n), Push::Queued);
    }
    for n in 3..8 {
        assert_eq!(push(&mut s, n), Push::Dropped);
    }
    assert_eq!(rest(&mut s), ["lagged 5", "5", "6", "7"]);
    assert_eq!(push(&mut s, 2), Push::Duplicate, "what was dropped does not come back");
    let stats = s.stats("s");
    assert_eq!((stats.delivered, stats.lagged, stats.from_relays), (3, 5, 8));
    assert_eq!(stats.high_water, 3);
}

#[test]
fn a_full_queue_that_is_waited_for_drops_nothing_until_it_is_forced() {
    let mut s = live(2, Overflow::Wait);
    push(&mut s, 0);
    push(&mut s, 1);
    assert_eq!(push(&mut s, 2), Push::Full);
    s.pop();
    assert_eq!(push(&mut s, 2), Push::Queued, "what was not taken is not seen as a copy");
    assert_eq!(s.push(&event(3), &Source::Local, true), Push::Dropped);
    assert_eq!(rest(&mut s), ["lagged 1", "2", "3"]);
}

#[test]
fn cache_rows_come_before_what_came_live_meanwhile() {
    let mut s = subscription(10, Plan::default(), Overflow::default());
    assert_eq!(push(&mut s, 7), Push::Buffered);
    assert!(s.cache_row(event(5)));
    assert!(s.cache_row(event(7)), "the row goes out, the live copy is left out later");
    assert_eq!(push(&mut s, 8), Push::Buffered);
    assert_eq!(push(&mut s, 8), Push::Duplicate);
    assert_eq!(push(&mut s, 5), Push::Duplicate);
    s.cache_done();
    assert_eq!(push(&mut s, 9), Push::Queued);
    assert_eq!(rest(&mut s), ["5", "7", "8", "9"]);
    let stats = s.stats("s");
    assert_eq!((stats.from_cache, stats.from_relays, stats.duplicates), (2, 2, 3));
}

#[test]
fn a_live_event_that_the_buffer_had_no_place_for_is_lost_only_if_the_cache_lacks_it() {
    let mut s = subscription(2, Plan::default(), Overflow::default());
    for n in 0..4 {
        push(&mut s, n);
    }
    // 0 and 1 were pushed out; the cache has 1.
    assert!(s.cache_row(event(1)));
    s.cache_done();
    assert_eq!(rest(&mut s), ["lagged 1", "1", "2", "3"]);
    let stats = s.stats("s");
    assert_eq!(stats.from_cache + stats.from_relays, stats.delivered + stats.lagged);
}

#[test]
fn the_end_of_stored_comes_once_when_cache_and_relays_are_done() {
    let mut s = subscription(10, Plan::default(), Overflow::default());
    let (one, two) = (relay(1), relay(2));
    // An answer may come before it is known who was asked.
    s.relay(&one, Some(RelayState::Done), RelayNews::EndOfStored);
    s.cache_done();
    assert_eq!(rest(&mut s), ["EndOfStored"]);
    s.relays_asked([&*one, &*two]);
    assert_eq!(rest(&mut s), Vec::<String>::new(), "the second relay has not answered");
    s.relay(&two, Some(RelayState::Closed), RelayNews::Closed("error: x".into()));
    assert_eq!(rest(&mut s), ["Closed(\"error: x\")", "end"]);
    s.relay(&two, Some(RelayState::Done), RelayNews::EndOfStored);
    s.deadline();
    assert_eq!(rest(&mut s), ["EndOfStored"]);
}

#[test]
fn every_way_in_which_a_relay_can_end_counts() {
    for (state, news) in [
        (RelayState::Done, RelayNews::EndOfStored),
        (RelayState::Closed, RelayNews::Closed(String::new())),
        (RelayState::Unavailable, RelayNews::Unavailable("refused".into())),
    ] {
        let mut s = live(10, Overflow::default());
        s.relays_asked(["wss://r1"]);
        assert!(s.is_waiting_for_relays());
        s.relay(&relay(1), Some(state), news);
        assert_eq!(rest(&mut s).last().unwrap(), "end", "{state:?}");
    }
    let mut s = live(10, Overflow::default());
    s.relays_asked(["wss://r1", "wss://r2"]);
    s.relay(&relay(2), None, RelayNews::Notice("hello".into()));
    s.deadline();
    assert_eq!(rest(&mut s), ["Notice(\"hello\")", "end"]);
    assert_eq!(s.stats("s").relays["wss://r1"], RelayState::TimedOut);
    assert!(!s.is_waiting_for_relays());
}

#[test]
fn without_cache_and_relays_the_end_comes_at_once() {
    let plan = Plan { use_cache: false, use_relays: false, ..Plan::default() };
    let mut s = subscription(10, plan.clone(), Overflow::default());
    assert_eq!(rest(&mut s), ["end"]);
    let mut s = subscription(10, Plan { close_on_eose: true, ..plan }, Overflow::default());
    assert_eq!(rest(&mut s), ["end", "Complete"]);
    assert_eq!(push(&mut s, 1), Push::Closed);
}

#[test]
fn no_relays_at_all_is_no_reason_to_wait() {
    let mut s = live(10, Overflow::default());
    s.relays_asked([]);
    assert_eq!(rest(&mut s), ["end"]);
}

#[test]
fn a_query_closes_behind_its_last_event() {
    let plan = Plan { close_on_eose: true, ..Plan::default() };
    let mut s = subscription(10, plan, Overflow::default());
    s.cache_row(event(1));
    push(&mut s, 2);
    s.relays_asked(["wss://r1"]);
    s.relay(&relay(1), Some(RelayState::Done), RelayNews::EndOfStored);
    assert!(!s.is_closed());
    s.cache_done();
    assert!(s.is_closed());
    assert_eq!(rest(&mut s), ["1", "EndOfStored", "2", "end", "Complete"]);
}

#[test]
fn news_of_relays_are_bounded_and_never_push_out_events() {
    let mut s = live(2, Overflow::default());
    push(&mut s, 0);
    for n in 0..MAX_QUEUED_NEWS + 10 {
        s.relay(&relay(1), None, RelayNews::Notice(n.to_string()));
    }
    let items = rest(&mut s);
    assert_eq!(items.len(), 1 + MAX_QUEUED_NEWS);
    assert_eq!(items[0], "0");
    assert_eq!(items[1], "Notice(\"10\")");
    assert_eq!(s.stats("s").news_dropped, 10);
}

#[test]
fn a_later_claim_ends_the_earlier_one() {
    let mut s = subscription(2, Plan::default(), Overflow::default());
    let (first, second) = (Claim(1), Claim(2));
    assert!(s.holds(first));
    s.begin(second);
    assert!(!s.holds(first) && s.holds(second));
    s.close(CloseReason::Unsubscribed);
    assert!(!s.holds(second));
}

#[test]
fn the_cursor_stands_behind_the_last_row_even_if_the_reader_had_it() {
    let mut s = subscription(10, Plan::default(), Overflow::default());
    s.cache_row(event(9));
    assert!(!s.cache_row(event(9)));
    assert_eq!(s.cursor, ReplayCursor { after: Some((9, event(9).id)), rows: 2 });
}

#[test]
fn a_reader_that_was_waited_for_in_vain_is_waited_for_again_when_half_its_queue_is_free() {
    let mut s = live(4, Overflow::Wait);
    assert!(!s.give_up(), "there is room");
    for n in 0..4 {
        push(&mut s, n);
    }
    assert_eq!(push(&mut s, 4), Push::Full);
    assert!(s.give_up() && !s.give_up());
    assert_eq!(push(&mut s, 4), Push::Dropped, "nobody waits a second time");
    assert_eq!(rest(&mut s)[..2], ["lagged 1", "1"]);
    for n in 5..9 {
        assert_eq!(push(&mut s, n), Push::Queued);
    }
    assert_eq!(push(&mut s, 9), Push::Full, "it has read: it is waited for");
    s.give_up();
    s.pop();
    push(&mut s, 9);
    assert_eq!(push(&mut s, 10), Push::Dropped, "one place is not enough");
}

#[test]
fn copies_of_the_newest_rows_are_known_whatever_came_after_and_what_is_forgotten_is_counted() {
    let mut spec = SubscriptionSpec::new("s", vec![Filter::new()]);
    spec.queue_events = Some(10_000);
    let config = HubConfig { seen_events: 10, ..HubConfig::default() };
    let mut s = of(spec, &config);
    for n in (0..30).rev() {
        assert!(s.cache_row(event(n)));
    }
    s.cache_done();
    assert_eq!(s.stats("s").forgotten, 0, "10 for good and 20 of the others");
    for n in 0..30 {
        assert_eq!(push(&mut s, n), Push::Duplicate, "{n}");
    }
    for n in 100..200 {
        push(&mut s, n);
    }
    for n in (20..30).chain(190..200) {
        assert_eq!(push(&mut s, n), Push::Duplicate, "{n}");
    }
    assert_eq!(push(&mut s, 0), Push::Queued, "beyond the bound a copy passes for new");
    assert_eq!(s.stats("s").forgotten, 110);
}
