//! The network breaks and is repaired: what relays still serve arrives, once.

use std::{collections::HashMap, time::Duration};

use futures::StreamExt;
use nipworker_core::{
    ClientConfig, LinkState, NostrClient, Placement, RelayReport, Subscription, SubscriptionEvent,
    protocol::{Event, EventId, Filter, RelayUrl},
};
use nipworker_tests::{
    cable::Cable,
    events::{Author, now},
    staged::Staged,
    turn,
    wait::{until, within},
};
use rand::{
    Rng, SeedableRng,
    rngs::SmallRng,
    seq::{IndexedRandom, SliceRandom},
};

/// How long anything may take on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(60);
const RELAYS: usize = 5;
/// Scenarios, each with cuts of its own.
const SEEDS: u64 = 30;
/// Scenarios that run at the same time.
const AT_A_TIME: usize = 6;
const CUTS: usize = 3;
const PING_INTERVAL: Duration = Duration::from_millis(200);
const PING_GRACE: Duration = Duration::from_millis(200);
/// How old an event may be that is published during a cut and still asked for after it. The
/// client asks from [`OVERLAP_SECS`] before the last seen time on.
const OLDEST_SECS: i64 = 90;
const OVERLAP_SECS: i64 = 120;

fn config(urls: &[String]) -> ClientConfig {
    let relays: Vec<RelayUrl> = urls.iter().map(|url| url.parse().unwrap()).collect();
    let mut config = ClientConfig { relays, ..ClientConfig::default() };
    let times = &mut config.connections;
    times.connect_timeout = Duration::from_millis(400);
    times.reconnect_min = Duration::from_millis(20);
    times.reconnect_max = Duration::from_millis(200);
    times.ping_interval = PING_INTERVAL;
    times.ping_grace = PING_GRACE;
    times.eose_deadline = Duration::from_secs(1);
    times.resubscribe_overlap_secs = OVERLAP_SECS;
    // Scenarios share the processors.
    config.crypto.threads = 1;
    config.miner.threads = 1;
    config.miner.placement = Placement::Off;
    config
}

fn report(client: &NostrClient, url: &str) -> RelayReport {
    let status = client.status();
    status.relays.into_iter().find(|relay| relay.url == url).unwrap().report
}

struct Reader {
    stream: Subscription,
    seen: HashMap<EventId, usize>,
    ends: usize,
}

impl Reader {
    fn take(&mut self, item: Option<SubscriptionEvent>) {
        match item.expect("the subscription goes on") {
            SubscriptionEvent::Event { event, .. } => {
                *self.seen.entry(event.id).or_default() += 1;
            }
            SubscriptionEvent::EndOfStored => self.ends += 1,
            SubscriptionEvent::Relay { .. } => {}
            other => panic!("{other:?}"),
        }
    }

    async fn gets(&mut self, what: &str, events: &[Event]) {
        let start = tokio::time::Instant::now();
        loop {
            let missing: Vec<_> =
                events.iter().filter(|event| !self.seen.contains_key(&event.id)).collect();
            if missing.is_empty() && self.ends > 0 {
                return;
            }
            let left = PATIENCE.saturating_sub(start.elapsed());
            match tokio::time::timeout(left, self.stream.next()).await {
                Ok(item) => self.take(item),
                Err(_) => panic!("{what}: {} of {} are missing", missing.len(), events.len()),
            }
        }
    }

    /// Takes what there is for so long.
    async fn drain(&mut self, time: Duration) {
        let end = tokio::time::Instant::now() + time;
        while let Ok(item) = tokio::time::timeout_at(end, self.stream.next()).await {
            self.take(item);
        }
    }
}

/// One way to break a cable.
fn cut(cable: &Cable, chance: &mut SmallRng) -> &'static str {
    match chance.random_range(0..3) {
        0 => {
            cable.hold();
            "held"
        }
        1 => {
            cable.lose();
            "lost"
        }
        _ => {
            cable.refuse();
            "refused"
        }
    }
}

async fn scenario(seed: u64) {
    let mut chance = SmallRng::seed_from_u64(seed);
    let author = Author::new();
    let (mut relays, mut cables) = (Vec::new(), Vec::new());
    for _ in 0..RELAYS {
        let relay = Staged::honest().await;
        cables.push(Cable::to(relay.address()).await);
        relays.push(relay);
    }
    let urls: Vec<String> = cables.iter().map(Cable::url).collect();
    let mut number = 0;
    let mut events = |chance: &mut SmallRng, count: usize, newest: i64| -> Vec<Event> {
        let one = |_| {
            number += 1;
            let age = chance.random_range(0..OLDEST_SECS);
            author.event(1, vec![], &format!("event {number}"), newest - age)
        };
        (0..count).map(one).collect()
    };
    let spread = |few: &[Event], among: &[usize], chance: &mut SmallRng| {
        for event in few {
            let copies = chance.random_range(1..=2);
            for at in among.choose_multiple(chance, copies) {
                relays[*at].give([event.clone()]);
            }
        }
    };
    let everywhere: Vec<usize> = (0..RELAYS).collect();
    let mut all = events(&mut chance, 20, now());
    spread(&all, &everywhere, &mut chance);

    let client = NostrClient::new(config(&urls)).await.unwrap();
    let stream = client.subscribe(vec![Filter::new().authors([author.key()])]).await.unwrap();
    let mut reader = Reader { stream, seen: HashMap::new(), ends: 0 };
    reader.gets(&format!("seed {seed}: stored"), &all).await;

    for round in 0..CUTS {
        // Once every relay, else some of them.
        let mut which = everywhere.clone();
        which.shuffle(&mut chance);
        which.truncate(if round == 0 { RELAYS } else { chance.random_range(1..RELAYS) });
        for url in &urls {
            until(&format!("seed {seed}: {url} is connected"), PATIENCE, || {
                let report = report(&client, url);
                report.state == LinkState::Connected && report.open_subscriptions == 1
            })
            .await;
        }
        let before: Vec<RelayReport> = urls.iter().map(|url| report(&client, url)).collect();
        let how: Vec<_> = which.iter().map(|at| cut(&cables[*at], &mut chance)).collect();
        let told = format!("seed {seed}, cut {round} of {which:?} ({how:?})");

        let hidden = events(&mut chance, 6, now());
        spread(&hidden, &which, &mut chance);
        let intact: Vec<usize> =
            everywhere.iter().copied().filter(|at| !which.contains(at)).collect();
        let plain = events(&mut chance, 4, now());
        spread(&plain, &intact, &mut chance);
        if !intact.is_empty() {
            reader.gets(&format!("{told}: of relays that are still there"), &plain).await;
            all.extend(plain);
        }
        // Longer than the deadline of the pings, or not at all.
        if round == 0 || chance.random_bool(0.7) {
            for at in &which {
                until(&format!("{told}: relay {at} is found dead"), PATIENCE, || {
                    // One that was not connected when the cut came does not come back either.
                    let report = report(&client, &urls[*at]);
                    report.state != LinkState::Connected
                        || report.disconnects > before[*at].disconnects
                })
                .await;
            }
            reader.drain(Duration::from_millis(chance.random_range(0..200))).await;
            let leaked = hidden.iter().filter(|e| reader.seen.contains_key(&e.id)).count();
            assert_eq!(leaked, 0, "{told}: the cut was none");
        }
        for at in &which {
            if chance.random_bool(0.3) {
                cables[*at].delay(Duration::from_millis(chance.random_range(0..30)));
            }
            cables[*at].repair();
        }
        reader.gets(&format!("{told}: after the repair"), &hidden).await;
        all.extend(hidden);
    }
    // Live again, everywhere.
    let last = events(&mut chance, 10, now());
    spread(&last, &everywhere, &mut chance);
    reader.gets(&format!("seed {seed}: at the end"), &last).await;
    all.extend(last);
    reader.drain(Duration::from_millis(100)).await;
    assert_eq!(reader.seen.len(), all.len(), "seed {seed}: events that nobody published");
    let twice = reader.seen.values().filter(|times| **times > 1).count();
    assert_eq!((twice, reader.ends), (0, 1), "seed {seed}: delivered twice, ends of stored events");
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_of_one_and_of_all_relays_lose_nothing_that_is_still_served() {
    let _turn = turn::beside_others().await;
    let only = std::env::var("NIPWORKER_PARTITION_SEED").ok().map(|seed| seed.parse().unwrap());
    let first: u64 = only.unwrap_or_else(rand::random);
    let count = if only.is_some() { 1 } else { SEEDS };
    println!("NIPWORKER_PARTITION_SEED={first} and the {count} from there on");
    let start = tokio::time::Instant::now();
    futures::stream::iter((0..count).map(|at| first.wrapping_add(at)))
        .map(|seed| async move {
            // A task of its own: a panic names its seed.
            tokio::spawn(scenario(seed))
                .await
                .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        })
        .buffer_unordered(AT_A_TIME)
        .collect::<()>()
        .await;
    println!("{count} scenarios in {:?}", start.elapsed());
}

/// A client of one relay behind a cable, whose subscription is live.
async fn behind_a_cable(
    change: impl FnOnce(&mut ClientConfig),
) -> (Staged, Cable, NostrClient, Reader) {
    let relay = Staged::honest().await;
    let cable = Cable::to(relay.address()).await;
    let mut config = config(&[cable.url()]);
    change(&mut config);
    let client = NostrClient::new(config).await.unwrap();
    let stream = client.subscribe(vec![Filter::new()]).await.unwrap();
    let mut reader = Reader { stream, seen: HashMap::new(), ends: 0 };
    reader.gets("the end of stored events", &[]).await;
    (relay, cable, client, reader)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_open_socket_is_found_within_ping_interval_and_grace() {
    let _turn = turn::beside_others().await;
    let (interval, grace) = (Duration::from_millis(800), Duration::from_millis(400));
    let (relay, cable, client, mut reader) = behind_a_cable(|config| {
        config.connections.ping_interval = interval;
        config.connections.ping_grace = grace;
    })
    .await;
    let cut = tokio::time::Instant::now();
    cable.lose();
    let url = cable.url();
    until("the half-open socket is found", PATIENCE, || report(&client, &url).stale == 1).await;
    let found = cut.elapsed();
    println!("found after {found:?}, {interval:?} and {grace:?} are configured");
    // The system itself would not notice for minutes. What is over is the scheduler's.
    assert!(found < interval + grace + Duration::from_secs(2), "{found:?}");
    let error = report(&client, &url).last_error.unwrap();
    assert!(error.contains("nothing heard for 1200 ms"), "{error}");

    // And then it goes on by itself.
    let event = Author::new().note("published while the socket was dead");
    relay.give([event.clone()]);
    cable.repair();
    reader.gets("after the repair", &[event]).await;
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_that_is_shorter_than_the_ping_deadline_costs_no_connection() {
    let _turn = turn::beside_others().await;
    let (relay, cable, client, mut reader) = behind_a_cable(|config| {
        config.connections.ping_interval = Duration::from_secs(20);
    })
    .await;
    cable.hold();
    let event = Author::new().note("published during a short cut");
    relay.give([event.clone()]);
    reader.drain(Duration::from_millis(100)).await;
    assert!(reader.seen.is_empty(), "the cut was none");
    cable.repair();
    within("the event", PATIENCE, reader.gets("after the cut", &[event])).await;
    let report = report(&client, &cable.url());
    assert_eq!((report.connects, report.disconnects, report.stale), (1, 0, 0));
    client.close().await;
}
