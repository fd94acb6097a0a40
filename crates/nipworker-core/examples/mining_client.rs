//! Mines a note to a difficulty and shows the progress; Ctrl-C cancels.
//!
//! `cargo run --release -p nipworker-core --example mining_client -- 22 "hello, work"`
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::{env, error::Error, time::SystemTime};

use nipworker_core::protocol::{PublicKey, UnsignedEvent};
use nipworker_core::{MiningOutcome, NostrClient};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let bits: u16 = args.next().ok_or("first argument: difficulty in bits")?.parse()?;
    let text = args.next().ok_or("second argument: the note's text")?;

    let client = NostrClient::builder().build().await?;
    let now = SystemTime::UNIX_EPOCH.elapsed()?.as_secs() as i64;
    // Anybody's key will do: the id does not depend on the signature, so whoever owns the key
    // signs the mined event later (NIP-13, delegated work).
    let author = PublicKey::from_hex(&env::var("AUTHOR").unwrap_or_else(|_| "02".repeat(32)))?;
    let job = client.mine(UnsignedEvent::new(author, now, 1, vec![], text), bits).await?;

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
                break;
            }
            _ = tokio::signal::ctrl_c() => {
                job.cancel().await?;
                break;
            }
            () = job.changed() => {
                let progress = job.progress();
                eprintln!("{} attempts, {:.0}/s", progress.attempts, progress.rate_1s);
            }
        }
    }
    client.close().await;
    Ok(())
}
