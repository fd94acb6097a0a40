//! A follow feed by relay lists (NIP-65), with relays of others.

use std::{collections::BTreeSet, fs};

use nipworker_protocol::{Event, Tag};
use nipworker_tests::{daemon::Home, events::Author, relay::Relay, socket::Socket, turn};
use serde_json::json;

async fn put(relay: &Relay, events: &[&Event]) {
    let mut socket = Socket::open(&relay.url()).await;
    for event in events {
        let (accepted, reason) = socket.publish(&event.to_json()).await;
        assert!(accepted, "{reason}");
    }
}

fn list(author: &Author, write: &Relay) -> Event {
    let tag = Tag::new(["r".to_owned(), write.url(), "write".to_owned()]);
    author.event(10_002, vec![tag], "", nipworker_tests::events::now())
}

#[tokio::test]
async fn a_follow_feed_asks_each_relay_only_for_the_authors_that_write_there() {
    let _turn = turn::beside_others().await;
    let (anna, ben) = (Author::new(), Author::new());
    let (at_a, at_b, home) = (Relay::local().await, Relay::local().await, Relay::local().await);
    let (by_anna, by_ben) = (anna.notes("anna", 3), ben.notes("ben", 3));
    // What would come if a relay were asked for somebody who does not write there.
    let (strays_of_anna, strays_of_ben) = (anna.note("stray"), ben.note("stray"));
    put(&at_a, &by_anna.iter().chain([&strays_of_ben]).collect::<Vec<_>>()).await;
    put(&at_b, &by_ben.iter().chain([&strays_of_anna]).collect::<Vec<_>>()).await;
    put(&home, &[&list(&anna, &at_a), &list(&ben, &at_b)]).await;

    let place = Home::new();
    let file = place.path().join("routing.toml");
    fs::write(&file, "[engine.routing]\nmode = \"outbox\"\nallow_private = true\n").unwrap();
    let daemon = place.daemon(&["--config", file.to_str().unwrap(), "--relay", &home.url()]).await;
    let mut reader = Socket::open(&daemon.url()).await;
    reader.say(&json!(["REQ", "feed", { "kinds": [1], "authors": [anna.key(), ben.key()] }])).await;
    let mut found = BTreeSet::new();
    loop {
        let frame = reader.hear_one_of(&["EVENT", "EOSE"]).await;
        if frame[0] == "EOSE" {
            break;
        }
        found.insert(frame[2]["id"].as_str().unwrap().to_owned());
    }
    let wanted: BTreeSet<String> =
        by_anna.iter().chain(&by_ben).map(|event| event.id.to_hex()).collect();
    assert_eq!(found, wanted);

    // Live as well, and what is published goes to where its author writes.
    let live = anna.note("live");
    put(&at_a, &[&live]).await;
    assert_eq!(reader.hear_one_of(&["EVENT"]).await[2]["id"], json!(live.id));
    let mut writer = Socket::open(&daemon.url()).await;
    let published = ben.note("published here");
    let (accepted, reason) = writer.publish(&published.to_json()).await;
    assert!(accepted, "{reason}");
    let mut there = Socket::open(&at_b.url()).await;
    there.say(&json!(["REQ", "x", { "ids": [published.id] }])).await;
    assert_eq!(there.hear_one_of(&["EVENT", "EOSE"]).await[0], "EVENT");
}
