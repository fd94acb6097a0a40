//! The decision.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use nipworker_protocol::{Event, Filter, PublicKey, RelayUrl, SingleLetterTag};
use serde::{Deserialize, Serialize};

use super::{
    Candidates, Heard, Junk, JunkPolicy, Places, RELAYS_PER_LIST_MAX, cover,
    known::{Known, List},
    score::Scores,
};

/// Kinds that others look for where they look for everybody: profile, follows, relay list.
const KINDS_FOR_ALL: [u16; 3] = [0, 3, 10_002];
/// Those tagged in one event whose relays get it; there is no mention of more.
const MENTIONS_MAX: usize = 50;

/// Settings of a [`Router`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutingConfig {
    /// Relays of an author that are asked for it. Default: 3.
    pub relays_per_author: usize,
    /// Relays of one request, beside the configured ones. Default: 20.
    pub max_relays_per_request: usize,
    /// Relays that lists and hints may bring in at once. Default: 30.
    pub max_relays: usize,
    /// After how long somebody whose list was not found is looked for again. Default: an hour.
    pub look_again: Duration,
    /// After how long a list that is known is looked for again. Default: a day.
    pub list_age: Duration,
    /// What is refused.
    pub junk: JunkPolicy,
}

impl Default for RoutingConfig {
    fn default() -> Self {
        Self {
            relays_per_author: 3,
            max_relays_per_request: 20,
            max_relays: 30,
            look_again: Duration::from_secs(3_600),
            list_age: Duration::from_secs(24 * 3_600),
            junk: JunkPolicy::default(),
        }
    }
}

/// A relay and what it is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Whom.
    pub relay: RelayUrl,
    /// The filters, with only those authors that are looked for there. Never empty.
    pub filters: Vec<Filter>,
}

/// Whose lists are to be looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Nothing is known of these, and they were not looked for lately.
    pub unknown: Vec<PublicKey>,
    /// The lists of these are known; whether there are newer ones was not asked for long, or not
    /// since the start.
    pub stale: Vec<PublicKey>,
}

/// Numbers for a report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterCounts {
    /// Lists that are known.
    pub lists: usize,
    /// Names of relays that were refused, by the reason, each time they were met.
    pub refused: BTreeMap<String, u64>,
    /// Authors that were asked for at the configured relays because no place was left for theirs.
    pub without_place: u64,
}

/// Decides where requests go; shared by who learns and who asks.
#[derive(Debug)]
pub struct Router {
    config: RoutingConfig,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    known: Known,
    scores: Scores,
    refused: BTreeMap<Junk, u64>,
    without_place: u64,
}

impl Router {
    /// One that knows nothing yet.
    pub fn new(config: RoutingConfig) -> Self {
        let inner = Inner {
            known: Known::new(),
            scores: Scores::default(),
            refused: BTreeMap::new(),
            without_place: 0,
        };
        Self { config, inner: Mutex::new(inner) }
    }

    /// Its settings.
    pub fn config(&self) -> &RoutingConfig {
        &self.config
    }

    /// Whether relays that it brings in may be dialled at public addresses only.
    pub fn dials_public_only(&self) -> bool {
        !self.config.junk.allow_private
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Learns a list (kind 10002): relays in their order with whether the author reads and writes
    /// there, and when it was made, in unix seconds. An older list than the known one changes
    /// nothing.
    pub fn learn(&self, author: PublicKey, created_at: i64, relays: &[(RelayUrl, bool, bool)]) {
        let mut inner = self.inner();
        let mut list = List { created_at, ..List::default() };
        for (relay, read, write) in relays {
            if let Err(junk) = self.config.junk.check(relay) {
                *inner.refused.entry(junk).or_default() += 1;
                continue;
            }
            for (wanted, side) in [(*read, &mut list.read), (*write, &mut list.write)] {
                if wanted && side.len() < RELAYS_PER_LIST_MAX && !side.contains(relay) {
                    side.push(relay.clone());
                }
            }
        }
        inner.known.learn(author, list);
    }

    /// Counts names that are no relay URL at all.
    pub fn not_urls(&self, count: usize) {
        if count > 0 {
            *self.inner().refused.entry(Junk::NotUrl).or_default() += count as u64;
        }
    }

    /// Learns that somebody's events may be at a relay: the relay of a tag, an `nprofile` or a
    /// `nevent`. It is used only while there is no list.
    pub fn hint(&self, author: PublicKey, relay: &RelayUrl) {
        let mut inner = self.inner();
        match self.config.junk.check(relay) {
            Ok(()) => inner.known.hint(author, relay.clone()),
            Err(junk) => *inner.refused.entry(junk).or_default() += 1,
        }
    }

    /// Learns how a relay behaves. `now` is the monotonic time.
    pub fn heard(&self, now: Duration, relay: &RelayUrl, heard: Heard) {
        self.inner().scores.heard(now, relay, heard);
    }

    /// Who is to be looked for among those that `filters` are about.
    pub fn wanted_for(&self, now: Duration, filters: &[Filter]) -> Wanted {
        self.wanted(now, &filters.iter().flat_map(|filter| about(filter).1).collect())
    }

    /// Who is to be looked for among those who have to do with an event.
    pub fn wanted_of(&self, now: Duration, event: &Event) -> Wanted {
        self.wanted(now, &mentioned(event).into_iter().chain([event.pubkey]).collect())
    }

    fn wanted(&self, now: Duration, people: &BTreeSet<PublicKey>) -> Wanted {
        let RoutingConfig { look_again, list_age, .. } = self.config;
        self.inner().known.wanting(now, people, look_again, list_age)
    }

    /// Somebody's list was looked for.
    pub fn looked_for(&self, now: Duration, authors: impl IntoIterator<Item = PublicKey>) {
        let mut inner = self.inner();
        for author in authors {
            inner.known.looked_for(now, author);
        }
    }

    /// Which relays are asked for what. `is_open` says which relays are there anyhow, `room` how
    /// many more may be brought in. Without `configured` relays, who has no list is not asked for.
    pub fn read(
        &self,
        now: Duration,
        filters: &[Filter],
        configured: &[RelayUrl],
        is_open: impl Fn(&RelayUrl) -> bool,
        room: usize,
    ) -> Vec<Route> {
        let mut inner = self.inner();
        let mut bound = Bound {
            configured,
            is_open: &is_open,
            room: room.min(self.config.max_relays),
            left: self.config.max_relays_per_request,
            taken: BTreeSet::new(),
        };
        let mut served = [Side::Write, Side::Read].map(|side| {
            let about = filters.iter().map(about).filter(|(of, _)| *of == Some(side));
            let people: BTreeSet<PublicKey> = about.flat_map(|(_, people)| people).collect();
            Served::of(&mut inner, &self.config, now, &people, side, &mut bound)
        });
        for served in &mut served {
            inner.without_place += served.without_place;
        }
        let mut routes: BTreeMap<RelayUrl, Vec<Filter>> = BTreeMap::new();
        for filter in filters {
            let (side, people) = about(filter);
            let Some(side) = side else {
                for relay in configured {
                    routes.entry(relay.clone()).or_default().push(filter.clone());
                }
                continue;
            };
            let served = &served[usize::from(side == Side::Read)];
            let everywhere = configured.iter().map(|relay| (relay, &served.elsewhere));
            let mut parts: BTreeMap<&RelayUrl, BTreeSet<PublicKey>> = BTreeMap::new();
            for (relay, here) in served.at.iter().chain(everywhere) {
                parts.entry(relay).or_default().extend(people.intersection(here));
            }
            for (relay, here) in parts.into_iter().filter(|(_, here)| !here.is_empty()) {
                routes.entry(relay.clone()).or_default().push(narrowed(filter, side, &here));
            }
        }
        routes.into_iter().map(|(relay, filters)| Route { relay, filters }).collect()
    }

    /// The relays that an event goes to; the configured ones where there is nothing to go by.
    pub fn write(
        &self,
        now: Duration,
        event: &Event,
        configured: &[RelayUrl],
        is_open: impl Fn(&RelayUrl) -> bool,
        room: usize,
    ) -> Vec<RelayUrl> {
        let mut inner = self.inner();
        let mut bound = Bound {
            configured,
            is_open: &is_open,
            room: room.min(self.config.max_relays),
            left: self.config.max_relays_per_request,
            taken: BTreeSet::new(),
        };
        let own = inner.known.lists.get(&event.pubkey).map(|list| list.write.clone());
        let own = own.unwrap_or_default();
        let mut relays = BTreeSet::new();
        for relay in own {
            if bound.has_room_for(&relay) {
                bound.take(&relay);
                relays.insert(relay);
            }
        }
        if relays.is_empty() || KINDS_FOR_ALL.contains(&event.kind) {
            relays.extend(configured.iter().cloned());
        }
        let mut candidates = Candidates::new();
        for person in mentioned(event) {
            let list = inner.known.lists.get(&person).map(|list| list.read.clone());
            // Somebody who reads where it goes anyhow needs no further relay.
            let list = list.unwrap_or_default();
            if !list.iter().any(|relay| relays.contains(relay)) {
                candidates.insert(person, list);
            }
        }
        let scores = &inner.scores;
        let wanted = self.config.relays_per_author;
        let score = |relay: &RelayUrl| scores.of(now, relay);
        relays.extend(cover(&candidates, wanted, score, &mut bound).into_keys());
        relays.into_iter().collect()
    }

    /// Numbers for a report.
    pub fn counts(&self) -> RouterCounts {
        let inner = self.inner();
        RouterCounts {
            lists: inner.known.lists.len(),
            refused: inner
                .refused
                .iter()
                .map(|(junk, count)| (junk.as_str().to_owned(), *count))
                .collect(),
            without_place: inner.without_place,
        }
    }
}

/// On which side of a list a filter's people are looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Write,
    Read,
}

/// Whom a filter is about: its authors, or those that it wants mentioned.
fn about(filter: &Filter) -> (Option<Side>, BTreeSet<PublicKey>) {
    if let Some(authors) = &filter.authors {
        return (Some(Side::Write), authors.iter().copied().collect());
    }
    let mentions = SingleLetterTag::new('p').and_then(|p| filter.tags.get(&p));
    let Some(mentions) = mentions else { return (None, BTreeSet::new()) };
    let people: BTreeSet<PublicKey> =
        mentions.iter().filter_map(|text| text.parse().ok()).collect();
    // A value that is no key can be looked up nowhere.
    match people.len() == mentions.iter().collect::<BTreeSet<_>>().len() {
        true => (Some(Side::Read), people),
        false => (None, BTreeSet::new()),
    }
}

fn narrowed(filter: &Filter, side: Side, people: &BTreeSet<PublicKey>) -> Filter {
    let mut filter = filter.clone();
    match (side, SingleLetterTag::new('p')) {
        (Side::Read, Some(p)) => {
            filter.tags.insert(p, people.iter().map(ToString::to_string).collect());
        }
        _ => filter.authors = Some(people.iter().copied().collect()),
    }
    filter
}

fn mentioned(event: &Event) -> BTreeSet<PublicKey> {
    let tags = event.tags.iter().filter_map(|tag| tag.indexed());
    let people = tags.filter(|(name, _)| name.as_char() == 'p');
    people.filter_map(|(_, value)| value.parse().ok()).take(MENTIONS_MAX).collect()
}

/// How many more relays a request may have.
struct Bound<'a, F> {
    configured: &'a [RelayUrl],
    is_open: &'a F,
    /// May be brought in.
    room: usize,
    /// May belong to this request.
    left: usize,
    taken: BTreeSet<RelayUrl>,
}

impl<F: Fn(&RelayUrl) -> bool> Bound<'_, F> {
    fn is_free(&self, relay: &RelayUrl) -> bool {
        self.configured.contains(relay) || self.taken.contains(relay)
    }
}

impl<F: Fn(&RelayUrl) -> bool> Places for Bound<'_, F> {
    fn has_room_for(&self, relay: &RelayUrl) -> bool {
        self.is_free(relay) || (self.left > 0 && (self.room > 0 || (self.is_open)(relay)))
    }

    fn take(&mut self, relay: &RelayUrl) {
        if !self.is_free(relay) {
            self.left -= 1;
            self.room -= usize::from(!(self.is_open)(relay));
            self.taken.insert(relay.clone());
        }
    }
}

/// Who is looked for where.
struct Served {
    at: BTreeMap<RelayUrl, BTreeSet<PublicKey>>,
    /// Those who are looked for at the configured relays.
    elsewhere: BTreeSet<PublicKey>,
    without_place: u64,
}

impl Served {
    fn of<F: Fn(&RelayUrl) -> bool>(
        inner: &mut Inner,
        config: &RoutingConfig,
        now: Duration,
        people: &BTreeSet<PublicKey>,
        side: Side,
        bound: &mut Bound<'_, F>,
    ) -> Self {
        let mut candidates = Candidates::new();
        let mut elsewhere = BTreeSet::new();
        for person in people {
            let list = inner.known.lists.get(person).map(|list| match side {
                Side::Write => list.write.clone(),
                Side::Read => list.read.clone(),
            });
            let mut relays = list.unwrap_or_default();
            if relays.is_empty() {
                relays = inner.known.hinted(person);
                elsewhere.insert(*person);
            }
            if !relays.is_empty() {
                candidates.insert(*person, relays);
            }
        }
        let scores = &inner.scores;
        let score = |relay: &RelayUrl| scores.of(now, relay);
        let at = cover(&candidates, config.relays_per_author, score, bound);
        let placed: BTreeSet<PublicKey> = at.values().flatten().copied().collect();
        let mut without_place = 0;
        for person in candidates.keys().filter(|person| !placed.contains(person)) {
            without_place += u64::from(elsewhere.insert(*person));
        }
        Self { at, elsewhere, without_place }
    }
}
