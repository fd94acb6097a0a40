//! The locks and atomics of this crate: `std` normally, `loom` under `--cfg loom`.

#[cfg(loom)]
pub(crate) use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};
use std::sync::PoisonError;
#[cfg(not(loom))]
pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

/// Locks, and goes on when an earlier holder panicked.
///
/// No user code runs under these locks except `Drop` of nothing: every critical section moves
/// values and counts, so a poisoned lock still guards consistent data.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A counter with one writer at a time (the holder of a lock) and any number of readers.
///
/// Adding is a load and a store, not a read-modify-write: cheaper, and right because of the lock.
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds `n`; the caller holds the lock that this counter belongs to.
    pub(crate) fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// Raises to `value` if it is higher; the caller holds the lock that this counter belongs to.
    pub(crate) fn raise(&self, value: u64) {
        if value > self.0.load(Ordering::Relaxed) {
            self.0.store(value, Ordering::Relaxed);
        }
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Keeps what producers write off the cache line that the consumer writes.
#[repr(align(128))]
pub(crate) struct Padded<T>(pub(crate) T);
