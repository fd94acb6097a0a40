//! Syncs with relays in memory: only what differs travels, and what does not work is told.
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};

use common::{PATIENCE, TIME, eventually};
use futures::StreamExt;
use negentropy::{Id, Negentropy, NegentropyStorageVector};
use nipworker_core::{
    ClientConfig, ClientError, NostrClient, PrivateKeySigner, ReconcileEnd, RefusalKind, SecretKey,
    SyncDirection, SyncEvent, SyncFailure, SyncHow, SyncOptions, SyncReport,
    protocol::{ClientMessage, Event, EventId, Filter, RelayMessage, RelayUrl, Tag, UnsignedEvent},
    transport::memory::{ClientFrame, MemoryNetwork},
};

/// How a relay treats NIP-77.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Neg {
    Knows,
    Notice,
    Silent,
}

/// What a relay in memory has, and what it has done.
#[derive(Default)]
struct Shelf {
    events: Vec<Event>,
    /// Events that it names and does not give.
    withheld: BTreeSet<EventId>,
    /// Texts that it sends beside every answer.
    forged: Vec<Event>,
    sent: usize,
    asked: Vec<Filter>,
    neg_closed: usize,
}

type Shared = Arc<Mutex<Shelf>>;

fn relay(network: &MemoryNetwork, neg: Neg, events: &[Event]) -> (RelayUrl, Shared) {
    let url = RelayUrl::parse("ws://relay.test").unwrap();
    let shelf = Shelf { events: events.to_vec(), ..Shelf::default() };
    let shelf: Shared = Arc::new(Mutex::new(shelf));
    let mut listener = network.listen(&url);
    let shared = Arc::clone(&shelf);
    tokio::spawn(async move {
        loop {
            let mut peer = listener.accept().await;
            let shelf = Arc::clone(&shared);
            tokio::spawn(async move {
                let mut open = HashMap::new();
                while let Some(ClientFrame::Text(frame)) = peer.receive().await {
                    let answers = shelf.lock().unwrap().answer(&frame, neg, &mut open);
                    for answer in answers {
                        if peer.send_text(answer).await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    (url, shelf)
}

type Open = HashMap<String, Negentropy<'static, NegentropyStorageVector>>;

impl Shelf {
    fn answer(&mut self, frame: &str, neg: Neg, open: &mut Open) -> Vec<String> {
        let message = ClientMessage::parse(frame).unwrap();
        match message {
            ClientMessage::Req { subscription, filters } => {
                self.asked.extend(filters.iter().cloned());
                let mut found: Vec<&Event> = self
                    .events
                    .iter()
                    .filter(|event| Filter::any_matches(&filters, event))
                    .filter(|event| !self.withheld.contains(&event.id))
                    .collect();
                found.sort_by_key(|event| (-event.created_at, event.id));
                found.truncate(filters[0].limit.unwrap_or(500).min(500));
                self.sent += found.len();
                found
                    .into_iter()
                    .chain(&self.forged)
                    .map(|event| RelayMessage::event_frame(&subscription, &event.to_json()))
                    .chain([RelayMessage::Eose {
                        subscription: subscription.clone(),
                        stored: Default::default(),
                    }
                    .to_frame()])
                    .collect()
            }
            ClientMessage::Event(event) => {
                let event: Event = serde_json::from_str(event.get()).unwrap();
                let accepted = event.content != "unwanted";
                let message = if accepted { "" } else { "blocked: not here" }.to_owned();
                let ok = RelayMessage::Ok { id: event.id, accepted, message };
                if accepted {
                    self.events.push(event);
                }
                vec![ok.to_frame()]
            }
            ClientMessage::NegClose { subscription } => {
                self.neg_closed += 1;
                open.remove(&subscription);
                Vec::new()
            }
            ClientMessage::NegOpen { subscription, filter, message } => match neg {
                Neg::Silent => Vec::new(),
                Neg::Notice => {
                    vec![RelayMessage::Notice("ERROR: bad msg: unknown cmd".into()).to_frame()]
                }
                Neg::Knows => {
                    let mut storage = NegentropyStorageVector::new();
                    for event in self.events.iter().filter(|event| filter.matches(event)) {
                        let at = event.created_at.cast_unsigned();
                        storage.insert(at, Id::from_byte_array(*event.id.as_bytes())).unwrap();
                    }
                    storage.seal().unwrap();
                    open.insert(subscription.clone(), Negentropy::owned(storage, 0).unwrap());
                    step(open, subscription, &message)
                }
            },
            ClientMessage::NegMsg { subscription, message } => step(open, subscription, &message),
            _ => Vec::new(),
        }
    }
}

fn step(open: &mut Open, subscription: String, message: &[u8]) -> Vec<String> {
    let message = open.get_mut(&subscription).unwrap().reconcile(message).unwrap();
    vec![RelayMessage::NegMsg { subscription, message }.to_frame()]
}

fn notes(number: i64) -> Vec<Event> {
    let signer = PrivateKeySigner::new(SecretKey::generate().unwrap());
    (0..number)
        .map(|n| {
            let tags = vec![Tag::new(["t", "a"])];
            let note = UnsignedEvent::new(signer.key(), TIME + n, 1, tags, n.to_string());
            signer.sign_now(note).unwrap()
        })
        .collect()
}

async fn client(network: &MemoryNetwork, events: &[Event]) -> NostrClient {
    let mut config = ClientConfig::default();
    config.miner.threads = 1;
    config.crypto.threads = 1;
    config.connections.eose_deadline = Duration::from_secs(30);
    let transport = Arc::new(network.clone());
    let client = NostrClient::builder().config(config).transport(transport).build().await.unwrap();
    let texts = events.iter().map(Event::to_json).collect();
    let outcomes = client.import(texts).await.unwrap();
    assert!(outcomes.iter().all(|outcome| outcome.status.is_accepted()));
    client
}

fn options(relay: &RelayUrl, direction: SyncDirection) -> SyncOptions {
    SyncOptions { relays: Some(vec![relay.clone()]), direction, ..SyncOptions::default() }
}

async fn sync(client: &NostrClient, filter: Filter, options: SyncOptions) -> SyncReport {
    let reports = client.sync(filter, options).unwrap().reports();
    let mut reports = tokio::time::timeout(PATIENCE, reports).await.unwrap();
    assert_eq!(reports.len(), 1);
    reports.remove(0)
}

fn topic() -> Filter {
    Filter::new().tag('t', ["a"])
}

#[tokio::test]
async fn only_what_one_side_lacks_travels() {
    let all = notes(700);
    let network = MemoryNetwork::new();
    let (url, shelf) = relay(&network, Neg::Knows, &all[..600]);
    let client = client(&network, &all[300..]).await;
    let down = sync(&client, topic(), options(&url, SyncDirection::Down)).await;
    assert_eq!((down.how, down.failure, down.had), (SyncHow::Negentropy, None, 400));
    assert_eq!((down.needed, down.fetched, down.stored, down.missing), (300, 300, 300, 0));
    assert_eq!((down.questions, down.lacked, down.sent), (2, 0, 0));
    assert!(down.is_complete() && down.rounds > 0 && down.bytes_received > 300 * 64, "{down:?}");
    assert_eq!(shelf.lock().unwrap().sent, 300, "the relay sent more than what was missing");
    assert_eq!(client.count(vec![topic()]).await.unwrap(), 700);
    let both = sync(&client, topic(), options(&url, SyncDirection::Both)).await;
    assert_eq!((both.had, both.needed, both.fetched, both.questions), (700, 0, 0, 0));
    assert_eq!((both.lacked, both.sent, both.receipts.accepted), (100, 100, 100));
    assert_eq!(shelf.lock().unwrap().events.len(), 700);
    let again = sync(&client, topic(), options(&url, SyncDirection::Both)).await;
    assert_eq!((again.needed, again.lacked, again.rounds), (0, 0, 1));
    eventually("each is ended", || shelf.lock().unwrap().neg_closed == 3).await;
    client.close().await;
}

#[tokio::test]
async fn a_relay_without_nip_77_is_read_page_by_page_in_both_directions() {
    let all = notes(1_300);
    let network = MemoryNetwork::new();
    let (url, shelf) = relay(&network, Neg::Notice, &all[..1_200]);
    let client = client(&network, &all[1_100..]).await;
    let report = sync(&client, topic(), options(&url, SyncDirection::Both)).await;
    assert_eq!(report.how, SyncHow::Req);
    let (end, words) = report.fell_back.clone().unwrap();
    assert_eq!((end, words.as_str()), (ReconcileEnd::Notice, "ERROR: bad msg: unknown cmd"));
    assert_eq!((report.fetched, report.stored), (1_200, 1_100));
    assert_eq!((report.lacked, report.sent, report.receipts.accepted), (100, 100, 100));
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(shelf.lock().unwrap().events.len(), 1_300);
    assert_eq!(client.count(vec![topic()]).await.unwrap(), 1_300);
    client.close().await;
}

#[tokio::test]
async fn what_a_relay_claims_and_does_not_give_or_forges_is_told_and_not_kept() {
    let all = notes(20);
    let mut forged = all[3].clone();
    forged.content = "other".to_owned();
    let network = MemoryNetwork::new();
    let (url, shelf) = relay(&network, Neg::Knows, &all);
    {
        let mut shelf = shelf.lock().unwrap();
        shelf.withheld = all[..5].iter().map(|event| event.id).collect();
        shelf.forged = vec![forged];
    }
    let unwanted = {
        let signer = PrivateKeySigner::new(SecretKey::generate().unwrap());
        let tags = vec![Tag::new(["t", "a"])];
        signer.sign_now(UnsignedEvent::new(signer.key(), TIME, 1, tags, "unwanted")).unwrap()
    };
    let client = client(&network, std::slice::from_ref(&unwanted)).await;
    let report = sync(&client, topic(), options(&url, SyncDirection::Both)).await;
    assert_eq!((report.needed, report.fetched, report.stored), (20, 15, 15), "{report:?}");
    assert_eq!(report.refused.get(&RefusalKind::IdMismatch), Some(&1));
    assert_eq!(report.missing, 5);
    assert_eq!((report.sent, report.receipts.accepted, report.receipts.refused), (1, 0, 1));
    assert_eq!(report.receipts.last_refusal.as_deref(), Some("blocked: not here"));
    assert!(!report.is_complete() && report.failure.is_none());
    assert_eq!(client.count(vec![topic()]).await.unwrap(), 16);
    client.close().await;
}

#[tokio::test]
async fn a_sync_that_is_dropped_ends_at_the_relay_and_one_runs_for_a_filter() {
    let network = MemoryNetwork::new();
    let (url, shelf) = relay(&network, Neg::Silent, &[]);
    let client = client(&network, &[]).await;
    let mut first = client.sync(topic(), options(&url, SyncDirection::Down)).unwrap();
    let begun = first.next().await.unwrap();
    assert!(matches!(begun, SyncEvent::Progress(_)), "{begun:?}");
    let second = sync(&client, topic(), options(&url, SyncDirection::Down)).await;
    assert_eq!(second.failure, Some(SyncFailure::Busy));
    // The relay has to be asked before it can be told that it is over.
    let sent = || client.status().relays.iter().map(|relay| relay.frames_out).sum::<u64>();
    let reading = tokio::spawn(async move { first.next().await });
    eventually("the relay is asked", || sent() > 0).await;
    reading.abort();
    eventually("the relay is told", || shelf.lock().unwrap().neg_closed == 1).await;
    client.close().await;
}

#[tokio::test]
async fn a_silent_relay_is_read_after_its_idle_time_and_an_absent_one_is_told() {
    let all = notes(3);
    let network = MemoryNetwork::new();
    let (url, _shelf) = relay(&network, Neg::Silent, &all);
    let client = client(&network, &[]).await;
    let idle = Duration::from_millis(50);
    let quick = SyncOptions { idle, ..options(&url, SyncDirection::Down) };
    let report = sync(&client, topic(), quick).await;
    assert_eq!(report.fell_back.as_ref().map(|why| why.0), Some(ReconcileEnd::Silent));
    assert_eq!((report.stored, report.failure), (3, None));
    let nobody = RelayUrl::parse("ws://nobody.test").unwrap();
    let report = sync(&client, topic(), options(&nobody, SyncDirection::Down)).await;
    assert_eq!((report.failure, report.how), (Some(SyncFailure::NotConnected), SyncHow::Nothing));
    assert!(!report.message.is_empty());
    client.close().await;
}

#[tokio::test]
async fn what_cannot_be_synced_is_refused() {
    let network = MemoryNetwork::new();
    let client = client(&network, &[]).await;
    let url = RelayUrl::parse("ws://relay.test").unwrap();
    let none = client.sync(topic(), SyncOptions::default()).map(drop);
    assert!(matches!(none, Err(ClientError::Invalid(_))));
    let limited = topic().limit(5);
    let up = client.sync(limited, options(&url, SyncDirection::Up)).map(drop);
    assert!(matches!(up, Err(ClientError::Invalid(_))));
    let search = Filter { search: Some("x".to_owned()), ..topic() };
    let search = client.sync(search, options(&url, SyncDirection::Down)).map(drop);
    assert!(matches!(search, Err(ClientError::Unsupported(_))));
    client.close().await;
}
