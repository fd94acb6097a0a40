//! How fast are the stores, beside `nostr-lmdb` and `nostr-sqlite`?
//!
//! All take in the same made-up corpus ([`nipworker_benches::corpus`]), batch by batch in turn and
//! in reversed order every other batch, once in batches of 256 and once, into fresh folders, in
//! batches of 1,000 with the contenders reversed. Each commit is durable except in memory. Then
//! all answer the same filters, in turn, reversed every other round; each answer is owned events
//! with content and signature, and the answers are compared.
//!
//! * CPU: CPU time of the process, because the others work on threads of their own.
//! * wall: includes their way to that thread and back, which the row `nothing` shows alone.
//!
//! 10,000 events unless told otherwise: `-- 100k`, `-- 1m`. `-- --quick` shows that it works.
//! `sql` is our own store in a SQLite file, `sqlite` the one of `nostr-sqlite`.
//! `-- --only redb,lmdb` and `-- --rows feed` leave others out, `-- --cache-mib 256` gives redb
//! another cache, `-- --spin 10` repeats each row for ten seconds, for a profiler.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

mod contenders;
mod ingest;
mod questions;
mod rows;
mod survey;

use std::time::Duration;

use contenders::CACHE_MIB_DEFAULT;
use nipworker_benches::corpus::CorpusConfig;

/// What the command line asks for.
pub(crate) struct Options {
    pub(crate) corpus: CorpusConfig,
    pub(crate) quick: bool,
    only: Vec<String>,
    rows: Vec<String>,
    pub(crate) cache_mib: usize,
    pub(crate) spin: Option<Duration>,
}

impl Options {
    fn from_command_line() -> Self {
        let mut options = Self {
            corpus: CorpusConfig::of(10_000),
            quick: false,
            only: Vec::new(),
            rows: Vec::new(),
            cache_mib: CACHE_MIB_DEFAULT,
            spin: None,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().unwrap_or_else(|| panic!("{word} needs a value"));
            match word.as_str() {
                "10k" => options.corpus = CorpusConfig::of(10_000),
                "100k" => options.corpus = CorpusConfig::of(100_000),
                "1m" => options.corpus = CorpusConfig::of(1_000_000),
                "--quick" => options.quick = true,
                "--only" => options.only = value().split(',').map(str::to_owned).collect(),
                "--rows" => options.rows = value().split(',').map(str::to_owned).collect(),
                "--cache-mib" => options.cache_mib = value().parse().unwrap(),
                "--spin" => {
                    options.spin = Some(Duration::from_secs(value().parse().unwrap()));
                }
                // What cargo itself says to a bench.
                "--bench" => {}
                other => panic!("unknown word {other:?}; the head of benches/store/main.rs tells"),
            }
        }
        if options.quick {
            options.corpus = CorpusConfig::of(2_000);
        }
        options
    }

    /// Whether the contender of this name takes part.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| name == only)
    }

    /// Whether the row of this name does.
    pub(crate) fn wants_row(&self, name: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|part| name.contains(part.as_str()))
    }
}

fn main() {
    let options = Options::from_command_line();
    println!(
        "{} events, seed {}; redb with {} MiB of cache\n",
        options.corpus.events, options.corpus.seed, options.cache_mib
    );
    let folders = tempfile::tempdir().unwrap();
    if options.spin.is_none() {
        let mut first = contenders::all(&folders.path().join("first"), &options);
        ingest::run(&options, &mut first, 256);
    }
    let mut second = contenders::all(&folders.path().join("second"), &options);
    second.reverse();
    let survey = ingest::run(&options, &mut second, 1_000);
    second.reverse();
    ingest::print_disk(&survey, &second);
    let rows = rows::rows(&survey, &options);
    print_memory("all has been taken in");
    match options.spin {
        Some(time) => questions::spin(&rows, &second, time),
        None => {
            questions::run(&rows, &second, options.quick);
            print_memory("all has been asked");
        }
    }
}

/// Of the whole process: with `--only`, of one store, its events in the making, and what the bench
/// remembers of them.
fn print_memory(when: &str) {
    let (now, most) = nipworker_benches::resident_mib();
    println!("{now:.0} MiB are resident when {when}, {most:.0} MiB at most so far\n");
}
