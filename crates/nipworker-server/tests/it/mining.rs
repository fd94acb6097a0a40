//! `nipworker mine`.

use std::process::{Command, Stdio};

use nipworker_core::protocol::Event;
use serde_json::{Value, json};

use crate::{
    commands::with_input,
    daemon::{nipworker, output},
    events::signer,
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
    let child = nipworker()
        .env("NIPWORKER_SIGNER__KEY", format!("{:064x}", 1))
        .args(["mine", "--text", "x", "--difficulty", "200"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut child = child;
    let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    // The first line of progress says that the search is on.
    let mut text = String::new();
    std::io::BufRead::read_line(&mut stderr, &mut text).unwrap();
    let sent = Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
    std::io::Read::read_to_string(&mut stderr, &mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{text}");
    assert!(text.contains("best"), "{text}");
}
