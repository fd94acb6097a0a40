//! The wall clock: the one place that reads it.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Tells unix seconds.
pub(crate) type UnixClock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The system's clock. Before 1970 it says 0.
pub(crate) fn system() -> UnixClock {
    Arc::new(|| {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |age| i64::try_from(age.as_secs()).unwrap_or(i64::MAX))
    })
}
