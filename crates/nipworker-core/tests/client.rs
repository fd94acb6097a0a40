//! The client as a program uses it, with relays in memory.
#![allow(clippy::unwrap_used)]

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use nipworker_core::{
    ClientConfig, ClientError, MiningOutcome, NostrClient, PrivateKeySigner, PublishOptions,
    PutStatus, QueryOptions, ReceiptStatus, SecretKey, StartError, Subscription, SubscriptionEvent,
    protocol::{
        ClientMessage, Event, Filter, PublicKey, RelayMessage, RelayUrl, StoredHint, UnsignedEvent,
    },
    transport::memory::{ClientFrame, MemoryNetwork},
};

const TIME: i64 = 1_700_000_000;
const PATIENCE: Duration = Duration::from_secs(20);

/// What a relay in memory says to a published event.
#[derive(Clone, Copy)]
enum Answer {
    Accept,
    Refuse,
    Silence,
}

/// A relay that has `stored` events, answers publishes as told, and passes nothing on.
fn relay(network: &MemoryNetwork, name: &str, stored: Vec<Event>, answer: Answer) -> RelayUrl {
    let url = RelayUrl::parse(&format!("ws://{name}.test")).unwrap();
    let mut listener = network.listen(&url);
    tokio::spawn(async move {
        loop {
            let mut peer = listener.accept().await;
            let stored = stored.clone();
            tokio::spawn(async move {
                while let Some(ClientFrame::Text(frame)) = peer.receive().await {
                    for reply in replies(&frame, &stored, answer) {
                        if peer.send_text(reply).await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    url
}

fn replies(frame: &str, stored: &[Event], answer: Answer) -> Vec<String> {
    match ClientMessage::parse(frame).unwrap() {
        ClientMessage::Req { subscription, filters } => stored
            .iter()
            .filter(|event| Filter::any_matches(&filters, event))
            .map(|event| RelayMessage::event_frame(&subscription, &event.to_json()))
            .chain([RelayMessage::Eose {
                subscription: subscription.clone(),
                stored: StoredHint::Unsaid,
            }
            .to_frame()])
            .collect(),
        ClientMessage::Event(event) => {
            let event: Event = serde_json::from_str(event.get()).unwrap();
            let (accepted, message) = match answer {
                Answer::Accept => (true, ""),
                Answer::Refuse => (false, "blocked: not here"),
                Answer::Silence => return Vec::new(),
            };
            let message = message.to_owned();
            vec![RelayMessage::Ok { id: event.id, accepted, message }.to_frame()]
        }
        _ => Vec::new(),
    }
}

async fn start(network: &MemoryNetwork, relays: Vec<RelayUrl>) -> NostrClient {
    let mut config = ClientConfig { relays, ..ClientConfig::default() };
    config.miner.threads = 1;
    config.crypto.threads = 1;
    NostrClient::builder()
        .config(config)
        .transport(Arc::new(network.clone()))
        .build()
        .await
        .unwrap()
}

async fn sign_in(client: &NostrClient) -> PublicKey {
    let signer = PrivateKeySigner::new(SecretKey::generate().unwrap());
    client.set_signer(Some(Arc::new(signer)));
    client.public_key().await.unwrap()
}

async fn note(client: &NostrClient, me: PublicKey, text: &str) -> Event {
    client.sign(UnsignedEvent::new(me, TIME, 1, vec![], text)).await.unwrap()
}

/// Reads up to the end of stored events.
async fn stored(stream: &mut Subscription) -> Vec<String> {
    let mut contents = Vec::new();
    loop {
        match tokio::time::timeout(PATIENCE, stream.next()).await.expect("an answer in time") {
            Some(SubscriptionEvent::Event { event, .. }) => contents.push(event.content.clone()),
            Some(SubscriptionEvent::EndOfStored) => return contents,
            Some(SubscriptionEvent::Relay { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn an_event_of_two_relays_and_the_store_is_delivered_once() {
    let network = MemoryNetwork::new();
    let author = start(&network, vec![]).await;
    let me = sign_in(&author).await;
    let mut events = Vec::new();
    for text in ["a", "b", "c"] {
        events.push(note(&author, me, text).await);
    }
    let relays = vec![
        relay(&network, "one", events[..2].to_vec(), Answer::Accept),
        relay(&network, "two", events[1..].to_vec(), Answer::Accept),
    ];
    let client = start(&network, relays).await;
    client.import(vec![events[1].to_json()]).await.unwrap();

    let mut found = client.query(vec![Filter::new().authors([me])]).await.unwrap();
    let mut contents = stored(&mut found).await;
    contents.sort();

    assert_eq!(contents, ["a", "b", "c"]);
    assert_eq!(found.next().await, None, "a query ends after its events");
    assert_eq!(client.count(vec![Filter::new()]).await.unwrap(), 3, "what came was stored");
    client.close().await;
    author.close().await;
}

#[tokio::test]
async fn each_relay_gets_its_own_true_receipt() {
    let network = MemoryNetwork::new();
    let relays = vec![
        relay(&network, "accepts", vec![], Answer::Accept),
        relay(&network, "refuses", vec![], Answer::Refuse),
        relay(&network, "silent", vec![], Answer::Silence),
        RelayUrl::parse("ws://down.test").unwrap(),
    ];
    let client = start(&network, relays).await;
    let me = sign_in(&client).await;
    let event = note(&client, me, "hello").await;

    let options =
        PublishOptions { timeout: Some(Duration::from_millis(800)), ..PublishOptions::default() };
    let report = client.publish_with(event, options).await.unwrap();

    assert_eq!(report.outcome.status, PutStatus::Stored);
    let status = |relay: &str| {
        let receipt = report.receipts.iter().find(|r| r.relay.contains(relay)).unwrap();
        (receipt.status, receipt.message.clone())
    };
    assert_eq!(status("accepts").0, ReceiptStatus::Accepted);
    assert_eq!(status("refuses"), (ReceiptStatus::Refused, "blocked: not here".to_owned()));
    assert_eq!(status("silent").0, ReceiptStatus::NoAnswer);
    assert_eq!(status("down").0, ReceiptStatus::NotConnected);
    client.close().await;
}

#[tokio::test]
async fn without_relays_a_publish_goes_to_the_store_and_to_open_subscriptions() {
    let client = start(&MemoryNetwork::new(), vec![]).await;
    let me = sign_in(&client).await;
    let mut live = client.subscribe(vec![Filter::new().authors([me])]).await.unwrap();
    assert!(stored(&mut live).await.is_empty());
    let event = note(&client, me, "live").await;

    let report = client.publish(event.clone()).await.unwrap();

    assert_eq!((report.outcome.status, report.receipts.len()), (PutStatus::Stored, 0));
    let item = tokio::time::timeout(PATIENCE, live.next()).await.unwrap();
    assert!(
        matches!(&item, Some(SubscriptionEvent::Event { event: got, .. }) if got.id == event.id),
        "{item:?}"
    );
    client.close().await;
}

#[tokio::test]
async fn a_forged_event_is_an_outcome_with_its_reason_and_is_not_stored() {
    let client = start(&MemoryNetwork::new(), vec![]).await;
    let me = sign_in(&client).await;
    let mut forged = note(&client, me, "mine").await;
    forged.content = "not mine".to_owned();

    let report = client.publish(forged).await.unwrap();

    assert_eq!(report.outcome.status, PutStatus::Invalid);
    assert!(report.outcome.reason.contains("id"), "{}", report.outcome.reason);
    assert_eq!(client.count(vec![Filter::new()]).await.unwrap(), 0);
    client.close().await;
}

#[tokio::test]
async fn without_a_signer_signing_says_so() {
    let client = start(&MemoryNetwork::new(), vec![]).await;
    let template = UnsignedEvent::new(PublicKey::from_bytes([2; 32]), TIME, 1, vec![], "");

    assert!(matches!(client.sign(template).await, Err(ClientError::Signer(_))));
    assert!(matches!(client.public_key().await, Err(ClientError::Signer(_))));
    client.close().await;
}

#[tokio::test]
async fn mining_finds_an_event_that_holds_its_difficulty() {
    let client = start(&MemoryNetwork::new(), vec![]).await;
    let template = UnsignedEvent::new(PublicKey::from_bytes([2; 32]), TIME, 1, vec![], "work");

    let job = client.mine(template, 10).await.unwrap();
    let MiningOutcome::Found { event, id, bits, .. } = job.solved().await.unwrap() else {
        panic!("10 bits are soon found");
    };

    assert!(bits >= 10);
    assert_eq!(event.compute_id(), id);
    assert_eq!(id.leading_zero_bits(), bits);
    assert_eq!(event.tags.last().unwrap().get(2), Some("10"), "the target is committed");
    client.close().await;
}

#[tokio::test]
async fn dropping_a_mining_handle_cancels_the_job() {
    let client = start(&MemoryNetwork::new(), vec![]).await;
    let template = UnsignedEvent::new(PublicKey::from_bytes([2; 32]), TIME, 1, vec![], "work");
    let job = client.mine(template, 256).await.unwrap();
    assert_eq!(client.status().mining.jobs.len(), 1);

    drop(job);

    let ended = tokio::time::timeout(PATIENCE, async {
        while client.status().mining.jobs.iter().any(|job| job.outcome.is_none()) {
            tokio::task::yield_now().await;
        }
    });
    ended.await.expect("the job ends");
    client.close().await;
}

#[tokio::test]
async fn whoever_waits_for_a_solution_hears_that_the_client_was_closed() {
    let client = start(&MemoryNetwork::new(), vec![]).await;
    let template = UnsignedEvent::new(PublicKey::from_bytes([2; 32]), TIME, 1, vec![], "work");
    let job = client.mine(template, 256).await.unwrap();

    client.close().await;

    let outcome = tokio::time::timeout(PATIENCE, job.solved()).await.expect("the job ends");
    assert!(matches!(outcome, Ok(MiningOutcome::Cancelled { .. })), "{outcome:?}");
}

#[tokio::test]
async fn whoever_waits_for_a_solution_hears_that_the_client_was_dropped() {
    let client = start(&MemoryNetwork::new(), vec![]).await;
    let template = UnsignedEvent::new(PublicKey::from_bytes([2; 32]), TIME, 1, vec![], "work");
    let job = client.mine(template, 256).await.unwrap();

    drop(client);

    let outcome = tokio::time::timeout(PATIENCE, job.solved()).await.expect("the job ends");
    assert!(matches!(outcome, Ok(MiningOutcome::Cancelled { .. })), "{outcome:?}");
}

#[tokio::test]
async fn a_difficulty_beyond_an_id_is_refused() {
    let client = start(&MemoryNetwork::new(), vec![]).await;
    let template = UnsignedEvent::new(PublicKey::from_bytes([2; 32]), TIME, 1, vec![], "work");

    let refused = client.mine(template, 257).await.map(|job| job.job());

    assert!(
        matches!(&refused, Err(ClientError::Invalid(why)) if why.contains("256")),
        "{refused:?}"
    );
    client.close().await;
}

#[tokio::test]
async fn after_close_streams_end_and_requests_say_closed() {
    let client = start(&MemoryNetwork::new(), vec![]).await;
    let other = client.clone();
    let mut live = client.subscribe(vec![Filter::new()]).await.unwrap();
    assert!(stored(&mut live).await.is_empty());

    let report = client.close().await;

    assert!(report.is_clean(), "{report:?}");
    assert!(matches!(live.next().await, Some(SubscriptionEvent::Closed { .. })));
    assert_eq!(live.next().await, None);
    assert_eq!(other.count(vec![Filter::new()]).await, Err(ClientError::Closed));
    assert!(matches!(other.subscribe(vec![Filter::new()]).await, Err(ClientError::Closed)));
    assert!(other.status().store.is_none());
}

#[tokio::test]
async fn a_request_without_filters_is_invalid() {
    let client = start(&MemoryNetwork::new(), vec![]).await;

    assert!(matches!(client.subscribe(vec![]).await, Err(ClientError::Invalid(_))));
    assert!(matches!(client.count(vec![]).await, Err(ClientError::Invalid(_))));
    client.close().await;
}

#[tokio::test]
async fn a_search_is_refused_instead_of_matching_everything() {
    let client = start(&MemoryNetwork::new(), vec![]).await;
    // RUSTSEC-2026-0230: an empty search panicked.
    for words in ["cats", "", " ", "\u{0}"] {
        let search = || vec![Filter { search: Some(words.to_owned()), ..Filter::new() }];
        assert!(matches!(client.query(search()).await, Err(ClientError::Unsupported(_))));
        assert!(matches!(client.count(search()).await, Err(ClientError::Unsupported(_))));
    }
    client.close().await;
}

#[tokio::test]
async fn settings_that_make_no_sense_are_refused_before_anything_starts() {
    let mut config = ClientConfig::default();
    config.supervision.backoff_min = config.supervision.backoff_max * 2;

    let refused = NostrClient::new(config).await.map(drop);

    let Err(StartError::Config { key, problem }) = refused else { panic!("{refused:?}") };
    assert_eq!(key, "supervision.backoff_min");
    assert!(problem.contains("backoff_max"), "{problem}");
}

#[tokio::test]
async fn a_query_waits_longer_for_relays_than_is_configured_when_it_says_so() {
    let network = MemoryNetwork::new();
    let helper = start(&network, vec![]).await;
    let me = sign_in(&helper).await;
    let event = note(&helper, me, "worth waiting for").await;
    let url = RelayUrl::parse("ws://slow.test").unwrap();
    let mut listener = network.listen(&url);
    let configured = Duration::from_millis(20);
    tokio::spawn(async move {
        let mut peer = listener.accept().await;
        while let Some(ClientFrame::Text(frame)) = peer.receive().await {
            tokio::time::sleep(10 * configured).await;
            for reply in replies(&frame, std::slice::from_ref(&event), Answer::Accept) {
                peer.send_text(reply).await.unwrap();
            }
        }
    });
    let mut config = ClientConfig { relays: vec![url], ..ClientConfig::default() };
    config.connections.eose_deadline = configured;
    let transport = Arc::new(network.clone());
    let client = NostrClient::builder().config(config).transport(transport).build().await.unwrap();
    let options = QueryOptions { timeout: Some(PATIENCE), ..QueryOptions::default() };
    let mut query = client.query_with(vec![Filter::new()], options).await.unwrap();
    assert_eq!(stored(&mut query).await, ["worth waiting for"]);
    client.close().await;
    helper.close().await;
}

#[test]
fn a_wrong_setting_is_named_by_its_key() {
    type Set = fn(&mut ClientConfig);
    let cases: [(&str, Set); 5] = [
        ("connections.reconnect_min", |c| c.connections.reconnect_min *= 1000),
        ("connections.reconnect_jitter", |c| c.connections.reconnect_jitter = 2.0),
        ("connections.max_message_bytes", |c| c.connections.max_message_bytes = 1),
        ("limits.queue_events", |c| c.limits.queue_events = 0),
        ("miner.threads", |c| c.miner.threads = usize::MAX),
    ];
    for (key, set) in cases {
        let mut config = ClientConfig::default();
        set(&mut config);
        let refused = config.validate();
        assert!(
            matches!(&refused, Err(StartError::Config { key: named, .. }) if named == key),
            "{key}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn a_second_client_on_the_same_store_file_is_refused_until_the_first_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = ClientConfig::default();
    config.store.backend = nipworker_core::StoreBackend::Redb;
    config.store.path = folder.path().join("events.redb");
    let first = NostrClient::new(config.clone()).await.unwrap();

    let second = NostrClient::new(config.clone()).await.map(drop);
    assert!(
        matches!(&second, Err(StartError::Store(why)) if why.contains("already open")),
        "{second:?}"
    );

    first.close().await;
    let third = NostrClient::new(config).await.unwrap();
    third.close().await;
}

#[cfg(feature = "chaos")]
mod chaos {
    use nipworker_core::{Exit, Fault, Worker};

    use super::*;

    #[tokio::test]
    async fn a_worker_that_fails_too_often_ends_the_client_and_its_streams() {
        let mut config = ClientConfig::default();
        config.supervision.max_restarts = 2;
        config.supervision.backoff_min = Duration::from_millis(1);
        let client = NostrClient::new(config).await.unwrap();
        let mut live = client.subscribe(vec![Filter::new()]).await.unwrap();
        assert!(stored(&mut live).await.is_empty());
        let ended = tokio::spawn({
            let client = client.clone();
            async move { client.wait().await }
        });

        for restart in 0.. {
            if client.inject(Worker::Miner, Fault::Panic).is_err() {
                break;
            }
            let failed = tokio::time::timeout(PATIENCE, async {
                while client.status().supervisor.worker("miner").unwrap().panics <= restart
                    && !ended.is_finished()
                {
                    tokio::task::yield_now().await;
                }
            });
            failed.await.expect("the fault is acted out");
            if ended.is_finished() {
                break;
            }
        }

        let exit = tokio::time::timeout(PATIENCE, ended).await.unwrap().unwrap();
        assert!(matches!(&exit, Exit::Escalated { child, .. } if child == "miner"), "{exit:?}");
        assert_eq!(client.count(vec![Filter::new()]).await, Err(ClientError::Closed));
        let told = tokio::time::timeout(PATIENCE, live.next()).await.unwrap();
        assert!(matches!(told, Some(SubscriptionEvent::Closed { .. })), "{told:?}");
    }

    #[tokio::test]
    async fn a_repeatable_request_survives_the_panic_of_its_worker() {
        let client = NostrClient::new(ClientConfig::default()).await.unwrap();
        client.inject(Worker::Parser, Fault::Panic).unwrap();

        assert_eq!(client.count(vec![Filter::new()]).await, Ok(0));
        client.close().await;
    }
}
