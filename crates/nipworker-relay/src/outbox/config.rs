//! How long and how often it is tried.

use std::time::Duration;

use crate::BackoffConfig;

/// Settings of an [`Outbox`](super::Outbox).
#[derive(Debug, Clone, PartialEq)]
pub struct OutboxConfig {
    /// Events that are not finished. Default: 10 000.
    pub max_entries: usize,
    /// Bytes of their JSON texts together. Default: 64 MiB.
    pub max_bytes: usize,
    /// Waits between tries. Default: 5 s to 10 minutes.
    pub backoff: BackoffConfig,
    /// Tries at one relay, those without a connection included; 0 is no limit. Default: 1 000.
    pub max_attempts: u32,
    /// How long after it was queued an event is given up. Default: 3 days.
    pub max_age: Duration,
    /// How long what is finished stays in the listing. Default: a day.
    pub keep_finished: Duration,
}

impl Default for OutboxConfig {
    fn default() -> Self {
        let backoff = BackoffConfig {
            min: Duration::from_secs(5),
            max: Duration::from_secs(600),
            ..BackoffConfig::default()
        };
        Self {
            max_entries: 10_000,
            max_bytes: 64 * 1024 * 1024,
            backoff,
            max_attempts: 1_000,
            max_age: Duration::from_secs(3 * 24 * 3600),
            keep_finished: Duration::from_secs(24 * 3600),
        }
    }
}

/// Whole seconds, for times of the wall clock.
pub(super) fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}
