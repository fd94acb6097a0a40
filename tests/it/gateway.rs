//! Clients by others use the daemon's gateway as their relay.

use nipworker_tests::{daemon::Home, http, peer::PeerClient, socket::Socket, turn};
use serde_json::{Value, json};

const ACCEPTED: (bool, String) = (true, String::new());

fn note(content: &str) -> Value {
    json!({ "kind": 1, "content": content, "tags": [["t", "gateway"]] })
}

#[tokio::test]
async fn nostr_tools_publishes_and_another_nostr_tools_gets_stored_and_live_events() {
    let _turn = turn::beside_others().await;
    let home = Home::new();
    let daemon = home.daemon(&[]).await;
    let (mut writer, mut reader) = (PeerClient::nostr_tools(), PeerClient::nostr_tools());
    writer.connect(&daemon.url()).await;
    reader.connect(&daemon.url()).await;

    let stored = writer.make(note("stored \u{1f980} \"\\\n\u{8}\u{c}\u{1}")).await;
    assert_eq!(writer.publish(&stored).await, ACCEPTED);
    let (accepted, text) = writer.publish(&stored).await;
    assert!(accepted && text.starts_with("duplicate:"), "{text}");

    reader.subscribe("s", json!([{ "#t": ["gateway"] }])).await;
    assert_eq!(json!(reader.stored("s").await), json!([stored]));
    let live = writer.make(note("live")).await;
    assert_eq!(writer.publish(&live).await, ACCEPTED);
    assert_eq!(reader.live("s").await, live);

    let filters = json!({ "filters": [{ "authors": [stored["pubkey"]] }] });
    assert_eq!(reader.ask("count", filters.clone()).await, 2);
    assert_eq!(reader.ask("fetch", filters).await.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn nostr_tools_is_told_invalid_for_each_way_to_forge_an_event() {
    let _turn = turn::beside_others().await;
    let home = Home::new();
    let daemon = home.daemon(&[]).await;
    let mut client = PeerClient::nostr_tools();
    client.connect(&daemon.url()).await;
    let (good, other) = (client.make(note("good")).await, client.make(note("other")).await);
    for (field, value) in [
        ("sig", other["sig"].clone()),
        ("id", other["id"].clone()),
        ("content", "another".into()),
        ("created_at", 1.into()),
        ("kind", 7.into()),
        ("tags", json!([])),
        ("pubkey", "00".repeat(32).into()),
    ] {
        let mut forged = good.clone();
        forged[field] = value;
        let (accepted, reason) = client.publish(&forged).await;
        assert!(!accepted && reason.starts_with("invalid:"), "{field}: {accepted} {reason}");
    }
    let none = client.ask("count", json!({ "filters": [{}] })).await;
    assert_eq!(none, 0, "a forged event was stored");
    assert_eq!(client.publish(&good).await, ACCEPTED, "a forgery must not block the true event");
}

#[tokio::test]
async fn nostr_tools_reads_an_information_document_that_says_what_is_enforced() {
    let _turn = turn::beside_others().await;
    let home = Home::new();
    let daemon = home.daemon(&[]).await;
    let mut client = PeerClient::nostr_tools();
    let document = client.ask("nip11", json!({ "url": daemon.url() })).await;
    let nips = document["supported_nips"].as_array().unwrap();
    for nip in [1, 9, 11, 40, 45] {
        assert!(nips.contains(&nip.into()), "NIP-{nip} is missing in {document}");
    }

    let limit = document["limitation"]["max_subid_length"].as_u64().unwrap() as usize;
    let mut socket = Socket::open(&daemon.url()).await;
    for (length, answer) in [(limit, "EOSE"), (limit + 1, "CLOSED")] {
        let id = "x".repeat(length);
        socket.say(&json!(["REQ", id, { "limit": 1 }])).await;
        let frame = socket.hear_one_of(&["EOSE", "CLOSED", "NOTICE"]).await;
        assert!(frame[0] == answer || (frame[0] == "NOTICE" && answer == "CLOSED"), "{frame}");
    }
    let limit = document["limitation"]["max_subscriptions"].as_u64().unwrap();
    let mut socket = Socket::open(&daemon.url()).await;
    for number in 0..=limit {
        socket.say(&json!(["REQ", format!("s{number}"), { "limit": 1 }])).await;
        let expected = if number < limit { "EOSE" } else { "CLOSED" };
        assert_eq!(socket.hear_one_of(&["EOSE", "CLOSED"]).await[0], expected, "s{number}");
    }
}

#[tokio::test]
async fn after_close_nothing_comes_for_a_subscription_and_the_others_go_on() {
    let _turn = turn::beside_others().await;
    let home = Home::new();
    let daemon = home.daemon(&[]).await;
    let mut writer = PeerClient::nostr_tools();
    writer.connect(&daemon.url()).await;
    let mut socket = Socket::open(&daemon.url()).await;
    for name in ["closed", "open"] {
        socket.say(&json!(["REQ", name, { "kinds": [1] }])).await;
        assert_eq!(socket.hear().await, json!(["EOSE", name]));
    }
    socket.say(&json!(["CLOSE", "closed"])).await;
    // The answer to this COUNT is the proof that the CLOSE before it was read.
    socket.say(&json!(["COUNT", "fence", { "kinds": [1] }])).await;
    assert_eq!(socket.hear().await, json!(["COUNT", "fence", { "count": 0 }]));
    for number in 0..3 {
        let event = writer.make(note(&format!("after {number}"))).await;
        assert_eq!(writer.publish(&event).await, ACCEPTED);
        assert_eq!(socket.hear().await, json!(["EVENT", "open", event]));
    }
}

#[tokio::test]
async fn rust_nostr_publishes_fetches_and_gets_live_events_through_the_gateway() {
    let _turn = turn::beside_others().await;
    let home = Home::new();
    let daemon = home.daemon(&[]).await;
    let (mut writer, mut reader) = (PeerClient::rust_nostr(), PeerClient::rust_nostr());
    writer.connect(&daemon.url()).await;
    reader.connect(&daemon.url()).await;

    let stored = writer.make(note("stored \u{1f980}")).await;
    assert_eq!(writer.publish(&stored).await, ACCEPTED);
    let fetched = reader.ask("fetch", json!({ "filters": [{ "ids": [stored["id"]] }] })).await;
    assert_eq!(fetched, json!([stored]));

    reader.subscribe("s", json!([{ "kinds": [1], "authors": [stored["pubkey"]] }])).await;
    assert_eq!(reader.stored("s").await.len(), 1);
    let live = writer.make(note("live")).await;
    assert_eq!(writer.publish(&live).await, ACCEPTED);
    assert_eq!(reader.live("s").await, live);
}

#[tokio::test]
async fn what_one_library_deletes_or_replaces_is_gone_for_the_other() {
    let _turn = turn::beside_others().await;
    let home = Home::new();
    let daemon = home.daemon(&[]).await;
    let (mut tools, mut rust) = (PeerClient::nostr_tools(), PeerClient::rust_nostr());
    tools.connect(&daemon.url()).await;
    rust.connect(&daemon.url()).await;

    let event = tools.make(note("to be deleted")).await;
    assert_eq!(tools.publish(&event).await, ACCEPTED);
    let deletion = tools.make(json!({ "kind": 5, "tags": [["e", event["id"]]] })).await;
    assert_eq!(tools.publish(&deletion).await, ACCEPTED);
    let by_id = json!({ "filters": [{ "ids": [event["id"]] }] });
    assert_eq!(rust.ask("fetch", by_id).await, json!([]));
    assert!(!tools.publish(&event).await.0, "a deleted event came back");

    let profile = |name: &str, at: i64| json!({ "kind": 0, "content": name, "created_at": at });
    let (new, old) =
        (rust.make(profile("new", 2_000)).await, rust.make(profile("old", 1_000)).await);
    assert_eq!(rust.publish(&new).await, ACCEPTED);
    assert!(!rust.publish(&old).await.0, "an older profile was accepted after a newer one");
    let profiles = json!({ "filters": [{ "kinds": [0], "authors": [new["pubkey"]] }] });
    assert_eq!(tools.ask("fetch", profiles).await, json!([new]));
}

#[tokio::test]
async fn an_ephemeral_event_reaches_who_listens_and_nobody_later() {
    let _turn = turn::beside_others().await;
    let home = Home::new();
    let daemon = home.daemon(&[]).await;
    let (mut tools, mut rust) = (PeerClient::nostr_tools(), PeerClient::rust_nostr());
    tools.connect(&daemon.url()).await;
    rust.connect(&daemon.url()).await;
    tools.subscribe("now", json!([{ "kinds": [20_001] }])).await;
    assert!(tools.stored("now").await.is_empty());
    let event = rust.make(json!({ "kind": 20_001, "content": "typing" })).await;
    assert!(rust.publish(&event).await.0);
    assert_eq!(tools.live("now").await, event);
    tools.subscribe("later", json!([{ "kinds": [20_001] }])).await;
    assert!(tools.stored("later").await.is_empty());
}

#[tokio::test]
async fn the_http_face_and_the_websocket_face_show_one_store() {
    let _turn = turn::beside_others().await;
    let home = Home::new();
    let daemon = home.daemon(&[]).await;
    let mut client = PeerClient::nostr_tools();
    client.connect(&daemon.url()).await;
    client.subscribe("s", json!([{ "kinds": [1] }])).await;
    assert!(client.stored("s").await.is_empty());

    let event = client.make(note("by http")).await;
    let body = event.to_string();
    let json_type = "application/json";
    let posted =
        http::post(&daemon.address, "/api/v1/events", json_type, body.as_bytes()).await.unwrap();
    assert_eq!(posted.status, 200, "{}", posted.text());
    assert_eq!(client.live("s").await, event);

    let filter = json!({ "ids": [event["id"]] }).to_string();
    let found =
        http::post(&daemon.address, "/api/v1/query", json_type, filter.as_bytes()).await.unwrap();
    assert_eq!(found.json(), json!([event]));
    let path = format!("/api/v1/events/{}", event["id"].as_str().unwrap());
    assert_eq!(http::get(&daemon.address, &path).await.unwrap().json(), event);

    let mut forged = event;
    forged["content"] = "x".into();
    let body = forged.to_string();
    let refused =
        http::post(&daemon.address, "/api/v1/events", json_type, body.as_bytes()).await.unwrap();
    assert!((400..500).contains(&refused.status), "{}", refused.text());
    assert!(refused.json()["error"]["message"].as_str().unwrap().starts_with("invalid:"));
}
