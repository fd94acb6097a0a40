//! All relays together.

mod admission;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use nipworker_protocol::{Event, Filter, RelayUrl};
use nipworker_transport::{Incoming, TransportError};
use serde_json::value::RawValue;

use crate::{
    BookLease, ConnectionId, Delivery, DeliveryId, Effect, Loss, MAX_HELD_EVENTS, Now, PublishId,
    Receipt, ReceiptStatus, ReconcileId, ReconcileRequest, RelayBook, RelayConfig, SignFailure,
    SignId,
    book::{BookedPart, BookedPublish, BookedRequest},
    effect::Out,
    request::{OpenRequest, PublishRequest, RequestError},
    routing::Heard,
    session::{Outbound, Reconciliation, RelaySession, Subscription},
};

/// Subscriptions open at once; further ones are refused.
const MAX_SUBSCRIPTIONS: usize = 4_096;
/// Publishes without an answer at once; further ones are refused.
const MAX_UNANSWERED_PUBLISHES: usize = 4_096;
/// Reconciliations under way at once, over all relays; further ones are refused.
const MAX_RECONCILIATIONS: usize = 64;
/// Longest time that a publish may wait for its answers.
const MAX_PUBLISH_DEADLINE: Duration = Duration::from_secs(300);

/// The sessions of all relays; see the [crate's rules](crate).
///
/// Every method that returns effects expects them to be carried out before the next call, in
/// order, as far as one relay is concerned.
pub struct RelayPool {
    config: Arc<RelayConfig>,
    lease: BookLease,
    sessions: BTreeMap<RelayUrl, RelaySession>,
    waiting: HashMap<PublishId, Gathering>,
    last_id: u64,
    seed: u64,
    /// No publish waits longer than this.
    latest: Duration,
}

/// Receipts of one publish whose sender waits.
struct Gathering {
    missing: usize,
    receipts: Vec<Receipt>,
}

impl RelayPool {
    /// Events in one [`Delivery::Events`] at most.
    pub const EVENTS_PER_BATCH: usize = 256;

    /// Events in the first [`Delivery::Events`] of a subscription that is asked, at most; each
    /// further one may have twice as many. A batch is checked and stored as a whole before its
    /// first event reaches a reader, so the first one is small.
    pub const FIRST_BATCH_EVENTS: usize = 8;

    /// Takes over `book` and begins to connect to everything that it asks for. `seed` decides the
    /// jitter.
    pub fn new(
        config: Arc<RelayConfig>,
        book: &Arc<RelayBook>,
        seed: u64,
        now: Now,
    ) -> (Self, Vec<Effect>) {
        let lease = book.lease();
        let last_id = lease.first_id();
        let mut pool = Self {
            config,
            lease,
            sessions: BTreeMap::new(),
            waiting: HashMap::new(),
            last_id,
            seed,
            latest: Duration::MAX,
        };
        let effects = pool.run(now, |pool, out| pool.rebuild(now, out));
        (pool, effects)
    }

    /// Opens a subscription and returns the relays that it now belongs to. Those that the pool has
    /// no room for are reported by [`Delivery::Unavailable`]. A subscription of the same name is
    /// replaced: it is asked anew everywhere and answered anew.
    ///
    /// # Errors
    /// See [`RequestError`]. Nothing has changed then.
    pub fn open(
        &mut self,
        now: Now,
        request: OpenRequest,
    ) -> Result<(Vec<RelayUrl>, Vec<Effect>), RequestError> {
        if request.filters.is_empty() {
            return Err(RequestError::NoFilter);
        }
        let (relays, routed) = self.routes(now, request.relays, &request.filters)?;
        let subscription: Arc<str> = request.subscription.into();
        let (open, known) = self
            .lease
            .write(|pages| (pages.requests.len(), pages.requests.contains_key(&subscription)));
        if !known && open >= MAX_SUBSCRIPTIONS {
            return Err(RequestError::TooManySubscriptions { limit: MAX_SUBSCRIPTIONS });
        }
        let filters: Arc<[Filter]> = request.filters.into();
        let patience = request.deadline.unwrap_or(self.config.eose_deadline);
        let deadline = now.monotonic.saturating_add(patience);
        let mut taken = Vec::with_capacity(relays.len());
        let effects = self.run(now, |pool, out| {
            pool.close_everywhere(now, &subscription, out);
            for relay in relays {
                if pool.admit(now, &relay, routed.contains_key(&relay), out) {
                    taken.push(relay);
                } else {
                    pool.no_room(&relay, &subscription, out);
                }
            }
            let parts = taken.iter().map(|relay| (relay.clone(), BookedPart::default()));
            let booked = BookedRequest {
                filters: Arc::clone(&filters),
                routed,
                close_on_eose: request.close_on_eose,
                patience,
                deadline,
                relays: parts.collect(),
            };
            if !taken.is_empty() {
                pool.lease.write(|pages| {
                    pages.requests.insert(Arc::clone(&subscription), booked.clone());
                });
            }
            for relay in &taken {
                pool.session(relay, |session| {
                    let part = BookedPart::default();
                    session.open(now, Subscription::new(&subscription, relay, &booked, part), out);
                });
            }
        });
        Ok((taken, effects))
    }

    /// Closes a subscription, or ends a reconciliation; `false` when there is none of that name.
    pub fn close(&mut self, now: Now, subscription: &str) -> (bool, Vec<Effect>) {
        let mut known = false;
        let effects = self.run(now, |pool, out| {
            known = pool.close_everywhere(now, subscription, out);
            for session in pool.sessions.values_mut() {
                known |= session.cancel_reconciliation(now, subscription, out);
            }
        });
        (known, effects)
    }

    /// Finds out which events only one side has (NIP-77). [`Effect::Reconciled`] follows, whatever
    /// the relay does, within the request's deadline. One relay reconciles one filter after
    /// another. One of the same name is replaced. It is not in the book: an owner that ends leaves
    /// it to the asker to ask again.
    ///
    /// # Errors
    /// See [`RequestError`]. Nothing was sent then.
    pub fn reconcile(
        &mut self,
        now: Now,
        request: ReconcileRequest,
    ) -> Result<(ReconcileId, Vec<Effect>), RequestError> {
        let relay = request.relay.clone();
        if request.held.len() > MAX_HELD_EVENTS {
            let got = request.held.len();
            return Err(RequestError::TooManyHeld { got, limit: MAX_HELD_EVENTS });
        }
        let others = |session: &RelaySession| session.reconciliations_but(&request.name);
        let under_way: usize = self.sessions.values().map(others).sum();
        if under_way >= MAX_RECONCILIATIONS {
            return Err(RequestError::TooManyReconciliations { limit: MAX_RECONCILIATIONS });
        }
        let session = self.sessions.get(&relay);
        if session.is_some_and(|session| session.reconciles(&request.filter, &request.name)) {
            return Err(RequestError::ReconcilesAlready { relay });
        }
        let mut reconcile = ReconcileId(0);
        let effects = self.run(now, |pool, out| {
            for session in pool.sessions.values_mut() {
                session.cancel_reconciliation(now, &request.name, out);
            }
            reconcile = ReconcileId(out.next_id());
            let task = Reconciliation::new(reconcile, request, now, pool.latest);
            if pool.admit(now, &relay, false, out) {
                pool.session(&relay, |session| session.reconcile(now, task, out));
            } else {
                task.not_connected(pool.full(), out);
            }
        });
        Ok((reconcile, effects))
    }

    /// Sends an event to its relays. [`Effect::Receipts`] follows when each has answered or the
    /// time is over.
    ///
    /// # Errors
    /// See [`RequestError`]. Nothing was sent then.
    pub fn publish(
        &mut self,
        now: Now,
        request: PublishRequest,
    ) -> Result<(PublishId, Vec<Effect>), RequestError> {
        // The text becomes a part of a frame: it must be one whole value.
        serde_json::from_str::<&RawValue>(&request.json).map_err(|_| RequestError::NotJson)?;
        let routed = request.relays.is_empty() && self.lease.book().router().is_some();
        let relays = self.targets_of(now, request.relays, &request.json)?;
        if self.lease.book().unanswered_publishes() >= MAX_UNANSWERED_PUBLISHES {
            return Err(RequestError::TooManyPublishes { limit: MAX_UNANSWERED_PUBLISHES });
        }
        let publish = self.lease.next_publish();
        let deadline = request.deadline.unwrap_or(self.config.publish_deadline);
        let booked = BookedPublish {
            event: request.event,
            frame: format!(r#"["EVENT",{}]"#, request.json).into(),
            relays: relays.iter().cloned().collect(),
            routed,
            asked: now.monotonic,
            deadline: (now.monotonic + deadline.min(MAX_PUBLISH_DEADLINE)).min(self.latest),
            owners: 1,
        };
        self.waiting.insert(publish, Gathering { missing: relays.len(), receipts: Vec::new() });
        let effects = self.run(now, |pool, out| {
            pool.lease.write(|pages| {
                pages.publishes.insert(publish, booked.clone());
            });
            pool.send(now, publish, &booked, out);
        });
        Ok((publish, effects))
    }

    /// An attempt to connect came to its end. The connection itself stays with the caller; it is
    /// to be dropped when the effects say so.
    pub fn dialled(
        &mut self,
        now: Now,
        relay: &RelayUrl,
        connection: ConnectionId,
        result: Result<(), &TransportError>,
    ) -> Vec<Effect> {
        let effects =
            self.with(now, relay, |session, out| session.dialled(now, connection, result, out));
        if result.is_ok() {
            self.lease.book().connected(relay);
        }
        if let Some(router) = self.lease.book().router() {
            let heard = if result.is_ok() { Heard::Connected } else { Heard::Failed };
            router.heard(now.monotonic, relay, heard);
        }
        effects
    }

    /// Messages came, as [`Effect::Read`] asked for.
    pub fn received(
        &mut self,
        now: Now,
        relay: &RelayUrl,
        connection: ConnectionId,
        messages: Vec<Incoming>,
    ) -> Vec<Effect> {
        self.with(now, relay, |session, out| session.received(now, connection, messages, out))
    }

    /// A connection ended, on reading or on writing. What was read before is told first.
    pub fn lost(
        &mut self,
        now: Now,
        relay: &RelayUrl,
        connection: ConnectionId,
        error: &TransportError,
    ) -> Vec<Effect> {
        self.with(now, relay, |session, out| session.lost(now, connection, error, out))
    }

    /// So many messages of [`Effect::Send`] were handed to the network.
    pub fn written(&mut self, relay: &RelayUrl, connection: ConnectionId, messages: usize) {
        self.session(relay, |session| session.written(connection, messages));
    }

    /// What [`Effect::Deliver`] carried was handed on, or given up: then `losses` tells whose
    /// events reached nobody. Those subscriptions are asked from before these events on when the
    /// relay is next connected.
    pub fn delivered(
        &mut self,
        now: Now,
        relay: &RelayUrl,
        delivery: DeliveryId,
        losses: &[Loss],
    ) -> Vec<Effect> {
        self.with(now, relay, |session, out| session.delivered(now, delivery, losses, out))
    }

    /// [`Effect::FetchInformation`] came to its end. `None` is a failure: it changes nothing but a
    /// counter. So does a document that is not JSON.
    pub fn information(
        &mut self,
        now: Now,
        relay: &RelayUrl,
        document: Option<&str>,
    ) -> Vec<Effect> {
        self.with(now, relay, |session, out| session.informed(now, document, out))
    }

    /// [`Effect::Sign`] was answered: with an event whose signature is right, or not.
    pub fn signed(
        &mut self,
        now: Now,
        relay: &RelayUrl,
        request: SignId,
        result: Result<&Event, SignFailure>,
    ) -> Vec<Effect> {
        self.with(now, relay, |session, out| session.signed(now, request, result, out))
    }

    /// Does what is due. Calling it too early or too often changes nothing.
    pub fn timer(&mut self, now: Now) -> Vec<Effect> {
        self.run(now, |pool, out| {
            for (relay, session) in &mut pool.sessions {
                let (_, missed, _) = session.answers();
                session.timer(now, out);
                if session.answers().1 > missed
                    && let Some(router) = pool.lease.book().router()
                {
                    router.heard(now.monotonic, relay, Heard::EoseMissed);
                }
            }
            let idle: Vec<RelayUrl> = pool
                .sessions
                .iter()
                .filter(|(_, session)| session.is_over(now))
                .map(|(relay, _)| relay.clone())
                .collect();
            for relay in idle {
                pool.dismiss(&relay, out);
            }
        })
    }

    /// When [`timer`](Self::timer) has something to do next, on the monotonic clock.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.sessions.values().filter_map(RelaySession::next_deadline).min()
    }

    /// From now on publishes, those under way too, are reported within `limit`: for an owner that
    /// is about to end and wants to leave nobody waiting.
    pub fn hurry(&mut self, now: Now, limit: Duration) -> Vec<Effect> {
        let latest = now.monotonic + limit;
        self.latest = latest;
        self.run(now, |pool, out| {
            for session in pool.sessions.values_mut() {
                session.hurry(now, latest, out);
            }
        })
    }

    /// Ends all connections with a normal close and answers every publish with what is known. The
    /// book keeps the subscriptions.
    pub fn shut_down(&mut self, now: Now) -> Vec<Effect> {
        self.run(now, |pool, out| {
            for session in pool.sessions.values_mut() {
                session.shut_down(now, out);
            }
        })
    }

    /// Number of relays in the pool.
    pub fn relays(&self) -> usize {
        self.sessions.len()
    }

    fn rebuild(&mut self, now: Now, out: &mut Out) {
        for relay in self.lease.book().desired().to_vec() {
            self.admit(now, &relay, false, out);
        }
        let (requests, publishes) =
            self.lease.write(|pages| (pages.requests.clone(), pages.publishes.clone()));
        for (subscription, request) in &requests {
            for (relay, part) in &request.relays {
                if self.admit(now, relay, request.routed.contains_key(relay), out) {
                    let subscription = Subscription::new(subscription, relay, request, *part);
                    self.session(relay, |session| session.open(now, subscription, out));
                }
            }
        }
        for (publish, booked) in &publishes {
            self.send(now, *publish, booked, out);
        }
    }

    fn send(&mut self, now: Now, publish: PublishId, booked: &BookedPublish, out: &mut Out) {
        for relay in &booked.relays {
            if self.admit(now, relay, booked.routed, out) {
                let outbound = Outbound::new(publish, booked);
                self.session(relay, |session| session.publish(now, outbound, out));
            } else {
                let receipt = Receipt {
                    relay: relay.clone(),
                    status: ReceiptStatus::NotConnected,
                    message: self.full(),
                    elapsed: Duration::ZERO,
                    auth: None,
                };
                out.receipts.push((publish, receipt));
            }
        }
    }

    fn full(&self) -> String {
        format!("the pool is full: {} relays are in use", self.config.max_relays)
    }

    fn no_room(&self, relay: &RelayUrl, subscription: &Arc<str>, out: &mut Out) {
        let subscriptions = vec![Arc::clone(subscription)];
        let deliveries = vec![Delivery::Unavailable { subscriptions, reason: self.full() }];
        let delivery = DeliveryId(out.next_id());
        out.effects.push(Effect::Deliver { relay: relay.clone(), delivery, deliveries });
    }

    fn close_everywhere(&mut self, now: Now, subscription: &str, out: &mut Out) -> bool {
        let known = self.lease.write(|pages| pages.requests.remove(subscription).is_some());
        for session in self.sessions.values_mut() {
            session.close(now, subscription, out);
        }
        known
    }

    fn session(&mut self, relay: &RelayUrl, act: impl FnOnce(&mut RelaySession)) {
        if let Some(session) = self.sessions.get_mut(relay) {
            act(session);
        }
    }

    fn with(
        &mut self,
        now: Now,
        relay: &RelayUrl,
        act: impl FnOnce(&mut RelaySession, &mut Out),
    ) -> Vec<Effect> {
        let answers =
            |pool: &Self| pool.sessions.get(relay).map(RelaySession::answers).unwrap_or_default();
        let (eoses, missed, _) = answers(self);
        let effects = self.run(now, |pool, out| pool.session(relay, |session| act(session, out)));
        if let Some(router) = self.lease.book().router() {
            let (eoses_now, missed_now, latency) = answers(self);
            if eoses_now > eoses {
                router.heard(now.monotonic, relay, Heard::Eose(latency));
            } else if missed_now > missed {
                router.heard(now.monotonic, relay, Heard::EoseMissed);
            }
        }
        effects
    }

    /// Runs one input to its end: books first, then effects.
    fn run(&mut self, now: Now, act: impl FnOnce(&mut Self, &mut Out)) -> Vec<Effect> {
        let mut out = Out { last_id: self.last_id, ..Out::default() };
        let withdrawn = self.lease.withdrawn();
        if !withdrawn.is_empty() {
            for session in self.sessions.values_mut() {
                session.withdraw(now, &withdrawn, &mut out);
            }
        }
        act(self, &mut out);
        self.last_id = out.last_id;
        self.lease.note(out.progress);
        self.lease.keep_documents(out.documents);
        let mut effects = out.effects;
        for (publish, receipt) in out.receipts {
            self.lease.write(|pages| {
                if let Some(booked) = pages.publishes.get_mut(&publish) {
                    booked.relays.remove(&receipt.relay);
                    if booked.relays.is_empty() {
                        pages.publishes.remove(&publish);
                    }
                }
            });
            let Some(gathering) = self.waiting.get_mut(&publish) else { continue };
            gathering.missing -= 1;
            gathering.receipts.push(receipt);
            if gathering.missing == 0
                && let Some(Gathering { receipts, .. }) = self.waiting.remove(&publish)
            {
                effects.push(Effect::Receipts { publish, receipts });
            }
        }
        effects
    }
}
