//! The two clocks that relays are judged by.

use std::{sync::Arc, time::Duration};

use nipworker_relay::Now;
use tokio::time::Instant;

/// Monotonic time since a start that all incarnations share, and unix seconds. Make one for each
/// [`RelayBook`](crate::RelayBook) and clone it into the factory.
#[derive(Clone)]
pub struct SharedClock {
    start: Instant,
    unix: Arc<dyn Fn() -> i64 + Send + Sync>,
}

impl SharedClock {
    /// Starts now; `unix` tells the wall clock in unix seconds.
    pub fn new(unix: Arc<dyn Fn() -> i64 + Send + Sync>) -> Self {
        Self { start: Instant::now(), unix }
    }

    pub(crate) fn now(&self) -> Now {
        Now { monotonic: self.start.elapsed(), unix: (self.unix)() }
    }

    /// How long until a time of this clock; zero when it has passed.
    pub(crate) fn until(&self, at: Duration) -> Duration {
        at.saturating_sub(self.start.elapsed())
    }
}
