//! kill -9: what was acknowledged is there, and every index agrees.
//!
//! The test starts itself as a child that writes batches and says after each which events are
//! durable. It kills the child at a random moment and looks at what is left.

// A test without the usual harness speaks through its output.
#![allow(clippy::print_stdout)]

use std::{
    collections::HashSet,
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nipworker_protocol::{Event, EventId, Filter, Verified};

use super::OpenStore;
use crate::{
    PutOutcome,
    conformance::{
        Rng,
        samples::{NOW, event},
    },
};

/// Kills while events are written; `NIPWORKER_KILLS` asks for another number.
const KILLS: u64 = 10;
/// Kills while the store is being made.
const CREATION_KILLS: u64 = 30;
/// Starting again must not take longer, in milliseconds.
const REOPEN_MS_MAX: u128 = 2_000;

/// The `main` of a test target with `harness = false`.
///
/// # Panics
/// When a promise is broken.
pub fn main(open: OpenStore) {
    let arguments: Vec<String> = env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("--write") => {
            write_until_killed(open, Path::new(&arguments[2]), arguments[3].parse().unwrap())
        }
        Some("--list") => {
            println!("what_was_acknowledged_is_there_after_every_kill: test");
            println!("a_kill_while_the_store_is_made_leaves_one_that_opens: test");
        }
        _ => {
            what_was_acknowledged_is_there_after_every_kill(open);
            a_kill_while_the_store_is_made_leaves_one_that_opens(open);
        }
    }
}

/// Event `number` of a round: notes with tags, every tenth a new version of one profile, and
/// every seventh of those removed again by the eighth.
fn nth(round: u64, number: u64) -> Verified<Event> {
    let at = NOW + (round * 1_000_000 + number) as i64;
    let content = format!("{round}:{number}");
    match number % 10 {
        0 => event(1, at, 0, &[], &content),
        8 => {
            let target = nth(round, number - 1).id.to_hex();
            event(2, at, 5, &[&["e", &target]], &content)
        }
        _ => event(2, at, 1, &[&["t", "crash"], &["t", &content]], &content),
    }
}

fn write_until_killed(open: OpenStore, path: &Path, round: u64) {
    let store = open(path).unwrap();
    let mut rng = Rng::new(round);
    let mut out = std::io::stdout().lock();
    let mut next = 0;
    loop {
        let end = next + 1 + rng.below(40) as u64;
        let batch: Vec<_> = (next..end).map(|number| nth(round, number)).collect();
        let outcomes = store.put_batch(&batch, NOW).unwrap();
        assert!(outcomes.iter().all(PutOutcome::is_kept), "{outcomes:?}");
        writeln!(out, "{end}").unwrap();
        out.flush().unwrap();
        next = end;
    }
}

fn what_was_acknowledged_is_there_after_every_kill(open: OpenStore) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events");
    let mut rng = Rng::new(env::var("NIPWORKER_SEED").map_or(42, |seed| seed.parse().unwrap()));
    let mut total = 0;
    let mut acknowledged_of: Vec<u64> = Vec::new();
    let mut slowest = Duration::ZERO;
    let kills = env::var("NIPWORKER_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    for round in 0..kills {
        let acknowledged = one_kill(&path, round, 1 + rng.below(25), rng.below(4_000) as u64);
        total += acknowledged;
        acknowledged_of.push(acknowledged);

        let started = Instant::now();
        let store = open(&path).unwrap();
        let took = started.elapsed();
        slowest = slowest.max(took);
        assert!(took.as_millis() < REOPEN_MS_MAX, "opening took {took:?}");
        let report = store.check().unwrap();
        assert!(report.is_clean(), "round {round}: {:?}", report.problems);
        // Whether an event is what it was, the check has found; here it is whether it is there.
        let there: HashSet<EventId> =
            store.ids(&[Filter::new()], usize::MAX, NOW).unwrap().iter().map(|at| at.id).collect();
        for (round, acknowledged) in (0..).zip(&acknowledged_of) {
            for number in 0..*acknowledged {
                let is_there = there.contains(&nth(round, number).id);
                match number % 10 {
                    0 => {}
                    7 if number + 1 < *acknowledged => assert!(!is_there, "was deleted"),
                    7 => {}
                    _ => assert!(is_there, "round {round}, {number}"),
                }
            }
        }
    }
    println!(
        "test what_was_acknowledged_is_there_after_every_kill ... ok \
         ({kills} kills, {total} events acknowledged, slowest opening {slowest:?})"
    );
}

fn a_kill_while_the_store_is_made_leaves_one_that_opens(open: OpenStore) {
    for number in 0..CREATION_KILLS {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events");
        let mut child = writer(&path, 0);
        // The store, or its first form, appears early; the kill falls somewhere behind that.
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::fs::read_dir(folder.path()).unwrap().next().is_none() {
            assert!(Instant::now() < deadline, "the child makes no store");
        }
        spin(Duration::from_micros(number * 150));
        child.kill().unwrap();
        child.wait().unwrap();
        let store = open(&path).unwrap_or_else(|error| panic!("kill {number}: {error}"));
        let report = store.check().unwrap();
        assert!(report.is_clean(), "kill {number}: {:?}", report.problems);
    }
    println!("test a_kill_while_the_store_is_made_leaves_one_that_opens ... ok");
}

fn writer(path: &Path, round: u64) -> Child {
    Command::new(env::current_exe().unwrap())
        .arg("--write")
        .arg(path)
        .arg(round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Not a wait for something to happen: it moves the kill to any point of the work.
fn spin(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}

/// Lets a child write, kills it after some acknowledgements and some microseconds, and says how
/// many events it acknowledged.
fn one_kill(path: &Path, round: u64, acknowledgements: usize, extra_us: u64) -> u64 {
    let mut child = writer(path, round);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = 0;
    for _ in 0..acknowledgements {
        acknowledged = lines.next().expect("the child writes on").unwrap().parse().unwrap();
    }
    spin(Duration::from_micros(extra_us));
    child.kill().unwrap();
    child.wait().unwrap();
    for line in lines {
        // The kill may tear the last line; what is left of its number is a smaller number, and
        // all below it is durable too.
        match line.unwrap().parse::<u64>() {
            Ok(end) if end > acknowledged => acknowledged = end,
            _ => break,
        }
    }
    acknowledged
}
