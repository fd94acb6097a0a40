//! A workload that only wears the thread: for tests, and for benches of the dispatch itself.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use nipworker_pool::{BatchContext, Span, thread_cpu_ns};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::WorkloadError;
use crate::workload::{BatchResult, Best, Hit, Workload, WorkloadFactory};

/// How an item passes its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wear {
    /// It computes.
    #[default]
    Spin,
    /// It sleeps, which takes no core: shows the dispatch alone, on any machine.
    Wait,
}

/// Input of the `synthetic` workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SyntheticInput {
    /// Number of items.
    pub items: u64,
    /// What each costs, in microseconds.
    pub item_us: u64,
    /// How it passes that time.
    pub wear: Wear,
    /// The item that is a hit.
    pub hit_at: Option<u64>,
}

impl Default for SyntheticInput {
    fn default() -> Self {
        Self { items: u64::MAX, item_us: 0, wear: Wear::Spin, hit_at: None }
    }
}

/// Makes `synthetic` jobs from a [`SyntheticInput`].
#[derive(Clone, Copy, Debug, Default)]
pub struct SyntheticFactory;

const NAME: &str = "synthetic";
/// Longest item in microseconds.
const MAX_ITEM_US: u64 = 60_000_000;
/// A cancelled item that computes is left within this time …
const SLICE_US: u64 = 50;
/// … and one that sleeps within this: waking up more often would be work of its own.
const NAP_US: u64 = 1_000;

impl WorkloadFactory for SyntheticFactory {
    fn name(&self) -> &str {
        NAME
    }

    fn prepare(&self, input: &Value) -> Result<Arc<dyn Workload>, WorkloadError> {
        let refuse = |reason: String| WorkloadError::Input { workload: NAME.to_owned(), reason };
        // Read as a struct, a list would pass for one with every field at its default.
        if !input.is_object() {
            return Err(refuse("it is not an object".into()));
        }
        let input =
            SyntheticInput::deserialize(input).map_err(|error| refuse(error.to_string()))?;
        if input.item_us > MAX_ITEM_US {
            return Err(refuse(format!(
                "item_us is {}, allowed is at most {MAX_ITEM_US}",
                input.item_us
            )));
        }
        if input.wear == Wear::Spin && input.item_us > 0 {
            // Measured here and not inside the first batch.
            spin_calibrated(0);
        }
        Ok(Arc::new(Synthetic { input }))
    }
}

struct Synthetic {
    input: SyntheticInput,
}

impl Synthetic {
    /// Wears one item; false if it was left early.
    fn wear(&self, ctx: &BatchContext<'_>) -> bool {
        match self.input.wear {
            Wear::Spin => {
                let mut left = self.input.item_us;
                while left > 0 {
                    if ctx.is_cancelled() {
                        return false;
                    }
                    spin_calibrated(left.min(SLICE_US));
                    left -= left.min(SLICE_US);
                }
            }
            Wear::Wait => {
                let end = Instant::now() + Duration::from_micros(self.input.item_us);
                loop {
                    let left = end.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        break;
                    }
                    if ctx.is_cancelled() {
                        return false;
                    }
                    std::thread::sleep(left.min(Duration::from_micros(NAP_US)));
                }
            }
        }
        true
    }
}

impl Workload for Synthetic {
    fn name(&self) -> &str {
        NAME
    }

    fn space(&self) -> u64 {
        self.input.items
    }

    fn run(&self, span: Span, ctx: &BatchContext<'_>) -> BatchResult {
        let mut result = BatchResult::default();
        for index in span.start..span.end() {
            if ctx.is_cancelled() || !self.wear(ctx) {
                break;
            }
            result.attempts += 1;
            if self.input.hit_at == Some(index) {
                let solution = json!({ "index": index });
                result.hits.push(Hit { index, score: 1, solution });
                break;
            }
        }
        if result.attempts > 0 {
            result.best = Some(Best { index: span.start, score: 0 });
        }
        result
    }

    fn verify(&self, hit: &Hit) -> Result<(), WorkloadError> {
        let right = self.input.hit_at == Some(hit.index)
            && hit.score == 1
            && hit.solution == json!({ "index": hit.index });
        if right {
            return Ok(());
        }
        Err(WorkloadError::BadHit {
            workload: NAME.to_owned(),
            index: hit.index,
            reason: format!("the hit is at {:?}", self.input.hit_at),
        })
    }
}

/// Computes for about `micros` microseconds of thread CPU time.
///
/// The speed is measured once per process by the thread's CPU clock; the spinning itself reads no
/// clock, so that an item of one microsecond costs one microsecond.
pub fn spin_calibrated(micros: u64) {
    static ROUNDS_PER_MS: OnceLock<u64> = OnceLock::new();
    let per_ms = *ROUNDS_PER_MS.get_or_init(|| {
        // The best of several: an interrupted measurement is too slow, never too fast.
        let measure = || {
            const ROUNDS: u64 = 200_000;
            let start = thread_cpu_ns();
            spin(ROUNDS);
            let took = thread_cpu_ns().saturating_sub(start).max(1);
            ROUNDS * 1_000_000 / took
        };
        (0..9).map(|_| measure()).max().unwrap_or(1).max(1)
    });
    spin(micros.saturating_mul(per_ms) / 1_000);
}

fn spin(rounds: u64) {
    let mut x = rounds | 1;
    for _ in 0..rounds {
        // Each round depends on the one before it.
        x = (x ^ (x >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    }
    std::hint::black_box(x);
}
