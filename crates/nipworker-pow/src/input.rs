//! What is mined, and what comes out.

use nipworker_mining::JobRequest;
use nipworker_protocol::{EventLimits, Tag, UnsignedEvent};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::difficulty::{MAX_DIFFICULTY, NONCE};
use crate::error::PowError;

/// Name of the workload: what a [`JobRequest`] asks for.
pub const WORKLOAD_NAME: &str = "nip13";

/// Largest NIP-01 serialisation that is mined, in bytes: what common relays take as a message at
/// most, and as much as a kernel hashes of one set of attempts within about a millisecond, so that
/// a cancel need not wait longer.
pub const MAX_PREIMAGE_BYTES: usize = 128 * 1024;

/// Input of the workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PowInput {
    /// The event. A nonce tag in it is replaced, wherever it stands.
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

    /// Mines the event in `json`, read under the protocol's default limits, with a fresh
    /// `created_at`. Its key may be anybody's: the work does not cover the signature, so an event
    /// can be mined for somebody else, who signs it with the nonce and the time of
    /// [`Mined`](crate::Mined).
    ///
    /// # Errors
    ///
    /// [`PowError::Event`], [`PowError::Signed`], [`PowError::Difficulty`],
    /// [`PowError::TooLarge`].
    pub fn from_json(json: &[u8], difficulty: u32) -> Result<Self, PowError> {
        let event = UnsignedEvent::from_json(json, &EventLimits::default())?;
        // It has been read as JSON just now.
        let fields = serde_json::from_slice(json).unwrap_or_default();
        if is_signed(&fields) {
            return Err(PowError::Signed);
        }
        let input = Self::new(event, difficulty);
        input.validate()?;
        Ok(input)
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

/// Whether a JSON event carries a signature. Some clients write an empty one, which is none.
pub(crate) fn is_signed(event: &Value) -> bool {
    match event.get("sig") {
        None | Some(Value::Null) => false,
        Some(sig) => sig.as_str() != Some(""),
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
