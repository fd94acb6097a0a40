//! Relays and a clock made of nothing but values: carries out the pool's effects and checks after
//! each input what must always hold.
// Each test takes what it needs.
#![allow(clippy::unwrap_used, dead_code, unused_imports, unreachable_pub, missing_docs)]

pub mod neg;
mod relay;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use nipworker_protocol::{Event, PublicKey, Signature, Tag, UnsignedEvent};
use nipworker_relay::{
    AuthProblem, Delivery, DeliveryId, Effect, Filter, Loss, Now, OpenRequest, PublishId,
    PublishRequest, Receipt, ReconcileId, ReconcileRequest, Reconciled, RelayBook, RelayConfig,
    RelayPool, RelayUrl, RequestError, SignFailure, SignId, SignTemplate,
    transport::{Incoming, TransportError},
};

pub use relay::{Manner, SimRelay};

/// Wall clock at the start of every simulation.
pub const START_UNIX: i64 = 1_700_000_000;

/// What the signer does with a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignerManner {
    Signs,
    Refuses,
    /// Answers when it is told to ([`Sim::sign_held`]).
    Sleeps,
    /// Is away for a moment.
    Busy,
    /// Signs something else.
    Lies,
    /// Is not there.
    Missing,
}

pub struct Sim {
    pub time: Duration,
    pub config: Arc<RelayConfig>,
    pub book: Arc<RelayBook>,
    pub pool: RelayPool,
    pub relays: BTreeMap<RelayUrl, SimRelay>,
    pub log: Vec<(RelayUrl, Delivery)>,
    pub receipts: BTreeMap<PublishId, Vec<Receipt>>,
    pub reconciled: BTreeMap<ReconcileId, Reconciled>,
    pub hold_deliveries: bool,
    pub signer: SignerManner,
    /// Questions that the signer has not answered.
    pub unsigned: VecDeque<(RelayUrl, SignId, Option<PublicKey>, SignTemplate)>,
    /// Questions that came to the signer.
    pub sign_requests: usize,
    held: VecDeque<(RelayUrl, DeliveryId, Vec<Delivery>)>,
    serial: u64,
    seed: u64,
}

fn sign(key: Option<PublicKey>, template: SignTemplate) -> Event {
    let SignTemplate { created_at, kind, tags, content } = template;
    let author = key.unwrap_or(PublicKey::from_bytes([9; 32]));
    UnsignedEvent::new(author, created_at, kind, tags, content)
        .with_signature(Signature::from_bytes([8; 64]))
}

pub fn url(number: usize) -> RelayUrl {
    RelayUrl::parse(&format!("ws://relay-{number}.test")).unwrap()
}

impl Sim {
    pub fn new(relays: usize, config: RelayConfig) -> Self {
        let desired: Vec<RelayUrl> = (0..relays).map(url).collect();
        let config = RelayConfig { relays: desired.clone(), ..config };
        config.validate().unwrap();
        Self::with_desired(relays, desired, config)
    }

    pub fn with_desired(relays: usize, desired: Vec<RelayUrl>, config: RelayConfig) -> Self {
        let config = Arc::new(config);
        let book = Arc::new(RelayBook::new(desired));
        let start = Now { monotonic: Duration::ZERO, unix: START_UNIX };
        let (pool, effects) = RelayPool::new(Arc::clone(&config), &book, 7, start);
        let mut sim = Self {
            time: Duration::ZERO,
            config,
            book,
            pool,
            relays: (0..relays).map(|number| (url(number), SimRelay::new())).collect(),
            log: Vec::new(),
            receipts: BTreeMap::new(),
            reconciled: BTreeMap::new(),
            hold_deliveries: false,
            signer: SignerManner::Signs,
            unsigned: VecDeque::new(),
            sign_requests: 0,
            held: VecDeque::new(),
            serial: 0,
            seed: 7,
        };
        sim.perform(effects);
        sim
    }

    pub fn now(&self) -> Now {
        let seconds = i64::try_from(self.time.as_secs()).unwrap();
        Now { monotonic: self.time, unix: START_UNIX + seconds }
    }

    pub fn relay(&mut self, number: usize) -> &mut SimRelay {
        self.relays.get_mut(&url(number)).unwrap()
    }

    /// An event of this moment with one `t` tag.
    pub fn event(&mut self, topic: &str) -> Event {
        self.event_at(topic, self.now().unix)
    }

    pub fn event_at(&mut self, topic: &str, created_at: i64) -> Event {
        self.serial += 1;
        let tags = vec![Tag(vec!["t".to_owned(), topic.to_owned()])];
        let content = format!("number {}", self.serial);
        UnsignedEvent::new(PublicKey::from_bytes([1; 32]), created_at, 1, tags, content)
            .with_signature(Signature::from_bytes([2; 64]))
    }

    /// A direct message of this moment, to somebody.
    pub fn message(&mut self) -> Event {
        self.concerning_somebody(4)
    }

    /// A note of this moment that mentions somebody.
    pub fn mention(&mut self) -> Event {
        self.concerning_somebody(1)
    }

    fn concerning_somebody(&mut self, kind: u16) -> Event {
        self.serial += 1;
        let tags = vec![Tag(vec!["p".to_owned(), "1".repeat(64)])];
        let (at, content) = (self.now().unix, format!("number {}", self.serial));
        UnsignedEvent::new(PublicKey::from_bytes([1; 32]), at, kind, tags, content)
            .with_signature(Signature::from_bytes([2; 64]))
    }

    /// Somebody else publishes at a relay.
    pub fn appear(&mut self, number: usize, event: &Event) {
        self.relay(number).store(event.clone());
        self.exchange();
    }

    pub fn say(&mut self, number: usize, frame: &str) {
        let relay = self.relay(number);
        if relay.connection.is_some() && !relay.is_cut() {
            relay.inbox.push(Incoming::Text(frame.to_owned()));
        }
        self.exchange();
    }

    /// The relay asks who we are.
    pub fn challenge(&mut self, number: usize) -> String {
        let challenge = self.relay(number).ask_who();
        self.exchange();
        challenge
    }

    /// The signer wakes up and signs what it was asked first.
    pub fn sign_held(&mut self) {
        let (relay, request, key, template) = self.unsigned.pop_front().unwrap();
        let event = sign(key, template);
        let effects = self.pool.signed(self.now(), &relay, request, Ok(&event));
        self.perform(effects);
    }

    pub fn open(&mut self, name: &str, filters: Vec<Filter>, relays: Vec<RelayUrl>, close: bool) {
        self.open_within(name, filters, relays, close, None);
    }

    pub fn open_within(
        &mut self,
        name: &str,
        filters: Vec<Filter>,
        relays: Vec<RelayUrl>,
        close: bool,
        deadline: Option<Duration>,
    ) {
        let request = OpenRequest {
            subscription: name.to_owned(),
            filters,
            relays,
            close_on_eose: close,
            deadline,
        };
        let (_, effects) = self.pool.open(self.now(), request).unwrap();
        self.perform(effects);
    }

    pub fn close(&mut self, name: &str) -> bool {
        let (known, effects) = self.pool.close(self.now(), name);
        self.perform(effects);
        known
    }

    pub fn publish(
        &mut self,
        event: &Event,
        relays: Vec<RelayUrl>,
        deadline: Duration,
    ) -> PublishId {
        let request = PublishRequest {
            event: event.id,
            json: event.to_json(),
            relays,
            deadline: Some(deadline),
        };
        let (id, effects) = self.pool.publish(self.now(), request).unwrap();
        self.perform(effects);
        id
    }

    pub fn reconcile(&mut self, request: ReconcileRequest) -> Result<ReconcileId, RequestError> {
        let (id, effects) = self.pool.reconcile(self.now(), request)?;
        self.perform(effects);
        Ok(id)
    }

    /// The relay's process ends.
    pub fn kill(&mut self, number: usize) {
        self.relay(number).up = false;
        self.lose(number, &TransportError::Lost { reason: "reset".to_owned() });
    }

    /// The connection ends, the relay stays.
    pub fn lose(&mut self, number: usize, error: &TransportError) {
        let relay = self.relay(number);
        if let Some(connection) = relay.connection {
            relay.hang_up();
            let effects = self.pool.lost(self.now(), &url(number), connection, error);
            self.perform(effects);
        }
    }

    pub fn revive(&mut self, number: usize) {
        self.relay(number).up = true;
    }

    /// The pool's owner dies; a new one takes the book over.
    pub fn restart(&mut self) {
        for relay in self.relays.values_mut() {
            relay.hang_up();
            relay.dialling = None;
        }
        self.held.clear();
        self.seed += 1;
        let (pool, effects) =
            RelayPool::new(Arc::clone(&self.config), &self.book, self.seed, self.now());
        self.pool = pool;
        self.perform(effects);
    }

    pub fn release(&mut self) {
        self.hold_deliveries = false;
        while self.release_one() {}
        self.exchange();
    }

    /// Hands on what was held first; further deliveries are held if they were before.
    pub fn release_one(&mut self) -> bool {
        let Some((relay, delivery, deliveries)) = self.held.pop_front() else { return false };
        self.log.extend(deliveries.into_iter().map(|one| (relay.clone(), one)));
        let effects = self.pool.delivered(self.now(), &relay, delivery, &[]);
        self.perform(effects);
        true
    }

    /// Gives up the events of what was held first; the rest of it is handed on.
    pub fn lose_one(&mut self) {
        let (relay, delivery, deliveries) = self.held.pop_front().unwrap();
        let mut losses = Vec::new();
        for one in deliveries {
            match one {
                Delivery::Events { subscription, events } => {
                    losses.push(Loss { subscription, events: events.len() });
                }
                other => self.log.push((relay.clone(), other)),
            }
        }
        let effects = self.pool.delivered(self.now(), &relay, delivery, &losses);
        self.perform(effects);
    }

    /// Rings the timer although nothing may be due.
    pub fn ring(&mut self) {
        let effects = self.pool.timer(self.now());
        self.perform(effects);
    }

    /// The attempt that hung comes to a good end after all; tells what follows.
    pub fn connect_late(&mut self, number: usize) -> Vec<Effect> {
        let connection = *self.relay(number).seen.first().unwrap();
        self.pool.dialled(self.now(), &url(number), connection, Ok(()))
    }

    /// Passes time, ringing the timer whenever it is due.
    pub fn advance(&mut self, by: Duration) {
        let end = self.time + by;
        let mut rings = 0;
        while let Some(due) = self.pool.next_deadline().filter(|due| *due <= end) {
            self.time = self.time.max(due);
            let effects = self.pool.timer(self.now());
            self.perform(effects);
            rings += 1;
            assert!(rings < 100_000, "the timer is due again and again");
        }
        self.time = end;
    }

    pub fn delivered_ids(&self, name: &str) -> Vec<String> {
        let mut ids = Vec::new();
        for (_, delivery) in &self.log {
            if let Delivery::Events { subscription, events } = delivery
                && **subscription == *name
            {
                for event in events {
                    ids.push(serde_json::from_str::<Event>(event).unwrap().id.to_string());
                }
            }
        }
        ids
    }

    pub fn count(&self, number: usize, wanted: impl Fn(&Delivery) -> bool) -> usize {
        let relay = url(number);
        self.log.iter().filter(|(from, delivery)| *from == relay && wanted(delivery)).count()
    }

    /// Lets relays and pool talk until nobody has anything to say.
    fn exchange(&mut self) {
        self.perform(Vec::new());
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        let mut todo: VecDeque<Effect> = effects.into();
        let mut steps = 0;
        loop {
            steps += 1;
            assert!(steps < 1_000_000, "effects never end");
            if let Some(effect) = todo.pop_front() {
                let more = self.perform_one(effect);
                todo.extend(more);
                continue;
            }
            let now = self.now();
            let ready = self.relays.iter_mut().find_map(|(url, relay)| {
                let connection = relay.connection?;
                if relay.reading && !relay.inbox.is_empty() {
                    relay.reading = false;
                    return Some((url.clone(), connection, std::mem::take(&mut relay.inbox)));
                }
                None
            });
            match ready {
                Some((url, connection, messages)) => {
                    todo.extend(self.pool.received(now, &url, connection, messages));
                }
                None => return,
            }
        }
    }

    fn perform_one(&mut self, effect: Effect) -> Vec<Effect> {
        let now = self.now();
        match effect {
            Effect::Dial { relay: url, connection, .. } => {
                let relay = self.relays.get_mut(&url).unwrap();
                assert!(relay.connection.is_none(), "dialled while connected");
                assert!(relay.dialling.is_none(), "two attempts at once");
                assert!(relay.seen.insert(connection), "a connection id was used twice");
                if relay.dial_hangs {
                    relay.dialling = Some(connection);
                    return Vec::new();
                }
                if !relay.up {
                    let error = TransportError::Refused { reason: "refused".to_owned() };
                    return self.pool.dialled(now, &url, connection, Err(&error));
                }
                relay.connection = Some(connection);
                if relay.greets_with_challenge {
                    relay.ask_who();
                }
                self.pool.dialled(now, &url, connection, Ok(()))
            }
            Effect::Send { relay: url, connection, frame } => {
                let relay = self.relays.get_mut(&url).unwrap();
                assert_eq!(relay.connection, Some(connection), "sent on a dead connection");
                if relay.stuck {
                    return Vec::new();
                }
                relay.hear(now.monotonic, &frame);
                self.pool.written(&url, connection, 1);
                Vec::new()
            }
            Effect::Read { relay: url, connection } => {
                let held = self.held.iter().any(|(relay, ..)| *relay == url);
                assert!(!held, "read on while a delivery is not answered");
                let relay = self.relays.get_mut(&url).unwrap();
                assert_eq!(relay.connection, Some(connection), "read from a dead connection");
                assert!(!relay.reading, "read twice");
                relay.reading = true;
                Vec::new()
            }
            Effect::Disconnect { relay: url, connection, .. } => {
                let relay = self.relays.get_mut(&url).unwrap();
                if relay.connection == Some(connection) {
                    relay.hang_up();
                }
                if relay.dialling == Some(connection) {
                    relay.dialling = None;
                }
                Vec::new()
            }
            Effect::Deliver { relay, delivery, deliveries } => {
                assert!(!deliveries.is_empty());
                if self.hold_deliveries {
                    let held = self.held.iter().any(|(other, ..)| *other == relay);
                    assert!(!held, "two deliveries of one relay at once");
                    self.held.push_back((relay, delivery, deliveries));
                    return Vec::new();
                }
                self.log.extend(deliveries.into_iter().map(|one| (relay.clone(), one)));
                self.pool.delivered(now, &relay, delivery, &[])
            }
            Effect::FetchInformation { relay: url, .. } => {
                let document = self.relays.get_mut(&url).and_then(|relay| {
                    relay.fetched += 1;
                    relay.document.clone().filter(|_| relay.up)
                });
                self.pool.information(now, &url, document.as_deref())
            }
            Effect::Sign { relay, request, key, template, .. } => {
                self.sign_requests += 1;
                let failure = |problem, is_transient| SignFailure { problem, is_transient };
                let event = match self.signer {
                    SignerManner::Sleeps => {
                        self.unsigned.push_back((relay, request, key, template));
                        return Vec::new();
                    }
                    SignerManner::Signs => Ok(sign(key, template)),
                    SignerManner::Lies => Ok(sign(key, SignTemplate { kind: 1, ..template })),
                    SignerManner::Refuses => Err(failure(AuthProblem::SignerRefused, false)),
                    SignerManner::Missing => Err(failure(AuthProblem::NoSigner, false)),
                    SignerManner::Busy => Err(failure(AuthProblem::SignerFailed, true)),
                };
                self.pool.signed(now, &relay, request, event.as_ref().map_err(|failure| *failure))
            }
            Effect::Receipts { publish, receipts } => {
                assert!(self.receipts.insert(publish, receipts).is_none(), "reported twice");
                Vec::new()
            }
            Effect::Reconciled { reconcile, result } => {
                assert!(self.reconciled.insert(reconcile, result).is_none(), "reported twice");
                Vec::new()
            }
        }
    }
}
