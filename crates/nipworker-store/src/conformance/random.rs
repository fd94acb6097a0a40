//! Random work on a store and on its naive twin.

use std::ops::Range;

use nipworker_protocol::{Coordinate, Event, EventId, Filter, Verified};

use crate::{EventStore, PageRequest, PutOutcome};

use super::{NaiveStore, samples};

/// A small generator of repeatable numbers (SplitMix64).
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// The sequence that `seed` names.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which must not be zero.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next_u64() % bound as u64) as usize
    }

    /// True once in `times`.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of `items`.
    pub fn pick<'i, T>(&mut self, items: &'i [T]) -> &'i T {
        &items[self.below(items.len())]
    }
}

const AUTHORS: u8 = 3;
const KINDS: [u16; 11] = [1, 1, 1, 1, 5, 5, 0, 10_002, 30_023, 20_001, 1_059];
const WORDS: [&str; 4] = [
    "",
    "a",
    "nostr",
    "a word that is longer than sixty-four bytes, so that \
                         its hash stands in the key",
];
/// Times are drawn from so many seconds, so that they tie often.
const SECONDS: usize = 12;

/// For each seed: random batches, sweeps and queries on a fresh store and on the naive twin,
/// which must agree on every outcome, every page, every count, and in the end on a clean check.
///
/// # Panics
/// When they do not; the message names the seed.
pub fn agree_with_the_naive_store(make: &dyn Fn() -> Box<dyn EventStore>, seeds: Range<u64>) {
    for seed in seeds {
        one_case(&*make(), seed);
    }
}

fn one_case(store: &dyn EventStore, seed: u64) {
    let mut rng = Rng::new(seed);
    let mut twin = NaiveStore::new();
    let mut made: Vec<Verified<Event>> = Vec::new();
    let mut now = samples::NOW;
    for step in 0..6 {
        let batch: Vec<_> = (0..rng.below(10))
            .map(|_| {
                if !made.is_empty() && rng.one_in(6) {
                    return rng.pick(&made).clone();
                }
                let event = random_event(&mut rng, &made, now);
                made.push(event.clone());
                event
            })
            .collect();
        let expected: Vec<PutOutcome> = batch.iter().map(|event| twin.put(event, now)).collect();
        let outcomes = store.put_batch(&batch, now).unwrap();
        assert_eq!(outcomes, expected, "seed {seed}, step {step}");
        if rng.one_in(3) {
            now += rng.below(4) as i64;
        }
        if rng.one_in(5) {
            assert_eq!(
                store.sweep_expired(now).unwrap(),
                twin.sweep(now),
                "seed {seed}, step {step}: swept"
            );
        }
        if rng.one_in(12) {
            let filters = [random_filter(&mut rng, &made)];
            assert_eq!(
                store.delete(&filters, now).unwrap(),
                twin.delete(&filters, now),
                "seed {seed}, step {step}: deleted {}",
                described(&filters)
            );
        }
        if rng.one_in(20) {
            let author = samples::author(1 + rng.below(AUTHORS.into()) as u8);
            let until = samples::NOW - rng.below(SECONDS) as i64;
            assert_eq!(
                store.vanish(&author, until).unwrap(),
                twin.vanish(author, until),
                "seed {seed}, step {step}: vanished"
            );
        }
        for _ in 0..2 {
            let filters: Vec<_> =
                (0..=rng.below(3)).map(|_| random_filter(&mut rng, &made)).collect();
            compare(store, &twin, &filters, now, &mut rng, &format!("seed {seed}, step {step}"));
        }
    }
    for event in &made {
        let expected = twin.held().iter().find(|held| held.id == event.id && !held.is_expired(now));
        let got = store.get(&event.id, now).unwrap().map(|event| event.to_event());
        assert_eq!(got.as_ref(), expected, "seed {seed}: get {}", event.id);
    }
    let report = store.check().unwrap();
    assert!(report.is_clean(), "seed {seed}: {:?}", report.problems);
    assert_eq!(report.events, twin.held().len() as u64, "seed {seed}");
    assert_eq!(store.stats().unwrap().events, report.events, "seed {seed}");
}

/// Compares all pages of an answer, with and without counts in the cursor, and the count.
fn compare(
    store: &dyn EventStore,
    twin: &NaiveStore,
    filters: &[Filter],
    now: i64,
    rng: &mut Rng,
    context: &str,
) {
    let expected = twin.query(filters, now);
    let mut request = PageRequest::first(1 + rng.below(10));
    let forgetful = rng.one_in(2);
    let mut answer = Vec::new();
    loop {
        let page = store.query(filters, &request, now).unwrap();
        assert!(page.events.len() <= request.max_events, "{context}: page too long");
        answer.extend(page.unpack().into_iter().map(Verified::into_inner));
        let Some(mut next) = page.next else { break };
        if forgetful {
            next.matched.clear();
        }
        request.after = Some(next);
    }
    assert_eq!(answer, expected, "{context}: {}", described(filters));
    let unlimited: Vec<_> =
        filters.iter().cloned().map(|filter| Filter { limit: None, ..filter }).collect();
    assert_eq!(
        store.count(filters, now).unwrap(),
        twin.query(&unlimited, now).len() as u64,
        "{context}: count of {}",
        described(filters)
    );
}

fn described(filters: &[Filter]) -> String {
    format!("{filters:?}")
}

fn random_event(rng: &mut Rng, made: &[Verified<Event>], now: i64) -> Verified<Event> {
    let by = 1 + rng.below(AUTHORS.into()) as u8;
    let kind = if rng.one_in(40) { 62 } else { *rng.pick(&KINDS) };
    let created_at = samples::NOW - SECONDS as i64 + rng.below(SECONDS) as i64;
    let mut tags: Vec<Vec<String>> = Vec::new();
    let mut tag = |name: &str, value: String| tags.push(vec![name.to_owned(), value]);
    for _ in 0..rng.below(3) {
        tag("t", (*rng.pick(&WORDS)).to_owned());
    }
    if kind == 62 && !rng.one_in(4) {
        tag("relay", "ALL_RELAYS".to_owned());
    }
    if kind == 1_059 {
        tag("p", samples::author(1 + rng.below(AUTHORS.into()) as u8).to_hex());
    }
    if kind == 30_023 && !rng.one_in(4) {
        tag("d", (*rng.pick(&WORDS)).to_owned());
    }
    if !made.is_empty() {
        for _ in 0..rng.below(if kind == 5 { 3 } else { 2 }) {
            let other = rng.pick(made);
            match Coordinate::of(other) {
                Some(address) if rng.one_in(2) => tag("a", address.to_string()),
                _ => tag("e", other.id.to_hex()),
            }
        }
    }
    if rng.one_in(6) {
        tag("expiration", (now - 2 + rng.below(8) as i64).to_string());
    }
    let tags: Vec<Vec<&str>> =
        tags.iter().map(|tag| tag.iter().map(String::as_str).collect()).collect();
    let tags: Vec<&[&str]> = tags.iter().map(Vec::as_slice).collect();
    samples::event(by, created_at, kind, &tags, &rng.below(1_000).to_string())
}

fn random_filter(rng: &mut Rng, made: &[Verified<Event>]) -> Filter {
    let mut filter = Filter::new();
    if rng.one_in(5) && !made.is_empty() {
        let ids: Vec<EventId> = (0..rng.below(4)).map(|_| rng.pick(made).id).collect();
        filter = filter.ids(ids);
    }
    if rng.one_in(3) {
        let count = rng.below(3);
        let authors: Vec<_> =
            (0..count).map(|_| samples::author(1 + rng.below(AUTHORS.into()) as u8)).collect();
        filter = filter.authors(authors);
    }
    if rng.one_in(3) {
        let count = 1 + rng.below(3);
        let kinds: Vec<_> = (0..count).map(|_| *rng.pick(&KINDS)).collect();
        filter = filter.kinds(kinds);
    }
    if rng.one_in(3) {
        let count = 1 + rng.below(2);
        let words: Vec<_> = (0..count).map(|_| *rng.pick(&WORDS)).collect();
        filter = filter.tag('t', words);
    }
    if rng.one_in(6) && !made.is_empty() {
        filter = filter.tag('e', [rng.pick(made).id.to_hex()]);
    }
    let time = |rng: &mut Rng| samples::NOW - SECONDS as i64 + rng.below(SECONDS) as i64;
    if rng.one_in(4) {
        filter = filter.since(time(rng));
    }
    if rng.one_in(4) {
        filter = filter.until(time(rng));
    }
    if rng.one_in(3) {
        filter = filter.limit(rng.below(6));
    }
    filter
}
