//! Chaos in the whole system: while it imports, serves subscriptions and mines, each of the five
//! workers is made to panic and to hang again and again.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use futures::{StreamExt, future::join_all};
use nipworker_core::{
    ClientConfig, ClientError, Fault, MineOptions, MiningOutcome, NostrClient, PublishOptions,
    PutOutcome, PutStatus, QueryOptions, State, StoreBackend, Subscription, SubscriptionEvent,
    Worker,
    protocol::{Event, EventId, Filter},
};
use nipworker_tests::{
    cost::waited_for_a_processor, events::Author, relay::Relay, socket::Socket, turn,
    wait::eventually,
};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde_json::json;
use tokio::sync::mpsc;

/// Faults of each worker: half of them panics, half hangs.
const FAULTS: usize = 200;
/// When a handler counts as hung; short, so that a hundred hangs of each worker take seconds.
const HANG_LIMIT: Duration = Duration::from_millis(200);
/// How long a hanging handler really hangs.
const HANG: Duration = Duration::from_millis(400);
/// Longest pause between two faults of one worker. With five workers somebody is down nearly all
/// the time; in between there must be time in which work gets done and can be lost.
const PAUSE_MS: u64 = 200;
/// The limit for an answer to a status query.
const STATUS: Duration = Duration::from_millis(100);
/// How often a publish may fail once nothing is made to go wrong any more.
const TRIES_IN_PEACE: usize = 10;
/// How long a worker may take to be back, with everything else going on.
const BACK: Duration = Duration::from_secs(10);
/// How long the last events may take.
const DELIVERY: Duration = Duration::from_secs(30);

/// What an injected panic says.
const INJECTED: &str = "injected panic";

/// What was promised to whoever imported.
#[derive(Default)]
struct Promised {
    /// Ids whose import was acknowledged.
    ids: HashSet<EventId>,
    /// Of those, the ones that were stored before the answer came: an earlier answer was lost.
    again: HashSet<EventId>,
    /// Requests that failed with a typed error and were made again.
    retried: usize,
}

/// A request may fail here, but only in the way that tells the caller what happened.
fn is_a_failed_worker(error: &ClientError) {
    assert!(matches!(error, ClientError::Worker { .. } | ClientError::Timeout(_)), "{error:?}");
}

/// Imports until told to stop; what fails is offered again until it is acknowledged.
async fn import(client: NostrClient, author: Arc<Author>, stop: Arc<AtomicBool>) -> Promised {
    let mut promised = Promised::default();
    while !stop.load(Ordering::Relaxed) {
        let mut open: HashMap<EventId, Event> =
            author.notes("import", 24).into_iter().map(|event| (event.id, event)).collect();
        while !open.is_empty() {
            let texts = open.values().map(Event::to_json).collect();
            match client.import(texts).await {
                Ok(outcomes) => {
                    assert_eq!(outcomes.len(), open.len(), "one outcome for each event");
                    for outcome in outcomes {
                        match outcome.status {
                            PutStatus::Stored | PutStatus::Duplicate => {
                                open.remove(&outcome.id).expect("an event of this batch");
                                promised.ids.insert(outcome.id);
                                if outcome.status == PutStatus::Duplicate {
                                    promised.again.insert(outcome.id);
                                }
                            }
                            PutStatus::Failed => promised.retried += 1,
                            other => panic!("a good event became {other:?}: {outcome:?}"),
                        }
                    }
                }
                Err(error) => {
                    is_a_failed_worker(&error);
                    promised.retried += 1;
                }
            }
        }
    }
    promised
}

/// Publishes until told to stop, and returns the ids with an `accepted` of the relay. A publish that
/// fails is made again, until the relay has accepted it.
async fn publish(client: NostrClient, author: Arc<Author>, stop: Arc<AtomicBool>) -> Promised {
    let mut promised = Promised::default();
    while !stop.load(Ordering::Relaxed) {
        let event = author.note("publish");
        let options = PublishOptions { timeout: Some(Duration::from_secs(2)), ..<_>::default() };
        let mut tries_in_peace = 0;
        let mut last;
        loop {
            match client.publish_with(event.clone(), options.clone()).await {
                Ok(report) if report.accepted() == 1 => break,
                // Not stored, or stored and the relay's answer did not come: worth another try.
                Ok(report) => {
                    let PutOutcome { status, .. } = report.outcome;
                    let may_be = [PutStatus::Stored, PutStatus::Duplicate, PutStatus::Failed];
                    assert!(may_be.contains(&status), "{report:?}");
                    last = format!("{report:?}");
                }
                Err(error) => {
                    is_a_failed_worker(&error);
                    last = error.to_string();
                }
            }
            promised.retried += 1;
            // As long as workers go wrong, so may every try; how often is a matter of luck.
            tries_in_peace += usize::from(stop.load(Ordering::Relaxed));
            assert!(tries_in_peace < TRIES_IN_PEACE, "{} is not accepted: {last}", event.id);
        }
        promised.ids.insert(event.id);
    }
    promised
}

/// Mines jobs that find nothing, one after the other: each must make exactly as many attempts as
/// it was given, whatever happens to the worker meanwhile.
async fn mine(client: NostrClient, author: Arc<Author>, stop: Arc<AtomicBool>) -> (u64, usize) {
    const ATTEMPTS: u64 = 3_000_000;
    let (mut finished, mut retried) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        let template = author.template(1, vec![], &format!("job {finished}"), 1_700_000_000);
        let options = MineOptions { max_attempts: Some(ATTEMPTS), ..MineOptions::default() };
        let handle = match client.mine_with(template, 255, options).await {
            Ok(handle) => handle,
            Err(error) => {
                is_a_failed_worker(&error);
                retried += 1;
                continue;
            }
        };
        let outcome = handle.solved().await.unwrap();
        assert_eq!(outcome, MiningOutcome::Exhausted { attempts: ATTEMPTS }, "a range is lost");
        let jobs = client.status().mining.jobs;
        let job = jobs.iter().find(|job| job.id.0 == handle.job()).expect("the job is known");
        assert_eq!((job.doubled, job.bad_hits), (0, 0), "a range was mined twice: {job:?}");
        assert!(job.quarantined.is_empty(), "a range was given up: {job:?}");
        finished += 1;
    }
    (finished, retried)
}

/// What a subscription brought.
#[derive(Default)]
struct Delivered {
    times: HashMap<EventId, usize>,
    is_complete: bool,
    lagged: u64,
    closed: Option<String>,
}

fn read(mut stream: Subscription) -> Arc<tokio::sync::Mutex<Delivered>> {
    let delivered = Arc::<tokio::sync::Mutex<Delivered>>::default();
    let written = Arc::clone(&delivered);
    tokio::spawn(async move {
        while let Some(item) = stream.next().await {
            let mut delivered = written.lock().await;
            match item {
                SubscriptionEvent::Event { event, .. } => {
                    *delivered.times.entry(event.id).or_default() += 1;
                }
                SubscriptionEvent::EndOfStored => delivered.is_complete = true,
                SubscriptionEvent::Lagged { missed } => delivered.lagged += missed,
                SubscriptionEvent::Closed { reason } => delivered.closed = Some(reason),
                _ => {}
            }
        }
    });
    delivered
}

/// Makes one worker go wrong again and again. After each time an event is published at the relay.
/// Returns how many hangs went by unseen, which happens when this machine is so busy that the
/// supervisor gets no time between the limit and the end of the hang: they are made again.
async fn torment(
    client: NostrClient,
    worker: Worker,
    mut random: StdRng,
    markers: mpsc::UnboundedSender<()>,
) -> usize {
    let mut faults = [Fault::Panic, Fault::Hang(HANG)].repeat(FAULTS / 2);
    faults.shuffle(&mut random);
    let name = worker.name();
    let mut unseen = 0;
    for fault in faults {
        let seen = restarts(&client, name);
        while !goes_wrong(&client, worker, fault, seen).await {
            assert_ne!(fault, Fault::Panic, "{name}: a panic went by unseen");
            unseen += 1;
        }
        markers.send(()).expect("the relay's writer runs");
        tokio::time::sleep(Duration::from_millis(random.random_range(0..PAUSE_MS))).await;
    }
    unseen
}

/// Makes a worker go wrong once, and waits until it is back; `false` when nothing came of it.
async fn goes_wrong(client: &NostrClient, worker: Worker, fault: Fault, seen: u64) -> bool {
    let name = worker.name();
    eventually("the fault is taken", BACK, async || client.inject(worker, fault).ok()).await;
    let what = format!("{name} is back after {fault:?}, restart {}", seen + 1);
    let injected = Instant::now();
    eventually(&what, BACK, async || {
        let status = client.status();
        let worker = status.supervisor.worker(name).expect("a worker");
        if worker.restarts > seen {
            return (worker.state == State::Running).then_some(true);
        }
        (fault != Fault::Panic && injected.elapsed() > 5 * HANG).then_some(false)
    })
    .await
}

fn restarts(client: &NostrClient, name: &str) -> u64 {
    client.status().supervisor.worker(name).expect("a worker").restarts
}

/// Asks for the status on a thread of its own; returns the longest time and the number. Time in
/// which other processes had the processors is not counted: no worker is waited for in it.
fn probe(client: NostrClient, stop: Arc<AtomicBool>) -> thread::JoinHandle<(Duration, usize)> {
    thread::spawn(move || {
        let (mut longest, mut asked) = (Duration::ZERO, 0);
        while !stop.load(Ordering::Relaxed) {
            let (start, waited) = (Instant::now(), waited_for_a_processor());
            let status = client.status();
            let (elapsed, waited) = (start.elapsed(), waited_for_a_processor() - waited);
            if elapsed > STATUS {
                println!("a status took {elapsed:?}, {waited:?} of it without a processor");
            }
            longest = longest.max(elapsed.saturating_sub(waited));
            assert_eq!(status.supervisor.workers().len(), Worker::ALL.len());
            asked += 1;
            thread::sleep(Duration::from_millis(5));
        }
        (longest, asked)
    })
}

/// Where panics print backtraces, they do so within the handler that panics, one thread after the
/// other: on a busy machine longer than a handler may take here, and then it counts as a hang.
fn print_injected_panics_without_backtrace() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| match panic.payload_as_str() {
        Some(INJECTED) => println!("{INJECTED}"),
        _ => print(panic),
    }));
}

fn config(relay: &Relay, folder: &std::path::Path) -> ClientConfig {
    let mut config = ClientConfig { relays: vec![relay.url().parse().unwrap()], ..<_>::default() };
    config.store.backend = StoreBackend::Redb;
    config.store.path = folder.join("events.redb");
    config.miner.threads = 1;
    config.supervision.max_restarts = 1_000_000;
    config.supervision.hang_limit = HANG_LIMIT;
    config.supervision.max_zombies = 64;
    config.supervision.backoff_min = Duration::from_millis(1);
    config.supervision.backoff_max = Duration::from_millis(20);
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_faults_of_each_worker_lose_nothing_that_was_acknowledged() {
    let _turn = turn::alone().await;
    let seed = rand::random::<u64>();
    println!("seed {seed}");
    print_injected_panics_without_backtrace();
    let start = Instant::now();
    let relay = Relay::local().await;
    let folder = tempfile::tempdir().unwrap();
    let client = NostrClient::new(config(&relay, folder.path())).await.unwrap();
    let (importer, remote) = (Arc::new(Author::new()), Author::new());
    let both = Filter::new().authors([importer.key(), remote.key()]).kinds([1]);
    let delivered = read(client.subscribe(vec![both]).await.unwrap());
    // Before the first fault: what is to survive is an open subscription.
    eventually("the subscription is open", DELIVERY, async || {
        delivered.lock().await.is_complete.then_some(())
    })
    .await;

    let (stop, stop_probe) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let prober = probe(client.clone(), Arc::clone(&stop_probe));
    let imports: Vec<_> = (0..2)
        .map(|_| tokio::spawn(import(client.clone(), Arc::clone(&importer), Arc::clone(&stop))))
        .collect();
    let publishing: Vec<_> = (0..4)
        .map(|_| tokio::spawn(publish(client.clone(), Arc::clone(&importer), Arc::clone(&stop))))
        .collect();
    let mining = tokio::spawn(mine(client.clone(), Arc::clone(&importer), Arc::clone(&stop)));
    let (markers, mut wanted) = mpsc::unbounded_channel();
    let torments = Worker::ALL.into_iter().zip(0..).map(|(worker, number)| {
        let random = StdRng::seed_from_u64(seed.wrapping_add(number));
        torment(client.clone(), worker, random, markers.clone())
    });
    let torments = join_all(torments.collect::<Vec<_>>());
    drop(markers);

    let mut socket = Socket::open(&relay.url()).await;
    let mut published = Vec::new();
    let publish = async {
        while wanted.recv().await.is_some() {
            let event = remote.note("after a fault");
            let (accepted, reason) = socket.publish(&event.to_json()).await;
            assert!(accepted, "{reason}");
            published.push(event.id);
        }
    };
    let (unseen, ()) = tokio::join!(torments, publish);
    println!(
        "{} faults in {:?}; hangs unseen and made again: {unseen:?}",
        FAULTS * Worker::ALL.len(),
        start.elapsed()
    );
    stop.store(true, Ordering::Relaxed);
    let mut promised = Promised::default();
    for import in imports {
        let one = import.await.unwrap();
        promised.ids.extend(one.ids);
        promised.again.extend(one.again);
        promised.retried += one.retried;
    }
    let mut accepted = Promised::default();
    for publishing in publishing {
        let one = publishing.await.unwrap();
        accepted.ids.extend(one.ids);
        accepted.retried += one.retried;
    }
    promised.ids.extend(&accepted.ids);
    let (jobs, mine_retries) = mining.await.unwrap();
    stop_probe.store(true, Ordering::Relaxed);
    let (longest, asked) = prober.join().unwrap();
    println!(
        "imported {} ({} retries, {} stored before the answer); accepted by the relay {} ({} \
         retries); published at the relay {}; jobs {jobs} ({mine_retries} \
         retries); status asked {asked} times, longest {longest:?}",
        promised.ids.len() - accepted.ids.len(),
        promised.retried,
        promised.again.len(),
        accepted.ids.len(),
        accepted.retried,
        published.len(),
    );

    // The workers: each was down as often as told, and the status says why.
    let status = client.status();
    println!("{}", status.supervisor);
    for worker in status.supervisor.workers() {
        assert!(worker.restarts >= FAULTS as u64, "{}: {}", worker.name, worker.restarts);
        assert_eq!(worker.panics, FAULTS as u64 / 2, "{}: panics of its own", worker.name);
        let failure = worker.last_failure.as_ref().expect("the last failure is shown");
        assert!(["panicked", "hung"].contains(&failure.kind.as_str()), "{failure:?}");
    }
    assert!(longest < STATUS, "a status query took {longest:?}");

    // The subscription: everything came, once.
    let expected: HashSet<EventId> = promised.ids.iter().chain(&published).copied().collect();
    let what = "every acknowledged and every published event is delivered";
    let last = Instant::now();
    let missing = async || -> Vec<EventId> {
        let delivered = delivered.lock().await;
        expected.iter().filter(|id| !delivered.times.contains_key(id)).copied().collect()
    };
    while !missing().await.is_empty() && last.elapsed() < DELIVERY {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let missing = missing().await;
    assert_eq!(delivered.lock().await.closed, None, "the subscription was ended");
    let at_the_relay = missing.iter().filter(|id| published.contains(id)).count();
    let again = missing.iter().filter(|id| promised.again.contains(id)).count();
    assert!(
        missing.is_empty(),
        "{what}: {} of {} are not, {at_the_relay} of them from the relay, {again} of them \
         acknowledged as duplicates after an answer was lost",
        missing.len(),
        expected.len()
    );
    let delivered = delivered.lock().await;
    let twice = delivered.times.values().filter(|times| **times > 1).count();
    assert_eq!((twice, delivered.lagged), (0, 0), "delivered twice, lagged");
    assert!(published.len() == FAULTS * Worker::ALL.len() && jobs > 0);
    assert!(!accepted.ids.is_empty(), "nothing was published by us in all that time");

    // The store: everything that was acknowledged is in it.
    let mut stored = HashSet::new();
    let promised: Vec<EventId> = promised.ids.into_iter().collect();
    for ids in promised.chunks(500) {
        let options = QueryOptions { use_relays: false, ..QueryOptions::default() };
        let filter = Filter::new().ids(ids.iter().copied());
        let mut found = client.query_with(vec![filter], options).await.unwrap();
        while let Some(item) = found.next().await {
            if let SubscriptionEvent::Event { event, .. } = item {
                stored.insert(event.id);
            }
        }
    }
    let lost = promised.iter().filter(|id| !stored.contains(id)).count();
    assert_eq!(lost, 0, "acknowledged events that are not stored, of {}", promised.len());

    // The relay: what a receipt said that it has, it has.
    let ids: Vec<_> = accepted.ids.iter().collect();
    let mut at_the_relay = 0;
    for ids in ids.chunks(200) {
        at_the_relay += socket.fetch(&json!({ "ids": ids })).await.len();
    }
    assert_eq!(at_the_relay, ids.len(), "receipts that say accepted");
    client.close().await;
    println!("all of it: {:?}", start.elapsed());
}
