//! Waiting for a condition instead of for time.

use std::time::{Duration, Instant};

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(10);

/// Looks at a condition until it holds, and returns what it found.
///
/// # Panics
/// When it does not hold `within` that time; the text names `what` was waited for.
pub async fn eventually<T>(
    what: &str,
    within: Duration,
    mut probe: impl AsyncFnMut() -> Option<T>,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(start.elapsed() < within, "waited {within:?} in vain: {what}");
        tokio::time::sleep(POLL).await;
    }
}

/// As [`eventually`], for a condition that is looked at without waiting.
///
/// # Panics
/// As [`eventually`].
pub async fn until(what: &str, within: Duration, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < within, "waited {within:?} in vain: {what}");
        tokio::time::sleep(POLL).await;
    }
}

/// As [`eventually`], without a runtime.
///
/// # Panics
/// As [`eventually`].
pub fn eventually_blocking<T>(
    what: &str,
    within: Duration,
    mut probe: impl FnMut() -> Option<T>,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(start.elapsed() < within, "waited {within:?} in vain: {what}");
        std::thread::sleep(POLL);
    }
}

/// Waits for a future, but no longer than `within`.
///
/// # Panics
/// When it takes longer; the text names `what` was waited for.
pub async fn within<T>(what: &str, within: Duration, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(within, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {within:?} in vain: {what}"),
    }
}
