//! The worker under the real supervisor, with a stand-in for connections.

#![allow(clippy::unwrap_used)]

use std::{
    ops::ControlFlow,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{
    FutureExt,
    channel::oneshot,
    executor::block_on,
    future::{Shared, join_all},
};
use nipworker_cache::{CacheActor, CacheParts, IN_FLIGHT_MAX, MAILBOX, child_spec};
use nipworker_protocol::{Event, EventId, Filter, PublicKey, Verified};
use nipworker_schema::{
    AskRelaysT, CacheEdge, CacheMessageT, CountStoredT, EventReceiptsT, FailedT, FailureCode,
    PageT, PersistT, PutStatus, QueryPageT, ReceiptStatus, ReceiptT, RelayEdge, RelayEdgeMessageT,
    ReqClosedT, ReqOpenedT, StopAskingT, StoreAndSendT, SweepExpiredT,
};
use nipworker_store::{
    CheckReport, EventStore, KvError, KvStore, MemoryKv, PackedEvent, PackedEvents, Page,
    PageRequest, PutOutcome, StoreError, StoreStats,
    conformance::samples::{self, NOW, note},
};
use nipworker_supervision::{ChildStatus, Exit, Fault, State, prelude::*};

/// A store that panics on "poison", reports a broken disk on request, waits in a commit as long as it
/// is told to, and counts commits.
struct Trapped {
    store: KvStore,
    disk_is_broken: AtomicBool,
    /// Held by who makes commits wait.
    disk: Mutex<()>,
    /// Commits that wait or have waited.
    begun: AtomicUsize,
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

type Asked = Arc<Mutex<Vec<RelayEdgeMessageT>>>;
type Gate = Arc<Mutex<Option<Shared<oneshot::Receiver<()>>>>>;

/// Answers as connections does. While there is a gate, requests wait for it; one about "poison"
/// panics; one about "refuse" is refused.
struct Connections {
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

struct System {
    cache: Address<CacheActor>,
    store: Arc<Trapped>,
    asked: Asked,
    gate: Gate,
    handle: Option<SupervisorHandle>,
}

impl System {
    fn start() -> Self {
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

    fn try_ask(&self, message: impl Into<CacheMessageT>) -> Result<CacheMessageT, AskError> {
        let request = CacheEdge::encode(message);
        block_on(self.cache.ask(request).timeout(Duration::from_secs(20)))
            .map(|answer| answer.decode().unwrap())
    }

    fn ask(&self, message: impl Into<CacheMessageT>) -> CacheMessageT {
        self.try_ask(message).unwrap()
    }

    fn failure(&self, message: impl Into<CacheMessageT>) -> FailedT {
        match self.ask(message) {
            CacheMessageT::Failed(failed) => *failed,
            other => panic!("{other:?}"),
        }
    }

    fn persist(&self, events: &[Verified]) -> Vec<PutStatus> {
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

    fn page(&self, request: QueryPageT) -> PageT {
        match self.ask(request) {
            CacheMessageT::Page(page) => *page,
            other => panic!("{other:?}"),
        }
    }

    fn status(&self) -> ChildStatus {
        self.handle.as_ref().unwrap().status().worker("cache").unwrap().clone()
    }

    fn restarts(&self) -> u64 {
        self.status().restarts
    }

    /// Waits until so many commits have begun, those before included.
    fn commits_begun(&self, count: usize) {
        let end = Instant::now() + Duration::from_secs(20);
        while self.store.begun.load(Ordering::SeqCst) < count {
            assert!(Instant::now() < end, "only {:?} commits", self.store.begun);
            std::thread::yield_now();
        }
    }

    /// Waits until the worker was started again so many times and is up.
    fn restarted(&self, times: u64) {
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

fn persist(events: &[Verified]) -> PersistT {
    PersistT { events: events.iter().map(|event| &**event).collect::<PackedEvents>().into_bytes() }
}

fn everything() -> QueryPageT {
    QueryPageT { filters: vec![Filter::new().into()], ..QueryPageT::default() }
}

fn rows(page: &PageT) -> Vec<Event> {
    PackedEvents::read(page.events.clone()).map(|event| event.unwrap().to_event()).collect()
}

fn ids(page: &PageT) -> Vec<EventId> {
    rows(page).iter().map(|event| event.id).collect()
}

fn publish(event: &Verified, relays: &[&str], use_relays: bool) -> StoreAndSendT {
    StoreAndSendT {
        event: (&**event).into(),
        relays: relays.iter().map(|&relay| relay.to_owned()).collect(),
        use_relays,
        timeout_ms: 1_000,
    }
}

fn open_req(subscription: &str) -> AskRelaysT {
    AskRelaysT {
        subscription: subscription.to_owned(),
        filters: vec![Filter::new().kinds([1]).into()],
        relays: vec!["wss://one".to_owned()],
        close_on_eose: true,
        relay_timeout_ms: 7_000,
    }
}

#[test]
fn what_is_persisted_is_queried_counted_and_swept() {
    let system = System::start();
    let kept = samples::event(1, NOW - 1, 1, &[&["t", "ü"]], "quote \" and \u{1f980}");
    let mortal = samples::event(1, NOW, 1, &[&["expiration", &(NOW + 5).to_string()]], "");
    let passing = samples::event(1, NOW, 20_001, &[], "");
    assert_eq!(
        system.persist(&[kept.clone(), mortal.clone(), passing, kept.clone()]),
        [PutStatus::Stored, PutStatus::Stored, PutStatus::Ephemeral, PutStatus::Duplicate]
    );
    let page = system.page(everything());
    assert!(!page.more);
    assert_eq!(rows(&page), [mortal.into_inner(), kept.into_inner()]);
    let count = CountStoredT { filters: vec![Filter::new().tag('t', ["ü"]).into()], hll: false };
    assert!(matches!(system.ask(count), CacheMessageT::StoredCount(count) if count.count == 1));
    let sweep = |now| system.ask(SweepExpiredT { now });
    assert!(matches!(sweep(NOW), CacheMessageT::Swept(swept) if swept.removed == 0));
    assert!(matches!(sweep(NOW + 5), CacheMessageT::Swept(swept) if swept.removed == 1));
    assert_eq!(system.store.stats().unwrap().events, 1);
}

#[test]
fn pages_join_without_gap_or_repetition_and_keep_each_filters_limit() {
    let system = System::start();
    let events: Vec<_> =
        (0..30_u8).map(|n| note(n % 2, NOW - i64::from(n / 4), &n.to_string())).collect();
    system.persist(&events);
    let one = vec![Filter::new().limit(11)];
    let two = vec![Filter::new().authors([samples::author(0)]).limit(4), Filter::new().limit(9)];
    for filters in [one, two] {
        let direct = system.store.query(&filters, &PageRequest::default(), NOW).unwrap();
        let expected: Vec<_> = direct.unpack().iter().map(|event| event.id).collect();
        let mut found = Vec::new();
        let mut request = QueryPageT {
            filters: filters.iter().map(Into::into).collect(),
            max_events: 3,
            ..QueryPageT::default()
        };
        loop {
            let page = system.page(request.clone());
            let rows = rows(&page);
            assert!(rows.len() <= 3);
            found.extend(ids(&page));
            let (Some(last), true) = (rows.last(), page.more) else { break };
            request.after_created_at = Some(last.created_at);
            request.after_id = Some(last.id.into());
            request.skip = found.len() as u64;
        }
        assert_eq!(found, expected);
    }
}

#[test]
fn what_cannot_be_understood_is_refused_with_a_reason() {
    let system = System::start();
    let request = CacheEdge::from_bytes(RelayEdge::encode(ReqClosedT { known: true }).into_bytes());
    let answer = block_on(system.cache.ask(request)).unwrap().decode().unwrap();
    assert!(matches!(&answer, CacheMessageT::Failed(f) if f.code == FailureCode::Invalid));
    let answer = system.failure(PageT { events: vec![], more: false });
    assert_eq!(answer.code, FailureCode::Unsupported);
    let half = QueryPageT { after_created_at: Some(1), ..everything() };
    assert_eq!(system.failure(half).code, FailureCode::Invalid);
    let search = Filter { search: Some("x".into()), ..Filter::new() };
    let search = QueryPageT { filters: vec![search.into()], ..QueryPageT::default() };
    let refused = system.failure(search);
    assert_eq!((refused.code, refused.transient), (FailureCode::Unsupported, false));
    assert_eq!(system.restarts(), 0);
}

#[test]
fn a_publish_is_committed_before_it_is_sent_and_brings_the_receipts_back() {
    let system = System::start();
    let event = note(1, NOW, "hello");
    let CacheMessageT::Sent(sent) = system.ask(publish(&event, &["wss://a", "wss://b"], true))
    else {
        panic!("not sent")
    };
    assert_eq!(sent.outcome.status, PutStatus::Stored);
    let relays: Vec<_> = sent.receipts.iter().map(|receipt| receipt.relay.as_str()).collect();
    assert_eq!(relays, ["wss://a", "wss://b"]);
    assert_eq!(ids(&system.page(everything())), [event.id]);
    let RelayEdgeMessageT::SendEvent(asked) = system.asked.lock().unwrap()[0].clone() else {
        panic!("not a send")
    };
    assert_eq!(asked.event, event.to_json());
    assert_eq!(EventId::from(&asked.id), event.id);
    assert_eq!(asked.timeout_ms, 1_000);

    // Kept to ourselves, and what its author has replaced: neither is sent.
    let newer = samples::event(1, NOW, 0, &[], "new");
    let older = samples::event(1, NOW - 1, 0, &[], "old");
    for (event, use_relays, status) in
        [(newer, false, PutStatus::Stored), (older, true, PutStatus::Superseded)]
    {
        let CacheMessageT::Sent(sent) = system.ask(publish(&event, &["wss://a"], use_relays))
        else {
            panic!("no answer")
        };
        assert_eq!((sent.outcome.status, sent.receipts.len()), (status, 0));
    }
    assert_eq!(system.asked.lock().unwrap().len(), 1);
}

#[test]
fn subscriptions_are_opened_and_closed_at_connections() {
    let system = System::start();
    let CacheMessageT::RelaysAsked(asked) = system.ask(open_req("known")) else {
        panic!("not asked")
    };
    assert_eq!(asked.relays, ["wss://one"]);
    for (subscription, known) in [("known", true), ("other", false)] {
        let stop = StopAskingT { subscription: subscription.to_owned() };
        assert!(
            matches!(system.ask(stop), CacheMessageT::Stopped(stopped) if stopped.known == known)
        );
    }
    let RelayEdgeMessageT::OpenReq(request) = system.asked.lock().unwrap()[0].clone() else {
        panic!("not a request")
    };
    assert!(request.close_on_eose);
    assert_eq!(request.relay_timeout_ms, 7_000);
    assert_eq!(request.filters, [Filter::new().kinds([1]).into()]);
    let refused = system.failure(open_req("refuse"));
    assert_eq!((refused.code, refused.transient), (FailureCode::Busy, true));
    assert!(refused.reason.contains("too many subscriptions"));
}

#[test]
fn queries_are_answered_while_connections_takes_its_time() {
    let system = System::start();
    let event = note(1, NOW, "hello");
    let (open, gate) = oneshot::channel();
    *system.gate.lock().unwrap() = Some(gate.shared());
    let publish = CacheEdge::encode(publish(&event, &["wss://a"], true));
    let sending = system.cache.try_ask(publish).unwrap();
    // Were the worker waiting for connections, this would never come back.
    while system.page(everything()).events.is_empty() {}
    open.send(()).unwrap();
    let sent = block_on(sending).unwrap().decode().unwrap();
    assert!(matches!(sent, CacheMessageT::Sent(_)));
}

#[test]
fn a_panic_of_connections_is_told_and_the_event_stays_stored() {
    let system = System::start();
    let event = note(1, NOW, "hello");
    for (failed, words) in [
        (system.failure(open_req("poison")), "whether relays were asked is not known"),
        (system.failure(publish(&event, &["poison"], true)), "no receipts came"),
    ] {
        assert_eq!((failed.code, failed.transient), (FailureCode::Worker, true));
        assert!(failed.reason.contains("poison"), "{}", failed.reason);
        assert!(failed.reason.contains(words), "{}", failed.reason);
    }
    assert_eq!(ids(&system.page(everything())), [event.id]);
    assert!(matches!(system.ask(open_req("again")), CacheMessageT::RelaysAsked(_)));
    assert_eq!(system.restarts(), 0);
}

#[test]
fn a_panic_costs_one_message_and_the_next_incarnation_serves_what_is_kept() {
    let system = System::start();
    let before = note(1, NOW - 2, "before");
    system.persist(std::slice::from_ref(&before));
    let poison = [note(1, NOW - 1, "fine"), note(1, NOW - 1, "poison")];
    let after = note(1, NOW, "after");
    let requests = [persist(&poison), persist(std::slice::from_ref(&after))];
    let asks = requests.map(|request| system.cache.try_ask(CacheEdge::encode(request)).unwrap());
    let answers = block_on(join_all(asks));
    let [failed, persisted] = &answers[..] else { panic!("two answers: {answers:?}") };
    let Ok(CacheMessageT::Failed(failed)) = failed.as_ref().unwrap().decode() else {
        panic!("{failed:?}")
    };
    assert_eq!((failed.code, failed.transient), (FailureCode::Worker, true));
    assert!(failed.reason.contains("poison"), "{}", failed.reason);
    assert!(matches!(persisted.as_ref().unwrap().decode(), Ok(CacheMessageT::Persisted(_))));
    assert_eq!(ids(&system.page(everything())), [after.id, before.id]);
    system.restarted(1);
    assert_eq!(system.status().panics, 1);
    let report = system.store.check().unwrap();
    assert!(report.is_clean(), "{:?}", report.problems);
}

#[test]
fn every_kind_of_fault_is_survived_with_the_data_intact() {
    let system = System::start();
    let kept = note(1, NOW, "kept");
    system.persist(std::slice::from_ref(&kept));
    for (number, fault) in (1..).zip([Fault::Panic, Fault::FatalError, Fault::KillThread]) {
        system.cache.inject(fault).unwrap();
        // The fault may meet this question or come before it.
        match system.try_ask(everything()) {
            Ok(CacheMessageT::Page(page)) => assert_eq!(ids(&page), [kept.id]),
            Ok(other) => panic!("{other:?}"),
            Err(AskError::Panicked { .. } | AskError::Fatal { .. } | AskError::ThreadLost) => {}
            Err(other) => panic!("{other}"),
        }
        assert_eq!(ids(&system.page(everything())), [kept.id]);
        assert_eq!(system.restarts(), number);
    }
}

#[test]
fn a_broken_disk_ends_the_incarnation_and_its_asker_is_told() {
    let system = System::start();
    system.store.disk_is_broken.store(true, Ordering::SeqCst);
    let event = note(1, NOW, "");
    let failed = system.failure(persist(std::slice::from_ref(&event)));
    assert_eq!((failed.code, failed.transient), (FailureCode::Store, true));
    assert!(failed.reason.contains("broken disk"), "{}", failed.reason);
    system.restarted(1);
    let failure = system.status().last_failure.unwrap();
    assert!(failure.message.contains("broken disk"), "{failure:?}");
    assert_eq!(system.persist(std::slice::from_ref(&event)), [PutStatus::Stored]);
}

#[test]
fn a_query_does_not_wait_for_a_commit() {
    let system = System::start();
    let before = note(1, NOW - 1, "before");
    system.persist(std::slice::from_ref(&before));
    let slow_disk = system.store.disk.lock().unwrap();
    let after = note(1, NOW, "after");
    let request = CacheEdge::encode(persist(std::slice::from_ref(&after)));
    let mut persisting = system.cache.try_ask(request).unwrap();
    system.commits_begun(2);
    for _ in 0..100 {
        assert_eq!(ids(&system.page(everything())), [before.id]);
    }
    assert!(
        (&mut persisting).now_or_never().is_none(),
        "nothing is acknowledged before its commit"
    );
    drop(slow_disk);
    let answer = block_on(persisting).unwrap().decode().unwrap();
    assert!(matches!(answer, CacheMessageT::Persisted(_)));
    assert_eq!(ids(&system.page(everything())), [after.id, before.id]);
}

#[test]
fn what_waits_for_a_commit_is_committed_together_and_answered_one_by_one() {
    let system = System::start();
    let slow_disk = system.store.disk.lock().unwrap();
    let batch = |n: i64| [note(1, NOW - n, "one"), note(2, NOW - n, "two")];
    let ask = |n| system.cache.try_ask(CacheEdge::encode(persist(&batch(n)))).unwrap();
    let first = ask(0);
    system.commits_begun(1);
    // The third brings what the second brought, and one request brings nothing.
    let more = [ask(1), ask(2), ask(2)];
    let empty = system.cache.try_ask(CacheEdge::encode(persist(&[]))).unwrap();
    // Both have been handed on when a question behind them is answered.
    assert!(system.page(everything()).events.is_empty());
    drop(slow_disk);
    let answers = block_on(join_all([first].into_iter().chain(more).chain([empty])));
    let statuses: Vec<Vec<PutStatus>> = answers
        .into_iter()
        .map(|answer| match answer.unwrap().decode().unwrap() {
            CacheMessageT::Persisted(answer) => {
                answer.outcomes.iter().map(|outcome| outcome.status).collect()
            }
            other => panic!("{other:?}"),
        })
        .collect();
    let (new, known) = ([PutStatus::Stored; 2].to_vec(), [PutStatus::Duplicate; 2].to_vec());
    assert_eq!(statuses, [new.clone(), new.clone(), new, known, vec![]]);
    assert_eq!(system.store.begun.load(Ordering::SeqCst), 2, "one for the first, one for the rest");
    assert_eq!(system.store.stats().unwrap().events, 6);
}

#[test]
fn what_is_under_way_is_answered_although_the_worker_fails_meanwhile() {
    let system = System::start();
    let slow_disk = system.store.disk.lock().unwrap();
    let event = note(1, NOW, "kept");
    let request = CacheEdge::encode(persist(std::slice::from_ref(&event)));
    let persisting = system.cache.try_ask(request).unwrap();
    system.commits_begun(1);
    for (number, fault) in (1..).zip([Fault::Panic, Fault::FatalError]) {
        system.cache.inject(fault).unwrap();
        system.restarted(number);
    }
    assert!(system.page(everything()).events.is_empty());
    drop(slow_disk);
    let answer = block_on(persisting).unwrap().decode().unwrap();
    assert!(matches!(answer, CacheMessageT::Persisted(_)), "{answer:?}");
}

#[test]
fn more_requests_than_may_be_under_way_wait_and_are_all_answered() {
    let system = System::start();
    let slow_disk = system.store.disk.lock().unwrap();
    let count = IN_FLIGHT_MAX + 100;
    let asks: Vec<_> = (0..count as i64)
        .map(|n| {
            let request = CacheEdge::encode(persist(&[note(1, NOW - n, "")]));
            system.cache.ask(request)
        })
        .collect();
    let answers = std::thread::spawn(move || block_on(join_all(asks)));
    system.commits_begun(1);
    // No more are read than may be under way, and what waits is in the mailbox.
    let end = Instant::now() + Duration::from_secs(20);
    let (read, left) = (IN_FLIGHT_MAX as u64, (count - IN_FLIGHT_MAX) as u64);
    let seen = || (system.status().handled, system.status().mailbox.depth);
    while seen() != (read, left) {
        assert!(Instant::now() < end, "{:?}", seen());
        std::thread::yield_now();
    }
    for _ in 0..1_000 {
        assert_eq!(seen(), (read, left));
    }
    drop(slow_disk);
    for answer in answers.join().unwrap() {
        assert!(matches!(answer.unwrap().decode(), Ok(CacheMessageT::Persisted(_))));
    }
    assert_eq!(system.store.stats().unwrap().events, count as u64);
}

#[test]
fn publishes_that_wait_for_relays_keep_nothing_else_from_being_stored() {
    let system = System::start();
    let (open, gate) = oneshot::channel();
    *system.gate.lock().unwrap() = Some(gate.shared());
    let count = IN_FLIGHT_MAX + 50;
    let asks: Vec<_> = (0..count as i64)
        .map(|n| {
            let request = publish(&note(1, NOW - n, ""), &["wss://a"], true);
            system.cache.ask(CacheEdge::encode(StoreAndSendT { timeout_ms: 60_000, ..request }))
        })
        .collect();
    let answers = std::thread::spawn(move || block_on(join_all(asks)));
    let end = Instant::now() + Duration::from_secs(20);
    while system.asked.lock().unwrap().len() < count {
        assert!(Instant::now() < end, "{} publishes are sent", system.asked.lock().unwrap().len());
        std::thread::yield_now();
    }
    let status = system.persist(&[note(2, NOW, "from a relay")]);
    assert_eq!(status, [PutStatus::Stored]);
    assert!(!answers.is_finished(), "nobody has answered the publishes");
    open.send(()).unwrap();
    for answer in answers.join().unwrap() {
        assert!(matches!(answer.unwrap().decode(), Ok(CacheMessageT::Sent(_))));
    }
}

#[test]
fn a_stop_works_off_what_is_queued() {
    let mut system = System::start();
    let asks: Vec<_> = (0..100)
        .map(|n| {
            let request = CacheEdge::encode(persist(&[note(1, NOW - n, "")]));
            system.cache.try_ask(request).unwrap()
        })
        .collect();
    let handle = system.handle.take().unwrap();
    assert!(handle.stop_blocking().is_clean());
    for answer in block_on(join_all(asks)) {
        assert!(matches!(answer.unwrap().decode(), Ok(CacheMessageT::Persisted(_))));
    }
    assert_eq!(system.store.stats().unwrap().events, 100);
    assert!(matches!(block_on(handle.wait()), Exit::Stopped));
    assert_eq!(system.try_ask(everything()).unwrap_err(), AskError::Closed);
}
