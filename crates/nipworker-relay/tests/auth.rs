//! What a user lives through with relays that want to know who they are (NIP-42).
#![allow(clippy::unwrap_used)]

mod sim;

use std::{collections::BTreeMap, time::Duration};

use nipworker_protocol::PublicKey;
use nipworker_relay::{
    AuthConfig, AuthProblem, AuthState, Consent, Delivery, Filter, ReceiptStatus, RelayConfig,
};
use sim::{Manner, SignerManner, Sim, url};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn topic(name: &str) -> Vec<Filter> {
    vec![Filter::new().tag('t', [name])]
}

/// One relay that serves nobody whom it does not know and has one event.
fn closed_relay() -> (Sim, String) {
    let mut sim = Sim::new(1, RelayConfig::default());
    let event = sim.event("a");
    sim.appear(0, &event);
    sim.relay(0).demands_auth = true;
    (sim, event.id.to_string())
}

fn closed(sim: &Sim) -> Vec<(String, Option<AuthProblem>)> {
    sim.log
        .iter()
        .filter_map(|(_, delivery)| match delivery {
            Delivery::Closed { subscription, auth, .. } => Some((subscription.to_string(), *auth)),
            _ => None,
        })
        .collect()
}

fn eoses(sim: &Sim) -> usize {
    sim.count(0, |delivery| matches!(delivery, Delivery::EndOfStored { .. }))
}

fn auth(sim: &Sim) -> (AuthState, Option<AuthProblem>) {
    let report = &sim.book.report()[0];
    (report.auth, report.auth_problem)
}

#[test]
fn a_challenge_before_any_request_is_answered_at_once() {
    let (mut sim, event) = closed_relay();
    let challenge = sim.challenge(0);
    assert_eq!(sim.relay(0).auths.len(), 1);
    let answer = sim.relay(0).auths[0].clone();
    assert_eq!(answer.kind, 22_242);
    let tags: Vec<_> = answer.tags.iter().map(|tag| tag.0.clone()).collect();
    assert_eq!(tags, [["relay", url(0).as_str()], ["challenge", &challenge]]);
    assert_eq!(auth(&sim), (AuthState::Authenticated, None));
    sim.open("s", topic("a"), vec![], false);
    assert_eq!(sim.delivered_ids("s"), [event]);
    assert_eq!(sim.relay(0).asked.len(), 1, "nothing was refused");
}

#[test]
fn a_late_challenge_is_answered_and_what_closed_refused_is_asked_again() {
    let (mut sim, event) = closed_relay();
    sim.open("live", topic("a"), vec![], false);
    sim.open("query", topic("a"), vec![], true);
    assert_eq!((closed(&sim), eoses(&sim)), (vec![], 0), "the refusal is not told yet");
    sim.advance(secs(3));
    sim.challenge(0);
    for name in ["live", "query"] {
        assert_eq!(sim.delivered_ids(name), std::slice::from_ref(&event), "{name}");
    }
    assert_eq!((closed(&sim), eoses(&sim)), (vec![], 2));
    assert_eq!(sim.book.report()[0].auth_resent, 2);
    let live = sim.event("a");
    sim.appear(0, &live);
    assert_eq!(sim.delivered_ids("live").len(), 2, "it is live after that");
}

#[test]
fn a_challenge_right_before_the_refusal_is_enough() {
    let (mut sim, event) = closed_relay();
    sim.relay(0).asks_when_refusing = true;
    sim.open("s", topic("a"), vec![], true);
    assert_eq!(sim.delivered_ids("s"), [event]);
    assert_eq!((closed(&sim), eoses(&sim)), (vec![], 1));
}

#[test]
fn an_event_that_ok_refused_is_sent_again_once_after_authentication() {
    let (mut sim, _) = closed_relay();
    let event = sim.event("b");
    let publish = sim.publish(&event, vec![], secs(30));
    assert!(!sim.receipts.contains_key(&publish), "the refusal is not told yet");
    sim.challenge(0);
    let receipt = &sim.receipts[&publish][0];
    assert_eq!((receipt.status, receipt.auth), (ReceiptStatus::Accepted, None));
    assert_eq!(sim.relay(0).got_events.len(), 2);
}

#[test]
fn what_is_refused_although_the_relay_knows_us_is_not_sent_for_ever() {
    let (mut sim, _) = closed_relay();
    sim.challenge(0);
    sim.relay(0).authenticated.clear();
    let event = sim.event("b");
    let publish = sim.publish(&event, vec![], secs(30));
    sim.open("s", topic("a"), vec![], false);
    let receipt = &sim.receipts[&publish][0];
    let expected = (ReceiptStatus::Refused, Some(AuthProblem::StillRefused));
    assert_eq!((receipt.status, receipt.auth), expected);
    assert_eq!(closed(&sim), [("s".to_owned(), Some(AuthProblem::StillRefused))]);
    assert_eq!((sim.relay(0).got_events.len(), sim.relay(0).asked.len()), (1, 1));
    // Another challenge, another authentication, another try.
    sim.challenge(0);
    assert_eq!(sim.delivered_ids("s").len(), 1);
}

#[test]
fn restricted_is_not_tried_again() {
    let mut sim = Sim::new(1, RelayConfig::default());
    sim.relay(0).manner = Manner::Silent;
    sim.open("s", topic("a"), vec![], false);
    let event = sim.event("b");
    let publish = sim.publish(&event, vec![], secs(30));
    let wire = sim.relay(0).subscriptions.keys().next().unwrap().clone();
    sim.relay(0).subscriptions.remove(&wire);
    sim.say(0, &format!(r#"["CLOSED","{wire}","restricted: not you"]"#));
    sim.say(0, &format!(r#"["OK","{}",false,"restricted: not you"]"#, event.id));
    sim.challenge(0);
    sim.advance(secs(300));
    assert_eq!((sim.relay(0).asked.len(), sim.relay(0).got_events.len()), (1, 1));
    assert_eq!(closed(&sim), [("s".to_owned(), None)]);
    assert_eq!(sim.receipts[&publish][0].status, ReceiptStatus::Refused);
}

#[test]
fn a_second_challenge_is_answered_too_and_the_first_one_is_void() {
    let (mut sim, event) = closed_relay();
    sim.signer = SignerManner::Sleeps;
    sim.open("s", topic("a"), vec![], false);
    sim.challenge(0);
    let second = sim.challenge(0);
    assert_eq!(sim.unsigned.len(), 1, "one signature is under way at a time");
    sim.sign_held();
    assert!(sim.relay(0).auths.is_empty(), "the answer to a void challenge is not sent");
    sim.sign_held();
    assert_eq!(sim.relay(0).auths[0].tags[1].0, ["challenge", &second]);
    assert_eq!(sim.delivered_ids("s"), [event]);
    sim.signer = SignerManner::Signs;
    sim.challenge(0);
    assert_eq!(sim.relay(0).auths.len(), 2, "asked again, answered again");
}

#[test]
fn an_ok_for_an_authentication_is_never_taken_for_that_of_a_publish() {
    let (mut sim, _) = closed_relay();
    sim.relay(0).ignores_auth = true;
    sim.challenge(0);
    let event = sim.event("b");
    let publish = sim.publish(&event, vec![], secs(8));
    let id = sim.relay(0).auths[0].id;
    // The id of something else is nobody's answer.
    sim.say(0, &format!(r#"["OK","{}",true,""]"#, "ab".repeat(32)));
    assert_eq!(auth(&sim).0, AuthState::UnderWay);
    assert_eq!(sim.book.report()[0].late_oks, 1);
    let relay = sim.relay(0);
    relay.demands_auth = false;
    sim.say(0, &format!(r#"["OK","{id}",true,""]"#));
    assert_eq!(auth(&sim).0, AuthState::Authenticated);
    assert_eq!(sim.receipts[&publish][0].status, ReceiptStatus::Accepted);
    assert_eq!(sim.receipts[&publish].len(), 1);
}

#[test]
fn a_denied_signature_is_told_to_all_who_wait_and_blocks_nothing() {
    for (manner, problem) in [
        (SignerManner::Refuses, AuthProblem::SignerRefused),
        (SignerManner::Lies, AuthProblem::SignerFailed),
    ] {
        let (mut sim, _) = closed_relay();
        sim.signer = manner;
        sim.open("s", topic("a"), vec![], false);
        let event = sim.event("b");
        let publish = sim.publish(&event, vec![], secs(30));
        sim.challenge(0);
        assert_eq!(closed(&sim), [("s".to_owned(), Some(problem))]);
        let receipt = &sim.receipts[&publish][0];
        assert_eq!((receipt.status, receipt.auth), (ReceiptStatus::Refused, Some(problem)));
        assert_eq!(auth(&sim), (AuthState::Failed, Some(problem)));
        // The relay serves everybody now: nothing here stands in the way.
        sim.relay(0).demands_auth = false;
        sim.open("other", topic("a"), vec![], true);
        assert_eq!(sim.delivered_ids("other").len(), 1);
    }
}

#[test]
fn a_signer_that_is_busy_is_asked_again() {
    let (mut sim, event) = closed_relay();
    sim.signer = SignerManner::Busy;
    sim.open("s", topic("a"), vec![], false);
    sim.challenge(0);
    assert_eq!(closed(&sim), []);
    sim.signer = SignerManner::Signs;
    sim.advance(secs(2));
    assert_eq!(sim.delivered_ids("s"), [event]);
}

#[test]
fn a_signer_that_was_not_there_is_asked_when_it_is_needed() {
    let (mut sim, event) = closed_relay();
    sim.signer = SignerManner::Missing;
    sim.challenge(0);
    assert_eq!(auth(&sim), (AuthState::Failed, Some(AuthProblem::NoSigner)));
    sim.open("early", topic("a"), vec![], true);
    assert_eq!(closed(&sim), [("early".to_owned(), Some(AuthProblem::NoSigner))]);
    sim.signer = SignerManner::Signs;
    sim.open("late", topic("a"), vec![], true);
    assert_eq!(sim.delivered_ids("late"), [event]);
}

#[test]
fn a_slow_signer_holds_nobody_up_and_its_late_answer_still_counts() {
    let (mut sim, event) = closed_relay();
    sim.signer = SignerManner::Sleeps;
    sim.open("live", topic("a"), vec![], false);
    sim.open_within("query", topic("a"), vec![], true, Some(secs(60)));
    sim.challenge(0);
    sim.advance(secs(10));
    let slow = Some(AuthProblem::SignerTooSlow);
    assert_eq!(closed(&sim), [("live".to_owned(), slow), ("query".to_owned(), slow)]);
    let other = sim.event("b");
    let publish = sim.publish(&other, vec![], secs(5));
    assert_eq!(sim.receipts[&publish][0].auth, slow);
    sim.advance(secs(100));
    sim.sign_held();
    assert_eq!(sim.delivered_ids("live"), [event], "what is still open is asked again");
}

#[test]
fn a_relay_that_refuses_or_ignores_our_answer_is_reported() {
    for (ignores, problem) in [(false, AuthProblem::Rejected), (true, AuthProblem::NoAnswer)] {
        let (mut sim, _) = closed_relay();
        sim.relay(0).rejects_auth = true;
        sim.relay(0).ignores_auth = ignores;
        sim.challenge(0);
        sim.open_within("s", topic("a"), vec![], true, Some(secs(60)));
        sim.advance(secs(11));
        assert_eq!(closed(&sim), [("s".to_owned(), Some(problem))]);
        assert_eq!(auth(&sim), (AuthState::Failed, Some(problem)));
        assert_eq!(sim.relay(0).auths.len(), 1, "it is not tried again");
    }
}

#[test]
fn a_relay_that_demands_authentication_and_never_asks_is_not_waited_for_long() {
    let (mut sim, _) = closed_relay();
    sim.open_within("s", topic("a"), vec![], false, Some(secs(60)));
    let event = sim.event("b");
    let publish = sim.publish(&event, vec![], secs(20));
    sim.advance(secs(10));
    assert_eq!(closed(&sim), [("s".to_owned(), Some(AuthProblem::NoChallenge))]);
    sim.advance(secs(10));
    let receipt = &sim.receipts[&publish][0];
    assert_eq!(receipt.status, ReceiptStatus::Refused, "the relay did answer");
    assert_eq!(receipt.auth, Some(AuthProblem::NoChallenge));
}

#[test]
fn a_relay_that_may_not_know_us_learns_nothing() {
    for consent in [Consent::Off, Consent::Relays([url(7)].into())] {
        let auth_config = AuthConfig { consent, ..AuthConfig::default() };
        let mut sim = Sim::new(1, RelayConfig { auth: auth_config, ..RelayConfig::default() });
        sim.relay(0).demands_auth = true;
        sim.challenge(0);
        sim.open("s", topic("a"), vec![], false);
        let event = sim.event("b");
        let publish = sim.publish(&event, vec![], secs(30));
        let problem = Some(AuthProblem::NoConsent);
        assert_eq!(closed(&sim), [("s".to_owned(), problem)]);
        assert_eq!(sim.receipts[&publish][0].auth, problem);
        assert_eq!((sim.sign_requests, sim.relay(0).auths.len()), (0, 0));
        assert_eq!(auth(&sim), (AuthState::Declined, problem));
    }
    // By default that is everybody who is not configured.
    let mut sim = Sim::with_desired(2, vec![url(0)], RelayConfig::default());
    sim.open("s", topic("a"), vec![url(1)], false);
    sim.challenge(1);
    sim.challenge(0);
    assert_eq!((sim.relay(0).auths.len(), sim.relay(1).auths.len()), (1, 0));
}

#[test]
fn a_relay_may_get_several_keys_of_its_own() {
    let keys = [1, 2].map(|byte| PublicKey::from_bytes([byte; 32]));
    let auth_config =
        AuthConfig { keys: BTreeMap::from([(url(0), keys.to_vec())]), ..AuthConfig::default() };
    let mut sim = Sim::new(2, RelayConfig { auth: auth_config, ..RelayConfig::default() });
    sim.challenge(0);
    sim.challenge(1);
    assert_eq!(sim.relay(0).authenticated, keys.into());
    assert_eq!(sim.relay(1).authenticated, [PublicKey::from_bytes([9; 32])].into());
}

#[test]
fn each_connection_is_authenticated_anew() {
    let (mut sim, _) = closed_relay();
    sim.relay(0).greets_with_challenge = true;
    sim.open("s", topic("a"), vec![], false);
    sim.kill(0);
    sim.revive(0);
    sim.advance(secs(30));
    assert_eq!(sim.relay(0).auths.len(), 1);
    assert_eq!(sim.delivered_ids("s").len(), 1);
    // An answer to the old connection's challenge changes nothing on the new one.
    sim.signer = SignerManner::Sleeps;
    sim.challenge(0);
    sim.kill(0);
    sim.revive(0);
    sim.signer = SignerManner::Signs;
    sim.advance(secs(30));
    let before = sim.relay(0).auths.len();
    sim.sign_held();
    assert_eq!(sim.relay(0).auths.len(), before);
    assert_eq!(auth(&sim).0, AuthState::Authenticated);
}

/// RUSTSEC-2026-0231: each challenge of a relay was put in a queue without a bound.
#[test]
fn a_flood_of_challenges_is_neither_kept_nor_signed() {
    let (mut sim, _) = closed_relay();
    sim.signer = SignerManner::Sleeps;
    for _ in 0..10_000 {
        sim.challenge(0);
    }
    assert_eq!((sim.sign_requests, sim.unsigned.len()), (1, 1));
    // Also when each one could be signed at once.
    let (mut sim, _) = closed_relay();
    for _ in 0..10_000 {
        sim.challenge(0);
    }
    assert_eq!(sim.sign_requests, 8);
    let last = sim.relay(0).challenge.clone().unwrap();
    sim.advance(secs(61));
    assert_eq!(sim.sign_requests, 9, "the newest one is answered when the flood is over");
    assert_eq!(sim.relay(0).auths.last().unwrap().tags[1].0[1], last);
    assert_eq!(sim.book.report()[0].auth_challenges, 10_000);
    // A challenge is signed and sent back: there is a limit to that, too.
    sim.say(0, &format!(r#"["AUTH","{}"]"#, "x".repeat(2_000)));
    sim.advance(secs(120));
    assert_eq!(sim.sign_requests, 9);
}
