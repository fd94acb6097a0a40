//! The control: the peers understand each other without us. When this fails, look at them first.

use nipworker_tests::{
    events::Author,
    peer::PeerClient,
    place::real_events,
    relay::{Relay, Scripted, nobody},
    socket::Socket,
    turn,
};
use serde_json::json;

async fn each_client_reads_what_the_other_wrote(relay: &Relay) {
    let mut tools = PeerClient::nostr_tools();
    let mut rust = PeerClient::rust_nostr();
    tools.connect(&relay.url()).await;
    rust.connect(&relay.url()).await;
    tools.subscribe("live", json!([{ "kinds": [1], "#t": ["control"] }])).await;
    assert!(tools.stored("live").await.is_empty());

    let written = json!({ "kind": 1, "content": "ü\n\"", "tags": [["t", "control"]] });
    let event = rust.make(written.clone()).await;
    assert_eq!(rust.publish(&event).await, (true, String::new()));
    assert_eq!(tools.live("live").await["id"], event["id"]);

    let event = tools.make(written).await;
    assert!(tools.publish(&event).await.0);
    let filters = json!({ "filters": [{ "ids": [event["id"]] }] });
    assert_eq!(rust.ask("fetch", filters).await[0]["id"], event["id"]);

    let mut forged = event.clone();
    forged["content"] = "another".into();
    let (accepted, reason) = tools.publish(&forged).await;
    assert!(!accepted && reason.starts_with("invalid:"), "{reason}");
}

#[tokio::test]
async fn nostr_tools_and_rust_nostr_understand_each_other_through_a_local_relay() {
    let _turn = turn::beside_others().await;
    each_client_reads_what_the_other_wrote(&Relay::local().await).await;
}

#[tokio::test]
async fn nostr_tools_and_rust_nostr_understand_each_other_through_nostr_rs_relay() {
    let _turn = turn::beside_others().await;
    each_client_reads_what_the_other_wrote(&Relay::nostr_rs().await).await;
}

#[tokio::test]
async fn nostr_rs_relay_keeps_its_events_over_a_kill_and_the_real_events_are_good_for_it() {
    let _turn = turn::beside_others().await;
    let mut relay = Relay::nostr_rs().await;
    let mut socket = Socket::open(&relay.url()).await;
    let events = real_events();
    for event in &events[..50] {
        let (accepted, reason) = socket.publish(&event.to_json()).await;
        assert!(accepted, "{}: {reason}", event.id);
    }
    relay.kill();
    assert!(Socket::try_open(&relay.url()).await.is_none());
    relay.start().await;
    let kept = Socket::open(&relay.url()).await.fetch(&json!({ "limit": 1000 })).await;
    assert_eq!(kept.len(), 50);
}

#[tokio::test]
async fn the_relays_that_refuse_do_so_with_a_reason_and_the_silent_ones_say_nothing() {
    let _turn = turn::beside_others().await;
    let (author, other) = (Author::new(), Author::new());
    let event = author.note("refused").to_json();

    let refusing = Relay::local_refusing("not today").await;
    let (accepted, reason) = Socket::open(&refusing.url()).await.publish(&event).await;
    assert!(!accepted && reason.contains("not today"), "{reason}");

    let listed = Relay::nostr_rs_for(&[other.key()]).await;
    let mut socket = Socket::open(&listed.url()).await;
    let (accepted, reason) = socket.publish(&event).await;
    assert!(!accepted && reason.starts_with("blocked:"), "{reason}");
    assert!(socket.publish(&other.note("accepted").to_json()).await.0);

    let mut silence = Scripted::start().await;
    let mut socket = Socket::open(&silence.url()).await;
    socket.say(&json!(["REQ", "a", {}])).await;
    let heard = silence.hear("REQ").await;
    assert_eq!(heard.frame, json!(["REQ", "a", {}]));
    heard.answer(&json!(["EOSE", "a"]));
    assert_eq!(socket.hear().await, json!(["EOSE", "a"]));
    assert!(Socket::try_open(&nobody()).await.is_none());
}
