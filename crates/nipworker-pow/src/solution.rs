//! What comes out of a search.

use nipworker_mining::Hit;
use nipworker_protocol::{EventId, UnsignedEvent};
use serde::Deserialize;
use serde_json::Value;

use crate::difficulty::NONCE;
use crate::error::PowError;

/// A mined event. Whoever holds the event that was handed in needs only the nonce and the time to
/// make the same one, and the id to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mined {
    /// Its id.
    pub id: EventId,
    /// Leading zero bits of the id; at least the target.
    pub bits: u32,
    /// The second element of its nonce tag, which is the last of its tags: a decimal number of
    /// less than 128 bits, with leading zeros that belong to it.
    pub nonce: String,
    /// Its time, in unix seconds: it may be later than that of the event that was handed in.
    pub created_at: i64,
    /// The event: ready to be signed.
    pub event: UnsignedEvent,
}

/// The solution of a hit.
///
/// # Errors
///
/// [`PowError::Solution`] if the hit is not one of this workload.
pub fn mined(hit: &Hit) -> Result<Mined, PowError> {
    let event = mined_event(hit)?;
    let id = event.compute_id();
    let nonce = event.tags.last().filter(|tag| tag.name() == NONCE).and_then(|tag| tag.value());
    let Some(nonce) = nonce.map(str::to_owned) else {
        return Err(PowError::Solution { reason: "its last tag is no nonce".into() });
    };
    Ok(Mined { id, bits: id.leading_zero_bits(), nonce, created_at: event.created_at, event })
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
    // The type's own function of that name would also read a list of its fields.
    <UnsignedEvent as Deserialize>::deserialize(solution)
        .map_err(|error| PowError::Solution { reason: error.to_string() })
}
