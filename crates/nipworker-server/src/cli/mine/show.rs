//! How a search is shown while it goes on: a bar on a terminal, else a line now and then.

use std::{
    io::{self, IsTerminal},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use nipworker_core::{JobPhase, MiningProgress};

use crate::cli::{
    output::note,
    rates::{rate, time},
};

/// How often a line of progress is written when stderr is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
/// Steps of the bar.
const BAR_STEPS: u64 = 1_000;

/// Shows one search.
pub(super) struct Show {
    difficulty: u16,
    bar: Option<ProgressBar>,
    last_line: Instant,
}

impl Show {
    /// Begins to show.
    pub(super) fn new(difficulty: u16, threads: usize, kernel: &str) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} [{bar:30}] {prefix}\n  {wide_msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(BAR_STEPS).with_style(style)
        });
        if bar.is_none() {
            let plural = if threads == 1 { "" } else { "s" };
            note(format_args!(
                "mining {difficulty} bits with {threads} thread{plural}, kernel {kernel}"
            ));
        }
        Self { difficulty, bar, last_line: Instant::now() }
    }

    /// Shows how far it is.
    pub(super) fn progress(&mut self, progress: &MiningProgress) {
        if progress.phase == JobPhase::Ended {
            // It has no rate any more, and its outcome is about to be told.
            return;
        }
        match &self.bar {
            Some(bar) => {
                let odds = odds(self.difficulty, progress.attempts);
                bar.set_position((BAR_STEPS as f64 * odds) as u64);
                bar.set_prefix(speed(self.difficulty, progress));
                bar.set_message(times(progress));
                bar.tick();
            }
            None if self.last_line.elapsed() >= LINE_INTERVAL => {
                note(text(self.difficulty, progress));
                self.last_line = Instant::now();
            }
            None => {}
        }
    }

    /// Takes the bar away.
    pub(super) fn done(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// How likely so many attempts are to have succeeded, 0 to 1.
fn odds(difficulty: u16, attempts: u64) -> f64 {
    let chance = (-f64::from(difficulty)).exp2();
    1.0 - (attempts as f64 * (-chance).ln_1p()).exp()
}

fn text(difficulty: u16, progress: &MiningProgress) -> String {
    format!("{}; {}", speed(difficulty, progress), times(progress))
}

fn speed(difficulty: u16, progress: &MiningProgress) -> String {
    let MiningProgress { rate_1s, best_bits, .. } = progress;
    format!("{}, best {best_bits} of {difficulty} bits", rate(*rate_1s))
}

fn times(progress: &MiningProgress) -> String {
    format!(
        "{} elapsed; expected left: {} (p50), {} (p95)",
        time(Some(progress.elapsed_secs)),
        time(progress.p50_left_secs),
        time(progress.p95_left_secs)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lines_of_the_bar_fit_a_terminal_of_80_columns() {
        let long = 86_399.0 - 60.0;
        let progress = MiningProgress {
            job: 1,
            workload: "nip13".to_owned(),
            difficulty_bits: Some(256),
            phase: JobPhase::Running,
            attempts: u64::MAX,
            rate_1s: 999.994e6,
            rate_10s: 999.994e6,
            best_bits: 100,
            elapsed_secs: long,
            p50_left_secs: Some(long),
            p95_left_secs: None,
        };
        assert!(times(&progress).contains("23 h 59 min"), "{}", times(&progress));
        // The spinner, the brackets, the spaces between, and the bar itself.
        let before = 5 + 30;
        assert!(before + speed(256, &progress).chars().count() < 80);
        assert!(2 + times(&progress).chars().count() < 80, "{}", times(&progress));
    }

    #[test]
    fn the_bar_shows_the_odds_of_success() {
        assert!((odds(10, 1 << 10) - 0.632).abs() < 0.001);
        assert!((odds(60, 1 << 60) - 0.632).abs() < 0.001, "small chances keep precision");
        assert_eq!(odds(256, 0), 0.0);
        assert_eq!(odds(0, 1), 1.0);
    }
}
