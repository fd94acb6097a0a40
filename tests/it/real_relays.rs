//! The client against five relays by others: the exact set, how soon the first event comes, and
//! relays that are killed in the middle.

use std::{collections::HashMap, time::Duration};

use futures::{
    StreamExt,
    future::{join_all, select_all},
};
use nipworker_core::{
    ClientConfig, NostrClient, Subscription, SubscriptionEvent,
    protocol::{Event, EventId, Filter},
};
use nipworker_tests::{
    events::{Author, now},
    relay::Relay,
    socket::Socket,
    turn,
    wait::within,
};
use serde_json::json;

const EVENTS: usize = 1_000;
/// Cold clients whose first event is timed.
const CLIENTS: usize = 10;
/// How long anything may take on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(90);

/// rust-nostr's relay three times, nostr-rs-relay twice.
async fn five() -> Vec<Relay> {
    let (a, b, c, d, e) = tokio::join!(
        Relay::local(),
        Relay::local(),
        Relay::local(),
        Relay::nostr_rs(),
        Relay::nostr_rs()
    );
    vec![a, b, c, d, e]
}

async fn fill(relay: &Relay, events: &[Event]) {
    let mut socket = Socket::open(&relay.url()).await;
    for event in events {
        let (accepted, reason) = socket.publish(&event.to_json()).await;
        assert!(accepted, "{}: {reason}", event.id);
    }
}

/// The events of each relay: fifths that overlap with the next relay's by half.
fn shares(events: &[Event]) -> Vec<Vec<Event>> {
    let fifth = events.len() / 5;
    let share = |at: usize| {
        let from = at * fifth;
        (from..from + fifth * 3 / 2).map(|at| events[at % events.len()].clone()).collect()
    };
    (0..5).map(share).collect()
}

/// Connects, asks and waits for one event.
async fn first_of_a_bare_socket(relay: &Relay, author: &Author) {
    let mut socket = Socket::open(&relay.url()).await;
    socket.say(&json!(["REQ", "first", { "authors": [author.key()] }])).await;
    socket.hear_one_of(&["EVENT"]).await;
}

async fn client_of(relays: &[Relay]) -> NostrClient {
    let relays = relays.iter().map(|relay| relay.url().parse().unwrap()).collect();
    let mut config = ClientConfig { relays, ..ClientConfig::default() };
    config.limits.queue_events = 2 * EVENTS;
    config.connections.reconnect_max = Duration::from_secs(1);
    NostrClient::new(config).await.unwrap()
}

struct Reader {
    stream: Subscription,
    seen: HashMap<EventId, usize>,
    ends: usize,
}

impl Reader {
    async fn of(client: &NostrClient, author: &Author) -> Self {
        let filter = Filter::new().authors([author.key()]);
        let stream = client.subscribe(vec![filter]).await.unwrap();
        Self { stream, seen: HashMap::new(), ends: 0 }
    }

    async fn read_until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let read = async {
            while !done(self) {
                match self.stream.next().await.expect("the subscription goes on") {
                    SubscriptionEvent::Event { event, .. } => {
                        *self.seen.entry(event.id).or_default() += 1;
                    }
                    SubscriptionEvent::EndOfStored => self.ends += 1,
                    SubscriptionEvent::Relay { .. } => {}
                    other => panic!("{other:?}"),
                }
            }
        };
        within(what, PATIENCE, read).await;
    }

    fn has(&self, events: &[Event]) -> bool {
        events.iter().all(|event| self.seen.contains_key(&event.id))
    }

    fn check(&self, events: usize) {
        assert_eq!(self.seen.len(), events, "events that nobody published");
        assert_eq!(self.seen.values().filter(|times| **times > 1).count(), 0, "came twice");
        assert_eq!(self.ends, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_events_of_five_real_relays_come_once_each_and_the_first_comes_soon() {
    let _turn = turn::beside_others().await;
    let relays = five().await;
    let author = Author::new();
    let events: Vec<Event> = (0..EVENTS)
        .map(|at| author.event(1, vec![], &format!("event {at}"), now() - at as i64))
        .collect();
    let shares = shares(&events);
    join_all(relays.iter().zip(&shares).map(|(relay, share)| fill(relay, share))).await;

    // The measure beside it: a bare socket that checks nothing, at the relay that answers soonest.
    let mut bare = Vec::new();
    for _ in 0..CLIENTS {
        let start = tokio::time::Instant::now();
        let first = relays.iter().map(|relay| Box::pin(first_of_a_bare_socket(relay, &author)));
        select_all(first).await;
        bare.push(start.elapsed());
    }
    bare.sort();
    let (middle, last) = (bare[CLIENTS / 2], bare[CLIENTS - 1]);
    println!("first event of a bare socket: p50 {middle:?}, max {last:?}");

    let mut firsts = Vec::new();
    for _ in 0..CLIENTS {
        let client = client_of(&relays).await;
        // Cold: nothing is stored, and the relays are only just being dialled.
        let start = tokio::time::Instant::now();
        let mut reader = Reader::of(&client, &author).await;
        reader.read_until("the first event", |reader| !reader.seen.is_empty()).await;
        firsts.push(start.elapsed());
        client.close().await;
    }
    firsts.sort();
    let (middle, last) = (firsts[CLIENTS / 2], firsts[CLIENTS - 1]);
    println!("first event of {CLIENTS} cold clients: p50 {middle:?}, max {last:?}");
    // How soon depends on what else the machine does; that it did not take a time-out does not.
    let deadline = ClientConfig::default().connections.eose_deadline;
    assert!(middle < deadline, "the first event came with a time-out: {middle:?}");

    let client = client_of(&relays).await;
    let start = tokio::time::Instant::now();
    let mut reader = Reader::of(&client, &author).await;
    reader.read_until("all events", |reader| reader.ends > 0 && reader.has(&events)).await;
    reader.check(EVENTS);
    println!(
        "{EVENTS} events of {} in {:?}",
        shares.iter().map(Vec::len).sum::<usize>(),
        start.elapsed()
    );
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_relays_that_are_killed_in_the_middle_are_asked_again_for_the_rest() {
    let _turn = turn::beside_others().await;
    let mut relays = five().await;
    let author = Author::new();
    let mut events: Vec<Event> = (0..EVENTS)
        .map(|at| author.event(1, vec![], &format!("event {at}"), now() - at as i64))
        .collect();
    let shares = shares(&events);
    join_all(relays.iter().zip(&shares).map(|(relay, share)| fill(relay, share))).await;

    let client = client_of(&relays).await;
    let mut reader = Reader::of(&client, &author).await;
    reader.read_until("some events", |reader| reader.seen.len() >= 50).await;
    // These two keep their events in a file, and some of them nobody else has.
    for relay in &mut relays[3..] {
        relay.kill();
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    for relay in &mut relays[3..] {
        relay.start().await;
    }
    reader.read_until("all events", |reader| reader.ends > 0 && reader.has(&events)).await;
    // Live, at those that were away, and at one that is killed now and forgets everything.
    relays[0].kill();
    let live = author.notes("live", 20);
    join_all(relays[3..].iter().map(|relay| fill(relay, &live))).await;
    relays[0].start().await;
    let later = author.notes("later", 20);
    fill(&relays[0], &later).await;
    events.extend(live.into_iter().chain(later));
    reader.read_until("live events", |reader| reader.has(&events)).await;
    reader.check(events.len());
    client.close().await;
}
