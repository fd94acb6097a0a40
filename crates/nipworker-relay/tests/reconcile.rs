//! Reconciliations with relays of all manners, in simulated time.
#![allow(clippy::unwrap_used)]

mod sim;

use std::{collections::BTreeSet, time::Duration};

use nipworker_protocol::{Event, EventId};
use nipworker_relay::{
    Filter, MAX_BARREN_ROUNDS, MAX_HELD_EVENTS, RECONCILE_DEADLINE, RECONCILE_IDLE, ReconcileEnd,
    ReconcileId, ReconcileRequest, Reconciled, RelayConfig, RequestError,
    transport::TransportError,
};
use sim::{START_UNIX, Sim, neg::NegManner, url};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn request(name: &str, topic: &str, ours: &[Event]) -> ReconcileRequest {
    ReconcileRequest {
        name: name.to_owned(),
        relay: url(0),
        filter: Filter::new().tag('t', [topic]),
        held: ours.iter().map(|event| (event.created_at, event.id)).collect(),
        idle: None,
        deadline: None,
    }
}

fn begin(sim: &mut Sim, request: ReconcileRequest) -> ReconcileId {
    sim.reconcile(request).unwrap()
}

/// A relay with these events, connected.
fn connected(events: &[Event]) -> Sim {
    let mut sim = Sim::new(1, RelayConfig::default());
    sim.relay(0).events = events.to_vec();
    sim
}

fn events(topic: &str, numbers: std::ops::Range<i64>) -> Vec<Event> {
    let mut maker = Sim::new(0, RelayConfig::default());
    let end = numbers.end;
    let all: Vec<Event> = (0..end).map(|n| maker.event_at(topic, START_UNIX - n / 3)).collect();
    all[usize::try_from(numbers.start).unwrap()..].to_vec()
}

fn ids(events: &[Event]) -> BTreeSet<EventId> {
    events.iter().map(|event| event.id).collect()
}

fn found(result: &Reconciled) -> (BTreeSet<EventId>, BTreeSet<EventId>) {
    (result.need.iter().copied().collect(), result.have.iter().copied().collect())
}

#[test]
fn both_sides_differences_are_found_in_a_few_small_messages() {
    let all = events("a", 0..2_000);
    let mut sim = connected(&all[100..]);
    let other = events("b", 0..50);
    sim.relay(0).events.extend(other);
    let id = begin(&mut sim, request("n", "a", &all[..1_000]));
    let result = &sim.reconciled[&id];
    assert_eq!((result.end, result.message.as_str()), (ReconcileEnd::Complete, ""));
    assert_eq!(found(result), (ids(&all[1_000..]), ids(&all[..100])));
    assert!(result.rounds <= 6, "{} rounds", result.rounds);
    let every_id = 2_000 * 64;
    assert!(result.bytes_sent + result.bytes_received < every_id * 2, "{result:?}");
    assert_eq!((sim.relay(0).neg.closed, sim.relay(0).neg.is_open()), (1, false));
    assert_eq!(sim.book.report()[0].reconciliations, 1);
    assert_eq!(sim.book.report()[0].reconciliations_failed, 0);
}

#[test]
fn a_relay_without_nip_77_is_found_out_at_once_or_within_the_idle_time() {
    for (frame, end, words) in [
        (r#"["NOTICE","ERROR: bad msg: unknown cmd"]"#, ReconcileEnd::Notice, "unknown cmd"),
        (r#"["NOTICE","could not parse command"]"#, ReconcileEnd::Notice, "parse"),
        (r#"["NEG-ERR","{}","blocked: too many records"]"#, ReconcileEnd::Refused, "blocked: too"),
        (r#"["NEG-ERR","{}","closed: took too long"]"#, ReconcileEnd::Refused, "closed: took"),
        (r#"["CLOSED","{}","unsupported: no"]"#, ReconcileEnd::Refused, "unsupported"),
        (r#"["NEG-MSG","{}","61zz"]"#, ReconcileEnd::Garbled, "not hex"),
        (r#"["NEG-MSG","{}","ff00"]"#, ReconcileEnd::Garbled, "version"),
        (r#"["NEG-MSG","{}"]"#, ReconcileEnd::Garbled, "missing"),
        // Of no help, and not about us.
        (r#"["NOTICE","welcome"]"#, ReconcileEnd::Silent, "10000 ms"),
        (r#"["NEG-MSG","other","61"]"#, ReconcileEnd::Silent, "10000 ms"),
        (r#"["NEG-ERR","other","blocked: no"]"#, ReconcileEnd::Silent, "10000 ms"),
        (r#"["EOSE","{}"]"#, ReconcileEnd::Silent, "10000 ms"),
    ] {
        let mut sim = connected(&events("a", 0..10));
        sim.relay(0).neg.manner = NegManner::Says(frame.to_owned());
        let begun = sim.time;
        let waits = end == ReconcileEnd::Silent;
        if waits {
            // The relay that says nothing of use is told that it is over, if it knows of it.
            sim.relay(0).neg.manner = NegManner::StopsAfter(0);
        }
        let id = begin(&mut sim, request("n", "a", &[]));
        if waits {
            sim.say(0, &frame.replace("{}", "n1"));
            sim.advance(RECONCILE_IDLE - secs(1));
            assert!(!sim.reconciled.contains_key(&id), "{frame}: the relay has time left");
            sim.advance(secs(1));
        }
        let result = &sim.reconciled[&id];
        assert_eq!(result.end, end, "{frame}: {result:?}");
        assert!(result.message.contains(words), "{frame}: {}", result.message);
        assert!(result.end.leaves_other_ways());
        assert!(sim.time - begun <= RECONCILE_IDLE);
        assert!(!sim.relay(0).neg.is_open() || frame.contains("NEG-MSG"), "{frame}");
        assert_eq!(sim.book.report()[0].reconciliations_failed, 1);
    }
}

#[test]
fn a_relay_that_chats_on_but_answers_no_step_is_still_silent() {
    let mut sim = connected(&events("a", 0..10));
    sim.relay(0).neg.manner = NegManner::StopsAfter(0);
    sim.open("live", vec![Filter::new().tag('t', ["b"])], vec![], false);
    let id = begin(&mut sim, request("n", "a", &[]));
    for _ in 0..9 {
        sim.advance(secs(1));
        let event = sim.event("b");
        sim.appear(0, &event);
    }
    assert!(sim.reconciled.is_empty());
    sim.advance(secs(1));
    assert_eq!(sim.reconciled[&id].end, ReconcileEnd::Silent);
}

#[test]
fn a_relay_that_is_not_read_for_a_while_is_not_taken_for_silent() {
    let all = events("a", 0..40);
    let mut sim = connected(&all);
    sim.open("live", vec![Filter::new().tag('t', ["b"])], vec![], false);
    sim.hold_deliveries = true;
    let event = sim.event("b");
    sim.appear(0, &event);
    let id = begin(&mut sim, request("n", "a", &[]));
    sim.advance(2 * RECONCILE_IDLE);
    assert!(sim.reconciled.is_empty(), "its answer lies unread");
    sim.release();
    assert_eq!(sim.reconciled[&id].end, ReconcileEnd::Complete);
    assert_eq!(found(&sim.reconciled[&id]).0, ids(&all));
}

#[test]
fn an_endless_ping_pong_ends() {
    let mut sim = connected(&[]);
    sim.relay(0).neg.manner = NegManner::Disagrees;
    let id = begin(&mut sim, request("n", "a", &events("a", 0..500)));
    let result = &sim.reconciled[&id];
    assert_eq!(result.end, ReconcileEnd::Endless);
    assert_eq!(result.rounds, MAX_BARREN_ROUNDS + 1);
    assert_eq!(sim.relay(0).neg.closed, 1);
}

#[test]
fn a_connection_lost_in_the_middle_begins_it_anew_and_the_result_is_complete() {
    let all = events("a", 0..1_500);
    let mut sim = connected(&all[..1_000]);
    sim.relay(0).neg.manner = NegManner::StopsAfter(1);
    let id = begin(&mut sim, request("n", "a", &all[900..]));
    assert!(sim.relay(0).neg.is_open());
    sim.kill(0);
    // Meanwhile the relay gets more.
    sim.relay(0).events = all[..1_200].to_vec();
    sim.relay(0).neg.manner = NegManner::Knows;
    sim.revive(0);
    sim.advance(secs(5));
    let result = &sim.reconciled[&id];
    assert_eq!(result.end, ReconcileEnd::Complete, "{}", result.message);
    assert_eq!(found(result), (ids(&all[..900]), ids(&all[1_200..])));
    assert_eq!(sim.relay(0).neg.opened.len(), 2);
}

#[test]
fn a_relay_whose_answer_breaks_the_connection_is_not_asked_for_ever() {
    let mut sim = connected(&events("a", 0..10));
    sim.relay(0).neg.manner = NegManner::StopsAfter(0);
    let mut request = request("n", "a", &[]);
    request.idle = Some(secs(100));
    let id = begin(&mut sim, request);
    for _ in 0..3 {
        assert!(sim.reconciled.is_empty());
        sim.lose(0, &TransportError::TooLarge { got: 3_000_000, limit: 2_000_000 });
        sim.advance(secs(20));
    }
    let result = &sim.reconciled[&id];
    assert_eq!(result.end, ReconcileEnd::Disconnected);
    assert!(result.message.contains("3 connections"), "{}", result.message);
    assert!(result.end.leaves_other_ways());
    assert_eq!(sim.relay(0).neg.opened.len(), 3);
}

#[test]
fn a_relay_that_cannot_be_reached_is_told_of_and_none_is_waited_for_beyond_the_deadline() {
    let mut sim = connected(&[]);
    sim.kill(0);
    sim.advance(secs(5));
    let refused = begin(&mut sim, request("n", "a", &[]));
    assert_eq!(sim.reconciled[&refused].end, ReconcileEnd::NotConnected);
    let mut sim = connected(&[]);
    sim.relay(0).neg.manner = NegManner::StopsAfter(0);
    let patient = ReconcileRequest {
        idle: Some(secs(1_000)),
        deadline: Some(secs(30)),
        ..request("n", "a", &[])
    };
    let first = begin(&mut sim, patient);
    let queued =
        begin(&mut sim, ReconcileRequest { deadline: Some(secs(20)), ..request("m", "b", &[]) });
    sim.advance(secs(20));
    assert_eq!(sim.reconciled[&queued].end, ReconcileEnd::Deadline);
    assert!(!sim.reconciled.contains_key(&first));
    sim.advance(secs(10));
    assert_eq!(sim.reconciled[&first].end, ReconcileEnd::Deadline);
    assert!(!sim.reconciled[&first].end.leaves_other_ways());
    assert!(RECONCILE_DEADLINE > RECONCILE_IDLE);
}

#[test]
fn closing_ends_what_runs_and_what_waits_and_the_next_has_its_turn() {
    let all = events("a", 0..10);
    let mut sim = connected(&all);
    sim.relay(0).neg.manner = NegManner::StopsAfter(0);
    let ours = events("x", 0..100);
    let first = begin(&mut sim, request("first", "x", &ours));
    let second = begin(&mut sim, request("second", "b", &[]));
    let third = begin(&mut sim, request("third", "a", &[]));
    assert!(sim.reconciled.is_empty());
    assert!(sim.close("second"));
    assert_eq!(sim.reconciled[&second].end, ReconcileEnd::Cancelled);
    sim.relay(0).neg.manner = NegManner::Knows;
    assert!(sim.close("first"));
    assert_eq!(sim.reconciled[&first].end, ReconcileEnd::Cancelled);
    assert_eq!(found(&sim.reconciled[&third]).0, ids(&all));
    assert!(!sim.close("third"));
    assert!(!sim.relay(0).neg.is_open());
}

#[test]
fn what_is_asked_too_much_is_refused() {
    let mut sim = connected(&[]);
    sim.relay(0).neg.manner = NegManner::StopsAfter(0);
    let held = ReconcileRequest {
        held: vec![(1, EventId::from_bytes([0; 32])); MAX_HELD_EVENTS + 1],
        ..request("n", "a", &[])
    };
    let (got, limit) = (MAX_HELD_EVENTS + 1, MAX_HELD_EVENTS);
    assert_eq!(sim.reconcile(held), Err(RequestError::TooManyHeld { got, limit }));
    for n in 0..64 {
        begin(&mut sim, request(&format!("n{n}"), &format!("t{n}"), &[]));
    }
    let error = sim.reconcile(request("more", "more", &[])).unwrap_err();
    assert_eq!(error, RequestError::TooManyReconciliations { limit: 64 });
    assert!(error.is_transient());
    sim.close("n63");
    let error = sim.reconcile(request("again", "t5", &[])).unwrap_err();
    assert_eq!(error, RequestError::ReconcilesAlready { relay: url(0) });
    begin(&mut sim, request("now", "more", &[]));
    // The same name again takes the place of the former one, although all places are taken.
    let again = begin(&mut sim, request("now", "more", &[]));
    let ends: Vec<ReconcileEnd> = sim.reconciled.values().map(|result| result.end).collect();
    assert_eq!(ends, [ReconcileEnd::Cancelled; 2]);
    assert!(!sim.reconciled.contains_key(&again));
}

#[test]
fn a_relay_that_only_a_reconciliation_needs_is_dialled_and_left_alone_after_it() {
    let all = events("a", 0..5);
    let mut sim = Sim::with_desired(1, vec![], RelayConfig::default());
    sim.relay(0).events = all.clone();
    assert_eq!(sim.pool.relays(), 0);
    let id = begin(&mut sim, request("n", "a", &[]));
    assert_eq!(found(&sim.reconciled[&id]).0, ids(&all));
    sim.advance(secs(120));
    assert_eq!(sim.pool.relays(), 0);
}
