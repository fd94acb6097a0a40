//! Events that must arrive, in simulated time.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, time::Duration};

use nipworker_relay::{
    BackoffConfig, EventId, Now, ReceiptStatus, RelayUrl,
    outbox::{
        Answer, Attempt, DeliveryState, FINISHED_MAX, IN_FLIGHT_MAX, IN_FLIGHT_PER_RELAY_MAX,
        Outbox, OutboxConfig, OutboxEntry, OutboxError, OutboxRecord, RELAYS_PER_EVENT_MAX,
        UNCLEAR_REFUSALS_MAX, Verdict, verdict,
    },
};
use proptest::prelude::*;

const START: i64 = 1_700_000_000;

fn at(seconds: u64) -> Now {
    let unix = START + i64::try_from(seconds).unwrap();
    Now { monotonic: Duration::from_secs(seconds), unix }
}

fn id(number: u16) -> EventId {
    let mut bytes = [0; 32];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    EventId::from_bytes(bytes)
}

fn url(name: &str) -> RelayUrl {
    RelayUrl::parse(&format!("wss://{name}.test")).unwrap()
}

fn urls(names: &[&str]) -> Vec<RelayUrl> {
    names.iter().map(|name| url(name)).collect()
}

fn config() -> OutboxConfig {
    let backoff = BackoffConfig {
        min: Duration::from_secs(4),
        max: Duration::from_secs(64),
        jitter: 0.0,
        ..BackoffConfig::default()
    };
    OutboxConfig { backoff, ..OutboxConfig::default() }
}

/// An outbox with the journal that it would have.
struct Kept {
    outbox: Outbox,
    journal: Vec<OutboxRecord>,
}

impl Kept {
    fn new(config: OutboxConfig) -> Self {
        Self { outbox: Outbox::new(config, 7), journal: Vec::new() }
    }

    fn note(&mut self, now: Now, records: impl IntoIterator<Item = OutboxRecord>) {
        for record in records {
            self.outbox.apply(now, &record);
            self.journal.push(record);
        }
    }

    fn queue(&mut self, now: Now, event: EventId, relays: &[&str]) -> Result<(), OutboxError> {
        let record = self.outbox.queue(now, event, "{}", urls(relays))?;
        self.note(now, [record]);
        Ok(())
    }

    /// What is tried now, by relay.
    fn tried(&mut self, now: Now) -> Vec<(EventId, RelayUrl)> {
        let attempts = self.outbox.attempts(now);
        attempts.into_iter().map(|Attempt { event, relay, .. }| (event, relay)).collect()
    }

    fn answer(&mut self, now: Now, event: EventId, relay: &str, status: ReceiptStatus, text: &str) {
        let answer = Answer::Receipt { status, message: text.to_owned() };
        let record = self.outbox.answered(now, &event, &url(relay), answer);
        self.note(now, record);
    }

    fn state(&self, event: EventId, relay: &str) -> DeliveryState {
        let entry = self.outbox.get(&event).unwrap();
        entry.relays.iter().find(|d| d.relay == url(relay)).unwrap().state
    }

    fn tidy(&mut self, now: Now) {
        let records = self.outbox.tidy(now);
        self.note(now, records);
    }
}

fn replayed(config: OutboxConfig, journal: &[OutboxRecord]) -> Outbox {
    let mut outbox = Outbox::new(config, 1);
    for record in journal {
        outbox.apply(at(0), record);
    }
    outbox
}

fn entries(outbox: &Outbox) -> BTreeMap<EventId, OutboxEntry> {
    outbox.list().map(|entry| (entry.event, entry.clone())).collect()
}

#[test]
fn each_answer_counts_as_the_table_says() {
    use ReceiptStatus::{Accepted, NoAnswer, NotConnected, Refused};
    for (status, text, expected) in [
        (Accepted, "", Verdict::Accepted),
        (Refused, "duplicate: have it", Verdict::Accepted),
        (Refused, "rate-limited: slow down", Verdict::Passing),
        (Refused, "error: disk", Verdict::Passing),
        (Refused, "auth-required: who are you", Verdict::Passing),
        (NoAnswer, "", Verdict::Passing),
        (NotConnected, "", Verdict::Passing),
        (Refused, "blocked: not here", Verdict::Final),
        (Refused, "invalid: bad", Verdict::Final),
        (Refused, "pow: 20 bits", Verdict::Final),
        (Refused, "restricted: members", Verdict::Final),
        (Refused, "mute: nobody listens", Verdict::Final),
        (Refused, "unsupported: kind", Verdict::Final),
        (Refused, "no", Verdict::Unclear),
        (Refused, "", Verdict::Unclear),
    ] {
        assert_eq!(verdict(status, text), expected, "{status:?} {text:?}");
    }
}

#[test]
fn an_event_is_tried_until_each_relay_has_decided() {
    let mut kept = Kept::new(config());
    kept.queue(at(0), id(1), &["a", "b", "c"]).unwrap();
    assert_eq!(kept.tried(at(0)).len(), 3);
    assert!(kept.tried(at(0)).is_empty(), "what is under way is not tried again");
    kept.answer(at(1), id(1), "a", ReceiptStatus::Accepted, "");
    kept.answer(at(1), id(1), "b", ReceiptStatus::Refused, "blocked: no");
    kept.answer(at(1), id(1), "c", ReceiptStatus::NoAnswer, "no answer in time");
    assert_eq!(kept.outbox.idle(at(1)), Some(Duration::from_secs(4)));
    assert!(kept.tried(at(4)).is_empty());
    assert_eq!(kept.tried(at(5)), [(id(1), url("c"))]);
    kept.answer(at(5), id(1), "c", ReceiptStatus::Refused, "rate-limited: slow");
    assert_eq!(kept.outbox.idle(at(5)), Some(Duration::from_secs(8)), "the wait doubles");
    assert_eq!(kept.tried(at(13)), [(id(1), url("c"))]);
    kept.answer(at(13), id(1), "c", ReceiptStatus::Refused, "duplicate: there");
    assert_eq!(kept.state(id(1), "c"), DeliveryState::Accepted);
    let entry = kept.outbox.get(&id(1)).unwrap();
    assert_eq!(entry.finished_at, Some(START + 13));
    let counts = kept.outbox.counts(at(20));
    assert_eq!((counts.waiting, counts.bytes, counts.finished), (0, 0, 1));
    assert_eq!((counts.delivered, counts.failed, counts.retries), (2, 1, 2));
}

#[test]
fn a_relay_that_is_away_is_probed_by_one_event_and_gets_all_when_it_is_back() {
    let mut kept = Kept::new(config());
    for number in 0..20 {
        kept.queue(at(0), id(number), &["away"]).unwrap();
    }
    let first = kept.tried(at(0));
    assert_eq!(first.len(), IN_FLIGHT_PER_RELAY_MAX);
    for (event, _) in first {
        kept.answer(at(0), event, "away", ReceiptStatus::NotConnected, "refused");
    }
    let mut probes = 0;
    let mut now = 0;
    while now < 600 {
        let idle = kept.outbox.idle(at(now)).unwrap();
        now += idle.as_secs().max(1);
        let tried = kept.tried(at(now));
        assert!(tried.len() <= 1, "one probe at a time");
        for (event, _) in tried {
            probes += 1;
            kept.answer(at(now), event, "away", ReceiptStatus::NotConnected, "refused");
        }
    }
    assert!((5..=12).contains(&probes), "{probes} probes in ten minutes");

    kept.outbox.connected(at(now), &url("away"));
    let mut delivered = 0;
    loop {
        let tried = kept.tried(at(now));
        if tried.is_empty() {
            break;
        }
        for (event, _) in tried {
            delivered += 1;
            kept.answer(at(now), event, "away", ReceiptStatus::Accepted, "");
        }
    }
    assert_eq!(delivered, 20, "without a wait");
    assert_eq!(kept.outbox.counts(at(now)).waiting, 0);
}

#[test]
fn a_reconnection_does_not_hasten_what_the_relay_asked_to_wait_for() {
    let mut kept = Kept::new(config());
    kept.queue(at(0), id(1), &["a"]).unwrap();
    kept.tried(at(0));
    kept.answer(at(0), id(1), "a", ReceiptStatus::Refused, "rate-limited: slow down");
    kept.outbox.connected(at(1), &url("a"));
    assert!(kept.tried(at(1)).is_empty());
    assert_eq!(kept.tried(at(4)).len(), 1);
}

#[test]
fn a_refusal_that_does_not_say_why_is_believed_the_third_time() {
    let mut kept = Kept::new(config());
    kept.queue(at(0), id(1), &["a"]).unwrap();
    for round in 1..=UNCLEAR_REFUSALS_MAX {
        assert_eq!(kept.state(id(1), "a"), DeliveryState::Waiting);
        let now = at(1_000 * u64::from(round));
        assert_eq!(kept.tried(now).len(), 1);
        kept.answer(now, id(1), "a", ReceiptStatus::Refused, "no");
    }
    assert_eq!(kept.state(id(1), "a"), DeliveryState::Refused);
}

#[test]
fn tries_and_age_end_and_what_is_finished_is_forgotten_in_time() {
    let mut few = config();
    few.max_attempts = 3;
    let mut kept = Kept::new(few);
    kept.queue(at(0), id(1), &["a"]).unwrap();
    for round in 0..3 {
        kept.tried(at(round * 100));
        kept.answer(at(round * 100), id(1), "a", ReceiptStatus::NoAnswer, "");
    }
    assert_eq!(kept.state(id(1), "a"), DeliveryState::Expired);
    assert!(kept.tried(at(10_000)).is_empty());

    let mut kept = Kept::new(OutboxConfig { max_age: Duration::from_secs(60), ..config() });
    kept.queue(at(0), id(1), &["a", "b"]).unwrap();
    kept.tried(at(0));
    kept.answer(at(0), id(1), "a", ReceiptStatus::Accepted, "");
    kept.tidy(at(59));
    assert_eq!(kept.state(id(1), "b"), DeliveryState::Waiting);
    kept.tidy(at(60));
    assert_eq!(kept.state(id(1), "b"), DeliveryState::Expired);
    assert_eq!(kept.state(id(1), "a"), DeliveryState::Accepted, "what a relay said stays");
    // The answer to the last try comes late: it is the truth.
    kept.answer(at(61), id(1), "b", ReceiptStatus::Accepted, "");
    assert_eq!(kept.state(id(1), "b"), DeliveryState::Accepted);
    kept.tidy(at(60 + 24 * 3600));
    assert!(kept.outbox.get(&id(1)).is_none());
    assert_eq!(kept.outbox.idle(at(100_000)), None);
}

#[test]
fn a_cancel_ends_what_waits_and_an_accepted_relay_stays_accepted() {
    let mut kept = Kept::new(config());
    kept.queue(at(0), id(1), &["a", "b", "c"]).unwrap();
    kept.tried(at(0));
    kept.answer(at(1), id(1), "a", ReceiptStatus::Accepted, "");
    let records = kept.outbox.cancel(at(2), &id(1)).unwrap();
    kept.note(at(2), records);
    assert_eq!(kept.state(id(1), "a"), DeliveryState::Accepted);
    assert_eq!(kept.state(id(1), "b"), DeliveryState::Cancelled);
    kept.answer(at(3), id(1), "b", ReceiptStatus::NoAnswer, "");
    assert_eq!(kept.state(id(1), "b"), DeliveryState::Cancelled);
    kept.answer(at(3), id(1), "c", ReceiptStatus::Accepted, "");
    assert_eq!(kept.state(id(1), "c"), DeliveryState::Accepted, "it had been sent");
    assert!(kept.tried(at(10_000)).is_empty());
    assert_eq!(kept.outbox.cancel(at(4), &id(1)), Ok(vec![]));
    assert_eq!(kept.outbox.cancel(at(4), &id(9)), Err(OutboxError::NotFound(id(9))));
}

#[test]
fn queued_again_an_event_is_tried_anew_where_it_failed_and_nowhere_else() {
    let mut kept = Kept::new(config());
    kept.queue(at(0), id(1), &["a", "b"]).unwrap();
    kept.tried(at(0));
    kept.answer(at(0), id(1), "a", ReceiptStatus::Accepted, "");
    kept.answer(at(0), id(1), "b", ReceiptStatus::Refused, "blocked: no");
    kept.queue(at(5), id(1), &["a", "b", "c"]).unwrap();
    assert_eq!(kept.tried(at(5)), [(id(1), url("b")), (id(1), url("c"))]);
    // And while it is under way, nothing is sent twice.
    kept.queue(at(6), id(1), &["b", "c"]).unwrap();
    assert!(kept.tried(at(6)).is_empty());
}

#[test]
fn what_is_over_a_bound_is_refused_and_changes_nothing() {
    let mut small = config();
    small.max_entries = 2;
    small.max_bytes = 5;
    let mut kept = Kept::new(small);
    assert_eq!(kept.queue(at(0), id(1), &[]), Err(OutboxError::NoRelay));
    let many: Vec<String> = (0..=RELAYS_PER_EVENT_MAX).map(|n| format!("r{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(matches!(kept.queue(at(0), id(1), &many), Err(OutboxError::TooManyRelays { got: 65 })));
    kept.queue(at(0), id(1), &["a", "a"]).unwrap();
    assert_eq!(kept.outbox.get(&id(1)).unwrap().relays.len(), 1, "named twice, it is one");
    let large = kept.outbox.queue(at(0), id(2), "1234", urls(&["a"]));
    assert!(matches!(large, Err(OutboxError::FullBytes { held: 2, more: 4, limit: 5 })));
    kept.queue(at(0), id(2), &["a"]).unwrap();
    assert_eq!(kept.queue(at(0), id(3), &["a"]), Err(OutboxError::Full { limit: 2 }));
    // One that is there already needs no place.
    kept.queue(at(0), id(2), &["b"]).unwrap();
    kept.tried(at(0));
    kept.answer(at(0), id(1), "a", ReceiptStatus::Accepted, "");
    kept.queue(at(0), id(3), &["a"]).unwrap();
}

#[test]
fn finished_events_are_bounded_too() {
    let mut kept = Kept::new(config());
    let more = u16::try_from(FINISHED_MAX).unwrap() + 50;
    for number in 0..more {
        kept.queue(at(0), id(number), &["a"]).unwrap();
        kept.tried(at(0));
        kept.answer(at(u64::from(number)), id(number), "a", ReceiptStatus::Accepted, "");
        kept.tidy(at(u64::from(number)));
    }
    assert_eq!(kept.outbox.counts(at(0)).finished, FINISHED_MAX);
    assert!(kept.outbox.get(&id(0)).is_none(), "the oldest went");
}

#[test]
fn tries_under_way_are_bounded_and_no_relay_waits_behind_another() {
    let mut kept = Kept::new(config());
    for number in 0..500 {
        kept.queue(at(0), id(number), &["busy"]).unwrap();
    }
    kept.queue(at(0), id(1_000), &["other"]).unwrap();
    let tried = kept.tried(at(0));
    assert_eq!(tried.len(), IN_FLIGHT_PER_RELAY_MAX + 1);
    assert!(tried.contains(&(id(1_000), url("other"))));
    for relay in 0..40 {
        let name = format!("r{relay}");
        for number in 2_000..2_010 {
            kept.queue(at(0), id(number), &[name.as_str()]).unwrap();
        }
    }
    kept.tried(at(0));
    assert_eq!(kept.outbox.counts(at(0)).in_flight, IN_FLIGHT_MAX);
}

/// What may happen to an outbox.
#[derive(Debug, Clone)]
enum Input {
    Queue(u16, Vec<u8>),
    Answer(usize, u8),
    Late(u16, u8, u8),
    Cancel(u16),
    Connected(u8),
    Wait(u16),
    Again,
}

fn inputs() -> impl Strategy<Value = Vec<Input>> {
    let input = prop_oneof![
        4 => (0..12_u16, prop::collection::vec(0..4_u8, 1..4)).prop_map(|(e, r)| Input::Queue(e, r)),
        8 => (any::<usize>(), 0..8_u8).prop_map(|(n, a)| Input::Answer(n, a)),
        1 => (0..12_u16, 0..4_u8, 0..8_u8).prop_map(|(e, r, a)| Input::Late(e, r, a)),
        1 => (0..12_u16).prop_map(Input::Cancel),
        1 => (0..4_u8).prop_map(Input::Connected),
        3 => (0..400_u16).prop_map(Input::Wait),
        1 => Just(Input::Again),
    ];
    prop::collection::vec(input, 0..80)
}

fn answer_of(kind: u8) -> Answer {
    let receipt = |status, text: &str| Answer::Receipt { status, message: text.to_owned() };
    match kind {
        0 | 1 => receipt(ReceiptStatus::Accepted, ""),
        2 => receipt(ReceiptStatus::Refused, "blocked: no"),
        3 => receipt(ReceiptStatus::Refused, "error: later"),
        4 => receipt(ReceiptStatus::Refused, "hm"),
        5 => receipt(ReceiptStatus::NoAnswer, "silence"),
        6 => receipt(ReceiptStatus::NotConnected, "away"),
        _ => Answer::Withdrawn { message: "replaced".to_owned() },
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    /// Whatever happens: the bounds hold, accepted means that a relay said so, the journal gives
    /// the same state at each of its records, and it all ends when relays accept.
    #[test]
    fn any_history_keeps_the_bounds_and_can_be_replayed(inputs in inputs()) {
        let small = OutboxConfig {
            max_entries: 6,
            max_bytes: 10,
            max_attempts: 5,
            max_age: Duration::from_secs(2_000),
            ..config()
        };
        let mut kept = Kept::new(small.clone());
        let mut seconds = 0;
        let mut under_way: Vec<(EventId, RelayUrl)> = Vec::new();
        let mut yes: Vec<(EventId, RelayUrl)> = Vec::new();
        let mut states = vec![BTreeMap::new()];
        let relay = |number: u8| format!("r{number}");
        for input in inputs {
            let now = at(seconds);
            match input {
                Input::Queue(event, relays) => {
                    let names: Vec<String> = relays.into_iter().map(relay).collect();
                    let names: Vec<&str> = names.iter().map(String::as_str).collect();
                    drop(kept.queue(now, id(event), &names));
                }
                Input::Answer(number, kind) if !under_way.is_empty() => {
                    let (event, relay) = under_way.swap_remove(number % under_way.len());
                    if kind < 2 {
                        yes.push((event, relay.clone()));
                    }
                    let record = kept.outbox.answered(now, &event, &relay, answer_of(kind));
                    kept.note(now, record);
                }
                Input::Late(event, number, kind) => {
                    let relay = url(&relay(number));
                    if kind < 2 {
                        yes.push((id(event), relay.clone()));
                    }
                    let record = kept.outbox.answered(now, &id(event), &relay, answer_of(kind));
                    kept.note(now, record);
                }
                Input::Cancel(event) => {
                    let records = kept.outbox.cancel(now, &id(event)).unwrap_or_default();
                    kept.note(now, records);
                }
                Input::Connected(number) => kept.outbox.connected(now, &url(&relay(number))),
                Input::Wait(time) => seconds += u64::from(time),
                Input::Again => {
                    // As after a kill: nothing is under way any more.
                    kept.outbox = replayed(small.clone(), &kept.journal);
                    under_way.clear();
                }
                Input::Answer(..) => {}
            }
            kept.tidy(at(seconds));
            under_way.extend(kept.tried(at(seconds)));
            let counts = kept.outbox.counts(at(seconds));
            prop_assert!(counts.waiting <= small.max_entries);
            prop_assert!(counts.bytes <= small.max_bytes);
            prop_assert!(counts.in_flight <= IN_FLIGHT_MAX);
            for entry in kept.outbox.list() {
                for delivery in &entry.relays {
                    let told = yes.contains(&(entry.event, delivery.relay.clone()));
                    prop_assert!(delivery.state != DeliveryState::Accepted || told);
                }
            }
            states.push(entries(&kept.outbox));
        }
        // Each prefix of the journal gives a state; the whole of it, the last one.
        let whole = replayed(small.clone(), &kept.journal);
        prop_assert_eq!(entries(&whole), entries(&kept.outbox));
        let restated: Vec<_> = kept.outbox.records().collect();
        prop_assert_eq!(entries(&replayed(small.clone(), &restated)), entries(&kept.outbox));
        // With relays that accept everything it comes to its end.
        let mut outbox = whole;
        for _ in 0..500 {
            let Some(idle) = outbox.idle(at(seconds)) else { break };
            seconds += idle.as_secs() + 1;
            for record in outbox.tidy(at(seconds)) {
                outbox.apply(at(seconds), &record);
            }
            for Attempt { event, relay, .. } in outbox.attempts(at(seconds)) {
                let record = outbox.answered(at(seconds), &event, &relay, answer_of(0));
                outbox.apply(at(seconds), &record.unwrap());
            }
            if outbox.counts(at(seconds)).waiting == 0 {
                break;
            }
        }
        prop_assert_eq!(outbox.counts(at(seconds)).waiting, 0);
    }
}
