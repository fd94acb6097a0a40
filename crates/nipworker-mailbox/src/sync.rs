//! The locks and atomics of this crate: `std` normally, `loom` under `--cfg loom`.

#[cfg(loom)]
pub(crate) use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};
#[cfg(not(loom))]
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;
#[cfg(not(loom))]
pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};
use std::task::Waker;

/// Locks, and goes on when an earlier holder panicked.
///
/// Of foreign code only `Waker::clone` runs under these locks: wakers are woken and dropped, and
/// envelopes dropped, after unlocking. Where it is called the data is consistent, so it still is
/// when the lock is poisoned.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Wakes each of them, with no lock held.
///
/// Wakers are foreign code. One that panics must neither reach whoever happened to make room or to
/// close the mailbox, nor keep those behind it from being woken.
pub(crate) fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    for waker in wakers {
        // A model's own panics end the model and are not to be caught.
        #[cfg(loom)]
        waker.wake();
        #[cfg(not(loom))]
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake()))
            // The payload is foreign too: dropping it may panic again.
            && let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload)))
        {
            std::mem::forget(second);
        }
    }
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
