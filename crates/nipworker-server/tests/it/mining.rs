//! `nipworker mine`.

use std::process::{Command, Stdio};

use nipworker_core::protocol::Event;
use serde_json::{Value, json};

use crate::{
    commands::with_input,
    daemon::{Daemon, nipworker, output},
    events::{note, signer},
    http,
};

#[test]
fn a_mined_event_has_its_work_and_may_be_signed() {
    let template = json!({ "pubkey": signer(1).key(), "created_at": 1_700_000_000, "kind": 1,
                           "tags": [["t", "x"]], "content": "mined" });
    let (code, stdout, stderr) = with_input(
        nipworker().args(["mine", "--difficulty", "10", "--keep-time"]),
        &template.to_string(),
    );
    assert_eq!(code, Some(0), "{stderr}");
    let mined: Value = serde_json::from_str(&stdout).unwrap();
    assert!(mined.get("sig").is_none());
    assert_eq!(mined["created_at"], 1_700_000_000);
    assert_eq!(mined["tags"][0], json!(["t", "x"]));
    assert_eq!((&mined["tags"][1][0], &mined["tags"][1][2]), (&json!("nonce"), &json!("10")));
    let (code, stdout, stderr) =
        output(nipworker().env("NIPWORKER_SIGNER__KEY", format!("{:064x}", 1)).args([
            "mine",
            "--text",
            "hello",
            "--difficulty",
            "8",
            "--sign",
        ]));
    assert_eq!(code, Some(0), "{stderr}");
    let event: Event = serde_json::from_str(&stdout).unwrap();
    assert_eq!((event.content.as_str(), event.pubkey), ("hello", signer(1).key()));
    assert!(event.check_id().is_ok() && event.id.leading_zero_bits() >= 8);
    let folder = tempfile::tempdir().unwrap();
    let (code, ..) = output(nipworker().args(["publish", &stdout, "--data"]).arg(folder.path()));
    assert_eq!(code, Some(0), "the signature is valid");
}

#[test]
fn mining_reports_its_threads_and_that_none_starved() {
    let (code, stdout, stderr) =
        output(nipworker().env("NIPWORKER_SIGNER__KEY", format!("{:064x}", 1)).args([
            "mine",
            "--text",
            "x",
            "--difficulty",
            "14",
            "--threads",
            "2",
            "--json",
        ]));
    assert_eq!(code, Some(0), "{stderr}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert!(report["bits"].as_u64().unwrap() >= 14, "{report}");
    assert!(report["attempts"].as_u64().unwrap() > 0);
    assert_eq!(report["threads"].as_array().unwrap().len(), 2);
    assert!(stderr.contains("busy"), "{stderr}");
}

#[test]
fn mining_that_cannot_end_in_time_fails_with_1_and_prints_no_event() {
    let (code, stdout, stderr) =
        output(nipworker().env("NIPWORKER_SIGNER__KEY", format!("{:064x}", 1)).args([
            "mine",
            "--text",
            "x",
            "--difficulty",
            "200",
            "--timeout",
            "300ms",
        ]));
    assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
    assert!(stderr.contains("best"), "{stderr}");
    let (code, _, stderr) = output(nipworker().args(["mine", "{nonsense", "--difficulty", "1"]));
    assert_eq!(code, Some(1));
    assert!(stderr.contains("not an event"), "{stderr}");
}

#[cfg(unix)]
#[test]
fn an_interrupted_search_prints_its_best_and_fails_with_1() {
    // Some callers signal a process and then its group: that is one request, not two.
    for times in [1, 2, 2, 2] {
        let mut child = key_1()
            .args(["mine", "--text", "x", "--difficulty", "200"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
        // The first line of progress says that the search is on.
        let mut text = String::new();
        std::io::BufRead::read_line(&mut stderr, &mut text).unwrap();
        let pid = child.id().to_string();
        let sent = Command::new("kill").args(["-s", "INT"]).args(vec![&pid; times]).status();
        assert!(sent.unwrap().success());
        std::io::Read::read_to_string(&mut stderr, &mut text).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(1), "{times}: {text}");
        assert!(text.contains("best"), "{times}: {text}");
    }
}

fn key_1() -> Command {
    let mut command = nipworker();
    command.env("NIPWORKER_SIGNER__KEY", format!("{:064x}", 1));
    command
}

#[test]
fn text_on_stdin_is_a_note_but_what_begins_like_json_is_not() {
    let (code, stdout, stderr) =
        with_input(key_1().args(["mine", "--difficulty", "4"]), "hello\nworld\n");
    assert_eq!(code, Some(0), "{stderr}");
    let mined: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&mined["content"], &mined["kind"]), (&json!("hello\nworld"), &json!(1)));
    for input in ["{\"kind\":1", "[\"EVENT\",{}]", "", "\n"] {
        let (code, stdout, stderr) = with_input(key_1().args(["mine", "--difficulty", "4"]), input);
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{input:?}: {stderr}");
    }
    let (code, _, stderr) = with_input(nipworker().args(["mine", "--difficulty", "4"]), "hello");
    assert_eq!(code, Some(2), "a note without an author: {stderr}");
}

#[test]
fn a_signed_event_is_refused_with_the_reason() {
    let signed = note("signed").to_json();
    let (code, stdout, stderr) = with_input(nipworker().args(["mine", "-d", "4"]), &signed);
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(stderr.contains("signed already"), "{stderr}");
}

#[test]
fn a_search_without_a_result_says_how_it_ended_in_json_too() {
    let arguments = ["mine", "--text", "x", "-d", "200", "--max-attempts", "5000", "--json"];
    let (code, stdout, stderr) = output(key_1().args(arguments));
    assert_eq!(code, Some(1), "{stderr}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&report["outcome"], &report["attempts"]), (&json!("exhausted"), &json!(5_000)));
    assert!(stderr.contains("after 5000 attempts"), "{stderr}");
}

#[test]
fn what_cannot_be_had_is_wrong_usage_and_named() {
    for (arguments, wanted) in [
        (&["--threads", "0"][..], "0 is not in 1..=1024"),
        (&["--timeout", "0"], "over before it begins"),
        (&["--max-attempts", "0"], "0"),
        (&["--cpu-percent", "101"], "101 is not in 1..=100"),
        (&["--nice", "20"], "20 is not in 0..=19"),
        (&["--kernel", "nonsense"], "no kernel \"nonsense\"; it has "),
        (&["--placement", "1000"], "cpu 1000 does not exist"),
        (&["--placement", "everywhere"], "is no CPU"),
        (&["--publish"], "--publish needs a relay"),
        (&["--relay", "ws://127.0.0.1:1"], "--publish"),
    ] {
        let arguments = ["mine", "--text", "x", "-d", "1"].iter().chain(arguments);
        let (code, stdout, stderr) = output(key_1().args(arguments));
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
        assert!(stderr.contains(wanted), "no {wanted:?} in {stderr}");
    }
}

#[test]
fn what_is_published_is_told_truthfully_and_counts_only_if_a_relay_took_it() {
    let relay = Daemon::start();
    let url = format!("ws://{}", relay.address());
    let arguments = ["mine", "--text", "x", "-d", "6", "--publish", "--relay"];
    let (code, stdout, stderr) = output(key_1().args(arguments).arg(&url));
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains(&format!("{url} accepted after")), "{stderr}");
    let event: Event = serde_json::from_str(&stdout).unwrap();
    let there = http::get(&relay.url(&format!("/api/v1/events/{}", event.id)));
    assert_eq!(there.json(), json!(event));
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = format!("ws://{port}");
    let (code, stdout, stderr) =
        output(key_1().args(arguments).args([&nobody, "--json", "--publish-timeout", "500ms"]));
    assert_eq!(code, Some(1), "{stderr}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(report["publish"]["accepted"], false);
    assert_eq!(report["publish"]["receipts"][0]["status"], "not_connected");
    assert!(report["event"]["sig"].is_string(), "the work is not lost: {report}");
    assert!(stderr.contains("no relay accepted it"), "{stderr}");
}

#[test]
fn a_bench_measures_every_kernel_and_every_thread() {
    let (code, stdout, stderr) =
        output(nipworker().args(["bench", "--seconds", "2", "--threads", "2", "--json"]));
    assert_eq!(code, Some(0), "{stderr}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    let kernels = report["kernels"].as_array().unwrap();
    assert_eq!(kernels.iter().filter(|kernel| kernel["chosen"] == true).count(), 1, "{report}");
    for kernel in kernels {
        for figure in ["raw_per_cpu_second", "mined_per_cpu_second"] {
            let rates = kernel[figure].as_array().unwrap();
            assert!(rates.len() == 2 && rates.iter().all(|rate| rate.as_f64() > Some(0.0)));
        }
    }
    assert_eq!(report["feed"]["threads"].as_array().unwrap().len(), 2);
    assert_eq!(report["scaling"].as_array().unwrap().len(), 2);
    assert!(report["latency"]["cancel_p50_ms"].as_f64() > Some(0.0));
    let (code, stdout, stderr) =
        output(nipworker().args(["bench", "--seconds", "2", "--kernel", "portable", "-t", "1"]));
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("portable") && stdout.contains("feed: "), "{stdout}");
    let (code, ..) = output(nipworker().args(["bench", "--kernel", "nonsense"]));
    assert_eq!(code, Some(2));
}
