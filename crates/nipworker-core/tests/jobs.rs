//! Mining jobs, with and without owners.
#![allow(clippy::unwrap_used)]

mod common;

use std::{path::PathBuf, time::Duration};

use common::{PATIENCE, eventually, work};
use nipworker_core::{
    ClientConfig, ClientError, FileSetting, JobPhase, MineOptions, MiningOutcome, NostrClient,
    Placement, Remine, Reserve, StartError,
};

async fn start(change: impl FnOnce(&mut ClientConfig)) -> NostrClient {
    try_start(change).await.unwrap()
}

async fn try_start(change: impl FnOnce(&mut ClientConfig)) -> Result<NostrClient, StartError> {
    let mut config = ClientConfig::default();
    config.miner.threads = 1;
    config.crypto.threads = 1;
    change(&mut config);
    NostrClient::new(config).await
}

#[tokio::test]
async fn a_detached_job_goes_on_and_is_found_by_its_number() {
    let client = start(|_| {}).await;
    let handle = client.mine(work("alone"), 256).await.unwrap();
    let job = handle.detach();

    let view = client.job(job).unwrap();
    let before = view.progress().attempts;
    eventually("it goes on", || view.progress().attempts > before).await;
    let progress = view.progress();
    assert_eq!((progress.job, progress.workload.as_str()), (job, "nip13"));
    assert_eq!((progress.difficulty_bits, progress.phase), (Some(256), JobPhase::Running));
    assert_eq!(client.jobs().iter().map(|job| job.job).collect::<Vec<_>>(), [job]);
    drop(view.clone());
    assert_eq!(view.outcome(), None, "dropping a view changes nothing");

    let attempts = client.cancel_job(job).await.unwrap();
    assert_eq!(view.outcome(), Some(Ok(MiningOutcome::Cancelled { attempts })));
    assert_eq!(view.progress().attempts, attempts, "nothing was counted after the answer");
    assert_eq!(client.cancel_job(job).await, Ok(attempts), "it may be said twice");
    client.close().await;
}

#[tokio::test]
async fn a_detached_job_has_its_solution_for_whoever_asks() {
    let client = start(|_| {}).await;
    let job = client.mine(work("found"), 10).await.unwrap().detach();

    let view = client.job(job).unwrap();
    let solved = tokio::time::timeout(PATIENCE, view.solved());
    let MiningOutcome::Found { event, id, bits, .. } = solved.await.unwrap().unwrap() else {
        panic!("10 bits are soon found");
    };

    assert_eq!(event.compute_id(), id);
    assert!(bits >= 10);
    assert_eq!(client.jobs()[0].phase, JobPhase::Ended);
    client.close().await;
}

#[tokio::test]
async fn a_job_that_was_given_up_while_the_miner_answered_is_no_job() {
    let client = start(|_| {}).await;
    for text in 0..50 {
        let text = text.to_string();
        let asked = client.mine(work(&text), 256);
        // Dropped at its first wait, or after some.
        drop(tokio::time::timeout(Duration::from_micros(50), asked).await);
    }
    eventually("all of them end", || client.jobs().iter().all(|job| job.phase == JobPhase::Ended))
        .await;
    client.close().await;
}

#[tokio::test]
async fn a_job_is_held_and_goes_on_by_its_number() {
    let client = start(|_| {}).await;
    let job = client.mine(work("held"), 256).await.unwrap().detach();
    client.pause_job(job, true).await.unwrap();
    assert_eq!(client.jobs()[0].phase, JobPhase::Paused);
    client.pause_job(job, false).await.unwrap();
    assert_eq!(client.jobs()[0].phase, JobPhase::Running);
    client.cancel_job(job).await.unwrap();
    client.close().await;
}

#[tokio::test]
async fn a_number_that_is_no_job_is_not_found() {
    let client = start(|_| {}).await;
    let not_found =
        |error: ClientError| assert_eq!(error, ClientError::NotFound("no job 9".into()));
    not_found(client.job(9).map(|view| view.job()).unwrap_err());
    not_found(client.cancel_job(9).await.unwrap_err());
    not_found(client.pause_job(9, true).await.unwrap_err());
    client.close().await;
}

#[tokio::test]
async fn what_no_job_can_keep_is_refused_with_the_reason() {
    let client = start(|_| {}).await;
    let refused = async |bits, options| {
        let error = client.mine_with(work("x"), bits, options).await.map(|job| job.job());
        let Err(ClientError::Invalid(reason)) = error else { panic!("{error:?}") };
        reason
    };
    let with = |change: fn(&mut MineOptions)| {
        let mut options = MineOptions::default();
        change(&mut options);
        options
    };
    for (bits, options, why) in [
        (8, with(|o| o.threads = Some(0)), "threads is 0, the least is 1"),
        (8, with(|o| o.max_attempts = Some(0)), "max_attempts is 0, the least is 1"),
        (
            8,
            with(|o| o.timeout = Some(Duration::ZERO)),
            "timeout is 0, which is over before it begins",
        ),
        (8, with(|o| o.cpu_percent = Some(0)), "cpu_percent is 0, allowed is 1 to 100 percent"),
        (8, with(|o| o.cpu_percent = Some(101)), "cpu_percent is 101, allowed is 1 to 100 percent"),
        (
            257,
            MineOptions::default(),
            "invalid nip13 input: difficulty 257 is out of range, allowed are 0 to 256 bits",
        ),
    ] {
        assert_eq!(refused(bits, options).await, why);
    }
    let huge = client.mine(work(&"x".repeat(1 << 20)), 8).await.map(|job| job.job());
    assert!(matches!(&huge, Err(ClientError::Invalid(why)) if why.contains("bytes")), "{huge:?}");
    assert!(client.jobs().is_empty());
    client.close().await;
}

#[tokio::test]
async fn a_share_of_the_time_reaches_the_job_and_is_kept() {
    let client = start(|_| {}).await;
    let options = MineOptions { cpu_percent: Some(10), ..MineOptions::default() };
    let job = client.mine_with(work("manners"), 256, options).await.unwrap();
    let throttled = || {
        let pool = client.status().mining.pool.unwrap();
        pool.threads.iter().map(|thread| thread.throttled_ns).sum::<u64>()
    };
    eventually("it steps back", || throttled() > 0).await;
    assert!(job.cancel().await.unwrap() > 0);
    client.close().await;
}

/// A field of `/proc/self/task/*/stat` of each mining thread, counted as in proc(5).
#[cfg(target_os = "linux")]
fn of_mining_threads(field: usize) -> Vec<i64> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    // A thread may end meanwhile.
    let stats =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("stat")).ok());
    stats
        .filter_map(|stat| {
            let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
            let worker = name.strip_prefix("miner-")?.parse::<u32>().is_ok();
            worker.then(|| rest.split(' ').nth(field - 3)?.parse().ok()).flatten()
        })
        .collect()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_nice_value_of_the_configuration_reaches_the_threads() {
    const NICE: usize = 19;
    assert!(!of_mining_threads(NICE).contains(&7), "no other test asks for it");
    let client = start(|config| config.miner.nice = 7).await;
    assert!(of_mining_threads(NICE).contains(&7));
    client.close().await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_idle_job_runs_when_nothing_else_wants_the_cpu() {
    const POLICY: usize = 41;
    const SCHED_IDLE: i64 = 5;
    let client = start(|_| {}).await;
    let options = MineOptions { idle: true, ..MineOptions::default() };
    let job = match client.mine_with(work("leftovers"), 256, options).await {
        Ok(job) => job,
        // A container may forbid it; then it is said, not passed over.
        Err(error) => return assert!(matches!(error, ClientError::Unsupported(_)), "{error}"),
    };
    eventually("its thread is idle", || of_mining_threads(POLICY).contains(&SCHED_IDLE)).await;
    job.cancel().await.unwrap();
    client.close().await;
}

#[tokio::test]
async fn the_kernel_is_chosen_or_forced_and_shown() {
    let client = start(|_| {}).await;
    let chosen = client.status().mining.kernel;
    client.close().await;
    assert!(!chosen.forced);
    let fastest = chosen.measured.iter().min_by(|a, b| a.ns_per_hash.total_cmp(&b.ns_per_hash));
    if let Some(fastest) = fastest {
        assert_eq!(chosen.name, fastest.name);
        assert!(fastest.ns_per_hash > 0.0);
    }
    assert_eq!(chosen.rejected, Vec::<String>::new());

    for kernel in nipworker_core::pow::kernels() {
        let client = start(|config| config.miner.kernel = kernel.name().to_owned()).await;
        let status = client.status().mining.kernel;
        assert_eq!((status.name.as_str(), status.forced), (kernel.name(), true));
        let job = client.mine(work("by name"), 9).await.unwrap();
        let solved = tokio::time::timeout(PATIENCE, job.solved()).await.unwrap().unwrap();
        assert!(matches!(solved, MiningOutcome::Found { bits: 9.., .. }), "{solved:?}");
        client.close().await;
    }
}

#[tokio::test]
async fn threads_go_where_the_configuration_says_or_the_client_does_not_start() {
    let client = start(|config| {
        config.miner.threads = 0;
        config.miner.placement = Placement::Explicit(vec![0, 0]);
    })
    .await;
    let pool = client.status().mining.pool.unwrap();
    assert_eq!(pool.threads.iter().map(|thread| thread.core).collect::<Vec<_>>(), [Some(0); 2]);
    client.close().await;

    let refused = async |change: fn(&mut ClientConfig)| match try_start(change).await.map(drop) {
        Err(StartError::Config { key, problem }) => (key, problem),
        other => panic!("{other:?}"),
    };
    let (key, problem) = refused(|c| c.miner.placement = Placement::Explicit(vec![4_000])).await;
    assert_eq!(key, "miner.placement");
    assert!(problem.starts_with("cpu 4000 does not exist"), "{problem}");
    let (key, problem) = refused(|c| c.miner.reserve = Reserve::Cpus(4_000)).await;
    assert_eq!(key, "miner.reserve");
    assert!(problem.starts_with("a reserve of 4000 leaves none"), "{problem}");
}

#[test]
fn a_wrong_setting_of_the_miner_is_named_by_its_key() {
    type Set = fn(&mut ClientConfig);
    let cases: [(&str, Set); 9] = [
        ("miner.threads", |c| c.miner.threads = usize::MAX),
        ("miner.placement", |c| c.miner.placement = Placement::Explicit(vec![])),
        ("miner.reserve", |c| {
            c.miner.placement = Placement::Explicit(vec![0]);
            c.miner.reserve = Reserve::Cpus(1);
        }),
        ("miner.nice", |c| c.miner.nice = 20),
        ("miner.kernel", |c| c.miner.kernel = "abacus".to_owned()),
        ("miner.checkpoint", |c| c.miner.checkpoint = FileSetting::At(PathBuf::new())),
        ("miner.remine_max_bits", |c| c.miner.remine_max_bits = 257),
        ("miner.remine_timeout", |c| c.miner.remine_timeout = Duration::ZERO),
        ("miner.remine_timeout", |c| c.miner.remine_timeout = Duration::MAX),
    ];
    for (key, set) in cases {
        let mut config = ClientConfig::default();
        set(&mut config);
        let refused = config.validate();
        assert!(
            matches!(&refused, Err(StartError::Config { key: named, .. }) if named == key),
            "{key}: {refused:?}"
        );
    }
    let config = ClientConfig::default();
    config.validate().unwrap();
    assert_eq!(config.miner.remine, Remine::Off);
    assert_eq!(config.miner.checkpoint, FileSetting::Off);
}

#[test]
fn settings_of_the_miner_are_read_as_they_are_written() {
    let text = r#"{
        "placement": [0, 2], "reserve": 0, "nice": 19, "kernel": "portable",
        "checkpoint": "jobs.json", "remine": "refused", "remine_max_bits": 20,
        "remine_timeout": "5s"
    }"#;
    let config: nipworker_core::MinerConfig = serde_json::from_str(text).unwrap();
    assert_eq!(config.placement, Placement::Explicit(vec![0, 2]));
    assert_eq!((config.reserve, config.nice), (Reserve::Cpus(0), 19));
    assert_eq!(config.checkpoint, FileSetting::At("jobs.json".into()));
    assert_eq!((config.remine, config.remine_max_bits), (Remine::Refused, 20));
    let again = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<nipworker_core::MinerConfig>(&again).unwrap(), config);
    let auto: nipworker_core::MinerConfig =
        serde_json::from_str(r#"{"reserve":"auto","checkpoint":"off","placement":"pack"}"#)
            .unwrap();
    assert_eq!((auto.reserve, auto.checkpoint), (Reserve::Auto, FileSetting::Off));
    for (wrong, why) in [
        (r#"{"reserve":-1}"#, "a number of CPUs"),
        (r#"{"reserve":"some"}"#, "a number of CPUs"),
        (r#"{"checkpoint":""}"#, "an empty path"),
        (r#"{"checkpoint":7}"#, "the path of a file"),
        (r#"{"remine":"always"}"#, "unknown variant"),
        (r#"{"placement":"sideways"}"#, "spread"),
        (r#"{"pin":true}"#, "unknown field"),
    ] {
        let error = serde_json::from_str::<nipworker_core::MinerConfig>(wrong).unwrap_err();
        assert!(error.to_string().contains(why), "{wrong}: {error}");
    }
}
