//! The tables, in Markdown.

use std::fmt::Write;
use std::time::SystemTime;

use nipworker_hash::Choice;

use crate::NOTES;
use crate::compare::{Effort, Figures, Miner, megahashes};
use crate::peers::{Node, rust_nostr_version};
use crate::residues::Residues;

/// Everything that was measured.
pub(crate) struct Report<'a> {
    pub(crate) effort: Effort,
    pub(crate) choice: &'a Choice,
    pub(crate) node: &'a Result<Node, String>,
    /// One for each of [`NOTES`].
    pub(crate) figures: &'a [Figures],
    pub(crate) residues: &'a Residues,
}

impl Report<'_> {
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::from("# Mining rates\n\n");
        let date = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        writeln!(
            text,
            "{}, {}; kernel `{}` chosen; medians of {} interleaved rounds.",
            date.split('T').next().unwrap_or_default(),
            machine(),
            self.choice.kernel.name(),
            self.effort.rounds,
        )
        .ok();
        text += "Million hashes per second of CPU time; in brackets, how many times faster the \
                 engine is on one thread.\n\n";
        text += &self.rates();
        let spread = |ours| {
            let spreads = self.figures.iter().map(|figures| figures.spread(ours) * 100.0);
            spreads.fold(0.0, f64::max)
        };
        writeln!(
            text,
            "\nThe middle half of the rounds lies within {:.0} % of a rate for ours, {:.0} % for \
             the others.",
            spread(true),
            spread(false),
        )
        .ok();
        if let Err(reason) = self.node {
            writeln!(text, "\nNode did not take part: {reason}").ok();
        }
        text += "\n## Goals\n\n| what | measured | goal | |\n|---|---|---|---|\n";
        for goal in self.goals() {
            text += &goal.row();
        }
        let name = self.choice.kernel.name();
        writeln!(
            text,
            "\n## Every length of content modulo 64\n\nPercent of what the raw kernel `{name}` \
             does with as many blocks and hoisted rounds:\n",
        )
        .ok();
        text + &self.residues.table()
    }

    fn rates(&self) -> String {
        let mut text = String::from("| miner |");
        for note in NOTES {
            write!(text, " {} bytes", note.content).ok();
            if note.e_tags > 0 {
                write!(text, ", {} `e` tags", note.e_tags).ok();
            }
            text += " |";
        }
        text += "\n|---|";
        text += &"---|".repeat(NOTES.len());
        text.push('\n');
        let miners = self.figures.first().into_iter().flat_map(Figures::miners);
        for miner in miners {
            write!(text, "| {} |", self.label(miner)).ok();
            for figures in self.figures {
                write!(text, " {} |", figures.cell(miner)).ok();
            }
            text.push('\n');
        }
        text
    }

    fn label(&self, miner: &Miner) -> String {
        let version = |of: fn(&Node) -> Option<&str>| {
            self.node.as_ref().ok().and_then(of).unwrap_or_default().to_owned()
        };
        match miner {
            Miner::Engine { all_threads: false } => "**nipworker, engine, 1 thread**".to_owned(),
            Miner::Engine { all_threads: true } => "nipworker, engine, all threads".to_owned(),
            Miner::Search(kernel) => format!("nipworker, search, `{kernel}`"),
            Miner::Raw => format!("raw kernel `{}`", self.choice.kernel.name()),
            Miner::Template => "template + `sha2` midstate".to_owned(),
            Miner::RustNostr => format!("rust-nostr {}", rust_nostr_version()),
            Miner::NodeWorker(workers) => {
                let node = version(|node| Some(&node.version));
                format!("Node {node}, `createHash`, workers: {workers}")
            }
            Miner::NostrTools => {
                format!("nostr-tools {}, `minePow`", version(|node| node.nostr_tools.as_deref()))
            }
        }
    }

    fn goals(&self) -> Vec<Goal> {
        let engine = Miner::Engine { all_threads: false };
        let [short, tagged, long, article] = self.figures else { return Vec::new() };
        let mut goals = vec![
            Goal::percent(
                "engine of raw kernel, 35 bytes",
                short.ratio(&engine, &Miner::Raw),
                98.0,
            ),
            Goal::percent(
                "engine of raw kernel, 280 bytes",
                long.ratio(&engine, &Miner::Raw),
                98.0,
            ),
            Goal::percent(
                "engine of raw kernel, 4000 bytes",
                article.ratio(&engine, &Miner::Raw),
                98.0,
            ),
            Goal::times("rust-nostr, 35 bytes", short.ratio(&engine, &Miner::RustNostr), 30.0),
            Goal::times("rust-nostr, 280 bytes", long.ratio(&engine, &Miner::RustNostr), 12.0),
            Goal::times("rust-nostr, four tags", tagged.ratio(&engine, &Miner::RustNostr), 90.0),
            Goal::times("template, 35 bytes", short.ratio(&engine, &Miner::Template), 11.0),
            Goal::times("Node, 35 bytes", short.ratio(&engine, &Miner::NodeWorker(1)), 200.0),
            Goal::times("nostr-tools, 35 bytes", short.ratio(&engine, &Miner::NostrTools), 400.0),
            Goal::rate("35 bytes (a Zen 4 core)", short.rate(&engine), 110e6),
            Goal::rate("280 bytes (a Zen 4 core)", long.rate(&engine), 21e6),
        ];
        let tags = tagged.rate(&engine).zip(short.rate(&engine)).map(|(tags, none)| tags / none);
        goals.push(Goal::percent("engine with four tags, of none", tags, 98.0));
        let (at, share) = self.residues.lowest();
        let what = format!("lowest residue ({at}) of its model");
        goals.push(Goal::percent(&what, Some(share), 85.0));
        goals
    }
}

/// One line of the goals.
struct Goal {
    what: String,
    /// Measured and goal as text, and whether it is met; `None` if it was not measured.
    measured: Option<(String, bool)>,
    goal: String,
}

impl Goal {
    fn new(what: String, measured: Option<f64>, goal: f64, show: impl Fn(f64) -> String) -> Self {
        let measured = measured.map(|measured| (show(measured), measured >= goal));
        Self { what, measured, goal: format!("≥ {}", show(goal)) }
    }

    fn percent(what: &str, share: Option<f64>, goal: f64) -> Self {
        let share = share.map(|share| share * 100.0);
        Self::new(what.to_owned(), share, goal, |figure| format!("{figure:.1} %"))
    }

    fn times(what: &str, times: Option<f64>, goal: f64) -> Self {
        let what = format!("times faster than {what}");
        Self::new(what, times, goal, |figure| format!("{figure:.1} ×"))
    }

    fn rate(what: &str, rate: Option<f64>, goal: f64) -> Self {
        let show = |rate| format!("{} MH/s", megahashes(rate));
        Self::new(format!("engine at {what}"), rate, goal, show)
    }

    fn row(&self) -> String {
        let (measured, verdict) = match &self.measured {
            Some((measured, true)) => (measured.as_str(), "met"),
            Some((measured, false)) => (measured.as_str(), "MISSED"),
            None => ("—", "not measured"),
        };
        format!("| {} | {measured} | {} | {verdict} |\n", self.what, self.goal)
    }
}

/// The processor, as the system names it.
pub(crate) fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = info.lines().find(|line| line.starts_with(name))?;
        line.split_once(':').map(|(_, value)| value.trim().to_owned())
    };
    let name = field("model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let cpus = std::thread::available_parallelism().map_or(1, |n| n.get());
    match field("cpu family").zip(field("model\t")) {
        Some((family, model)) => format!("{name} (family {family}, model {model}), {cpus} CPUs"),
        None => format!("{name}, {cpus} CPUs"),
    }
}
