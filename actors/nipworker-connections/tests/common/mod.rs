//! Relays and a parser for the tests of the worker.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub, missing_docs)]

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use actix::{Actor, Context, Handler, ResponseFuture};
use nipworker_connections::{
    BackoffConfig, Connections, Dependencies, MAILBOX, RelayBook, RelayConfig, RelayUrl,
    SharedClock, WebSocketTransport, child,
};
use nipworker_protocol::{
    ClientMessage, Event, Filter, PublicKey, RelayMessage, Signature, StoredHint, Tag,
    UnsignedEvent,
};
use nipworker_schema::{
    CloseReqT, CryptoEdge, CryptoMessageT, FailedT, FailureCode, IngestEdge, IngestMessageT,
    IngestedT, OpenReqT, ReceiptT, RelayEdge, RelayEdgeMessageT, SendEventT, SignedT,
};
use nipworker_supervision::{
    Address, AskError, Backoff, ChildSpec, MailboxConfig, Supervisor, SupervisorHandle,
};
use nipworker_transport::memory::{ClientFrame, MemoryNetwork, MemoryPeer};
use tokio::{sync::watch, task::JoinHandle};

pub const UNIX: i64 = 1_700_000_000;

/// Waits for a condition, not for a time.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Keeps intended panics from filling the output.
pub fn quiet_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let text = info.payload_as_str().unwrap_or_default();
            if !text.contains("poison") && !text.contains("injected") {
                before(info);
            }
        }));
    });
}

pub fn event(topic: &str, number: u32) -> Event {
    let tags = vec![Tag(vec!["t".to_owned(), topic.to_owned()])];
    UnsignedEvent::new(PublicKey::from_bytes([1; 32]), UNIX, 1, tags, format!("number {number}"))
        .with_signature(Signature::from_bytes([2; 64]))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Manner {
    #[default]
    Polite,
    Refuses,
    Silent,
}

/// What a relay has lived through.
#[derive(Default)]
pub struct Notes {
    pub events: Vec<Event>,
    pub manner: Manner,
    pub frames: Vec<String>,
    pub connections: usize,
    pub open: usize,
    pub closes: usize,
    version: u64,
}

/// A relay that keeps what it gets, over any way to send texts.
#[derive(Clone, Default)]
pub struct Relay {
    pub notes: Arc<Mutex<Notes>>,
    changed: Arc<watch::Sender<u64>>,
}

impl Relay {
    pub fn appear(&self, event: &Event) {
        let mut notes = self.notes.lock().unwrap();
        notes.events.push(event.clone());
        notes.version += 1;
        self.changed.send_replace(notes.version);
    }

    pub fn requests(&self) -> usize {
        let notes = self.notes.lock().unwrap();
        notes.frames.iter().filter(|frame| frame.starts_with(r#"["REQ""#)).count()
    }

    pub fn sent(&self, id: &str) -> usize {
        let notes = self.notes.lock().unwrap();
        notes
            .frames
            .iter()
            .filter(|frame| frame.starts_with(r#"["EVENT""#) && frame.contains(id))
            .count()
    }

    pub fn open(&self) -> usize {
        self.notes.lock().unwrap().open
    }

    pub fn connections(&self) -> usize {
        self.notes.lock().unwrap().connections
    }

    pub fn session(&self) -> Session {
        let mut notes = self.notes.lock().unwrap();
        notes.connections += 1;
        notes.open += 1;
        Session {
            relay: self.clone(),
            subscriptions: Vec::new(),
            told: notes.events.len(),
            changed: self.changed.subscribe(),
        }
    }
}

/// One connection to a [`Relay`].
pub struct Session {
    relay: Relay,
    subscriptions: Vec<(String, Vec<Filter>)>,
    told: usize,
    changed: watch::Receiver<u64>,
}

impl Session {
    /// Waits until there may be live events.
    pub async fn changed(&mut self) {
        self.changed.changed().await.unwrap();
    }

    pub fn live(&mut self) -> Vec<String> {
        let notes = self.relay.notes.lock().unwrap();
        let mut out = Vec::new();
        for event in &notes.events[self.told..] {
            for (wire, filters) in &self.subscriptions {
                if Filter::any_matches(filters, event) {
                    out.push(RelayMessage::event_frame(wire, &event.to_json()));
                }
            }
        }
        self.told = notes.events.len();
        out
    }

    pub fn answer(&mut self, frame: &str) -> Vec<String> {
        let mut out = self.live();
        let mut notes = self.relay.notes.lock().unwrap();
        notes.frames.push(frame.to_owned());
        match ClientMessage::parse(frame).unwrap() {
            ClientMessage::Req { subscription, filters } => {
                let matching = |event: &&Event| Filter::any_matches(&filters, event);
                let stored = notes.events.iter().filter(matching);
                out.extend(
                    stored.map(|event| RelayMessage::event_frame(&subscription, &event.to_json())),
                );
                if notes.manner != Manner::Silent {
                    out.push(
                        RelayMessage::Eose {
                            subscription: subscription.clone(),
                            stored: StoredHint::Unsaid,
                        }
                        .to_frame(),
                    );
                }
                self.subscriptions.push((subscription, filters));
            }
            ClientMessage::Close { subscription } => {
                self.subscriptions.retain(|(wire, _)| *wire != subscription);
            }
            ClientMessage::Event(event) => {
                let event: Event = serde_json_event(event.get());
                let ok = |accepted, message: &str| {
                    let message = message.to_owned();
                    RelayMessage::Ok { id: event.id, accepted, message }.to_frame()
                };
                match notes.manner {
                    Manner::Polite => out.push(ok(true, "")),
                    Manner::Refuses => out.push(ok(false, "blocked: not you")),
                    Manner::Silent => {}
                }
            }
            other => panic!("unexpected {other:?}"),
        }
        out
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.relay.notes.lock().unwrap().open -= 1;
    }
}

fn serde_json_event(text: &str) -> Event {
    Event::from_json(text.as_bytes(), &nipworker_protocol::EventLimits::default()).unwrap()
}

async fn serve(mut peer: MemoryPeer, relay: Relay) {
    let mut session = relay.session();
    loop {
        let frames = tokio::select! {
            frame = peer.receive() => match frame {
                Some(ClientFrame::Text(text)) => session.answer(&text),
                Some(ClientFrame::Close(_)) => {
                    relay.notes.lock().unwrap().closes += 1;
                    return;
                }
                None => return,
            },
            () = session.changed() => session.live(),
        };
        for frame in frames {
            if peer.send_text(frame).await.is_err() {
                return;
            }
        }
    }
}

/// A [`Relay`] in the memory network.
pub struct Host {
    pub url: RelayUrl,
    pub relay: Relay,
    network: MemoryNetwork,
    running: Option<JoinHandle<()>>,
}

impl Host {
    pub fn new(network: &MemoryNetwork, number: usize) -> Self {
        let url = RelayUrl::parse(&format!("ws://relay-{number}.test")).unwrap();
        let mut host =
            Self { url, relay: Relay::default(), network: network.clone(), running: None };
        host.start();
        host
    }

    pub fn start(&mut self) {
        let mut listener = self.network.listen(&self.url);
        let relay = self.relay.clone();
        self.running = Some(tokio::spawn(async move {
            let mut sessions = tokio::task::JoinSet::new();
            loop {
                let peer = listener.accept().await;
                sessions.spawn(serve(peer, relay.clone()));
            }
        }));
    }

    /// The process ends: every connection is lost.
    pub async fn stop(&mut self) {
        self.network.refuse(&self.url);
        if let Some(running) = self.running.take() {
            running.abort();
            assert!(running.await.unwrap_err().is_cancelled());
        }
    }
}

/// What the parser heard, and how it behaves.
#[derive(Default)]
pub struct Heard {
    pub messages: Vec<IngestMessageT>,
    /// Messages of this relay get no answer while it is set.
    pub hold: Option<String>,
    /// An event with this text makes the parser panic.
    pub poison: Option<String>,
    /// So many messages are refused with a passing failure.
    pub fail_next: usize,
}

#[derive(Clone, Default)]
pub struct Ear {
    pub heard: Arc<Mutex<Heard>>,
}

impl Ear {
    pub fn texts(&self, subscription: &str) -> Vec<String> {
        let heard = self.heard.lock().unwrap();
        let mut texts = Vec::new();
        for message in &heard.messages {
            if let IngestMessageT::EventBatch(batch) = message
                && batch.subscription == subscription
            {
                texts.extend(batch.events.iter().cloned());
            }
        }
        texts
    }

    pub fn heard_event(&self, subscription: &str, event: &Event) -> bool {
        self.texts(subscription).contains(&event.to_json())
    }

    pub fn count(&self, wanted: impl Fn(&IngestMessageT) -> bool) -> usize {
        self.heard.lock().unwrap().messages.iter().filter(|message| wanted(message)).count()
    }

    pub fn eoses(&self) -> usize {
        self.count(|message| matches!(message, IngestMessageT::EndOfStored(_)))
    }
}

impl Actor for Ear {
    type Context = Context<Self>;
}

/// Signs everything at once.
struct Scribe;

impl Actor for Scribe {
    type Context = Context<Self>;
}

impl Handler<CryptoEdge> for Scribe {
    type Result = ResponseFuture<CryptoEdge>;

    fn handle(&mut self, message: CryptoEdge, _: &mut Self::Context) -> Self::Result {
        let Ok(CryptoMessageT::SignAs(request)) = message.decode() else { panic!("not SignAs") };
        let key = request.pubkey.map_or(PublicKey::from_bytes([9; 32]), Into::into);
        let tags = request.tags.into_iter().map(Into::into).collect();
        let event =
            UnsignedEvent::new(key, request.created_at, request.kind, tags, request.content)
                .with_signature(Signature::from_bytes([8; 64]));
        Box::pin(async move { CryptoEdge::encode(SignedT { event: event.into() }) })
    }
}

fn relay_of(message: &IngestMessageT) -> Option<&str> {
    match message {
        IngestMessageT::EventBatch(message) => Some(&message.relay),
        IngestMessageT::EndOfStored(message) => Some(&message.relay),
        _ => None,
    }
}

impl Handler<IngestEdge> for Ear {
    type Result = ResponseFuture<IngestEdge>;

    fn handle(&mut self, message: IngestEdge, _: &mut Self::Context) -> Self::Result {
        let message = message.decode().unwrap();
        let shared = Arc::clone(&self.heard);
        {
            let mut heard = shared.lock().unwrap();
            let poisoned = match (&message, &heard.poison) {
                (IngestMessageT::EventBatch(batch), Some(poison)) => {
                    batch.events.iter().any(|event| event.contains(poison))
                }
                _ => false,
            };
            if poisoned {
                drop(heard);
                panic!("poison was swallowed");
            }
            if heard.fail_next > 0 {
                heard.fail_next -= 1;
                let failed = FailedT {
                    code: FailureCode::Busy,
                    reason: "try again".to_owned(),
                    transient: true,
                };
                return Box::pin(async { IngestEdge::encode(failed) });
            }
        }
        Box::pin(async move {
            loop {
                {
                    let mut heard = shared.lock().unwrap();
                    if heard.hold.is_none() || heard.hold.as_deref() != relay_of(&message) {
                        heard.messages.push(message);
                        let answer = IngestedT { fresh: 0, duplicates: 0, refused: 0 };
                        return IngestEdge::encode(answer);
                    }
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
    }
}

/// The worker under supervision, with a parser that listens.
pub struct House {
    pub connections: Address<Connections>,
    pub ear: Ear,
    pub book: Arc<RelayBook>,
    pub supervisor: SupervisorHandle,
}

pub fn quick() -> RelayConfig {
    RelayConfig {
        backoff: BackoffConfig {
            min: Duration::from_millis(20),
            max: Duration::from_millis(200),
            ..BackoffConfig::default()
        },
        ..RelayConfig::default()
    }
}

impl House {
    pub async fn build(transport: Arc<dyn WebSocketTransport>, config: RelayConfig) -> Self {
        Self::with_hang_limit(transport, config, Duration::from_millis(200)).await
    }

    pub async fn with_hang_limit(
        transport: Arc<dyn WebSocketTransport>,
        config: RelayConfig,
        hang_limit: Duration,
    ) -> Self {
        quiet_panics();
        let quick_restart = Backoff {
            min: Duration::from_millis(1),
            max: Duration::from_millis(1),
            ..Backoff::default()
        };
        let ear = Ear::default();
        let parser = Address::<Ear>::new("parser", MailboxConfig::default());
        let ears = ear.clone();
        let parser_child =
            ChildSpec::new(parser.clone(), move |_| Ok::<_, Infallible>(ears.clone()));
        let book = Arc::new(RelayBook::new(config.relays.clone()));
        let scribe = Address::<Scribe>::new("scribe", MailboxConfig::default());
        let scribe_child = ChildSpec::new(scribe.clone(), |_| Ok::<_, Infallible>(Scribe));
        let connections = Address::new("connections", MAILBOX);
        let dependencies = Dependencies {
            config: Arc::new(config),
            book: Arc::clone(&book),
            transport,
            information: None,
            parser: parser.recipient(),
            crypto: scribe.recipient(),
            clock: SharedClock::new(Arc::new(|| UNIX)),
        };
        let worker = child(connections.clone(), dependencies);
        let supervisor = Supervisor::builder("house")
            .intensity(nipworker_supervision::Intensity {
                max_restarts: 100,
                within: Duration::from_secs(1),
            })
            .child(parser_child.backoff(quick_restart))
            .child(scribe_child)
            .child(worker.backoff(quick_restart).hang_limit(hang_limit))
            .start()
            .await
            .unwrap();
        Self { connections, ear, book, supervisor }
    }

    pub async fn ask(&self, message: impl Into<RelayEdgeMessageT>) -> RelayEdgeMessageT {
        self.try_ask(message).await.unwrap()
    }

    pub async fn try_ask(
        &self,
        message: impl Into<RelayEdgeMessageT>,
    ) -> Result<RelayEdgeMessageT, AskError> {
        let answer = self.connections.ask(RelayEdge::encode(message)).await?;
        Ok(answer.decode().unwrap())
    }

    pub async fn open(&self, name: &str, topic: &str, close_on_eose: bool) -> Vec<String> {
        let message = OpenReqT {
            subscription: name.to_owned(),
            filters: vec![Filter::new().tag('t', [topic]).into()],
            relays: Vec::new(),
            close_on_eose,
            relay_timeout_ms: 0,
        };
        match self.ask(message).await {
            RelayEdgeMessageT::ReqOpened(opened) => opened.relays,
            other => panic!("{other:?}"),
        }
    }

    pub async fn close(&self, name: &str) -> bool {
        match self.ask(CloseReqT { subscription: name.to_owned() }).await {
            RelayEdgeMessageT::ReqClosed(closed) => closed.known,
            other => panic!("{other:?}"),
        }
    }

    pub async fn publish(&self, event: &Event, timeout: Duration) -> Vec<ReceiptT> {
        match self.ask(send_event(event, timeout)).await {
            RelayEdgeMessageT::EventReceipts(receipts) => {
                let mut receipts = receipts.receipts;
                receipts.sort_by(|a, b| a.relay.cmp(&b.relay));
                receipts
            }
            other => panic!("{other:?}"),
        }
    }
}

pub fn send_event(event: &Event, timeout: Duration) -> SendEventT {
    SendEventT {
        id: event.id.into(),
        event: event.to_json(),
        relays: Vec::new(),
        timeout_ms: u64::try_from(timeout.as_millis()).unwrap(),
    }
}
