//! A client with a store on redb: what committing together gives, and how long a query takes while
//! commits go on.
//!
//! Signed events are imported one to a request, by one asker, who waits for each answer, and by 32 at
//! once: the first has a commit for each event, the others share theirs. They take turns, in reversed
//! order every other round, on fresh stores. Then a feed of 20 notes is asked for again and again, once
//! with nobody else there and once while the 32 go on. All of it passes through the workers, and each
//! event's signature is checked, which both sides pay alike.
//!
//! `-- --quick` shows that it works.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::time::{Duration, Instant};

use futures::{StreamExt, future::join_all};
use nipworker_benches::{
    corpus::{Corpus, CorpusConfig},
    median, process_cpu,
};
use nipworker_core::{
    ClientConfig, NostrClient, PutStatus, StoreBackend, SubscriptionEvent, protocol::Filter,
};
use tokio::time::sleep;

const ASKERS: usize = 32;
const ROUNDS: usize = 7;
/// Events that the store of the second part holds beforehand.
const KEPT: usize = 5_000;
/// Pause between two queries.
const PAUSE: Duration = Duration::from_millis(1);

struct System {
    client: NostrClient,
    _folder: tempfile::TempDir,
}

impl System {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = ClientConfig::default();
        config.store.backend = StoreBackend::Redb;
        config.store.path = folder.path().join("events.redb");
        Self { client: NostrClient::new(config).await.unwrap(), _folder: folder }
    }

    async fn import(&self, texts: &[String]) {
        for outcome in self.client.import(texts.to_vec()).await.unwrap() {
            assert_ne!(outcome.status, PutStatus::Failed, "{outcome:?}");
            assert_ne!(outcome.status, PutStatus::Invalid, "{outcome:?}");
        }
    }

    /// All events, one to a request, by so many at once.
    async fn import_all(&self, texts: &[String], askers: usize) {
        join_all(texts.chunks(texts.len().div_ceil(askers)).map(async |part| {
            for text in part {
                self.import(std::slice::from_ref(text)).await;
            }
        }))
        .await;
    }
}

/// Microseconds for an event: CPU time of the process, and wall time.
async fn importing(texts: &[String], askers: usize) -> (f64, f64) {
    let system = System::start().await;
    let (begin, cpu) = (Instant::now(), process_cpu());
    system.import_all(texts, askers).await;
    let (wall, cpu) = (begin.elapsed(), process_cpu() - cpu);
    system.client.close().await;
    let each = |time: Duration| time.as_secs_f64() * 1e6 / texts.len() as f64;
    (each(cpu), each(wall))
}

/// Milliseconds of one query, after a pause.
async fn query_time(system: &System) -> f64 {
    sleep(PAUSE).await;
    let begin = Instant::now();
    let mut found = system.client.query(vec![Filter::new().kinds([1]).limit(20)]).await.unwrap();
    let mut events = 0;
    while let Some(item) = found.next().await {
        events += usize::from(matches!(item, SubscriptionEvent::Event { .. }));
    }
    assert_eq!(events, 20);
    begin.elapsed().as_secs_f64() * 1e3
}

fn print_times(name: &str, mut times: Vec<f64>) {
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!("| {name} | {:.3} | {:.3} | {:.3} |", at(0.5), at(0.99), at(1.0));
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let quick = std::env::args().any(|word| word == "--quick");
    let (events, rounds, queries) = if quick { (320, 1, 50) } else { (1_600, ROUNDS, 2_000) };
    let config = CorpusConfig { signed: true, ..CorpusConfig::of((KEPT + events) as u64) };
    let all: Vec<String> = Corpus::new(config).map(|event| event.to_json()).collect();
    let (kept, fresh) = all.split_at(KEPT);

    println!("## Importing, one event a request, {} events, each durable\n", fresh.len());
    let askers = [1, ASKERS];
    let mut figures = [Vec::new(), Vec::new()];
    for round in 0..rounds {
        let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        for index in order {
            figures[index].push(importing(fresh, askers[index]).await);
        }
    }
    println!("| askers | CPU µs each | wall µs each |");
    println!("|---:|---:|---:|");
    for (askers, figures) in askers.iter().zip(&figures) {
        let of =
            |pick: fn(&(f64, f64)) -> f64| median(&figures.iter().map(pick).collect::<Vec<_>>());
        println!("| {askers} | {:.1} | {:.1} |", of(|it| it.0), of(|it| it.1));
    }

    println!("\n## A feed of 20 among {KEPT} events, ms\n");
    println!("| meanwhile | median | 99th percentile | slowest |");
    println!("|---|---:|---:|---:|");
    let system = System::start().await;
    system.import(kept).await;
    let mut times = Vec::new();
    for _ in 0..queries {
        times.push(query_time(&system).await);
    }
    print_times("nothing", times);
    let mut importing = std::pin::pin!(system.import_all(fresh, ASKERS));
    let mut times = Vec::new();
    loop {
        tokio::select! {
            () = &mut importing => break,
            time = query_time(&system) => times.push(time),
        }
    }
    print_times(&format!("{ASKERS} askers import {} events", fresh.len()), times);
    system.client.close().await;
}
