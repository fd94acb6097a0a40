//! Relays that demand work, in memory, and events that are mined anew for them.
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use common::{PATIENCE, eventually, note, sign_in};
use nipworker_core::{
    ClientConfig, DemandSource, JobPhase, NostrClient, PublishReport, PutStatus, ReceiptStatus,
    Remine, RemineResult,
    pow::Pow,
    protocol::{ClientMessage, Event, Filter, RelayMessage, RelayUrl},
    transport::memory::{ClientFrame, InformationAnswer, MemoryNetwork},
};

/// What a relay says to an event with too little work.
#[derive(Clone, Copy)]
enum Words {
    /// With the number.
    Number,
    /// Without it.
    Silent,
    /// Another reason.
    Blocked,
}

/// The events that a relay was sent, in order.
type Sent = Arc<Mutex<Vec<Event>>>;

/// A relay that demands `bits` of committed work.
fn relay(network: &MemoryNetwork, name: &str, bits: u32, words: Words) -> (RelayUrl, Sent) {
    let url = RelayUrl::parse(&format!("ws://{name}.test")).unwrap();
    let mut listener = network.listen(&url);
    let sent = Sent::default();
    let seen = Arc::clone(&sent);
    tokio::spawn(async move {
        loop {
            let mut peer = listener.accept().await;
            let seen = Arc::clone(&seen);
            tokio::spawn(async move {
                while let Some(ClientFrame::Text(frame)) = peer.receive().await {
                    let Ok(ClientMessage::Event(event)) = ClientMessage::parse(&frame) else {
                        continue;
                    };
                    let event: Event = serde_json::from_str(event.get()).unwrap();
                    let has = Pow::of(&event.id, &event.tags).committed();
                    let message = match words {
                        _ if has >= bits => String::new(),
                        Words::Number => format!("pow: difficulty {has} is less than {bits}"),
                        Words::Silent => "pow: more work is needed".to_owned(),
                        Words::Blocked => format!("blocked: {bits} reasons"),
                    };
                    let answer = RelayMessage::Ok { id: event.id, accepted: has >= bits, message };
                    seen.lock().unwrap().push(event);
                    if peer.send_text(answer.to_frame()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (url, sent)
}

fn config(relays: &[&RelayUrl]) -> ClientConfig {
    let relays = relays.iter().map(|url| (*url).clone()).collect();
    let mut config = ClientConfig { relays, ..ClientConfig::default() };
    config.miner.threads = 1;
    config.miner.remine = Remine::Refused;
    config.crypto.threads = 1;
    config
}

async fn start(network: &MemoryNetwork, config: ClientConfig) -> NostrClient {
    let network = Arc::new(network.clone());
    NostrClient::builder()
        .config(config)
        .transport(Arc::clone(&network) as _)
        .information(network)
        .build()
        .await
        .unwrap()
}

async fn publish(client: &NostrClient, event: &Event) -> PublishReport {
    tokio::time::timeout(PATIENCE, client.publish(event.clone())).await.unwrap().unwrap()
}

fn ids(sent: &Sent) -> Vec<String> {
    sent.lock().unwrap().iter().map(|event| event.id.to_string()).collect()
}

#[tokio::test]
async fn a_refused_event_is_mined_anew_for_exactly_the_relays_that_refused_it() {
    let network = MemoryNetwork::new();
    let (strict, to_strict) = relay(&network, "strict", 12, Words::Number);
    let (mild, to_mild) = relay(&network, "mild", 9, Words::Number);
    let (open, to_open) = relay(&network, "open", 0, Words::Number);
    let (closed, to_closed) = relay(&network, "closed", 4, Words::Blocked);
    let client = start(&network, config(&[&strict, &mild, &open, &closed])).await;
    let me = sign_in(&client).await;
    let event = note(&client, me, "work for it").await;

    let report = publish(&client, &event).await;

    // What is said of the event itself is what became of it.
    assert_eq!((report.outcome.id, report.outcome.status), (event.id, PutStatus::Stored));
    assert_eq!((report.receipts.len(), report.accepted()), (4, 1));
    let remined = report.remined.unwrap();
    let demands: Vec<_> =
        remined.demands.iter().map(|d| (d.relay.as_str(), d.bits, d.source)).collect();
    assert_eq!(demands.len(), 2);
    assert!(demands.contains(&(strict.as_str(), Some(12), DemandSource::Refusal)), "{demands:?}");
    assert!(demands.contains(&(mild.as_str(), Some(9), DemandSource::Refusal)), "{demands:?}");
    let RemineResult::Published { event: mined, bits, attempts, outcome, receipts } =
        remined.result
    else {
        panic!("{:?}", remined.result);
    };
    assert_eq!((bits, outcome.id, outcome.status), (12, mined.id, PutStatus::Stored));
    assert!(attempts > 0);
    assert_eq!(receipts.len(), 2, "one for each relay that refused for this reason");
    assert!(receipts.iter().all(|receipt| receipt.status == ReceiptStatus::Accepted));
    // It is the same event but for its nonce.
    assert_ne!(mined.id, event.id);
    assert_eq!((mined.pubkey, mined.created_at, mined.kind), (me, event.created_at, event.kind));
    assert_eq!((mined.content.as_str(), mined.tags.len()), ("work for it", 1));
    assert_eq!(Pow::of(&mined.id, &mined.tags).committed(), 12);
    // And it went nowhere else.
    let (first, second) = (event.id.to_string(), mined.id.to_string());
    assert_eq!(ids(&to_strict), [first.clone(), second.clone()]);
    assert_eq!(ids(&to_mild), [first.clone(), second]);
    assert_eq!(ids(&to_open), std::slice::from_ref(&first));
    assert_eq!(ids(&to_closed), [first]);
    assert_eq!(client.count(vec![Filter::new().ids([mined.id])]).await.unwrap(), 1);
    client.close().await;
}

#[tokio::test]
async fn a_demand_without_a_number_is_looked_up_in_the_relays_information() {
    let network = MemoryNetwork::new();
    let (url, _) = relay(&network, "quiet", 10, Words::Silent);
    let document = r#"{"name":"quiet","limitation":{"min_pow_difficulty":10}}"#;
    network.inform(&url, InformationAnswer::Document(document.to_owned()));
    let client = start(&network, config(&[&url])).await;
    let me = sign_in(&client).await;

    let report = publish(&client, &note(&client, me, "hello").await).await;

    let remined = report.remined.unwrap();
    assert_eq!(remined.demands[0].bits, Some(10));
    assert_eq!(remined.demands[0].source, DemandSource::Information);
    let RemineResult::Published { bits, receipts, .. } = &remined.result else {
        panic!("{remined:?}");
    };
    assert_eq!((*bits, receipts[0].status), (10, ReceiptStatus::Accepted));
    client.close().await;
}

#[tokio::test]
async fn a_demand_that_nobody_names_is_reported_with_the_reason() {
    let network = MemoryNetwork::new();
    let mut answers = vec![(relay(&network, "gone", 10, Words::Silent).0, "nobody listens")];
    for (name, answer, why) in [
        ("html", InformationAnswer::Document("<html>".to_owned()), "no JSON"),
        ("none", InformationAnswer::Document("{}".to_owned()), "nor does its information"),
        ("error", InformationAnswer::Status(404), "http status 404"),
        ("large", InformationAnswer::Bytes(vec![b' '; 1_000_000]), "over the limit"),
        ("hole", InformationAnswer::Silence, "did not come within 50 ms"),
    ] {
        let (url, _) = relay(&network, name, 10, Words::Silent);
        network.inform(&url, answer);
        answers.push((url, why));
    }
    let urls: Vec<_> = answers.iter().map(|(url, _)| url).collect();
    let mut config = config(&urls);
    config.connections.connect_timeout = Duration::from_millis(50);
    let client = start(&network, config).await;
    let me = sign_in(&client).await;

    let report = publish(&client, &note(&client, me, "hello").await).await;

    let remined = report.remined.unwrap();
    assert_eq!(remined.demands.len(), answers.len());
    for (url, why) in &answers {
        let demand = remined.demands.iter().find(|d| d.relay == url.as_str()).unwrap();
        let left_out = demand.left_out.as_deref().unwrap_or_default();
        assert!(left_out.contains(why), "{url}: {left_out}");
        assert_eq!(demand.bits, None);
    }
    assert!(matches!(remined.result, RemineResult::NotTried { .. }), "{:?}", remined.result);
    client.close().await;
}

#[tokio::test]
async fn a_demand_beyond_the_limit_is_left_alone_and_the_others_are_met() {
    let network = MemoryNetwork::new();
    let (steep, to_steep) = relay(&network, "steep", 200, Words::Number);
    let (fair, _) = relay(&network, "fair", 9, Words::Number);
    let mut config = config(&[&steep, &fair]);
    config.miner.remine_max_bits = 16;
    let client = start(&network, config).await;
    let me = sign_in(&client).await;

    let report = publish(&client, &note(&client, me, "hello").await).await;

    let remined = report.remined.unwrap();
    let demand = remined.demands.iter().find(|d| d.relay == steep.as_str()).unwrap();
    assert_eq!(
        demand.left_out.as_deref(),
        Some("it demands 200 bits, the most that is mined for is 16")
    );
    let RemineResult::Published { bits, receipts, .. } = &remined.result else {
        panic!("{remined:?}");
    };
    assert_eq!((*bits, receipts.len(), receipts[0].relay.as_str()), (9, 1, fair.as_str()));
    assert_eq!(to_steep.lock().unwrap().len(), 1, "only the event itself");
    client.close().await;
}

#[tokio::test]
async fn work_that_is_not_done_in_time_ends_and_is_reported() {
    let network = MemoryNetwork::new();
    let (url, sent) = relay(&network, "steep", 200, Words::Number);
    let mut config = config(&[&url]);
    config.miner.remine_max_bits = 256;
    // Enough for the signer to say its key, on whatever machine.
    config.miner.remine_timeout = Duration::from_secs(1);
    let client = start(&network, config).await;
    let me = sign_in(&client).await;

    let report = publish(&client, &note(&client, me, "hello").await).await;

    assert_eq!((report.accepted(), sent.lock().unwrap().len()), (0, 1));
    let RemineResult::Failed { reason } = report.remined.unwrap().result else { panic!() };
    assert!(reason.starts_with("200 bits were not found in time"), "{reason}");
    assert!(client.jobs().iter().all(|job| job.phase == JobPhase::Ended), "{:?}", client.jobs());
    client.close().await;
}

#[tokio::test]
async fn without_the_authors_key_nothing_is_mined() {
    let network = MemoryNetwork::new();
    let (url, _) = relay(&network, "strict", 9, Words::Number);
    let client = start(&network, config(&[&url])).await;
    let me = sign_in(&client).await;
    let event = note(&client, me, "hello").await;
    client.set_signer(None);

    let report = publish(&client, &event).await;

    let RemineResult::NotTried { reason } = report.remined.unwrap().result else { panic!() };
    assert!(reason.starts_with("signer: "), "{reason}");
    sign_in(&client).await;
    let report = publish(&client, &event).await;
    let RemineResult::NotTried { reason } = report.remined.unwrap().result else { panic!() };
    assert_eq!(reason, "the signer's key is not the author's");
    assert!(client.jobs().is_empty());
    client.close().await;
}

#[tokio::test]
async fn a_nonce_of_too_little_work_is_replaced() {
    let network = MemoryNetwork::new();
    let (url, _) = relay(&network, "strict", 11, Words::Number);
    let client = start(&network, config(&[&url])).await;
    let me = sign_in(&client).await;
    let job = client.mine(common::template(me, "more"), 6).await.unwrap();
    let nipworker_core::MiningOutcome::Found { event, .. } = job.solved().await.unwrap() else {
        panic!("6 bits are soon found");
    };
    let event = client.sign(event).await.unwrap();

    let report = publish(&client, &event).await;

    let remined = report.remined.unwrap();
    let RemineResult::Published { event: mined, .. } = &remined.result else {
        panic!("{remined:?}");
    };
    assert_eq!(mined.tags.len(), 1, "one nonce");
    assert_eq!(Pow::of(&mined.id, &mined.tags).committed(), 11);
    client.close().await;
}

#[tokio::test]
async fn a_relay_that_refuses_the_mined_event_too_has_said_so_and_is_not_asked_again() {
    let network = MemoryNetwork::new();
    let (url, sent) = relay(&network, "liar", 30, Words::Silent);
    let document = r#"{"limitation":{"min_pow_difficulty":8}}"#;
    network.inform(&url, InformationAnswer::Document(document.to_owned()));
    let client = start(&network, config(&[&url])).await;
    let me = sign_in(&client).await;

    let report = publish(&client, &note(&client, me, "hello").await).await;

    let RemineResult::Published { receipts, .. } = report.remined.unwrap().result else { panic!() };
    assert_eq!(receipts[0].status, ReceiptStatus::Refused);
    assert_eq!(receipts[0].message, "pow: more work is needed");
    assert_eq!(sent.lock().unwrap().len(), 2);
    client.close().await;
}

#[tokio::test]
async fn it_is_off_unless_the_configuration_says_so() {
    let network = MemoryNetwork::new();
    let (url, sent) = relay(&network, "strict", 9, Words::Number);
    let mut config = config(&[&url]);
    config.miner.remine = ClientConfig::default().miner.remine;
    let client = start(&network, config).await;
    let me = sign_in(&client).await;

    let report = publish(&client, &note(&client, me, "hello").await).await;

    assert_eq!(report.remined, None);
    assert_eq!(report.receipts[0].message, "pow: difficulty 0 is less than 9");
    assert_eq!((client.jobs().len(), sent.lock().unwrap().len()), (0, 1));
    let json = serde_json::to_value(&report).unwrap();
    assert!(json.get("remined").is_none(), "{json}");
    client.close().await;
}

#[tokio::test]
async fn dropping_the_publish_ends_the_mining() {
    let network = MemoryNetwork::new();
    let (url, _) = relay(&network, "steep", 200, Words::Number);
    let mut config = config(&[&url]);
    config.miner.remine_max_bits = 256;
    let client = start(&network, config).await;
    let me = sign_in(&client).await;
    let event = note(&client, me, "never mind").await;
    let publishing = tokio::spawn({
        let client = client.clone();
        async move { client.publish(event).await }
    });
    eventually("it mines", || client.jobs().iter().any(|job| job.attempts > 0)).await;

    publishing.abort();

    eventually("it ends", || client.jobs().iter().all(|job| job.phase == JobPhase::Ended)).await;
    client.close().await;
}
