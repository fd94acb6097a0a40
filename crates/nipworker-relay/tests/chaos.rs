//! Random lives: whatever happens in whatever order, no subscription falls silent, nothing that a
//! relay still serves is missed, and every publish is reported once.
#![allow(clippy::unwrap_used)]

mod sim;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use nipworker_relay::{
    ConnectionId, Delivery, Filter, PublishId, ReceiptStatus, RelayConfig, RelayUrl,
    transport::Incoming,
};
use proptest::prelude::*;
use sim::{Manner, Sim, url};

const RELAYS: usize = 3;
const SUBSCRIPTIONS: usize = 5;
/// `until` of a filter is this plus the revision of its subscription: how the test knows a REQ.
const REVISIONS_FROM: i64 = 4_000_000_000;

#[derive(Debug, Clone)]
enum Act {
    Open { name: usize, relays: u8, close_on_eose: bool },
    Close { name: usize },
    Publish { relays: u8, deadline_secs: u64 },
    Appear { relay: usize, name: usize, late_secs: i64 },
    Kill { relay: usize },
    Revive { relay: usize },
    Behave { relay: usize, manner: Manner },
    Cut { relay: usize },
    Hang { relay: usize, hang: bool },
    Garbage { relay: usize, frames: usize },
    End { relay: usize, passing: bool },
    Hold,
    Release,
    Restart,
    Pass { millis: u64 },
}

fn act() -> impl Strategy<Value = Act> {
    let relay = || 0..RELAYS;
    let name = || 0..SUBSCRIPTIONS;
    let manner = prop_oneof![Just(Manner::Polite), Just(Manner::Silent), Just(Manner::Refuses)];
    prop_oneof![
        4 => (name(), 1_u8..8, any::<bool>())
            .prop_map(|(name, relays, close_on_eose)| Act::Open { name, relays, close_on_eose }),
        1 => name().prop_map(|name| Act::Close { name }),
        2 => (1_u8..8, 0_u64..40)
            .prop_map(|(relays, deadline_secs)| Act::Publish { relays, deadline_secs }),
        5 => (relay(), name(), 0_i64..100)
            .prop_map(|(relay, name, late_secs)| Act::Appear { relay, name, late_secs }),
        2 => relay().prop_map(|relay| Act::Kill { relay }),
        2 => relay().prop_map(|relay| Act::Revive { relay }),
        1 => (relay(), manner).prop_map(|(relay, manner)| Act::Behave { relay, manner }),
        1 => relay().prop_map(|relay| Act::Cut { relay }),
        1 => (relay(), any::<bool>()).prop_map(|(relay, hang)| Act::Hang { relay, hang }),
        1 => (relay(), 1_usize..50).prop_map(|(relay, frames)| Act::Garbage { relay, frames }),
        1 => (relay(), any::<bool>()).prop_map(|(relay, passing)| Act::End { relay, passing }),
        1 => Just(Act::Hold),
        2 => Just(Act::Release),
        1 => Just(Act::Restart),
        4 => prop_oneof![0_u64..2_000, 0_u64..100_000].prop_map(|millis| Act::Pass { millis }),
    ]
}

struct Wanted {
    relays: Vec<usize>,
    close_on_eose: bool,
    revision: i64,
    /// Length of the log when it was opened.
    since: usize,
}

struct Life {
    sim: Sim,
    open: BTreeMap<String, Wanted>,
    revisions: i64,
    /// REQs that a relay ended, on which connection.
    ended: BTreeSet<(usize, String, ConnectionId)>,
    publishes: BTreeMap<PublishId, (String, BTreeSet<usize>)>,
    restarts: usize,
}

fn members(bits: u8) -> Vec<usize> {
    (0..RELAYS).filter(|relay| bits & (1 << relay) != 0).collect()
}

fn urls(relays: &[usize]) -> Vec<RelayUrl> {
    relays.iter().map(|relay| url(*relay)).collect()
}

impl Life {
    fn new(max_open_subscriptions: usize) -> Self {
        let config = RelayConfig { max_open_subscriptions, ..RelayConfig::default() };
        // One relay is configured, the others come and go with requests.
        Self {
            sim: Sim::with_desired(RELAYS, vec![url(0)], config),
            open: BTreeMap::new(),
            revisions: 0,
            ended: BTreeSet::new(),
            publishes: BTreeMap::new(),
            restarts: 0,
        }
    }

    fn perform(&mut self, act: Act) {
        match act {
            Act::Open { name, relays, close_on_eose } => {
                self.revisions += 1;
                let name = format!("s{name}");
                let until = REVISIONS_FROM + self.revisions;
                let filters = vec![Filter::new().tag('t', [name.as_str()]).until(until)];
                let relays = members(relays);
                self.ended.retain(|(_, ended, _)| *ended != name);
                let wanted = Wanted {
                    relays: relays.clone(),
                    close_on_eose,
                    revision: until,
                    since: self.sim.log.len(),
                };
                self.open.insert(name.clone(), wanted);
                self.sim.open(&name, filters, urls(&relays), close_on_eose);
            }
            Act::Close { name } => {
                let name = format!("s{name}");
                let known = self.sim.close(&name);
                let wanted = self.open.remove(&name);
                // A query is over by itself once every relay has answered.
                assert!(known || wanted.is_none_or(|wanted| wanted.close_on_eose));
            }
            Act::Publish { relays, deadline_secs } => {
                let event = self.sim.event("published");
                let relays = members(relays);
                let deadline = Duration::from_secs(deadline_secs);
                let publish = self.sim.publish(&event, urls(&relays), deadline);
                let expected = (event.id.to_string(), relays.into_iter().collect());
                self.publishes.insert(publish, expected);
            }
            Act::Appear { relay, name, late_secs } => {
                let created_at = self.sim.now().unix - late_secs;
                let event = self.sim.event_at(&format!("s{name}"), created_at);
                self.sim.appear(relay, &event);
            }
            Act::Kill { relay } => self.sim.kill(relay),
            Act::Revive { relay } => self.sim.revive(relay),
            Act::Behave { relay, manner } => self.sim.relay(relay).manner = manner,
            Act::Cut { relay } => {
                let relay = self.sim.relay(relay);
                relay.cut = relay.connection.is_some();
            }
            Act::Hang { relay, hang } => self.sim.relay(relay).dial_hangs = hang,
            Act::Garbage { relay, frames } => {
                for frame in 0..frames {
                    let text = ["", "[[[[", r#"["EVENT",7]"#, r#"["EOSE","nobody"]"#][frame % 4];
                    self.sim.say(relay, text);
                }
            }
            Act::End { relay, passing } => self.end(relay, passing),
            Act::Hold => self.sim.hold_deliveries = true,
            Act::Release => self.sim.release(),
            Act::Restart => {
                self.restarts += 1;
                self.sim.restart();
                // Those who waited were told that the worker failed.
                let done = &self.sim.receipts;
                self.publishes.retain(|publish, _| done.contains_key(publish));
            }
            Act::Pass { millis } => self.sim.advance(Duration::from_millis(millis)),
        }
    }

    /// The relay ends its first subscription.
    fn end(&mut self, number: usize, passing: bool) {
        let relay = self.sim.relay(number);
        if relay.cut {
            return;
        }
        let Some((wire, filters)) = relay.subscriptions.pop_first() else { return };
        relay.ended.insert(wire.clone());
        let connection = relay.connection.unwrap();
        for filter in &filters {
            let name = filter.tags.values().next().unwrap()[0].clone();
            self.ended.insert((number, name, connection));
        }
        let reason = if passing { "error: try later" } else { "restricted: no" };
        self.sim.say(number, &format!(r#"["CLOSED","{wire}","{reason}"]"#));
    }

    /// What must hold after every act.
    fn check(&mut self) {
        let max = self.sim.config.max_open_subscriptions;
        for number in 0..RELAYS {
            let relay = &self.sim.relays[&url(number)];
            let Some(connection) = relay.connection else { continue };
            if relay.cut {
                continue;
            }
            let mut asked = BTreeSet::new();
            let mut live_reqs = 0;
            for filters in relay.subscriptions.values() {
                // Who shared a REQ and left may still stand in it, but not alone.
                let mut riders = 0;
                for filter in filters {
                    let name = &filter.tags.values().next().unwrap()[0];
                    let Some(wanted) = self.open.get(name) else { continue };
                    let is_old = filter.until != Some(wanted.revision);
                    if is_old || !wanted.relays.contains(&number) {
                        continue;
                    }
                    assert!(asked.insert(name.clone()), "{name} was asked twice");
                    riders += 1;
                    if riders == 1 && !wanted.close_on_eose {
                        live_reqs += 1;
                    }
                }
                assert!(riders > 0, "a REQ is open that nobody wants: {filters:?}");
            }
            assert!(relay.subscriptions.len() <= max);
            // A place is free again when the pool has read that the relay ended a REQ.
            let closed = |message: &&Incoming| matches!(message, Incoming::Text(text) if text.starts_with(r#"["CLOSED""#));
            let closed = relay.inbox.iter().filter(closed).count();
            assert!(live_reqs <= self.sim.config.live_places());
            if relay.subscriptions.len() + closed >= max
                || live_reqs + closed >= self.sim.config.live_places()
            {
                continue;
            }
            for (name, wanted) in &self.open {
                let expected = wanted.relays.contains(&number)
                    && !wanted.close_on_eose
                    && !self.ended.contains(&(number, name.clone(), connection));
                assert!(!expected || asked.contains(name), "{name} is silent at {number}");
            }
        }
    }

    /// Everything is repaired; nothing may be missing then.
    fn finish(&mut self) {
        self.sim.release();
        for number in 0..RELAYS {
            let relay = self.sim.relay(number);
            relay.manner = Manner::Polite;
            relay.dial_hangs = false;
            self.sim.kill(number);
            self.sim.revive(number);
        }
        self.sim.advance(Duration::from_secs(600));
        self.check();
        for (name, wanted) in &self.open {
            self.check_answers(name, wanted);
            if wanted.close_on_eose {
                continue;
            }
            let got: BTreeSet<String> = self.sim.delivered_ids(name).into_iter().collect();
            for number in &wanted.relays {
                for event in &self.sim.relays[&url(*number)].events {
                    if event.tags[0].0[1] == *name {
                        assert!(got.contains(&event.id.to_string()), "{name} misses {event:?}");
                    }
                }
            }
        }
        for (publish, (id, relays)) in &self.publishes {
            let receipts = &self.sim.receipts[publish];
            let reported: Vec<RelayUrl> =
                receipts.iter().map(|receipt| receipt.relay.clone()).collect();
            let once: BTreeSet<RelayUrl> = reported.iter().cloned().collect();
            assert_eq!(once.len(), reported.len(), "a relay was reported twice");
            let expected: Vec<usize> = relays.iter().copied().collect();
            assert_eq!(once, urls(&expected).into_iter().collect());
            for receipt in receipts {
                let has_it = self.sim.relays[&receipt.relay].got_events.contains(id);
                match receipt.status {
                    ReceiptStatus::Accepted | ReceiptStatus::Refused => assert!(has_it),
                    ReceiptStatus::NotConnected => assert!(!has_it, "{receipt:?}"),
                    ReceiptStatus::NoAnswer => {}
                }
            }
        }
        if self.restarts == 0 {
            assert_eq!(self.sim.book.unanswered_publishes(), 0);
        }
    }

    fn check_answers(&self, name: &str, wanted: &Wanted) {
        for number in &wanted.relays {
            let (mut answers, mut ends) = (0, 0);
            for (relay, delivery) in &self.sim.log[wanted.since..] {
                if *relay != url(*number) {
                    continue;
                }
                match delivery {
                    Delivery::EndOfStored { subscription, .. } if **subscription == *name => {
                        ends += 1;
                        answers += 1;
                    }
                    Delivery::Closed { subscription, .. } if **subscription == *name => {
                        answers += 1;
                    }
                    Delivery::Unavailable { subscriptions, .. } => {
                        answers += subscriptions.iter().filter(|told| ***told == *name).count();
                    }
                    _ => {}
                }
            }
            // What was not yet handed on when an owner died is told again by the next one; what
            // was being handed on when a subscription was replaced may come after that.
            let slack = self.restarts + 1;
            assert!(answers > 0, "{name} was never answered at {number}");
            assert!(ends <= 1 + slack, "{ends} ends of stored events at {number}");
        }
    }
}

fn live(acts: Vec<Act>, max_open_subscriptions: usize) {
    let mut life = Life::new(max_open_subscriptions);
    for act in acts {
        life.perform(act);
        life.check();
    }
    if max_open_subscriptions >= SUBSCRIPTIONS {
        life.finish();
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 600,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn nothing_falls_silent_whatever_happens(acts in prop::collection::vec(act(), 1..60)) {
        live(acts, 20);
    }

    #[test]
    fn the_relays_limit_holds_whatever_happens(acts in prop::collection::vec(act(), 1..60)) {
        live(acts, 2);
    }
}
