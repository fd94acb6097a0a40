//! What a user lives through with relays that have limits, said (NIP-11) or only shown.
#![allow(clippy::unwrap_used)]

mod sim;

use std::{collections::BTreeSet, time::Duration};

use nipworker_relay::{AuthState, Delivery, Filter, ReceiptStatus, RelayConfig};
use sim::{START_UNIX, Sim, url};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn topic(name: &str) -> Vec<Filter> {
    vec![Filter::new().tag('t', [name])]
}

/// A relay with this document, whose events are known, and that was connected when it came.
fn with_document(document: &str) -> Sim {
    let mut sim = Sim::with_desired(1, vec![], RelayConfig::default());
    sim.relay(0).document = Some(format!(r#"{{"limitation":{document}}}"#));
    sim
}

fn at() -> Vec<nipworker_relay::RelayUrl> {
    vec![url(0)]
}

fn ends(sim: &Sim, name: &str) -> usize {
    sim.count(0, |delivery| {
        matches!(delivery, Delivery::EndOfStored { subscription, .. } if **subscription == *name)
    })
}

#[test]
fn the_document_is_fetched_once_in_its_time_and_a_failure_changes_nothing() {
    let mut sim = with_document(r#"{"max_subscriptions":7}"#);
    sim.open("s", topic("a"), at(), false);
    sim.kill(0);
    sim.revive(0);
    sim.advance(secs(600));
    assert_eq!(sim.relay(0).fetched, 1);
    let report = sim.book.report()[0].clone();
    assert_eq!((report.documents, report.places), (1, 7));
    sim.advance(secs(3_600));
    sim.relay(0).document = Some("<html>".to_owned());
    sim.kill(0);
    sim.revive(0);
    sim.advance(secs(60));
    let report = sim.book.report()[0].clone();
    assert!(report.document_failures >= 1);
    assert_eq!(report.places, 7, "the old one counts until there is another");
    let config = RelayConfig { information: false, ..RelayConfig::default() };
    let mut sim = Sim::new(1, config);
    sim.advance(secs(60));
    assert_eq!(sim.relay(0).fetched, 0, "switched off");
}

#[test]
fn more_live_subscriptions_than_places_share_their_reqs_and_none_is_silent() {
    let mut sim = with_document(r#"{"max_subscriptions":4}"#);
    sim.relay(0).max_reqs = 4;
    for n in 0..12 {
        sim.open(&format!("s{n}"), topic(&format!("t{n}")), at(), false);
    }
    assert!(sim.relay(0).subscriptions.len() <= 2, "two of four places are for queries");
    for n in 0..12 {
        assert_eq!(ends(&sim, &format!("s{n}")), 1, "s{n}");
        let event = sim.event(&format!("t{n}"));
        sim.appear(0, &event);
        assert_eq!(sim.delivered_ids(&format!("s{n}")), [event.id.to_string()], "s{n}");
    }
    // Who leaves takes nothing of the others along.
    for n in 0..11 {
        sim.close(&format!("s{n}"));
    }
    let event = sim.event("t11");
    sim.appear(0, &event);
    assert_eq!(sim.delivered_ids("s11").len(), 2);
    sim.close("s11");
    assert!(sim.relay(0).subscriptions.is_empty());
}

#[test]
fn a_shared_req_that_the_relay_ends_costs_only_whose_filter_it_does_not_like() {
    let mut sim = with_document(r#"{"max_subscriptions":2}"#);
    sim.relay(0).hated = Some("t2".to_owned());
    for n in 0..4 {
        sim.open(&format!("q{n}"), topic(&format!("t{n}")), at(), true);
    }
    sim.kill(0);
    sim.revive(0);
    sim.advance(secs(5));
    let told = |name: &str| {
        sim.count(0, |delivery| {
            matches!(delivery, Delivery::Closed { subscription, .. } if **subscription == *name)
        })
    };
    for n in [0, 1, 3] {
        assert_eq!((ends(&sim, &format!("q{n}")), told(&format!("q{n}"))), (1, 0), "q{n}");
    }
    assert_eq!((ends(&sim, "q2"), told("q2")), (0, 1));
}

#[test]
fn a_relay_that_says_nothing_and_refuses_gets_fewer_reqs() {
    for by_notice in [false, true] {
        let mut sim = Sim::with_desired(1, vec![], RelayConfig::default());
        sim.relay(0).max_reqs = 3;
        sim.relay(0).refuses_by_notice = by_notice;
        for n in 0..9 {
            sim.open(&format!("s{n}"), topic(&format!("t{n}")), at(), false);
        }
        let report = sim.book.report()[0].clone();
        assert_eq!(report.places, 3, "by notice: {by_notice}");
        for n in 0..9 {
            assert_eq!(ends(&sim, &format!("s{n}")), 1, "s{n}, by notice: {by_notice}");
        }
    }
}

#[test]
fn a_query_that_the_relay_cuts_goes_on_page_by_page_without_a_gap() {
    let mut sim = with_document(r#"{"max_limit":10}"#);
    sim.relay(0).max_stored = 10;
    let mut expected = BTreeSet::new();
    for n in 0..95 {
        // Three events in each second, so that pages end within one.
        let event = sim.event_at("a", START_UNIX - n / 3);
        expected.insert(event.id.to_string());
        sim.appear(0, &event);
    }
    sim.open("all", topic("a"), at(), true);
    let got: BTreeSet<String> = sim.delivered_ids("all").into_iter().collect();
    assert_eq!(got, expected);
    assert_eq!(ends(&sim, "all"), 1);
    let limited = vec![Filter::new().tag('t', ["a"]).limit(30)];
    sim.open("some", limited, at(), true);
    let got: BTreeSet<String> = sim.delivered_ids("some").into_iter().collect();
    assert_eq!((got.len(), ends(&sim, "some")), (30, 1));
    assert!(sim.relay(0).subscriptions.is_empty());
}

#[test]
fn what_is_longer_than_the_relay_takes_is_divided_or_refused_with_the_reason() {
    let mut sim = with_document(r#"{"max_message_length":300}"#);
    let many: Vec<Filter> =
        (0..8).map(|n| Filter::new().tag('t', [format!("{n}{}", "x".repeat(60))])).collect();
    sim.open("divided", many, at(), true);
    let asked = sim.relay(0).asked.len();
    assert!((2..=4).contains(&asked), "{asked} REQs");
    assert_eq!(ends(&sim, "divided"), 1);
    sim.open("hopeless", topic(&"x".repeat(400)), at(), true);
    let closed = sim.count(0, |delivery| {
        matches!(delivery, Delivery::Closed { message, .. } if message.contains("300 bytes"))
    });
    assert_eq!(closed, 1);
    let event = sim.event(&"y".repeat(400));
    let publish = sim.publish(&event, at(), secs(5));
    let receipt = &sim.receipts[&publish][0];
    assert_eq!(receipt.status, ReceiptStatus::NotConnected);
    assert!(receipt.message.contains("not sent"), "{}", receipt.message);
    assert!(sim.relay(0).got_events.is_empty());
}

#[test]
fn names_of_reqs_are_as_short_as_the_relay_wants() {
    let mut sim = with_document(r#"{"max_subid_length":1}"#);
    sim.open("live", topic("a"), at(), false);
    for n in 0..40 {
        sim.open(&format!("q{n}"), topic("a"), at(), true);
    }
    assert!(sim.relay(0).subscriptions.keys().all(|wire| wire.len() == 1));
    assert_eq!(ends(&sim, "q39"), 1);
}

#[test]
fn a_relay_that_serves_nobody_unknown_is_told_first_who_we_are() {
    let mut sim = Sim::new(1, RelayConfig::default());
    sim.relay(0).document = Some(r#"{"limitation":{"auth_required":true}}"#.to_owned());
    sim.relay(0).demands_auth = true;
    sim.advance(secs(70));
    sim.kill(0);
    sim.relay(0).greets_with_challenge = true;
    sim.revive(0);
    sim.open("s", topic("a"), vec![], false);
    sim.advance(secs(70));
    sim.kill(0);
    sim.revive(0);
    sim.advance(secs(70));
    assert_eq!(sim.book.report()[0].auth, AuthState::Authenticated);
    assert_eq!(ends(&sim, "s"), 1);
    assert_eq!(sim.book.report()[0].closed, 0, "nothing was refused");
    // Without a challenge nothing is held back for ever.
    sim.relay(0).greets_with_challenge = false;
    sim.relay(0).demands_auth = false;
    sim.kill(0);
    sim.revive(0);
    sim.advance(secs(120));
    assert_eq!(sim.relay(0).subscriptions.len(), 1);
}
