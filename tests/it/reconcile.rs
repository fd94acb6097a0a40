//! Clients that reconcile (NIP-77) with the daemon's gateway: rust-nostr's, our own, and rude ones.

use std::fmt::Write;

use nipworker_core::{
    ClientConfig, NostrClient, SyncDirection, SyncHow, SyncOptions,
    protocol::{Event, Filter, RelayUrl},
};
use nipworker_tests::{
    daemon::{Daemon, Home},
    events::{Author, now},
    peer::PeerClient,
    socket::Socket,
    turn,
};
use serde_json::{Value, json};

/// The newest first, a second apart.
fn notes(author: &Author, number: i64) -> Vec<Event> {
    let newest = now();
    (0..number).map(|n| author.event(1, vec![], &format!("note {n}"), newest - n)).collect()
}

fn import(home: &Home, events: &[Event]) {
    let texts: Vec<String> = events.iter().map(Event::to_json).collect();
    let imported = home.run(&["import", "-"], &texts.join("\n"));
    assert_eq!(imported.code, Some(0), "{}", imported.stderr);
}

async fn count(daemon: &Daemon, author: &Author) -> Value {
    let mut socket = Socket::open(&daemon.url()).await;
    socket.say(&json!(["COUNT", "c", { "authors": [author.key()] }])).await;
    socket.hear_one_of(&["COUNT"]).await[2]["count"].clone()
}

fn config(home: &Home, text: &str) -> String {
    let file = home.path().join("reconcile.toml");
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}

#[tokio::test]
async fn rust_nostr_and_the_daemon_exchange_only_what_the_other_lacks() {
    let _turn = turn::beside_others().await;
    let home = Home::new();
    let author = Author::new();
    let all = notes(&author, 300);
    import(&home, &all[..250]);
    let daemon = home.daemon(&[]).await;
    let mut client = PeerClient::rust_nostr();
    let held: Vec<Value> =
        all[200..].iter().map(|it| serde_json::from_str(&it.to_json()).unwrap()).collect();
    let filter = json!({ "authors": [author.key()] });
    let request = json!({ "url": daemon.url(), "held": held, "filter": filter });
    let summary = client.ask("sync", request).await;
    assert_eq!(
        (&summary["failed"], &summary["received"], &summary["sent"]),
        (&json!([]), &json!(200), &json!(50)),
        "{summary}"
    );
    assert_eq!(count(&daemon, &author).await, 300);
}

#[tokio::test]
async fn our_own_client_reconciles_with_the_daemon_through_a_kept_set_and_without() {
    let _turn = turn::beside_others().await;
    let home = Home::new();
    let author = Author::new();
    let all = notes(&author, 1_200);
    import(&home, &all[..1_000]);
    let kept = config(&home, "[engine.store]\nkept_filters = [{ kinds = [1] }]\n");
    let daemon = home.daemon(&["--config", &kept]).await;
    let client = NostrClient::new(ClientConfig::default()).await.unwrap();
    client.import(all[600..].iter().map(Event::to_json).collect()).await.unwrap();
    let url = RelayUrl::parse(&daemon.url()).unwrap();
    for (filter, needed) in [
        // Kept; a part of what is kept; not kept.
        (Filter::new().kinds([1]).since(all[500].created_at), 501),
        (Filter::new().kinds([1]), 99),
        (Filter::new().authors([author.key()]), 0),
    ] {
        let options = SyncOptions {
            relays: Some(vec![url.clone()]),
            direction: SyncDirection::Both,
            ..SyncOptions::default()
        };
        let reports = client.sync(filter.clone(), options).unwrap().reports().await;
        let report = &reports[0];
        assert_eq!((report.how, report.failure.as_ref()), (SyncHow::Negentropy, None));
        assert_eq!(report.needed, needed, "{filter:?}: {report:?}");
        assert!(report.is_complete(), "{report:?}");
    }
    assert_eq!(count(&daemon, &author).await, 1_200);
    assert_eq!(client.count(vec![Filter::new()]).await.unwrap(), 1_200);
    client.close().await;
}

/// The first message of a client that has nothing: "what do you have?"
const EVERYTHING: &str = "6100000200";

async fn refusal(socket: &mut Socket, frame: Value) -> String {
    socket.say(&frame).await;
    let answer = socket.hear_one_of(&["NEG-ERR", "NEG-MSG"]).await;
    assert_eq!((&answer[0], &answer[1]), (&json!("NEG-ERR"), &frame[1]), "{answer}");
    answer[2].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn rude_clients_are_told_what_is_wrong_and_the_others_are_served() {
    let _turn = turn::beside_others().await;
    let home = Home::new();
    import(&home, &notes(&Author::new(), 20));
    let limits =
        config(&home, "[gateway.websocket]\nmax_reconciliations = 2\nmax_reconciled_events = 10\n");
    let daemon = home.daemon(&["--config", &limits]).await;
    let mut socket = Socket::open(&daemon.url()).await;
    let open = |name: &str, limit: u64| json!(["NEG-OPEN", name, { "limit": limit }, EVERYTHING]);
    for (frame, reason) in [
        (json!(["NEG-OPEN", "a", {}, EVERYTHING]), "blocked: this query is too big"),
        (json!(["NEG-OPEN", "a", { "limit": 5 }, "61000003"]), "invalid: "),
        (json!(["NEG-OPEN", "a", { "kinds": "x" }, "61"]), "invalid: "),
        (json!(["NEG-MSG", "never", "61"]), "closed: "),
        (json!(["NEG-MSG", "never", "6"]), "invalid: "),
    ] {
        let told = refusal(&mut socket, frame.clone()).await;
        assert!(told.starts_with(reason), "{frame}: {told}");
    }
    for name in ["a", "b", "a"] {
        socket.say(&open(name, 5)).await;
        let answer = socket.hear_one_of(&["NEG-MSG", "NEG-ERR"]).await;
        assert_eq!((&answer[0], &answer[1]), (&json!("NEG-MSG"), &json!(name)), "{answer}");
    }
    let told = refusal(&mut socket, open("c", 5)).await;
    assert!(told.starts_with("blocked: 2 reconciliations are open"), "{told}");
    // A place that is given back is there for the next.
    socket.say(&json!(["NEG-CLOSE", "b"])).await;
    socket.say(&open("c", 5)).await;
    assert_eq!(socket.hear_one_of(&["NEG-MSG", "NEG-ERR"]).await[0], "NEG-MSG");
    // Rubbish after a good beginning ends only that one.
    let mut rubbish = String::from("61");
    (0..40).for_each(|n| write!(rubbish, "{:02x}", n * 7 % 256).unwrap());
    refusal(&mut socket, json!(["NEG-MSG", "a", rubbish])).await;
    assert!(Socket::open(&daemon.url()).await.fetch(&json!({})).await.len() == 20);
}

#[tokio::test]
async fn a_daemon_that_offers_no_reconciliations_says_so_and_does_not_advertise_them() {
    let _turn = turn::beside_others().await;
    let home = Home::new();
    let none = config(&home, "[gateway.websocket]\nmax_reconciliations = 0\n");
    for (arguments, offers) in [(vec!["--config", none.as_str()], false), (vec![], true)] {
        let daemon = home.daemon(&arguments).await;
        let mut tools = PeerClient::nostr_tools();
        let document = tools.ask("nip11", json!({ "url": daemon.url() })).await;
        let nips = document["supported_nips"].as_array().unwrap();
        assert_eq!(nips.contains(&json!(77)), offers, "{nips:?}");
        let mut socket = Socket::open(&daemon.url()).await;
        socket.say(&json!(["NEG-OPEN", "a", {}, EVERYTHING])).await;
        let answer = socket.hear_one_of(&["NEG-ERR", "NEG-MSG"]).await;
        assert_eq!(answer[0] == "NEG-MSG", offers, "{answer}");
    }
}
