//! Relays of others that demand work, and events that are mined anew for them.

use std::{sync::Arc, time::Duration};

use nipworker_core::{
    ClientConfig, NostrClient, PublishReport, ReceiptStatus, Remine, RemineResult, protocol::Event,
};
use nipworker_tests::{events::Author, peer::PeerClient, relay::Relay, turn, wait::within};
use serde_json::json;

const DEMANDED: u8 = 16;
const END: Duration = Duration::from_secs(60);

async fn client(
    author: &Author,
    relays: &[&Relay],
    change: impl FnOnce(&mut ClientConfig),
) -> NostrClient {
    let mut config = ClientConfig {
        relays: relays.iter().map(|relay| relay.url().parse().unwrap()).collect(),
        ..ClientConfig::default()
    };
    change(&mut config);
    let client = NostrClient::new(config).await.unwrap();
    client.set_signer(Some(Arc::new(author.signer())));
    client
}

async fn publish(client: &NostrClient, event: &Event) -> PublishReport {
    within("the receipts", END, client.publish(event.clone())).await.unwrap()
}

/// A note whose id has not, by luck, the work that is demanded.
fn lazy_note(author: &Author) -> Event {
    let mut notes = std::iter::repeat_with(|| author.note("without work"));
    notes.find(|note| note.id.leading_zero_bits() < u32::from(DEMANDED)).expect("there are many")
}

#[tokio::test]
async fn an_event_that_a_relay_refuses_for_its_work_is_mined_anew_and_accepted() {
    let _turn = turn::beside_others().await;
    let (strict, easy) = (Relay::local_with_pow(DEMANDED).await, Relay::local().await);
    let author = Author::new();
    let client = client(&author, &[&strict, &easy], |config| {
        config.miner.remine = Remine::Refused;
    })
    .await;
    let note = lazy_note(&author);
    let report = publish(&client, &note).await;

    // The receipts of the note itself stay what they were.
    let status = |relay: &Relay| {
        let url = relay.url();
        let mut receipts = report.receipts.iter();
        let receipt = receipts.find(|receipt| receipt.relay.trim_end_matches('/') == url);
        receipt.unwrap_or_else(|| panic!("no receipt of {url}: {report:?}")).clone()
    };
    assert_eq!(status(&easy).status, ReceiptStatus::Accepted, "{report:?}");
    assert_eq!(status(&strict).status, ReceiptStatus::Refused, "{report:?}");
    assert!(status(&strict).message.starts_with("pow:"), "{report:?}");

    let remined = report.remined.as_ref().expect("it was mined anew");
    let RemineResult::Published { event, bits, receipts, .. } = &remined.result else {
        panic!("{remined:?}");
    };
    let event: &Event = event;
    assert_eq!(*bits, u32::from(DEMANDED));
    assert_eq!(receipts.len(), 1, "only who refused is asked again: {receipts:?}");
    assert_eq!(receipts[0].status, ReceiptStatus::Accepted, "{receipts:?}");
    assert_ne!(event.id, note.id);
    assert_eq!((event.pubkey, &event.content), (note.pubkey, &note.content));

    // By the relays' own word: each has the event that its receipt is about, and not the other.
    for (relay, has, has_not) in [(&strict, event, &note), (&easy, &note, event)] {
        let mut reader = PeerClient::rust_nostr();
        reader.connect(&relay.url()).await;
        let filters = json!([{ "ids": [has.id, has_not.id] }]);
        assert_eq!(reader.ask("fetch", json!({ "filters": filters })).await, json!([has]));
    }
    let mut judge = PeerClient::rust_nostr();
    let worked = judge.ask("pow", json!({ "event": event, "difficulty": DEMANDED })).await;
    assert_eq!(worked, json!({ "id_matches": true, "worked": true }));
    client.close().await;
}

#[tokio::test]
async fn without_the_setting_a_refusal_for_work_stays_a_refusal() {
    let _turn = turn::beside_others().await;
    let strict = Relay::local_with_pow(DEMANDED).await;
    let author = Author::new();
    let client = client(&author, &[&strict], |_| {}).await;
    let report = publish(&client, &lazy_note(&author)).await;
    assert_eq!(report.accepted(), 0, "{report:?}");
    assert!(report.receipts[0].message.starts_with("pow:"), "{report:?}");
    assert_eq!(report.remined, None);
    client.close().await;
}

#[tokio::test]
async fn what_is_demanded_beyond_the_limit_or_for_another_author_is_not_mined() {
    let _turn = turn::beside_others().await;
    let strict = Relay::local_with_pow(DEMANDED).await;
    let (author, other) = (Author::new(), Author::new());
    let client = client(&author, &[&strict], |config| {
        config.miner.remine = Remine::Refused;
        config.miner.remine_max_bits = u16::from(DEMANDED) - 1;
    })
    .await;
    for note in [lazy_note(&author), lazy_note(&other)] {
        let report = publish(&client, &note).await;
        assert_eq!(report.accepted(), 0, "{report:?}");
        let remined = report.remined.expect("why nothing was mined");
        assert!(matches!(remined.result, RemineResult::NotTried { .. }), "{remined:?}");
    }
    client.close().await;
}
