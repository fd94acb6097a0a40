//! One subscription: a state machine without lock or waker. What it needs a clock for is measured
//! only: no time decides anything.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use nipworker_protocol::{Event, EventId, Filter, Verified};

use super::{
    config::{HubConfig, Overflow, Plan, SubscriptionSpec},
    stats::{SubscriptionStats, Tally},
    times::Times,
    types::{Claim, CloseReason, HubClock, RelayNews, RelayState, ReplayCursor, SubscriptionEvent},
};
use crate::{
    Source,
    generations::Generations,
    pipes::{Ledger, PipeStats},
};

/// News about relays that may wait for a reader; older ones are dropped and counted.
pub const MAX_QUEUED_NEWS: usize = 64;

/// What became of an event that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Push {
    Queued,
    /// Queued, and the oldest was dropped.
    Dropped,
    Buffered,
    Duplicate,
    Full,
    Closed,
}

#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) filters: Arc<[Filter]>,
    pub(super) plan: Plan,
    overflow: Overflow,
    /// The reader was waited for in vain, and has not freed half its queue since.
    is_given_up: bool,
    capacity: usize,
    hasher: RandomState,
    /// Ids of the newest rows of the cache, hashed: what relays will send first.
    newest_rows: HashSet<u64>,
    max_newest_rows: usize,
    /// Other ids that were queued for the reader, hashed.
    seen: Generations<u64, ()>,
    queue: VecDeque<SubscriptionEvent>,
    queued_events: usize,
    queued_news: usize,
    /// Live events that wait for the end of the cache.
    buffer: VecDeque<(u64, Arc<Verified<Event>>, Source)>,
    buffered: HashSet<u64>,
    /// Live events that found the buffer full. The cache may still bring them.
    missed: HashMap<u64, Source>,
    claim: Option<Claim>,
    pub(super) cursor: ReplayCursor,
    pub(super) cache_done: bool,
    pub(super) relays_asked: bool,
    relays: BTreeMap<Arc<str>, RelayState>,
    is_complete: bool,
    closed: Option<CloseReason>,
    /// Dropped events that the reader does not know of yet.
    untold: u64,
    stats: Counters,
    times: Times,
    /// What the pipes behind the queue have done.
    pipes: Ledger,
    pub(super) tally: Tally,
}

#[derive(Debug, Default)]
struct Counters {
    /// Events that left the queue; pipes may have held some of them back.
    popped: u64,
    from_cache: u64,
    from_relays: u64,
    from_local: u64,
    duplicates: u64,
    high_water: usize,
    lagged: u64,
    news_dropped: u64,
}

impl Subscription {
    pub(super) fn new(
        spec: SubscriptionSpec,
        config: &HubConfig,
        pipes: Ledger,
        clock: Option<HubClock>,
    ) -> Self {
        let cache_done = !spec.plan.use_cache;
        let relays_asked = !spec.plan.use_relays;
        Self {
            filters: spec.filters.into(),
            plan: spec.plan,
            overflow: spec.overflow,
            is_given_up: false,
            capacity: spec.queue_events.unwrap_or(config.queue_events).max(1),
            hasher: RandomState::new(),
            newest_rows: HashSet::new(),
            max_newest_rows: config.seen_events,
            seen: Generations::new(config.seen_events),
            queue: VecDeque::new(),
            queued_events: 0,
            queued_news: 0,
            buffer: VecDeque::new(),
            buffered: HashSet::new(),
            missed: HashMap::new(),
            claim: None,
            cursor: ReplayCursor::default(),
            cache_done,
            relays_asked,
            relays: BTreeMap::new(),
            is_complete: false,
            closed: None,
            untold: 0,
            stats: Counters::default(),
            times: Times::new(clock),
            pipes,
            tally: Tally::default(),
        }
    }

    fn key(&self, id: &EventId) -> u64 {
        self.hasher.hash_one(id)
    }

    pub(super) fn has_seen(&self, id: &EventId) -> bool {
        let key = self.key(id);
        self.was_queued(key) || self.buffered.contains(&key)
    }

    /// Whether the reader has been given an event, as far as that is remembered.
    fn was_queued(&self, key: u64) -> bool {
        self.newest_rows.contains(&key) || self.seen.contains(&key)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    /// The claim that holds, if the subscription was begun and is open.
    pub(super) fn current_claim(&self) -> Option<Claim> {
        self.claim.filter(|_| !self.is_closed())
    }

    pub(super) fn holds(&self, claim: Claim) -> bool {
        self.current_claim() == Some(claim)
    }

    /// Free places in the queue, of `capacity` at most.
    pub(super) fn room(&self) -> usize {
        self.capacity.saturating_sub(self.queued_events)
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Puts a row of the cache into the queue. Whoever reads the cache has made sure of room.
    pub(super) fn cache_row(&mut self, event: Arc<Verified<Event>>) -> bool {
        self.cursor.after = Some((event.created_at, event.id));
        self.cursor.rows += 1;
        let key = self.key(&event.id);
        if self.is_closed() || self.was_queued(key) {
            self.stats.duplicates += 1;
            return false;
        }
        self.missed.remove(&key);
        self.enqueue(key, event, Source::Cache);
        true
    }

    /// The cache has no more rows: what came live meanwhile follows, and from now on live events
    /// go straight to the queue.
    pub(super) fn cache_done(&mut self) {
        if self.cache_done {
            return;
        }
        self.cache_done = true;
        for source in std::mem::take(&mut self.missed).into_values() {
            self.count(&source);
            self.lag();
        }
        self.buffered = HashSet::new();
        for (key, event, source) in std::mem::take(&mut self.buffer) {
            if self.was_queued(key) {
                self.stats.duplicates += 1;
            } else {
                self.enqueue(key, event, source);
            }
        }
        self.check_complete();
    }

    /// Offers a live event that matches. `force` drops the oldest even where the policy is to
    /// wait.
    pub(super) fn push(
        &mut self,
        event: &Arc<Verified<Event>>,
        source: &Source,
        force: bool,
    ) -> Push {
        if self.is_closed() {
            return Push::Closed;
        }
        let key = self.key(&event.id);
        if self.was_queued(key) || self.buffered.contains(&key) {
            self.stats.duplicates += 1;
            return Push::Duplicate;
        }
        if !self.cache_done {
            return self.keep_for_later(key, event, source);
        }
        if self.queued_events < self.capacity {
            self.enqueue(key, Arc::clone(event), source.clone());
            return Push::Queued;
        }
        if self.overflow == Overflow::Wait && !force && !self.is_given_up {
            return Push::Full;
        }
        self.drop_oldest();
        self.enqueue(key, Arc::clone(event), source.clone());
        Push::Dropped
    }

    /// The reader was waited for and made no room. Returns whether that is new.
    pub(super) fn give_up(&mut self) -> bool {
        let is_new = self.room() == 0 && !self.is_given_up;
        self.is_given_up |= is_new;
        is_new
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.is_given_up
    }

    fn keep_for_later(&mut self, key: u64, event: &Arc<Verified<Event>>, source: &Source) -> Push {
        let mut push = Push::Buffered;
        if self.buffer.len() >= self.capacity
            && let Some((oldest, _, source)) = self.buffer.pop_front()
        {
            self.buffered.remove(&oldest);
            // It may come from the cache yet, and is not lost then. Beyond the bound it counts as
            // lost at once: the reader may be told of too many, never of too few.
            if self.missed.len() < self.capacity {
                self.missed.insert(oldest, source);
            } else {
                self.count(&source);
                self.lag();
            }
            push = Push::Dropped;
        }
        self.buffered.insert(key);
        self.buffer.push_back((key, Arc::clone(event), source.clone()));
        push
    }

    fn enqueue(&mut self, key: u64, event: Arc<Verified<Event>>, source: Source) {
        // Rows come newest first, and relays send newest first what they have stored. If the rows
        // that come last were remembered instead, these copies would not be known.
        if source == Source::Cache && self.newest_rows.len() < self.max_newest_rows {
            self.newest_rows.insert(key);
        } else {
            self.seen.insert(key, ());
        }
        self.count(&source);
        self.times.event();
        self.queue.push_back(SubscriptionEvent::Event { event, source });
        self.queued_events += 1;
        self.stats.high_water = self.stats.high_water.max(self.queued_events);
    }

    fn drop_oldest(&mut self) {
        let oldest =
            self.queue.iter().position(|item| matches!(item, SubscriptionEvent::Event { .. }));
        if oldest.and_then(|at| self.queue.remove(at)).is_some() {
            self.queued_events -= 1;
            self.lag();
        }
    }

    fn count(&mut self, source: &Source) {
        match source {
            Source::Cache => self.stats.from_cache += 1,
            Source::Relay(_) => self.stats.from_relays += 1,
            Source::Local => self.stats.from_local += 1,
        }
    }

    fn lag(&mut self) {
        self.untold += 1;
        self.stats.lagged += 1;
    }

    /// The relays that were asked are these. One that has answered already stays answered.
    pub(super) fn relays_asked<'a>(&mut self, relays: impl IntoIterator<Item = &'a str>) {
        self.times.asked();
        for relay in relays {
            self.relays.entry(relay.into()).or_insert(RelayState::Waiting);
        }
        self.relays_asked = true;
        self.check_complete();
    }

    pub(super) fn relay(&mut self, relay: &Arc<str>, state: Option<RelayState>, news: RelayNews) {
        if self.is_closed() {
            return;
        }
        if let Some(state) = state {
            if state == RelayState::Done {
                self.times.relay_done(relay);
            }
            self.relays.insert(Arc::clone(relay), state);
        }
        if self.queued_news >= MAX_QUEUED_NEWS {
            let oldest =
                self.queue.iter().position(|item| matches!(item, SubscriptionEvent::Relay { .. }));
            if oldest.and_then(|at| self.queue.remove(at)).is_some() {
                self.queued_news -= 1;
                self.stats.news_dropped += 1;
            }
        }
        self.queue.push_back(SubscriptionEvent::Relay { relay: Arc::clone(relay), news });
        self.queued_news += 1;
        self.check_complete();
    }

    pub(super) fn uses_relay(&self, relay: &str) -> bool {
        self.relays.contains_key(relay)
    }

    /// Relays that have not answered count as failed from now on.
    pub(super) fn deadline(&mut self) {
        for state in self.relays.values_mut() {
            if *state == RelayState::Waiting {
                *state = RelayState::TimedOut;
            }
        }
        self.check_complete();
    }

    pub(super) fn is_waiting_for_relays(&self) -> bool {
        self.relays_asked
            && !self.is_complete
            && self.relays.values().any(|state| *state == RelayState::Waiting)
    }

    fn check_complete(&mut self) {
        let is_complete = self.cache_done
            && self.relays_asked
            && self.relays.values().all(|state| *state != RelayState::Waiting);
        if !is_complete || self.is_complete || self.is_closed() {
            return;
        }
        self.is_complete = true;
        self.times.complete();
        self.queue.push_back(SubscriptionEvent::EndOfStored);
        if self.plan.close_on_eose {
            self.close(CloseReason::Complete);
        }
    }

    /// Takes a new driver. A subscription without cache and relays has nothing stored to wait for.
    pub(super) fn begin(&mut self, claim: Claim) {
        self.claim = Some(claim);
        self.check_complete();
    }

    pub(super) fn close(&mut self, reason: CloseReason) {
        if self.closed.is_none() {
            self.closed = Some(reason);
            self.buffer = VecDeque::new();
            self.buffered = HashSet::new();
            self.queue.push_back(SubscriptionEvent::Closed(reason));
        }
    }

    /// The next item for the reader. After [`SubscriptionEvent::Closed`] there is none.
    pub(super) fn pop(&mut self) -> Option<SubscriptionEvent> {
        // What is missing is older than everything that waits.
        if self.untold > 0 {
            return Some(SubscriptionEvent::Lagged(std::mem::take(&mut self.untold)));
        }
        let item = self.queue.pop_front()?;
        match item {
            SubscriptionEvent::Event { .. } => {
                self.queued_events -= 1;
                self.stats.popped += 1;
                self.is_given_up &= self.queued_events > self.capacity / 2;
            }
            SubscriptionEvent::Relay { .. } => self.queued_news -= 1,
            _ => {}
        }
        Some(item)
    }

    pub(super) fn stats(&self, id: &str) -> SubscriptionStats {
        let stats = &self.stats;
        let pipes = self.pipes.stats();
        let filtered: u64 = pipes.iter().map(PipeStats::held_back).sum();
        SubscriptionStats {
            id: id.to_owned(),
            is_replaying: !self.cache_done,
            is_complete: self.is_complete,
            // The event that the pipes have in hand counts as delivered until they decide.
            delivered: stats.popped.saturating_sub(filtered),
            filtered,
            pipes,
            from_cache: stats.from_cache,
            from_relays: stats.from_relays,
            from_local: stats.from_local,
            duplicates: stats.duplicates,
            forgotten: self.seen.forgotten(),
            queued: self.queued_events as u64,
            high_water: stats.high_water as u64,
            buffered: self.buffer.len() as u64,
            lagged: stats.lagged,
            news_dropped: stats.news_dropped,
            stored: self.tally.stored,
            not_kept: self.tally.not_kept,
            refused: self.tally.refused.clone(),
            relays: self.relays.iter().map(|(relay, state)| (relay.to_string(), *state)).collect(),
            first_event_ms: self.times.first_event_ms,
            complete_ms: self.times.complete_ms,
            eose_ms: self.times.eose_ms(),
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
