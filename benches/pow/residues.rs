//! Does any length of content fall behind?
//!
//! How many rounds an attempt costs depends on where the content ends in its block. The model of
//! a length is what the raw kernel does with the same number of blocks and hoisted rounds.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use nipworker_benches::{median, per_cpu_second};
use nipworker_hash::SearchKernel;

use crate::note::Note;
use crate::ours::{Raw, Search, Shape};

/// Share of the model, by length of content modulo 64.
#[derive(Debug)]
pub(crate) struct Residues(Vec<f64>);

impl Residues {
    pub(crate) fn measure(
        kernel: &'static dyn SearchKernel,
        rounds: usize,
        budget: Duration,
    ) -> Self {
        let mut raw: BTreeMap<Shape, Raw> = BTreeMap::new();
        let mut lengths: Vec<(Shape, Search, Vec<f64>)> = (0..64)
            .map(|content| {
                let note = Note::new(content, 0);
                let shape = Shape::of(note);
                raw.entry(shape).or_insert_with(|| Raw::new(kernel, shape));
                (shape, Search::new(kernel, note).warmed_up(), Vec::new())
            })
            .collect();
        for _ in 0..rounds {
            for (shape, search, shares) in &mut lengths {
                let Some(raw) = raw.get_mut(shape) else { continue };
                let before = per_cpu_second(budget / 2, || raw.step());
                // What the last length left behind is no part of this one.
                search.step();
                let rate = per_cpu_second(budget, || search.step());
                let after = per_cpu_second(budget / 2, || raw.step());
                shares.push(rate / f64::midpoint(before, after));
            }
        }
        Self(lengths.iter().map(|(_, _, shares)| median(shares)).collect())
    }

    /// The lowest share and where it is.
    pub(crate) fn lowest(&self) -> (usize, f64) {
        let all = self.0.iter().copied().enumerate();
        all.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or_default()
    }

    /// A table of all 64, in percent.
    pub(crate) fn table(&self) -> String {
        let mut text = String::from("| | +0 | +1 | +2 | +3 | +4 | +5 | +6 | +7 |\n");
        text += "|---|---|---|---|---|---|---|---|---|\n";
        for (row, shares) in self.0.chunks(8).enumerate() {
            write!(text, "| **{}** |", row * 8).ok();
            for share in shares {
                write!(text, " {:.1} |", share * 100.0).ok();
            }
            text.push('\n');
        }
        text
    }
}
