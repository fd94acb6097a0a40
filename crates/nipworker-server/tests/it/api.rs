//! The HTTP API, health and metrics.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    daemon::{Daemon, eventually},
    events::{event, note, real_events},
    http,
};

const LINES: &str = "application/x-ndjson";

#[test]
fn the_root_is_a_relay_document_for_clients_and_a_page_for_browsers() {
    let daemon = Daemon::start();
    let document = http::get_as(&daemon.url("/"), "application/nostr+json");
    assert_eq!(document.header("content-type"), "application/nostr+json");
    assert_eq!(document.header("access-control-allow-origin"), "*");
    assert_eq!(document.json()["supported_nips"], json!([1, 9, 11, 40, 45, 70, 77]));
    assert_eq!(document.json()["limitation"]["auth_required"], false);
    let page = http::get_as(&daemon.url("/"), "text/html");
    assert!(page.header("content-type").starts_with("text/html"));
    assert!(page.text.contains("/api/v1/status") && page.text.contains("/metrics"));
    let preflight = http::options(&daemon.url("/api/v1/query"), "POST");
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.header("access-control-allow-methods"), "GET, POST, DELETE, OPTIONS");
}

#[test]
fn no_cors_header_is_sent_when_no_origin_is_allowed() {
    let daemon = Daemon::with("[gateway]\nallow_origin = \"\"\n", &[]);
    let answer = http::get(&daemon.url("/api/v1/status"));
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, ""));
}

#[test]
fn one_event_is_posted_found_and_counted() {
    let daemon = Daemon::start();
    let note = note("hello");
    let answer = http::post(&daemon.url("/api/v1/events"), note.to_json());
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(
        answer.json(),
        json!({ "id": note.id, "accepted": true, "message": "", "status": "stored",
                "receipts": [] })
    );
    let again = http::post(&daemon.url("/api/v1/events"), note.to_json()).json();
    assert_eq!((&again["accepted"], &again["status"]), (&json!(true), &json!("duplicate")));
    let found = http::get(&daemon.url(&format!("/api/v1/events/{}", note.id)));
    assert_eq!((found.status, found.json()), (200, json!(note)));
    let count = http::post(&daemon.url("/api/v1/count"), r#"{"kinds":[1]}"#).json();
    assert_eq!(count, json!({ "count": 1 }));
}

#[test]
fn lines_are_answered_line_by_line_and_a_query_streams_them_back() {
    let daemon = Daemon::start();
    let mut lines = real_events();
    lines.push_str("nonsense\n\n");
    let answer = http::post_as(&daemon.url("/api/v1/events"), LINES, "*/*", &lines);
    assert_eq!((answer.status, answer.header("content-type")), (200, LINES));
    let outcomes = answer.lines();
    assert_eq!(outcomes.len(), 545);
    assert!(outcomes[..544].iter().all(|outcome| outcome["accepted"] == true));
    assert_eq!(outcomes[544]["line"], 545);
    assert!(outcomes[544]["message"].as_str().unwrap().starts_with("invalid: "));
    let array = http::post(&daemon.url("/api/v1/query"), r#"[{"kinds":[4]}]"#);
    assert_eq!(array.header("content-type"), "application/json");
    let streamed =
        http::post_as(&daemon.url("/api/v1/query"), "application/json", LINES, r#"{"kinds":[4]}"#);
    assert_eq!(streamed.header("content-type"), LINES);
    let wanted: Vec<Value> = real_events()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|event| event["kind"] == 4)
        .collect();
    assert_eq!(array.json().as_array().unwrap().len(), wanted.len());
    assert_eq!(Value::from(streamed.lines()), array.json());
}

#[test]
fn errors_have_a_code_a_message_and_a_fitting_status() {
    let config = "[gateway.http]\nmax_body_bytes = 2048\nmax_lines_bytes = 4096\n";
    let daemon = Daemon::with(config, &[]);
    let mut forged = note("good");
    forged.content.push('!');
    let newer = event(1, 0, 1_700_000_001, &[], "{}");
    assert_eq!(http::post(&daemon.url("/api/v1/events"), newer.to_json()).status, 200);
    let older = event(1, 0, 1_700_000_000, &[], "{}");
    let long = "x".repeat(5_000);
    for (path, body, status, code) in [
        ("/api/v1/events", "{", 400, "invalid_event"),
        ("/api/v1/events", "{}", 400, "invalid_event"),
        ("/api/v1/events", &forged.to_json(), 422, "invalid_event"),
        ("/api/v1/events", &older.to_json(), 409, "superseded"),
        ("/api/v1/events", &long, 413, "too_large"),
        ("/api/v1/events?relay=1", "{}", 400, "invalid_query"),
        ("/api/v1/query", "nonsense", 400, "invalid_json"),
        ("/api/v1/query", "[]", 400, "invalid_filter"),
        ("/api/v1/query", r#"{"kinds":["x"]}"#, 400, "invalid_filter"),
        ("/api/v1/query", r#"{"search":"x"}"#, 400, "unsupported"),
        ("/api/v1/count", r#"{"kindz":[1]}"#, 400, "invalid_filter"),
        ("/api/v1/status", "", 405, "method_not_allowed"),
        ("/api/v1/nothing", "", 404, "not_found"),
        ("/nothing", "", 404, "not_found"),
    ] {
        let answer = http::post(&daemon.url(path), body);
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{path} {body}");
        assert!(!answer.json()["error"]["message"].as_str().unwrap().is_empty());
    }
    let too_long = http::post_as(&daemon.url("/api/v1/events"), LINES, "*/*", &long);
    assert_eq!((too_long.status, too_long.code().as_str()), (413, "too_large"));
    for (path, status, code) in [
        ("/api/v1/events/xyz", 400, "invalid_id"),
        (&*format!("/api/v1/events/{}", "0".repeat(64)), 404, "not_found"),
        ("/api/v1/query", 405, "method_not_allowed"),
    ] {
        let answer = http::get(&daemon.url(path));
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{path}");
    }
}

#[test]
fn a_query_gives_what_an_event_says_beside_it_where_that_is_asked_for() {
    let daemon = Daemon::with(
        "[engine.pipeline]\npipes = [\"mute\"]\n[engine.pipeline.mute]\nwords = [\"spam\"]\n",
        &[],
    );
    for content in ["gm #nostr", "SPAM!"] {
        let note = event(1, 1, 1_700_000_000, &[], content);
        assert_eq!(http::post(&daemon.url("/api/v1/events"), note.to_json()).status, 200);
    }
    let query = |options: &str| {
        let path = daemon.url(&format!("/api/v1/query?{options}"));
        http::post(&path, r#"{"kinds":[1]}"#).json().as_array().unwrap().clone()
    };
    let found = query("view=1");
    assert_eq!(found.len(), 1, "what is muted in the configuration is not seen");
    assert_eq!(found[0]["view"]["type"], "text_note");
    assert_eq!(found[0]["view"]["content"]["blocks"][1]["what"]["hashtag"], "nostr");
    assert_eq!(found[0]["content"], "gm #nostr");
    assert!(query("view=0")[0].get("view").is_none() && query("")[0].get("view").is_none());
    assert_eq!(query("pipes=false").len(), 2);
    let refused = http::post(&daemon.url("/api/v1/query?view=perhaps"), r#"{"kinds":[1]}"#);
    assert_eq!((refused.status, refused.code().as_str()), (400, "invalid_query"));
}

#[test]
fn health_readiness_status_and_metrics_tell_of_the_five_workers() {
    let daemon = Daemon::start();
    assert_eq!(http::get(&daemon.url("/healthz")).json(), json!({ "status": "up" }));
    assert_eq!(http::get(&daemon.url("/readyz")).json(), json!({ "status": "ready" }));
    let status = http::get(&daemon.url("/api/v1/status")).json();
    assert_eq!(status["about"]["pid"], daemon.pid());
    let tree = status["engine"]["supervisor"].to_string();
    let metrics = http::get(&daemon.url("/metrics"));
    assert!(metrics.header("content-type").starts_with("application/openmetrics-text"));
    for worker in ["connections", "cache", "parser", "crypto", "miner"] {
        assert!(tree.contains(worker), "{tree}");
        let sample = format!("nipworker_worker_up{{worker=\"{worker}\"}} 1");
        assert!(metrics.text.contains(&sample), "no {sample} in\n{}", metrics.text);
    }
    assert!(metrics.text.ends_with("# EOF\n"));
    assert!(metrics.text.contains("nipworker_gateway_http_requests_total "));
}

#[test]
fn head_is_served_where_get_is_and_a_405_names_the_methods() {
    let daemon = Daemon::start();
    for path in ["/", "/healthz", "/readyz", "/metrics", "/api/v1/status"] {
        let answer = http::head(&daemon.url(path));
        assert_eq!((answer.status, answer.text.as_str()), (200, ""), "{path}");
        let refused = http::post(&daemon.url(path), "");
        assert_eq!((refused.status, refused.header("allow")), (405, "GET, HEAD"), "{path}");
    }
    let id = "0".repeat(64);
    let refused = http::post(&daemon.url(&format!("/api/v1/events/{id}")), "");
    assert_eq!((refused.status, refused.header("allow")), (405, "GET, HEAD"));
    let refused = http::get(&daemon.url("/api/v1/query"));
    assert_eq!((refused.status, refused.header("allow")), (405, "POST"));
}

#[test]
fn the_outcomes_of_one_request_are_bounded_and_say_where_the_work_ended() {
    let daemon = Daemon::with("[gateway.http]\nmax_lines_bytes = 65536\n", &[]);
    let lines = "1\n".repeat(30_000);
    let answer = http::post_as(&daemon.url("/api/v1/events?relays=false"), LINES, "*/*", &lines);
    assert_eq!((answer.status, answer.header("content-type")), (413, LINES));
    assert!(answer.text.len() < 200_000, "{} bytes", answer.text.len());
    let lines = answer.lines();
    let (error, outcomes) = lines.split_last().unwrap();
    assert_eq!(error["error"]["code"], "too_large");
    let last = outcomes.last().unwrap()["line"].as_u64().unwrap();
    assert_eq!(last, outcomes.len() as u64);
    let message = error["error"]["message"].as_str().unwrap();
    assert!(message.contains(&format!("after line {last} were not worked on")), "{message}");
}

#[test]
fn a_client_that_does_not_read_its_answer_is_disconnected_and_counted() {
    use std::io::{Read, Write};
    let daemon = Daemon::with("[gateway.websocket]\nslow_reader_timeout = \"300ms\"\n", &[]);
    let large = "x".repeat(400_000);
    for number in 0..40 {
        let event = note(&format!("{number}{large}"));
        assert_eq!(http::post(&daemon.url("/api/v1/events"), event.to_json()).status, 200);
    }
    let mut lazy = std::net::TcpStream::connect(daemon.address()).unwrap();
    lazy.write_all(b"POST /api/v1/query HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        .unwrap();
    // 16 MB were asked for and nothing is read.
    eventually("the slow reader is counted", || {
        let status = http::get(&daemon.url("/api/v1/status")).json();
        (status["gateway"]["slow_readers"] == 1).then_some(())
    });
    let mut rest = Vec::new();
    // What was on the way may still be read; then the connection ends, reset or not.
    drop(lazy.read_to_end(&mut rest));
    assert!(rest.len() < 15_000_000, "{} bytes", rest.len());
    let whole = http::post(&daemon.url("/api/v1/query"), "{}");
    assert_eq!(whole.json().as_array().unwrap().len(), 40, "who reads gets everything");
}

/// RUSTSEC-2026-0229: an authorisation header (NIP-98) of any size was decoded. There is no NIP-98
/// here; the server refuses such a head before it has all of it.
#[test]
fn a_request_head_that_does_not_end_is_refused_while_it_is_still_coming() {
    const MOST: usize = 1024 * 1024;
    let daemon = Daemon::start();
    let mut stream = TcpStream::connect(daemon.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(b"GET /api/v1/status HTTP/1.1\r\nHost: a\r\nAuthorization: Nostr ").unwrap();
    let piece = [b'A'; 16 * 1024];
    for _ in 0..MOST / piece.len() {
        // The daemon may have hung up already.
        if stream.write_all(&piece).is_err() {
            break;
        }
    }
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}"),
    }
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    assert_eq!(http::get(&daemon.url("/healthz")).status, 200);
}
