//! A parser under a real supervisor, with small neighbours that do what the test says.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::{
    collections::HashSet,
    convert::Infallible,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures::executor::block_on;
use nipworker_parser::{ParserActor, ParserConfig, ParserParts};
use nipworker_pipeline::{Hub, Pipeline, SubscriptionEvent, SubscriptionSpec, SubscriptionStream};
use nipworker_schema::{
    CacheEdge, CacheMessageT, ClientEdge, ClientMessageT, CryptoEdge, CryptoMessageT, EventBatchT,
    FailureCode, ImportT, IngestEdge, IngestMessageT, PageT, PersistedT, PutOutcomeT, PutStatus,
    ReceiptStatus, ReceiptT, RelaysAskedT, SentT, StoppedT, StoredCountT, SubscribeT, VerdictsT,
};
use nipworker_signer::{
    PrivateKeySigner,
    protocol::{Event, EventId, Filter, KindClass, PackedEvents, Tag, UnsignedEvent},
    verify_one,
};
use nipworker_supervision::{
    Intensity, Supervisor, SupervisorHandle,
    prelude::{
        Actor, Address, Backoff, ChildSpec, Context, Handler, MailboxConfig, ResponseFuture,
    },
};

pub const NOW: i64 = 1_800_000_000;
pub const RELAY: &str = "wss://relay.example";

/// What the neighbours are told to do, and what they have seen.
#[derive(Default)]
pub struct Script {
    /// Crypto panics on a batch with one of these.
    pub crypto_poison: Mutex<HashSet<EventId>>,
    /// The cache panics on a batch with one of these.
    pub cache_poison: Mutex<HashSet<EventId>>,
    /// So many of the next requests make the worker panic, whatever they hold.
    pub crypto_panics: AtomicUsize,
    pub cache_panics: AtomicUsize,
    /// So many of the next batches of events make the cache panic after they were stored.
    pub cache_panics_after_storing: AtomicUsize,
    /// So many of the next events make the cache panic after they were sent.
    pub cache_panics_after_sending: AtomicUsize,
    /// The cache answers with a failure of its store.
    pub cache_fails: AtomicBool,
    /// Neighbours keep requests until this is false again.
    pub crypto_waits: AtomicBool,
    pub crypto_held: AtomicUsize,
    /// Panics on poison.
    pub crypto_panicked: AtomicUsize,
    pub verified: AtomicUsize,
    pub stored: Mutex<Vec<Event>>,
    pub deleted: Mutex<HashSet<EventId>>,
    pub pages: AtomicUsize,
    pub asked: Mutex<Vec<String>>,
    pub stopped: Mutex<Vec<String>>,
    /// Called when relays are to be asked, after that was noted.
    pub on_ask: Mutex<Option<Box<dyn FnMut() + Send>>>,
    pub sent: Mutex<Vec<EventId>>,
}

impl Script {
    fn strikes(counter: &AtomicUsize) -> bool {
        let take = |n: usize| n.checked_sub(1);
        counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok()
    }
}

struct Crypto(Arc<Script>);

impl Actor for Crypto {
    type Context = Context<Self>;
}

impl Handler<CryptoEdge> for Crypto {
    type Result = ResponseFuture<CryptoEdge>;

    fn handle(&mut self, message: CryptoEdge, _: &mut Context<Self>) -> Self::Result {
        let script = Arc::clone(&self.0);
        assert!(!Script::strikes(&script.crypto_panics), "injected panic of crypto");
        let Ok(CryptoMessageT::VerifyBatch(batch)) = message.decode() else {
            panic!("only verification is asked for");
        };
        let poison = script.crypto_poison.lock().unwrap().clone();
        let ids = batch.items.iter().map(|item| EventId::from(&item.id));
        for id in ids {
            if poison.contains(&id) {
                script.crypto_panicked.fetch_add(1, Ordering::SeqCst);
                panic!("injected panic of crypto on {id}");
            }
        }
        Box::pin(async move {
            script.crypto_held.fetch_add(1, Ordering::SeqCst);
            while script.crypto_waits.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            script.crypto_held.fetch_sub(1, Ordering::SeqCst);
            script.verified.fetch_add(batch.items.len(), Ordering::SeqCst);
            let valid = batch
                .items
                .iter()
                .map(|it| verify_one(&(&it.id).into(), &(&it.pubkey).into(), &(&it.sig).into()))
                .collect();
            CryptoEdge::encode(VerdictsT { valid })
        })
    }
}

pub struct Cache(Arc<Script>);

impl Actor for Cache {
    type Context = Context<Self>;
}

impl Cache {
    fn put(&self, event: Event) -> PutOutcomeT {
        let id = event.id;
        let mut stored = self.0.stored.lock().unwrap();
        let status = if self.0.deleted.lock().unwrap().contains(&id) {
            PutStatus::Deleted
        } else if KindClass::of(event.kind) == KindClass::Ephemeral {
            PutStatus::Ephemeral
        } else if stored.iter().any(|other| other.id == id) {
            PutStatus::Duplicate
        } else {
            stored.push(event);
            PutStatus::Stored
        };
        PutOutcomeT { id: id.into(), status, reason: String::new() }
    }

    fn page(&self, query: nipworker_schema::QueryPageT) -> PageT {
        self.0.pages.fetch_add(1, Ordering::SeqCst);
        let filters: Vec<Filter> =
            query.filters.into_iter().map(|filter| filter.try_into().unwrap()).collect();
        let mut rows: Vec<Event> = self.0.stored.lock().unwrap().clone();
        rows.retain(|event| Filter::any_matches(&filters, event));
        rows.sort_by_key(|event| (std::cmp::Reverse(event.created_at), event.id));
        if let (Some(time), Some(id)) = (query.after_created_at, query.after_id) {
            let id = EventId::from(id);
            rows.retain(|event| {
                event.created_at < time || (event.created_at == time && event.id > id)
            });
        }
        let most = query.max_events as usize;
        let more = rows.len() > most;
        rows.truncate(most);
        PageT { events: rows.iter().collect::<PackedEvents>().into_bytes(), more }
    }
}

impl Handler<CacheEdge> for Cache {
    type Result = CacheEdge;

    fn handle(&mut self, message: CacheEdge, _: &mut Context<Self>) -> CacheEdge {
        let script = &self.0;
        assert!(!Script::strikes(&script.cache_panics), "injected panic of cache");
        if script.cache_fails.load(Ordering::SeqCst) {
            return CacheEdge::failed(FailureCode::Store, "the disk is full", true);
        }
        match message.decode().unwrap() {
            CacheMessageT::Persist(persist) => {
                let events: Vec<Event> = PackedEvents::read(persist.events)
                    .map(|event| event.unwrap().to_event())
                    .collect();
                let poison = script.cache_poison.lock().unwrap().clone();
                for event in &events {
                    assert!(!poison.contains(&event.id), "injected panic of cache");
                }
                let outcomes = events.into_iter().map(|event| self.put(event)).collect();
                let is_lost = Script::strikes(&script.cache_panics_after_storing);
                assert!(!is_lost, "injected panic of cache after storing");
                CacheEdge::encode(PersistedT { outcomes })
            }
            CacheMessageT::QueryPage(query) => CacheEdge::encode(self.page(*query)),
            CacheMessageT::AskRelays(ask) => {
                script.asked.lock().unwrap().push(ask.subscription);
                if let Some(on_ask) =
                    &mut *script.on_ask.lock().unwrap_or_else(PoisonError::into_inner)
                {
                    on_ask();
                }
                CacheEdge::encode(RelaysAskedT { relays: ask.relays })
            }
            CacheMessageT::StopAsking(stop) => {
                script.stopped.lock().unwrap().push(stop.subscription);
                CacheEdge::encode(StoppedT { known: true })
            }
            CacheMessageT::StoreAndSend(send) => {
                let event = Event::from(send.event);
                script.sent.lock().unwrap().push(event.id);
                let is_lost = Script::strikes(&script.cache_panics_after_sending);
                assert!(!is_lost, "injected panic of cache after sending");
                let outcome = self.put(event).into();
                let receipts = send
                    .relays
                    .into_iter()
                    .map(|relay| ReceiptT {
                        relay,
                        status: ReceiptStatus::Accepted,
                        ..ReceiptT::default()
                    })
                    .collect();
                CacheEdge::encode(SentT { outcome, receipts })
            }
            CacheMessageT::CountStored(_) => {
                let count = script.stored.lock().unwrap().len() as u64;
                CacheEdge::encode(StoredCountT { count, hll: None })
            }
            other => panic!("nobody asks the cache for {other:?}"),
        }
    }
}

/// Keeps intended panics from filling the output.
pub fn quiet_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !info.payload_as_str().unwrap_or_default().contains("injected") {
                before(info);
            }
        }));
    });
}

/// Waits until the condition holds; fails after a minute.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub struct World {
    pub hub: Hub,
    pub pipeline: Arc<Pipeline>,
    pub script: Arc<Script>,
    pub cache: Address<Cache>,
    pub parser: Address<ParserActor>,
    pub supervisor: SupervisorHandle,
}

impl World {
    pub fn new() -> Self {
        Self::with(ParserConfig {
            relay_deadline: Duration::from_secs(600),
            ..ParserConfig::default()
        })
    }

    pub fn with(config: ParserConfig) -> Self {
        quiet_panics();
        let script = Arc::<Script>::default();
        let crypto = Address::<Crypto>::new("crypto", MailboxConfig::default());
        let cache = Address::<Cache>::new("cache", MailboxConfig::default());
        let parser = ParserActor::address();
        let (hub, pipeline) = (Hub::default(), Arc::new(Pipeline::default()));
        let parts = ParserParts {
            hub: hub.clone(),
            pipeline: Arc::clone(&pipeline),
            crypto: crypto.recipient(),
            cache: cache.recipient(),
            clock: Arc::new(|| NOW),
            config,
        };
        let (one, two) = (Arc::clone(&script), Arc::clone(&script));
        let supervisor = Supervisor::builder("test")
            .intensity(Intensity { max_restarts: 1_000, within: Duration::from_secs(1) })
            .child(
                ChildSpec::new(crypto, move |_| Ok::<_, Infallible>(Crypto(one.clone())))
                    .backoff(Backoff::NONE),
            )
            .child(
                ChildSpec::new(cache.clone(), move |_| Ok::<_, Infallible>(Cache(two.clone())))
                    .backoff(Backoff::NONE),
            )
            .child(ParserActor::child(parser.clone(), parts).backoff(Backoff::NONE))
            .start_blocking()
            .unwrap();
        Self { hub, pipeline, script, cache, parser, supervisor }
    }

    pub fn client(&self, message: impl Into<ClientMessageT>) -> ClientMessageT {
        let asked = self.parser.ask(ClientEdge::encode(message)).timeout(Duration::from_secs(60));
        block_on(asked).unwrap().decode().unwrap()
    }

    pub fn ingest(&self, message: impl Into<IngestMessageT>) -> IngestMessageT {
        let asked = self.parser.ask(IngestEdge::encode(message)).timeout(Duration::from_secs(60));
        block_on(asked).unwrap().decode().unwrap()
    }

    /// Registers and subscribes; returns when relays were asked.
    pub fn subscribe(&self, spec: SubscriptionSpec) -> SubscriptionStream {
        let request = subscribe_request(&spec);
        let stream = self.hub.register(spec).unwrap();
        let answer = self.client(request);
        assert!(answer.as_subscribed().is_some(), "{answer:?}");
        stream
    }

    pub fn import(&self, texts: Vec<String>) -> Vec<PutOutcomeT> {
        let answer = self.client(ImportT { events: texts });
        answer.as_imported().unwrap_or_else(|| panic!("{answer:?}")).outcomes.clone()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.supervisor.stop_blocking();
    }
}

pub fn subscribe_request(spec: &SubscriptionSpec) -> SubscribeT {
    SubscribeT {
        subscription: spec.id.clone(),
        filters: spec.filters.iter().map(Into::into).collect(),
        relays: spec.plan.relays.clone(),
        use_cache: spec.plan.use_cache,
        use_relays: spec.plan.use_relays,
        close_on_eose: spec.plan.close_on_eose,
    }
}

/// A live subscription to notes at one relay.
pub fn notes(id: &str) -> SubscriptionSpec {
    let mut spec = SubscriptionSpec::new(id, vec![Filter::new().kinds([1])]);
    spec.plan.relays = vec![RELAY.to_owned()];
    spec
}

pub fn batch(subscription: &str, events: &[Event]) -> EventBatchT {
    EventBatchT {
        relay: RELAY.to_owned(),
        subscription: subscription.to_owned(),
        events: events.iter().map(Event::to_json).collect(),
    }
}

pub fn signed(signer: &PrivateKeySigner, kind: u16, time: i64) -> Event {
    let tags = vec![Tag::new(["t", "test"])];
    let template = UnsignedEvent::new(signer.key(), time, kind, tags, format!("number {time}"));
    signer.sign_now(template).unwrap()
}

pub fn many(number: i64) -> Vec<Event> {
    let signer = PrivateKeySigner::generate().unwrap();
    (0..number).map(|n| signed(&signer, 1, n)).collect()
}

/// The next item, within a minute.
pub fn next(stream: &mut SubscriptionStream) -> SubscriptionEvent {
    let mut item = None;
    eventually("the reader gets an item", || {
        item = stream.try_next();
        item.is_some()
    });
    item.unwrap()
}

/// Ids of the next `number` events; other items are passed over.
pub fn next_ids(stream: &mut SubscriptionStream, number: usize) -> Vec<EventId> {
    let mut ids = Vec::new();
    while ids.len() < number {
        if let SubscriptionEvent::Event { event, .. } = next(stream) {
            ids.push(event.id);
        }
    }
    ids
}

pub fn ids(events: &[Event]) -> Vec<EventId> {
    events.iter().map(|event| event.id).collect()
}

pub fn real_texts() -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/real-events.jsonl");
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}
