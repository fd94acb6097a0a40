//! Relays that serve private messages only to whom they know (NIP-42), and say nothing of it.
#![allow(clippy::unwrap_used)]

mod sim;

use std::time::Duration;

use nipworker_relay::{Delivery, Filter, RelayConfig};
use sim::{Manner, SignerManner, Sim};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn messages() -> Vec<Filter> {
    vec![Filter::new().kinds([4]).tag('p', ["1".repeat(64)])]
}

fn everything_about_somebody() -> Vec<Filter> {
    vec![Filter::new().tag('p', ["1".repeat(64)])]
}

fn eoses(sim: &Sim) -> usize {
    sim.count(0, |delivery| matches!(delivery, Delivery::EndOfStored { .. }))
}

/// A relay with one message, and its id.
fn relay(greets: bool) -> (Sim, String) {
    let mut sim = Sim::new(1, RelayConfig::default());
    sim.relay(0).hides_private = true;
    sim.relay(0).greets_with_challenge = greets;
    let message = sim.message();
    sim.appear(0, &message);
    (sim, message.id.to_string())
}

/// A query whose REQ the relay has not answered yet.
fn open_unanswered(sim: &mut Sim, name: &str, filters: Vec<Filter>) {
    sim.relay(0).manner = Manner::Silent;
    sim.open(name, filters, vec![], true);
    sim.relay(0).manner = Manner::Polite;
}

/// The connection breaks, something is done without one, and the relay comes back.
fn while_away(sim: &mut Sim, act: impl FnOnce(&mut Sim)) {
    sim.kill(0);
    sim.advance(secs(1));
    act(sim);
    sim.revive(0);
}

#[test]
fn messages_that_were_left_out_before_the_relay_knew_us_come_after_it_does() {
    let (mut sim, message) = relay(false);
    sim.open("live", messages(), vec![], false);
    sim.open("all", everything_about_somebody(), vec![], false);
    sim.open("notes", vec![Filter::new().kinds([1])], vec![], false);
    assert!(sim.delivered_ids("live").is_empty());
    sim.advance(secs(5));
    let asked = sim.relay(0).asked.len();
    sim.challenge(0);
    for name in ["live", "all"] {
        assert_eq!(sim.delivered_ids(name), std::slice::from_ref(&message), "{name}");
    }
    assert_eq!(sim.relay(0).asked.len(), asked + 2, "notes are not asked for again");
    assert_eq!(eoses(&sim), 3, "the end of stored events is told once to each");
    let next = sim.message();
    sim.appear(0, &next);
    assert_eq!(sim.delivered_ids("live").len(), 2, "it is live after that");
}

#[test]
fn a_query_for_messages_has_no_end_before_the_relay_knows_us() {
    let (mut sim, message) = relay(false);
    sim.signer = SignerManner::Sleeps;
    sim.challenge(0);
    sim.open("query", messages(), vec![], true);
    sim.advance(secs(3));
    assert_eq!(eoses(&sim), 0, "its answer would not be all there is");
    sim.sign_held();
    assert_eq!(sim.delivered_ids("query"), [message]);
    assert_eq!(eoses(&sim), 1);
    assert!(sim.relay(0).subscriptions.is_empty());
}

#[test]
fn a_query_that_waits_for_its_answer_when_the_relay_asks_who_we_are_is_asked_again() {
    let (mut sim, message) = relay(false);
    open_unanswered(&mut sim, "query", messages());
    sim.challenge(0);
    assert_eq!(sim.delivered_ids("query"), [message]);
    assert_eq!(eoses(&sim), 1);
    assert!(sim.relay(0).subscriptions.is_empty(), "the first REQ was closed");
}

#[test]
fn a_relay_that_does_not_accept_us_still_gives_what_it_gives_to_everybody() {
    let (mut sim, _) = relay(false);
    sim.relay(0).rejects_auth = true;
    sim.signer = SignerManner::Sleeps;
    sim.challenge(0);
    sim.open("query", messages(), vec![], true);
    sim.open("live", everything_about_somebody(), vec![], false);
    assert_eq!(eoses(&sim), 0);
    sim.sign_held();
    assert_eq!(eoses(&sim), 2);
    assert_eq!(sim.relay(0).subscriptions.len(), 1, "the live one goes on");
}

#[test]
fn a_relay_that_accepts_us_in_silence_is_asked_a_moment_later() {
    let (mut sim, message) = relay(false);
    sim.relay(0).accepts_in_silence = true;
    open_unanswered(&mut sim, "query", messages());
    sim.challenge(0);
    assert_eq!(eoses(&sim), 0, "its yes may still come");
    sim.advance(secs(2));
    assert_eq!(sim.delivered_ids("query"), [message]);
    assert_eq!(eoses(&sim), 1);
}

#[test]
fn a_relay_that_asks_again_and_again_cannot_hold_messages_back_for_ever() {
    let (mut sim, _) = relay(false);
    sim.signer = SignerManner::Sleeps;
    sim.challenge(0);
    sim.open("live", messages(), vec![], false);
    for _ in 0..30 {
        sim.advance(secs(1));
        sim.challenge(0);
    }
    assert_eq!(sim.relay(0).subscriptions.len(), 1);
}

#[test]
fn a_signer_that_never_answers_does_not_hold_messages_back_for_ever() {
    let (mut sim, _) = relay(true);
    sim.signer = SignerManner::Sleeps;
    while_away(&mut sim, |sim| sim.open("live", messages(), vec![], false));
    sim.advance(RelayConfig::default().auth.deadline + secs(2));
    assert_eq!(sim.relay(0).subscriptions.len(), 1);
    assert_eq!(eoses(&sim), 1);
}

#[test]
fn what_is_closed_while_it_waits_is_not_asked() {
    let (mut sim, _) = relay(true);
    sim.signer = SignerManner::Sleeps;
    while_away(&mut sim, |sim| sim.open("live", messages(), vec![], false));
    sim.advance(secs(2));
    assert!(sim.close("live"));
    let asked = sim.relay(0).asked.len();
    sim.sign_held();
    assert_eq!(sim.relay(0).asked.len(), asked);
    assert!(sim.relay(0).subscriptions.is_empty());
}

#[test]
fn a_query_is_asked_as_a_stranger_asks_when_the_signer_sleeps_too_long() {
    let (mut sim, _) = relay(false);
    open_unanswered(&mut sim, "query", everything_about_somebody());
    let mention = sim.mention();
    sim.appear(0, &mention);
    sim.signer = SignerManner::Sleeps;
    sim.challenge(0);
    sim.advance(RelayConfig::default().eose_deadline);
    // Once by each of two REQs; whoever reads is spared the copy.
    assert_eq!(sim.delivered_ids("query"), [mention.id.to_string(), mention.id.to_string()]);
    assert_eq!(eoses(&sim), 1, "it has its end in time");
}

#[test]
fn what_still_waits_for_a_place_waits_for_the_relay_to_know_us_as_well() {
    let config = RelayConfig { max_open_subscriptions: 2, ..RelayConfig::default() };
    let mut sim = Sim::new(1, config);
    sim.relay(0).hides_private = true;
    let message = sim.message();
    sim.appear(0, &message);
    sim.relay(0).manner = Manner::Silent;
    for name in ["a", "b", "c", "d"] {
        let filter = Filter::new().kinds([4]).tag('p', ["1".repeat(64)]).limit(1 + name.len());
        sim.open(name, vec![filter.tag('t', [name])], vec![], true);
    }
    sim.open("e", messages(), vec![], true);
    sim.relay(0).manner = Manner::Polite;
    sim.challenge(0);
    assert_eq!(sim.delivered_ids("e"), [message.id.to_string()]);
}

#[test]
fn messages_that_were_hidden_come_although_the_connection_broke_before_the_relay_knew_us() {
    let (mut sim, message) = relay(false);
    let limited = vec![messages().remove(0).limit(50)];
    sim.open("live", limited, vec![], false);
    assert_eq!(eoses(&sim), 1, "answered as a stranger is");
    sim.advance(secs(600));
    while_away(&mut sim, |_| ());
    sim.advance(secs(40));
    assert!(sim.delivered_ids("live").is_empty());
    sim.challenge(0);
    assert_eq!(sim.delivered_ids("live"), [message]);
}

#[test]
fn a_relay_that_accepts_us_in_silence_after_the_first_answer_is_asked_again() {
    let (mut sim, message) = relay(false);
    sim.relay(0).accepts_in_silence = true;
    sim.open("live", messages(), vec![], false);
    assert_eq!(eoses(&sim), 1);
    sim.advance(secs(5));
    sim.challenge(0);
    sim.advance(secs(2));
    assert_eq!(sim.delivered_ids("live"), [message]);
}

#[test]
fn subscriptions_that_ask_the_same_share_a_req_again_after_the_relay_knows_us() {
    let (mut sim, message) = relay(false);
    for name in ["a", "b", "c"] {
        sim.open(name, messages(), vec![], false);
    }
    sim.challenge(0);
    for name in ["a", "b", "c"] {
        assert_eq!(sim.delivered_ids(name), std::slice::from_ref(&message), "{name}");
    }
    assert_eq!(sim.relay(0).subscriptions.len(), 1);
}
