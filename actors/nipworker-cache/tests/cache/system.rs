//! The worker under its real supervisor, over a store that fails and waits on request, beside a stand-in
//! for connections.

use std::{
    ops::ControlFlow,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{channel::oneshot, executor::block_on, future::Shared};
use nipworker_cache::{CacheActor, CacheParts, MAILBOX, child_spec};
use nipworker_protocol::{Event, EventId, Filter, PublicKey, Verified};
use nipworker_schema::{
    AskRelaysT, CacheEdge, CacheMessageT, EventReceiptsT, FailedT, FailureCode, PageT, PersistT,
    PutStatus, QueryPageT, ReceiptStatus, ReceiptT, RelayEdge, RelayEdgeMessageT, ReqClosedT,
    ReqOpenedT, StoreAndSendT,
};
use nipworker_store::{
    CheckReport, EventStore, KvError, KvStore, MemoryKv, PackedEvent, PackedEvents, Page,
    PageRequest, PutOutcome, StoreError, StoreStats, conformance::samples::NOW,
};
use nipworker_supervision::{ChildStatus, State, prelude::*};

/// A store that panics on "poison", reports a broken disk on request, waits in a commit as long as it
/// is told to, and counts commits.
pub(crate) struct Trapped {
    pub(crate) store: KvStore,
    pub(crate) disk_is_broken: AtomicBool,
    /// Held by who makes commits wait.
    pub(crate) disk: Mutex<()>,
    /// Commits that wait or have waited.
    pub(crate) begun: AtomicUsize,
}

impl EventStore for Trapped {
    fn put_packed(
        &self,
        events: &[Verified<PackedEvent>],
        now: i64,
    ) -> Result<Vec<PutOutcome>, StoreError> {
        let poisoned = events.iter().any(|event| event.view().content() == "poison");
        self.begun.fetch_add(1, Ordering::SeqCst);
        drop(self.disk.lock().unwrap_or_else(PoisonError::into_inner));
        assert!(!poisoned, "injected: poison");
        if self.disk_is_broken.swap(false, Ordering::SeqCst) {
            let source = std::io::Error::other("broken disk");
            return Err(KvError::Io { during: "committing", source }.into());
        }
        self.store.put_packed(events, now)
    }

    fn query(&self, f: &[Filter], p: &PageRequest, now: i64) -> Result<Page, StoreError> {
        self.store.query(f, p, now)
    }

    fn count(&self, filters: &[Filter], now: i64) -> Result<u64, StoreError> {
        self.store.count(filters, now)
    }

    fn get(&self, id: &EventId, now: i64) -> Result<Option<Verified<PackedEvent>>, StoreError> {
        self.store.get(id, now)
    }

    fn sweep_some(&self, now: i64, max: usize) -> Result<u64, StoreError> {
        self.store.sweep_some(now, max)
    }

    fn vanish(&self, author: &PublicKey, until: i64) -> Result<u64, StoreError> {
        self.store.vanish(author, until)
    }

    fn delete(&self, filters: &[Filter], now: i64) -> Result<u64, StoreError> {
        self.store.delete(filters, now)
    }

    fn for_each_oldest_first(
        &self,
        now: i64,
        visit: &mut dyn FnMut(Verified<PackedEvent>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.store.for_each_oldest_first(now, visit)
    }

    fn check(&self) -> Result<CheckReport, StoreError> {
        self.store.check()
    }

    fn stats(&self) -> Result<StoreStats, StoreError> {
        self.store.stats()
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.store.flush()
    }
}

pub(crate) type Asked = Arc<Mutex<Vec<RelayEdgeMessageT>>>;
pub(crate) type Gate = Arc<Mutex<Option<Shared<oneshot::Receiver<()>>>>>;

/// Answers as connections does. While there is a gate, requests wait for it; one about "poison"
/// panics; one about "refuse" is refused.
pub(crate) struct Connections {
    asked: Asked,
    gate: Gate,
}

impl Actor for Connections {
    type Context = Context<Self>;
}

impl Handler<RelayEdge> for Connections {
    type Result = ResponseFuture<RelayEdge>;

    fn handle(&mut self, request: RelayEdge, _: &mut Self::Context) -> Self::Result {
        let request = request.decode().unwrap();
        self.asked.lock().unwrap().push(request.clone());
        let answer = match request {
            RelayEdgeMessageT::OpenReq(request) if request.subscription == "poison" => {
                panic!("injected: poison")
            }
            RelayEdgeMessageT::OpenReq(request) if request.subscription == "refuse" => {
                RelayEdge::failed(FailureCode::Busy, "too many subscriptions", true)
            }
            RelayEdgeMessageT::OpenReq(request) => {
                RelayEdge::encode(ReqOpenedT { relays: request.relays })
            }
            RelayEdgeMessageT::CloseReq(request) => {
                RelayEdge::encode(ReqClosedT { known: request.subscription == "known" })
            }
            RelayEdgeMessageT::SendEvent(request) => {
                assert!(!request.relays.contains(&"poison".to_owned()), "injected: poison");
                let receipts = request
                    .relays
                    .into_iter()
                    .map(|relay| ReceiptT {
                        relay,
                        status: ReceiptStatus::Accepted,
                        message: String::new(),
                        elapsed_ms: 1,
                        ..ReceiptT::default()
                    })
                    .collect();
                RelayEdge::encode(EventReceiptsT { receipts })
            }
            other => panic!("not a request: {other:?}"),
        };
        let gate = self.gate.lock().unwrap().clone();
        Box::pin(async move {
            if let Some(gate) = gate {
                gate.await.unwrap();
            }
            answer
        })
    }
}

pub(crate) struct System {
    pub(crate) cache: Address<CacheActor>,
    pub(crate) store: Arc<Trapped>,
    pub(crate) asked: Asked,
    pub(crate) gate: Gate,
    pub(crate) handle: Option<SupervisorHandle>,
}

impl System {
    pub(crate) fn start() -> Self {
        quiet_panics();
        let store = Arc::new(Trapped {
            store: KvStore::open(MemoryKv::new()).unwrap(),
            disk_is_broken: AtomicBool::new(false),
            disk: Mutex::new(()),
            begun: AtomicUsize::new(0),
        });
        let (asked, gate) = (Asked::default(), Gate::default());
        let connections = Address::<Connections>::new("connections", MailboxConfig::default());
        let cache = Address::new("cache", MAILBOX);
        let parts =
            CacheParts::new(store.clone(), connections.recipient(), Arc::new(|| NOW), 2).unwrap();
        let stand_in = {
            let (asked, gate) = (asked.clone(), gate.clone());
            ChildSpec::new(connections, move |_: &StartContext| {
                Ok::<_, std::convert::Infallible>(Connections {
                    asked: asked.clone(),
                    gate: gate.clone(),
                })
            })
        };
        let handle = Supervisor::builder("test")
            .child(stand_in)
            .child(child_spec(cache.clone(), parts))
            .start_blocking()
            .unwrap();
        Self { cache, store, asked, gate, handle: Some(handle) }
    }

    pub(crate) fn try_ask(
        &self,
        message: impl Into<CacheMessageT>,
    ) -> Result<CacheMessageT, AskError> {
        let request = CacheEdge::encode(message);
        block_on(self.cache.ask(request).timeout(Duration::from_secs(20)))
            .map(|answer| answer.decode().unwrap())
    }

    pub(crate) fn ask(&self, message: impl Into<CacheMessageT>) -> CacheMessageT {
        self.try_ask(message).unwrap()
    }

    pub(crate) fn failure(&self, message: impl Into<CacheMessageT>) -> FailedT {
        match self.ask(message) {
            CacheMessageT::Failed(failed) => *failed,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn persist(&self, events: &[Verified]) -> Vec<PutStatus> {
        match self.ask(persist(events)) {
            CacheMessageT::Persisted(answer) => {
                assert_eq!(answer.outcomes.len(), events.len());
                for (outcome, event) in answer.outcomes.iter().zip(events) {
                    assert_eq!(EventId::from(&outcome.id), event.id);
                }
                answer.outcomes.iter().map(|outcome| outcome.status).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn page(&self, request: QueryPageT) -> PageT {
        match self.ask(request) {
            CacheMessageT::Page(page) => *page,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn status(&self) -> ChildStatus {
        self.handle.as_ref().unwrap().status().worker("cache").unwrap().clone()
    }

    pub(crate) fn restarts(&self) -> u64 {
        self.status().restarts
    }

    /// Waits until so many commits have begun, those before included.
    pub(crate) fn commits_begun(&self, count: usize) {
        let end = Instant::now() + Duration::from_secs(20);
        while self.store.begun.load(Ordering::SeqCst) < count {
            assert!(Instant::now() < end, "only {:?} commits", self.store.begun);
            std::thread::yield_now();
        }
    }

    /// Waits until the worker was started again so many times and is up.
    pub(crate) fn restarted(&self, times: u64) {
        let end = Instant::now() + Duration::from_secs(20);
        while (self.restarts(), self.status().state) != (times, State::Running) {
            assert!(Instant::now() < end, "{:?}", self.status());
            std::thread::yield_now();
        }
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            assert!(handle.stop_blocking().is_clean());
        }
    }
}

/// Keeps intended panics from filling the output.
fn quiet_panics() {
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

pub(crate) fn persist(events: &[Verified]) -> PersistT {
    PersistT { events: events.iter().map(|event| &**event).collect::<PackedEvents>().into_bytes() }
}

pub(crate) fn everything() -> QueryPageT {
    QueryPageT { filters: vec![Filter::new().into()], ..QueryPageT::default() }
}

pub(crate) fn rows(page: &PageT) -> Vec<Event> {
    PackedEvents::read(page.events.clone()).map(|event| event.unwrap().to_event()).collect()
}

pub(crate) fn ids(page: &PageT) -> Vec<EventId> {
    rows(page).iter().map(|event| event.id).collect()
}

pub(crate) fn publish(event: &Verified, relays: &[&str], use_relays: bool) -> StoreAndSendT {
    StoreAndSendT {
        event: (&**event).into(),
        relays: relays.iter().map(|&relay| relay.to_owned()).collect(),
        use_relays,
        timeout_ms: 1_000,
    }
}

pub(crate) fn open_req(subscription: &str) -> AskRelaysT {
    AskRelaysT {
        subscription: subscription.to_owned(),
        filters: vec![Filter::new().kinds([1]).into()],
        relays: vec!["wss://one".to_owned()],
        close_on_eose: true,
        relay_timeout_ms: 7_000,
    }
}
