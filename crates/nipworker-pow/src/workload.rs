//! NIP-13 as a workload of the miner.

use std::sync::{Arc, Mutex, PoisonError};

use nipworker_mining::{
    BatchContext, BatchHint, BatchResult, Best, Hit, Span, Workload, WorkloadError,
};
use nipworker_protocol::UnsignedEvent;

use crate::difficulty::NONCE;
use crate::factory::Clock;
use crate::input::{PowInput, WORKLOAD_NAME, without_nonce};
use crate::layout::Layout;
use crate::search::{Found, Paced, search};
use crate::solution::parse_solution;

/// Blocks of the first batch: a tenth of a millisecond with vectors or SHA instructions, so that
/// the batches of an easy job do not wait for each other.
const FIRST_BLOCKS: u64 = 8192;

/// Most attempts in a batch: a tenth of a second even where an attempt takes six nanoseconds.
const MAX_BATCH: u64 = 1 << 24;

/// One event being mined.
pub(crate) struct PowSearch {
    difficulty: u32,
    refresh: bool,
    clock: Clock,
    paced: Paced<'static>,
    /// Unix seconds that the event came with.
    came_at: i64,
    blocks: u64,
    /// The layout of the latest `created_at`, shared by all threads.
    layout: Mutex<Arc<Layout>>,
}

impl PowSearch {
    pub(crate) fn new(input: PowInput, clock: Clock, paced: Paced<'static>) -> Self {
        let PowInput { event, difficulty, refresh_created_at } = input;
        let layout = Layout::new(without_nonce(event), difficulty);
        Self {
            difficulty,
            refresh: refresh_created_at,
            clock,
            paced,
            came_at: layout.created_at(),
            blocks: layout.blocks() as u64,
            layout: Mutex::new(Arc::new(layout)),
        }
    }

    /// The latest layout.
    fn latest(&self) -> Arc<Layout> {
        Arc::clone(&self.layout.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The layout for a batch that begins now. It is made anew when the second has changed, and
    /// `created_at` never goes back: neither before what the event came with nor before what
    /// another thread has used.
    fn layout(&self) -> Arc<Layout> {
        if !self.refresh {
            return self.latest();
        }
        let now = (self.clock)();
        let mut layout = self.layout.lock().unwrap_or_else(PoisonError::into_inner);
        if now > layout.created_at() {
            *layout = Arc::new(layout.at(now));
        }
        Arc::clone(&layout)
    }

    /// What is wrong with an event as the solution for `index`, if anything is.
    fn flaw(&self, mined: &UnsignedEvent, index: u64, score: u64) -> Option<String> {
        let Some((nonce, others)) = mined.tags.split_last() else {
            return Some("it has no nonce tag".into());
        };
        let layout = self.latest();
        let template = layout.template();
        let same = mined.pubkey == template.pubkey
            && mined.kind == template.kind
            && mined.content == template.content
            && others == template.tags;
        if !same {
            return Some("it is not the event that was to be mined".into());
        }
        let time_is_right = if self.refresh {
            mined.created_at >= self.came_at
        } else {
            mined.created_at == self.came_at
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
        if *digits != layout.nonce_at(mined.created_at, index) {
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
        BatchHint { initial: (FIRST_BLOCKS / self.blocks).max(1), max: MAX_BATCH }
    }

    fn chance(&self) -> Option<f64> {
        Some(0.5f64.powi(i32::try_from(self.difficulty).unwrap_or(i32::MAX)))
    }

    fn run(&self, span: Span, ctx: &BatchContext<'_>) -> BatchResult {
        let layout = self.layout();
        let Found { attempts, best, hit } = search(&layout, self.paced, self.difficulty, span, ctx);
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
