//! The one-shot commands: configuration, keys, import, export, query, count, publish, status.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use nipworker_core::protocol::Event;
use serde_json::{Value, json};

use crate::{
    daemon::{Daemon, nipworker, output},
    events::{note, real_events},
    http,
};

/// Runs a command with `input` on its stdin.
pub(crate) fn with_input(command: &mut Command, input: &str) -> (Option<i32>, String, String) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn check_config_prints_the_effective_configuration_and_hides_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nipworker.toml");
    fs::write(&file, "[gateway]\nthreads = 5\n").unwrap();
    let key = format!("{:064x}", 7);
    let (code, stdout, stderr) = output(
        nipworker()
            .env("NIPWORKER_SIGNER__KEY", &key)
            .env("NIPWORKER_GATEWAY__NAME", "mine")
            .arg("check-config")
            .arg(&file),
    );
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let printed: toml::Table = toml::from_str(&stdout).unwrap();
    assert_eq!(printed["gateway"]["threads"].as_integer(), Some(5));
    assert_eq!(printed["gateway"]["name"].as_str(), Some("mine"));
    assert!(!printed["daemon"]["data"].as_str().unwrap().is_empty());
    assert!(stdout.contains("hidden") && !stdout.contains(&key), "{stdout}");
}

#[test]
fn check_config_names_the_place_of_a_mistake_and_fails_with_1() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nipworker.toml");
    for (text, wanted) in [
        ("[gateway]\nlisten 5\n", ":2:8: "),
        ("[gateway]\nlistening = 5\n", ":2:1: gateway.listening: unknown field"),
        ("[gateway]\nlisten = 5\n", ":2:10: gateway.listen: invalid type"),
        ("[gateway.websocket]\nidle_timeout = \"5 bytes\"\n", ":2:16: "),
    ] {
        fs::write(&file, text).unwrap();
        for arguments in [vec!["check-config"], vec!["run", "--config"], vec!["--config"]] {
            let (code, stdout, stderr) = output(nipworker().args(&arguments).arg(&file));
            assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
            let wanted = format!("nipworker: {}{wanted}", file.display());
            assert!(stderr.starts_with(&wanted), "{stderr}\nwanted {wanted}");
            assert!(!stderr.contains("panicked"));
        }
    }
}

#[test]
fn a_secret_key_that_is_none_is_refused_without_being_shown() {
    let (code, _, stderr) =
        output(nipworker().env("NIPWORKER_SIGNER__KEY", "my-secret").arg("check-config"));
    assert_eq!(code, Some(1));
    assert!(stderr.contains("signer.key_file") && !stderr.contains("my-secret"), "{stderr}");
}

#[test]
fn wrong_usage_exits_with_2_and_help_names_the_exit_codes() {
    for arguments in [
        &["nonsense"][..],
        &["run", "--listen", "here"],
        &["run", "--relay", "http://x"],
        &["mine", "{}"],
        &["mine", "{}", "--difficulty", "257"],
        &["query"],
        &["query", "{"],
        &["query", r#"{"kindz":[1]}"#],
        &["export", r#"{"limit":5}"#],
        &["status", "--daemon", "https://x"],
    ] {
        let (code, stdout, stderr) = output(nipworker().args(arguments));
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{arguments:?}: {stderr}");
        assert!(!stderr.is_empty() && !stderr.contains("panicked"), "{stderr}");
    }
    let (code, help, _) = output(nipworker().arg("--help"));
    assert_eq!(code, Some(0));
    assert!(help.contains("Exit codes:") && help.contains("143"), "{help}");
}

#[test]
fn a_generated_key_is_shown_from_a_file_and_from_stdin() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    let (code, stdout, _) =
        output(nipworker().args(["key", "generate", "--json", "--out"]).arg(&file));
    assert_eq!(code, Some(0));
    let made: Value = serde_json::from_str(&stdout).unwrap();
    assert!(made.get("nsec").is_none(), "only what is public is printed: {made}");
    let (code, shown, _) = output(nipworker().args(["key", "show", "--json"]).arg(&file));
    assert_eq!((code, serde_json::from_str::<Value>(&shown).unwrap()), (Some(0), made.clone()));
    let secret = fs::read_to_string(&file).unwrap();
    assert!(secret.starts_with("nsec1"));
    let (_, shown, _) =
        with_input(nipworker().args(["key", "show", "--secret", "--json"]), &secret);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((&shown["npub"], &shown["nsec"]), (&made["npub"], &json!(secret.trim())));
    let npub = made["npub"].as_str().unwrap();
    let (_, shown, _) = output(nipworker().args(["key", "show", "--json", npub]));
    assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), made);
    let (code, _, stderr) = output(nipworker().args(["key", "generate", "--out"]).arg(&file));
    assert_eq!(code, Some(1), "an existing file is never replaced");
    assert!(stderr.contains("key"), "{stderr}");
    assert_eq!(fs::read_to_string(&file).unwrap(), secret);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn a_secret_key_on_the_command_line_is_refused_with_the_reason() {
    let (_, made, _) = output(nipworker().args(["key", "generate", "--json"]));
    let made: Value = serde_json::from_str(&made).unwrap();
    let nsec = made["nsec"].as_str().unwrap();
    let (code, stdout, stderr) = output(nipworker().args(["key", "show", nsec]));
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert!(stderr.contains("command line") && !stderr.contains(nsec), "{stderr}");
    let (code, _, stderr) = with_input(nipworker().args(["key", "show"]), "nonsense\n");
    assert_eq!(code, Some(1));
    assert!(!stderr.contains("nonsense"), "what may be a secret is not repeated: {stderr}");
}

#[test]
fn the_real_events_are_imported_exported_and_imported_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("real.jsonl");
    fs::write(&file, real_events()).unwrap();
    let data = folder.path().join("data");
    let (code, stdout, stderr) =
        output(nipworker().arg("import").arg(&file).arg("--data").arg(&data));
    assert_eq!((code, stdout.as_str()), (Some(0), "544 accepted, 0 refused\n"), "{stderr}");
    let (code, exported, stderr) = output(nipworker().arg("export").arg("--data").arg(&data));
    assert_eq!(code, Some(0), "{stderr}");
    let events: Vec<Event> =
        exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events.is_sorted_by_key(|event| (event.created_at, event.id)), "oldest first");
    let (code, again, _) = with_input(
        nipworker().args(["import", "-", "--json", "--data"]).arg(folder.path().join("other")),
        &exported,
    );
    assert_eq!(code, Some(0));
    let outcomes = lines(&again);
    assert_eq!(outcomes.last(), Some(&json!({ "accepted": events.len(), "refused": 0 })));
    assert!(outcomes[..events.len()].iter().all(|outcome| outcome["status"] == "stored"));
}

/// Every real event with one byte flipped in each of six places.
fn flipped() -> String {
    let mut text = String::new();
    for line in real_events().lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let flip_hex = |value: &Value| {
            let mut hex = value.as_str().unwrap().to_owned();
            let last = if hex.ends_with('0') { '1' } else { '0' };
            hex.pop();
            hex.push(last);
            Value::from(hex)
        };
        let mut changed = vec![event.clone(); 6];
        changed[0]["id"] = flip_hex(&event["id"]);
        changed[1]["sig"] = flip_hex(&event["sig"]);
        changed[2]["pubkey"] = flip_hex(&event["pubkey"]);
        changed[3]["content"] = format!("{}x", event["content"].as_str().unwrap()).into();
        let tags = changed[4]["tags"].as_array_mut().unwrap();
        match tags.first_mut() {
            Some(tag) => tag.as_array_mut().unwrap().push("x".into()),
            None => tags.push(json!(["x"])),
        }
        changed[5]["created_at"] = (event["created_at"].as_i64().unwrap() ^ 1).into();
        for event in changed {
            text.push_str(&event.to_string());
            text.push('\n');
        }
    }
    text
}

#[test]
fn of_the_real_events_with_one_flipped_byte_none_is_accepted_and_each_has_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let (code, stdout, stderr) =
        with_input(nipworker().args(["import", "-", "--data"]).arg(folder.path()), &flipped());
    assert_eq!(code, Some(1));
    assert_eq!(stdout, "0 accepted, 3264 refused\n");
    let reasons: Vec<&str> = stderr.lines().collect();
    assert_eq!(reasons.len(), 3_264);
    for (number, reason) in (1..).zip(reasons) {
        let place = format!("line {number}: invalid: ");
        assert!(reason.starts_with(&place) && reason.len() > place.len() + 5, "{reason}");
    }
    let (_, count, _) = output(nipworker().args(["count", "{}", "--data"]).arg(folder.path()));
    assert_eq!(count, "0\n");
}

#[test]
fn lines_that_are_no_events_are_named_by_number_and_the_rest_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let good = note("good").to_json();
    let input = format!("{good}\n\nnonsense\n{{\"id\":1}}\n{}\n{good}\n", "[".repeat(50_000));
    let (code, stdout, stderr) =
        with_input(nipworker().args(["import", "-", "--data"]).arg(folder.path()), &input);
    assert_eq!((code, stdout.as_str()), (Some(1), "2 accepted, 3 refused\n"));
    for place in ["line 3: invalid: ", "line 4: invalid: ", "line 5: invalid: "] {
        assert!(stderr.contains(place), "{stderr}");
    }
    let (code, _, stderr) = output(nipworker().args(["import", "/no/such/file"]));
    assert_eq!(code, Some(1));
    assert!(stderr.contains("/no/such/file: cannot be read: "), "{stderr}");
}

#[test]
fn commands_answer_the_same_from_the_folder_and_through_the_daemon_that_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let file = data.join("real.jsonl");
    fs::write(&file, real_events()).unwrap();
    let ask = |arguments: &[&str]| {
        let (code, stdout, stderr) =
            output(nipworker().args(arguments).arg("--data").arg(data).stdin(Stdio::null()));
        assert_eq!(code, Some(0), "{arguments:?}: {stderr}");
        stdout
    };
    ask(&["import", file.to_str().unwrap()]);
    let one = note("one more");
    let commands: [&[&str]; 6] = [
        &["query", r#"{"kinds":[4],"limit":7}"#],
        &["query", r#"{"kinds":[0]}"#, r#"{"kinds":[3]}"#],
        &["count", "{}"],
        &["count", "--json", r#"{"kinds":[1]}"#],
        &["export"],
        &["export", r#"{"kinds":[4]}"#],
    ];
    let alone: Vec<String> = commands.iter().map(|arguments| ask(arguments)).collect();
    assert!(alone.iter().all(|answer| !answer.is_empty()));
    let daemon = Daemon::on(data);
    let through: Vec<String> = commands.iter().map(|arguments| ask(arguments)).collect();
    for (arguments, (alone, through)) in commands.iter().zip(alone.iter().zip(&through)) {
        assert_eq!(alone, through, "{arguments:?}");
    }
    assert!(ask(&["publish", &one.to_json()]).starts_with(&format!("{} stored", one.id)));
    assert_eq!(ask(&["import", file.to_str().unwrap()]), "544 accepted, 0 refused\n");
    assert_eq!(http::get(&daemon.url(&format!("/api/v1/events/{}", one.id))).status, 200);
    let status = ask(&["status"]);
    for worker in ["connections", "cache", "parser", "crypto", "miner"] {
        assert!(status.contains(worker), "{status}");
    }
    let status: Value = serde_json::from_str(&ask(&["status", "--json"])).unwrap();
    assert_eq!(status["about"]["pid"], daemon.pid());
    daemon.stop();
    assert!(ask(&["publish", &one.to_json()]).starts_with(&format!("{} duplicate", one.id)));
}

#[test]
fn publish_tells_the_outcome_and_fails_with_1_when_an_event_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut forged = note("forged");
    forged.content.push('!');
    let input = format!("{}\n{}\n", note("good").to_json(), forged.to_json());
    let (code, stdout, _) =
        with_input(nipworker().args(["publish", "--json", "--data"]).arg(folder.path()), &input);
    assert_eq!(code, Some(1));
    let outcomes = lines(&stdout);
    assert_eq!(
        (&outcomes[0]["accepted"], &outcomes[0]["status"]),
        (&json!(true), &json!("stored"))
    );
    assert_eq!(outcomes[1]["accepted"], false);
    assert!(outcomes[1]["message"].as_str().unwrap().starts_with("invalid: "));
    let (code, _, stderr) =
        output(nipworker().args(["publish", "{nonsense", "--data"]).arg(folder.path()));
    assert_eq!(code, Some(1));
    assert!(stderr.contains("line 1: "), "{stderr}");
}

#[test]
fn publish_takes_a_file_and_events_on_several_lines() {
    let folder = tempfile::tempdir().unwrap();
    let pretty = |content: &str| {
        let event: Value = serde_json::from_str(&note(content).to_json()).unwrap();
        serde_json::to_string_pretty(&event).unwrap()
    };
    let file = folder.path().join("notes.json");
    fs::write(&file, format!("{}\n{}\n", pretty("one"), pretty("two"))).unwrap();
    let data = folder.path().join("data");
    let publish = || {
        let mut command = nipworker();
        command.args(["publish", "--json", "--data"]).arg(&data);
        command
    };
    let (code, stdout, stderr) = output(publish().arg(&file));
    assert_eq!((code, lines(&stdout).len()), (Some(0), 2), "{stderr}");
    let (code, stdout, stderr) = output(publish().arg(pretty("three")));
    assert_eq!((code, lines(&stdout).len()), (Some(0), 1), "{stderr}");
    let (code, stdout, stderr) = with_input(&mut publish(), &pretty("four"));
    assert_eq!((code, lines(&stdout).len()), (Some(0), 1), "{stderr}");
    let (code, _, stderr) = output(publish().arg(folder.path().join("missing.json")));
    assert_eq!(code, Some(1));
    assert!(stderr.contains("missing.json: cannot be read"), "{stderr}");
}

#[test]
fn commands_that_only_ask_leave_a_damaged_store_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("events.redb");
    fs::write(&store, b"no database".repeat(1_000)).unwrap();
    for arguments in [&["count", "{}"][..], &["query", "{}"], &["export"]] {
        let (code, stdout, stderr) =
            output(nipworker().args(arguments).arg("--data").arg(folder.path()));
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains("events.redb") && !stderr.contains("panicked"), "{stderr}");
        assert_eq!(fs::read(&store).unwrap(), b"no database".repeat(1_000));
    }
}

#[test]
fn empty_variables_count_as_not_set_and_a_bad_log_filter_is_named_by_its_variable() {
    let folder = tempfile::tempdir().unwrap();
    let (code, _, stderr) = output(
        nipworker()
            .env("NIPWORKER_CONFIG", "")
            .env("NIPWORKER_SIGNER__KEY", "")
            .arg("check-config"),
    );
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let count = || {
        let mut command = nipworker();
        command.args(["count", "{}", "--data"]).arg(folder.path());
        command
    };
    let (code, _, stderr) = output(count().env("NIPWORKER_CONFIG", ""));
    assert_eq!(code, Some(0), "{stderr}");
    let (code, _, stderr) = output(count().env("RUST_LOG", "=,="));
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("RUST_LOG"), "{stderr}");
}

#[test]
fn a_key_file_that_holds_no_key_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("k.txt");
    fs::write(&file, "npub and nsec").unwrap();
    let (code, _, stderr) = output(nipworker().args(["key", "show"]).arg(&file));
    assert_eq!(code, Some(1));
    assert!(stderr.contains("k.txt: "), "{stderr}");
}

#[test]
fn status_of_a_folder_says_when_the_daemon_has_another() {
    let daemon = Daemon::start();
    let folder = tempfile::tempdir().unwrap();
    let (code, _, stderr) = output(
        nipworker()
            .env("NIPWORKER_GATEWAY__LISTEN", daemon.address())
            .args(["status", "--data"])
            .arg(folder.path()),
    );
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains(folder.path().to_str().unwrap()), "{stderr}");
    assert!(stderr.contains(daemon.data().to_str().unwrap()), "{stderr}");
}

#[test]
fn status_is_watched_until_the_daemon_is_gone() {
    let daemon = Daemon::start();
    let mut watch = nipworker()
        .args(["status", "--watch", "--json", "--data"])
        .arg(daemon.data())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        let status: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(status["about"]["pid"], daemon.pid());
    }
    let url = daemon.url("");
    daemon.stop();
    let output = watch.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains(&format!("no daemon answers at {url}")), "{told}");
}

#[test]
fn status_without_a_daemon_says_where_it_looked() {
    let folder = tempfile::tempdir().unwrap();
    let (code, stdout, stderr) = output(
        nipworker().args(["status", "--daemon", "http://127.0.0.1:1", "--data"]).arg(folder.path()),
    );
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(stderr.contains("no daemon answers at http://127.0.0.1:1"), "{stderr}");
}
