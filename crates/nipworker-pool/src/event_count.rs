//! A condition to sleep on without losing a wake-up and without a lock on the fast path.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::sync::lock;

/// A sleeper takes a [`key`](Self::key), looks for work, and if it found none waits for the key to
/// change. Whoever makes work notifies *after* it is visible, so work made between the look and
/// the wait changes the key and the wait returns at once.
#[derive(Debug, Default)]
pub(crate) struct EventCount {
    version: AtomicU64,
    sleepers: AtomicUsize,
    mutex: Mutex<()>,
    condvar: Condvar,
}

impl EventCount {
    /// The state to hand to [`wait`](Self::wait). Take it before looking for work.
    pub(crate) fn key(&self) -> u64 {
        self.version.load(SeqCst)
    }

    /// Sleeps until the version differs from `key` or `limit` has passed.
    pub(crate) fn wait(&self, key: u64, limit: Option<Duration>) {
        // A limit beyond what an instant can hold is no limit.
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let mut guard = lock(&self.mutex);
        self.sleepers.fetch_add(1, SeqCst);
        while self.version.load(SeqCst) == key {
            guard = match deadline {
                None => self.condvar.wait(guard).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let now = Instant::now();
                    if now >= deadline {
                        break;
                    }
                    self.condvar
                        .wait_timeout(guard, deadline - now)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
        self.sleepers.fetch_sub(1, SeqCst);
    }

    /// Changes the version without waking anybody: who is on the way to sleep looks again. The
    /// caller notifies after it.
    pub(crate) fn touch(&self) {
        self.version.fetch_add(1, SeqCst);
    }

    /// Wakes every sleeper.
    pub(crate) fn notify_all(&self) {
        if self.advance() {
            self.condvar.notify_all();
        }
    }

    /// Wakes one sleeper; the others go on sleeping although the version has changed.
    pub(crate) fn notify_one(&self) {
        if self.advance() {
            self.condvar.notify_one();
        }
    }

    /// Changes the version; says whether anybody may be asleep.
    fn advance(&self) -> bool {
        self.version.fetch_add(1, SeqCst);
        if self.sleepers.load(SeqCst) == 0 {
            return false;
        }
        // A sleeper that has read the old version still holds the mutex until it waits: passing
        // through the mutex makes sure that the notification comes after that.
        drop(lock(&self.mutex));
        true
    }
}
