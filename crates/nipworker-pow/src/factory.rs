//! Makes NIP-13 jobs.

use std::sync::Arc;

use nipworker_hash::{SearchKernel, choose};
use nipworker_mining::{Workload, WorkloadError, WorkloadFactory};
use serde::Deserialize;
use serde_json::Value;

use crate::error::PowError;
use crate::input::{PowInput, WORKLOAD_NAME, is_signed};
use crate::search::{Paced, blocks_per_look};
use crate::workload::PowSearch;

/// Tells unix seconds.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Makes NIP-13 jobs from a [`PowInput`].
#[derive(Clone)]
pub struct PowFactory {
    clock: Clock,
    paced: Paced<'static>,
}

impl std::fmt::Debug for PowFactory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PowFactory")
            .field("kernel", &self.paced.kernel.name())
            .finish_non_exhaustive()
    }
}

impl PowFactory {
    /// A factory whose jobs run on the fastest kernel of this processor, see [`choose`], and take
    /// `created_at` from `clock`. It is read once per batch, so it should be quick.
    ///
    /// The first factory of a process has the kernels measured, which takes some milliseconds.
    pub fn new(clock: Clock) -> Self {
        Self::with_kernel(clock, choose().kernel)
    }

    /// As [`new`](Self::new), on a kernel of the caller's choice. What an index means does not
    /// depend on it: a job that began on one kernel can go on with another.
    pub fn with_kernel(clock: Clock, kernel: &'static dyn SearchKernel) -> Self {
        Self { clock, paced: Paced { kernel, blocks_per_look: blocks_per_look(kernel) } }
    }

    /// The kernel that its jobs run on.
    pub fn kernel(&self) -> &'static dyn SearchKernel {
        self.paced.kernel
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
        if input.get("event").is_some_and(is_signed) {
            return Err(refuse(PowError::Signed.to_string()));
        }
        let input = PowInput::deserialize(input).map_err(|error| refuse(error.to_string()))?;
        input.validate().map_err(|error| refuse(error.to_string()))?;
        Ok(Arc::new(PowSearch::new(input, Arc::clone(&self.clock), self.paced)))
    }
}
