//! What does taking events in cost, beside the signature check that nobody can save?
//!
//! Figures are CPU time where nothing else is said, medians of rounds in which the contenders take
//! turns, in reversed order every other round. Events: the real ones of `tests/data`, and a signed
//! corpus of the same seed for what needs more ([`nipworker_benches::corpus`]).
//!
//! * *parts*: one step at a time, on one thread;
//! * *pipeline*: frame in, packed event out, every signature checked, beside a loop that does
//!   nothing but check the same signatures on as many threads;
//! * *client*: the same through the workers of a `NostrClient` with a relay in memory and a store in
//!   memory, charged with the CPU time of the whole process, relay and reader included;
//! * *first*: wall time until the first event of a cold client.
//!
//! `-- --quick` shows that it works; `-- --only parts,pipeline,client,first` leaves others out.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

mod client;
mod first;
mod parts;
mod pipeline;
mod texts;

use std::time::Duration;

/// What the command line asks for.
pub(crate) struct Options {
    pub(crate) rounds: usize,
    /// CPU time of one contender in one round.
    pub(crate) budget: Duration,
    /// Events of the corpus.
    pub(crate) events: u64,
    only: Vec<String>,
}

impl Options {
    fn from_command_line() -> Self {
        let mut options =
            Self { rounds: 9, budget: Duration::from_millis(120), events: 4_000, only: Vec::new() };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--quick" => {
                    (options.rounds, options.events) = (1, 500);
                    options.budget = Duration::from_millis(5);
                }
                "--only" => {
                    let parts = words.next().expect("--only needs a value");
                    options.only = parts.split(',').map(str::to_owned).collect();
                }
                // What cargo itself says to a bench.
                "--bench" => {}
                other => panic!("unknown word {other:?}; the head of benches/ingest/main.rs tells"),
            }
        }
        options
    }

    fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == part)
    }
}

fn main() {
    let options = Options::from_command_line();
    if options.wants("parts") {
        parts::run(&options);
    }
    if options.wants("pipeline") {
        pipeline::run(&options);
    }
    if options.wants("client") {
        client::run(&options);
    }
    if options.wants("first") {
        first::run(&options);
    }
}
