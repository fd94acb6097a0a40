//! Jobs that go on with the next client.
#![allow(clippy::unwrap_used)]

mod common;

use std::{fs, path::Path};

use common::{PATIENCE, eventually, work};
use nipworker_core::{
    ClientConfig, ClientError, FOUND_KEPT_MAX, FileSetting, JobPhase, MineOptions, MiningOutcome,
    NostrClient, StartError,
};
use serde_json::Value;

fn config(file: &Path) -> ClientConfig {
    let mut config = ClientConfig::default();
    config.miner.threads = 1;
    config.crypto.threads = 1;
    config.miner.checkpoint = FileSetting::At(file.to_owned());
    config
}

async fn start(file: &Path) -> NostrClient {
    NostrClient::new(config(file)).await.unwrap()
}

fn attempts(limit: u64) -> MineOptions {
    MineOptions { max_attempts: Some(limit), ..MineOptions::default() }
}

fn saved(file: &Path) -> Value {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

/// Indices tried by the threads of this client.
fn tried(client: &NostrClient) -> u64 {
    client.status().mining.pool.unwrap().attempts
}

#[tokio::test]
async fn a_job_goes_on_with_the_next_client_where_the_last_one_was() {
    const LIMIT: u64 = 120_000_000;
    const STEP: u64 = LIMIT / 20;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jobs.json");
    let mut client = start(&file).await;
    let job = client.mine_with(work("long"), 256, attempts(LIMIT)).await.unwrap().detach();
    let mut done = 0;
    for _ in 0..3 {
        let view = client.job(job).unwrap();
        eventually("it gets on", || view.progress().attempts >= done + STEP).await;
        client.close().await;
        let kept = saved(&file)["book"]["jobs"][0]["attempts"].as_u64().unwrap();
        assert!(kept >= done + STEP, "what was tried is kept: {kept} after {done}");
        done = kept;

        client = start(&file).await;
        let checkpoint = client.status().mining.checkpoint.unwrap();
        assert_eq!((checkpoint.restored, checkpoint.refused.len()), (1, 0));
        assert!(client.job(job).unwrap().progress().attempts >= done);
    }
    let solved = tokio::time::timeout(PATIENCE, client.job(job).unwrap().solved()).await;
    assert_eq!(solved.unwrap(), Ok(MiningOutcome::Exhausted { attempts: LIMIT }));
    assert_eq!(tried(&client), LIMIT - done, "no range was tried twice");
    assert_eq!(client.status().mining.jobs[0].doubled, 0);
    client.close().await;
    assert_eq!(saved(&file)["book"]["jobs"], Value::Array(vec![]), "what has ended is not kept");
}

#[tokio::test]
async fn a_paused_job_stays_paused_and_a_number_is_given_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jobs.json");
    let client = start(&file).await;
    let ended = client.mine(work("ended"), 1).await.unwrap();
    ended.solved().await.unwrap();
    let paused = client.mine(work("paused"), 256).await.unwrap().detach();
    client.pause_job(paused, true).await.unwrap();
    client.close().await;

    let client = start(&file).await;
    let progress = client.jobs();
    assert_eq!(progress.len(), 1, "{progress:?}");
    assert_eq!((progress[0].job, progress[0].phase), (paused, JobPhase::Paused));
    assert_eq!(progress[0].difficulty_bits, Some(256));
    let next = client.mine(work("next"), 256).await.unwrap();
    assert!(next.job() > paused && next.job() != ended.job());
    client.close().await;
}

#[tokio::test]
async fn a_job_that_somebody_owns_ends_with_its_owner_and_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jobs.json");
    let client = start(&file).await;
    let owned = client.mine(work("owned"), 256).await.unwrap();
    let dropped = client.mine(work("dropped"), 256).await.unwrap();
    let detached = client.mine(work("detached"), 256).await.unwrap().detach();
    let cancelled = client.mine(work("cancelled"), 256).await.unwrap().detach();
    drop(dropped);
    client.cancel_job(cancelled).await.unwrap();
    eventually("the file is written", || {
        let jobs = saved(&file)["book"]["jobs"].clone();
        jobs.as_array().unwrap().iter().map(|job| job["id"].as_u64()).eq([Some(detached)])
    })
    .await;
    client.close().await;
    drop(owned);

    let client = start(&file).await;
    assert_eq!(client.jobs().iter().map(|job| job.job).collect::<Vec<_>>(), [detached]);
    client.close().await;
}

#[tokio::test]
async fn what_was_found_waits_over_restarts_until_it_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jobs.json");
    let mut client = start(&file).await;
    let job = client.mine(work("found"), 10).await.unwrap().detach();
    let solved = tokio::time::timeout(PATIENCE, client.job(job).unwrap().solved()).await;
    let solved = solved.unwrap().unwrap();
    assert!(matches!(solved, MiningOutcome::Found { .. }), "{solved:?}");
    for _ in 0..2 {
        client.close().await;
        client = start(&file).await;
        assert_eq!(client.job(job).unwrap().outcome(), Some(Ok(solved.clone())));
    }
    assert_eq!(tried(&client), 0, "nothing is tried again");
    let other = client.mine(work("other"), 256).await.unwrap();
    assert_eq!(client.forget_job(other.job()), Ok(false), "it has not ended");
    assert_eq!(client.forget_job(job), Ok(true));
    assert!(matches!(client.forget_job(job), Err(ClientError::NotFound(_))));
    client.close().await;
    assert_eq!(saved(&file)["book"]["jobs"], Value::Array(vec![]));
}

#[tokio::test]
async fn of_what_was_found_the_last_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jobs.json");
    let client = start(&file).await;
    let going = client.mine(work("goes on"), 256).await.unwrap().detach();
    let mut last = 0;
    for text in 0..FOUND_KEPT_MAX + 3 {
        let job = client.mine(work(&text.to_string()), 0).await.unwrap();
        job.solved().await.unwrap();
        last = job.detach();
    }
    client.close().await;
    let kept = saved(&file)["book"]["jobs"].clone();
    let kept: Vec<_> =
        kept.as_array().unwrap().iter().filter_map(|job| job["id"].as_u64()).collect();
    assert_eq!((kept.len(), kept[0]), (FOUND_KEPT_MAX + 1, going));
    assert_eq!((kept[1], kept.last()), (last + 1 - FOUND_KEPT_MAX as u64, Some(&last)));
}

#[tokio::test]
async fn a_job_is_kept_again_and_again_while_it_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jobs.json");
    let client = start(&file).await;
    client.mine(work("on and on"), 256).await.unwrap().detach();
    let kept = || saved(&file)["book"]["jobs"][0]["attempts"].as_u64();
    eventually("it is kept", || kept().is_some()).await;
    let first = kept();
    // Nobody asks for it: this is the file's own time.
    eventually("it is kept again", || kept() > first).await;
    let status = || client.status().mining.checkpoint.unwrap();
    eventually("it is counted", || status().writes >= 3).await;
    assert!(status().written_at.is_some(), "{:?}", status());
    assert_eq!((status().jobs, status().file), (1, file.clone()));
    client.close().await;
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jobs.json");
    fs::write(&file, "{\"version\":1,\"next_job\":7,\"bo").unwrap();

    let client = start(&file).await;

    let status = client.status().mining.checkpoint.unwrap();
    let aside = status.set_aside.unwrap();
    assert_eq!(fs::read_to_string(aside).unwrap(), "{\"version\":1,\"next_job\":7,\"bo");
    assert_eq!((status.restored, status.jobs, status.last_error), (0, 0, None));
    assert_eq!(saved(&file)["version"], 1, "a fresh one is begun");
    client.close().await;
}

#[tokio::test]
async fn a_job_that_cannot_be_taken_over_is_named_and_its_file_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jobs.json");
    let client = start(&file).await;
    let good = client.mine(work("good"), 256).await.unwrap().detach();
    let strange = client.mine(work("strange"), 256).await.unwrap().detach();
    let lying = client.mine(work("lying"), 256).await.unwrap().detach();
    client.close().await;
    let mut changed = saved(&file);
    for job in changed["book"]["jobs"].as_array_mut().unwrap() {
        match job["id"].as_u64() {
            Some(id) if id == strange => job["request"]["workload"] = "abacus".into(),
            Some(id) if id == lying => {
                job["attempts"] = (job["attempts"].as_u64().unwrap() + 1).into();
            }
            _ => {}
        }
    }
    let text = changed.to_string();
    fs::write(&file, &text).unwrap();

    let client = start(&file).await;

    let status = client.status().mining.checkpoint.unwrap();
    assert_eq!((status.restored, status.refused.len()), (1, 2), "{status:?}");
    assert!(status.refused[0].contains("abacus"), "{status:?}");
    assert!(status.refused[1].contains(&format!("job {lying}")), "{status:?}");
    assert_eq!(fs::read_to_string(status.set_aside.unwrap()).unwrap(), text);
    assert_eq!(client.jobs()[0].job, good);
    client.close().await;
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_told_at_the_start() {
    let refused = async |file: &Path| match NostrClient::new(config(file)).await.map(drop) {
        Err(StartError::Checkpoint(why)) => why,
        other => panic!("{other:?}"),
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jobs.json");
    let client = start(&file).await;
    assert!(refused(&file).await.contains("in use"));
    client.close().await;
    drop(client);

    fs::write(&file, "{\"version\":99}").unwrap();
    assert!(refused(&file).await.contains("version 99"));
    assert_eq!(fs::read_to_string(&file).unwrap(), "{\"version\":99}", "it stays");

    let below = file.join("jobs.json");
    assert!(refused(&below).await.contains("jobs.json"));
}

#[tokio::test]
async fn without_a_file_nothing_is_kept_and_nothing_is_written() {
    let client = NostrClient::new(ClientConfig::default()).await.unwrap();
    client.mine(work("forgotten"), 256).await.unwrap().detach();
    assert_eq!(client.status().mining.checkpoint, None);
    client.close().await;
    let client = NostrClient::new(ClientConfig::default()).await.unwrap();
    assert!(client.jobs().is_empty());
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_wait_for_the_file_share_its_writes_and_find_their_jobs_in_it() {
    const JOBS: usize = 40;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jobs.json");
    let client = start(&file).await;
    let mut waiting = Vec::new();
    for number in 0..JOBS {
        let job = client.mine(work(&format!("kept {number}")), 256).await.unwrap().detach();
        let (client, file) = (client.clone(), file.clone());
        waiting.push(tokio::task::spawn_blocking(move || {
            assert!(client.keep_jobs());
            let saved = saved(&file);
            let jobs = saved["book"]["jobs"].as_array().unwrap();
            assert!(jobs.iter().any(|kept| kept["id"] == job), "{job} is not in the file");
        }));
    }
    for one in waiting {
        one.await.unwrap();
    }
    client.close().await;
    assert!(!client.keep_jobs(), "nothing is written any more");
}
