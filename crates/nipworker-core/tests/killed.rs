//! kill -9: a job goes on with the next process, and no range that was kept is tried again.
//!
//! The test starts itself as a child that mines one long job and has it kept now and then. It kills
//! the child at a moment of its own choice, several times over, and finishes the job itself.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nipworker_core::{
    ClientConfig, FileSetting, MineOptions, MiningOutcome, NostrClient,
    protocol::{PublicKey, UnsignedEvent},
};
use serde_json::Value;

const NAME: &str = "a_job_goes_on_after_every_kill_and_repeats_nothing_that_was_kept";
const KILLS: u64 = 4;
/// Nonces of the job.
const LIMIT: u64 = 240_000_000;
/// Nonces that a child tries at least before it is killed.
const STEP: u64 = LIMIT / 20;
const PATIENCE: Duration = Duration::from_secs(120);

fn main() {
    let arguments: Vec<String> = env::args().collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match arguments.get(1).map(String::as_str) {
        Some("--mine") => runtime.block_on(mine_until_killed(Path::new(&arguments[2]))),
        Some("--list") => println!("{NAME}: test"),
        _ => runtime.block_on(a_job_goes_on_after_every_kill_and_repeats_nothing_that_was_kept()),
    }
}

async fn start(file: &Path) -> NostrClient {
    let mut config = ClientConfig::default();
    config.miner.threads = 2;
    config.crypto.threads = 1;
    config.miner.checkpoint = FileSetting::At(file.to_owned());
    NostrClient::new(config).await.unwrap()
}

fn note(text: &str) -> UnsignedEvent {
    UnsignedEvent::new(PublicKey::from_bytes([2; 32]), 1_700_000_000, 1, vec![], text)
}

async fn mine_until_killed(file: &Path) {
    let client = start(file).await;
    if client.jobs().is_empty() {
        let options = MineOptions { max_attempts: Some(LIMIT), ..MineOptions::default() };
        client.mine_with(note("long"), 256, options).await.unwrap().detach();
    }
    let mut out = std::io::stdout().lock();
    loop {
        // Letting go of a job has the file written; there is no need to wait for its time.
        client.mine(note("short"), 0).await.unwrap().detach();
        writeln!(out, "{}", client.jobs()[0].attempts).unwrap();
        out.flush().unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Ends the child whatever becomes of the test.
struct Victim(Child);

impl Drop for Victim {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn saved(file: &Path) -> Vec<Value> {
    let text = fs::read(file).expect("a killed writer leaves the file or the one before it");
    let saved: Value = serde_json::from_slice(&text).expect("never a part of one");
    saved["book"]["jobs"].as_array().unwrap().clone()
}

fn attempts(jobs: &[Value]) -> u64 {
    jobs.iter().map(|job| job["attempts"].as_u64().unwrap()).sum()
}

async fn a_job_goes_on_after_every_kill_and_repeats_nothing_that_was_kept() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jobs.json");
    let started = Instant::now();
    let mut kept = 0;
    for kill in 0..KILLS {
        let child = Command::new(env::current_exe().unwrap())
            .arg("--mine")
            .arg(&file)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut victim = Victim(child);
        let lines = BufReader::new(victim.0.stdout.take().unwrap()).lines();
        for line in lines {
            assert!(started.elapsed() < PATIENCE, "the child makes no progress");
            let tried: u64 = line.expect("the child lives").parse().unwrap();
            assert!(tried >= kept, "it goes on where the file stands: {tried} after {kept}");
            // Killed at another distance from a write each time.
            if tried >= kept + STEP {
                std::thread::sleep(Duration::from_micros(kill * 1_700));
                break;
            }
        }
        drop(victim);
        // The long job is the first; what the others have found is there as well.
        let now = attempts(&saved(&file)[..1]);
        assert!(now > kept, "kill {kill}: {now} attempts are kept, there were {kept}");
        kept = now;
    }
    assert!(kept < LIMIT, "the job is not over before it was killed often enough");

    let client = start(&file).await;
    assert_eq!(attempts(&saved(&file)[..1]), kept);
    let before = attempts(&saved(&file));
    let long = client.jobs()[0].job;
    let view = client.job(long).unwrap();
    let solved = tokio::time::timeout(PATIENCE, view.solved()).await.unwrap();
    assert_eq!(solved, Ok(MiningOutcome::Exhausted { attempts: LIMIT }));
    for job in client.jobs() {
        let view = client.job(job.job).unwrap();
        tokio::time::timeout(PATIENCE, view.solved()).await.unwrap().unwrap();
    }
    let status = client.status().mining;
    let tried: u64 = status.jobs.iter().map(|job| job.attempts).sum();
    assert!(status.jobs.iter().all(|job| job.doubled == 0));
    // What the threads of this process tried is what was missing, to the last nonce.
    assert_eq!(status.pool.unwrap().attempts, tried - before);
    client.close().await;
    println!("{NAME}: ok, {KILLS} kills, {} ms", started.elapsed().as_millis());
}
