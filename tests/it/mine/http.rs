//! Mining over HTTP, against the shipped binary.

use std::time::Duration;

use nipworker_tests::{
    daemon::{Daemon, Home},
    events::Author,
    http::{self, Answer},
    turn,
    wait::eventually,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const END: Duration = Duration::from_secs(60);

async fn post(daemon: &Daemon, body: &Value) -> Answer {
    let body = body.to_string();
    http::post(&daemon.address, "/api/v1/mine", "application/json", body.as_bytes()).await.unwrap()
}

async fn get(daemon: &Daemon, path: &str) -> Answer {
    http::get(&daemon.address, path).await.unwrap()
}

async fn delete(daemon: &Daemon, path: &str) -> Answer {
    http::request(&daemon.address, &format!("DELETE {path} HTTP/1.1\r\n"), b"").await.unwrap()
}

fn event(about: &str) -> Value {
    json!(Author::new().template(1, vec![], about, 1_700_000_000))
}

/// Starts a job and returns its number and its path.
async fn start(daemon: &Daemon, body: Value) -> (Value, String) {
    let answer = post(daemon, &body).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let job = answer.json();
    let path = job["links"]["self"].as_str().expect("where to look").to_owned();
    assert!(
        answer.head.to_ascii_lowercase().contains(&format!("location: {path}")),
        "{}",
        answer.head
    );
    (job["job"].clone(), path)
}

/// The server-sent events of a stream: name and data.
fn events(stream: &Answer) -> Vec<(String, Value)> {
    assert!(stream.head.to_ascii_lowercase().contains("text/event-stream"), "{}", stream.head);
    let field = |block: &str, name: &str| {
        block.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
    };
    stream
        .text()
        .split("\n\n")
        .filter_map(|block| Some((field(block, "event:")?, field(block, "data:")?)))
        .map(|(name, data)| (name, serde_json::from_str(&data).expect("data is JSON")))
        .collect()
}

#[tokio::test]
async fn work_for_somebody_elses_event_is_given_back_as_id_and_nonce() {
    let _turn = turn::beside_others().await;
    let daemon = Home::new().daemon(&[]).await;
    let event = event("of a key that the daemon does not have");
    let (_, path) = start(&daemon, json!({ "event": event, "difficulty_bits": 18 })).await;
    let job = eventually("the mined event", END, async || {
        Some(get(&daemon, &path).await.json()).filter(|job| job["state"] == "ended")
    })
    .await;
    let outcome = &job["outcome"];
    assert_eq!(outcome["outcome"], "found", "{job}");
    let mined = &outcome["event"];
    assert_eq!(outcome["id"], mined["id"]);
    let tags = mined["tags"].as_array().unwrap();
    assert_eq!(tags.last().unwrap(), &json!(["nonce", outcome["nonce"], "18"]));
    assert_eq!(mined["pubkey"], event["pubkey"]);
    super::check(mined).await;
}

#[tokio::test]
async fn progress_comes_as_server_sent_events_and_ends_with_the_outcome() {
    let _turn = turn::beside_others().await;
    let daemon = Home::new().daemon(&[]).await;
    let body = json!({ "event": event("slow"), "difficulty_bits": 64, "timeout_secs": 2.5 });
    let (number, path) = start(&daemon, body).await;
    let stream = events(&get(&daemon, &format!("{path}/progress")).await);
    let (last, progress) = stream.split_last().expect("events");
    assert_eq!(last.0, "outcome", "{stream:?}");
    assert_eq!(last.1["outcome"], "timed_out", "{stream:?}");
    assert!(progress.len() >= 3, "{stream:?}");
    let mut before = 0;
    for (name, data) in progress {
        assert_eq!((name.as_str(), &data["job"]), ("progress", &number), "{data}");
        let attempts = data["attempts"].as_u64().expect("attempts");
        assert!(attempts >= before, "attempts went back from {before}: {data}");
        before = attempts;
    }
    assert!(before > 0 && last.1["attempts"].as_u64().unwrap() >= before, "{stream:?}");
    // Whoever comes late hears the outcome at once.
    let late = events(&get(&daemon, &format!("{path}/progress")).await);
    assert_eq!(late, std::slice::from_ref(last));
}

#[tokio::test]
async fn a_deleted_job_ends_at_once_and_its_count_is_final() {
    let _turn = turn::beside_others().await;
    let daemon = Home::new().daemon(&[]).await;
    let (number, path) =
        start(&daemon, json!({ "event": event("endless"), "difficulty_bits": 64 })).await;
    eventually("the first attempts", END, async || {
        (get(&daemon, &path).await.json()["attempts"].as_u64()? > 0).then_some(())
    })
    .await;
    let listed = get(&daemon, "/api/v1/mine").await.json();
    assert!(listed["jobs"].as_array().unwrap().iter().any(|job| job["job"] == number), "{listed}");

    let ended = delete(&daemon, &path).await;
    assert_eq!(ended.status, 200, "{}", ended.text());
    let outcome = ended.json()["outcome"].clone();
    assert_eq!(outcome["outcome"], "cancelled");
    let after = get(&daemon, &path).await.json();
    assert_eq!((&after["state"], &after["outcome"]), (&json!("ended"), &outcome));
    assert_eq!(after["attempts"], outcome["attempts"], "counted on after the acknowledgement");
    assert_eq!(delete(&daemon, &path).await.json()["outcome"], outcome, "a second DELETE");
}

/// Asks for the progress of a job, reads how the answer begins, and leaves.
async fn look_on(daemon: &Daemon, path: &str) -> [u8; 12] {
    let request = format!("GET {path}/progress HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut stream = TcpStream::connect(&daemon.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.unwrap();
    first
}

#[tokio::test]
async fn a_client_that_leaves_its_stream_leaves_the_job_and_nothing_else() {
    let _turn = turn::beside_others().await;
    let daemon = Home::new().daemon(&[]).await;
    let (_, path) = start(&daemon, json!({ "event": event("left"), "difficulty_bits": 64 })).await;
    // More than may look on at a time: each must give its place back.
    for _ in 0..80 {
        // A place may be given back only after its next event finds nobody.
        let first = look_on(&daemon, &path).await;
        assert!([&b"HTTP/1.1 200"[..], b"HTTP/1.1 429"].contains(&&first[..]), "{first:?}");
    }
    eventually("a place to look on", END, async || {
        (look_on(&daemon, &path).await == *b"HTTP/1.1 200").then_some(())
    })
    .await;
    assert_eq!(get(&daemon, &path).await.json()["state"], "running");
    assert_eq!(delete(&daemon, &path).await.json()["outcome"]["outcome"], "cancelled");
}

#[tokio::test]
async fn what_cannot_be_mined_is_refused_with_the_reason() {
    let _turn = turn::beside_others().await;
    let daemon = Home::new().daemon(&[]).await;
    let good = json!({ "event": event("x"), "difficulty_bits": 8 });
    let with = |key: &str, value: Value| {
        let mut body = good.clone();
        body[key] = value;
        body
    };
    let mut without_content = event("x");
    without_content.as_object_mut().unwrap().remove("content");
    let huge = json!(Author::new().template(1, vec![], &"x".repeat(600_000), 1));
    let signed = json!(Author::new().note("signed"));
    let refused = [
        (with("difficulty_bits", json!(257)), 422, "257"),
        (with("difficulty_bits", json!(65)), 422, "64"),
        (with("difficulty_bits", json!(-1)), 400, "-1"),
        (with("threads", json!(0)), 422, "threads"),
        (with("max_attempts", json!(0)), 422, "max_attempts"),
        (with("timeout_secs", json!(0)), 422, "timeout_secs"),
        (with("timeout_secs", json!(-5)), 422, "timeout_secs"),
        (with("cpu_percent", json!(0)), 422, "cpu_percent"),
        (with("cpu_percent", json!(101)), 422, "cpu_percent"),
        (with("colour", json!("red")), 400, "colour"),
        (with("event", signed), 422, "sign"),
        (with("event", without_content), 400, "content"),
        (with("event", huge), 413, "bytes"),
        (with("sign", json!(true)), 403, "sign"),
        (json!([]), 400, "body"),
    ];
    for (body, status, word) in refused {
        let answer = post(&daemon, &body).await;
        let text = answer.text();
        let shown = body.to_string().chars().take(200).collect::<String>();
        assert_eq!(answer.status, status, "{shown}: {text}");
        assert!(text.contains(word), "{shown}: {text} does not say {word}");
        assert!(answer.json()["error"].is_object() || answer.json()["error"].is_string(), "{text}");
    }
    for (path, status) in [("/api/v1/mine/999999", 404), ("/api/v1/mine/abc", 400)] {
        assert_eq!(get(&daemon, path).await.status, status, "GET {path}");
        assert_eq!(delete(&daemon, path).await.status, status, "DELETE {path}");
    }
    assert_eq!(get(&daemon, "/api/v1/mine").await.json(), json!({ "jobs": [] }));
}

#[tokio::test]
async fn a_flood_of_jobs_meets_a_limit_and_the_daemon_goes_on() {
    let _turn = turn::beside_others().await;
    let daemon = Home::new().daemon(&[]).await;
    let mut paths = Vec::new();
    let mut refused = 0;
    for number in 0..40 {
        let event = event(&format!("flood {number}"));
        let answer = post(&daemon, &json!({ "event": event, "difficulty_bits": 64 })).await;
        match answer.status {
            202 => paths.push(answer.json()["links"]["self"].as_str().unwrap().to_owned()),
            429 => refused += 1,
            status => panic!("{status}: {}", answer.text()),
        }
    }
    assert!(!paths.is_empty() && refused > 0, "{} taken, {refused} refused", paths.len());
    assert_eq!(delete(&daemon, &paths[0]).await.status, 200);
    let (_, path) = start(&daemon, json!({ "event": event("after"), "difficulty_bits": 8 })).await;
    eventually("a job beside the flood", END, async || {
        (get(&daemon, &path).await.json()["outcome"]["outcome"] == "found").then_some(())
    })
    .await;
}
