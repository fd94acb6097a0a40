//! The commands on the store's own file: `check` and `compact`.

use std::fs;

use serde_json::{Value, json};

use crate::{
    commands::with_input,
    daemon::{Daemon, nipworker, output},
    events::real_events,
};

#[test]
fn check_reads_everything_and_says_that_it_agrees() {
    let folder = tempfile::tempdir().unwrap();
    let command = |name: &str| {
        let mut command = nipworker();
        command.arg(name).arg("--data").arg(folder.path());
        command
    };
    let (code, _, _) = with_input(command("import").arg("-"), &real_events());
    assert_eq!(code, Some(0));
    let (code, stdout, stderr) = output(&mut command("check"));
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
    assert!(stdout.contains(" events, ") && stdout.trim_end().ends_with("all agree"), "{stdout}");
    let (_, report, _) = output(command("check").arg("--json"));
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["problem_count"], 0, "{report}");
    let (_, count, _) = output(command("count").arg("{}"));
    assert_eq!(report["events"], json!(count.trim().parse::<u64>().unwrap()), "{report}");
}

#[test]
fn compact_gives_room_back_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str], input: &str| {
        let mut command = nipworker();
        command.args(arguments).arg("--data").arg(folder.path());
        let (code, stdout, stderr) = with_input(&mut command, input);
        assert_eq!(code, Some(0), "{stderr}");
        stdout
    };
    // One event at a time leaves many half-empty pages behind.
    for line in real_events().lines().take(60) {
        run(&["import", "-"], line);
    }
    let before = run(&["export"], "");
    let told: Value = serde_json::from_str(&run(&["compact", "--json"], "")).unwrap();
    let (was, is) = (told["bytes_before"].as_u64().unwrap(), told["bytes_after"].as_u64().unwrap());
    assert!(is > 0 && is < was, "{told}");
    assert_eq!(run(&["export"], ""), before);
    assert!(run(&["check"], "").trim_end().ends_with("all agree"));
}

#[test]
fn without_a_store_or_with_a_damaged_one_the_reason_is_told_and_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["check", "compact"] {
        let (code, stdout, stderr) = output(nipworker().args([name, "--data"]).arg(folder.path()));
        assert_eq!((code, stdout.as_str()), (Some(1), ""));
        assert!(stderr.contains("no such store"), "{stderr}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
    let file = folder.path().join("events.redb");
    fs::write(&file, "this is no database".repeat(1_000)).unwrap();
    for name in ["check", "compact"] {
        let (code, _, stderr) = output(nipworker().args([name, "--data"]).arg(folder.path()));
        assert_eq!(code, Some(1));
        assert!(stderr.contains("events.redb") && !stderr.contains("panicked"), "{stderr}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "it is not renamed");
    }
}

#[test]
fn while_the_daemon_runs_the_file_is_left_alone() {
    let daemon = Daemon::start();
    for name in ["check", "compact"] {
        let (code, stdout, stderr) = output(nipworker().args([name, "--data"]).arg(daemon.data()));
        assert_eq!((code, stdout.as_str()), (Some(1), ""));
        assert!(stderr.contains("stop it first"), "{stderr}");
    }
}
