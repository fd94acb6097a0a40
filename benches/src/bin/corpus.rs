//! Writes a corpus with valid signatures to standard output, one event to a line:
//! `cargo run --release -p nipworker-benches --bin corpus -- 1000000 > corpus.jsonl`.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::io::{self, BufWriter, Write};

use nipworker_benches::corpus::{Corpus, CorpusConfig};

fn main() -> io::Result<()> {
    let Some(events) = std::env::args().nth(1).and_then(|number| number.parse().ok()) else {
        eprintln!("usage: corpus NUMBER_OF_EVENTS");
        std::process::exit(2);
    };
    let mut out = BufWriter::new(io::stdout().lock());
    for event in Corpus::new(CorpusConfig { signed: true, ..CorpusConfig::of(events) }) {
        writeln!(out, "{}", event.to_json())?;
    }
    out.flush()
}
