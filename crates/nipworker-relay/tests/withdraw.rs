//! What becomes of a publish that is taken back, in simulated time.
#![allow(clippy::unwrap_used)]

mod sim;

use std::time::Duration;

use nipworker_relay::{ReceiptStatus, RelayConfig};
use sim::{Manner, Sim};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A relay that was there and is gone.
fn away() -> Sim {
    let mut sim = Sim::new(1, RelayConfig::default());
    sim.kill(0);
    sim.advance(secs(1));
    sim
}

/// A relay that takes what it is sent and does not answer.
fn silent() -> Sim {
    let mut sim = Sim::new(1, RelayConfig::default());
    sim.advance(secs(1));
    sim.relay(0).manner = Manner::Silent;
    sim
}

#[test]
fn a_publish_that_waits_for_a_connection_is_not_sent_once_it_is_taken_back() {
    let mut sim = away();
    let (taken_back, kept) = (sim.event("a"), sim.event("a"));
    let first = sim.publish(&taken_back, vec![], secs(60));
    let second = sim.publish(&kept, vec![], secs(60));
    sim.book.withdraw(&taken_back.id);
    sim.revive(0);
    sim.advance(secs(30));
    let receipt = &sim.receipts[&first][0];
    assert_eq!(receipt.status, ReceiptStatus::NotConnected);
    assert!(receipt.message.contains("taken back"), "{receipt:?}");
    assert_eq!(sim.receipts[&second][0].status, ReceiptStatus::Accepted);
    let has = |sim: &mut Sim, id| sim.relay(0).events.iter().any(|event| event.id == id);
    assert!(has(&mut sim, kept.id) && !has(&mut sim, taken_back.id));
    assert_eq!(sim.book.unanswered_publishes(), 0);
}

#[test]
fn what_was_sent_before_it_was_taken_back_waits_for_its_answer() {
    let mut sim = silent();
    let event = sim.event("a");
    let publish = sim.publish(&event, vec![], secs(60));
    sim.book.withdraw(&event.id);
    sim.advance(secs(1));
    assert!(!sim.receipts.contains_key(&publish));
    let yes = format!(r#"["OK","{}",true,""]"#, event.id);
    sim.say(0, &yes);
    assert_eq!(sim.receipts[&publish][0].status, ReceiptStatus::Accepted);
}

#[test]
fn the_next_owner_of_the_pool_does_not_send_what_was_taken_back_either() {
    let mut sim = away();
    let event = sim.event("a");
    sim.publish(&event, vec![], secs(60));
    sim.book.withdraw(&event.id);
    sim.restart();
    sim.revive(0);
    sim.advance(secs(30));
    assert!(sim.relay(0).events.is_empty());
    assert_eq!(sim.book.unanswered_publishes(), 0);
}

#[test]
fn what_was_sent_and_taken_back_is_not_sent_again_on_the_next_connection() {
    let mut sim = silent();
    let (before, after) = (sim.event("a"), sim.event("a"));
    let first = sim.publish(&before, vec![], secs(60));
    let second = sim.publish(&after, vec![], secs(60));
    sim.book.withdraw(&before.id);
    sim.advance(secs(1));
    sim.kill(0);
    sim.book.withdraw(&after.id);
    sim.advance(secs(1));
    sim.relay(0).manner = Manner::Polite;
    sim.revive(0);
    sim.advance(secs(30));
    assert_eq!(sim.relay(0).got_events.len(), 2, "each once, on the first connection");
    for publish in [first, second] {
        assert_eq!(sim.receipts[&publish][0].status, ReceiptStatus::NoAnswer);
    }
}

#[test]
fn what_a_relay_refused_to_strangers_and_was_taken_back_is_not_sent_once_it_knows_us() {
    let mut sim = Sim::new(1, RelayConfig::default());
    sim.relay(0).demands_auth = true;
    let event = sim.event("a");
    let publish = sim.publish(&event, vec![], secs(60));
    assert!(!sim.receipts.contains_key(&publish), "it waits for the relay to ask who we are");
    sim.book.withdraw(&event.id);
    sim.challenge(0);
    sim.advance(secs(1));
    assert_eq!(sim.relay(0).got_events.len(), 1);
    assert_eq!(sim.receipts[&publish][0].status, ReceiptStatus::Refused);
}
