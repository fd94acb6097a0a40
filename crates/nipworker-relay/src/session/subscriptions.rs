//! REQs of one relay: asking, queueing, asking again, giving up waiting.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use nipworker_protocol::{ClientMessage, Filter, RelayUrl};
use nipworker_transport::Outgoing;

use super::{Link, RelaySession, places::Waiting};
use crate::{
    Delivery, Now,
    book::{BookedPart, BookedRequest, Told},
    effect::{Out, Progress, Step},
    resume_filters,
};

/// A subscription at one relay.
pub(crate) struct Subscription {
    pub(super) name: Arc<str>,
    filters: Arc<[Filter]>,
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
    asked: Asked,
}

enum Asked {
    /// Not on this connection, or waiting for a place.
    No,
    Open {
        wire: String,
        at: Duration,
        /// Whether the stored events are complete on this connection.
        complete: bool,
        /// Newest event that came on this connection before they were.
        newest: Option<i64>,
    },
    /// The relay ended it on this connection; `retry` is when to ask again.
    Ended { retry: Option<Duration> },
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
            asked: Asked::No,
        }
    }

    /// Events that came could not be handed on. They are asked for again with the next REQ, so
    /// nothing that comes before that may move the anchor past them.
    pub(super) fn lost_events(&mut self) {
        self.anchor = self.safe_anchor;
        self.is_held = true;
    }

    /// Asks, from the anchor on.
    fn ask(&mut self, wire: String, now: Now, overlap_secs: i64) -> String {
        let frame = self.frame(&wire, overlap_secs);
        self.is_held = false;
        self.asked = Asked::Open { wire, at: now.monotonic, complete: false, newest: None };
        frame
    }

    fn frame(&self, wire: &str, overlap_secs: i64) -> String {
        match self.anchor {
            None => ClientMessage::req_frame(wire, &self.filters),
            Some(anchor) => {
                let filters = resume_filters(&self.filters, anchor, overlap_secs);
                ClientMessage::req_frame(wire, &filters)
            }
        }
    }

    /// Whether the time of a further event can change anything: none counts beyond `now`.
    pub(super) fn may_learn(&self, now: Now) -> bool {
        if self.is_held {
            return false;
        }
        match &self.asked {
            Asked::Open { complete: true, .. } => self.anchor < Some(now.unix),
            Asked::Open { newest, .. } => *newest < Some(now.unix),
            Asked::No | Asked::Ended { .. } => false,
        }
    }

    /// Some events came that were created at these times; one that claims to be of the future
    /// counts as of now, or the next question would leave out everything before it.
    pub(super) fn saw(&mut self, created_at: i64, now: Now) {
        let Asked::Open { complete, newest, .. } = &mut self.asked else { return };
        let seen = Some(created_at.min(now.unix));
        if *complete {
            self.anchor = self.anchor.max(seen);
        } else {
            *newest = (*newest).max(seen);
        }
    }

    /// The stored events are complete; tells since when the answer was waited for, unless it had
    /// been complete before.
    pub(super) fn completed(&mut self, now: Now) -> Option<Duration> {
        let Asked::Open { at, complete, newest, .. } = &mut self.asked else { return None };
        if std::mem::replace(complete, true) {
            return None;
        }
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
        let waiting: Vec<Arc<str>> = self.waiting.live().map(Arc::clone).collect();
        self.tell_without_prospect(waiting, out);
    }

    /// What was open on the connection is not any more.
    pub(super) fn forget_wire(&mut self) {
        self.wire.clear();
        self.waiting = Waiting::default();
        for subscription in self.subscriptions.values_mut() {
            subscription.asked = Asked::No;
        }
    }

    fn enqueue(&mut self, now: Now, name: Arc<str>, out: &mut Out) {
        let Some(subscription) = self.subscriptions.get(&name) else { return };
        self.waiting.push(Arc::clone(&name), subscription.close_on_eose);
        self.fill(now, out);
        self.tell_without_prospect(vec![name], out);
    }

    /// Queries make room when they end, and so they wait for each other. A live subscription has
    /// nothing to wait for once others of its kind hold all the places that it might get: it is
    /// told so at once, and still has its turn when one of them is closed.
    fn tell_without_prospect(&mut self, mut names: Vec<Arc<str>>, out: &mut Out) {
        names.retain(|name| {
            self.subscriptions.get(name).is_some_and(|waiting| {
                !waiting.close_on_eose
                    && waiting.told == Told::Nothing
                    && matches!(waiting.asked, Asked::No)
            })
        });
        if !names.is_empty() && self.live_places_taken() >= self.config.live_places() {
            self.tell(names, &self.waits(false), out);
        }
    }

    /// Opens what waits as long as there are places.
    pub(super) fn fill(&mut self, now: Now, out: &mut Out) {
        if self.waiting.is_empty() || !matches!(self.link, Link::Up(_)) {
            return;
        }
        let mut live = self.live_places_taken();
        while self.wire.len() < self.config.max_open_subscriptions
            && let Some(name) = self.waiting.next(live < self.config.live_places())
        {
            let Some(subscription) = self.subscriptions.get_mut(&name) else { continue };
            live += usize::from(!subscription.close_on_eose);
            self.last_wire += 1;
            let wire = format!("{:x}", self.last_wire);
            let overlap = self.config.resubscribe_overlap_secs;
            let frame = subscription.ask(wire.clone(), now, overlap);
            self.wire.insert(wire, name);
            self.transmit(Outgoing::Text(frame), out);
        }
    }

    /// Ends a subscription here, on the wire too.
    pub(super) fn remove(&mut self, name: &str, out: &mut Out) {
        let Some(subscription) = self.subscriptions.remove(name) else { return };
        self.alarms.retain(|(_, alarm)| **alarm != *name);
        self.waiting.remove(name);
        self.dirty.remove(name);
        if let Asked::Open { wire, .. } = subscription.asked {
            self.wire.remove(&wire);
            self.transmit(Outgoing::Text(ClientMessage::close_frame(&wire)), out);
        }
    }

    /// The relay ended a subscription by itself: there is nothing to close. When the reason is a
    /// `passing` one it is asked again after a while.
    pub(super) fn ended(&mut self, now: Now, name: &Arc<str>, passing: bool) {
        let Some(subscription) = self.subscriptions.get_mut(name) else { return };
        subscription.told = Told::Answer;
        let retry = passing.then(|| now.monotonic + self.config.closed_retry);
        let before = std::mem::replace(&mut subscription.asked, Asked::Ended { retry });
        if let Asked::Open { wire, .. } = before {
            self.wire.remove(&wire);
        }
        if let Some(at) = retry {
            self.alarms.insert((at, Arc::clone(name)));
        }
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
            let Some(subscription) = self.subscriptions.get(&name) else { continue };
            if let Asked::Ended { retry: Some(at) } = subscription.asked
                && at <= now.monotonic
            {
                self.enqueue(now, name, out);
            } else if subscription.told == Told::Nothing && subscription.deadline <= now.monotonic {
                let limit = subscription.patience.as_millis();
                let reason = match (&self.link, &subscription.asked) {
                    (Link::Up(_), Asked::No) => self.waits(subscription.close_on_eose),
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
