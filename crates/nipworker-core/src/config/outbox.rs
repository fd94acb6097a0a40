//! Settings of the outbox.

use std::{path::PathBuf, time::Duration};

use nipworker_relay::{BackoffConfig, outbox as domain};
use serde::{Deserialize, Serialize};

use super::{FileSetting, duration};

/// Largest allowed [`OutboxConfig::max_entries`].
const MAX_ENTRIES: usize = 1_000_000;
/// Largest allowed [`OutboxConfig::max_bytes`].
const MAX_BYTES: usize = 256 * 1024 * 1024;

/// Events that must arrive: where they are kept, how many, and how often they are tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OutboxConfig {
    /// The journal. Without one no event can be published durably.
    pub file: FileSetting,
    /// Events that wait for at least one relay; further ones are refused.
    pub max_entries: usize,
    /// Bytes of their texts together.
    pub max_bytes: usize,
    /// Wait before the second try at a relay; it doubles from one to the next, and a quarter of
    /// it is left to chance.
    #[serde(with = "duration")]
    pub retry_min: Duration,
    /// Longest wait between tries.
    #[serde(with = "duration")]
    pub retry_max: Duration,
    /// Tries at a relay, those without a connection included; 0 is no limit.
    pub max_attempts: u32,
    /// How long after it was queued an event is given up.
    #[serde(with = "duration")]
    pub max_age: Duration,
    /// How long an event that is finished stays in the listing.
    #[serde(with = "duration")]
    pub keep_finished: Duration,
}

impl Default for OutboxConfig {
    fn default() -> Self {
        let domain = domain::OutboxConfig::default();
        Self {
            file: FileSetting::Off,
            max_entries: domain.max_entries,
            max_bytes: domain.max_bytes,
            retry_min: domain.backoff.min,
            retry_max: domain.backoff.max,
            max_attempts: domain.max_attempts,
            max_age: domain.max_age,
            keep_finished: domain.keep_finished,
        }
    }
}

impl OutboxConfig {
    /// The key that makes no sense, and why.
    pub(super) fn validate(&self) -> Result<(), (&'static str, String)> {
        for (key, value, most) in [
            ("max_entries", self.max_entries, MAX_ENTRIES),
            ("max_bytes", self.max_bytes, MAX_BYTES),
        ] {
            if !(1..=most).contains(&value) {
                return Err((key, format!("{value} is out of range, allowed are 1 to {most}")));
            }
        }
        if self.file == FileSetting::At(PathBuf::new()) {
            return Err(("file", "is an empty path".to_owned()));
        }
        for (key, time) in [
            ("retry_min", self.retry_min),
            ("retry_max", self.retry_max),
            ("max_age", self.max_age),
        ] {
            if time.is_zero() || time > duration::LONGEST {
                return Err((key, "must be more than 0 and no more than a year".to_owned()));
            }
        }
        if self.retry_min > self.retry_max {
            return Err(("retry_min", "is more than outbox.retry_max".to_owned()));
        }
        if self.keep_finished > duration::LONGEST {
            return Err(("keep_finished", "must be no more than a year".to_owned()));
        }
        Ok(())
    }

    pub(crate) fn domain(&self) -> domain::OutboxConfig {
        let backoff =
            BackoffConfig { min: self.retry_min, max: self.retry_max, ..BackoffConfig::default() };
        domain::OutboxConfig {
            max_entries: self.max_entries,
            max_bytes: self.max_bytes,
            backoff,
            max_attempts: self.max_attempts,
            max_age: self.max_age,
            keep_finished: self.keep_finished,
        }
    }
}
