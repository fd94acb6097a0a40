//! One relay made of values: what it is told, it stores and answers in its own manner.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use nipworker_protocol::{ClientMessage, Event, PublicKey, RelayMessage, StoredHint};
use nipworker_relay::{
    ConnectionId, Filter,
    transport::{Incoming, Outgoing},
};

use super::neg;

/// How a relay treats what it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// By the book.
    Polite,
    /// Never ends stored events and never answers events.
    Silent,
    /// Refuses events.
    Refuses,
    /// Nothing goes through, and no end is told.
    Cut,
}

pub struct SimRelay {
    /// Who is not authenticated is refused by `auth-required:`.
    pub demands_auth: bool,
    /// Leaves private messages out for whom it does not know, and says nothing of it.
    pub hides_private: bool,
    /// Sent at once on each connection.
    pub greets_with_challenge: bool,
    /// Sent before each refusal.
    pub asks_when_refusing: bool,
    /// Refuses every authentication.
    pub rejects_auth: bool,
    /// Never answers one.
    pub ignores_auth: bool,
    /// Accepts every authentication, and says nothing of it.
    pub accepts_in_silence: bool,
    /// The newest challenge.
    pub challenge: Option<String>,
    pub authenticated: BTreeSet<PublicKey>,
    pub auths: Vec<Event>,
    /// Its information document.
    pub document: Option<String>,
    /// How often that was asked for.
    pub fetched: usize,
    /// REQs beyond this number are refused: by CLOSED, or by NOTICE.
    pub max_reqs: usize,
    pub refuses_by_notice: bool,
    /// Filters with this tag value are refused, whatever else a REQ asks.
    pub hated: Option<String>,
    pub(super) challenges: u64,
    pub up: bool,
    pub dial_hangs: bool,
    pub manner: Manner,
    pub max_stored: usize,
    pub events: Vec<Event>,
    pub connection: Option<ConnectionId>,
    pub subscriptions: BTreeMap<String, Vec<Filter>>,
    pub inbox: Vec<Incoming>,
    pub reading: bool,
    /// Every REQ that ever came: time, filters.
    pub asked: Vec<(Duration, Vec<Filter>)>,
    pub got_events: Vec<String>,
    pub frames: usize,
    /// The present connection is cut, and stays so until it is replaced.
    pub cut: bool,
    /// Nothing that is sent gets out of the socket's buffer.
    pub stuck: bool,
    /// REQs that the relay ended by itself; a CLOSE may have been under way.
    pub ended: BTreeSet<String>,
    pub neg: neg::NegSide,
    pub(super) dialling: Option<ConnectionId>,
    pub(super) seen: BTreeSet<ConnectionId>,
}

impl SimRelay {
    pub(super) fn new() -> Self {
        Self {
            demands_auth: false,
            hides_private: false,
            greets_with_challenge: false,
            asks_when_refusing: false,
            rejects_auth: false,
            ignores_auth: false,
            accepts_in_silence: false,
            challenge: None,
            authenticated: BTreeSet::new(),
            auths: Vec::new(),
            document: None,
            fetched: 0,
            max_reqs: usize::MAX,
            refuses_by_notice: false,
            hated: None,
            challenges: 0,
            up: true,
            dial_hangs: false,
            manner: Manner::Polite,
            max_stored: 500,
            events: Vec::new(),
            connection: None,
            subscriptions: BTreeMap::new(),
            inbox: Vec::new(),
            reading: false,
            asked: Vec::new(),
            got_events: Vec::new(),
            frames: 0,
            cut: false,
            stuck: false,
            ended: BTreeSet::new(),
            neg: neg::NegSide::default(),
            dialling: None,
            seen: BTreeSet::new(),
        }
    }

    pub(super) fn is_cut(&self) -> bool {
        self.cut || self.manner == Manner::Cut
    }

    /// Whether this relay shows an event to us now.
    pub(super) fn shows(&self, event: &Event) -> bool {
        !(self.hides_private && event.kind == 4 && self.authenticated.is_empty())
    }

    /// Sends another challenge.
    pub fn ask_who(&mut self) -> String {
        self.challenges += 1;
        let challenge = format!("challenge {}", self.challenges);
        self.challenge = Some(challenge.clone());
        self.say(&RelayMessage::Auth(challenge.clone()));
        challenge
    }

    pub(super) fn refuses(&mut self) -> bool {
        let refuses = self.demands_auth && self.authenticated.is_empty();
        if refuses && self.asks_when_refusing && self.challenge.is_none() {
            self.ask_who();
        }
        refuses
    }

    pub(super) fn hear_auth(&mut self, event: Event) {
        let expected = self.challenge.clone();
        let tag = |name: &str| event.tags.iter().find(|tag| tag.0[0] == name).map(|tag| &tag.0[1]);
        let right = event.kind == 22_242 && tag("challenge") == expected.as_ref();
        assert!(tag("relay").is_some_and(|relay| relay.starts_with("ws://relay-")));
        self.auths.push(event.clone());
        if self.ignores_auth {
            return;
        }
        let (accepted, message) = match right && !self.rejects_auth {
            true => (true, ""),
            false => (false, "restricted: not you"),
        };
        if accepted {
            self.authenticated.insert(event.pubkey);
        }
        if accepted && self.accepts_in_silence {
            return;
        }
        self.say(&RelayMessage::Ok { id: event.id, accepted, message: message.to_owned() });
    }

    pub(super) fn say(&mut self, message: &RelayMessage) {
        if !self.is_cut() {
            self.inbox.push(Incoming::Text(message.to_frame()));
        }
    }

    pub(super) fn send_event(&mut self, wire: &str, event: &Event) {
        if !self.is_cut() {
            self.inbox.push(Incoming::Text(RelayMessage::event_frame(wire, &event.to_json())));
        }
    }

    pub(super) fn hear(&mut self, time: Duration, frame: &Outgoing) {
        self.frames += 1;
        if self.is_cut() {
            return;
        }
        let text = match frame {
            Outgoing::Text(text) => text,
            Outgoing::Ping => return self.inbox.push(Incoming::Alive),
            Outgoing::Close(_) => return,
        };
        match ClientMessage::parse(text).expect("the pool writes well-formed frames") {
            ClientMessage::Req { subscription, filters } => {
                assert!(
                    self.subscriptions.insert(subscription.clone(), filters.clone()).is_none(),
                    "a REQ id was used twice on one connection"
                );
                self.asked.push((time, filters.clone()));
                let hated = self.hated.as_ref().is_some_and(|hated| text.contains(hated.as_str()));
                if hated || self.subscriptions.len() > self.max_reqs {
                    self.subscriptions.remove(&subscription);
                    self.ended.insert(subscription.clone());
                    return self.say(&match (hated, self.refuses_by_notice) {
                        (true, _) => RelayMessage::Closed {
                            subscription,
                            message: "blocked: not that".to_owned(),
                        },
                        (_, true) => RelayMessage::Notice("ERROR: too many concurrent REQs".into()),
                        (_, false) => RelayMessage::Closed {
                            subscription,
                            message: "error: too many subscriptions".to_owned(),
                        },
                    });
                }
                if self.refuses() {
                    self.subscriptions.remove(&subscription);
                    self.ended.insert(subscription.clone());
                    let message = "auth-required: who are you?".to_owned();
                    return self.say(&RelayMessage::Closed { subscription, message });
                }
                self.answer(&subscription, &filters);
            }
            ClientMessage::Close { subscription } => {
                let open = self.subscriptions.remove(&subscription).is_some();
                assert!(open || self.ended.remove(&subscription), "closed what is not open");
            }
            ClientMessage::Event(event) => {
                let event: Event = serde_json::from_str(event.get()).unwrap();
                self.got_events.push(event.id.to_string());
                if self.refuses() {
                    let message = "auth-required: who are you?".to_owned();
                    return self.say(&RelayMessage::Ok { id: event.id, accepted: false, message });
                }
                match self.manner {
                    Manner::Polite => {
                        self.store(event.clone());
                        self.say(&RelayMessage::Ok {
                            id: event.id,
                            accepted: true,
                            message: String::new(),
                        });
                    }
                    Manner::Refuses => self.say(&RelayMessage::Ok {
                        id: event.id,
                        accepted: false,
                        message: "blocked: not you".to_owned(),
                    }),
                    Manner::Silent | Manner::Cut => {}
                }
            }
            ClientMessage::Auth(event) => {
                self.hear_auth(serde_json::from_str(event.get()).unwrap());
            }
            other => {
                if let Some(answer) = self.neg.hear(other, &self.events) {
                    self.inbox.push(Incoming::Text(answer));
                }
            }
        }
    }

    /// Newest first, at most `limit` of each filter, as relays do.
    pub(super) fn answer(&mut self, wire: &str, filters: &[Filter]) {
        let mut newest: Vec<&Event> = self.events.iter().collect();
        newest.sort_by_key(|event| (-event.created_at, event.id));
        let mut found = BTreeMap::new();
        for filter in filters {
            let limit = filter.limit.unwrap_or(self.max_stored).min(self.max_stored);
            let shown = |event: &&&Event| filter.matches(event) && self.shows(event);
            for event in newest.iter().filter(shown).take(limit) {
                found.insert((-event.created_at, event.id), (*event).clone());
            }
        }
        for event in found.values() {
            self.send_event(wire, event);
        }
        if self.manner != Manner::Silent {
            let stored = StoredHint::Unsaid;
            self.say(&RelayMessage::Eose { subscription: wire.to_owned(), stored });
        }
    }

    pub(super) fn store(&mut self, event: Event) {
        if self.events.iter().any(|known| known.id == event.id) {
            return;
        }
        let wires: Vec<String> = self
            .subscriptions
            .iter()
            .filter(|(_, filters)| Filter::any_matches(filters, &event) && self.shows(&event))
            .map(|(wire, _)| wire.clone())
            .collect();
        for wire in wires {
            self.send_event(&wire, &event);
        }
        self.events.push(event);
    }

    pub(super) fn hang_up(&mut self) {
        self.connection = None;
        self.challenge = None;
        self.authenticated.clear();
        self.cut = false;
        self.ended.clear();
        self.subscriptions.clear();
        self.neg.hang_up();
        self.inbox.clear();
        self.reading = false;
    }
}
