//! What is told when a search has ended.

use nipworker_core::{MiningOutcome, MiningProgress, PoolMetrics, ThreadMetrics};
use serde_json::{Value, json};

use crate::cli::rates::rate;

/// How a search without a result ended: its name in JSON, and the reason for a person.
pub(super) struct Unsolved {
    name: &'static str,
    reason: String,
    attempts: u64,
}

impl Unsolved {
    /// `None` for an outcome with a result.
    pub(super) fn of(outcome: &MiningOutcome, progress: &MiningProgress) -> Option<Self> {
        let (name, reason, attempts) = match outcome {
            MiningOutcome::Found { .. } => return None,
            MiningOutcome::TimedOut { attempts } => {
                ("timed_out", "the time is over".to_owned(), *attempts)
            }
            MiningOutcome::Exhausted { attempts } => {
                ("exhausted", "every nonce that was allowed was tried".to_owned(), *attempts)
            }
            MiningOutcome::Cancelled { attempts } => {
                ("cancelled", "the search was cancelled".to_owned(), *attempts)
            }
            MiningOutcome::Quarantined { attempts, spans } => (
                "quarantined",
                format!(
                    "the search failed twice in each of {spans} ranges of nonces, which were given \
                     up; the log has the reason"
                ),
                *attempts,
            ),
            other => ("ended", format!("the search ended: {other:?}"), progress.attempts),
        };
        Some(Self { name, reason, attempts })
    }

    /// Ended by a signal.
    pub(super) fn interrupted(signal: &str, attempts: u64) -> Self {
        Self { name: "cancelled", reason: format!("{signal}: cancelled"), attempts }
    }

    /// For a person.
    pub(super) fn text(&self, difficulty: u16, progress: &MiningProgress) -> String {
        let Self { reason, attempts, .. } = self;
        let best = progress.best_bits;
        format!("{reason} after {attempts} attempts; the best id has {best} of {difficulty} bits")
    }

    /// For a program.
    pub(super) fn json(&self, difficulty: u16, progress: &MiningProgress) -> Value {
        json!({
            "outcome": self.name,
            "reason": self.reason,
            "difficulty": difficulty,
            "best_bits": progress.best_bits,
            "attempts": self.attempts,
            "seconds": progress.elapsed_secs,
        })
    }
}

/// Share of the time with work left that a thread spent on it.
pub(super) fn busy_percent(thread: &ThreadMetrics) -> f64 {
    let fed = thread.busy_ns + thread.idle_with_job_ns;
    if fed == 0 { 0.0 } else { 100.0 * thread.busy_ns as f64 / fed as f64 }
}

/// One thread's figures for a program.
pub(super) fn thread_figures(thread: &ThreadMetrics) -> Value {
    json!({
        "thread": thread.index,
        "core": thread.core,
        "pinned": thread.pinned,
        "busy_percent": busy_percent(thread),
        "starved_ms": thread.starved_ns as f64 / 1e6,
        "throttled_ms": thread.throttled_ns as f64 / 1e6,
        "attempts": thread.attempts,
        "batches": thread.batches,
        "self_refills": thread.self_refills,
    })
}

/// More threads than this are summed up.
const THREADS_SHOWN: usize = 8;

/// How busy each thread was, or the least and the most of many.
fn busy(threads: &[ThreadMetrics]) -> String {
    let percents = || threads.iter().map(busy_percent);
    if threads.len() <= THREADS_SHOWN {
        return percents().map(|busy| format!("{busy:.1} %")).collect::<Vec<_>>().join(", ");
    }
    let (least, most) = (percents().fold(100.0, f64::min), percents().fold(0.0, f64::max));
    format!("{least:.1} to {most:.1} % ({} of them)", threads.len())
}

/// One line about a search that has a result.
pub(super) fn summary(bits: u32, attempts: u64, seconds: f64, pool: &PoolMetrics) -> String {
    format!(
        "{bits} bits after {attempts} attempts in {seconds:.2} s ({}); threads busy {}, starved \
         {:.1} ms",
        rate(attempts as f64 / seconds.max(1e-9)),
        busy(&pool.threads),
        pool.starved_ns as f64 / 1e6
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_threads_are_summed_up() {
        let thread = |busy_ns| {
            let mut thread = ThreadMetrics::default();
            thread.busy_ns = busy_ns;
            thread.idle_with_job_ns = 1_000 - busy_ns;
            thread
        };
        assert_eq!(busy(&[thread(990), thread(1_000)]), "99.0 %, 100.0 %");
        let many: Vec<_> = (0..1_000).map(thread).collect();
        assert_eq!(busy(&many), "0.0 to 99.9 % (1000 of them)");
    }
}
