//! What is mined, and what comes out.

use nipworker_mining::{Hit, JobRequest};
use nipworker_protocol::{Tag, UnsignedEvent};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::difficulty::{MAX_DIFFICULTY, NONCE};
use crate::error::PowError;

/// Name of the workload: what a [`JobRequest`] asks for.
pub const WORKLOAD_NAME: &str = "nip13";

/// Largest NIP-01 serialisation that is mined, in bytes.
pub const MAX_PREIMAGE_BYTES: usize = 512 * 1024;

/// Input of the workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PowInput {
    /// The event. A nonce tag in it is replaced.
    pub event: UnsignedEvent,
    /// Leading zero bits that the id must have, 0 to 256.
    pub difficulty: u32,
    /// Whether `created_at` follows the clock while it is mined (NIP-13 recommends it). Switch it
    /// off for what was scheduled. Default: true.
    #[serde(default = "yes")]
    pub refresh_created_at: bool,
}

fn yes() -> bool {
    true
}

impl PowInput {
    /// Mines `event` to `difficulty` bits, with a fresh `created_at`.
    pub fn new(event: UnsignedEvent, difficulty: u32) -> Self {
        Self { event, difficulty, refresh_created_at: true }
    }

    /// A request for a [`nipworker_mining::JobBook`], without limits.
    pub fn into_request(self) -> JobRequest {
        // Strings and numbers always have a JSON form.
        let input = serde_json::to_value(self).unwrap_or_default();
        JobRequest::new(WORKLOAD_NAME, input)
    }

    pub(crate) fn validate(&self) -> Result<(), PowError> {
        if self.difficulty > MAX_DIFFICULTY {
            return Err(PowError::Difficulty { bits: self.difficulty });
        }
        let bytes = self.event.id_preimage().len();
        if bytes > MAX_PREIMAGE_BYTES {
            return Err(PowError::TooLarge { bytes, limit: MAX_PREIMAGE_BYTES });
        }
        Ok(())
    }
}

/// The event without its nonce tags.
pub(crate) fn without_nonce(mut event: UnsignedEvent) -> UnsignedEvent {
    event.tags.retain(|tag| tag.name() != NONCE);
    event
}

/// The event with `nonce`, committed to `difficulty`, as its last tag.
pub(crate) fn with_nonce(mut event: UnsignedEvent, nonce: &str, difficulty: u32) -> UnsignedEvent {
    event.tags.push(Tag::new([NONCE, nonce, &difficulty.to_string()]));
    event
}

/// The mined event of a hit: ready to be signed, its id has the work.
///
/// # Errors
///
/// [`PowError::Solution`] if the hit is not one of this workload.
pub fn mined_event(hit: &Hit) -> Result<UnsignedEvent, PowError> {
    parse_solution(&hit.solution)
}

pub(crate) fn parse_solution(solution: &Value) -> Result<UnsignedEvent, PowError> {
    UnsignedEvent::deserialize(solution)
        .map_err(|error| PowError::Solution { reason: error.to_string() })
}
