//! The client between two relays by others: overlapping sets, a relay that goes and comes back,
//! receipts that are true.

use std::{collections::HashMap, time::Duration};

use futures::StreamExt;
use nipworker_core::{
    ClientConfig, NostrClient, PublishOptions, PutStatus, Receipt, ReceiptStatus, Subscription,
    SubscriptionEvent,
    protocol::{Event, EventId, Filter, RelayUrl},
};
use nipworker_tests::{
    events::Author,
    place::real_events,
    relay::{Deaf, Relay, Scripted, nobody},
    socket::Socket,
    turn,
    wait::within,
};
use serde_json::json;

/// How long a delivery may take while everything is up.
const DELIVERY: Duration = Duration::from_secs(10);
/// The outage.
const OUTAGE: Duration = Duration::from_secs(20);
/// After the relay's return: the longest back-off after 20 s, and the delivery.
const RETURN: Duration = Duration::from_secs(60);

fn urls(relays: &[String]) -> Vec<RelayUrl> {
    relays.iter().map(|url| url.parse().unwrap()).collect()
}

async fn client_of(relays: &[String]) -> NostrClient {
    let config = ClientConfig { relays: urls(relays), ..ClientConfig::default() };
    NostrClient::new(config).await.unwrap()
}

async fn fill(relay: &Relay, events: &[Event]) {
    let mut socket = Socket::open(&relay.url()).await;
    for event in events {
        let (accepted, reason) = socket.publish(&event.to_json()).await;
        assert!(accepted, "{}: {reason}", event.id);
    }
}

/// A subscription, and how often each event came.
struct Reader {
    stream: Subscription,
    seen: HashMap<EventId, usize>,
}

impl Reader {
    async fn of(client: &NostrClient, filter: Filter) -> Self {
        Self { stream: client.subscribe(vec![filter]).await.unwrap(), seen: HashMap::new() }
    }

    /// Reads until `done` says so.
    async fn read_until(
        &mut self,
        what: &str,
        limit: Duration,
        mut done: impl FnMut(&SubscriptionEvent, &HashMap<EventId, usize>) -> bool,
    ) {
        let read = async {
            while let Some(item) = self.stream.next().await {
                match &item {
                    SubscriptionEvent::Event { event, .. } => {
                        let times = self.seen.entry(event.id).or_default();
                        *times += 1;
                        assert_eq!(*times, 1, "{} was delivered twice", event.id);
                    }
                    SubscriptionEvent::Lagged { .. } => panic!("the reader lagged: {item:?}"),
                    _ => {}
                }
                if done(&item, &self.seen) {
                    return;
                }
            }
            panic!("the subscription ended");
        };
        within(what, limit, read).await;
    }

    async fn stored(&mut self) {
        self.read_until("the end of stored events", DELIVERY, |item, _| {
            matches!(item, SubscriptionEvent::EndOfStored)
        })
        .await;
    }

    /// Reads until these have come, each once.
    async fn gets(&mut self, events: &[Event], limit: Duration) {
        let missing = |seen: &HashMap<EventId, usize>| {
            events.iter().filter(|event| !seen.contains_key(&event.id)).count()
        };
        if missing(&self.seen) > 0 {
            let what = format!("{} live events", events.len());
            self.read_until(&what, limit, |_, seen| missing(seen) == 0).await;
        }
    }

    /// Takes what has come already; nothing may have come twice.
    async fn drain(&mut self, time: Duration) {
        let rest = async {
            self.read_until("", Duration::MAX, |_, _| false).await;
        };
        drop(tokio::time::timeout(time, rest).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_event_of_two_overlapping_relays_is_delivered_once() {
    let _turn = turn::beside_others().await;
    let (python, rust) = (Relay::local().await, Relay::nostr_rs().await);
    let events = real_events();
    tokio::join!(fill(&python, &events[..350]), fill(&rust, &events[200..]));

    let client = client_of(&[python.url(), rust.url()]).await;
    let kinds: Vec<u16> = events.iter().map(|event| event.kind).collect();
    let author = Author::new();
    let mut reader = Reader::of(&client, Filter::new().kinds(kinds)).await;
    reader.stored().await;
    let missing: Vec<_> = events.iter().filter(|e| !reader.seen.contains_key(&e.id)).collect();
    assert!(missing.is_empty(), "{} of {} are missing: {missing:?}", missing.len(), events.len());
    assert_eq!(reader.seen.len(), events.len(), "events that nobody published");

    // Live, the same events at both relays, in another order.
    let live = author.notes("live", 20);
    let reversed: Vec<Event> = live.iter().rev().cloned().collect();
    tokio::join!(fill(&python, &live), fill(&rust, &reversed));
    reader.gets(&live, DELIVERY).await;
    reader.drain(Duration::from_millis(300)).await;
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_is_gone_for_20_s_is_asked_again_by_itself_and_no_event_after_is_missed() {
    let _turn = turn::beside_others().await;
    let (mut python, mut rust) = (Relay::local().await, Relay::nostr_rs().await);
    let client = client_of(&[python.url(), rust.url()]).await;
    let author = Author::new();
    let mut reader = Reader::of(&client, Filter::new().authors([author.key()])).await;
    reader.stored().await;
    let first = author.notes("both are up", 2);
    tokio::join!(fill(&python, &first), fill(&rust, &first));
    reader.gets(&first, DELIVERY).await;

    // From here to the end nothing is asked of the client: it sends no frame but by itself.
    rust.kill();
    let outage = tokio::time::Instant::now();
    let mut published = 0;
    while outage.elapsed() < OUTAGE {
        let meanwhile = author.notes("the other one is down", 1);
        fill(&python, &meanwhile).await;
        reader.gets(&meanwhile, DELIVERY).await;
        published += 1;
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    rust.start().await;
    // Some before the client can have noticed, some while it comes back, some after.
    let returned = tokio::time::Instant::now();
    let mut after = author.notes("back", 5);
    fill(&rust, &after).await;
    for _ in 0..20 {
        let one = author.notes("back for a while", 1);
        fill(&rust, &one).await;
        after.extend(one);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    reader.gets(&after, RETURN).await;
    println!(
        "{published} events during the outage, {} after; all were there {:?} after the return",
        after.len(),
        returned.elapsed()
    );

    // The one without a store, for a shorter time.
    python.kill();
    let meanwhile = author.notes("the first one is down", 3);
    fill(&rust, &meanwhile).await;
    reader.gets(&meanwhile, DELIVERY).await;
    python.start().await;
    let after = author.notes("the first one is back", 5);
    fill(&python, &after).await;
    reader.gets(&after, RETURN).await;
    reader.drain(Duration::from_millis(300)).await;

    let status = client.status();
    for relay in [&python, &rust] {
        let url = relay.url();
        let of = status.relays.iter().find(|r| json!(r).to_string().contains(&url));
        println!("{}", json!(of.expect("the status names each relay")));
    }
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_receipts_say_what_each_relay_really_did() {
    let _turn = turn::beside_others().await;
    let accepting = Relay::local().await;
    let refusing = Relay::nostr_rs_for(&[Author::new().key()]).await;
    let silent = Scripted::start().await;
    let deaf = Deaf::start();
    let all = [accepting.url(), refusing.url(), nobody(), silent.url(), deaf.url()];
    let client = client_of(&all).await;
    let author = Author::new();
    // The silent relay counts as connected from here on.
    let mut silent = silent;
    let _open = client.subscribe(vec![Filter::new().authors([author.key()])]).await.unwrap();
    silent.hear("REQ").await;

    let event = author.note("to all");
    let options =
        PublishOptions { timeout: Some(Duration::from_secs(3)), ..PublishOptions::default() };
    let start = tokio::time::Instant::now();
    let report = client.publish_with(event.clone(), options).await.unwrap();
    println!("{report:#?}");
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    assert_eq!(report.outcome.status, PutStatus::Stored);
    assert_eq!(report.receipts.len(), all.len(), "one receipt for each relay");
    let receipt = |url: &str| -> &Receipt {
        let of = |r: &&Receipt| r.relay.trim_end_matches('/') == url;
        report.receipts.iter().find(of).unwrap_or_else(|| panic!("no receipt of {url}"))
    };
    assert_eq!(receipt(&all[0]).status, ReceiptStatus::Accepted);
    assert_eq!(receipt(&all[1]).status, ReceiptStatus::Refused);
    assert!(receipt(&all[1]).message.starts_with("blocked:"), "{:?}", receipt(&all[1]));
    assert_eq!(receipt(&all[2]).status, ReceiptStatus::NotConnected);
    assert_eq!(receipt(&all[3]).status, ReceiptStatus::NoAnswer);
    assert_eq!(receipt(&all[4]).status, ReceiptStatus::NotConnected);

    // What the receipts say is what the relays have.
    let by_id = json!({ "ids": [event.id] });
    assert_eq!(Socket::open(&all[0]).await.fetch(&by_id).await.len(), 1);
    assert_eq!(Socket::open(&all[1]).await.fetch(&by_id).await.len(), 0);
    assert_eq!(silent.hear("EVENT").await.frame[1]["id"], json!(event.id));
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_event_of_a_relay_is_not_delivered_and_not_stored() {
    let _turn = turn::beside_others().await;
    let mut liar = Scripted::start().await;
    let client = client_of(&[liar.url()]).await;
    let author = Author::new();
    let filter = Filter::new().authors([author.key()]).kinds([1]);
    let mut reader = Reader::of(&client, filter.clone()).await;
    let request = liar.hear("REQ").await;
    let sub = request.frame[1].clone();

    let good = author.note("true");
    let mut forged = json!(author.note("forged"));
    forged["content"] = "another text".into();
    let mut unsigned = json!(author.note("unsigned"));
    unsigned["sig"] = "00".repeat(64).into();
    // Genuine, and not what was asked.
    let unasked = [Author::new().note("another author"), author.event(7, vec![], "+", 1)];
    request.answer(&json!(["EVENT", sub, forged]));
    request.answer(&json!(["EVENT", sub, unsigned]));
    for event in &unasked {
        request.answer(&json!(["EVENT", sub, event]));
    }
    request.answer(&json!(["EVENT", sub, { "id": "no event" }]));
    request.answer(&json!(["EVENT", sub, good]));
    request.answer(&json!(["EOSE", sub]));
    reader.stored().await;
    assert_eq!(reader.seen.keys().collect::<Vec<_>>(), [&good.id]);
    assert_eq!(client.count(vec![Filter::new()]).await.unwrap(), 1, "a refused event was stored");

    // The id of a forgery is not burnt: the true event with that id is still taken.
    let genuine = author.note("late");
    let mut poison = json!(genuine);
    poison["sig"] = "11".repeat(64).into();
    request.answer(&json!(["EVENT", sub, poison]));
    request.answer(&json!(["EVENT", sub, genuine]));
    reader.gets(&[genuine], DELIVERY).await;
    client.close().await;
}
