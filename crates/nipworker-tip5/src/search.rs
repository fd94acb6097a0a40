//! The workload.

use std::sync::Arc;

use nipworker_mining::{
    BatchContext, BatchHint, BatchResult, Best, Hit, Span, Workload, WorkloadError, WorkloadFactory,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    ELEMENTS,
    input::{MODULUS, Tip5Input, WORKLOAD_NAME, score},
    permutation::Prepared,
    reference,
};

/// Attempts between two looks at whether the batch is still wanted: about a tenth of a millisecond.
const ATTEMPTS_PER_LOOK: u64 = 64;
/// Size of the first batch, about two milliseconds.
const FIRST_BATCH: u64 = 1 << 10;
/// Most attempts in a batch.
const MAX_BATCH: u64 = 1 << 13;

/// Makes `tip5-search` jobs from a [`Tip5Input`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Tip5Factory;

impl WorkloadFactory for Tip5Factory {
    fn name(&self) -> &str {
        WORKLOAD_NAME
    }

    fn prepare(&self, input: &Value) -> Result<Arc<dyn Workload>, WorkloadError> {
        let input = Tip5Input::read(input).map_err(|reason| WorkloadError::Input {
            workload: WORKLOAD_NAME.to_owned(),
            reason,
        })?;
        let prepared = Prepared::new(input.header, input.nonce(0));
        Ok(Arc::new(Tip5Search { input, prepared }))
    }
}

/// A header being worked on.
struct Tip5Search {
    input: Tip5Input,
    prepared: Prepared,
}

/// What a hit's solution holds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Solution {
    nonce: [u64; ELEMENTS],
    digest: [u64; ELEMENTS],
}

impl Tip5Search {
    fn hit(&self, index: u64, digest: [u64; ELEMENTS]) -> Hit {
        let solution = Solution { nonce: self.input.nonce(index), digest };
        // Lists of numbers always have a JSON form.
        let solution = serde_json::to_value(solution).unwrap_or_default();
        Hit { index, score: score(&digest), solution }
    }

    /// What is wrong with a hit, if anything is.
    fn flaw(&self, hit: &Hit) -> Option<String> {
        if !hit.solution.is_object() {
            return Some("its solution is not an object".into());
        }
        let Solution { nonce, digest } = match Solution::deserialize(&hit.solution) {
            Ok(solution) => solution,
            Err(error) => return Some(error.to_string()),
        };
        if hit.index >= MODULUS || nonce != self.input.nonce(hit.index) {
            return Some(format!("its nonce is {nonce:?}"));
        }
        let right = reference::digest(self.input.header, nonce);
        if digest != right {
            return Some(format!("its digest is {right:?}, stated is {digest:?}"));
        }
        if !self.input.is_met_by(&digest) {
            return Some(format!("its digest {digest:?} is above {:?}", self.input.target));
        }
        let bits = score(&digest);
        (bits != hit.score).then(|| format!("its score is {bits}, stated is {}", hit.score))
    }
}

impl Workload for Tip5Search {
    fn name(&self) -> &str {
        WORKLOAD_NAME
    }

    fn space(&self) -> u64 {
        MODULUS
    }

    fn batch_hint(&self) -> BatchHint {
        BatchHint { initial: FIRST_BATCH, max: MAX_BATCH }
    }

    fn chance(&self) -> Option<f64> {
        Some(self.input.chance())
    }

    fn run(&self, span: Span, ctx: &BatchContext<'_>) -> BatchResult {
        let mut result = BatchResult::default();
        for index in span.start..span.end().min(MODULUS) {
            if result.attempts % ATTEMPTS_PER_LOOK == 0 && ctx.is_cancelled() {
                break;
            }
            let digest = self.prepared.digest(index);
            result.attempts += 1;
            let this = Best { index, score: score(&digest) };
            result.best = Some(result.best.map_or(this, |best| best.better(this)));
            if self.input.is_met_by(&digest) {
                result.hits.push(self.hit(index, digest));
                break;
            }
        }
        result
    }

    fn verify(&self, hit: &Hit) -> Result<(), WorkloadError> {
        self.flaw(hit).map_or(Ok(()), |reason| {
            Err(WorkloadError::BadHit {
                workload: WORKLOAD_NAME.to_owned(),
                index: hit.index,
                reason,
            })
        })
    }
}
