//! A PostgreSQL server that is killed at once, again and again: what was acknowledged is there, calls
//! meanwhile fail with an error that says so, and service resumes without a new store.

#![allow(clippy::unwrap_used)]

use std::{
    env,
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicI64, Ordering},
    thread,
    time::{Duration, Instant},
};

use nipworker_postgres::Server;
use nipworker_protocol::{Event, Filter, Verified};
use nipworker_store::{
    EventStore, KvError, PutOutcome, StoreError,
    conformance::{
        Rng,
        samples::{NOW, note},
    },
};
use nipworker_store_sql::{SqlOptions, SqlStore};

/// Kills; `NIPWORKER_KILLS` asks for another number.
const KILLS: u32 = 5;
/// After a restart a put must succeed within this.
const RESUMED_WITHIN: Duration = Duration::from_secs(30);

fn nth(number: i64) -> Verified<Event> {
    note(1, NOW + number, &number.to_string())
}

/// Puts numbered events until it is told to stop, each batch until it is taken.
fn write(store: &SqlStore, is_over: &AtomicBool, acknowledged: &AtomicI64) {
    let mut rng = Rng::new(1);
    while !is_over.load(Ordering::Acquire) {
        let begin = acknowledged.load(Ordering::Acquire);
        let end = begin + 1 + rng.below(20) as i64;
        let batch: Vec<_> = (begin..end).map(nth).collect();
        match store.put_batch(&batch, NOW) {
            Ok(outcomes) => {
                assert!(outcomes.iter().all(PutOutcome::is_kept), "{outcomes:?}");
                acknowledged.store(end, Ordering::Release);
            }
            Err(error) => {
                let is_told = matches!(error, StoreError::Kv(KvError::Unavailable { .. }));
                assert!(is_told && error.is_transient() && !error.is_fatal(), "{error:?}");
            }
        }
    }
}

#[test]
fn what_a_killed_server_acknowledged_is_there_and_service_resumes() {
    let programs = PathBuf::from(env::var_os("NIPWORKER_POSTGRES_PROGRAMS").expect(
        "NIPWORKER_POSTGRES_PROGRAMS names no programs: run `cargo xtask test`, or \
         `cargo xtask with-postgres cargo test -p nipworker-store-sql`",
    ));
    let kills = env::var("NIPWORKER_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let mut server = Server::start(&programs).unwrap();
    let store = SqlStore::open_postgres(&server.url(), None, SqlOptions::default()).unwrap();
    let (is_over, acknowledged) = (AtomicBool::new(false), AtomicI64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| write(&store, &is_over, &acknowledged));
        let over = Over(&is_over);
        for kill in 0..kills {
            let before = acknowledged.load(Ordering::Acquire);
            let deadline = Instant::now() + RESUMED_WITHIN;
            while acknowledged.load(Ordering::Acquire) < before + 100 {
                assert!(Instant::now() < deadline, "kill {kill}: no service after it");
                thread::sleep(Duration::from_millis(1));
            }
            server.kill_and_restart().unwrap();
            let there = store_of(&server).count(&[Filter::new()], NOW).unwrap();
            assert!(there >= acknowledged.load(Ordering::Acquire).min(before + 100).unsigned_abs());
        }
        drop(over);
    });
    let acknowledged = acknowledged.into_inner();
    for number in 0..acknowledged {
        let event = nth(number);
        assert_eq!(store.get(&event.id, NOW).unwrap(), Some(event.pack()), "event {number}");
    }
    let report = store.check().unwrap();
    assert!(report.is_clean(), "{:?}", report.problems);
    // It may hold one batch more, whose acknowledgement was lost.
    assert!(report.events >= acknowledged.unsigned_abs());
}

fn store_of(server: &Server) -> SqlStore {
    SqlStore::open_postgres(&server.url(), None, SqlOptions::default()).unwrap()
}

/// Tells the writer to stop, also when the test fails.
struct Over<'o>(&'o AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}
