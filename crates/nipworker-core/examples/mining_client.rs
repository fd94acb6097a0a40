//! Mines a note to a difficulty and shows the progress; Ctrl-C lets the job go on in the file
//! `mining-jobs.json`, and the next start finishes it.
//!
//! `cargo run --release -p nipworker-core --example mining_client -- 22 "hello, work"`
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::{env, error::Error, time::SystemTime};

use nipworker_core::protocol::{PublicKey, UnsignedEvent};
use nipworker_core::{
    ClientConfig, FileSetting, MineOptions, MiningOutcome, MiningView, NostrClient,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let bits: u16 = args.next().ok_or("first argument: difficulty in bits")?.parse()?;
    let text = args.next().ok_or("second argument: the note's text")?;

    let mut config = ClientConfig::default();
    config.miner.checkpoint = FileSetting::At("mining-jobs.json".into());
    let client = NostrClient::new(config).await?;
    let kernel = client.status().mining.kernel;
    eprintln!("kernel {}", kernel.name);

    let job = match client.jobs().first() {
        Some(left) => left.job,
        None => {
            let now = SystemTime::UNIX_EPOCH.elapsed()?.as_secs() as i64;
            // Anybody's key will do: the id does not depend on the signature, so whoever owns the
            // key signs the mined event later (NIP-13, delegated work).
            let author = env::var("AUTHOR").unwrap_or_else(|_| "02".repeat(32));
            let author = PublicKey::from_hex(&author)?;
            let note = UnsignedEvent::new(author, now, 1, vec![], text);
            // It takes what other programs leave over.
            let options = MineOptions { idle: cfg!(target_os = "linux"), ..MineOptions::default() };
            client.mine_with(note, bits, options).await?.detach()
        }
    };
    if watch(&client.job(job)?).await? {
        client.forget_job(job)?;
    }
    client.close().await;
    Ok(())
}

/// Shows the job's progress until it ends or somebody presses Ctrl-C; true if it ended.
async fn watch(job: &MiningView) -> Result<bool, Box<dyn Error>> {
    loop {
        tokio::select! {
            outcome = job.solved() => {
                match outcome? {
                    MiningOutcome::Found { event, id, bits, attempts } => {
                        eprintln!("{bits} bits after {attempts} attempts: {id}");
                        println!("{}", serde_json::to_string(&event)?);
                    }
                    other => eprintln!("ended without a result: {other:?}"),
                }
                return Ok(true);
            }
            _ = tokio::signal::ctrl_c() => {
                let progress = job.progress();
                eprintln!("job {} goes on later, best so far {} bits", progress.job, progress.best_bits);
                return Ok(false);
            }
            () = job.changed() => {
                let progress = job.progress();
                let left = progress.p50_left_secs.map_or_else(String::new, |s| format!(", even odds in {s:.0} s"));
                eprintln!("{} attempts, {:.0}/s{left}", progress.attempts, progress.rate_1s);
            }
        }
    }
}
