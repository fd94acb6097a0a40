//! Events that must arrive: a relay that is away gets them when it is back, whatever happens to
//! the daemon meanwhile, and what is reported is what the relays themselves say.

use std::{fs, time::Duration};

use nipworker_protocol::Event;
use nipworker_tests::{
    daemon::{Daemon, Home},
    events::Author,
    http,
    relay::{Relay, Scripted},
    socket::Socket,
    turn,
    wait::eventually,
};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

async fn daemon(home: &Home, relays: &[String]) -> Daemon {
    let file = home.path().join("outbox-test.toml");
    let config = "[engine.connections]\nreconnect_min = \"100ms\"\nreconnect_max = \"200ms\"\n\
                  publish_deadline = \"2s\"\n\
                  [engine.outbox]\nretry_min = \"100ms\"\nretry_max = \"500ms\"\n";
    fs::write(&file, config).unwrap();
    let mut arguments = vec!["--config", file.to_str().unwrap()];
    for relay in relays {
        arguments.extend(["--relay", relay]);
    }
    home.daemon(&arguments).await
}

async fn queue(home: &Home, event: &Event) {
    let done = home.run(&["publish", "--durable", &event.to_json()], "");
    assert_eq!(done.code, Some(0), "{}{}", done.stdout, done.stderr);
    assert!(done.stdout.contains("queued"), "{}", done.stdout);
}

async fn entry(daemon: &Daemon, event: &Event) -> Value {
    let path = format!("/api/v1/outbox/{}", event.id);
    let answer = http::get(&daemon.address, &path).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// What is said of an event at a relay.
fn at<'a>(entry: &'a Value, relay: &str) -> &'a Value {
    let relays = entry["relays"].as_array().unwrap();
    relays.iter().find(|delivery| delivery["relay"] == relay).unwrap()
}

async fn finished(daemon: &Daemon, event: &Event) -> Value {
    eventually("every relay has decided", PATIENCE, async || {
        let entry = entry(daemon, event).await;
        entry["finished_at"].is_i64().then_some(entry)
    })
    .await
}

/// Whether a relay has an event, asked over a connection of our own.
async fn has(relay: &str, event: &Event) -> bool {
    let mut socket = Socket::open(relay).await;
    socket.say(&json!(["REQ", "has", { "ids": [event.id] }])).await;
    socket.hear_one_of(&["EVENT", "EOSE"]).await[0] == "EVENT"
}

#[tokio::test]
async fn a_relay_that_is_away_gets_the_event_over_kill_9_and_a_restart_of_the_daemon() {
    let _turn = turn::beside_others().await;
    let mut upstream = Relay::local().await;
    upstream.kill();
    let home = Home::new();
    let author = Author::new();
    let relays = [upstream.url()];
    let mut before = daemon(&home, &relays).await;
    let events = author.notes("must arrive", 5);
    for event in &events {
        queue(&home, event).await;
    }
    // Killed between the promise and the next try.
    before.process.kill();

    let after = daemon(&home, &relays).await;
    let status = after.status().await;
    assert_eq!(status["engine"]["outbox"]["recovered"], 5, "{}", status["engine"]["outbox"]);
    assert_eq!(at(&entry(&after, &events[0]).await, &relays[0])["state"], "waiting");
    upstream.start().await;
    for event in &events {
        let entry = finished(&after, event).await;
        assert_eq!(at(&entry, &relays[0])["state"], "accepted", "{entry}");
        assert!(has(&relays[0], event).await, "accepted is what the relay has");
    }
    let metrics = http::get(&after.address, "/metrics").await.unwrap().text();
    assert!(metrics.contains("nipworker_outbox_delivered_total 5"), "{metrics}");
    assert!(metrics.contains("nipworker_outbox_depth 0"), "{metrics}");
}

#[tokio::test]
async fn killed_between_an_event_and_its_answer_it_is_sent_again_and_is_there_once() {
    let _turn = turn::beside_others().await;
    let mut scripted = Scripted::start().await;
    let home = Home::new();
    let relays = [scripted.url()];
    let mut first = daemon(&home, &relays).await;
    let event = Author::new().note("in doubt");
    queue(&home, &event).await;
    let heard = scripted.hear("EVENT").await;
    assert_eq!(heard.frame[1]["id"], json!(event.id));
    assert_eq!(at(&entry(&first, &event).await, &relays[0])["state"], "waiting");
    first.process.kill();

    let second = daemon(&home, &relays).await;
    let again = scripted.hear("EVENT").await;
    assert_eq!(again.frame[1]["id"], json!(event.id));
    assert_eq!(at(&entry(&second, &event).await, &relays[0])["state"], "waiting");
    again.answer(&json!(["OK", event.id, false, "duplicate: have it"]));
    let entry = finished(&second, &event).await;
    assert_eq!(at(&entry, &relays[0])["state"], "accepted", "{entry}");
}

#[tokio::test]
async fn receipts_agree_with_what_the_relays_have() {
    let _turn = turn::beside_others().await;
    let takes = Relay::local().await;
    let refuses = Relay::local_refusing("not for you").await;
    let demands = Relay::local_with_pow(30).await;
    let home = Home::new();
    let relays = [takes.url(), refuses.url(), demands.url()];
    let daemon = daemon(&home, &relays).await;
    for event in Author::new().notes("receipts", 3) {
        queue(&home, &event).await;
        let entry = finished(&daemon, &event).await;
        for (relay, state) in relays.iter().zip(["accepted", "refused", "refused"]) {
            assert_eq!(at(&entry, relay)["state"], state, "{entry}");
            assert_eq!(has(relay, &event).await, state == "accepted", "{relay}");
        }
    }
}

#[tokio::test]
async fn an_event_is_listed_and_taken_back_over_http() {
    let _turn = turn::beside_others().await;
    let mut upstream = Relay::local().await;
    upstream.kill();
    let home = Home::new();
    let relays = [upstream.url()];
    let daemon = daemon(&home, &relays).await;
    let author = Author::new();
    let (kept, taken_back) = (author.note("kept"), author.note("taken back"));
    for event in [&kept, &taken_back] {
        let path = "/api/v1/events?durable=true";
        let body = event.to_json();
        let kind = "application/json";
        let answer = http::post(&daemon.address, path, kind, body.as_bytes()).await.unwrap();
        assert_eq!(answer.status, 202, "{}", answer.text());
        assert_eq!(answer.json()["queued"], true);
    }
    let head = format!("DELETE /api/v1/outbox/{} HTTP/1.1\r\n", taken_back.id);
    let answer = http::request(&daemon.address, &head, b"").await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let listed = http::get(&daemon.address, "/api/v1/outbox").await.unwrap().json();
    assert_eq!(listed["events"].as_array().unwrap().len(), 2);
    assert_eq!(listed["events"][0]["event"], json!(kept.id), "what waits comes first");
    let wrong = http::get(&daemon.address, "/api/v1/outbox/xyz").await.unwrap();
    assert_eq!(wrong.status, 400);

    upstream.start().await;
    finished(&daemon, &kept).await;
    assert!(has(&relays[0], &kept).await);
    assert!(!has(&relays[0], &taken_back).await);
    assert_eq!(at(&entry(&daemon, &taken_back).await, &relays[0])["state"], "cancelled");
    let shown = home.run(&["status"], "");
    assert!(shown.stdout.contains("outbox: 0 events wait"), "{}", shown.stdout);
}
