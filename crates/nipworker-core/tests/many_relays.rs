//! Eighty relays at once, of which most have the same: every event once, each signature checked
//! once.
//!
//! The figures (time to connect, time and memory for all of it) are printed, and mean something in
//! a release build at full size:
//!
//! ```console
//! $ NIPWORKER_MANY_EVENTS=2000 cargo test --release -p nipworker-core --test many_relays -- --nocapture
//! ```
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::StreamExt;
use nipworker_core::{
    ClientConfig, LinkState, NostrClient, PrivateKeySigner, SecretKey, SubscriptionEvent,
    protocol::{ClientMessage, EventId, Filter, RelayMessage, RelayUrl, UnsignedEvent},
    transport::memory::{ClientFrame, MemoryNetwork},
};

const RELAYS: usize = 80;
/// Events of each relay, unless `NIPWORKER_MANY_EVENTS` says otherwise.
const EVENTS: usize = 200;
/// Of a hundred events of a relay so many are those that all have.
const SHARED_PERCENT: usize = 80;
const PATIENCE: Duration = Duration::from_secs(300);

/// A number of bytes from `/proc/self/status`.
fn memory(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(field));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.and_then(|number| number.parse::<u64>().ok()).unwrap_or_default() * 1024
}

/// Really signed events as JSON.
fn signed(count: usize, about: usize) -> (Vec<EventId>, Vec<String>) {
    let signer = PrivateKeySigner::new(SecretKey::generate().unwrap());
    (0..count)
        .map(|number| {
            let text = format!("number {number} of {about}");
            let at = 1_700_000_000 + i64::try_from(number).unwrap();
            let event = UnsignedEvent::new(signer.key(), at, 1, vec![], text);
            let event = signer.sign_now(event).unwrap();
            (event.id, event.to_json())
        })
        .unzip()
}

/// A relay that answers every question with all it has.
fn relay(network: &MemoryNetwork, url: &RelayUrl, shared: Arc<[String]>, own: Vec<String>) {
    let mut listener = network.listen(url);
    tokio::spawn(async move {
        let mut peer = listener.accept().await;
        while let Some(ClientFrame::Text(frame)) = peer.receive().await {
            let Ok(ClientMessage::Req { subscription, .. }) = ClientMessage::parse(&frame) else {
                continue;
            };
            for event in shared.iter().chain(&own) {
                let frame = RelayMessage::event_frame(&subscription, event);
                if peer.send_text(frame).await.is_err() {
                    return;
                }
            }
            let end = RelayMessage::Eose { subscription, stored: Default::default() };
            if peer.send_text(end.to_frame()).await.is_err() {
                return;
            }
        }
    });
}

#[tokio::test]
async fn eighty_relays_with_the_same_events_cost_each_event_once() {
    let events = std::env::var("NIPWORKER_MANY_EVENTS")
        .map_or(EVENTS, |events| events.parse().expect("a number of events"));
    let shared = events * SHARED_PERCENT / 100;
    let network = MemoryNetwork::new();
    let (mut expected, texts) = signed(shared, RELAYS);
    let texts: Arc<[String]> = texts.into();
    let urls: Vec<RelayUrl> = (0..RELAYS)
        .map(|number| RelayUrl::parse(&format!("ws://relay-{number}.test")).unwrap())
        .collect();
    for (number, url) in urls.iter().enumerate() {
        let (ids, own) = signed(events - shared, number);
        expected.extend(ids);
        relay(&network, url, Arc::clone(&texts), own);
    }
    let expected: HashSet<EventId> = expected.into_iter().collect();
    assert_eq!(expected.len(), shared + RELAYS * (events - shared));

    let before = memory("VmRSS:");
    let mut config = ClientConfig { relays: urls, ..ClientConfig::default() };
    config.miner.threads = 1;
    config.connections.eose_deadline = PATIENCE;
    let builder = NostrClient::builder().config(config).transport(Arc::new(network.clone()));
    let client = builder.build().await.unwrap();
    let begin = Instant::now();
    let all_connected = || {
        let relays = client.status().relays;
        relays.len() == RELAYS && relays.iter().all(|it| it.state == LinkState::Connected)
    };
    let connecting = tokio::time::timeout(PATIENCE, async {
        while !all_connected() {
            tokio::task::yield_now().await;
        }
    });
    connecting.await.expect("every relay is connected");
    let connected = begin.elapsed();

    let begin = Instant::now();
    let mut got = HashSet::new();
    let mut stream = client.query(vec![Filter::new().kinds([1])]).await.unwrap();
    let reading = tokio::time::timeout(PATIENCE, async {
        while let Some(item) = stream.next().await {
            match item {
                SubscriptionEvent::Event { event, .. } => {
                    assert!(got.insert(event.id), "{} was delivered twice", event.id);
                }
                SubscriptionEvent::Lagged { missed } => panic!("{missed} events were missed"),
                _ => {}
            }
        }
    });
    reading.await.expect("the query comes to its end");
    let took = begin.elapsed();
    assert_eq!(got.len(), expected.len());
    assert_eq!(got, expected);

    let status = client.status();
    let verified = status.verification.as_ref().unwrap().attempts;
    let total = &status.ingest.total;
    println!(
        "{RELAYS} relays of {events} events: {} distinct; all connected after {connected:.1?}; \
         all delivered after {took:.1?}, {:.0} texts/s; {verified} signatures checked; resident \
         memory {} MiB before, {} MiB after, {} MiB at most",
        expected.len(),
        (RELAYS * events) as f64 / took.as_secs_f64(),
        before >> 20,
        memory("VmRSS:") >> 20,
        memory("VmHWM:") >> 20,
    );
    assert_eq!(total.received, (RELAYS * events) as u64);
    assert_eq!((total.fresh, total.refused_total()), (expected.len() as u64, 0));
    assert_eq!(total.duplicates, ((RELAYS - 1) * shared) as u64);
    assert_eq!(verified, expected.len() as u64, "signatures were checked more than once");
    assert_eq!(client.count(vec![Filter::new()]).await.unwrap(), expected.len() as u64);
    client.close().await;
}
