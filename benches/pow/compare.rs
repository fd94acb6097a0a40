//! All contenders on one note, in turns.

use std::time::Duration;

use nipworker_benches::{Contender, figures_by_round, median, median_ratio, per_cpu_second};
use nipworker_hash::SearchKernel;

use crate::note::Note;
use crate::ours::{Engine, Raw, Search, Shape};
use crate::peers::{Node, RustNostr, Template};

/// Bits that rust-nostr mines to: some ten milliseconds.
const RUST_NOSTR_BITS: u8 = 16;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    /// CPU time of a contender in a round.
    pub(crate) budget: Duration,
}

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Miner {
    /// Actor, book, queue and pool, on one thread or on all.
    Engine {
        all_threads: bool,
    },
    /// The search alone, on the kernel of that name.
    Search(&'static str),
    /// The chosen kernel alone.
    Raw,
    /// Template and midstate.
    Template,
    RustNostr,
    NodeWorker(usize),
    NostrTools,
}

impl Miner {
    fn is_ours(&self) -> bool {
        matches!(self, Self::Engine { .. } | Self::Search(_) | Self::Raw)
    }
}

/// Figures of one note: attempts per CPU second, by round.
#[derive(Debug)]
pub(crate) struct Figures(Vec<(Miner, Vec<f64>)>);

impl Figures {
    /// Median attempts per CPU second; `None` if it did not take part.
    pub(crate) fn rate(&self, of: &Miner) -> Option<f64> {
        Some(median(self.by_round(of)?))
    }

    /// Median of the rounds' ratios.
    pub(crate) fn ratio(&self, of: &Miner, to: &Miner) -> Option<f64> {
        Some(median_ratio(self.by_round(of)?, self.by_round(to)?))
    }

    fn by_round(&self, of: &Miner) -> Option<&[f64]> {
        self.0.iter().find(|(miner, _)| miner == of).map(|(_, rates)| &rates[..])
    }

    /// How far apart the middle half of the rounds lies, as a share of the rate: the largest
    /// among ours, or among the others.
    pub(crate) fn spread(&self, ours: bool) -> f64 {
        let chosen = self.0.iter().filter(|(miner, _)| miner.is_ours() == ours);
        let spreads = chosen.map(|(_, rates)| {
            let mut sorted = rates.clone();
            sorted.sort_by(f64::total_cmp);
            let quarter = sorted.len() / 4;
            (sorted[sorted.len() - 1 - quarter] - sorted[quarter]) / median(rates)
        });
        spreads.fold(0.0, f64::max)
    }

    /// The contenders, in the order of the table.
    pub(crate) fn miners(&self) -> impl Iterator<Item = &Miner> {
        self.0.iter().map(|(miner, _)| miner)
    }

    /// The cell of a row: the rate and, of a peer, how many times faster the engine is.
    pub(crate) fn cell(&self, of: &Miner) -> String {
        let Some(rate) = self.rate(of) else { return "—".to_owned() };
        let rate = megahashes(rate);
        match self.ratio(&Miner::Engine { all_threads: false }, of) {
            Some(times) if !of.is_ours() => format!("{rate} ({} ×)", three_digits(times)),
            _ => rate,
        }
    }
}

/// A rate in millions, to three significant digits.
pub(crate) fn megahashes(rate: f64) -> String {
    three_digits(rate / 1e6)
}

fn three_digits(figure: f64) -> String {
    match figure {
        0.0..1.0 => format!("{figure:.3}"),
        1.0..10.0 => format!("{figure:.2}"),
        10.0..100.0 => format!("{figure:.1}"),
        _ => format!("{figure:.0}"),
    }
}

/// Measures all of them on `note`.
pub(crate) fn compare(
    note: Note,
    effort: Effort,
    chosen: &'static dyn SearchKernel,
    engine: &Engine,
    node: &Result<Node, String>,
) -> Figures {
    let Effort { rounds, budget } = effort;
    let mut field = Field::default();
    let mut raw = Raw::new(chosen, Shape::of(note));
    let guess = per_cpu_second(budget, || raw.step());
    // The job's start and the adapting of its batches are part of the figure, as they would be
    // for a user; a longer run keeps them at their weight in a job that lasts.
    let engine_seconds = budget.as_secs_f64() * 5.0;
    for all_threads in [false, true] {
        let threads = u32::from(!all_threads);
        let run = move || engine.rate(note, threads, engine_seconds, guess);
        field.enter(Miner::Engine { all_threads }, run);
    }
    field.enter(Miner::Raw, move || per_cpu_second(budget * 2, || raw.step()));
    for kernel in nipworker_hash::kernels() {
        let mut search = Search::new(kernel, note).warmed_up();
        let run = move || per_cpu_second(budget, || search.step());
        field.enter(Miner::Search(kernel.name()), run);
    }
    Template::new(note).check();
    let mut template = Template::new(note);
    field.enter(Miner::Template, move || per_cpu_second(budget, || template.step()));
    let mut rust_nostr = RustNostr::new(note, RUST_NOSTR_BITS);
    field.enter(Miner::RustNostr, move || per_cpu_second(budget, || rust_nostr.step()));
    if let Ok(node) = node {
        let millis = u64::try_from(budget.as_millis()).unwrap_or(u64::MAX) * 3;
        node.check("create-hash", note);
        for workers in [1, 2] {
            let run = move || node.rate("create-hash", workers, note, millis);
            field.enter(Miner::NodeWorker(workers), run);
        }
        if node.nostr_tools.is_some() {
            node.check("nostr-tools", note);
            field.enter(Miner::NostrTools, move || node.rate("nostr-tools", 1, note, millis));
        }
    }
    let Field { miners, mut contenders } = field;
    let figures = figures_by_round(rounds, &mut contenders);
    Figures(miners.into_iter().zip(figures).collect())
}

/// Who takes part, in the order of the table.
#[derive(Default)]
struct Field<'a> {
    miners: Vec<Miner>,
    contenders: Vec<Contender<'a>>,
}

impl<'a> Field<'a> {
    fn enter(&mut self, miner: Miner, run: impl FnMut() -> f64 + 'a) {
        self.miners.push(miner);
        self.contenders.push(("", Box::new(run)));
    }
}
