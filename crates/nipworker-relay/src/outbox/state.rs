//! The state and its rules.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use nipworker_protocol::{EventId, RelayUrl};
use rand::{SeedableRng, rngs::SmallRng};

use super::{
    Answer, Attempt, DeliveryState, FINISHED_MAX, IN_FLIGHT_MAX, LastAnswer, OutboxConfig,
    OutboxCounts, OutboxEntry, OutboxError, OutboxRecord, RELAYS_PER_EVENT_MAX, RelayDelivery,
    UNCLEAR_REFUSALS_MAX, Verdict, config::seconds, queue::RelayQueue, verdict,
};
use crate::{Now, ReceiptStatus, stats::cut};

/// The events that are to arrive; see the [module](super).
#[derive(Debug)]
pub struct Outbox {
    config: OutboxConfig,
    entries: BTreeMap<EventId, OutboxEntry>,
    queues: BTreeMap<RelayUrl, RelayQueue>,
    /// Entries that are not finished, by the time when they were queued.
    unfinished: BTreeSet<(i64, EventId)>,
    finished: BTreeSet<(i64, EventId)>,
    bytes: usize,
    in_flight: usize,
    rng: SmallRng,
    retries: u64,
    delivered: u64,
    failed: u64,
}

impl Outbox {
    /// An empty one. `seed` decides the jitter.
    pub fn new(config: OutboxConfig, seed: u64) -> Self {
        Self {
            config,
            entries: BTreeMap::new(),
            queues: BTreeMap::new(),
            unfinished: BTreeSet::new(),
            finished: BTreeSet::new(),
            bytes: 0,
            in_flight: 0,
            rng: SmallRng::seed_from_u64(seed),
            retries: 0,
            delivered: 0,
            failed: 0,
        }
    }

    /// Whether an event may be queued, as the record that does it. Relays that are named twice
    /// count once.
    ///
    /// # Errors
    /// See [`OutboxError`].
    pub fn queue(
        &self,
        now: Now,
        event: EventId,
        json: &str,
        relays: Vec<RelayUrl>,
    ) -> Result<OutboxRecord, OutboxError> {
        let mut seen = BTreeSet::new();
        let relays: Vec<_> = relays.into_iter().filter(|url| seen.insert(url.clone())).collect();
        if relays.is_empty() {
            return Err(OutboxError::NoRelay);
        }
        let known = self.entries.get(&event);
        let more = |entry: &OutboxEntry| {
            entry.relays.iter().filter(|delivery| !seen.contains(&delivery.relay)).count()
        };
        let got = relays.len() + known.map_or(0, more);
        if got > RELAYS_PER_EVENT_MAX {
            return Err(OutboxError::TooManyRelays { got });
        }
        if known.is_none_or(OutboxEntry::is_finished) {
            let OutboxConfig { max_entries: limit, max_bytes, .. } = self.config;
            if self.unfinished.len() >= limit {
                return Err(OutboxError::Full { limit });
            }
            if self.bytes.saturating_add(json.len()) > max_bytes {
                let (held, more) = (self.bytes, json.len());
                return Err(OutboxError::FullBytes { held, more, limit: max_bytes });
            }
        }
        Ok(OutboxRecord::Queued { event, at: now.unix, relays, json: json.to_owned() })
    }

    /// The records that take an event back where no relay has decided yet; none when all have.
    ///
    /// # Errors
    /// [`OutboxError::NotFound`].
    pub fn cancel(&self, now: Now, event: &EventId) -> Result<Vec<OutboxRecord>, OutboxError> {
        let entry = self.entries.get(event).ok_or(OutboxError::NotFound(*event))?;
        Ok(ending(entry, now.unix, DeliveryState::Cancelled))
    }

    /// Applies what was written down. A record that has no meaning here changes nothing.
    pub fn apply(&mut self, now: Now, record: &OutboxRecord) {
        match record {
            OutboxRecord::Queued { event, at, relays, json } => {
                self.put(now, *event, *at, relays, json);
            }
            OutboxRecord::Delivery { event, at, delivery } => {
                self.deliver(now, event, *at, delivery);
            }
            OutboxRecord::Forgotten { event } => self.restore(now, event, None),
        }
    }

    fn put(&mut self, now: Now, event: EventId, at: i64, relays: &[RelayUrl], json: &str) {
        let reopened = match self.entries.get(&event) {
            Some(entry) if !entry.is_finished() => None,
            Some(_) => self.take(&event),
            None => Some(OutboxEntry::new(event, at)),
        };
        if let Some(mut entry) = reopened {
            entry.finished_at = None;
            entry.queued_at = at;
            entry.json = Arc::from(json);
            entry.want(relays);
            finish_if_done(&mut entry, at);
            self.insert(now, entry);
        } else if let Some(entry) = self.entries.get_mut(&event) {
            // What is under way goes on.
            for relay in entry.want(relays) {
                self.queues.entry(relay).or_default().add(now.monotonic, event);
            }
        }
    }

    fn deliver(&mut self, now: Now, event: &EventId, at: i64, delivery: &RelayDelivery) {
        let Some(entry) = self.entries.get(event) else { return };
        let Some(place) = entry.relays.iter().position(|known| known.relay == delivery.relay)
        else {
            return;
        };
        let due = self.due(now, delivery);
        let Some(entry) = self.entries.get_mut(event) else { return };
        entry.relays[place] = delivery.clone();
        let queue = self.queues.entry(delivery.relay.clone()).or_default();
        self.in_flight -= usize::from(queue.remove(event));
        if !delivery.state.is_final() {
            queue.add(due, *event);
        }
        if queue.is_empty() {
            self.queues.remove(&delivery.relay);
        }
        let was_finished = entry.is_finished();
        let bytes = entry.json.len();
        finish_if_done(entry, at);
        if entry.is_finished() && !was_finished {
            let queued_at = entry.queued_at;
            self.bytes -= bytes;
            self.unfinished.remove(&(queued_at, *event));
            self.finished.insert((at, *event));
        }
    }

    /// When a relay is to be tried that has answered so.
    fn due(&mut self, now: Now, delivery: &RelayDelivery) -> Duration {
        let Some(last) = &delivery.last else { return now.monotonic };
        if last.status == ReceiptStatus::NotConnected {
            // The relay's own wait decides.
            return now.monotonic;
        }
        let failures = delivery.attempts.saturating_sub(1);
        now.monotonic + self.config.backoff.wait(failures, &mut self.rng)
    }

    fn take(&mut self, event: &EventId) -> Option<OutboxEntry> {
        let entry = self.entries.remove(event)?;
        match entry.finished_at {
            Some(at) => {
                self.finished.remove(&(at, *event));
            }
            None => {
                self.unfinished.remove(&(entry.queued_at, *event));
                self.bytes -= entry.json.len();
            }
        }
        for delivery in &entry.relays {
            if let Some(queue) = self.queues.get_mut(&delivery.relay) {
                self.in_flight -= usize::from(queue.remove(event));
                if queue.is_empty() {
                    self.queues.remove(&delivery.relay);
                }
            }
        }
        Some(entry)
    }

    fn insert(&mut self, now: Now, entry: OutboxEntry) {
        let event = entry.event;
        match entry.finished_at {
            Some(at) => {
                self.finished.insert((at, event));
            }
            None => {
                self.unfinished.insert((entry.queued_at, event));
                self.bytes += entry.json.len();
            }
        }
        for delivery in entry.relays.iter().filter(|delivery| !delivery.state.is_final()) {
            let queue = self.queues.entry(delivery.relay.clone()).or_default();
            queue.add(now.monotonic, event);
        }
        self.entries.insert(event, entry);
    }

    /// Puts an event back to an earlier state, when what changed it could not be written down;
    /// `None` takes it out.
    pub fn restore(&mut self, now: Now, event: &EventId, earlier: Option<OutboxEntry>) {
        self.take(event);
        if let Some(entry) = earlier {
            self.insert(now, entry);
        }
    }

    /// What is to be sent now.
    pub fn attempts(&mut self, now: Now) -> Vec<Attempt> {
        let mut attempts = Vec::new();
        // One of each relay in turn, so that none waits behind another's backlog.
        loop {
            let mut any = false;
            for (relay, queue) in &mut self.queues {
                if self.in_flight >= IN_FLIGHT_MAX {
                    return attempts;
                }
                let Some(event) = queue.take(now.monotonic) else { continue };
                any = true;
                self.in_flight += 1;
                let Some(entry) = self.entries.get(&event) else { continue };
                if entry.at(relay).is_some_and(|delivery| delivery.attempts > 0) {
                    self.retries += 1;
                }
                let json = Arc::clone(&entry.json);
                attempts.push(Attempt { event, json, relay: relay.clone() });
            }
            if !any {
                return attempts;
            }
        }
    }

    /// A try came to its end. The record is to be applied; there is none for an event that was
    /// taken back meanwhile, unless the relay has it.
    pub fn answered(
        &mut self,
        now: Now,
        event: &EventId,
        relay: &RelayUrl,
        answer: Answer,
    ) -> Option<OutboxRecord> {
        let known = self.entries.get(event)?.at(relay)?.clone();
        if let Answer::Receipt { status, .. } = &answer
            // One that was taken back was not sent for that reason alone.
            && !(known.state.is_final() && *status == ReceiptStatus::NotConnected)
        {
            self.heard(now, relay, *status);
        }
        let verdict = match &answer {
            Answer::Receipt { status, message } => verdict(*status, message),
            Answer::Withdrawn { .. } => Verdict::Final,
        };
        if known.state.is_final()
            && (verdict != Verdict::Accepted || known.state == DeliveryState::Accepted)
        {
            return None;
        }
        let attempts = known.attempts.saturating_add(1);
        let unclear = known.unclear + u32::from(verdict == Verdict::Unclear);
        let most = self.config.max_attempts;
        let state = match (verdict, &answer) {
            (Verdict::Accepted, _) => DeliveryState::Accepted,
            (_, Answer::Withdrawn { .. }) => DeliveryState::Withdrawn,
            (Verdict::Final, _) => DeliveryState::Refused,
            (Verdict::Unclear, _) if unclear >= UNCLEAR_REFUSALS_MAX => DeliveryState::Refused,
            _ if most > 0 && attempts >= most => DeliveryState::Expired,
            _ => DeliveryState::Waiting,
        };
        match state {
            DeliveryState::Accepted => self.delivered += 1,
            DeliveryState::Refused | DeliveryState::Expired => self.failed += 1,
            _ => {}
        }
        let last = match answer {
            Answer::Receipt { status, message } => (status, message),
            Answer::Withdrawn { message } => (ReceiptStatus::NotConnected, message),
        };
        let last = LastAnswer { status: last.0, message: cut(&last.1), at: now.unix };
        let delivery =
            RelayDelivery { relay: relay.clone(), state, attempts, unclear, last: Some(last) };
        Some(OutboxRecord::Delivery { event: *event, at: now.unix, delivery })
    }

    /// What an answer says about the relay itself.
    fn heard(&mut self, now: Now, relay: &RelayUrl, status: ReceiptStatus) {
        let Some(queue) = self.queues.get_mut(relay) else { return };
        if status == ReceiptStatus::NotConnected {
            let wait = self.config.backoff.wait(queue.failures, &mut self.rng);
            queue.unreachable(now.monotonic + wait);
        } else {
            queue.reached();
        }
    }

    /// A relay was connected: what found no connection there, or no answer, is due at once.
    pub fn connected(&mut self, now: Now, relay: &RelayUrl) {
        let entries = &self.entries;
        let Some(queue) = self.queues.get_mut(relay) else { return };
        queue.reached();
        queue.hasten(now.monotonic, |event| {
            let delivery = entries.get(event).and_then(|entry| entry.at(relay));
            let last = delivery.and_then(|delivery| delivery.last.as_ref());
            last.is_none_or(|last| last.status != ReceiptStatus::Refused)
        });
    }

    /// The records of what is too old: entries to be given up, and finished ones to be forgotten.
    pub fn tidy(&mut self, now: Now) -> Vec<OutboxRecord> {
        let old = now.unix.saturating_sub(seconds(self.config.max_age));
        let mut records = Vec::new();
        for (queued_at, event) in &self.unfinished {
            if *queued_at > old {
                break;
            }
            if let Some(entry) = self.entries.get(event) {
                records.extend(ending(entry, now.unix, DeliveryState::Expired));
            }
        }
        self.failed += records.len() as u64;
        let forgotten = now.unix.saturating_sub(seconds(self.config.keep_finished));
        let surplus = self.finished.len().saturating_sub(FINISHED_MAX);
        for (number, (finished_at, event)) in self.finished.iter().enumerate() {
            if number >= surplus && *finished_at > forgotten {
                break;
            }
            records.push(OutboxRecord::Forgotten { event: *event });
        }
        records
    }

    /// How long nothing is to be done; `None` while nothing waits.
    pub fn idle(&self, now: Now) -> Option<Duration> {
        let try_next = match self.in_flight < IN_FLIGHT_MAX {
            true => self.queues.values().filter_map(RelayQueue::next).min(),
            false => None,
        };
        let try_next = try_next.map(|at| at.saturating_sub(now.monotonic));
        let after = |at: i64, time: Duration| {
            let end = at.saturating_add(seconds(time));
            Duration::from_secs(u64::try_from(end.saturating_sub(now.unix)).unwrap_or(0))
        };
        let expiry = self.unfinished.first().map(|(at, _)| after(*at, self.config.max_age));
        let forgetting = self.finished.first().map(|(at, _)| after(*at, self.config.keep_finished));
        [try_next, expiry, forgetting].into_iter().flatten().min()
    }

    /// One event.
    pub fn get(&self, event: &EventId) -> Option<&OutboxEntry> {
        self.entries.get(event)
    }

    /// All events, those that wait first, the oldest before the others.
    pub fn list(&self) -> impl Iterator<Item = &OutboxEntry> {
        let order = self.unfinished.iter().chain(&self.finished);
        order.filter_map(|(_, event)| self.entries.get(event))
    }

    /// The records that give this state, for a journal that is written anew.
    pub fn records(&self) -> impl Iterator<Item = OutboxRecord> {
        self.list().flat_map(OutboxEntry::records)
    }

    /// What there is.
    pub fn counts(&self, now: Now) -> OutboxCounts {
        let oldest = self.unfinished.first().map_or(now.unix, |(at, _)| *at);
        OutboxCounts {
            waiting: self.unfinished.len(),
            bytes: self.bytes,
            oldest_age_secs: u64::try_from(now.unix.saturating_sub(oldest)).unwrap_or(0),
            finished: self.finished.len(),
            in_flight: self.queues.values().map(RelayQueue::in_flight).sum(),
            retries: self.retries,
            delivered: self.delivered,
            failed: self.failed,
        }
    }
}

/// The records that end an entry where it waits.
fn ending(entry: &OutboxEntry, at: i64, state: DeliveryState) -> Vec<OutboxRecord> {
    let waiting = entry.relays.iter().filter(|delivery| !delivery.state.is_final());
    let ended = waiting.map(|delivery| RelayDelivery { state, ..delivery.clone() });
    let event = entry.event;
    ended.map(|delivery| OutboxRecord::Delivery { event, at, delivery }).collect()
}

fn finish_if_done(entry: &mut OutboxEntry, at: i64) {
    if !entry.is_finished() && entry.relays.iter().all(|delivery| delivery.state.is_final()) {
        entry.finished_at = Some(at);
        entry.json = Arc::from("");
    }
}
