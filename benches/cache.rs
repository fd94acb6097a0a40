//! The cache worker on redb, under its supervisor: what committing together gives, and how long a
//! query takes while commits go on.
//!
//! Requests of one event each are made by one asker, who waits for each answer, and by 32 at once: the
//! first has a commit for each event, the others share theirs. They take turns, in reversed order
//! every other round, on fresh stores. Then a feed of 20 notes is asked for again and again, once with
//! nobody else there and once while the 32 go on.
//!
//! `-- --quick` shows that it works.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::{
    convert::Infallible,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use futures::{executor::block_on, future::join_all};
use nipworker_benches::{
    corpus::{Corpus, CorpusConfig},
    median, process_cpu,
};
use nipworker_cache::{CacheActor, CacheParts, MAILBOX, child_spec, readers_default};
use nipworker_core::protocol::{Event, Filter, PackedEvents};
use nipworker_schema::{CacheEdge, CacheMessageT, PersistT, QueryPageT, RelayEdge, ReqClosedT};
use nipworker_store_redb::{RedbOptions, open_store};
use nipworker_supervision::prelude::*;

const ASKERS: usize = 32;
const ROUNDS: usize = 7;
/// Notes that the store of the second part holds beforehand.
const KEPT: usize = 5_000;
/// Pause between two queries.
const PAUSE: Duration = Duration::from_millis(1);

/// The worker asks connections only for what this bench does not ask.
struct Nobody;

impl Actor for Nobody {
    type Context = Context<Self>;
}

impl Handler<RelayEdge> for Nobody {
    type Result = MessageResult<RelayEdge>;

    fn handle(&mut self, _: RelayEdge, _: &mut Self::Context) -> Self::Result {
        MessageResult(RelayEdge::encode(ReqClosedT { known: false }))
    }
}

struct System {
    cache: Address<CacheActor>,
    handle: SupervisorHandle,
    _folder: tempfile::TempDir,
}

impl System {
    fn start(now: i64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("events.redb");
        let store = Arc::new(open_store(file, RedbOptions::default()).unwrap());
        let connections = Address::<Nobody>::new("connections", MailboxConfig::default());
        let cache = Address::new("cache", MAILBOX);
        let clock = Arc::new(move || now);
        let recipient = connections.recipient();
        let parts = CacheParts::new(store, recipient, clock, readers_default()).unwrap();
        let nobody = ChildSpec::new(connections, |_: &StartContext| Ok::<_, Infallible>(Nobody));
        let handle = Supervisor::builder("bench")
            .child(nobody)
            .child(child_spec(cache.clone(), parts))
            .start_blocking()
            .unwrap();
        Self { cache, handle, _folder: folder }
    }

    async fn ask(&self, message: impl Into<CacheMessageT>) -> CacheMessageT {
        self.cache.ask(CacheEdge::encode(message)).await.unwrap().decode().unwrap()
    }

    async fn persist(&self, events: &[Event]) {
        let events = events.iter().collect::<PackedEvents>().into_bytes();
        match self.ask(PersistT { events }).await {
            CacheMessageT::Persisted(_) => {}
            other => panic!("{other:?}"),
        }
    }

    /// All events, one to a request, by so many at once.
    fn persist_all(&self, events: &[Event], askers: usize) {
        block_on(join_all(events.chunks(events.len().div_ceil(askers)).map(async |part| {
            for event in part {
                self.persist(std::slice::from_ref(event)).await;
            }
        })));
    }

    fn end(self) {
        assert!(self.handle.stop_blocking().is_clean());
    }
}

/// Microseconds for an event: CPU time of the process, and wall time.
fn persisting(events: &[Event], now: i64, askers: usize) -> (f64, f64) {
    let system = System::start(now);
    let (begin, cpu) = (Instant::now(), process_cpu());
    system.persist_all(events, askers);
    let (wall, cpu) = (begin.elapsed(), process_cpu() - cpu);
    system.end();
    let each = |time: Duration| time.as_secs_f64() * 1e6 / events.len() as f64;
    (each(cpu), each(wall))
}

fn feed() -> QueryPageT {
    QueryPageT { filters: vec![Filter::new().kinds([1]).limit(20).into()], ..<_>::default() }
}

/// Milliseconds of each of `count` queries.
fn query_times(system: &System, count: usize) -> Vec<f64> {
    (0..count)
        .map(|_| {
            thread::sleep(PAUSE);
            let begin = Instant::now();
            match block_on(system.ask(feed())) {
                CacheMessageT::Page(page) => assert!(!page.events.is_empty()),
                other => panic!("{other:?}"),
            }
            begin.elapsed().as_secs_f64() * 1e3
        })
        .collect()
}

fn print_times(name: &str, mut times: Vec<f64>) {
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!("| {name} | {:.3} | {:.3} | {:.3} |", at(0.5), at(0.99), at(1.0));
}

fn main() {
    let quick = std::env::args().any(|word| word == "--quick");
    let (events, rounds, queries) = if quick { (320, 1, 50) } else { (1_600, ROUNDS, 2_000) };
    let config = CorpusConfig::of((KEPT + events) as u64);
    let now = config.end();
    let all: Vec<Event> = Corpus::new(config).map(|event| event.into_inner()).collect();
    let (kept, fresh) = all.split_at(KEPT);

    println!("## Persisting, one event a request, {} events, each durable\n", fresh.len());
    let askers = [1, ASKERS];
    let mut figures = [Vec::new(), Vec::new()];
    for round in 0..rounds {
        let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        for index in order {
            figures[index].push(persisting(fresh, now, askers[index]));
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
    println!("| meanwhile | median | of 100 the slowest | slowest |");
    println!("|---|---:|---:|---:|");
    let system = System::start(now);
    block_on(system.persist(kept));
    print_times("nothing", query_times(&system, queries));
    let times = thread::scope(|scope| {
        let persisting = scope.spawn(|| system.persist_all(fresh, ASKERS));
        let mut times = Vec::new();
        while !persisting.is_finished() {
            times.extend(query_times(&system, 1));
        }
        times
    });
    print_times(&format!("{ASKERS} askers persist {} events", fresh.len()), times);
    system.end();
}
