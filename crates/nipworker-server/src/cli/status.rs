//! `nipworker status`.

use std::{
    io::{self, IsTerminal, Write},
    thread,
    time::Duration,
};

use nipworker_core::{
    AuthState, ClientStatus, LinkState, OutboxStatus, PoolMetrics, RelayStatus, RoutingStatus,
};

use super::{
    args::StatusArgs,
    engine, one_shot,
    output::{Failure, json_line, line, note},
    rates::rate,
    remote::Remote,
};
use crate::{config::DEFAULT_PORT, gateway::ServerStatus};

/// How often `--watch` looks.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// Moves the cursor home and clears what is below.
const CLEAR_SCREEN: &str = "\x1b[H\x1b[J";

pub(super) fn run(args: &StatusArgs) -> Result<(), Failure> {
    let remote = find(args)?;
    loop {
        let status = remote.status()?;
        if args.json {
            json_line(&status)?;
        } else {
            if args.watch && io::stdout().is_terminal() {
                write!(io::stdout().lock(), "{CLEAR_SCREEN}")?;
            }
            line(render(&status))?;
        }
        if !args.watch {
            return Ok(());
        }
        thread::sleep(WATCH_INTERVAL);
    }
}

/// The named daemon, else the one of the data folder, else the one at the configured port.
fn find(args: &StatusArgs) -> Result<Remote, Failure> {
    if let Some(url) = &args.daemon {
        return Remote::at(url);
    }
    let loaded = one_shot(&args.config, args.config.flags(&[]))?;
    if let Some(remote) = engine::find(&loaded.config.data_dir()) {
        return Ok(remote);
    }
    let mut listen = loaded.config.gateway.listen;
    if listen.port() == 0 {
        listen.set_port(DEFAULT_PORT);
    }
    let remote = Remote::at(&format!("http://{listen}"))?;
    // Whether one answers at all is for the caller to find out.
    if let Ok(status) = remote.status() {
        let (asked, has) = (loaded.config.data_dir(), status.about.data);
        if !engine::same_folder(&has, &asked) {
            note(format_args!(
                "nipworker: no daemon has the data folder {}; this is the one at {}, which has {}",
                asked.display(),
                remote.url(),
                has.display()
            ));
        }
    }
    Ok(remote)
}

fn render(status: &ServerStatus) -> String {
    let about = &status.about;
    let gateway = &status.gateway;
    let uptime = Duration::from_secs(status.uptime_ms / 1_000);
    let mut lines = vec![
        format!(
            "nipworker {} pid {} up {} on {}, data {}",
            about.version,
            about.pid,
            humantime::format_duration(uptime),
            about.listen,
            about.data.display()
        ),
        status.engine.supervisor.to_string(),
        format!(
            "gateway: {} websockets, {} subscriptions, {} events in ({} refused), {} out, {} bad \
             messages, {} slow readers",
            gateway.websockets,
            gateway.subscriptions,
            gateway.events_in,
            gateway.events_refused,
            gateway.events_out,
            gateway.bad_messages,
            gateway.slow_readers
        ),
    ];
    lines.extend(engine_lines(&status.engine));
    lines.join("\n")
}

fn engine_lines(engine: &ClientStatus) -> Vec<String> {
    let ingest = &engine.ingest.total;
    let mut lines = vec![format!(
        "ingest: {} received, {} new, {} duplicates, {} refused",
        ingest.received,
        ingest.fresh,
        ingest.duplicates,
        ingest.refused_total()
    )];
    lines.push(match &engine.store {
        Some(store) => {
            let size = store.disk_bytes.map_or_else(String::new, |bytes| {
                format!(", {:.1} MiB on disk", bytes as f64 / (1024.0 * 1024.0))
            });
            let evicted = match store.evicted {
                0 => String::new(),
                evicted => format!(", {evicted} made room for others"),
            };
            format!("store: {}, {} events{size}{evicted}", store.backend, store.events)
        }
        None => "store: cannot be read".to_owned(),
    });
    let subscriptions = &engine.subscriptions;
    lines.push(format!(
        "subscriptions: {} open, {} waiting for stored events, {} delivered, {} queued, {} lost to \
         slow readers",
        subscriptions.open,
        subscriptions.incomplete,
        subscriptions.delivered,
        subscriptions.queued,
        subscriptions.lagged
    ));
    if subscriptions.filtered > 0 || subscriptions.pipe_panics > 0 {
        let held_back = &subscriptions.held_back;
        let pipes: Vec<_> =
            held_back.iter().map(|(pipe, events)| format!("{events} by {pipe}")).collect();
        let (pipes, panics) = (pipes.join(", "), subscriptions.pipe_panics);
        lines.push(format!("pipes: held back {pipes}; {panics} panics"));
    }
    if engine.relays.is_empty() {
        lines.push("relays: none".to_owned());
    }
    lines.extend(engine.relays.iter().map(relay_line));
    lines.extend(engine.routing.iter().map(routing_line));
    lines.extend(engine.outbox.iter().map(outbox_line));
    lines.extend(mining_lines(engine));
    lines
}

fn routing_line(routing: &RoutingStatus) -> String {
    let counts = &routing.counts;
    let refused: u64 = counts.refused.values().sum();
    format!(
        "routing: {} relay lists, {} times looked for more, {refused} relays refused",
        counts.lists, routing.lookups
    )
}

fn outbox_line(outbox: &OutboxStatus) -> String {
    let counts = &outbox.counts;
    let mut line = format!(
        "outbox: {} events wait, the oldest for {}; {} deliveries, {} failed, {} tries again since \
         the start",
        counts.waiting,
        humantime::format_duration(Duration::from_secs(counts.oldest_age_secs)),
        counts.delivered,
        counts.failed,
        counts.retries
    );
    if let Some(error) = &outbox.last_error {
        line.push_str(&format!(", not written: {error}"));
    }
    line
}

fn relay_line(relay: &RelayStatus) -> String {
    let state = match relay.state {
        LinkState::Idle => "idle",
        LinkState::Connecting => "connecting",
        LinkState::Connected => "connected",
        LinkState::Waiting => "waiting to connect again",
    };
    let mut line = format!(
        "relay {}: {state}, {} attempts, {} connections, {} events, {} bad frames",
        relay.url, relay.dials, relay.connects, relay.events, relay.bad_frames
    );
    let ingest = &relay.ingest;
    if ingest.duplicates > 0 {
        line.push_str(&format!(", {} duplicates", ingest.duplicates));
    }
    for (what, counts) in [
        ("refused", by_name(ingest.refused.iter().map(|(kind, count)| (kind.name(), *count)))),
        ("errors", by_name(relay.errors.iter().map(|(kind, count)| (kind.name(), *count)))),
    ] {
        if !counts.is_empty() {
            line.push_str(&format!(", {what}: {counts}"));
        }
    }
    if let Some(state) = auth_words(relay) {
        line.push_str(&format!(", {state}"));
    }
    if let Some(error) = &relay.last_error {
        line.push_str(&format!(", last error: {error}"));
    }
    line
}

/// `3 signature 1 too_large`.
fn by_name(counts: impl Iterator<Item = (&'static str, u64)>) -> String {
    let counts: Vec<String> = counts
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    counts.join(" ")
}

/// Whether the relay knows who we are, where it asked.
fn auth_words(relay: &RelayStatus) -> Option<String> {
    let state = match relay.auth {
        AuthState::Declined => "asks who we are and may not know",
        AuthState::UnderWay => "is being told who we are",
        AuthState::Authenticated => "knows who we are",
        AuthState::Failed => "does not know who we are",
        _ => return None,
    };
    Some(match relay.auth_problem {
        Some(problem) => format!("{state} ({problem})"),
        None => state.to_owned(),
    })
}

fn mining_lines(engine: &ClientStatus) -> Vec<String> {
    let mining = &engine.mining;
    let running = mining.jobs.iter().filter(|job| job.outcome.is_none()).count();
    let Some(pool) = &mining.pool else { return vec!["mining: stopped".to_owned()] };
    let kernel = &mining.kernel;
    let why = if kernel.forced { "configured" } else { "chosen" };
    let mut lines = vec![format!(
        "mining: kernel {} ({why}), {} threads on {}, {running} jobs, {} now, {} attempts, starved \
         {:.1} ms, throttled {:.1} s, fairness {:.2}",
        kernel.name,
        pool.threads.len(),
        cpus(pool),
        rate(pool.rate_1s),
        pool.attempts,
        pool.starved_ns as f64 / 1e6,
        pool.throttled_ns as f64 / 1e9,
        pool.fairness_min_max
    )];
    for rejected in &kernel.rejected {
        lines.push(format!("mining: kernel {rejected} gives wrong results here and is not used"));
    }
    if let Some(checkpoint) = &mining.checkpoint {
        let mut line =
            format!("mining jobs kept in {}: {}", checkpoint.file.display(), checkpoint.jobs);
        if let Some(error) = &checkpoint.last_error {
            line.push_str(&format!(", not written: {error}"));
        }
        lines.push(line);
    }
    lines
}

/// Where the threads are.
fn cpus(pool: &PoolMetrics) -> String {
    let bound: Vec<String> =
        pool.threads.iter().filter_map(|thread| thread.core).map(|core| core.to_string()).collect();
    match bound.as_slice() {
        [] => "any CPU".to_owned(),
        [one] => format!("CPU {one}"),
        many => format!("CPUs {}", many.join(",")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_is_told_of_in_one_line_with_what_it_did_wrong() {
        let json = r#"{"url":"wss://r.test","state":"waiting","dials":4,"connects":2,"events":9,
            "errors":{"dns":1,"timeout":2},"auth":"failed","auth_problem":"no_signer",
            "last_error":"cannot resolve",
            "ingest":{"received":9,"fresh":1,"duplicates":5,"refused":{"signature":3}}}"#;
        let relay: RelayStatus = serde_json::from_str(json).unwrap();
        assert_eq!(
            relay_line(&relay),
            "relay wss://r.test: waiting to connect again, 4 attempts, 2 connections, 9 events, 0 \
             bad frames, 5 duplicates, refused: 3 signature, errors: 1 dns 2 timeout, does not know \
             who we are (there is no signer), last error: cannot resolve"
        );
        let quiet: RelayStatus = serde_json::from_str(r#"{"url":"wss://r.test"}"#).unwrap();
        assert!(relay_line(&quiet).ends_with("0 bad frames"));
    }
}
