//! As many relays as there are bad habits, each with another one and some with several: every subscription gets
//! all that they serve in the end, nothing else, and each deed is counted at the relay that did it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt, future::join_all};
use nipworker_core::{
    ClientConfig, NostrClient, ReconcileEnd, Subscription, SubscriptionEvent, SyncHow, SyncOptions,
    protocol::{Event, EventId, Filter, RelayUrl},
    supervision::NodeStatus,
};
use nipworker_tests::{
    cost::allocated_bytes,
    events::{Author, now},
    staged::{Habit, Props, Staged},
    turn,
    wait::{until, within},
};
use rand::{
    Rng, SeedableRng,
    rngs::SmallRng,
    seq::{IndexedRandom, SliceRandom},
};
use serde_json::json;

/// How long a subscription may take to get everything, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(60);
/// Events that are stored when the client comes.
const STORED: usize = 300;
/// Events that are published while it is subscribed.
const LIVE: usize = 100;
/// Memory that all of this may hold at its end, the relays in this process included.
const MOST_BYTES: u64 = 256 * 1024 * 1024;
/// How old an event may be when it is published. After a reconnection a client asks from 120 s
/// before the last seen time on; a test on a slow machine takes its part of that.
const OLDEST_SECS: usize = 40;
/// How far ahead a relay's clock seems to be whose events are of the future.
const AHEAD_SECS: i64 = 3_600;

fn config(relays: &[Staged]) -> ClientConfig {
    let urls: Vec<RelayUrl> = relays.iter().map(|relay| relay.url().parse().unwrap()).collect();
    let mut config = ClientConfig { relays: urls, ..ClientConfig::default() };
    let times = &mut config.connections;
    times.reconnect_min = Duration::from_millis(20);
    times.reconnect_max = Duration::from_millis(200);
    times.ping_interval = Duration::from_millis(500);
    times.ping_grace = Duration::from_millis(500);
    times.eose_deadline = Duration::from_secs(1);
    times.closed_retry = Duration::from_millis(300);
    config.limits.queue_events = 4 * (STORED + LIVE);
    config
}

/// A subscription and what it must get.
struct Reader {
    stream: Subscription,
    filters: Vec<Filter>,
    seen: HashMap<EventId, usize>,
    ends: usize,
}

impl Reader {
    async fn open(client: &NostrClient, filters: Vec<Filter>) -> Self {
        let stream = client.subscribe(filters.clone()).await.unwrap();
        Self { stream, filters, seen: HashMap::new(), ends: 0 }
    }

    fn expected(&self, good: &[Event]) -> BTreeSet<EventId> {
        let wanted = good.iter().filter(|event| Filter::any_matches(&self.filters, event));
        wanted.map(|event| event.id).collect()
    }

    fn take(&mut self, item: &SubscriptionEvent) {
        match item {
            SubscriptionEvent::Event { event, .. } => {
                *self.seen.entry(event.id).or_default() += 1;
            }
            SubscriptionEvent::EndOfStored => self.ends += 1,
            SubscriptionEvent::Relay { .. } => {}
            other => panic!("{other:?}"),
        }
    }

    /// Reads until the end of stored events was told and all that is good has come.
    async fn reads(&mut self, what: &str, good: &[Event]) {
        let expected = self.expected(good);
        let start = tokio::time::Instant::now();
        while self.ends == 0 || expected.iter().any(|id| !self.seen.contains_key(id)) {
            let left = PATIENCE.saturating_sub(start.elapsed());
            match tokio::time::timeout(left, self.stream.next()).await {
                Ok(Some(item)) => self.take(&item),
                Ok(None) => panic!("{what}: the subscription ended"),
                Err(_) => {
                    let missing = expected.iter().filter(|id| !self.seen.contains_key(id)).count();
                    let of = expected.len();
                    panic!("{what}: {missing} of {of} are missing, {} ends", self.ends);
                }
            }
        }
    }

    /// Takes what has come besides.
    async fn drain(&mut self) {
        while let Ok(Some(item)) =
            tokio::time::timeout(Duration::from_millis(200), self.stream.next()).await
        {
            self.take(&item);
        }
    }

    fn check(&self, good: &[Event]) {
        let got: BTreeSet<EventId> = self.seen.keys().copied().collect();
        let expected = self.expected(good);
        let wrong: Vec<_> = got.difference(&expected).collect();
        assert!(wrong.is_empty(), "events that nobody may deliver: {wrong:?}");
        let twice = self.seen.values().filter(|times| **times > 1).count();
        assert_eq!(twice, 0, "events came twice");
        assert_eq!(self.ends, 1, "ends of stored events");
    }
}

/// Each relay its own habit, and some a second one.
async fn cast(chance: &mut SmallRng, props: &Props) -> Vec<Staged> {
    let mut habits = Habit::ALL;
    habits.shuffle(chance);
    let mut relays = Vec::new();
    for habit in habits {
        let mut of_one = vec![habit];
        let second = *Habit::ALL.choose(chance).unwrap();
        // One that passes hides another one that passes. What is read instead of a reconciliation
        // is not to be hidden either.
        let hides = second.passes() || [habit, second].contains(&Habit::NegNotice);
        if chance.random_bool(0.6) && second != habit && !hides {
            of_one.push(second);
        }
        relays.push(Staged::start(of_one, props.clone(), chance.random()).await);
    }
    relays
}

/// Gives each event to one to three relays. An event of the future goes to those whose habit it
/// is.
fn spread(events: &[Event], relays: &[Staged], chance: &mut SmallRng) {
    for event in events {
        let number = chance.random_range(1..=3);
        for relay in relays.choose_multiple(chance, number) {
            relay.give([event.clone()]);
        }
    }
}

/// What the status says of one relay, and of what came from it.
fn books(client: &NostrClient, relay: &Staged) -> (serde_json::Value, serde_json::Value) {
    let status = json!(client.status());
    let url = relay.url();
    let reports = status["relays"].as_array().unwrap();
    let report = reports.iter().find(|report| report["url"] == *url).cloned();
    (report.unwrap(), status["ingest"]["relays"][url].clone())
}

/// A relay that answers NIP-77 with a text for people is read page by page instead.
async fn sync_falls_back(client: &NostrClient, relay: &Staged, author: &Author) {
    let relays = Some(vec![relay.url().parse().unwrap()]);
    let options = SyncOptions { relays, ..SyncOptions::default() };
    let filter = Filter::new().authors([author.key()]).kinds([1]);
    let stored = relay.events().iter().filter(|event| filter.matches(event)).count() as u64;
    let sync = client.sync(filter, options).unwrap();
    let report = within("a sync", PATIENCE, sync.reports()).await.remove(0);
    assert_eq!(report.how, SyncHow::Req, "{report:?}");
    let why = report.fell_back.as_ref().map(|(end, _)| *end);
    assert_eq!(why, Some(ReconcileEnd::Notice), "{report:?}");
    assert!(report.is_complete() && report.fetched >= stored, "{stored} stored, {report:?}");
}

/// The first deed that is not counted, in words.
fn uncounted(client: &NostrClient, relay: &Staged) -> Option<String> {
    let (report, ingest) = books(client, relay);
    // On a busy machine a connection may be given up that no habit broke.
    let breaks =
        relay.habits().iter().any(|habit| habit.breaks_connections()) || report["disconnects"] != 0;
    relay.deeds().into_iter().find_map(|(habit, deeds)| {
        let counted = habit.counted(&report, &ingest)?;
        // What was on its way when a connection broke reached nobody.
        let least = if breaks { 1 } else { deeds };
        // A subscription misses an answer once, whatever comes of the next REQ.
        let least = if matches!(habit, Habit::Stalls | Habit::NeverEose) { 1 } else { least };
        let habits = relay.habits();
        (counted < least).then(|| {
            format!("{habit:?} of {habits:?}: {counted} of {deeds} counted in {report} {ingest}")
        })
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relays_of_every_bad_habit_silence_no_subscription_and_smuggle_nothing_in() {
    let _turn = turn::beside_others().await;
    let seed = std::env::var("NIPWORKER_CHURN_SEED")
        .map_or_else(|_| rand::random(), |seed| seed.parse().expect("a number"));
    println!("NIPWORKER_CHURN_SEED={seed}");
    let mut chance = SmallRng::seed_from_u64(seed);
    let (alice, bob, nobody) = (Author::new(), Author::new(), Author::new());
    let start = tokio::time::Instant::now();

    // As old as a relay that was away may still be asked for.
    let make = |from: usize, number: usize| -> Vec<Event> {
        let one = |at: usize| {
            let created_at = now() - (at % OLDEST_SECS) as i64;
            match at % 3 {
                0 => alice.event(1, vec![], &format!("note {at}"), created_at),
                1 => alice.event(7, vec![], &format!("reaction {at}"), created_at),
                _ => bob.event(1, vec![], &format!("note {at}"), created_at),
            }
        };
        (from..from + number).map(one).collect()
    };
    let mut good = make(0, STORED);
    let props = Props {
        unasked: nobody.notes("unasked", 3),
        known: good.choose_multiple(&mut chance, 10).cloned().collect(),
        to_forge: alice.notes("only ever forged", 3),
        huge: vec![alice.event(1, vec![], &"x".repeat(1_000_000), now())],
    };
    let relays = cast(&mut chance, &props).await;
    spread(&good, &relays, &mut chance);
    for relay in relays.iter().filter(|relay| relay.habits().contains(&Habit::Future)) {
        let early = alice.event(1, vec![], "from the future", now() + AHEAD_SECS);
        relay.give([early.clone()]);
        good.push(early);
    }

    let me = Arc::new(Author::new().signer());
    let client = NostrClient::builder().config(config(&relays)).signer(me).build().await.unwrap();
    let wanted = [
        vec![Filter::new().authors([alice.key()]).kinds([1])],
        vec![Filter::new().authors([alice.key()]).kinds([7])],
        vec![Filter::new().authors([bob.key()]), Filter::new().authors([alice.key()]).kinds([7])],
    ];
    let mut readers = Vec::new();
    for filters in wanted {
        readers.push(Reader::open(&client, filters).await);
    }
    join_all(readers.iter_mut().map(|reader| reader.reads("stored events", &good))).await;
    let stored_after = start.elapsed();

    // Live: a bit at a time, while connections still come and go, and beside a sync.
    let live = make(STORED, LIVE);
    let publish = async {
        for few in live.chunks(5) {
            spread(few, &relays, &mut chance);
            tokio::time::sleep(Duration::from_millis(chance.random_range(0..40))).await;
        }
    };
    let plain = relays.iter().find(|relay| relay.habits() == [Habit::NegNotice]).unwrap();
    tokio::join!(publish, sync_falls_back(&client, plain, &alice));
    good.extend(live);
    join_all(readers.iter_mut().map(|reader| reader.reads("live events", &good))).await;
    let live_after = start.elapsed();

    // Every relay is in order in the end, and each deed stands at its relay.
    for relay in &relays {
        let habits = relay.habits();
        until(&format!("{habits:?} is connected"), PATIENCE, || {
            let (report, _) = books(&client, relay);
            report["state"] == "connected" && report["open_subscriptions"] == 3
        })
        .await;
    }
    for relay in &relays {
        let start = tokio::time::Instant::now();
        while let Some(problem) = uncounted(&client, relay) {
            assert!(start.elapsed() < PATIENCE / 6, "{problem}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    for reader in &mut readers {
        reader.drain().await;
        reader.check(&good);
    }
    let cached: usize =
        within("a count", PATIENCE, client.count(vec![Filter::new()])).await.unwrap() as usize;
    let ids: BTreeSet<EventId> = good.iter().map(|event| event.id).collect();
    assert_eq!(cached, ids.len(), "events in the cache");

    // Bounds.
    let status = client.status();
    assert_eq!(status.subscriptions.lagged, 0);
    assert_eq!(status.subscriptions.queued, 0);
    assert!(status.ingest.known_events <= ClientConfig::default().limits.known_events);
    for child in &status.supervisor.children {
        let NodeStatus::Worker(child) = child else { continue };
        assert!(child.mailbox.high_water <= child.mailbox.capacity, "{child:?}");
        assert_eq!((child.panics, child.hangs, child.restarts), (0, 0, 0), "{child:?}");
    }
    assert!(allocated_bytes() < MOST_BYTES, "{} bytes are allocated", allocated_bytes());

    let mut deeds: BTreeMap<Habit, u64> = BTreeMap::new();
    for relay in &relays {
        for (habit, times) in relay.deeds() {
            *deeds.entry(habit).or_default() += times;
        }
    }
    println!(
        "stored after {stored_after:?}, live after {live_after:?}, all after {:?}; {} MB; {deeds:?}",
        start.elapsed(),
        allocated_bytes() / 1_000_000
    );
    let idle: Vec<_> = Habit::ALL
        .iter()
        .filter(|habit| **habit != Habit::Future && !deeds.contains_key(habit))
        .collect();
    assert!(idle.is_empty(), "habits that did nothing: {idle:?}");
    client.close().await;
}
