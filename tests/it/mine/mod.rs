//! Mining, end to end: libraries by others check the work.

mod checked;
mod command;
mod feed;
mod http;
mod ledger;
mod remine;
mod tip5;

use std::time::Duration;

use nipworker_tests::{daemon::Home, events::Author, peer::PeerClient, process::run, turn};
use serde_json::{Value, json};

const BITS: u64 = 18;

async fn check(event: &Value) {
    let mut tools = PeerClient::nostr_tools();
    let by_tools = tools.ask("pow", json!({ "event": event })).await;
    assert_eq!(by_tools["id_matches"], true, "nostr-tools: {event}");
    assert!(by_tools["bits"].as_u64().unwrap() >= BITS, "nostr-tools: {by_tools}");
    let mut rust = PeerClient::rust_nostr();
    let by_rust = rust.ask("pow", json!({ "event": event, "difficulty": BITS })).await;
    assert_eq!(by_rust, json!({ "id_matches": true, "worked": true }), "rust-nostr: {event}");
    let nonce = event["tags"].as_array().unwrap().iter().find(|tag| tag[0] == "nonce").unwrap();
    assert_eq!(nonce[2], BITS.to_string(), "the tag commits to the difficulty that was asked");
}

#[tokio::test]
async fn a_mined_template_has_the_work_by_nostr_tools_and_by_rust_nostr() {
    let _turn = turn::beside_others().await;
    let home = Home::new();
    let template =
        json!(Author::new().template(1, vec![], "mined \u{1f980} \"\\\n", 1_700_000_000));
    let mined = home.run(
        &["mine", "-", "--difficulty", &BITS.to_string(), "--threads", "2"],
        &template.to_string(),
    );
    assert_eq!(mined.code, Some(0), "{}", mined.stderr);
    let event: Value = serde_json::from_str(mined.stdout.trim()).unwrap();
    for field in ["pubkey", "kind", "content"] {
        assert_eq!(event[field], template[field], "{field} was changed");
    }
    check(&event).await;
}

#[tokio::test]
async fn a_mined_and_signed_note_is_accepted_as_an_event_by_both_libraries() {
    let _turn = turn::beside_others().await;
    let home = Home::new();
    let key = home.run(&["key", "generate", "--json"], "");
    let key: Value = serde_json::from_str(key.stdout.trim()).unwrap();
    let nsec = key["nsec"].as_str().expect("key generate --json has nsec");
    let mut command = home.command();
    command.env("NIPWORKER_SIGNER__KEY", nsec);
    command.args(["mine", "--text", "hello", "--sign", "--difficulty", &BITS.to_string()]);
    let mined = run(command, "", Duration::from_secs(60));
    assert_eq!(mined.code, Some(0), "{}", mined.stderr);
    let event: Value = serde_json::from_str(mined.stdout.trim()).unwrap();
    check(&event).await;
    for mut peer in [PeerClient::nostr_tools(), PeerClient::rust_nostr()] {
        assert_eq!(peer.ask("verify", json!({ "event": event })).await, true);
    }
    assert!(!mined.stderr.contains(nsec), "the secret key was printed");
}
