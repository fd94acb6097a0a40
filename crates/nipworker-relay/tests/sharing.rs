//! Shared REQs beside a naive twin that knows all events and shares nothing: in whatever order
//! subscriptions open, close and end, limits cut, and connections break, each subscription gets
//! exactly what its own filters match, and its end once.
#![allow(clippy::unwrap_used)]

mod sim;

use std::{collections::BTreeSet, time::Duration};

use nipworker_protocol::{Event, PublicKey, Signature, Tag, UnsignedEvent};
use nipworker_relay::{Delivery, Filter, RelayConfig};
use proptest::prelude::*;
use sim::{Sim, url};

const TOPICS: [&str; 3] = ["a", "b", "c"];
const KINDS: [u16; 3] = [1, 7, 30_023];
/// Seconds before the last seen time from which an answered subscription is asked again, without
/// its limits: `resubscribe_overlap_secs`.
const OVERLAP_SECS: i64 = 120;
/// How old an event may be when it appears.
const OLDEST_SECS: i64 = 100;

#[derive(Debug, Clone)]
enum Act {
    Open { filters: Vec<Filter>, is_query: bool },
    Close { which: usize },
    Appear { topic: usize, kind: usize, late_secs: i64 },
    Lose,
    Away,
    Back,
    Pass { millis: u64 },
}

fn filter() -> impl Strategy<Value = Filter> {
    let kinds = prop::option::of(prop::sample::subsequence(&KINDS[..], 1..=2));
    let topics = prop::option::of(prop::sample::subsequence(&TOPICS[..], 1..=2));
    let limit = prop_oneof![3 => Just(None), 2 => (1_usize..5).prop_map(Some)];
    (kinds, topics, limit).prop_map(|(kinds, topics, limit)| {
        let mut filter = Filter { kinds, limit, ..Filter::new() };
        if let Some(topics) = topics {
            filter = filter.tag('t', topics);
        }
        filter
    })
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (prop::collection::vec(filter(), 1..3), any::<bool>())
            .prop_map(|(filters, is_query)| Act::Open { filters, is_query }),
        2 => any::<usize>().prop_map(|which| Act::Close { which }),
        8 => (0..TOPICS.len(), 0..KINDS.len(), 0..OLDEST_SECS)
            .prop_map(|(topic, kind, late_secs)| Act::Appear { topic, kind, late_secs }),
        1 => Just(Act::Lose),
        1 => Just(Act::Away),
        2 => Just(Act::Back),
        3 => prop_oneof![0_u64..2_000, 0_u64..100_000].prop_map(|millis| Act::Pass { millis }),
    ]
}

type Ids = BTreeSet<String>;

/// What one REQ with these filters is answered: of each filter the newest, up to its limit.
fn stored(filters: &[Filter], events: &[Event]) -> Ids {
    let mut newest: Vec<&Event> = events.iter().collect();
    newest.sort_by_key(|event| (-event.created_at, event.id));
    let of = |filter: &Filter| -> Vec<String> {
        let found = newest.iter().filter(|event| filter.matches(event));
        found.take(filter.limit.unwrap_or(usize::MAX)).map(|event| event.id.to_string()).collect()
    };
    filters.iter().flat_map(of).collect()
}

struct Reader {
    name: String,
    filters: Vec<Filter>,
    is_query: bool,
    is_open: bool,
    /// Events that the relay had when it was opened.
    events: usize,
    got: Ids,
    /// Unix seconds at which it was told that it has what was stored, or of the newest event that
    /// it had then: it may be asked again from there on.
    ended_at: Option<i64>,
    /// It was told not to wait.
    is_released: bool,
}

struct Life {
    sim: Sim,
    readers: Vec<Reader>,
    serial: usize,
}

impl Life {
    fn new(places: usize) -> Self {
        let mut sim = Sim::with_desired(1, vec![url(0)], RelayConfig::default());
        let relay = sim.relay(0);
        relay.document = Some(format!(r#"{{"limitation":{{"max_subscriptions":{places}}}}}"#));
        relay.max_reqs = places;
        Self { sim, readers: Vec::new(), serial: 0 }
    }

    fn perform(&mut self, act: Act) {
        match act {
            Act::Open { filters, is_query } => {
                let name = format!("s{}", self.readers.len());
                self.readers.push(Reader {
                    name: name.clone(),
                    filters: filters.clone(),
                    is_query,
                    is_open: true,
                    events: self.sim.relay(0).events.len(),
                    got: Ids::new(),
                    ended_at: None,
                    is_released: false,
                });
                self.sim.open(&name, filters, vec![url(0)], is_query);
            }
            Act::Close { which } => {
                let mut open: Vec<_> =
                    self.readers.iter_mut().filter(|reader| reader.is_open).collect();
                if let Some(at) = which.checked_rem(open.len()) {
                    open[at].is_open = false;
                    let name = open[at].name.clone();
                    self.sim.close(&name);
                }
            }
            Act::Appear { topic, kind, late_secs } => {
                self.serial += 1;
                let tags = vec![Tag::new(["t", TOPICS[topic]])];
                let (author, at) = (PublicKey::from_bytes([1; 32]), self.sim.now().unix);
                let content = self.serial.to_string();
                let event =
                    UnsignedEvent::new(author, at - late_secs, KINDS[kind], tags, content.as_str());
                self.sim.appear(0, &event.with_signature(Signature::from_bytes([2; 64])));
            }
            Act::Lose => {
                self.sim.kill(0);
                self.sim.revive(0);
            }
            Act::Away => {
                self.sim.kill(0);
            }
            Act::Back => self.sim.revive(0),
            Act::Pass { millis } => self.sim.advance(Duration::from_millis(millis)),
        }
    }

    /// Hears what was delivered since the last time, and holds it against the twin.
    fn check(&mut self) {
        let log = std::mem::take(&mut self.sim.log);
        let all = self.sim.relay(0).events.clone();
        let now = self.sim.now().unix;
        for (_, delivery) in log {
            match delivery {
                Delivery::Events { subscription, events } => {
                    let reader = self.reader(&subscription);
                    assert!(reader.is_open, "{subscription} is over");
                    for event in events {
                        let event: Event = serde_json::from_str(&event).unwrap();
                        let is_own = Filter::any_matches(&reader.filters, &event);
                        assert!(is_own, "{subscription} did not ask for {event:?}");
                        reader.got.insert(event.id.to_string());
                    }
                }
                Delivery::EndOfStored { subscription, .. } => {
                    let reader = self.reader(&subscription);
                    assert!(reader.is_open, "{subscription} is over");
                    assert_eq!(reader.ended_at, None, "{subscription} ended twice");
                    reader.has_stored(&all);
                    reader.has_no_more(&all);
                    let newest =
                        all.iter().filter(|event| reader.got.contains(&event.id.to_string()));
                    let newest = newest.map(|event| event.created_at).max();
                    reader.ended_at = Some(newest.map_or(now, |newest| newest.min(now)));
                    reader.is_open = !reader.is_query;
                }
                Delivery::Unavailable { subscriptions, .. } => {
                    for subscription in subscriptions {
                        let reader = self.reader(&subscription);
                        reader.is_released = true;
                        reader.is_open &= !reader.is_query;
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        for reader in &self.readers {
            reader.has_no_more(&all);
        }
    }

    fn reader(&mut self, name: &str) -> &mut Reader {
        self.readers.iter_mut().find(|reader| reader.name == name).unwrap()
    }

    /// The relay is there again, and there is time: nothing may be missing.
    fn finish(&mut self) {
        self.sim.revive(0);
        self.sim.advance(Duration::from_secs(600));
        self.check();
        for (topic, kind) in [(0, 0), (1, 1), (2, 2), (0, 1)] {
            self.perform(Act::Appear { topic, kind, late_secs: 0 });
        }
        self.check();
        let all = self.sim.relay(0).events.clone();
        let waiting = self.sim.book.report()[0].queued_subscriptions;
        for reader in &self.readers {
            if !reader.is_open {
                continue;
            }
            assert!(
                reader.ended_at.is_some() || reader.is_released,
                "{} was never answered",
                reader.name
            );
            if waiting == 0 {
                assert!(reader.ended_at.is_some(), "{} has a place and no end", reader.name);
                reader.has_stored(&all);
            }
        }
    }
}

impl Reader {
    /// Nothing is missing of what an answer now would hold. What limits cut from a later answer may
    /// have come earlier.
    fn has_stored(&self, all: &[Event]) {
        let expected = stored(&self.filters, all);
        let missing: Vec<_> = expected.difference(&self.got).collect();
        assert!(missing.is_empty(), "{} misses {missing:?} of {:?}", self.name, self.filters);
    }

    /// Nothing came but the answer of the moment when it was opened, what appeared after it, and,
    /// once it was answered, what it may be asked again. Who is asked again is asked without its
    /// limits, so that only the match can be held against it then.
    fn has_no_more(&self, all: &[Event]) {
        if self.filters.iter().any(|filter| filter.limit.is_some()) {
            let strangers: Vec<_> = all
                .iter()
                .filter(|event| !Filter::any_matches(&self.filters, event))
                .map(|event| event.id.to_string())
                .filter(|id| self.got.contains(id))
                .collect();
            assert!(strangers.is_empty(), "{} got {strangers:?}", self.name);
            return;
        }
        let (before, after) = all.split_at(self.events);
        let mut allowed = stored(&self.filters, before);
        let again = self.ended_at.map_or(i64::MAX, |at| at - OVERLAP_SECS);
        let again = before.iter().filter(|event| event.created_at >= again);
        let later =
            after.iter().chain(again).filter(|event| Filter::any_matches(&self.filters, event));
        allowed.extend(later.map(|event| event.id.to_string()));
        let more: Vec<_> = self.got.difference(&allowed).collect();
        assert!(more.is_empty(), "{} got {more:?} beyond {:?}", self.name, self.filters);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 150,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn each_gets_what_its_own_filters_match_whoever_shares_its_req(
        places in prop::sample::select(vec![2_usize, 3, 6, 20]),
        acts in prop::collection::vec(act(), 1..60),
    ) {
        let mut life = Life::new(places);
        for act in acts {
            life.perform(act);
            life.check();
        }
        life.finish();
    }
}
