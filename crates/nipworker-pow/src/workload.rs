//! NIP-13 as a workload of the miner.

use std::sync::{Arc, Mutex, PoisonError};

use nipworker_mining::{
    BatchContext, BatchHint, BatchResult, Best, Hit, Span, Workload, WorkloadError, WorkloadFactory,
};
use nipworker_protocol::UnsignedEvent;
use serde::Deserialize;
use serde_json::Value;

use crate::difficulty::NONCE;
use crate::input::{PowInput, WORKLOAD_NAME, parse_solution, without_nonce};
use crate::kernel::{Found, attempts_per_look, search};
use crate::layout::Layout;

/// Tells unix seconds.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Most attempts in a batch: a tenth of a second even where an attempt takes six nanoseconds.
const MAX_BATCH: u64 = 1 << 24;

/// Makes NIP-13 jobs from a [`PowInput`].
#[derive(Clone)]
pub struct PowFactory {
    clock: Clock,
}

impl std::fmt::Debug for PowFactory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PowFactory").finish_non_exhaustive()
    }
}

impl PowFactory {
    /// A factory whose jobs take `created_at` from `clock`. It is read once per batch, so it
    /// should be quick.
    pub fn new(clock: Clock) -> Self {
        Self { clock }
    }
}

impl WorkloadFactory for PowFactory {
    fn name(&self) -> &str {
        WORKLOAD_NAME
    }

    fn prepare(&self, input: &Value) -> Result<Arc<dyn Workload>, WorkloadError> {
        let refuse =
            |reason: String| WorkloadError::Input { workload: WORKLOAD_NAME.to_owned(), reason };
        // Read as a struct, a list would pass for one with its fields in order.
        if !input.is_object() {
            return Err(refuse("it is not an object".into()));
        }
        let input = PowInput::deserialize(input).map_err(|error| refuse(error.to_string()))?;
        input.validate().map_err(|error| refuse(error.to_string()))?;
        Ok(Arc::new(PowSearch::new(input, Arc::clone(&self.clock))))
    }
}

/// One event being mined.
struct PowSearch {
    /// The event without nonce tags, as it was handed in.
    template: UnsignedEvent,
    difficulty: u32,
    refresh: bool,
    clock: Clock,
    /// The layout of the latest `created_at`, shared by all threads.
    layout: Mutex<Arc<Layout>>,
}

impl PowSearch {
    fn new(input: PowInput, clock: Clock) -> Self {
        let PowInput { event, difficulty, refresh_created_at } = input;
        let template = without_nonce(event);
        let layout = Mutex::new(Arc::new(Layout::new(template.clone(), difficulty)));
        Self { template, difficulty, refresh: refresh_created_at, clock, layout }
    }

    /// The layout for a batch that begins now. It is made anew when the second has changed, and
    /// `created_at` never goes back: neither before what the event came with nor before what
    /// another thread has used.
    fn layout(&self) -> Arc<Layout> {
        let mut layout = self.layout.lock().unwrap_or_else(PoisonError::into_inner);
        if self.refresh {
            let now = (self.clock)();
            if now > layout.created_at() {
                let mut event = self.template.clone();
                event.created_at = now;
                *layout = Arc::new(Layout::new(event, self.difficulty));
            }
        }
        Arc::clone(&layout)
    }

    /// What is wrong with an event as the solution for `index`, if anything is.
    fn flaw(&self, mined: &UnsignedEvent, index: u64, score: u64) -> Option<String> {
        let Some((nonce, others)) = mined.tags.split_last() else {
            return Some("it has no nonce tag".into());
        };
        let template = &self.template;
        let same = mined.pubkey == template.pubkey
            && mined.kind == template.kind
            && mined.content == template.content
            && others == template.tags;
        if !same {
            return Some("it is not the event that was to be mined".into());
        }
        let time_is_right = if self.refresh {
            mined.created_at >= template.created_at
        } else {
            mined.created_at == template.created_at
        };
        if !time_is_right {
            return Some(format!("created_at is {}", mined.created_at));
        }
        let [name, digits, target] = &nonce.0[..] else {
            return Some(format!("its nonce tag has {} elements", nonce.0.len()));
        };
        if name != NONCE || *target != self.difficulty.to_string() {
            return Some(format!("it commits to {target} and not to {}", self.difficulty));
        }
        if digits.parse() != Ok(u128::from(index)) {
            return Some(format!("its nonce is {digits}"));
        }
        let bits = mined.compute_id().leading_zero_bits();
        if bits < self.difficulty || u64::from(bits) != score {
            return Some(format!(
                "its id has {bits} leading zero bits, {score} are stated and {} are required",
                self.difficulty
            ));
        }
        None
    }
}

impl Workload for PowSearch {
    fn name(&self) -> &str {
        WORKLOAD_NAME
    }

    fn batch_hint(&self) -> BatchHint {
        let layout = self.layout.lock().unwrap_or_else(PoisonError::into_inner);
        BatchHint { initial: attempts_per_look(&layout), max: MAX_BATCH }
    }

    fn chance(&self) -> Option<f64> {
        Some(0.5f64.powi(i32::try_from(self.difficulty).unwrap_or(i32::MAX)))
    }

    fn run(&self, span: Span, ctx: &BatchContext<'_>) -> BatchResult {
        let layout = self.layout();
        let Found { attempts, best, hit } = search(&layout, self.difficulty, span, ctx);
        let hits = hit.into_iter().map(|(index, bits)| {
            let event = layout.event_at(index);
            // An event always has a JSON form.
            let solution = serde_json::to_value(&event).unwrap_or_default();
            Hit { index, score: u64::from(bits), solution }
        });
        BatchResult {
            attempts,
            best: best.map(|(index, bits)| Best { index, score: u64::from(bits) }),
            hits: hits.collect(),
        }
    }

    fn verify(&self, hit: &Hit) -> Result<(), WorkloadError> {
        let bad = |reason| WorkloadError::BadHit {
            workload: WORKLOAD_NAME.to_owned(),
            index: hit.index,
            reason,
        };
        let mined = parse_solution(&hit.solution).map_err(|error| bad(error.to_string()))?;
        self.flaw(&mined, hit.index, hit.score).map_or(Ok(()), |reason| Err(bad(reason)))
    }
}
