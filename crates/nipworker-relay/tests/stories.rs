//! What a user lives through with relays, in simulated time.
#![allow(clippy::unwrap_used)]

mod sim;

use std::{collections::BTreeSet, time::Duration};

use nipworker_relay::{
    Delivery, Filter, LinkState, OpenRequest, PublishRequest, ReceiptStatus, RelayConfig,
    RequestError,
};
use sim::{Manner, START_UNIX, Sim, url};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn topic(name: &str) -> Vec<Filter> {
    vec![Filter::new().tag('t', [name])]
}

fn is_eose(delivery: &Delivery) -> bool {
    matches!(delivery, Delivery::EndOfStored { .. })
}

fn is_unavailable(delivery: &Delivery) -> bool {
    matches!(delivery, Delivery::Unavailable { .. })
}

#[test]
fn a_relay_that_dies_for_20_s_is_asked_again_without_anybody_sending() {
    let mut sim = Sim::new(2, RelayConfig::default());
    sim.open("live", topic("a"), vec![], false);
    let first = sim.event("a");
    sim.appear(0, &first);
    sim.advance(secs(60));
    sim.kill(0);
    let mut expected = BTreeSet::from([first.id.to_string()]);
    for _ in 0..20 {
        sim.advance(secs(1));
        let meanwhile = sim.event("a");
        sim.appear(1, &meanwhile);
        expected.insert(meanwhile.id.to_string());
    }
    sim.revive(0);
    // Published after its return but before we are back.
    let early = sim.event("a");
    sim.appear(0, &early);
    sim.advance(secs(30));
    let late = sim.event("a");
    sim.appear(0, &late);
    expected.extend([early.id.to_string(), late.id.to_string()]);
    let got: BTreeSet<String> = sim.delivered_ids("live").into_iter().collect();
    assert_eq!(got, expected);
    assert_eq!(sim.count(0, is_eose), 1, "the end of stored events is told once");
    let reports = sim.book.report();
    assert_eq!((reports[0].state, reports[0].connects), (LinkState::Connected, 2));
    assert!(reports[0].dial_failures >= 3, "the timer dialled {} times", reports[0].dials);
    let asked = &sim.relay(0).asked;
    assert_eq!(asked.len(), 2);
    let overlap = RelayConfig::default().resubscribe_overlap_secs;
    assert_eq!(asked[1].1[0].since, Some(first.created_at - overlap));
}

#[test]
fn events_come_in_order_and_their_end_after_them() {
    let mut sim = Sim::new(1, RelayConfig::default());
    for age in 0..600 {
        let event = sim.event_at("a", START_UNIX - age);
        sim.appear(0, &event);
    }
    sim.relay(0).max_stored = 1_000;
    sim.open("s", topic("a"), vec![], false);
    let sizes: Vec<usize> = sim
        .log
        .iter()
        .map(|(_, delivery)| match delivery {
            Delivery::Events { events, .. } => events.len(),
            Delivery::EndOfStored { .. } => 0,
            other => panic!("{other:?}"),
        })
        .collect();
    // The first are small, so that the first event comes soon.
    assert_eq!(sizes, [8, 16, 32, 64, 128, 256, 96, 0]);
}

#[test]
fn requests_made_while_connecting_are_sent_once_connected() {
    let mut sim = Sim::new(1, RelayConfig::default());
    sim.kill(0);
    sim.open("early", topic("a"), vec![], false);
    let event = sim.event("a");
    let publish = sim.publish(&event, vec![], secs(60));
    sim.revive(0);
    sim.advance(secs(5));
    assert_eq!(sim.delivered_ids("early"), [event.id.to_string()]);
    assert_eq!(sim.receipts[&publish][0].status, ReceiptStatus::Accepted);
}

#[test]
fn receipts_tell_what_each_relay_did() {
    let mut sim = Sim::new(4, RelayConfig::default());
    sim.relay(1).manner = Manner::Refuses;
    sim.relay(2).manner = Manner::Silent;
    sim.kill(3);
    sim.advance(secs(120));
    let event = sim.event("a");
    let publish = sim.publish(&event, vec![], secs(5));
    assert!(!sim.receipts.contains_key(&publish), "the silent relay has time left");
    sim.advance(secs(5));
    let mut receipts = sim.receipts[&publish].clone();
    receipts.sort_by(|a, b| a.relay.cmp(&b.relay));
    let statuses: Vec<ReceiptStatus> = receipts.iter().map(|receipt| receipt.status).collect();
    assert_eq!(
        statuses,
        [
            ReceiptStatus::Accepted,
            ReceiptStatus::Refused,
            ReceiptStatus::NoAnswer,
            ReceiptStatus::NotConnected
        ]
    );
    assert_eq!(receipts[1].message, "blocked: not you");
    assert_eq!(receipts[2].elapsed, secs(5));
    assert_eq!(sim.book.unanswered_publishes(), 0);
    let late = format!(r#"["OK","{}",true,""]"#, event.id);
    sim.say(2, &late);
    assert_eq!(sim.book.report()[2].late_oks, 1);
}

#[test]
fn a_refusal_because_the_relay_has_the_event_is_no_refusal() {
    let mut sim = Sim::new(1, RelayConfig::default());
    sim.relay(0).manner = Manner::Silent;
    let event = sim.event("a");
    let publish = sim.publish(&event, vec![], secs(5));
    sim.say(0, &format!(r#"["OK","{}",false,"duplicate: have it"]"#, event.id));
    assert_eq!(sim.receipts[&publish][0].status, ReceiptStatus::Accepted);
}

#[test]
fn an_event_that_was_cut_off_is_sent_again_within_its_time() {
    let mut sim = Sim::new(1, RelayConfig::default());
    sim.relay(0).manner = Manner::Silent;
    let event = sim.event("a");
    let publish = sim.publish(&event, vec![], secs(30));
    sim.kill(0);
    sim.relay(0).manner = Manner::Polite;
    sim.revive(0);
    sim.advance(secs(10));
    assert_eq!(sim.receipts[&publish][0].status, ReceiptStatus::Accepted);
    assert_eq!(sim.relay(0).got_events.len(), 2);
}

#[test]
fn an_event_published_twice_at_once_is_sent_once_and_both_are_answered() {
    let mut sim = Sim::new(1, RelayConfig::default());
    sim.relay(0).manner = Manner::Silent;
    let event = sim.event("a");
    let first = sim.publish(&event, vec![], secs(30));
    let second = sim.publish(&event, vec![url(0), url(0)], secs(30));
    sim.say(0, &format!(r#"["OK","{}",true,""]"#, event.id));
    assert_eq!(sim.relay(0).got_events.len(), 1);
    assert_eq!(sim.receipts[&first][0].status, ReceiptStatus::Accepted);
    assert_eq!(sim.receipts[&second].len(), 1, "a relay named twice answers once");
}

#[test]
fn a_dead_relay_does_not_hold_back_a_query() {
    let mut sim = Sim::new(2, RelayConfig::default());
    sim.kill(1);
    sim.advance(secs(1));
    sim.open("query", topic("a"), vec![], true);
    assert_eq!(sim.count(0, is_eose), 1);
    assert_eq!(sim.count(1, is_unavailable), 1, "told at once: the last attempt failed");
    assert_eq!(sim.book.open_subscriptions(), 0, "the query is over everywhere");
    assert!(sim.relay(0).subscriptions.is_empty(), "it was closed on the wire");
}

#[test]
fn a_first_attempt_that_fails_or_hangs_is_told() {
    let desired = vec![url(0)];
    let config = RelayConfig { eose_deadline: secs(60), ..RelayConfig::default() };
    let mut sim = Sim::with_desired(3, desired, config);
    sim.relay(1).up = false;
    sim.relay(2).dial_hangs = true;
    sim.open("query", topic("a"), vec![url(1), url(2)], true);
    assert_eq!(sim.count(1, is_unavailable), 1);
    assert_eq!(sim.count(2, is_unavailable), 0);
    sim.advance(secs(11));
    assert_eq!(sim.count(2, is_unavailable), 1, "an attempt has its own deadline");
}

#[test]
fn a_relay_that_never_ends_stored_events_is_not_waited_for() {
    let mut sim = Sim::new(1, RelayConfig::default());
    sim.relay(0).manner = Manner::Silent;
    sim.open("live", topic("a"), vec![], false);
    sim.open("query", topic("a"), vec![], true);
    sim.advance(secs(9));
    assert_eq!(sim.count(0, is_unavailable), 0);
    sim.advance(secs(1));
    let told: Vec<_> = sim.log.iter().map(|(_, delivery)| delivery.clone()).collect();
    let [Delivery::Unavailable { subscriptions, reason }] = &told[..] else { panic!("{told:?}") };
    assert_eq!(subscriptions.len(), 2);
    assert_eq!(reason, "no end of stored events within 10000 ms");
    assert_eq!(sim.relay(0).subscriptions.len(), 1, "the query is closed, the live one stays");
    let event = sim.event("a");
    sim.appear(0, &event);
    assert_eq!(sim.delivered_ids("live"), [event.id.to_string()]);
}

#[test]
fn a_half_open_socket_is_found_and_replaced() {
    let mut sim = Sim::new(1, RelayConfig::default());
    sim.open("live", topic("a"), vec![], false);
    sim.advance(secs(3600));
    assert_eq!(sim.book.report()[0].connects, 1, "pings keep a quiet connection");
    sim.relay(0).manner = Manner::Cut;
    let missed = sim.event("a");
    sim.appear(0, &missed);
    sim.advance(secs(39));
    sim.relay(0).manner = Manner::Polite;
    sim.advance(secs(5));
    let report = &sim.book.report()[0];
    assert_eq!((report.stale, report.connects, report.state), (1, 2, LinkState::Connected));
    assert_eq!(sim.delivered_ids("live"), [missed.id.to_string()]);
}

#[test]
fn a_relay_whose_events_wait_is_not_called_dead() {
    let mut sim = Sim::new(1, RelayConfig::default());
    sim.open("live", topic("a"), vec![], false);
    sim.hold_deliveries = true;
    let event = sim.event("a");
    sim.appear(0, &event);
    sim.advance(secs(3600));
    sim.ring();
    sim.advance(secs(3600));
    sim.ring();
    assert_eq!(sim.book.report()[0].stale, 0);
    assert!(sim.delivered_ids("live").is_empty());
    sim.release();
    sim.ring();
    let report = &sim.book.report()[0];
    assert_eq!((report.stale, report.frames_out), (0, 1), "nothing but the REQ was sent");
    assert_eq!(sim.delivered_ids("live"), [event.id.to_string()]);
}

#[test]
fn a_replaced_socket_is_deaf() {
    let mut sim = Sim::new(1, RelayConfig::default());
    let old = sim.relay(0).connection.unwrap();
    sim.kill(0);
    sim.revive(0);
    sim.advance(secs(2));
    assert_eq!(sim.book.report()[0].state, LinkState::Connected);
    let lost = nipworker_relay::transport::TransportError::Lost { reason: "late".to_owned() };
    assert!(sim.pool.lost(sim.now(), &url(0), old, &lost).is_empty());
    let frame = nipworker_relay::transport::Incoming::Text("[]".to_owned());
    assert!(sim.pool.received(sim.now(), &url(0), old, vec![frame]).is_empty());
    let report = &sim.book.report()[0];
    assert_eq!((report.state, report.bad_frames), (LinkState::Connected, 0));
}

#[test]
fn one_req_carries_all_filters() {
    let mut sim = Sim::new(1, RelayConfig::default());
    let filters = vec![Filter::new().kinds([1]), Filter::new().kinds([7]).limit(3)];
    sim.open("two", filters.clone(), vec![], false);
    let asked: Vec<_> = sim.relay(0).asked.iter().map(|(_, filters)| filters.clone()).collect();
    assert_eq!(asked, [filters]);
}

#[test]
fn opening_an_open_subscription_replaces_it_and_is_answered_anew() {
    let mut sim = Sim::new(2, RelayConfig::default());
    sim.open("s", topic("a"), vec![], false);
    sim.open("s", topic("b"), vec![url(1)], false);
    assert!(sim.relay(0).subscriptions.is_empty());
    assert_eq!(sim.relay(1).subscriptions.len(), 1);
    assert_eq!((sim.count(0, is_eose), sim.count(1, is_eose)), (1, 2));
    let (a, b) = (sim.event("a"), sim.event("b"));
    for event in [&a, &b] {
        sim.appear(0, event);
        sim.appear(1, event);
    }
    assert_eq!(sim.delivered_ids("s"), [b.id.to_string()]);
    assert!(sim.close("s") && !sim.close("s"));
    assert!(sim.relay(1).subscriptions.is_empty());
}

#[test]
fn a_limit_does_not_cut_what_was_missed() {
    let mut sim = Sim::new(1, RelayConfig::default());
    for _ in 0..10 {
        let stored = sim.event_at("a", START_UNIX - 1_000);
        sim.appear(0, &stored);
    }
    sim.open("live", vec![Filter::new().tag('t', ["a"]).limit(2)], vec![], false);
    assert_eq!(sim.delivered_ids("live").len(), 2);
    sim.advance(secs(1_000));
    let seen = sim.event("a");
    sim.appear(0, &seen);
    sim.kill(0);
    let mut missed = BTreeSet::new();
    for _ in 0..5 {
        sim.advance(secs(2));
        let event = sim.event("a");
        sim.appear(0, &event);
        missed.insert(event.id.to_string());
    }
    sim.revive(0);
    sim.advance(secs(60));
    let got: BTreeSet<String> = sim.delivered_ids("live").into_iter().collect();
    assert!(got.is_superset(&missed));
    assert_eq!(got.len(), 2 + 1 + 5, "older ones that the limit had left out stay out");
}

#[test]
fn a_live_only_subscription_goes_on_where_it_began() {
    let mut sim = Sim::new(1, RelayConfig::default());
    let old = sim.event_at("a", START_UNIX - 100_000);
    sim.appear(0, &old);
    sim.open("new", vec![Filter::new().tag('t', ["a"]).limit(0)], vec![], false);
    sim.kill(0);
    let missed = sim.event("a");
    sim.appear(0, &missed);
    sim.revive(0);
    sim.advance(secs(60));
    assert_eq!(sim.delivered_ids("new"), [missed.id.to_string()]);
}

#[test]
fn an_event_from_the_future_hides_nothing() {
    let mut sim = Sim::new(1, RelayConfig::default());
    sim.open("live", topic("a"), vec![], false);
    let future = sim.event_at("a", START_UNIX + 100_000_000);
    sim.appear(0, &future);
    sim.kill(0);
    let missed = sim.event("a");
    sim.appear(0, &missed);
    sim.revive(0);
    sim.advance(secs(60));
    assert!(sim.delivered_ids("live").contains(&missed.id.to_string()));
}

#[test]
fn stored_events_that_broke_off_are_asked_for_from_the_start() {
    let mut sim = Sim::new(1, RelayConfig::default());
    let events: Vec<_> = (0..20).map(|age| sim.event_at("a", START_UNIX - 1_000 * age)).collect();
    for event in &events {
        sim.appear(0, event);
    }
    // The relay sends them all but never says that this was all; half of them arrive.
    sim.relay(0).manner = Manner::Silent;
    sim.relay(0).max_stored = 10;
    sim.open("live", topic("a"), vec![], false);
    assert_eq!(sim.delivered_ids("live").len(), 10);
    sim.kill(0);
    sim.relay(0).manner = Manner::Polite;
    sim.relay(0).max_stored = 500;
    sim.revive(0);
    sim.advance(secs(5));
    let got: BTreeSet<String> = sim.delivered_ids("live").into_iter().collect();
    assert_eq!(got.len(), 20);
}

#[test]
fn a_subscription_that_the_relay_ends_is_told_and_asked_again_later() {
    let mut sim = Sim::new(1, RelayConfig::default());
    sim.open("live", topic("a"), vec![], false);
    let wire = sim.relay(0).subscriptions.keys().next().unwrap().clone();
    sim.relay(0).subscriptions.clear();
    sim.say(0, &format!(r#"["CLOSED","{wire}","rate-limited: slow down"]"#));
    let closed = |delivery: &Delivery| matches!(delivery, Delivery::Closed { message, .. } if message == "rate-limited: slow down");
    assert_eq!(sim.count(0, closed), 1);
    let missed = sim.event("a");
    sim.appear(0, &missed);
    sim.advance(secs(61));
    assert_eq!(sim.delivered_ids("live"), [missed.id.to_string()]);
}

#[test]
fn a_refused_subscription_is_asked_again_only_on_the_next_connection() {
    let mut sim = Sim::new(1, RelayConfig::default());
    sim.open("live", topic("a"), vec![], false);
    let wire = sim.relay(0).subscriptions.keys().next().unwrap().clone();
    sim.relay(0).subscriptions.clear();
    sim.say(0, &format!(r#"["CLOSED","{wire}","restricted: members only"]"#));
    sim.advance(secs(3600));
    assert_eq!(sim.relay(0).asked.len(), 1);
    sim.kill(0);
    sim.revive(0);
    sim.advance(secs(2));
    assert_eq!(sim.relay(0).asked.len(), 2);
}

/// Who was told that there is no place, and in which words.
fn waiting(sim: &Sim) -> Vec<(String, String)> {
    let mut told = Vec::new();
    for (_, delivery) in &sim.log {
        if let Delivery::Unavailable { subscriptions, reason } = delivery {
            told.extend(subscriptions.iter().map(|name| (name.to_string(), reason.clone())));
        }
    }
    told
}

#[test]
fn a_live_subscription_without_a_place_is_told_so_and_has_its_turn() {
    let mut sim = Sim::new(1, RelayConfig::default());
    let places = sim.config.live_places();
    // Text search is never shared.
    let search = |number: usize| Filter {
        search: Some("x".to_owned()),
        ..Filter::new().tag('t', [number.to_string()])
    };
    for number in 0..places + 2 {
        sim.open(&format!("s{number:02}"), vec![search(number)], vec![], false);
    }
    let reason = format!("waits for one of {places} places for live subscriptions at this relay");
    let late = [format!("s{places}"), format!("s{}", places + 1)];
    let told = late.clone().map(|name| (name, reason.clone()));
    assert_eq!(waiting(&sim), told, "at once: nobody is going to leave");
    assert_eq!(sim.count(0, is_eose), places);
    assert_eq!(sim.book.report()[0].queued_subscriptions, 2);
    sim.close("s03");
    assert_eq!(sim.count(0, is_eose), places + 1, "its own answer is told after all");
    assert_eq!(sim.book.report()[0].queued_subscriptions, 1);
    let event = sim.event(&places.to_string());
    sim.appear(0, &event);
    assert_eq!(sim.delivered_ids(&late[0]), [event.id.to_string()]);
    sim.kill(0);
    sim.revive(0);
    sim.advance(secs(60));
    assert_eq!(waiting(&sim), told, "nobody is told twice");
    assert_eq!(sim.book.report()[0].queued_subscriptions, 1);
}

#[test]
fn live_subscriptions_never_shut_queries_out() {
    let mut sim = Sim::new(1, RelayConfig::default());
    for number in 0..100 {
        sim.open(&format!("live {number}"), topic("a"), vec![], false);
    }
    let event = sim.event("b");
    sim.appear(0, &event);
    for number in 0..100 {
        let name = format!("query {number}");
        sim.open(&name, topic("b"), vec![], true);
        assert_eq!(sim.delivered_ids(&name), [event.id.to_string()]);
    }
    assert_eq!(sim.book.open_subscriptions(), 100, "every query is over");
    sim.kill(0);
    sim.open("meanwhile", topic("b"), vec![], true);
    sim.revive(0);
    sim.advance(secs(5));
    assert_eq!(sim.delivered_ids("meanwhile"), [event.id.to_string()], "nor after a return");
}

#[test]
fn queries_never_shut_a_live_subscription_out() {
    let mut sim = Sim::new(1, RelayConfig::default());
    sim.relay(0).manner = Manner::Silent;
    let places = sim.config.max_open_subscriptions;
    for number in 0..places + 5 {
        sim.open_within(&format!("q{number:02}"), topic("q"), vec![], true, Some(secs(60)));
    }
    sim.open("live", topic("a"), vec![], false);
    assert_eq!(sim.book.report()[0].queued_subscriptions, 6);
    assert_eq!(sim.count(0, is_unavailable), 0, "a query may end any moment");
    sim.close("q07");
    assert_eq!(sim.relay(0).asked.last().unwrap().1, topic("a"), "it is the next");
    sim.close("q08");
    assert_eq!(sim.relay(0).asked.last().unwrap().1, topic("q"));
}

#[test]
fn a_query_that_found_no_place_in_its_time_is_told_so() {
    let mut sim = Sim::new(1, RelayConfig::default());
    sim.relay(0).manner = Manner::Silent;
    for number in 0..20 {
        sim.open_within(&format!("q{number}"), topic("q"), vec![], true, Some(secs(60)));
    }
    sim.open("late", topic("a"), vec![], true);
    sim.advance(secs(9));
    assert_eq!(waiting(&sim), []);
    sim.advance(secs(1));
    let reason = "waits for one of 20 places at this relay".to_owned();
    assert_eq!(waiting(&sim), [("late".to_owned(), reason)]);
    assert_eq!(sim.book.report()[0].queued_subscriptions, 0);
}

#[test]
fn garbage_is_counted_and_too_much_of_it_ends_the_connection() {
    let mut sim = Sim::new(1, RelayConfig::default());
    let deep = "[".repeat(100_000);
    let bad = [
        "",
        "x",
        "{}",
        "[]",
        "[1]",
        r#"["EVENT"]"#,
        r#"["EVENT","s"]"#,
        r#"["EVENT",1,{}]"#,
        r#"["OK","zz",true]"#,
        r#"["OK"]"#,
        r#"["EOSE"]"#,
        r#"["NOTICE",{}]"#,
        "\u{0}",
        &deep,
    ];
    for frame in bad {
        sim.say(0, frame);
    }
    let report = &sim.book.report()[0];
    assert_eq!((report.bad_frames, report.state), (bad.len() as u64, LinkState::Connected));
    for frame in [r#"["FUTURE",1]"#, r#"["AUTH","challenge"]"#, r#"["EVENT","nope",{}]"#] {
        sim.say(0, frame);
    }
    let report = &sim.book.report()[0];
    assert_eq!((report.unknown_frames, report.auth_challenges, report.unasked_events), (1, 1, 1));
    for _ in 0..20 {
        sim.say(0, "garbage");
    }
    let report = &sim.book.report()[0];
    assert_eq!(report.state, LinkState::Waiting);
    assert!(report.last_error.as_ref().unwrap().contains("malformed"), "{report:?}");
    sim.advance(secs(2));
    assert_eq!(sim.book.report()[0].state, LinkState::Connected);
}

#[test]
fn a_relay_that_hangs_up_again_and_again_is_left_alone_longer_and_longer() {
    let mut sim = Sim::new(1, RelayConfig::default());
    for _ in 0..20 {
        if sim.relay(0).connection.is_some() {
            sim.kill(0);
            sim.revive(0);
        }
        sim.advance(secs(4));
    }
    let dials = sim.book.report()[0].dials;
    assert!((6..=12).contains(&dials), "{dials} dials in 80 s");
    sim.advance(secs(100));
    sim.kill(0);
    sim.revive(0);
    sim.advance(secs(1));
    assert_eq!(sim.book.report()[0].state, LinkState::Connected, "a healthy time forgives");
}

#[test]
fn notices_are_handed_on_but_a_flood_of_them_is_not() {
    let mut sim = Sim::new(1, RelayConfig::default());
    sim.say(0, &format!(r#"["NOTICE","{}"]"#, "x".repeat(5_000)));
    let sizes: Vec<usize> = sim
        .log
        .iter()
        .filter_map(|(_, delivery)| match delivery {
            Delivery::Notice { message } => Some(message.len()),
            _ => None,
        })
        .collect();
    assert_eq!(sizes, [1_024]);
    sim.relay(0).reading = false;
    for _ in 0..1_000 {
        sim.say(0, r#"["NOTICE","again"]"#);
    }
    sim.relay(0).reading = true;
    sim.say(0, r#"["NOTICE","again"]"#);
    assert_eq!(sim.book.report()[0].notices, 1_002);
    assert_eq!(sim.count(0, |delivery| matches!(delivery, Delivery::Notice { .. })), 1 + 8);
}

#[test]
fn relays_that_only_a_request_named_leave_when_nothing_needs_them() {
    let mut sim = Sim::with_desired(3, vec![url(0)], RelayConfig::default());
    sim.open("query", topic("a"), vec![url(1)], true);
    let event = sim.event("a");
    sim.publish(&event, vec![url(2)], secs(5));
    assert_eq!(sim.pool.relays(), 3);
    sim.advance(secs(59));
    assert_eq!(sim.pool.relays(), 3);
    sim.advance(secs(2));
    assert_eq!(sim.pool.relays(), 1);
    assert!(sim.relay(1).connection.is_none() && sim.relay(0).connection.is_some());
    assert_eq!(sim.book.report().len(), 1);
}

#[test]
fn a_full_pool_says_so() {
    let config = RelayConfig { max_relays: 2, ..RelayConfig::default() };
    let mut sim = Sim::with_desired(4, vec![url(0)], config);
    sim.open("one", topic("a"), vec![url(1)], false);
    sim.open("two", topic("a"), vec![url(0), url(2)], false);
    assert_eq!((sim.count(2, is_unavailable), sim.pool.relays()), (1, 2));
    let event = sim.event("a");
    let publish = sim.publish(&event, vec![url(0), url(3)], secs(5));
    let receipts = &sim.receipts[&publish];
    let full = receipts.iter().find(|receipt| receipt.relay == url(3)).unwrap();
    assert_eq!(full.status, ReceiptStatus::NotConnected);
    assert_eq!(full.message, "the pool is full: 2 relays are in use");
    sim.close("one");
    sim.open("three", topic("a"), vec![url(2)], false);
    assert_eq!(sim.count(2, is_eose), 1, "an idle relay makes room");
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let mut sim = Sim::with_desired(1, vec![], RelayConfig::default());
    let open = |filters, relays| OpenRequest {
        subscription: "s".to_owned(),
        filters,
        relays,
        close_on_eose: false,
        deadline: None,
    };
    let now = sim.now();
    let refused = sim.pool.open(now, open(vec![], vec![url(0)])).unwrap_err();
    assert_eq!(refused, RequestError::NoFilter);
    let refused = sim.pool.open(now, open(topic("a"), vec![])).unwrap_err();
    assert_eq!(refused, RequestError::NoRelay);
    let event = sim.event("a");
    let request = PublishRequest {
        event: event.id,
        json: r#"{}],["CLOSE","#.to_owned(),
        relays: vec![url(0)],
        deadline: None,
    };
    assert_eq!(sim.pool.publish(now, request).unwrap_err(), RequestError::NotJson);
    for number in 0..4_096 {
        sim.open(&format!("s{number}"), topic("a"), vec![url(0)], false);
    }
    let refused = sim.pool.open(now, open(topic("a"), vec![url(0)])).unwrap_err();
    assert!(refused.is_transient(), "{refused}");
}

#[test]
fn a_new_owner_of_the_book_carries_on() {
    let mut sim = Sim::new(2, RelayConfig::default());
    sim.relay(1).manner = Manner::Silent;
    sim.open("live", topic("a"), vec![], false);
    let seen = sim.event("a");
    sim.appear(0, &seen);
    let published = sim.event("b");
    sim.publish(&published, vec![url(1)], secs(60));
    // What was read but not handed on when the owner died is not lost.
    sim.hold_deliveries = true;
    sim.advance(secs(500));
    let unhandled = sim.event("a");
    sim.appear(0, &unhandled);
    sim.hold_deliveries = false;
    sim.restart();
    sim.advance(secs(5));
    let got = sim.delivered_ids("live");
    assert!(got.contains(&unhandled.id.to_string()), "{got:?}");
    assert_eq!(sim.count(0, is_eose), 1, "and nobody is told twice");
    assert!(sim.close("live"));
}

#[test]
fn an_unanswered_publish_outlives_one_owner_but_not_two() {
    let mut sim = Sim::new(1, RelayConfig::default());
    sim.relay(0).manner = Manner::Silent;
    let event = sim.event("a");
    sim.publish(&event, vec![], secs(300));
    sim.restart();
    assert_eq!(sim.relay(0).got_events.len(), 2);
    assert_eq!(sim.book.unanswered_publishes(), 1);
    sim.restart();
    assert_eq!(sim.relay(0).got_events.len(), 2);
    assert_eq!(sim.book.unanswered_publishes(), 0);
}

#[test]
fn an_owner_that_was_replaced_writes_nothing_any_more() {
    let mut sim = Sim::new(1, RelayConfig::default());
    sim.open("live", topic("a"), vec![], false);
    let start = sim.now();
    let config = std::sync::Arc::clone(&sim.config);
    let (_young, _) = nipworker_relay::RelayPool::new(config, &sim.book, 1, start);
    let (known, _) = sim.pool.close(start, "live");
    assert!(!known, "the old pool no longer decides");
    assert_eq!(sim.book.open_subscriptions(), 1);
    assert_eq!(sim.book.report()[0].state, LinkState::Connecting);
    let before = sim.book.report();
    assert_eq!((before[0].dials, before[0].connects), (2, 1), "counters go on");
    sim.pool.shut_down(start);
    assert_eq!(sim.book.report(), before);
}

#[test]
fn shutting_down_answers_everybody_and_does_not_dial_again() {
    let mut sim = Sim::new(1, RelayConfig::default());
    sim.relay(0).manner = Manner::Silent;
    let event = sim.event("a");
    sim.publish(&event, vec![], secs(60));
    let effects = sim.pool.shut_down(sim.now());
    let text = format!("{effects:?}");
    assert!(text.contains("Receipts") && text.contains("NoAnswer"), "{text}");
    assert!(text.contains("Disconnect") && text.contains("1000"), "{text}");
    sim.relay(0).connection = None;
    sim.advance(secs(3_600));
    assert_eq!(sim.book.report()[0].dials, 1);
}

#[test]
fn a_relay_that_is_away_for_longer_than_the_publish_waits_is_reported_at_once() {
    let mut sim = Sim::new(1, RelayConfig::default());
    sim.kill(0);
    sim.advance(secs(60));
    let event = sim.event("a");
    let publish = sim.publish(&event, vec![], Duration::from_millis(1));
    assert_eq!(sim.receipts[&publish][0].status, ReceiptStatus::NotConnected);
    // The next attempt fails, and the one after it would come too late.
    let event = sim.event("a");
    let publish = sim.publish(&event, vec![], secs(40));
    let asked = sim.time;
    while !sim.receipts.contains_key(&publish) {
        sim.advance(Duration::from_millis(100));
    }
    assert!(sim.time - asked < secs(39), "nothing more was to be expected");
}

#[test]
fn an_attempt_that_succeeds_too_late_is_hung_up() {
    let mut sim = Sim::with_desired(1, vec![], RelayConfig::default());
    sim.relay(0).dial_hangs = true;
    sim.open("s", topic("a"), vec![url(0)], false);
    sim.advance(secs(11));
    assert_eq!(sim.book.report()[0].state, LinkState::Waiting);
    let effects = format!("{:?}", sim.connect_late(0));
    assert!(effects.starts_with("[Disconnect"), "{effects}");
    assert_eq!(sim.book.report()[0].state, LinkState::Waiting);
}

#[test]
fn a_relay_that_reads_nothing_is_given_up() {
    let mut sim = Sim::new(1, RelayConfig::default());
    sim.relay(0).stuck = true;
    for _ in 0..4_096 {
        sim.open("s", topic("a"), vec![], false);
        sim.close("s");
    }
    assert_eq!(sim.book.report()[0].state, LinkState::Connected);
    sim.open("s", topic("a"), vec![], false);
    let report = &sim.book.report()[0];
    assert_eq!(report.state, LinkState::Waiting);
    assert!(report.last_error.as_ref().unwrap().contains("reads nothing"), "{report:?}");
}

#[test]
fn what_was_not_yet_told_is_told_by_the_next_owner() {
    let mut sim = Sim::new(1, RelayConfig::default());
    sim.relay(0).manner = Manner::Silent;
    sim.open("live", topic("a"), vec![], false);
    sim.hold_deliveries = true;
    let event = sim.event("a");
    sim.appear(0, &event);
    // Its end of stored events is overdue, but the event before it is not yet handed on.
    sim.advance(secs(10));
    assert!(sim.release_one());
    sim.hold_deliveries = false;
    sim.restart();
    assert_eq!(sim.count(0, is_unavailable), 0);
    sim.advance(secs(1));
    assert_eq!(sim.count(0, is_unavailable), 1);
}

#[test]
fn news_of_a_closed_subscription_are_not_taken_for_those_of_its_successor() {
    let config = RelayConfig { eose_deadline: secs(20), ..RelayConfig::default() };
    let mut sim = Sim::new(1, config);
    sim.relay(0).manner = Manner::Silent;
    sim.open("s", topic("a"), vec![], false);
    sim.hold_deliveries = true;
    let event = sim.event("a");
    sim.appear(0, &event);
    sim.advance(secs(20));
    sim.open("s", topic("b"), vec![], false);
    sim.release();
    assert_eq!(sim.count(0, is_unavailable), 0, "the new one has its whole time");
    sim.advance(secs(20));
    assert_eq!(sim.count(0, is_unavailable), 1);
}

#[test]
fn a_request_may_give_relays_more_or_less_time_than_is_configured() {
    let config = RelayConfig { eose_deadline: secs(5), ..RelayConfig::default() };
    let mut sim = Sim::new(1, config);
    sim.relay(0).manner = Manner::Silent;
    sim.open_within("patient", topic("a"), vec![], true, Some(secs(30)));
    sim.open_within("brief", topic("a"), vec![], true, Some(secs(2)));
    sim.open_within("endless", topic("a"), vec![], true, Some(Duration::MAX));
    sim.open("usual", topic("a"), vec![], true);
    let mut told = Vec::new();
    for second in 1..=40 {
        sim.log.clear();
        sim.advance(secs(1));
        for (_, delivery) in &sim.log {
            let Delivery::Unavailable { subscriptions, reason } = delivery else { continue };
            told.push((second, subscriptions[0].to_string(), reason.clone()));
        }
    }
    let reason = |ms| format!("no end of stored events within {ms} ms");
    let expected = [(2, "brief", 2_000), (5, "usual", 5_000), (30, "patient", 30_000)];
    assert_eq!(told, expected.map(|(at, name, ms)| (at, name.to_owned(), reason(ms))));
    assert_eq!(sim.book.open_subscriptions(), 1);
}

#[test]
fn an_end_that_comes_after_a_restart_is_told_although_the_relay_was_unavailable_before() {
    let mut sim = Sim::new(1, RelayConfig::default());
    sim.kill(0);
    sim.advance(secs(5));
    sim.open("s", topic("a"), vec![], false);
    sim.restart();
    assert_eq!((sim.count(0, is_unavailable), sim.count(0, is_eose)), (1, 0));
    sim.revive(0);
    sim.advance(secs(60));
    assert_eq!((sim.count(0, is_unavailable), sim.count(0, is_eose)), (1, 1));
    sim.restart();
    assert_eq!(sim.count(0, is_eose), 1, "it is told once");
}

#[test]
fn events_that_were_lost_on_the_way_are_asked_for_again() {
    let mut sim = Sim::new(1, RelayConfig::default());
    sim.open("stored", topic("b"), vec![], false);
    sim.open("live", topic("a"), vec![], false);
    let first = sim.event("a");
    sim.appear(0, &first);
    sim.advance(secs(1_000));
    sim.hold_deliveries = true;
    let lost = sim.event("a");
    sim.appear(0, &lost);
    sim.hold_deliveries = false;
    sim.lose_one();
    assert_eq!(sim.book.report()[0].lost_events, 1);
    // What comes later is no reason to begin behind the loss.
    sim.advance(secs(1_000));
    let later = sim.event("a");
    sim.appear(0, &later);
    let overlap = sim.config.resubscribe_overlap_secs;
    for restart in [false, true] {
        if restart {
            sim.restart();
        } else {
            sim.kill(0);
            sim.revive(0);
            sim.advance(secs(60));
        }
        let (_, filters) =
            sim.relay(0).asked.iter().rfind(|(_, f)| f[0].tags == topic("a")[0].tags).unwrap();
        let from = if restart { later.created_at } else { first.created_at };
        assert_eq!(filters[0].since, Some(from - overlap), "after a restart: {restart}");
        assert!(sim.delivered_ids("live").contains(&lost.id.to_string()));
    }
}

#[test]
fn stored_events_that_were_lost_are_all_asked_for_again() {
    let mut sim = Sim::new(1, RelayConfig::default());
    let stored = sim.event("a");
    sim.appear(0, &stored);
    sim.hold_deliveries = true;
    sim.open("s", vec![Filter::new().tag('t', ["a"]).limit(10)], vec![], false);
    sim.lose_one();
    sim.release();
    assert_eq!(sim.count(0, is_eose), 1);
    sim.advance(secs(1_000));
    sim.restart();
    assert_eq!(sim.delivered_ids("s"), [stored.id.to_string()]);
}

#[test]
fn a_retry_that_was_due_on_a_lost_connection_asks_nothing_twice() {
    let config = RelayConfig { max_open_subscriptions: 1, ..RelayConfig::default() };
    let mut sim = Sim::new(1, config);
    sim.open("b", topic("b"), vec![], false);
    let wire = sim.relay(0).subscriptions.pop_first().unwrap().0;
    sim.say(0, &format!(r#"["CLOSED","{wire}","error: later"]"#));
    sim.kill(0);
    // After the return it waits for its place behind this one.
    sim.open("a", topic("a"), vec![], false);
    sim.revive(0);
    sim.advance(secs(120));
    sim.close("a");
    assert_eq!(sim.book.report()[0].queued_subscriptions, 0);
    let wanted = &topic("b")[0];
    let asked = sim.relay(0).asked.iter().filter(|(_, filters)| filters.contains(wanted)).count();
    assert_eq!(asked, 2);
}

#[test]
fn who_is_in_a_hurry_waits_only_so_long_for_receipts() {
    let mut sim = Sim::new(2, RelayConfig::default());
    sim.relay(1).manner = Manner::Silent;
    let (before, after) = (sim.event("a"), sim.event("b"));
    let before = sim.publish(&before, vec![], secs(60));
    let effects = sim.pool.hurry(sim.now(), secs(1));
    assert!(effects.is_empty(), "{effects:?}");
    let after = sim.publish(&after, vec![], secs(60));
    sim.advance(Duration::from_millis(999));
    assert!(sim.receipts.is_empty());
    sim.advance(Duration::from_millis(1));
    for publish in [before, after] {
        let statuses: Vec<_> = sim.receipts[&publish].iter().map(|r| r.status).collect();
        assert_eq!(statuses, [ReceiptStatus::Accepted, ReceiptStatus::NoAnswer]);
    }
}
