//! Events that must arrive, with relays in memory that are away, refuse, and come back.
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use common::{eventually, note, sign_in};
use nipworker_core::{
    ClientConfig, ClientError, DurableOptions, FileSetting, NostrClient, OutboxEntry, PutStatus,
    StartError,
    outbox::{DeliveryState, ReceiptStatus},
    protocol::{ClientMessage, Event, RelayMessage, RelayUrl, UnsignedEvent},
    transport::memory::{ClientFrame, MemoryNetwork},
};

/// A relay that notes every event that it is sent, and answers by `answer`; `None` is silence.
struct Relay {
    url: RelayUrl,
    log: Arc<Mutex<Vec<String>>>,
}

impl Relay {
    fn new(name: &str) -> Self {
        let url = RelayUrl::parse(&format!("ws://{name}.test")).unwrap();
        Self { url, log: Arc::default() }
    }

    /// Begins to answer; until then nobody is there.
    fn listen(
        &self,
        network: &MemoryNetwork,
        answer: impl Fn(&Event) -> Option<(bool, &'static str)> + Send + Sync + 'static,
    ) {
        let mut listener = network.listen(&self.url);
        let log = Arc::clone(&self.log);
        let answer = Arc::new(answer);
        tokio::spawn(async move {
            loop {
                let mut peer = listener.accept().await;
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                tokio::spawn(async move {
                    while let Some(ClientFrame::Text(frame)) = peer.receive().await {
                        let Ok(ClientMessage::Event(event)) = ClientMessage::parse(&frame) else {
                            continue;
                        };
                        let event: Event = serde_json::from_str(event.get()).unwrap();
                        log.lock().unwrap().push(event.content.clone());
                        let Some((accepted, message)) = answer(&event) else { continue };
                        let message = message.to_owned();
                        let ok = RelayMessage::Ok { id: event.id, accepted, message };
                        if peer.send_text(ok.to_frame()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
    }

    fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }
}

fn config(file: &Path, relays: &[&Relay]) -> ClientConfig {
    let relays = relays.iter().map(|relay| relay.url.clone()).collect();
    let mut config = ClientConfig { relays, ..ClientConfig::default() };
    config.miner.threads = 1;
    config.miner.kernel = "portable".to_owned();
    config.crypto.threads = 1;
    config.connections.reconnect_min = Duration::from_millis(20);
    config.connections.reconnect_max = Duration::from_millis(50);
    config.connections.publish_deadline = Duration::from_millis(300);
    config.outbox.file = FileSetting::At(file.to_owned());
    config.outbox.retry_min = Duration::from_millis(50);
    config.outbox.retry_max = Duration::from_millis(200);
    config
}

async fn start(network: &MemoryNetwork, config: ClientConfig) -> NostrClient {
    let builder = NostrClient::builder().config(config);
    builder.transport(Arc::new(network.clone())).build().await.unwrap()
}

fn state(entry: &OutboxEntry, relay: &Relay) -> DeliveryState {
    entry.relays.iter().find(|delivery| delivery.relay == relay.url).unwrap().state
}

#[tokio::test]
async fn an_event_reaches_a_relay_that_comes_back_and_each_relay_is_told_truly() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("outbox.journal");
    let network = MemoryNetwork::new();
    let (here, away, no) = (Relay::new("here"), Relay::new("away"), Relay::new("no"));
    here.listen(&network, |_| Some((true, "")));
    no.listen(&network, |_| Some((false, "blocked: not here")));
    let client = start(&network, config(&file, &[&here, &away, &no])).await;
    let me = sign_in(&client).await;
    let event = note(&client, me, "must arrive").await;

    let report = client.publish_durable(event.clone()).await.unwrap();
    assert_eq!(report.outcome.status, PutStatus::Stored);
    assert_eq!(report.entry.unwrap().count(DeliveryState::Waiting), 3, "no relay was waited for");
    let entry = || client.outbox_entry(&event.id).unwrap();
    eventually("two relays have decided", || entry().count(DeliveryState::Waiting) == 1).await;
    assert_eq!(state(&entry(), &here), DeliveryState::Accepted);
    assert_eq!(state(&entry(), &no), DeliveryState::Refused);
    let refusal = entry().relays[2].last.clone().unwrap();
    assert_eq!(
        (refusal.status, refusal.message.as_str()),
        (ReceiptStatus::Refused, "blocked: not here")
    );
    assert_eq!(client.status().outbox.unwrap().counts.waiting, 1);

    away.listen(&network, |_| Some((true, "")));
    eventually("the relay that was away has it", || entry().is_finished()).await;
    assert_eq!(state(&entry(), &away), DeliveryState::Accepted);
    for relay in [&here, &away, &no] {
        assert_eq!(relay.log(), ["must arrive"], "{} was sent it once", relay.url);
    }
    let counts = client.status().outbox.unwrap().counts;
    assert_eq!((counts.delivered, counts.failed, counts.waiting), (2, 1, 0));
    client.close().await;
}

#[tokio::test]
async fn what_waits_goes_on_with_the_next_client_and_a_duplicate_counts_as_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("outbox.journal");
    let network = MemoryNetwork::new();
    let mute = Relay::new("mute");
    // The relay takes the event, and its answer gets lost until it is asked again.
    let speaks = Arc::new(AtomicBool::new(false));
    mute.listen(&network, {
        let speaks = Arc::clone(&speaks);
        move |_| speaks.load(Ordering::Relaxed).then_some((false, "duplicate: had it"))
    });
    let client = start(&network, config(&file, &[&mute])).await;
    let me = sign_in(&client).await;
    let event = note(&client, me, "once").await;
    client.publish_durable(event.clone()).await.unwrap();
    eventually("the relay was sent it", || !mute.log().is_empty()).await;
    client.close().await;

    speaks.store(true, Ordering::Relaxed);
    let client = start(&network, config(&file, &[&mute])).await;
    assert_eq!(client.status().outbox.unwrap().recovered, 1);
    let entry = || client.outbox_entry(&event.id).unwrap();
    eventually("the duplicate counts", || entry().is_finished()).await;
    assert_eq!(state(&entry(), &mute), DeliveryState::Accepted);
    client.close().await;

    let client = start(&network, config(&file, &[&mute])).await;
    let sent = mute.log().len();
    assert_eq!(client.outbox().unwrap().len(), 1, "what is finished is still listed");
    assert_eq!(client.status().outbox.unwrap().recovered, 0);
    assert_eq!(mute.log().len(), sent, "and not sent again");
    client.close().await;
}

#[tokio::test]
async fn a_passing_refusal_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let network = MemoryNetwork::new();
    let relay = Relay::new("busy");
    let tries = Arc::new(Mutex::new(0));
    relay.listen(&network, move |_| {
        let mut tries = tries.lock().unwrap();
        *tries += 1;
        Some(match *tries {
            1 => (false, "rate-limited: slow down"),
            2 => (false, "error: disk"),
            _ => (true, ""),
        })
    });
    let client = start(&network, config(&folder.path().join("o"), &[&relay])).await;
    let me = sign_in(&client).await;
    let event = note(&client, me, "patience").await;
    client.publish_durable(event.clone()).await.unwrap();
    eventually("it is accepted", || client.outbox_entry(&event.id).unwrap().is_finished()).await;
    let entry = client.outbox_entry(&event.id).unwrap();
    assert_eq!((state(&entry, &relay), entry.relays[0].attempts), (DeliveryState::Accepted, 3));
    assert_eq!(client.status().outbox.unwrap().counts.retries, 2);
    client.close().await;
}

#[tokio::test]
async fn what_is_cancelled_or_replaced_is_not_sent_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let network = MemoryNetwork::new();
    let away = Relay::new("away");
    let client = start(&network, config(&folder.path().join("o"), &[&away])).await;
    let me = sign_in(&client).await;
    let cancelled = note(&client, me, "taken back").await;
    client.publish_durable(cancelled.clone()).await.unwrap();
    let profile = |at, name: &str| UnsignedEvent::new(me, at, 0, vec![], name);
    let older = client.sign(profile(common::TIME, "older")).await.unwrap();
    let newer = client.sign(profile(common::TIME + 1, "newer")).await.unwrap();
    client.publish_durable(older.clone()).await.unwrap();
    client.publish_durable(newer.clone()).await.unwrap();
    let entry = client.cancel_outbox(&cancelled.id).await.unwrap();
    assert_eq!(entry.count(DeliveryState::Cancelled), 1);
    let again = client.publish_durable(older.clone()).await.unwrap();
    assert_eq!((again.outcome.status, again.entry), (PutStatus::Superseded, None));

    let finished = |event: &Event| client.outbox_entry(&event.id).unwrap().is_finished();
    eventually("the older one is given up", || finished(&older)).await;
    away.listen(&network, |_| Some((true, "")));
    eventually("the newer one arrives", || finished(&newer)).await;
    let older = client.outbox_entry(&older.id).unwrap();
    assert_eq!(older.count(DeliveryState::Withdrawn), 1, "{older:?}");
    assert_eq!(away.log(), ["newer"]);
    client.close().await;
}

#[tokio::test]
async fn without_a_file_a_relay_or_room_it_is_refused_by_type() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("o");
    let network = MemoryNetwork::new();
    let away = Relay::new("away");
    let mut off = config(&file, &[&away]);
    off.outbox.file = FileSetting::Off;
    let client = start(&network, off).await;
    let me = sign_in(&client).await;
    let first = note(&client, me, "first").await;
    let second = note(&client, me, "second").await;
    let refused = client.publish_durable(first.clone()).await;
    assert!(matches!(refused, Err(ClientError::Unsupported(_))), "{refused:?}");
    client.close().await;

    let mut one = config(&file, &[]);
    one.outbox.max_entries = 1;
    let client = start(&network, one.clone()).await;
    let refused = client.publish_durable(first.clone()).await;
    assert!(matches!(refused, Err(ClientError::Invalid(_))), "{refused:?}");
    let options = || DurableOptions { relays: Some(vec![away.url.clone()]) };
    client.publish_durable_with(first.clone(), options()).await.unwrap();
    let refused = client.publish_durable_with(second.clone(), options()).await;
    assert!(matches!(refused, Err(ClientError::OutboxFull(_))), "{refused:?}");
    assert!(client.outbox_entry(&second.id).is_err());
    // The file belongs to this client.
    let other = NostrClient::builder().config(one).transport(Arc::new(network.clone())).build();
    assert!(matches!(other.await, Err(StartError::Outbox(_))));
    client.close().await;
}
