//! `nipworker mine` and `nipworker bench` as a user runs them.

use std::time::Duration;

use nipworker_tests::{
    daemon::Home,
    events::Author,
    peer::PeerClient,
    process::{Finished, Process, run},
    relay::{Relay, nobody},
    turn,
    wait::eventually,
};
use serde_json::{Value, json};

const END: Duration = Duration::from_secs(60);

/// A key in nsec form, and its public key in hex.
fn key(home: &Home) -> (String, String) {
    let key = home.run(&["key", "generate", "--json"], "");
    let key: Value = serde_json::from_str(key.stdout.trim()).unwrap();
    let text =
        |name: &str| key[name].as_str().unwrap_or_else(|| panic!("{name}: {key}")).to_owned();
    (text("nsec"), text("public_key"))
}

/// `nipworker mine` with a signing key.
fn mine(home: &Home, nsec: &str, arguments: &[&str], input: &str) -> Finished {
    let mut command = home.command();
    command.env("NIPWORKER_SIGNER__KEY", nsec).arg("mine").args(arguments);
    run(command, input, END)
}

fn json_of(finished: &Finished) -> Value {
    serde_json::from_str(finished.stdout.trim())
        .unwrap_or_else(|error| panic!("{error}: {:?}\n{}", finished.stdout, finished.stderr))
}

#[tokio::test]
async fn plain_text_on_standard_input_becomes_a_mined_note() {
    let _turn = turn::beside_others().await;
    let home = Home::new();
    let (nsec, pubkey) = key(&home);
    let mined =
        mine(&home, &nsec, &["-", "--sign", "--difficulty", "18"], "good \"morning\"\nall\n");
    assert_eq!(mined.code, Some(0), "{}", mined.stderr);
    let event = json_of(&mined);
    assert_eq!(event["content"], "good \"morning\"\nall");
    assert_eq!((&event["kind"], &event["pubkey"]), (&json!(1), &json!(pubkey)));
    super::check(&event).await;
    assert_eq!(PeerClient::nostr_tools().ask("verify", json!({ "event": event })).await, true);
}

#[tokio::test]
async fn a_published_note_is_at_the_relay_with_its_work() {
    let _turn = turn::beside_others().await;
    let home = Home::new();
    let relay = Relay::local().await;
    let (nsec, _) = key(&home);
    let arguments =
        ["--text", "mined and sent", "--difficulty", "18", "--publish", "--relay", &relay.url()];
    let mined = mine(&home, &nsec, &arguments, "");
    assert_eq!(mined.code, Some(0), "{}", mined.stderr);
    assert!(mined.stderr.contains("accepted"), "no receipt: {}", mined.stderr);
    let event = json_of(&mined);
    super::check(&event).await;
    let mut reader = PeerClient::rust_nostr();
    reader.connect(&relay.url()).await;
    let found = reader.ask("fetch", json!({ "filters": [{ "ids": [event["id"]] }] })).await;
    assert_eq!(found, json!([event]), "the relay has it");
}

#[tokio::test]
async fn a_note_that_no_relay_takes_is_printed_and_the_exit_code_says_so() {
    let _turn = turn::beside_others().await;
    let home = Home::new();
    let (nsec, _) = key(&home);
    let refusing = Relay::local_refusing("blocked: not you").await;
    // Who refuses has as long as it takes; for nobody the whole time is waited.
    let cases = [(refusing.url(), "not you", "60s"), (nobody(), "no", "1s")];
    for (url, word, timeout) in cases {
        let arguments = [
            "--text",
            "nobody wants it",
            "--difficulty",
            "8",
            "--publish",
            "--relay",
            &url,
            "--publish-timeout",
            timeout,
            "--json",
        ];
        let mined = mine(&home, &nsec, &arguments, "");
        assert_eq!(mined.code, Some(1), "{url}: {}", mined.stderr);
        let report = json_of(&mined);
        assert_eq!(report["outcome"], "found", "the work is not lost: {report}");
        assert_eq!(report["publish"]["accepted"], false, "{report}");
        let receipts = report["publish"]["receipts"].to_string();
        assert!(receipts.contains(word), "{url}: {receipts}");
    }
}

#[tokio::test]
async fn a_relay_that_demands_work_takes_a_note_that_has_it_and_no_other() {
    let _turn = turn::beside_others().await;
    let home = Home::new();
    let relay = Relay::local_with_pow(14).await;
    let (nsec, _) = key(&home);
    // An id may have 14 bits by luck, but not each of three.
    let mut codes = Vec::new();
    for text in ["one", "two", "three"] {
        let arguments = ["--text", text, "--difficulty", "1", "--publish", "--relay", &relay.url()];
        let mined = mine(&home, &nsec, &arguments, "");
        if mined.code != Some(0) {
            assert!(mined.stderr.contains("pow:"), "the relay's reason: {}", mined.stderr);
        }
        codes.push(mined.code);
    }
    assert!(codes.contains(&Some(1)), "{codes:?}");
    let arguments = ["--text", "four", "--difficulty", "14", "--publish", "--relay", &relay.url()];
    let mined = mine(&home, &nsec, &arguments, "");
    assert_eq!(mined.code, Some(0), "{}", mined.stderr);
}

/// User time of a process, in hundredths of a second (proc(5): field 14 of `stat`).
fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a live process");
    let after_name = stat.rsplit(") ").next().expect("fields after the name");
    after_name.split(' ').nth(11).and_then(|ticks| ticks.parse().ok()).expect("user time")
}

#[tokio::test]
async fn an_interrupted_search_tells_the_best_it_had() {
    let _turn = turn::beside_others().await;
    for (signal, name) in [(libc::SIGINT, "SIGINT"), (libc::SIGTERM, "SIGTERM")] {
        let home = Home::new();
        let mut command = home.command();
        command.args(["mine", "--text", "endless", "--difficulty", "200"]);
        command.args(["--pubkey", &"7".repeat(64)]);
        let mut process = Process::start(command);
        eventually("the search has begun", END, async || {
            process.stderr().contains("mining 200 bits").then_some(())
        })
        .await;
        // Until there is something to tell: the first batches, which find a few bits, take less.
        let begun = cpu_ticks(process.id());
        eventually("a quarter of a second of work", END, async || {
            (cpu_ticks(process.id()) >= begun + 25).then_some(())
        })
        .await;
        process.signal(signal);
        let status = process.exit(Duration::from_secs(10));
        assert_eq!(status.code(), Some(1), "{name}: {}", process.stderr());
        let stderr = eventually("its last words", END, async || {
            Some(process.stderr()).filter(|text| text.contains("of 200 bits"))
        })
        .await;
        let best = stderr.split("the best id has ").nth(1).expect("the best so far");
        let best: u32 = best.split_whitespace().next().unwrap().parse().unwrap();
        assert!((1..200).contains(&best), "{name}: {stderr}");
        assert!(stderr.contains(name), "{stderr}");
    }
}

#[tokio::test]
async fn what_cannot_be_mined_ends_with_a_message_and_an_exit_code() {
    let _turn = turn::beside_others().await;
    let home = Home::new();
    let author = Author::new();
    let template = json!(author.template(1, vec![], "x", 1_700_000_000)).to_string();
    let signed = json!(author.note("signed")).to_string();
    let huge = json!(author.template(1, vec![], &"x".repeat(2_000_000), 1)).to_string();
    let cases: &[(&[&str], &str, i32, &str)] = &[
        (&["--difficulty", "257"], &template, 2, "257"),
        (&["--difficulty=-1"], &template, 2, "-1"),
        (&["--difficulty", "many"], &template, 2, "many"),
        (&[], &template, 2, "--difficulty"),
        (&["--difficulty", "8", "--threads", "0"], &template, 2, "threads"),
        (&["--difficulty", "8", "--timeout", "0"], &template, 2, "0"),
        (&["--difficulty", "8", "--timeout=-3s"], &template, 2, "-3s"),
        (&["--difficulty", "8", "--max-attempts", "0"], &template, 2, "max-attempts"),
        (&["--difficulty", "8"], &signed, 1, "signed"),
        (&["--difficulty", "8"], &huge, 1, "bytes"),
        (&["--difficulty", "8"], "{\"kind\":1", 1, "not an event"),
        (&["--difficulty", "8"], "", 1, "nothing"),
        (&["--difficulty", "8", "--sign"], &template, 2, "key"),
        (&["--difficulty", "200", "--timeout", "300ms"], &template, 1, "best id has"),
        (&["--difficulty", "200", "--max-attempts", "5000"], &template, 1, "5000 attempts"),
    ];
    for (arguments, input, code, word) in cases {
        let arguments: Vec<&str> = [&["mine", "-"], *arguments].concat();
        let ended = home.run(&arguments, input);
        assert_eq!(ended.code, Some(*code), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(word), "{arguments:?} does not say {word}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{arguments:?}");
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    }
}

/// Number of a processor that this process may use; not every one has number 0.
fn a_cpu_of_ours() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let allowed = status.split("Cpus_allowed_list:").nth(1).expect("the list of processors");
    let first = allowed.trim_start().split(|c: char| !c.is_ascii_digit()).next();
    first.and_then(|number| number.parse().ok()).expect("the first of them")
}

#[tokio::test]
async fn cpus_that_do_not_exist_are_an_error_that_names_them() {
    let _turn = turn::beside_others().await;
    let home = Home::new();
    let template = json!(Author::new().template(1, vec![], "x", 1_700_000_000)).to_string();
    let cases = [("[0, 4095]", "4095"), ("\"diagonal\"", "placement"), ("[]", "placement")];
    for (placement, word) in cases {
        let file = home.path().join("placement.toml");
        std::fs::write(&file, format!("[engine.miner]\nplacement = {placement}\n")).unwrap();
        let config = file.to_str().unwrap();
        let ended = home.run(&["mine", "-", "--difficulty", "8", "--config", config], &template);
        assert_ne!(ended.code, Some(0), "{placement}: {}", ended.stdout);
        assert!(ended.stderr.contains(word), "{placement} does not say {word}: {}", ended.stderr);
    }
    let cpu = a_cpu_of_ours();
    let placed = format!("[engine.miner]\nplacement = [{cpu}]\nthreads = 2\n");
    std::fs::write(home.path().join("one.toml"), placed).unwrap();
    let arguments = ["mine", "-", "--difficulty", "8", "--json", "--config", "one.toml"];
    let mined = home.run(&arguments, &template);
    assert_eq!(mined.code, Some(0), "{}", mined.stderr);
    for thread in json_of(&mined)["threads"].as_array().unwrap() {
        assert_eq!((&thread["core"], &thread["pinned"]), (&json!(cpu), &json!(true)), "{thread}");
    }
}

#[tokio::test]
async fn each_kernel_can_be_forced_and_an_unknown_one_is_refused_with_the_known() {
    let _turn = turn::beside_others().await;
    let home = Home::new();
    let template = json!(Author::new().template(1, vec![], "by name", 1_700_000_000)).to_string();
    let mine = |kernel: &str| {
        let mut command = home.command();
        command.env("NIPWORKER_ENGINE__MINER__KERNEL", kernel);
        command.args(["mine", "-", "--difficulty", "18"]);
        run(command, &template, END)
    };
    let refused = mine("abacus");
    assert_ne!(refused.code, Some(0));
    let known = refused.stderr.contains("abacus") && refused.stderr.contains("portable");
    assert!(known, "{}", refused.stderr);
    let mined = mine("portable");
    assert_eq!(mined.code, Some(0), "{}", mined.stderr);
    super::check(&json_of(&mined)).await;
}

#[tokio::test]
async fn bench_gives_figures_that_agree_with_each_other() {
    let _turn = turn::alone().await;
    let home = Home::new();
    // Two rates of one kernel are taken one after the other: where other programs take the processor
    // between them they differ, so that a run is repeated. A wrong figure is wrong in every run.
    let mut runs = 0;
    let report = loop {
        let ended = home.run(&["bench", "--seconds", "3", "--threads", "2", "--json"], "");
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let report = json_of(&ended);
        runs += 1;
        match contradiction(&report) {
            None => break report,
            Some(found) => assert!(runs < 5, "in each of {runs} runs, at last: {found}"),
        }
    };
    let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("{value} in {report}"));
    let kernels = report["kernels"].as_array().expect("kernels");
    assert!(kernels.iter().any(|kernel| kernel["name"] == "portable"), "{report}");
    let chosen: Vec<_> = kernels.iter().filter(|kernel| kernel["chosen"] == true).collect();
    assert_eq!(chosen.len(), 1, "{report}");
    for kernel in kernels {
        let figures = |name: &str| kernel[name].as_array().expect("a figure per length").to_vec();
        let (raw, mined) = (figures("raw_per_cpu_second"), figures("mined_per_cpu_second"));
        for (raw, mined) in raw.iter().zip(&mined) {
            let (raw, mined) = (number(raw), number(mined));
            // From a slow build to more than any processor of today does.
            assert!((1e5..1e9).contains(&raw), "{kernel}");
            assert!(mined > 0.0, "{kernel}");
        }
        for (ns, rate) in figures("raw_ns_per_hash").iter().zip(&raw) {
            assert!((number(ns) * number(rate) / 1e9 - 1.0).abs() < 0.01, "{kernel}");
        }
    }
    let steps = report["scaling"].as_array().expect("scaling");
    assert_eq!(steps.iter().map(|step| &step["threads"]).collect::<Vec<_>>(), [1, 2]);
    let feed = report["feed"]["threads"].as_array().expect("threads");
    assert_eq!(feed.len(), 2, "{report}");
    for thread in feed {
        assert_eq!(thread["starved_ns"], 0, "{thread}");
        assert!((90.0..=100.0).contains(&number(&thread["busy_percent"])), "{thread}");
    }
    let latency = &report["latency"];
    assert!(number(&latency["cancel_p50_ms"]) <= number(&latency["cancel_p99_ms"]), "{latency}");
    // The same for a person.
    let text = home.run(&["bench", "--seconds", "2", "--threads", "1"], "");
    assert_eq!(text.code, Some(0), "{}", text.stderr);
    for kernel in kernels {
        let name = kernel["name"].as_str().unwrap();
        assert!(text.stdout.contains(name), "{name} is not in {}", text.stdout);
    }
}

/// What in a report cannot be true of one kernel, if anything.
fn contradiction(report: &Value) -> Option<String> {
    for kernel in report["kernels"].as_array()? {
        let rate = |name: &str, at: usize| kernel[name][at].as_f64().unwrap_or(f64::NAN);
        for at in [0, 1] {
            let share = rate("mined_per_cpu_second", at) / rate("raw_per_cpu_second", at);
            if !(0.05..1.5).contains(&share) {
                return Some(format!("a search is not its kernel: {kernel}"));
            }
        }
        let (short, long) = (rate("raw_per_cpu_second", 0), rate("raw_per_cpu_second", 1));
        if short.partial_cmp(&(1.5 * long)) != Some(std::cmp::Ordering::Greater) {
            return Some(format!("one block beside five: {kernel}"));
        }
    }
    None
}
