//! `nipworker mine`, end to end: libraries by others check the work.

use std::time::Duration;

use nipworker_core::{ClientConfig, MineOptions, MiningOutcome, NostrClient};
use nipworker_tests::{
    daemon::Home, events::Author, peer::PeerClient, process::run, turn, wait::within,
};
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

/// Every thread is fed: of the time in which there was work, it spent at least so much on it.
const BUSY_PERCENT: f64 = 95.0;

#[tokio::test]
async fn the_figures_that_mine_prints_show_every_thread_busy_and_none_starved() {
    let _turn = turn::alone().await;
    let home = Home::new();
    let template = json!(Author::new().template(1, vec![], "fed", 1_700_000_000));
    let mined = home.run(
        &["mine", "-", "--difficulty", "21", "--threads", "2", "--json"],
        &template.to_string(),
    );
    assert_eq!(mined.code, Some(0), "{}", mined.stderr);
    let result: Value = serde_json::from_str(mined.stdout.trim()).unwrap();
    println!("{} attempts in {} s: {}", result["attempts"], result["seconds"], result["threads"]);
    let threads = result["threads"].as_array().unwrap();
    assert_eq!(threads.len(), 2);
    for thread in threads {
        assert_eq!(thread["starved_ms"], 0.0, "{thread}");
        // A thread that a lucky search ended before its first batch says nothing.
        if thread["batches"].as_u64().unwrap() > 10 {
            assert!(thread["busy_percent"].as_f64().unwrap() >= BUSY_PERCENT, "{thread}");
        }
    }
}

#[tokio::test]
async fn over_a_fixed_number_of_attempts_every_thread_is_busy_and_none_is_starved() {
    const ATTEMPTS: u64 = 20_000_000;
    let _turn = turn::alone().await;
    let mut config = ClientConfig::default();
    config.miner.threads = 2;
    let client = NostrClient::new(config).await.unwrap();
    let template = Author::new().template(1, vec![], "never found", 1_700_000_000);
    let options = MineOptions { max_attempts: Some(ATTEMPTS), ..MineOptions::default() };
    let job = client.mine_with(template, 256, options).await.unwrap();
    let outcome = within("the end of the job", Duration::from_secs(120), job.solved()).await;
    assert_eq!(outcome.unwrap(), MiningOutcome::Exhausted { attempts: ATTEMPTS });

    let pool = client.status().mining.pool.unwrap();
    assert_eq!(pool.threads.iter().map(|thread| thread.attempts).sum::<u64>(), ATTEMPTS);
    assert_eq!((pool.starved_ns, pool.starvation_events), (0, 0), "{pool:#?}");
    for thread in &pool.threads {
        let fed = (thread.busy_ns + thread.idle_with_job_ns) as f64;
        let busy = 100.0 * thread.busy_ns as f64 / fed;
        println!("thread {}: {busy:.2} % of {:.2} s, {thread:?}", thread.index, fed / 1e9);
        assert!(busy >= BUSY_PERCENT, "{busy} %: {thread:#?}");
        assert!(thread.attempts > ATTEMPTS / 5, "the work was not shared: {pool:#?}");
    }
    client.close().await;
}
