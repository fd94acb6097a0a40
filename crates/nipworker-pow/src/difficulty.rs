//! How much work an event holds.

use nipworker_protocol::{Event, EventId, Tag};

use crate::error::PowError;

/// Highest difficulty in bits: an id has no more.
pub const MAX_DIFFICULTY: u32 = 256;

/// Name of the tag that holds the nonce.
pub(crate) const NONCE: &str = "nonce";

/// The work of an event, in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pow {
    /// Leading zero bits of the id.
    pub actual: u32,
    /// The target that the nonce tag commits to, if it holds one from 0 to 256.
    pub target: Option<u32>,
}

impl Pow {
    /// Reads the work of an event with this id and these tags.
    ///
    /// Of several nonce tags the first counts; a third element that is no number from 0 to 256
    /// counts as none.
    pub fn of(id: &EventId, tags: &[Tag]) -> Self {
        let nonce = tags.iter().find(|tag| tag.name() == NONCE);
        let target = nonce
            .and_then(|tag| tag.get(2))
            // `parse` would take a plus sign.
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|text| text.parse().ok())
            .filter(|&bits: &u32| bits <= MAX_DIFFICULTY);
        Self { actual: id.leading_zero_bits(), target }
    }

    /// The work that counts: the target, if the id reaches it, and nothing if it does not or if
    /// there is no target. What an id has beyond its target is luck and does not count (NIP-13).
    pub fn committed(&self) -> u32 {
        self.counted(Uncommitted::CountsNothing)
    }

    /// The work that counts under a policy for events without a target. With a target it is
    /// always that, or nothing if the id does not reach it.
    pub fn counted(&self, uncommitted: Uncommitted) -> u32 {
        match (self.target, uncommitted) {
            (Some(target), _) if target <= self.actual => target,
            (None, Uncommitted::CountsActual) => self.actual,
            _ => 0,
        }
    }
}

/// What the work of an event counts that commits to no target.
///
/// NIP-13 lets clients reject such events: whoever posts thousands of them gets some with high
/// work by luck.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Uncommitted {
    /// Nothing.
    #[default]
    CountsNothing,
    /// The leading zero bits that its id has.
    CountsActual,
}

/// Checks that `event` holds at least `required` bits of committed work. It recomputes the id, but
/// not the signature.
///
/// # Errors
///
/// [`PowError::Difficulty`] for a requirement above 256, [`PowError::Id`],
/// [`PowError::Uncommitted`], [`PowError::TooLittle`]. A requirement of 0 is met by every event
/// with a right id.
pub fn check(event: &Event, required: u32) -> Result<Pow, PowError> {
    check_with(event, required, Uncommitted::CountsNothing)
}

/// As [`check`], under a policy for events without a target.
///
/// # Errors
///
/// As [`check`]; [`PowError::Uncommitted`] only where what is not committed counts nothing.
pub fn check_with(event: &Event, required: u32, uncommitted: Uncommitted) -> Result<Pow, PowError> {
    if required > MAX_DIFFICULTY {
        return Err(PowError::Difficulty { bits: required });
    }
    let computed = event.compute_id();
    if computed != event.id {
        return Err(PowError::Id { stated: event.id, computed });
    }
    let pow = Pow::of(&event.id, &event.tags);
    if required == 0 {
        return Ok(pow);
    }
    if pow.target.is_none() && uncommitted == Uncommitted::CountsNothing {
        return Err(PowError::Uncommitted { required });
    }
    let counted = pow.counted(uncommitted);
    if counted < required {
        return Err(PowError::TooLittle { counted, required });
    }
    Ok(pow)
}
