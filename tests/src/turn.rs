//! Who may run at the same time: tests that measure need the machine for themselves.

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

static TURN: RwLock<()> = RwLock::const_new(());

/// Held by a test that may run beside others.
pub async fn beside_others() -> RwLockReadGuard<'static, ()> {
    TURN.read().await
}

/// As [`beside_others`], for a test without a runtime.
pub fn blocking_beside_others() -> RwLockReadGuard<'static, ()> {
    TURN.blocking_read()
}

/// Held by a test that measures time, memory, threads or file handles: no other test of this
/// process runs meanwhile.
pub async fn alone() -> RwLockWriteGuard<'static, ()> {
    TURN.write().await
}
