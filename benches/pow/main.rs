//! How fast is a note mined, beside what others do?
//!
//! Every miner gets the same notes and takes its turn in every round; rates are attempts per
//! second of thread CPU time, medians over the rounds, and ratios are medians of the rounds'
//! ratios. What each of them finds is checked by rust-nostr first.
//!
//! * *engine*: a request to `NostrClient`, through actor, book, queue and pool, by the CPU time of
//!   the whole process: nothing that the engine does beside the hashing is left out;
//! * *search*: the NIP-13 search on one kernel, called batch by batch as the pool does;
//! * *raw kernel*: the kernel alone, over rows with as many blocks and hoisted rounds;
//! * *template*: what one writes first in Rust: serialise once, clone the state before the nonce;
//! * *rust-nostr*, *Node*, *nostr-tools*: the miners of others, by their public interfaces.
//!
//! Then: does any length of content modulo 64 fall behind its model? With `--out FOLDER` the
//! tables and a plot over the length of the content are written there too. `--quick` takes half
//! a minute and judges nothing. Without Node those rows are missing.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench is a program for the terminal, and panics on what makes it meaningless"
)]

mod compare;
mod note;
mod ours;
mod peers;
mod plot;
mod report;
mod residues;
mod sweep;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::compare::{Effort, compare};
use crate::note::Note;
use crate::ours::Engine;
use crate::peers::Node;
use crate::report::Report;
use crate::residues::Residues;

/// The notes of the table.
const NOTES: [Note; 4] =
    [Note::new(35, 0), Note::new(35, 4), Note::new(280, 0), Note::new(4000, 0)];

fn main() {
    let mut quick = false;
    let mut out: Option<PathBuf> = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => quick = true,
            "--out" => out = arguments.next().map(PathBuf::from),
            // Cargo's own.
            "--bench" => {}
            other => panic!("unknown argument {other}: --quick, --out FOLDER"),
        }
    }
    let effort = if quick {
        Effort { rounds: 2, budget: Duration::from_millis(40) }
    } else {
        Effort { rounds: 15, budget: Duration::from_millis(80) }
    };

    let choice = nipworker_hash::choose();
    let node = Node::start();
    let engine = Engine::start();
    let mut figures = Vec::new();
    for note in NOTES {
        eprintln!("{} bytes, {} e tags …", note.content, note.e_tags);
        figures.push(compare(note, effort, choice.kernel, &engine, &node));
    }
    engine.stop();
    eprintln!("residues …");
    let (rounds, budget) = if quick { (1, 8) } else { (7, 20) };
    let residues = Residues::measure(choice.kernel, rounds, Duration::from_millis(budget));

    let report = Report { effort, choice, node: &node, figures: &figures, residues: &residues };
    let text = report.markdown();
    println!("{text}");
    if quick {
        println!("A quick run shows that it works; it judges nothing.");
    }
    if let Some(folder) = out {
        write(&folder.join("pow.md"), &text);
        if !quick {
            eprintln!("plot …");
            let title = format!("NIP-13 mining on {}", report::machine());
            let series = sweep::sweep(3, &node);
            let svg = plot::draw(&series, &title).expect("the plot can be drawn");
            write(&folder.join("pow-rate-by-content-length.svg"), &svg);
        }
    }
}

fn write(file: &Path, text: &str) {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    }
    std::fs::write(file, text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    eprintln!("wrote {}", file.display());
}
