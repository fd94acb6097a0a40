//! Syncs with relays of others: rust-nostr's, which speaks NIP-77, and nostr-rs-relay, which does
//! not; by the library, by the command, and through the daemon.

use std::time::{Duration, Instant};

use nipworker_core::{
    ClientConfig, NostrClient, ReconcileEnd, SyncDirection, SyncHow, SyncOptions, SyncReport,
    protocol::{Event, Filter, RelayUrl},
};
use nipworker_tests::{
    daemon::Home,
    events::{Author, now},
    relay::Relay,
    socket::Socket,
};
use serde_json::{Value, json};

async fn fill(relay: &Relay, events: &[Event]) {
    let mut socket = Socket::open(&relay.url()).await;
    for event in events {
        let (accepted, reason) = socket.publish(&event.to_json()).await;
        assert!(accepted, "{}: {reason}", event.id);
    }
}

/// How many notes of `author` the relay has, asked page by page: LocalRelay gives 500 at most.
async fn at_relay(relay: &Relay, author: &Author) -> usize {
    let mut socket = Socket::open(&relay.url()).await;
    let mut until = now() + 1;
    let mut number = 0;
    loop {
        let filter = json!({ "authors": [author.key()], "until": until, "limit": 500 });
        let page = socket.fetch(&filter).await;
        let Some(oldest) = page.iter().filter_map(|event| event["created_at"].as_i64()).min()
        else {
            return number;
        };
        number += page.len();
        // No two of these notes are of one second.
        until = oldest - 1;
    }
}

/// Notes of different times, so that pages have ends.
fn notes(author: &Author, number: i64) -> Vec<Event> {
    let begin = now() - number;
    (0..number).map(|n| author.event(1, vec![], &format!("note {n}"), begin + n)).collect()
}

async fn client_with(events: &[Event]) -> NostrClient {
    let client = NostrClient::new(ClientConfig::default()).await.unwrap();
    let texts = events.iter().map(Event::to_json).collect();
    let outcomes = client.import(texts).await.unwrap();
    assert!(outcomes.iter().all(|outcome| outcome.status.is_accepted()));
    client
}

async fn sync(client: &NostrClient, author: &Author, options: SyncOptions) -> SyncReport {
    let filter = Filter::new().authors([author.key()]);
    let mut reports = client.sync(filter, options).unwrap().reports().await;
    assert_eq!(reports.len(), 1);
    reports.remove(0)
}

fn options(relay: &Relay, direction: SyncDirection) -> SyncOptions {
    let url = RelayUrl::parse(&relay.url()).unwrap();
    SyncOptions { relays: Some(vec![url]), direction, ..SyncOptions::default() }
}

#[tokio::test]
async fn of_two_thousand_events_only_the_missing_thousand_travel() {
    let author = Author::new();
    let all = notes(&author, 2_050);
    let relay = Relay::local().await;
    fill(&relay, &all[..2_000]).await;
    let client = client_with(&all[1_000..]).await;
    let down = sync(&client, &author, options(&relay, SyncDirection::Down)).await;
    assert_eq!((down.how, down.failure), (SyncHow::Negentropy, None), "{down:?}");
    assert_eq!((down.had, down.needed), (1_050, 1_000));
    assert_eq!((down.fetched, down.stored, down.missing), (1_000, 1_000, 0), "{down:?}");
    let relays = client.status().relays;
    assert_eq!(relays[0].events, 1_000, "events that the relay sent");
    let up = sync(&client, &author, options(&relay, SyncDirection::Both)).await;
    assert_eq!((up.needed, up.lacked, up.sent, up.receipts.accepted), (0, 50, 50, 50), "{up:?}");
    assert!(up.is_complete());
    assert_eq!(at_relay(&relay, &author).await, 2_050);
    println!(
        "1,000 of 2,000: {} rounds, {} bytes out, {} bytes in, {} questions, {} ms",
        down.rounds, down.bytes_sent, down.bytes_received, down.questions, down.elapsed_ms
    );
    client.close().await;
}

#[tokio::test]
async fn a_relay_without_nip_77_is_read_within_its_idle_time() {
    let author = Author::new();
    let all = notes(&author, 700);
    let relay = Relay::nostr_rs().await;
    fill(&relay, &all[..650]).await;
    let client = client_with(&all[600..]).await;
    let idle = Duration::from_secs(2);
    let begin = Instant::now();
    let both = SyncOptions { idle, ..options(&relay, SyncDirection::Both) };
    let report = sync(&client, &author, both).await;
    let end = report.fell_back.as_ref().map(|why| why.0);
    assert!(
        matches!(end, Some(ReconcileEnd::Notice | ReconcileEnd::Silent)),
        "{end:?} after {:?}",
        begin.elapsed()
    );
    assert_eq!((report.how, report.failure), (SyncHow::Req, None), "{report:?}");
    assert_eq!((report.fetched, report.stored), (650, 600), "{report:?}");
    assert_eq!((report.lacked, report.receipts.accepted), (50, 50), "{report:?}");
    assert_eq!(at_relay(&relay, &author).await, 700);
    println!("nostr-rs-relay: {end:?}: {:?}", report.fell_back);
    client.close().await;
}

#[tokio::test]
async fn the_command_syncs_here_and_through_the_daemon() {
    let author = Author::new();
    let all = notes(&author, 60);
    let relay = Relay::local().await;
    fill(&relay, &all[..40]).await;
    let home = Home::new();
    let texts: Vec<String> = all[20..].iter().map(Event::to_json).collect();
    let imported = home.run(&["import", "-"], &texts.join("\n"));
    assert_eq!(imported.code, Some(0), "{}", imported.stderr);
    let filter = json!({ "authors": [author.key()] }).to_string();
    let url = relay.url();
    let run = |home: &Home, arguments: &[&str]| {
        let all = [&["sync", &filter, "--relay", &url, "--json"], arguments].concat();
        let done = home.run(&all, "");
        let report: Value = serde_json::from_str(done.stdout.trim()).unwrap_or_default();
        (done.code, report, done.stderr)
    };
    let (code, report, said) = run(&home, &[]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!((&report["how"], &report["stored"]), (&json!("negentropy"), &json!(20)));
    assert!(said.contains("comparing"), "{said}");
    let daemon = home.daemon(&[]).await;
    let (code, report, said) = run(&home, &["--direction", "both"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!((&report["sent"], &report["needed"]), (&json!(20), &json!(0)), "{report}");
    assert_eq!(at_relay(&relay, &author).await, 60);
    drop(daemon);
    let (code, _, said) = run(&home, &["--direction", "sideways"]);
    assert_eq!(code, Some(2), "{said}");
    let absent = home.run(&["sync", &filter, "--relay", "ws://127.0.0.1:9", "--json"], "");
    let report: Value = serde_json::from_str(absent.stdout.trim()).unwrap();
    assert_eq!((absent.code, &report["failure"]), (Some(1), &json!("not_connected")));
}
