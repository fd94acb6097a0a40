//! Rates over the length of the content, for the plot.

use std::time::Duration;

use nipworker_benches::{median, per_cpu_second};

use crate::note::Note;
use crate::ours::Search;
use crate::peers::{Node, RustNostr, Template, rust_nostr_version};
use crate::plot::{LONGEST, Series};

/// Up to here every length is measured, so every residue of 64.
const DENSE: usize = 300;
/// CPU time of one figure.
const BUDGET: Duration = Duration::from_millis(10);
/// Wall time of one figure of Node.
const NODE_MILLIS: u64 = 120;
/// Bits that rust-nostr mines to here: long notes take it long.
const RUST_NOSTR_BITS: u8 = 10;

/// Every length up to [`DENSE`], then each some percent longer than the one before.
fn lengths() -> Vec<usize> {
    let sparse = std::iter::successors(Some(DENSE + 20), |length| Some(length + length / 16));
    (0..=DENSE).chain(sparse.take_while(|length| *length < LONGEST)).chain([LONGEST]).collect()
}

/// Measures every kernel at every length, and the peers, whose curves are smooth, at some.
pub(crate) fn sweep(rounds: usize, node: &Result<Node, String>) -> Vec<Series> {
    let kernels = nipworker_hash::kernels();
    let lengths = lengths();
    let mut series: Vec<Series> =
        kernels.iter().rev().map(|kernel| Series::ours(kernel.name())).collect();
    let template = add(&mut series, "template + sha2 midstate");
    let rust_nostr = add(&mut series, &format!("rust-nostr {}", rust_nostr_version()));
    let node_worker = add(&mut series, "Node createHash");
    let nostr_tools = add(&mut series, "nostr-tools minePow");

    // Round after round over all lengths, so that a disturbance hits one figure of a length.
    let mut figures = vec![vec![Vec::with_capacity(rounds); lengths.len()]; series.len()];
    for _ in 0..rounds {
        for (at, &content) in lengths.iter().enumerate() {
            let note = Note::new(content, 0);
            for (index, kernel) in kernels.iter().rev().enumerate() {
                let mut search = Search::new(*kernel, note).warmed_up();
                figures[index][at].push(per_cpu_second(BUDGET, || search.step()));
            }
            if content % 4 == 0 || content > DENSE {
                let mut loops = Template::new(note);
                figures[template][at].push(per_cpu_second(BUDGET, || loops.step()));
                let mut theirs = RustNostr::new(note, RUST_NOSTR_BITS);
                figures[rust_nostr][at].push(per_cpu_second(BUDGET, || theirs.step()));
            }
            let Ok(node) = node else { continue };
            if content % 32 == 0 || (content > DENSE && at % 3 == 0) {
                figures[node_worker][at].push(node.rate("create-hash", 1, note, NODE_MILLIS));
                if node.nostr_tools.is_some() {
                    figures[nostr_tools][at].push(node.rate("nostr-tools", 1, note, NODE_MILLIS));
                }
            }
        }
    }
    for (series, figures) in series.iter_mut().zip(figures) {
        let measured = lengths.iter().zip(figures).filter(|(_, figures)| !figures.is_empty());
        series.points = measured.map(|(&length, rates)| (length, median(&rates))).collect();
    }
    series.retain(|series| !series.points.is_empty());
    series
}

fn add(series: &mut Vec<Series>, name: &str) -> usize {
    series.push(Series::peer(name));
    series.len() - 1
}
