//! A pool with two relays that may say and do anything at any time.
//!
//! One line of the input is one thing that happens. `!` begins what is no frame; every other line
//! is a frame of the relay, in which `SUB` stands for the newest subscription or reconciliation on
//! the wire and `EVENT-ID` for the event that was published. A line that begins with `~` concerns the second
//! relay.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use nipworker_relay::{
    ConnectionId, Delivery, DeliveryId, Effect, EventId, Filter, Loss, Now, OpenRequest,
    PublishRequest, ReconcileRequest, RelayBook, RelayConfig, RelayPool, RelayUrl,
    transport::{Incoming, Outgoing, TransportError},
};

/// Things that happen in one run at most.
const MAX_STEPS: usize = 400;
/// Effects of one input at most, beside one for each message that it carried.
const MAX_EFFECTS: usize = 64;

const EVENT: EventId = EventId::from_bytes([7; 32]);

pub(super) fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut world = World::new();
    for line in text.lines().take(MAX_STEPS) {
        world.step(line);
    }
    world.end();
}

struct World {
    pool: RelayPool,
    book: Arc<RelayBook>,
    time: Duration,
    relays: [RelayUrl; 2],
    links: BTreeMap<RelayUrl, Link>,
    held: Vec<(RelayUrl, DeliveryId, Vec<Delivery>)>,
    hold: bool,
    /// Bytes that relays sent, and bytes of them that were handed on.
    sent: usize,
    delivered: usize,
    asked: usize,
    answered: usize,
    reconciling: usize,
    reconciled: usize,
}

#[derive(Default)]
struct Link {
    dialling: Option<ConnectionId>,
    connection: Option<ConnectionId>,
    reads: bool,
    wire: String,
    unwritten: usize,
}

impl World {
    fn new() -> Self {
        let relays = [0, 1].map(|n| RelayUrl::parse(&format!("ws://relay-{n}.test")).unwrap());
        let config = RelayConfig { relays: relays.to_vec(), ..RelayConfig::default() };
        let book = Arc::new(RelayBook::new(relays.clone()));
        let start = Now { monotonic: Duration::ZERO, unix: 1_700_000_000 };
        let (pool, effects) = RelayPool::new(Arc::new(config), &book, 7, start);
        let mut world = Self {
            pool,
            book,
            time: Duration::ZERO,
            links: relays.iter().map(|url| (url.clone(), Link::default())).collect(),
            relays,
            held: Vec::new(),
            hold: false,
            sent: 0,
            delivered: 0,
            asked: 0,
            answered: 0,
            reconciling: 0,
            reconciled: 0,
        };
        world.perform(effects, 0);
        for which in 0..2 {
            world.dialled(which, true);
        }
        world.open("a");
        world.publish();
        world
    }

    fn now(&self) -> Now {
        let seconds = i64::try_from(self.time.as_secs()).unwrap_or(i64::MAX);
        Now { monotonic: self.time, unix: 1_700_000_000_i64.saturating_add(seconds) }
    }

    fn step(&mut self, line: &str) {
        let (which, line) = match line.strip_prefix('~') {
            Some(line) => (1, line),
            None => (0, line),
        };
        match line.strip_prefix('!') {
            None => {
                let wire = &self.links[&self.relays[which]].wire;
                let frame = line.replace("SUB", wire).replace("EVENT-ID", &EVENT.to_hex());
                self.receive(which, vec![Incoming::Text(frame)]);
            }
            Some("binary") => self.receive(which, vec![Incoming::Binary { bytes: 9 }]),
            Some("alive") => self.receive(which, vec![Incoming::Alive]),
            Some("lost") => self.lost(which),
            Some("dialled") => self.dialled(which, true),
            Some("refused") => self.dialled(which, false),
            Some("hold") => self.hold = true,
            Some("drop") => self.hand_on(true),
            Some("deliver") => self.hand_on(false),
            Some("publish") => self.publish(),
            Some("reconcile") => self.reconcile(which),
            Some("hurry") => {
                let effects = self.pool.hurry(self.now(), Duration::from_secs(1));
                self.perform(effects, 0);
            }
            Some(word) => match (word.get(..1), word.get(1..)) {
                (Some("o"), Some(name)) => self.open(name),
                (Some("c"), Some(name)) => {
                    let (_, effects) = self.pool.close(self.now(), name);
                    self.perform(effects, 0);
                }
                (Some("s"), Some(seconds)) => {
                    self.wait(Duration::from_secs(seconds.parse::<u16>().unwrap_or(1).into()));
                }
                _ => self.receive(which, Vec::new()),
            },
        }
    }

    fn open(&mut self, name: &str) {
        let request = OpenRequest {
            subscription: name.to_owned(),
            filters: vec![Filter::new().kinds([1]).limit(5)],
            relays: Vec::new(),
            close_on_eose: name.len().is_multiple_of(2),
            deadline: None,
        };
        if let Ok((_, effects)) = self.pool.open(self.now(), request) {
            self.perform(effects, 0);
        }
    }

    fn publish(&mut self) {
        let json = format!(r#"{{"id":"{EVENT}"}}"#);
        let request = PublishRequest { event: EVENT, json, relays: Vec::new(), deadline: None };
        if let Ok((_, effects)) = self.pool.publish(self.now(), request) {
            self.asked += 1;
            self.perform(effects, 0);
        }
    }

    fn reconcile(&mut self, which: usize) {
        let request = ReconcileRequest {
            // A name of its own: who takes the name of another takes its place.
            name: format!("reconciliation {}", self.reconciling),
            relay: self.relays[which].clone(),
            filter: Filter::new().kinds([1]),
            held: vec![(1_700_000_000, EVENT)],
            idle: None,
            deadline: None,
        };
        if let Ok((_, effects)) = self.pool.reconcile(self.now(), request) {
            self.reconciling += 1;
            self.perform(effects, 0);
        }
    }

    fn receive(&mut self, which: usize, messages: Vec<Incoming>) {
        let relay = self.relays[which].clone();
        let link = self.links.get_mut(&relay).unwrap();
        // Nobody reads a socket that the pool does not ask to be read.
        if !link.reads {
            return;
        }
        let Some(connection) = link.connection else { return };
        link.reads = false;
        let carried = messages.len();
        self.sent += messages
            .iter()
            .map(|message| match message {
                Incoming::Text(text) => text.len(),
                _ => 0,
            })
            .sum::<usize>();
        let effects = self.pool.received(self.now(), &relay, connection, messages);
        self.perform(effects, carried);
    }

    fn dialled(&mut self, which: usize, well: bool) {
        let relay = self.relays[which].clone();
        let link = self.links.get_mut(&relay).unwrap();
        let Some(connection) = link.dialling.take() else { return };
        let refused = TransportError::Refused { reason: "nobody there".to_owned() };
        if well {
            link.connection = Some(connection);
        }
        let result = if well { Ok(()) } else { Err(&refused) };
        let effects = self.pool.dialled(self.now(), &relay, connection, result);
        self.perform(effects, 0);
    }

    fn lost(&mut self, which: usize) {
        let relay = self.relays[which].clone();
        let link = self.links.get_mut(&relay).unwrap();
        let Some(connection) = link.connection.take() else { return };
        link.reads = false;
        let error = TransportError::Refused { reason: "gone".to_owned() };
        let effects = self.pool.lost(self.now(), &relay, connection, &error);
        self.perform(effects, 0);
    }

    fn wait(&mut self, time: Duration) {
        self.time += time;
        let effects = self.pool.timer(self.now());
        self.perform(effects, 0);
    }

    fn perform(&mut self, effects: Vec<Effect>, carried: usize) {
        assert!(effects.len() <= MAX_EFFECTS + 2 * carried, "{} effects", effects.len());
        let mut written = Vec::new();
        for effect in effects {
            match effect {
                Effect::Dial { relay, connection, .. } => {
                    let link = self.links.get_mut(&relay).unwrap();
                    link.dialling = Some(connection);
                }
                Effect::Send { relay, connection, frame } => {
                    let link = self.links.get_mut(&relay).unwrap();
                    link.unwritten += 1;
                    if let Outgoing::Text(text) = frame {
                        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
                        let named = ["[\"REQ\",\"", "[\"NEG-OPEN\",\""];
                        let named = named.iter().find_map(|start| text.strip_prefix(start));
                        if let Some(rest) = named {
                            link.wire = rest.split('"').next().unwrap().to_owned();
                        }
                    }
                    written.push((relay, connection));
                }
                Effect::Read { relay, connection } => {
                    let link = self.links.get_mut(&relay).unwrap();
                    link.reads = link.connection == Some(connection);
                }
                Effect::Disconnect { relay, connection, .. } => {
                    let link = self.links.get_mut(&relay).unwrap();
                    if link.connection == Some(connection) {
                        link.connection = None;
                        link.reads = false;
                    }
                    if link.dialling == Some(connection) {
                        link.dialling = None;
                    }
                }
                Effect::Deliver { relay, delivery, deliveries } => {
                    self.held.push((relay, delivery, deliveries));
                }
                Effect::Receipts { receipts, .. } => {
                    assert_eq!(receipts.len(), self.relays.len(), "one receipt for each relay");
                    self.answered += 1;
                }
                Effect::Reconciled { .. } => self.reconciled += 1,
                // The signer sleeps and no document comes: nothing may wait for either.
                Effect::Sign { .. } | Effect::FetchInformation { .. } => {}
            }
        }
        for (relay, connection) in written {
            self.pool.written(&relay, connection, 1);
        }
        // One delivery of a relay at a time, and those for which the pool had no room.
        assert!(self.held.len() <= MAX_EFFECTS, "{} deliveries are held", self.held.len());
        if !self.hold {
            self.hand_on(false);
        }
    }

    fn hand_on(&mut self, lose: bool) {
        self.hold = false;
        for (relay, delivery, deliveries) in std::mem::take(&mut self.held) {
            let mut losses = Vec::new();
            for delivery in deliveries {
                match delivery {
                    Delivery::Events { subscription, events } => {
                        assert!((1..=RelayPool::EVENTS_PER_BATCH).contains(&events.len()));
                        self.delivered += events.iter().map(String::len).sum::<usize>();
                        if lose {
                            losses.push(Loss { subscription, events: events.len() });
                        }
                    }
                    Delivery::Unavailable { subscriptions, .. } => {
                        assert!(!subscriptions.is_empty());
                    }
                    _ => {}
                }
            }
            let effects = self.pool.delivered(self.now(), &relay, delivery, &losses);
            self.perform(effects, 0);
        }
        assert!(self.delivered <= self.sent, "more was handed on than came");
    }

    /// Whatever happened, every publish has its receipts and every reconciliation its end once the
    /// longest wait is over.
    fn end(&mut self) {
        self.hand_on(false);
        for _ in 0..4 {
            self.wait(Duration::from_secs(400));
        }
        assert_eq!(self.answered, self.asked, "a publish was never answered");
        assert_eq!(self.reconciled, self.reconciling, "a reconciliation never ended");
        assert_eq!(self.book.unanswered_publishes(), 0);
        let effects = self.pool.shut_down(self.now());
        self.perform(effects, 0);
    }
}
