//! REQs of one relay: asking, queueing, asking again, giving up waiting.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use nipworker_protocol::{Filter, RelayUrl};

use super::{
    Link, RelaySession,
    auth::{Auth, Prospect},
    places::Waiting,
    private::{PutOff, asks_for_private},
};
use crate::{
    AuthProblem, AuthState, Delivery, Now, RelayPool,
    book::{BookedPart, BookedRequest, Told},
    effect::{Out, Progress, Step},
    resume_filters,
    stats::cut,
};

/// A subscription at one relay.
pub(crate) struct Subscription {
    pub(super) name: Arc<str>,
    pub(super) filters: Arc<[Filter]>,
    pub(super) close_on_eose: bool,
    /// How long the first answer is waited for.
    patience: Duration,
    /// When that ends.
    deadline: Duration,
    /// Whether the first answer was told, or its absence.
    pub(super) told: Told,
    /// The subscription has everything up to this time (unix seconds); `None` until its stored
    /// events were complete once.
    anchor: Option<i64>,
    /// The anchor when everything that came before was handed on: the one in the book.
    safe_anchor: Option<i64>,
    /// Events were lost since it was asked: the anchor stays before them until it is asked again.
    is_held: bool,
    /// The relay ended a REQ that it shared with others, maybe because of its filters.
    pub(super) is_alone: bool,
    /// Events of the next batch at most. It begins with [`RelayPool::FIRST_BATCH_EVENTS`].
    pub(super) next_batch: usize,
    /// It was answered, or asked, when the relay did not know us; messages may have been left out.
    pub(super) as_stranger: bool,
    pub(super) asked: Asked,
}

pub(super) enum Asked {
    /// Not on this connection, or waiting for a place.
    No,
    Open {
        /// The REQs that it rides on: one, unless it was too long for one, or is asked for pages.
        wires: Vec<String>,
        /// Of these, how many have not sent all they had stored.
        missing: usize,
        at: Duration,
        /// Newest event that came on this connection before the stored ones were complete.
        newest: Option<i64>,
        /// How often the relay had accepted who we are by then.
        authenticated: u32,
        /// Whether the relay knew us by then, as far as it ever will.
        known: bool,
    },
    /// The relay ended it on this connection.
    Ended(Ended),
}

/// What becomes of a subscription that the relay ended.
#[derive(Debug, Clone)]
pub(super) enum Ended {
    /// It is asked again at `retry`, or not on this connection.
    By { retry: Option<Duration> },
    /// The relay wants to know first who we are. Until the time is over that is waited for, and
    /// not told; after that it is asked again when the relay knows.
    Unknown { until: Option<Duration>, message: Arc<str> },
}

impl Subscription {
    pub(crate) fn new(
        name: &Arc<str>,
        relay: &RelayUrl,
        request: &BookedRequest,
        part: BookedPart,
    ) -> Self {
        Self {
            name: Arc::clone(name),
            filters: Arc::clone(request.filters_at(relay)),
            close_on_eose: request.close_on_eose,
            patience: request.patience,
            deadline: request.deadline,
            told: part.told,
            anchor: part.anchor,
            safe_anchor: part.anchor,
            is_held: false,
            is_alone: false,
            next_batch: RelayPool::FIRST_BATCH_EVENTS,
            as_stranger: false,
            asked: Asked::No,
        }
    }

    /// Events that came could not be handed on. They are asked for again with the next REQ, so
    /// nothing that comes before that may move the anchor past them.
    pub(super) fn lost_events(&mut self) {
        self.anchor = self.safe_anchor;
        self.is_held = true;
    }

    /// What is to be asked: everything, or from the anchor on. Of a relay that knows us now and did
    /// not before, both: what it hid then may be older than the anchor.
    pub(super) fn question(&self, overlap_secs: i64, known: bool) -> Vec<Filter> {
        let Some(anchor) = self.anchor else { return self.filters.to_vec() };
        let mut filters = resume_filters(&self.filters, anchor, overlap_secs);
        if known && self.as_stranger && self.is_private() {
            filters.extend(self.filters.iter().filter(|filter| asks_for_private(filter)).cloned());
        }
        filters
    }

    /// Whether it asks for messages that relays hide from strangers.
    pub(super) fn is_private(&self) -> bool {
        self.filters.iter().any(asks_for_private)
    }

    /// Until when it may wait for the relay to know us, at most until `latest`: half of the time for
    /// its first answer is left to the relay.
    pub(super) fn waits_until(&self, latest: Duration) -> Duration {
        match self.told {
            Told::Nothing => latest.min(self.deadline.saturating_sub(self.patience / 2)),
            _ => latest,
        }
    }

    /// Whether it is asked from a last seen time on.
    pub(super) fn is_resumed(&self) -> bool {
        self.anchor.is_some()
    }

    /// It is asked now; the REQs follow.
    pub(super) fn begin(&mut self, now: Now, authenticated: u32, known: bool) {
        self.is_held = false;
        self.next_batch = RelayPool::FIRST_BATCH_EVENTS;
        self.as_stranger |= !known;
        let (wires, at) = (Vec::new(), now.monotonic);
        self.asked = Asked::Open { wires, missing: 0, at, newest: None, authenticated, known };
    }

    /// A REQ is complete and another one follows for the rest; it `stays` or is closed.
    pub(super) fn turns_page(&mut self, wire: &str, stays: bool) {
        if let Asked::Open { wires, missing, .. } = &mut self.asked {
            *missing = missing.saturating_sub(1);
            if !stays {
                wires.retain(|other| other != wire);
            }
        }
    }

    /// It is asked by a REQ.
    pub(super) fn rides_on(&mut self, wire: String) {
        if let Asked::Open { wires, missing, .. } = &mut self.asked {
            wires.push(wire);
            *missing += 1;
        }
    }

    /// Whether the time of a further event can change anything: none counts beyond `now`.
    pub(super) fn may_learn(&self, now: Now) -> bool {
        if self.is_held {
            return false;
        }
        match &self.asked {
            Asked::Open { missing: 0, .. } => self.anchor < Some(now.unix),
            Asked::Open { newest, .. } => *newest < Some(now.unix),
            Asked::No | Asked::Ended(_) => false,
        }
    }

    /// Some events came that were created at these times; one that claims to be of the future
    /// counts as of now, or the next question would leave out everything before it.
    pub(super) fn saw(&mut self, created_at: i64, now: Now) {
        let Asked::Open { missing, newest, .. } = &mut self.asked else { return };
        let seen = Some(created_at.min(now.unix));
        if *missing == 0 {
            self.anchor = self.anchor.max(seen);
        } else {
            *newest = (*newest).max(seen);
        }
    }

    /// The stored events of one of its REQs are complete. When those of all are, tells since when
    /// the answer was waited for.
    pub(super) fn completed(&mut self, now: Now) -> Option<Duration> {
        let Asked::Open { at, missing, newest, known, .. } = &mut self.asked else { return None };
        *missing = missing.checked_sub(1)?;
        if *missing > 0 {
            return None;
        }
        self.as_stranger &= !*known;
        let at = *at;
        if self.is_held {
            return Some(at);
        }
        let limited = self.filters.iter().any(|filter| filter.limit.is_some());
        // Without any event there is no last seen time. A limited subscription goes on from here,
        // another one simply asks for everything again.
        let here = (limited && self.anchor.is_none()).then_some(now.unix);
        self.anchor = self.anchor.max(newest.or(here));
        Some(at)
    }
}

impl RelaySession {
    pub(crate) fn open(&mut self, now: Now, subscription: Subscription, out: &mut Out) {
        let name = Arc::clone(&subscription.name);
        if subscription.told == Told::Nothing {
            self.alarms.insert((subscription.deadline, Arc::clone(&name)));
        }
        self.subscriptions.insert(Arc::clone(&name), subscription);
        match &self.link {
            Link::Up(_) => self.enqueue(now, name, out),
            Link::Waiting { reached: false, .. } => {
                let reason = "the last attempt to connect failed";
                self.tell_unavailable(reason, out);
            }
            _ => {}
        }
        self.settle(now, out);
    }

    pub(crate) fn close(&mut self, now: Now, name: &str, out: &mut Out) {
        if self.subscriptions.contains_key(name) {
            self.remove(name, out);
            // What the former subscription of this name was still to be told must not be taken
            // for news of a new one. Nothing else waits here: messages are read one batch at a
            // time.
            self.outbox.retain_mut(|delivery| match delivery {
                Delivery::Unavailable { subscriptions, .. } => {
                    subscriptions.retain(|subscription| **subscription != *name);
                    !subscriptions.is_empty()
                }
                _ => true,
            });
            self.fill(now, out);
            self.settle(now, out);
        }
    }

    /// On a new connection everything is asked anew.
    pub(super) fn ask_all(&mut self, now: Now, out: &mut Out) {
        self.waiting = Waiting::new(&self.subscriptions);
        self.fill(now, out);
        let waiting: Vec<Arc<str>> = self.waiting.of_kind(false).iter().map(Arc::clone).collect();
        self.tell_without_prospect(waiting, out);
    }

    /// What was open on the connection is not any more.
    pub(super) fn forget_wire(&mut self) {
        self.wire.clear();
        self.auth = Auth::default();
        self.stats.set_auth(AuthState::NotAsked, None);
        self.waiting = Waiting::default();
        self.put_off = PutOff::default();
        for subscription in self.subscriptions.values_mut() {
            subscription.asked = Asked::No;
        }
    }

    pub(super) fn enqueue(&mut self, now: Now, name: Arc<str>, out: &mut Out) {
        if self.puts_off(now, &name) {
            return;
        }
        let Some(subscription) = self.subscriptions.get(&name) else { return };
        self.waiting.push(Arc::clone(&name), subscription.close_on_eose);
        self.fill(now, out);
        self.tell_without_prospect(vec![name], out);
    }

    /// Queries make room when they end, and so they wait for each other. A live subscription has
    /// nothing to wait for once others of its kind hold all the places that it might get: it is
    /// told so at once, and still has its turn when one of them is closed.
    pub(super) fn tell_without_prospect(&mut self, mut names: Vec<Arc<str>>, out: &mut Out) {
        names.retain(|name| {
            self.subscriptions.get(name).is_some_and(|waiting| {
                !waiting.close_on_eose
                    && waiting.told == Told::Nothing
                    && matches!(waiting.asked, Asked::No)
            })
        });
        if !names.is_empty() && self.live_places_taken() >= self.live_places() {
            self.tell(names, &self.waits(false), out);
        }
    }

    /// Ends a subscription here, on the wire too.
    pub(super) fn remove(&mut self, name: &str, out: &mut Out) {
        let Some(subscription) = self.subscriptions.remove(name) else { return };
        self.alarms.retain(|(_, alarm)| **alarm != *name);
        self.waiting.remove(name);
        self.put_off.remove(name);
        self.dirty.remove(name);
        if let Asked::Open { wires, .. } = subscription.asked {
            self.get_off(name, &wires, out);
        }
    }

    /// The relay ended a subscription by itself: there is nothing to close.
    pub(super) fn ended(&mut self, name: &Arc<str>, how: Ended, out: &mut Out) {
        let Some(subscription) = self.subscriptions.get_mut(name) else { return };
        let alarm = match &how {
            Ended::By { retry } => *retry,
            Ended::Unknown { until, .. } => *until,
        };
        if !matches!(how, Ended::Unknown { until: Some(_), .. }) {
            subscription.told = Told::Answer;
        }
        let before = std::mem::replace(&mut subscription.asked, Asked::Ended(how));
        if let Asked::Open { wires, .. } = before {
            self.get_off(name, &wires, out);
        }
        if let Some(at) = alarm {
            self.alarms.insert((at, Arc::clone(name)));
        }
    }

    /// The relay ended a subscription because it wants to know first who we are.
    pub(super) fn refused_subscription(
        &mut self,
        now: Now,
        name: Arc<str>,
        message: &str,
        out: &mut Out,
    ) {
        let Some(subscription) = self.subscriptions.get(&name) else { return };
        let Asked::Open { authenticated, .. } = subscription.asked else { return };
        let until = Some(now.monotonic + self.config.auth.deadline);
        let message: Arc<str> = cut(message).into();
        let unknown = |until| Ended::Unknown { until, message: Arc::clone(&message) };
        match self.refused_for_auth(now, authenticated, out) {
            Prospect::Again => {
                self.ended(&name, unknown(until), out);
                self.ask_refused_again(now, out);
            }
            Prospect::Wait => self.ended(&name, unknown(until), out),
            Prospect::None(problem) => {
                self.ended(&name, unknown(None), out);
                self.tell_closed(name, &message, Some(problem));
            }
        }
    }

    /// The relay knows now who we are.
    pub(super) fn ask_refused_again(&mut self, now: Now, out: &mut Out) {
        let refused = |subscription: &&Subscription| {
            matches!(subscription.asked, Asked::Ended(Ended::Unknown { .. }))
        };
        let names: Vec<Arc<str>> = self
            .subscriptions
            .values()
            .filter(refused)
            .map(|subscription| Arc::clone(&subscription.name))
            .collect();
        for name in names {
            if let Some(subscription) = self.subscriptions.get_mut(&name) {
                subscription.asked = Asked::No;
            }
            self.stats.auth_resent.increment();
            self.enqueue(now, name, out);
        }
    }

    /// The relay will not know who we are, at least not soon: nobody waits for that.
    pub(super) fn give_up_refused_subscriptions(
        &mut self,
        now: Now,
        problem: AuthProblem,
        out: &mut Out,
    ) {
        let mut refused = Vec::new();
        for subscription in self.subscriptions.values() {
            if let Asked::Ended(Ended::Unknown { until: Some(_), message }) = &subscription.asked {
                refused.push((Arc::clone(&subscription.name), Arc::clone(message)));
            }
        }
        for (name, message) in refused {
            let how = Ended::Unknown { until: None, message: Arc::clone(&message) };
            self.ended(&name, how, out);
            self.tell_closed(name, &message, Some(problem));
        }
        self.fill(now, out);
    }

    /// Tells everybody who still waits for a first answer that there is none now.
    pub(super) fn tell_unavailable(&mut self, reason: &str, out: &mut Out) {
        let waiting: Vec<Arc<str>> = self
            .subscriptions
            .values()
            .filter(|subscription| subscription.told == Told::Nothing)
            .map(|subscription| Arc::clone(&subscription.name))
            .collect();
        self.tell(waiting, reason, out);
    }

    fn tell(&mut self, waiting: Vec<Arc<str>>, reason: &str, out: &mut Out) {
        if waiting.is_empty() {
            return;
        }
        self.stats.eose_missed.add(waiting.len() as u64);
        for name in &waiting {
            let Some(subscription) = self.subscriptions.get_mut(name) else { continue };
            subscription.told = Told::Unavailable;
            if subscription.close_on_eose {
                self.remove(name, out);
                self.finished.push(Arc::clone(name));
            } else {
                self.dirty.insert(Arc::clone(name));
            }
        }
        self.outbox
            .push(Delivery::Unavailable { subscriptions: waiting, reason: reason.to_owned() });
    }

    /// Deadlines and retries that are due.
    pub(super) fn ring(&mut self, now: Now, out: &mut Out) {
        // By the reason that is given.
        let mut silent: BTreeMap<String, Vec<Arc<str>>> = BTreeMap::new();
        while let Some((at, _)) = self.alarms.first()
            && *at <= now.monotonic
            && let Some((_, name)) = self.alarms.pop_first()
        {
            let Some(subscription) = self.subscriptions.get_mut(&name) else { continue };
            if let Asked::Ended(Ended::By { retry: Some(at) }) = subscription.asked
                && at <= now.monotonic
            {
                subscription.asked = Asked::No;
                self.enqueue(now, name, out);
            } else if let Asked::Ended(Ended::Unknown { until: Some(at), message }) =
                &subscription.asked
                && *at <= now.monotonic
            {
                let message = Arc::clone(message);
                let problem = self.auth.problem();
                let how = Ended::Unknown { until: None, message: Arc::clone(&message) };
                self.ended(&name, how, out);
                self.tell_closed(name, &message, Some(problem));
            } else if subscription.told == Told::Nothing && subscription.deadline <= now.monotonic {
                let limit = subscription.patience.as_millis();
                let is_query = subscription.close_on_eose;
                let reason = match (&self.link, &subscription.asked) {
                    (Link::Up(_), Asked::Ended(_)) => self.auth.problem().to_string(),
                    (Link::Up(_), Asked::No) if self.put_off.has(&name) => {
                        self.auth.problem().to_string()
                    }
                    (Link::Up(_), Asked::No) => self.waits(is_query),
                    (Link::Up(_), _) => format!("no end of stored events within {limit} ms"),
                    _ => format!("no connection within {limit} ms"),
                };
                silent.entry(reason).or_default().push(name);
            }
        }
        if !silent.is_empty() {
            for (reason, names) in silent {
                self.tell(names, &reason, out);
            }
            self.fill(now, out);
        }
    }

    /// Everything up to here was handed on: the book may know.
    pub(super) fn note_progress(&mut self, out: &mut Out) {
        for subscription in std::mem::take(&mut self.finished) {
            // Opened anew in the meantime: then it is the new one that the book holds.
            if !self.subscriptions.contains_key(&subscription) {
                let relay = self.url.clone();
                out.progress.push(Progress { relay, subscription, step: Step::Finished });
            }
        }
        for name in std::mem::take(&mut self.dirty) {
            if let Some(subscription) = self.subscriptions.get_mut(&name) {
                subscription.safe_anchor = subscription.anchor;
                let Subscription { anchor, told, .. } = subscription;
                let step = Step::At { anchor: *anchor, told: *told };
                let relay = self.url.clone();
                out.progress.push(Progress { relay, subscription: name, step });
            }
        }
    }
}
