//! `nipworker mine`: an engine of its own, without store and relays, does the work.

use std::{
    io::{self, IsTerminal},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use indicatif::{ProgressBar, ProgressStyle};
use nipworker_core::{
    MineOptions, MiningHandle, MiningOutcome, MiningProgress, NostrClient, PoolMetrics,
    StoreBackend,
    protocol::{EventId, EventLimits, PublicKey, UnsignedEvent},
};
use nipworker_signer::PrivateKeySigner;
use serde_json::{Value, json};

use super::{
    args::MineArgs,
    engine::runtime,
    input, one_shot,
    output::{Failure, json_line, line, note},
};
use crate::{
    config::Loaded,
    keys,
    signals::{self, Signals},
};

/// How often a line of progress is written when stderr is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
/// Kind of a text note.
const TEXT_NOTE: u16 = 1;

pub(super) fn run(args: &MineArgs) -> Result<(), Failure> {
    let loaded = one_shot(&args.config, args.config.flags(&[]))?;
    let signer = loaded.secret_key.as_ref().map(keys::signer).transpose();
    let signer = signer.map_err(Failure::because)?;
    let template = template(args, &loaded.config.event_limits(), signer.as_ref())?;
    if args.sign {
        check_signer(&template, signer.as_ref())?;
    }
    let signals = signals::listen()
        .map_err(|error| Failure::because(format_args!("cannot take signals: {error}")))?;
    let runtime = runtime()?;
    runtime.block_on(async {
        let client = start(loaded, args).await?;
        client.set_signer(signer.map(|signer| Arc::new(signer) as _));
        let result = mine(&client, template, args, signals).await;
        client.close().await;
        result
    })
}

async fn start(loaded: Loaded, args: &MineArgs) -> Result<NostrClient, Failure> {
    let mut engine = loaded.config.engine;
    engine.store.backend = StoreBackend::Memory;
    engine.relays.clear();
    if let Some(threads) = args.threads {
        engine.miner.threads = threads.into();
    }
    NostrClient::new(engine).await.map_err(Failure::because)
}

fn template(
    args: &MineArgs,
    limits: &EventLimits,
    signer: Option<&PrivateKeySigner>,
) -> Result<UnsignedEvent, Failure> {
    if let Some(text) = &args.text {
        let author: Option<PublicKey> = args.pubkey.or(signer.map(PrivateKeySigner::key));
        let author = author.ok_or_else(|| {
            Failure::usage(
                "a text note needs an author: --pubkey, or a key by signer.key_file or \
                 NIPWORKER_SIGNER__KEY",
            )
        })?;
        return Ok(UnsignedEvent::new(author, unix_now(), TEXT_NOTE, Vec::new(), text));
    }
    let text = input::read(&args.event, limits.max_event_bytes as u64)?;
    UnsignedEvent::from_json(&text, limits).map_err(Failure::because)
}

fn unix_now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

/// Found out before the work, not after it.
fn check_signer(
    template: &UnsignedEvent,
    signer: Option<&PrivateKeySigner>,
) -> Result<(), Failure> {
    match signer {
        None => Err(Failure::usage("--sign needs a key: signer.key_file or NIPWORKER_SIGNER__KEY")),
        Some(signer) if signer.key() != template.pubkey => Err(Failure::because(format_args!(
            "the event's author is {}, the signing key is {}'s",
            template.pubkey,
            signer.key()
        ))),
        Some(_) => Ok(()),
    }
}

async fn mine(
    client: &NostrClient,
    template: UnsignedEvent,
    args: &MineArgs,
    mut signals: Signals,
) -> Result<(), Failure> {
    let options = MineOptions {
        timeout: args.timeout,
        refresh_created_at: !args.keep_time,
        ..MineOptions::default()
    };
    let started = Instant::now();
    let job =
        client.mine_with(template, args.difficulty, options).await.map_err(Failure::because)?;
    let threads = client.status().mining.pool.map_or(0, |pool| pool.threads.len());
    let mut show = Show::new(args.difficulty, threads);
    let outcome = loop {
        tokio::select! {
            outcome = job.solved() => break outcome.map_err(Failure::because)?,
            () = job.changed() => show.progress(&job.progress()),
            name = signals.first() => {
                show.done();
                return Err(interrupted(&job, args.difficulty, name).await);
            }
        }
    };
    show.done();
    let seconds = started.elapsed().as_secs_f64();
    let pool = client.status().mining.pool.unwrap_or_default();
    let (event, id, bits, attempts) = match outcome {
        MiningOutcome::Found { event, id, bits, attempts } => (event, id, bits, attempts),
        other => return Err(not_found(&other, &job.progress(), args.difficulty)),
    };
    note(summary(bits, attempts, seconds, &pool));
    let event = finished(client, event, id, args.sign).await?;
    if args.json {
        return json_line(&json!({
            "event": event, "id": id, "bits": bits, "attempts": attempts, "seconds": seconds,
            "threads": pool.threads.iter().map(thread_figures).collect::<Vec<_>>(),
        }));
    }
    line(event)
}

/// The mined event as JSON, signed if asked for.
async fn finished(
    client: &NostrClient,
    event: UnsignedEvent,
    id: EventId,
    sign: bool,
) -> Result<Value, Failure> {
    if sign {
        return Ok(json!(client.sign(event).await.map_err(Failure::because)?));
    }
    let mut event = json!(event);
    event["id"] = json!(id);
    Ok(event)
}

async fn interrupted(job: &MiningHandle, difficulty: u16, signal: &str) -> Failure {
    let attempts = match job.cancel().await {
        Ok(attempts) => attempts,
        Err(_) => job.progress().attempts,
    };
    Failure::because(format_args!(
        "{signal}: cancelled after {attempts} attempts; the best id has {} of {difficulty} bits",
        job.progress().best_bits
    ))
}

fn not_found(outcome: &MiningOutcome, progress: &MiningProgress, difficulty: u16) -> Failure {
    let (why, attempts) = match outcome {
        MiningOutcome::TimedOut { attempts } => ("the time is over", attempts),
        MiningOutcome::Exhausted { attempts } => ("every nonce was tried", attempts),
        MiningOutcome::Cancelled { attempts } => ("cancelled", attempts),
        _ => ("the search ended", &progress.attempts),
    };
    Failure::because(format_args!(
        "{why} after {attempts} attempts; the best id has {} of {difficulty} bits",
        progress.best_bits
    ))
}

/// Share of the time with work left that a thread spent on it.
fn busy_percent(thread: &nipworker_core::ThreadMetrics) -> f64 {
    let fed = thread.busy_ns + thread.idle_with_job_ns;
    if fed == 0 { 0.0 } else { 100.0 * thread.busy_ns as f64 / fed as f64 }
}

fn thread_figures(thread: &nipworker_core::ThreadMetrics) -> Value {
    json!({
        "thread": thread.index,
        "core": thread.core,
        "pinned": thread.pinned,
        "busy_percent": busy_percent(thread),
        "starved_ms": thread.starved_ns as f64 / 1e6,
        "attempts": thread.attempts,
        "batches": thread.batches,
        "self_refills": thread.self_refills,
    })
}

fn summary(bits: u32, attempts: u64, seconds: f64, pool: &PoolMetrics) -> String {
    let busy: Vec<String> =
        pool.threads.iter().map(|thread| format!("{:.1} %", busy_percent(thread))).collect();
    format!(
        "{bits} bits after {attempts} attempts in {seconds:.2} s ({:.2} M/s); threads busy {}, \
         starved {:.1} ms",
        attempts as f64 / seconds.max(1e-9) / 1e6,
        busy.join(", "),
        pool.starved_ns as f64 / 1e6
    )
}

/// A bar when stderr is a terminal, else a line now and then.
struct Show {
    difficulty: u16,
    bar: Option<ProgressBar>,
    last_line: Instant,
}

impl Show {
    fn new(difficulty: u16, threads: usize) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let template = "{spinner} [{bar:30}] {msg}";
            let style = ProgressStyle::with_template(template)
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(1_000).with_style(style)
        });
        if bar.is_none() {
            note(format_args!("mining {difficulty} bits with {threads} threads"));
        }
        Self { difficulty, bar, last_line: Instant::now() }
    }

    fn progress(&mut self, progress: &MiningProgress) {
        let text = self.text(progress);
        match &self.bar {
            Some(bar) => {
                bar.set_position((1_000.0 * self.odds(progress.attempts)) as u64);
                bar.set_message(text);
                bar.tick();
            }
            None if self.last_line.elapsed() >= LINE_INTERVAL => {
                note(text);
                self.last_line = Instant::now();
            }
            None => {}
        }
    }

    fn done(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// How likely so many attempts are to have succeeded, 0 to 1.
    fn odds(&self, attempts: u64) -> f64 {
        let chance = (-f64::from(self.difficulty)).exp2();
        1.0 - (attempts as f64 * (-chance).ln_1p()).exp()
    }

    fn text(&self, progress: &MiningProgress) -> String {
        let left = |seconds: Option<f64>| match seconds.map(Duration::try_from_secs_f64) {
            Some(Ok(left)) => {
                humantime::format_duration(Duration::from_secs(left.as_secs())).to_string()
            }
            _ => "unknown".to_owned(),
        };
        format!(
            "{:.2} M/s, best {} of {} bits, {} attempts, even odds in {}",
            progress.rate_1s / 1e6,
            progress.best_bits,
            self.difficulty,
            progress.attempts,
            left(progress.p50_left_secs)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_shows_the_odds_of_success() {
        let show = |difficulty| Show { difficulty, bar: None, last_line: Instant::now() };
        assert!((show(10).odds(1 << 10) - 0.632).abs() < 0.001);
        assert!((show(60).odds(1 << 60) - 0.632).abs() < 0.001, "small chances keep precision");
        assert_eq!(show(256).odds(0), 0.0);
        assert_eq!(show(0).odds(1), 1.0);
    }
}
