//! The daemon as a user runs it: started by the README's words, stopped, killed, and cut off.

use std::{
    collections::HashSet,
    fs,
    time::{Duration, Instant},
};

use nipworker_tests::{
    cost::Cost,
    daemon::Home,
    events::Author,
    place::{real_event_lines, repository},
    process::Process,
    relay::{Relay, Scripted},
    socket::Socket,
    turn,
    wait::eventually,
};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

/// The issue's limits.
const READY: Duration = Duration::from_secs(2);
const RSS_BYTES: u64 = 100 * 1024 * 1024;

/// The first command in a block of code of the README.
fn first_command_of_the_readme() -> String {
    let readme = fs::read_to_string(repository().join("README.md")).expect("there is a README.md");
    let block = readme.split("```").nth(1).expect("the README has a block of code");
    block
        .lines()
        .skip(1)
        .map(|line| line.trim_start_matches("$ ").trim())
        .find(|line| line.starts_with("cargo "))
        .expect("the first block of code has a command of cargo")
        .to_owned()
}

#[tokio::test]
async fn the_first_command_of_the_readme_is_ready_in_2_s_and_stays_under_100_mb() {
    let _turn = turn::alone().await;
    let command = first_command_of_the_readme();
    assert!(command.starts_with("cargo run"), "{command}");
    // What comes after `--` is for nipworker; the build is cargo's and has been done.
    let words = command.split('#').next().unwrap_or_default();
    let own: Vec<&str> = words.split_whitespace().skip_while(|w| *w != "--").skip(1).collect();

    let home = Home::new();
    let mut daemon = home.daemon(&own).await;
    println!("ready after {:?}", daemon.ready_after);
    assert!(daemon.ready_after < READY, "ready after {:?}", daemon.ready_after);
    let status = daemon.status().await;
    assert_eq!(status["engine"]["relays"], json!([]), "embedded defaults must not know a relay");

    let lines = real_event_lines().join("\n");
    let imported = home.run(&["import", "-"], &lines);
    assert_eq!(imported.code, Some(0), "{}", imported.stderr);
    let found = home.run(&["count", "{}"], "");
    assert_eq!(found.stdout.trim(), "544", "{}", found.stderr);
    let cost = Cost::of(daemon.process.id());
    println!("with 544 events: {cost:?}");
    assert!(cost.rss_bytes < RSS_BYTES, "{cost:?}");

    daemon.process.signal(libc::SIGTERM);
    assert_eq!(daemon.process.exit(Duration::from_secs(10)).code(), Some(0));
}

#[tokio::test]
async fn sigterm_lets_a_publish_in_flight_have_its_answer_and_exits_0() {
    let _turn = turn::beside_others().await;
    let mut upstream = Scripted::start().await;
    let home = Home::new();
    let mut daemon = home.daemon(&["--relay", &upstream.url()]).await;
    let mut socket = Socket::open(&daemon.url()).await;
    let event = Author::new().note("in flight");
    socket.say(&json!(["EVENT", event])).await;
    let heard = upstream.hear("EVENT").await;

    daemon.process.signal(libc::SIGTERM);
    let url = daemon.url();
    eventually("the daemon takes no new connection", Duration::from_secs(5), async || {
        // Whoever comes now is refused, or waits at a door that does not open any more.
        match tokio::time::timeout(Duration::from_millis(500), Socket::try_open(&url)).await {
            Ok(Some(_)) => None,
            Ok(None) | Err(_) => Some(()),
        }
    })
    .await;
    heard.answer(&json!(["OK", event.id, true, ""]));
    let verdict = socket.hear_one_of(&["OK"]).await;
    assert_eq!(verdict[1], json!(event.id));
    assert_eq!(verdict[2], true, "{verdict}");
    assert_eq!(daemon.process.exit(Duration::from_secs(15)).code(), Some(0));

    let kept = home.run(&["export"], "");
    assert!(kept.stdout.contains(&event.id.to_hex()), "the published event is gone");
}

#[tokio::test]
async fn a_second_signal_ends_the_daemon_at_once_whatever_is_in_flight() {
    let _turn = turn::beside_others().await;
    let mut upstream = Scripted::start().await;
    let home = Home::new();
    let mut daemon = home.daemon(&["--relay", &upstream.url()]).await;
    let mut socket = Socket::open(&daemon.url()).await;
    socket.say(&json!(["EVENT", Author::new().note("never answered")])).await;
    // The upstream heard it and stays silent: the publish is in flight until its deadline.
    upstream.hear("EVENT").await;

    daemon.process.signal(libc::SIGTERM);
    let url = daemon.url();
    eventually("the first signal was taken", Duration::from_secs(5), async || {
        match Socket::try_open(&url).await {
            Some(_) => None,
            None => Some(()),
        }
    })
    .await;
    assert!(daemon.process.is_running(), "the publish in flight was not waited for");
    let second = Instant::now();
    daemon.process.signal(libc::SIGTERM);
    let status = daemon.process.exit(Duration::from_secs(1));
    println!("ended {:?} after the second signal", second.elapsed());
    assert_eq!(status.code(), Some(128 + libc::SIGTERM));
}

/// Publishes events one behind the other without waiting, and collects the ids with an `OK true`
/// until so many are there or the daemon is gone.
async fn publish_until(socket: &mut Socket, events: &[Value], enough: usize) -> HashSet<String> {
    let mut accepted = HashSet::new();
    let mut to_send = events.iter();
    // So many are on their way at a time.
    for event in to_send.by_ref().take(32) {
        socket.say(&json!(["EVENT", event])).await;
    }
    while accepted.len() < enough {
        let Some(Message::Text(text)) = socket.message().await else { break };
        let frame: Value = serde_json::from_str(text.as_str()).unwrap();
        if frame[0] == "OK" {
            assert_eq!(frame[2], true, "{frame}");
            accepted.insert(frame[1].as_str().unwrap().to_owned());
            let Some(event) = to_send.next() else { continue };
            if !socket.send(Message::text(json!(["EVENT", event]).to_string())).await {
                break;
            }
        }
    }
    accepted
}

#[tokio::test]
async fn every_event_with_an_ok_true_is_there_after_kill_9_of_the_daemon() {
    let _turn = turn::beside_others().await;
    let author = Author::new();
    let home = Home::new();
    let mut promised = HashSet::new();
    for round in 0..3 {
        let mut daemon = home.daemon(&[]).await;
        let mut socket = Socket::open(&daemon.url()).await;
        let events: Vec<Value> = author
            .notes(&format!("round {round}"), 600)
            .into_iter()
            .map(|event| json!(event))
            .collect();
        let accepted = publish_until(&mut socket, &events, 200).await;
        assert!(accepted.len() >= 200, "only {} were accepted", accepted.len());
        promised.extend(accepted);
        daemon.process.kill();
    }
    let kept = home.run(&["export"], "");
    assert_eq!(kept.code, Some(0), "{}", kept.stderr);
    let kept: HashSet<String> = ids(&kept.stdout);
    let lost: Vec<_> = promised.difference(&kept).collect();
    assert!(lost.is_empty(), "{} of {} are lost: {lost:?}", lost.len(), promised.len());
}

fn ids(lines: &str) -> HashSet<String> {
    lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"))
        .map(|event| event["id"].as_str().expect("an event").to_owned())
        .collect()
}

#[tokio::test]
async fn every_event_that_import_reported_is_there_after_kill_9_of_the_import() {
    let _turn = turn::beside_others().await;
    let home = Home::new();
    let author = Author::new();
    let lines: Vec<String> = author.notes("import", 6_000).iter().map(|e| e.to_json()).collect();
    let file = home.path().join("events.jsonl");
    fs::write(&file, lines.join("\n")).unwrap();

    let mut command = home.command();
    command.arg("import").arg(&file).arg("--json");
    let mut import = Process::start(command);
    let mut promised = HashSet::new();
    while promised.len() < 1_500 {
        let line = import.line(Duration::from_secs(20)).unwrap_or_else(|| {
            panic!("import ended after {} outcomes: {}", promised.len(), import.stderr())
        });
        let outcome: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(outcome["accepted"], true, "{line}");
        promised.insert(outcome["id"].as_str().unwrap().to_owned());
    }
    assert!(import.is_running(), "the import was over before it could be killed");
    import.kill();
    // What it had printed before the kill is promised as well.
    while let Some(line) = import.line(Duration::from_millis(100)) {
        let Ok(outcome) = serde_json::from_str::<Value>(&line) else { break };
        promised.extend(outcome["id"].as_str().map(str::to_owned));
    }

    let kept = ids(&home.run(&["export"], "").stdout);
    let lost = promised.difference(&kept).count();
    assert_eq!(lost, 0, "{lost} of {} reported events are lost", promised.len());
    let again = home.run(&["import", file.to_str().unwrap()], "");
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    let all = home.run(&["count", "{}"], "");
    assert_eq!(all.stdout.trim(), "6000");
}

#[tokio::test]
async fn an_upstream_relay_that_is_killed_and_comes_back_is_used_again() {
    let _turn = turn::beside_others().await;
    let mut upstream = Relay::nostr_rs().await;
    let author = Author::new();
    let home = Home::new();
    let daemon = home.daemon(&["--relay", &upstream.url()]).await;
    let mut reader = Socket::open(&daemon.url()).await;
    reader.say(&json!(["REQ", "s", { "authors": [author.key()] }])).await;
    assert_eq!(reader.hear().await, json!(["EOSE", "s"]));

    let before = author.note("before");
    assert!(Socket::open(&upstream.url()).await.publish(&before.to_json()).await.0);
    assert_eq!(reader.hear().await, json!(["EVENT", "s", before]));

    upstream.kill();
    let mut writer = Socket::open(&daemon.url()).await;
    let (accepted, reason) = writer.publish(&author.note("meanwhile").to_json()).await;
    assert!(!accepted && reason.contains("not connected"), "{accepted} {reason}");
    assert_eq!(reader.hear().await[2]["content"], "meanwhile 1", "it is stored here all the same");

    upstream.start().await;
    let after = author.note("after");
    assert!(Socket::open(&upstream.url()).await.publish(&after.to_json()).await.0);
    assert_eq!(reader.hear().await, json!(["EVENT", "s", after]));
    eventually("a publish reaches the upstream again", Duration::from_secs(30), async || {
        let (accepted, _) = writer.publish(&author.note("again").to_json()).await;
        accepted.then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_status_command_shows_the_tree_of_a_running_daemon_and_says_when_there_is_none() {
    let _turn = turn::beside_others().await;
    let home = Home::new();
    let none = home.run(&["status"], "");
    assert_eq!(none.code, Some(1));
    assert!(!none.stderr.is_empty());

    let daemon = home.daemon(&[]).await;
    let shown = home.run(&["status"], "");
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    for worker in ["connections", "parser", "crypto", "cache", "miner"] {
        assert!(shown.stdout.contains(worker), "{worker} is missing in\n{}", shown.stdout);
    }
    let json = home.run(&["status", "--json"], "");
    let status: Value = serde_json::from_str(json.stdout.trim()).unwrap();
    assert!(status["engine"]["supervisor"]["children"].is_array(), "{status}");
    drop(daemon);
}
