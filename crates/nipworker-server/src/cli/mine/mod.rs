//! `nipworker mine`: an engine of its own, without store and relays, does the work.

mod publish;
mod report;
mod show;
mod template;

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use nipworker_core::{
    MineOptions, MiningHandle, MiningOutcome, NostrClient,
    protocol::{Event, EventId, RelayUrl, UnsignedEvent},
};
use nipworker_signer::PrivateKeySigner;
use serde_json::{Value, json};

use self::{
    report::{Unsolved, summary, thread_figures},
    show::Show,
};
use super::{
    args::MineArgs,
    engine::runtime,
    one_shot,
    output::{Failure, json_line, line, note},
    placement,
};
use crate::{
    config::Loaded,
    keys,
    signals::{self, Signals},
};

pub(super) fn run(args: &MineArgs) -> Result<(), Failure> {
    let loaded = one_shot(&args.config, args.config.flags(&args.relays))?;
    let signer = loaded.secret_key.as_ref().map(keys::signer).transpose();
    let signer = signer.map_err(Failure::because)?;
    let relays = relays(args, &loaded)?;
    let template = template::of(args, &loaded.config.event_limits(), signer.as_ref(), unix_now())?;
    if args.sign || args.publish {
        check_signer(&template, signer.as_ref())?;
    }
    let signals = signals::listen()
        .map_err(|error| Failure::because(format_args!("cannot take signals: {error}")))?;
    let runtime = runtime()?;
    runtime.block_on(async {
        // Relays are dialled when there is something to send: a search may take hours.
        let client = placement::engine(loaded.config.engine, &args.pool).await?;
        client.set_signer(signer.map(|signer| Arc::new(signer) as _));
        let result = Search { client: &client, args, relays, signals }.run(template).await;
        client.close().await;
        result
    })
}

/// Where the event goes afterwards. Without a relay, that is found out before the work.
fn relays(args: &MineArgs, loaded: &Loaded) -> Result<Vec<RelayUrl>, Failure> {
    match loaded.config.engine.relays.clone() {
        _ if !args.publish => Ok(Vec::new()),
        none if none.is_empty() => {
            Err(Failure::usage("--publish needs a relay: --relay or engine.relays"))
        }
        relays => Ok(relays),
    }
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
        None => Err(Failure::usage(
            "--sign and --publish need a key: signer.key_file or NIPWORKER_SIGNER__KEY",
        )),
        Some(signer) if signer.key() != template.pubkey => Err(Failure::because(format_args!(
            "the event's author is {}, the signing key is {}'s",
            template.pubkey,
            signer.key()
        ))),
        Some(_) => Ok(()),
    }
}

/// One search with all it needs.
struct Search<'a> {
    client: &'a NostrClient,
    args: &'a MineArgs,
    relays: Vec<RelayUrl>,
    signals: Signals,
}

/// What was found.
struct Found {
    event: UnsignedEvent,
    id: EventId,
    bits: u32,
    attempts: u64,
    time: Duration,
}

impl Search<'_> {
    async fn run(mut self, template: UnsignedEvent) -> Result<(), Failure> {
        let found = self.search(template).await?;
        let mining = self.client.status().mining;
        let (kernel, pool) = (mining.kernel.name, mining.pool.unwrap_or_default());
        let Found { event, id, bits, attempts, time } = found;
        note(summary(bits, attempts, time.as_secs_f64(), &pool));
        let (event, signed) = if self.args.sign || self.args.publish {
            let signed = self.client.sign(event).await.map_err(Failure::because)?;
            (json!(signed), Some(signed))
        } else {
            (with_id(event, id), None)
        };
        let mut report = json!({
            "outcome": "found",
            "event": event, "id": id, "bits": bits, "difficulty": self.args.difficulty,
            "attempts": attempts, "seconds": time.as_secs_f64(),
            "kernel": kernel,
            "threads": pool.threads.iter().map(thread_figures).collect::<Vec<_>>(),
        });
        if !self.args.json {
            // Before it is sent: whatever becomes of that, the work is not lost.
            line(&event)?;
        }
        let sent = match signed.filter(|_| self.args.publish) {
            Some(event) => Some(self.publish(event).await),
            None => None,
        };
        if let Some(Ok(sent)) = &sent {
            report["publish"] = sent.json();
        }
        if let Some(Err(Failure::Because(reason))) = &sent {
            report["publish"] = json!({ "accepted": false, "message": reason, "receipts": [] });
        }
        if self.args.json {
            json_line(&report)?;
        }
        sent.transpose()?.map_or(Ok(()), |sent| sent.tell(self.args.json))
    }

    async fn search(&mut self, template: UnsignedEvent) -> Result<Found, Failure> {
        let difficulty = self.args.difficulty;
        let started = Instant::now();
        let job = self.client.mine_with(template, difficulty, self.options()).await;
        let job = job.map_err(Failure::because)?;
        let mining = self.client.status().mining;
        let threads = mining.pool.map_or(0, |pool| pool.threads.len());
        let mut show = Show::new(difficulty, threads, &mining.kernel.name);
        let outcome = loop {
            tokio::select! {
                outcome = job.solved() => break outcome,
                () = job.changed() => show.progress(&job.progress()),
                name = self.signals.first() => {
                    show.done();
                    return Err(self.interrupted(&job, name).await);
                }
            }
        };
        show.done();
        match outcome.map_err(Failure::because)? {
            MiningOutcome::Found { event, id, bits, attempts } => {
                Ok(Found { event, id, bits, attempts, time: started.elapsed() })
            }
            other => match Unsolved::of(&other, &job.progress()) {
                Some(unsolved) => Err(self.unsolved(&unsolved, &job)),
                None => Err(Failure::because("the search ended with a result that was lost")),
            },
        }
    }

    fn options(&self) -> MineOptions {
        MineOptions {
            timeout: self.args.timeout,
            max_attempts: self.args.max_attempts,
            refresh_created_at: !self.args.keep_time,
            idle: self.args.idle,
            cpu_percent: self.args.cpu_percent,
            ..MineOptions::default()
        }
    }

    async fn interrupted(&self, job: &MiningHandle, signal: &str) -> Failure {
        let attempts = match job.cancel().await {
            Ok(attempts) => attempts,
            Err(_) => job.progress().attempts,
        };
        self.unsolved(&Unsolved::interrupted(signal, attempts), job)
    }

    fn unsolved(&self, unsolved: &Unsolved, job: &MiningHandle) -> Failure {
        let progress = job.progress();
        if self.args.json
            && let Err(failure) = json_line(&unsolved.json(self.args.difficulty, &progress))
        {
            return failure;
        }
        Failure::because(unsolved.text(self.args.difficulty, &progress))
    }

    async fn publish(&mut self, event: Event) -> Result<publish::Sent, Failure> {
        let relays = std::mem::take(&mut self.relays);
        tokio::select! {
            sent = publish::send(self.client, event, relays, self.args.publish_timeout) => sent,
            name = self.signals.first() => Err(Failure::because(format_args!(
                "{name}: interrupted while the event was being sent; relays may have it"
            ))),
        }
    }
}

/// An unsigned event as JSON with the id that it has once signed.
fn with_id(event: UnsignedEvent, id: EventId) -> Value {
    let mut event = json!(event);
    event["id"] = json!(id);
    event
}
