//! Mining over HTTP.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
};

use nipworker_core::protocol::{Event, EventId, UnsignedEvent};
use serde_json::{Value, json};

use crate::{
    daemon::{Daemon, eventually, nipworker},
    events::signer,
    http::{self, Answer},
};

/// A template of somebody's key that the daemon does not have.
fn template(content: &str) -> Value {
    json!({ "pubkey": signer(9).key(), "created_at": 1_700_000_000, "kind": 1,
            "tags": [["t", "x"]], "content": content })
}

fn mine(daemon: &Daemon, request: &Value) -> Answer {
    http::post(&daemon.url("/api/v1/mine"), request.to_string())
}

/// Starts a job that never ends by itself.
fn endless(daemon: &Daemon) -> String {
    let answer = mine(daemon, &json!({ "event": template("x"), "difficulty_bits": 64 }));
    assert_eq!(answer.status, 202, "{}", answer.text);
    daemon.url(answer.header("location"))
}

fn ended(url: &str) -> Value {
    eventually("the job has ended", || {
        let job = http::get(url).json();
        (job["state"] == "ended").then_some(job)
    })
}

#[test]
fn an_event_of_anybody_is_mined_and_its_id_and_nonce_come_back() {
    let daemon = Daemon::start();
    let request =
        json!({ "event": template("work"), "difficulty_bits": 12, "refresh_created_at": false });
    let answer = mine(&daemon, &request);
    assert_eq!(answer.status, 202, "{}", answer.text);
    let number = answer.json()["job"].as_u64().unwrap();
    assert_eq!(answer.header("location"), format!("/api/v1/mine/{number}"));
    assert_eq!(answer.json()["difficulty_bits"], 12);
    let job = ended(&daemon.url(answer.header("location")));
    let outcome = &job["outcome"];
    assert_eq!(outcome["outcome"], "found", "{job}");
    let id: EventId = serde_json::from_value(outcome["id"].clone()).unwrap();
    assert!(id.leading_zero_bits() >= 12);
    // The client's own event with the nonce put in is all there is to it.
    let mut own = template("work");
    own["tags"].as_array_mut().unwrap().push(json!(["nonce", outcome["nonce"], "12"]));
    let own: UnsignedEvent = serde_json::from_value(own).unwrap();
    assert_eq!(own.compute_id(), id);
    assert_eq!(outcome["event"]["id"], json!(id));
    assert!(outcome["event"].get("sig").is_none() && outcome.get("published").is_none());
    let list = http::get(&daemon.url("/api/v1/mine")).json();
    assert_eq!(list["jobs"][0]["job"], number);
    assert_eq!(list["jobs"][0]["outcome"], "found", "no event in the list: {list}");
}

#[test]
fn a_cancelled_job_has_its_final_attempts_and_cancelling_again_changes_nothing() {
    let daemon = Daemon::start();
    let url = endless(&daemon);
    eventually("it is worked on", || {
        (http::get(&url).json()["attempts"].as_u64() > Some(0)).then_some(())
    });
    let cancelled = http::delete(&url);
    assert_eq!(cancelled.status, 200);
    let cancelled = cancelled.json();
    assert_eq!(
        (&cancelled["state"], &cancelled["outcome"]["outcome"]),
        (&json!("ended"), &json!("cancelled"))
    );
    assert_eq!(cancelled["attempts"], cancelled["outcome"]["attempts"]);
    assert!(cancelled["attempts"].as_u64() > Some(0));
    for again in [http::delete(&url), http::get(&url)] {
        assert_eq!((again.status, &again.json()["attempts"]), (200, &cancelled["attempts"]));
    }
}

/// Reads the events of a stream as (name, id, data), without comments.
fn read_events(reader: &mut impl BufRead, mut each: impl FnMut(&str, &str, &Value) -> bool) {
    let (mut name, mut id) = (String::new(), String::new());
    for line in reader.lines() {
        let line = line.unwrap();
        if let Some(text) = line.strip_prefix("event: ") {
            name = text.to_owned();
        } else if let Some(text) = line.strip_prefix("id: ") {
            id = text.to_owned();
        } else if let Some(text) = line.strip_prefix("data: ")
            && !each(&name, &id, &serde_json::from_str(text).unwrap())
        {
            return;
        }
    }
}

/// Opens a stream of server-sent events.
fn look_on(daemon: &Daemon, path: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(daemon.address()).unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut reader = BufReader::new(stream);
    let mut status = String::new();
    reader.read_line(&mut status).unwrap();
    assert!(status.contains(" 200 "), "{status}");
    reader
}

#[test]
fn progress_comes_as_events_until_the_outcome_which_is_the_last() {
    let daemon = Daemon::start();
    let url = endless(&daemon);
    let path = url.strip_prefix(&daemon.url("")).unwrap();
    let mut reader = look_on(&daemon, &format!("{path}/progress"));
    let (mut seen, mut attempts, mut outcome) = (0, 0, Value::Null);
    read_events(&mut reader, |name, id, data| {
        if name == "outcome" {
            assert_eq!(id, "outcome");
            assert!(outcome.is_null(), "it comes once");
            outcome = data.clone();
            // The stream ends by itself after it.
            return true;
        }
        assert_eq!((name, &data["state"]), ("progress", &json!("running")));
        let now = data["attempts"].as_u64().unwrap();
        assert!(now >= attempts, "attempts never shrink");
        (seen, attempts) = (seen + 1, now);
        if seen == 3 {
            assert_eq!(http::delete(&url).status, 200);
        }
        true
    });
    assert!(seen >= 3);
    assert_eq!(outcome["outcome"], "cancelled");
    assert!(outcome["attempts"].as_u64().unwrap() >= attempts);
    let late = http::get(&format!("{url}/progress"));
    assert_eq!(late.header("content-type"), "text/event-stream");
    assert!(
        late.text.starts_with("event: outcome\n"),
        "who comes late gets it at once: {}",
        late.text
    );
    let again = http::get_with(&format!("{url}/progress"), "last-event-id", "outcome");
    assert_eq!(again.status, 204, "who has it need not come back");
}

#[test]
fn a_client_that_leaves_frees_its_place_and_the_job_goes_on() {
    let daemon = Daemon::with("[gateway.mine]\nmax_watchers = 1\n", &[]);
    let url = endless(&daemon);
    let path = format!("{}/progress", url.strip_prefix(&daemon.url("")).unwrap());
    let first = look_on(&daemon, &path);
    let second = http::get(&daemon.url(&path));
    assert_eq!((second.status, second.code().as_str()), (429, "too_many"));
    drop(first);
    eventually("the place is free", || {
        let mut stream = TcpStream::connect(daemon.address()).unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut start = [0; 12];
        stream.read_exact(&mut start).unwrap();
        start.ends_with(b"200").then_some(())
    });
    assert_eq!(http::get(&url).json()["state"], "running");
}

#[test]
fn what_cannot_be_mined_is_refused_with_a_code_and_a_fitting_status() {
    let config = "[gateway.http]\nmax_body_bytes = 4096\n[gateway.mine]\nmax_difficulty_bits = 40\n\
                  max_timeout = \"1m\"\n[engine.limits]\nmax_event_bytes = 2048\n";
    let daemon = Daemon::with(config, &[]);
    let with = |key: &str, value: Value| {
        let mut request = json!({ "event": template("x"), "difficulty_bits": 10 });
        request[key] = value;
        request.to_string()
    };
    let mut signed = template("x");
    signed["sig"] = json!("0".repeat(128));
    for (body, status, code) in [
        ("{".to_owned(), 400, "invalid_json"),
        ("{}".to_owned(), 400, "invalid_request"),
        (with("event", json!({ "kind": 1 })), 400, "invalid_event"),
        (with("event", signed), 422, "already_signed"),
        (with("event", template(&"x".repeat(3_000))), 413, "too_large"),
        (with("event", template(&"x".repeat(5_000))), 413, "too_large"),
        (with("difficulty_bits", json!(300)), 422, "out_of_range"),
        (with("difficulty_bits", json!(41)), 422, "too_difficult"),
        (with("threads", json!(0)), 422, "out_of_range"),
        (with("timeout_secs", json!(0)), 422, "out_of_range"),
        (with("timeout_secs", json!(61)), 422, "out_of_range"),
        (with("cpu_percent", json!(101)), 422, "out_of_range"),
        (with("sign", json!(true)), 403, "signing_off"),
        (with("publish", json!(true)), 403, "signing_off"),
    ] {
        let answer = http::post(&daemon.url("/api/v1/mine"), &body);
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{body}");
    }
    for (answer, status, code) in [
        (http::get(&daemon.url("/api/v1/mine/7")), 404, "not_found"),
        (http::get(&daemon.url("/api/v1/mine/x")), 400, "invalid_id"),
        (http::delete(&daemon.url("/api/v1/mine/7")), 404, "not_found"),
        (http::get(&daemon.url("/api/v1/mine/7/progress")), 404, "not_found"),
        (http::delete(&daemon.url("/api/v1/mine")), 405, "method_not_allowed"),
        (http::post(&daemon.url("/api/v1/mine/7"), ""), 405, "method_not_allowed"),
        (http::get(&daemon.url("/api/v1/mine/7/else")), 404, "not_found"),
    ] {
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{}", answer.text);
    }
    let refused = http::post(&daemon.url("/api/v1/mine/7"), "");
    assert_eq!(refused.header("allow"), "GET, HEAD, DELETE");
    assert_eq!(http::get(&daemon.url("/api/v1/mine")).json(), json!({ "jobs": [] }));
}

#[test]
fn of_a_flood_of_jobs_as_many_are_taken_as_may_and_old_ones_are_forgotten() {
    let daemon = Daemon::with("[gateway.mine]\nmax_jobs = 2\nremembered_jobs = 2\n", &[]);
    let request = json!({ "event": template("x"), "difficulty_bits": 64 }).to_string();
    let url = daemon.url("/api/v1/mine");
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..20).map(|_| scope.spawn(|| http::post(&url, &request))).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let taken: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 202).collect();
    assert_eq!(taken.len(), 2);
    let refused = answers.iter().filter(|answer| answer.status == 429);
    assert!(refused.clone().count() == 18 && refused.clone().all(|one| one.code() == "too_many"));
    assert!(refused.clone().all(|one| one.header("retry-after").parse::<u32>().is_ok()));
    for job in &taken {
        assert_eq!(http::delete(&daemon.url(job.header("location"))).status, 200);
    }
    // An end makes room, and of what has ended the latest two are remembered.
    for _ in 0..3 {
        let request = json!({ "event": template("x"), "difficulty_bits": 1 });
        let answer = mine(&daemon, &request);
        assert_eq!(answer.status, 202, "{}", answer.text);
        ended(&daemon.url(answer.header("location")));
    }
    assert_eq!(http::get(&daemon.url(taken[0].header("location"))).status, 404);
    let kept = http::get(&url).json()["jobs"].as_array().unwrap().len();
    assert!(kept <= 3, "{kept} jobs are remembered");
    let status = http::get(&daemon.url("/api/v1/status")).json();
    assert_eq!(status["gateway"]["mining_refused"], 18);
    assert_eq!(status["gateway"]["mining_jobs"], 5);
}

/// A daemon that has key 1 and signs what it mines.
fn signing() -> Daemon {
    let folder = tempfile::tempdir().unwrap().keep();
    let mut command = nipworker();
    command
        .env("NIPWORKER_SIGNER__KEY", format!("{:064x}", 1))
        .env("NIPWORKER_GATEWAY__MINE__SIGN", "true")
        .arg("run");
    Daemon::spawn(command, &folder)
}

#[test]
fn with_a_key_and_leave_to_sign_it_is_signed_and_published() {
    let daemon = signing();
    let mut own = template("signed");
    own["pubkey"] = json!(signer(1).key());
    let request = json!({ "event": own, "difficulty_bits": 8, "publish": true });
    let answer = mine(&daemon, &request);
    assert_eq!(answer.status, 202, "{}", answer.text);
    let job = ended(&daemon.url(answer.header("location")));
    let outcome = &job["outcome"];
    assert!(job.get("restored").is_none(), "{job}");
    let event: Event = serde_json::from_value(outcome["event"].clone()).unwrap();
    assert!(event.check_id().is_ok() && event.id.leading_zero_bits() >= 8);
    assert_eq!(outcome["published"]["accepted"], true, "{outcome}");
    let stored = http::get(&daemon.url(&format!("/api/v1/events/{}", event.id)));
    assert_eq!(stored.json(), json!(event), "the signature was checked on the way");
    let other =
        mine(&daemon, &json!({ "event": template("x"), "difficulty_bits": 1, "sign": true }));
    assert_eq!((other.status, other.code().as_str()), (422, "other_author"));
    // Any page that somebody looks at can send a POST to this machine.
    let request = json!({ "event": own, "difficulty_bits": 1, "sign": true }).to_string();
    let url = daemon.url("/api/v1/mine");
    let page = http::post_with(&url, "origin", "https://page.example", &request);
    assert_eq!((page.status, page.code().as_str()), (403, "foreign_origin"));
    std::fs::remove_dir_all(daemon.data()).unwrap();
}

#[test]
fn a_job_goes_on_after_a_restart_of_the_daemon_under_its_number() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::on(folder.path());
    let url = endless(&daemon);
    let path = url.strip_prefix(&daemon.url("")).unwrap().to_owned();
    let before = eventually("it is worked on", || {
        http::get(&url).json()["attempts"].as_u64().filter(|attempts| *attempts > 100_000)
    });
    daemon.stop();
    let daemon = Daemon::on(folder.path());
    let job = http::get(&daemon.url(&path)).json();
    assert_eq!(job["difficulty_bits"], 64);
    assert!(job["attempts"].as_u64().unwrap() >= before, "what was tried counts: {job}");
    assert!(job["restored"].as_str().unwrap().contains("neither signed nor published"), "{job}");
    let next = endless(&daemon);
    assert_ne!(next, daemon.url(&path), "no number is given out twice");
    assert_eq!(http::delete(&daemon.url(&path)).json()["outcome"]["outcome"], "cancelled");
    assert_eq!(http::delete(&next).status, 200);
    daemon.stop();
    let daemon = Daemon::on(folder.path());
    assert_eq!(http::get(&daemon.url("/api/v1/mine")).json(), json!({ "jobs": [] }));
}

#[test]
fn a_job_that_was_answered_and_one_that_was_cancelled_are_so_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut numbers = std::collections::BTreeSet::new();
    for round in 0..4 {
        let mut daemon = Daemon::on(folder.path());
        let cancelled = endless(&daemon);
        assert_eq!(http::delete(&cancelled).status, 200);
        let request = json!({ "event": template("kept"), "difficulty_bits": 64 });
        let job = mine(&daemon, &request).json();
        daemon.signal("KILL");
        daemon.wait();
        assert_eq!(job["kept"], true, "{job}");
        assert!(numbers.insert(job["job"].as_u64()), "no number is given out twice");
        let daemon = Daemon::on(folder.path());
        let list = http::get(&daemon.url("/api/v1/mine")).json();
        let jobs = list["jobs"].as_array().unwrap();
        assert_eq!(jobs.len(), 1, "round {round}: {list}");
        assert_eq!(jobs[0]["job"], job["job"]);
        assert_eq!(http::delete(&daemon.url(&format!("/api/v1/mine/{}", job["job"]))).status, 200);
        daemon.stop();
    }
}

#[test]
fn a_stop_does_not_wait_for_those_who_look_on() {
    let mut daemon = Daemon::start();
    let url = endless(&daemon);
    let path = url.strip_prefix(&daemon.url("")).unwrap();
    let mut reader = look_on(&daemon, &format!("{path}/progress"));
    let mut stopped = false;
    read_events(&mut reader, |name, _, _| {
        assert_eq!(name, "progress", "the job has not ended, it is kept");
        if !stopped {
            daemon.signal("TERM");
            stopped = true;
        }
        true
    });
    assert!(stopped);
    assert_eq!(daemon.wait().code(), Some(0), "{}", daemon.log());
}

#[test]
fn metrics_name_the_kernel_and_what_each_thread_does() {
    let daemon = Daemon::start();
    let url = endless(&daemon);
    eventually("it is worked on", || {
        (http::get(&url).json()["attempts"].as_u64() > Some(0)).then_some(())
    });
    let text = http::get(&daemon.url("/metrics")).text;
    for sample in [
        "nipworker_mining_kernel_info{kernel=\"",
        "nipworker_mining_jobs_known{phase=\"running\"} 1",
        "nipworker_mining_attempts_per_second{window=\"10s\"} ",
        "nipworker_mining_thread_busy_seconds_total{thread=\"0\"} ",
        "nipworker_mining_thread_throttled_seconds_total{thread=\"0\"} ",
        "nipworker_mining_thread_stale_total{thread=\"0\"} ",
        "nipworker_gateway_mining_jobs_total 1",
    ] {
        assert!(text.contains(sample), "no {sample} in\n{text}");
    }
    let status = crate::daemon::output(nipworker().args(["status", "--daemon", &daemon.url("")])).1;
    assert!(status.contains("mining: kernel ") && status.contains("1 jobs"), "{status}");
}
