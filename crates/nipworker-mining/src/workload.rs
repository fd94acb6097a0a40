//! What is mined: the port that every workload implements.

use std::sync::Arc;

use nipworker_pool::{BatchContext, Span};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::WorkloadError;

/// Makes workloads of one kind.
pub trait WorkloadFactory: Send + Sync + 'static {
    /// The name that a [`crate::JobRequest`] asks for; short, lowercase, stable.
    fn name(&self) -> &str;

    /// Prepares a job from its input.
    ///
    /// It is called again with the same input when a job is resumed, and must then make a workload
    /// whose indices mean the same.
    ///
    /// # Errors
    ///
    /// [`WorkloadError::Input`] for an input that is not valid, with the reason.
    fn prepare(&self, input: &Value) -> Result<Arc<dyn Workload>, WorkloadError>;
}

/// One prepared job: a space of indices, each of which can be tried.
pub trait Workload: Send + Sync + 'static {
    /// Name of its factory.
    fn name(&self) -> &str;

    /// Number of indices there are; the job is exhausted after them.
    fn space(&self) -> u64 {
        u64::MAX
    }

    /// How batches of this workload should be sized.
    fn batch_hint(&self) -> BatchHint {
        BatchHint::default()
    }

    /// Probability that one attempt is a hit, if it is the same for all: for estimates.
    fn chance(&self) -> Option<f64> {
        None
    }

    /// Tries the indices of `span` from its start and says how far it came.
    ///
    /// It must look at [`BatchContext::is_cancelled`] at least every millisecond and then return
    /// what it has done. It may return early after a hit. It may panic: the batch is then tried
    /// once more, and given up if it panics again.
    fn run(&self, span: Span, ctx: &BatchContext<'_>) -> BatchResult;

    /// Checks a hit from scratch, not by the code that found it.
    ///
    /// # Errors
    ///
    /// [`WorkloadError::BadHit`] with the reason.
    fn verify(&self, hit: &Hit) -> Result<(), WorkloadError>;
}

/// Batch sizes in indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHint {
    /// Size of the first batch; later ones follow the measured speed. Default: 1.
    pub initial: u64,
    /// Largest size. Default: 1,000,000.
    pub max: u64,
}

impl Default for BatchHint {
    fn default() -> Self {
        Self { initial: 1, max: 1_000_000 }
    }
}

/// What a batch found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BatchResult {
    /// Indices tried from the start of the span.
    pub attempts: u64,
    /// The best of them, if the workload can rank what is no hit.
    pub best: Option<Best>,
    /// Those that solve the job.
    pub hits: Vec<Hit>,
}

/// The best attempt so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Best {
    /// Which index.
    pub index: u64,
    /// How good it is; higher is better, the unit belongs to the workload.
    pub score: u64,
}

impl Best {
    /// The better of two; among equals the lower index, so that the order of threads is of no
    /// consequence.
    pub fn better(self, other: Self) -> Self {
        if (other.score, std::cmp::Reverse(other.index))
            > (self.score, std::cmp::Reverse(self.index))
        {
            other
        } else {
            self
        }
    }
}

/// An index that solves the job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    /// Which index.
    pub index: u64,
    /// How good it is; higher is better.
    pub score: u64,
    /// The solution in the workload's own form.
    pub solution: Value,
}
