//! Start, stop, and what goes wrong around them.

use std::{
    fs,
    io::Write,
    net::{TcpListener, TcpStream},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    daemon::{Daemon, eventually, nipworker, output},
    events::note,
    http,
    socket::{Socket, run},
};

#[test]
fn it_is_ready_in_two_seconds_and_one_line_says_what_runs_and_where() {
    let started = Instant::now();
    let daemon = Daemon::start();
    let took = started.elapsed();
    assert_eq!(http::get(&daemon.url("/readyz")).status, 200);
    assert!(took < Duration::from_secs(2), "took {took:?}");
    let line = daemon.wait_for_log(" ready in ");
    for part in [
        format!("relay ws://{}", daemon.address()),
        format!("api http://{}/api/v1", daemon.address()),
        format!("data {} (redb)", daemon.data().display()),
        "no relays (no network)".to_owned(),
        "connections".to_owned(),
        "miner".to_owned(),
    ] {
        assert!(line.contains(&part), "no {part:?} in {line:?}");
    }
    daemon.stop();
}

#[cfg(target_os = "linux")]
#[test]
fn it_takes_less_than_100_mb_of_memory() {
    let daemon = Daemon::start();
    assert_eq!(http::get(&daemon.url("/readyz")).status, 200);
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(kib * 1024 < 100_000_000, "{line}");
}

#[test]
fn what_was_acknowledged_before_a_stop_is_there_after_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::on(folder.path());
    let note = note("kept");
    assert_eq!(http::post(&daemon.url("/api/v1/events"), note.to_json()).status, 200);
    daemon.stop();
    let daemon = Daemon::on(folder.path());
    let found = http::get(&daemon.url(&format!("/api/v1/events/{}", note.id)));
    assert_eq!(found.json(), json!(note));
}

#[test]
fn sigterm_and_sigint_say_good_bye_to_clients_and_exit_with_0() {
    for signal in ["TERM", "INT"] {
        let mut daemon = Daemon::start();
        run(async {
            let mut client = Socket::open(&daemon).await;
            client.nothing_waits().await;
            daemon.signal(signal);
            assert_eq!(client.drained().await.1, 1_001, "going away");
        });
        assert_eq!(daemon.wait().code(), Some(0), "{}", daemon.log());
        assert!(TcpStream::connect(daemon.address()).is_err());
        assert!(!daemon.data().join("daemon.json").exists());
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let config = "[gateway.http]\nrequest_timeout = \"20s\"\n";
        let mut daemon = Daemon::with(config, &[]);
        // A request whose body never comes keeps the first stop waiting.
        let mut request = TcpStream::connect(daemon.address()).unwrap();
        request
            .write_all(b"POST /api/v1/query HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
            .unwrap();
        eventually("the request is being served", || {
            let status = http::get(&daemon.url("/api/v1/status")).json();
            (status["gateway"]["http_requests"].as_u64().unwrap() >= 2).then_some(())
        });
        daemon.signal("TERM");
        daemon.wait_for_log("a second signal ends the process at once");
        let asked = Instant::now();
        daemon.signal(signal);
        assert_eq!(daemon.wait().code(), Some(code), "{}", daemon.log());
        assert!(asked.elapsed() < Duration::from_secs(2));
    }
}

#[test]
fn an_occupied_port_is_named_with_a_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let (code, _, stderr) =
        output(nipworker().args(["run", "--listen", &address, "--data"]).arg(folder.path()));
    assert_eq!(code, Some(1));
    for part in [&*format!("cannot listen on {address}"), "in use", "--listen", "gateway.listen"] {
        assert!(stderr.contains(part), "no {part:?} in {stderr:?}");
    }
    assert!(!stderr.contains("panicked"));
}

#[test]
fn a_data_folder_that_cannot_be_made_or_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for data in [file.clone(), file.join("below")] {
        let (code, _, stderr) =
            output(nipworker().args(["run", "--listen", "127.0.0.1:0", "--data"]).arg(&data));
        assert_eq!(code, Some(1));
        let named = format!("data folder {}: cannot be made: ", data.display());
        assert!(stderr.contains(&named) && stderr.contains("--data"), "{stderr}");
        assert!(!stderr.contains("panicked"));
    }
}

#[cfg(unix)]
#[test]
fn a_data_folder_without_write_permission_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("read-only");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o555)).unwrap();
    // Root may write everywhere; then another folder that nobody may write stands in.
    let data = if fs::write(data.join("probe"), "").is_ok() { "/proc".into() } else { data };
    let (code, _, stderr) =
        output(nipworker().args(["run", "--listen", "127.0.0.1:0", "--data"]).arg(&data));
    assert_eq!(code, Some(1), "{stderr}");
    let named = format!("data folder {}: cannot be written: ", data.display());
    assert!(stderr.contains(&named), "{stderr}");
}

#[test]
fn a_damaged_store_is_set_aside_loudly_and_a_fresh_one_begun() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("events.redb");
    let garbage = b"this is no database at all, whatever its name says".repeat(100);
    fs::write(&store, &garbage).unwrap();
    let daemon = Daemon::on(folder.path());
    assert!(daemon.log().contains("events.redb"), "{}", daemon.log());
    assert_eq!(http::post(&daemon.url("/api/v1/events"), note("new").to_json()).status, 200);
    daemon.stop();
    let kept = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let kept: Vec<_> = kept.filter(|path| fs::read(path).unwrap() == garbage).collect();
    assert_eq!(kept.len(), 1, "the damaged file is kept under another name");
}

#[test]
fn a_damaged_store_is_refused_when_the_configuration_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("events.redb");
    fs::write(&store, b"no database".repeat(1_000)).unwrap();
    let (code, _, stderr) = output(
        nipworker()
            .env("NIPWORKER_ENGINE__STORE__SET_ASIDE_DAMAGED", "false")
            .args(["run", "--listen", "127.0.0.1:0", "--data"])
            .arg(folder.path()),
    );
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("events.redb"), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    assert_eq!(fs::read(&store).unwrap(), b"no database".repeat(1_000));
}

#[cfg(unix)]
#[test]
fn a_terminal_that_closes_stops_the_daemon_in_order() {
    let mut daemon = Daemon::start();
    let beacon = daemon.data().join("daemon.json");
    assert!(beacon.exists());
    daemon.signal("HUP");
    assert_eq!(daemon.wait().code(), Some(0), "{}", daemon.log());
    assert!(!beacon.exists());
}

#[test]
fn a_second_daemon_on_the_same_folder_is_refused_by_name() {
    let daemon = Daemon::start();
    let (code, _, stderr) =
        output(nipworker().args(["run", "--listen", "127.0.0.1:0", "--data"]).arg(daemon.data()));
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("events.redb"), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    assert_eq!(http::get(&daemon.url("/readyz")).status, 200, "the first one goes on");
}

#[test]
fn an_unreachable_relay_is_tried_again_and_seen_in_the_status() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let relay = format!("ws://{closed}");
    let config = "[gateway]\npublish_timeout = \"500ms\"\n";
    let daemon = Daemon::with(config, &["--relay", &relay]);
    let state = eventually("the attempts are seen", || {
        let relays = http::get(&daemon.url("/api/v1/status")).json()["engine"]["relays"].clone();
        let relay = relays.as_array()?.iter().find(|entry| entry.to_string().contains(&relay))?;
        (relay["dials"].as_u64()? >= 2).then(|| relay.clone())
    });
    assert!(state["last_error"].to_string().len() > 4, "{state}");
    let answer = http::post(&daemon.url("/api/v1/events"), note("kept here").to_json());
    assert_eq!((answer.status, answer.code().as_str()), (502, "no_relay_accepted"));
    assert_eq!(answer.json()["outcome"]["status"], "stored");
    assert_eq!(answer.json()["outcome"]["receipts"][0]["status"], "not_connected");
    assert_eq!(http::get(&daemon.url("/readyz")).status, 200);
    daemon.stop();
}

/// A limit on the size of files stands in for a full disk.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_refuses_events_by_its_name_and_loses_none_that_was_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    let binary = env!("CARGO_BIN_EXE_nipworker");
    command.args(["-c", "trap '' XFSZ; ulimit -f 4096; exec \"$0\" \"$@\"", binary, "run"]);
    let daemon = Daemon::spawn(command, folder.path());
    let (mut accepted, mut refused) = (Vec::new(), 0);
    for number in 0..100 {
        let note = note(&format!("{number}{}", "x".repeat(100_000)));
        let answer = http::post(&daemon.url("/api/v1/events"), note.to_json());
        match answer.status {
            200 => accepted.push(note),
            status => {
                assert_eq!((status, answer.code().as_str()), (503, "store_failed"));
                assert!(answer.text.contains("disk is full"), "{}", answer.text);
                refused += 1;
            }
        }
        if refused == 3 {
            break;
        }
    }
    assert!(refused == 3 && !accepted.is_empty(), "{refused} refused");
    daemon.wait_for_log("disk is full");
    assert_eq!(http::get(&daemon.url("/readyz")).status, 200);
    daemon.stop();
    let daemon = Daemon::on(folder.path());
    for note in accepted {
        let found = http::get(&daemon.url(&format!("/api/v1/events/{}", note.id)));
        assert_eq!(found.json(), json!(note));
    }
}

/// The store's file is cut off behind the daemon's back, and no restart is allowed: the first error
/// reaches the root, and the process ends with the reason.
#[test]
fn an_escalation_to_the_root_ends_the_process_with_1_and_the_failure() {
    // Nothing in memory: the question has to meet the file.
    let config = "[engine.store]\ncache_bytes = 0\nrecent_bytes = 0\n\
                  [engine.supervision]\nmax_restarts = 0\n";
    let mut daemon = Daemon::with(config, &[]);
    let lines: String = (0..100).map(|number| note(&number.to_string()).to_json() + "\n").collect();
    let stored = http::post_with(
        &daemon.url("/api/v1/events?relays=false"),
        "content-type",
        "application/x-ndjson",
        lines,
    );
    assert_eq!(stored.status, 200);
    let file = fs::File::options().write(true).open(daemon.data().join("events.redb")).unwrap();
    file.set_len(0).unwrap();
    // The answer may be an error or none at all: the process ends meanwhile.
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    drop(agent.post(daemon.url("/api/v1/query")).send(r#"{"kinds":[1]}"#));
    assert_eq!(daemon.wait().code(), Some(1), "{}", daemon.log());
    let told = daemon.wait_for_log("the engine gave up: ");
    assert!(told.contains("cache") && told.contains("database is corrupt"), "{told}");
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
}
