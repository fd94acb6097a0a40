//! A source of work events whose readers drain it in one step.
//!
//! It is a broadcast: every reader has its own cursor and sees the same items, so a job source has
//! one reader that dispatches. The ring is bounded; a reader that is too slow loses the oldest
//! items and is told exactly how many. A writer never waits.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::sync::lock;

/// The source is closed and the reader has had everything that was in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the source is closed")]
pub struct Closed;

/// What one drain yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drained<T> {
    /// The items, oldest first; empty if the time ran out.
    pub items: Vec<T>,
    /// How many items this reader lost since its last drain.
    pub lagged: u64,
    /// How many more are waiting for this reader.
    pub remaining: usize,
}

struct Ring<T> {
    items: VecDeque<T>,
    /// Sequence number of the item at the front.
    first: u64,
    writers: usize,
}

struct Inner<T> {
    ring: Mutex<Ring<T>>,
    filled: Condvar,
    capacity: usize,
}

/// The writing end. Clones write to the same source; it is closed when the last is dropped.
pub struct SourceWriter<T> {
    inner: Arc<Inner<T>>,
}

/// A reading end with its own cursor.
pub struct SourceReader<T> {
    inner: Arc<Inner<T>>,
    next: u64,
}

/// A source that holds `capacity` items (at least one).
pub fn channel<T: Clone>(capacity: usize) -> (SourceWriter<T>, SourceReader<T>) {
    let capacity = capacity.max(1);
    let ring = Ring { items: VecDeque::with_capacity(capacity), first: 0, writers: 1 };
    let inner = Arc::new(Inner { ring: Mutex::new(ring), filled: Condvar::new(), capacity });
    (SourceWriter { inner: Arc::clone(&inner) }, SourceReader { inner, next: 0 })
}

impl<T: Clone> SourceWriter<T> {
    /// Appends `items` under one lock and returns how many there were. Where the ring is full the
    /// oldest items go; each reader that had not read them counts them as lagged. The items are
    /// made and dropped without the lock, so that they may use the source themselves.
    pub fn push_batch(&self, items: impl IntoIterator<Item = T>) -> usize {
        // The caller's code runs without the lock: what makes the items, and what drops them.
        let capacity = self.inner.capacity;
        let mut kept = VecDeque::new();
        let mut pushed = 0;
        for item in items {
            if kept.len() == capacity {
                kept.pop_front();
            }
            kept.push_back(item);
            pushed += 1;
        }
        if pushed == 0 {
            return 0;
        }
        let mut ring = lock(&self.inner.ring);
        let skipped = pushed - kept.len();
        let excess = (ring.items.len() + kept.len()).saturating_sub(capacity);
        let lost: Vec<T> = ring.items.drain(..excess).collect();
        ring.first += (lost.len() + skipped) as u64;
        ring.items.append(&mut kept);
        drop(ring);
        drop(lost);
        self.inner.filled.notify_all();
        pushed
    }

    /// A new reader, which sees what is pushed from now on.
    pub fn subscribe(&self) -> SourceReader<T> {
        let ring = lock(&self.inner.ring);
        let next = ring.first + ring.items.len() as u64;
        drop(ring);
        SourceReader { inner: Arc::clone(&self.inner), next }
    }
}

impl<T> Clone for SourceWriter<T> {
    fn clone(&self) -> Self {
        lock(&self.inner.ring).writers += 1;
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<T> Drop for SourceWriter<T> {
    fn drop(&mut self) {
        lock(&self.inner.ring).writers -= 1;
        self.inner.filled.notify_all();
    }
}

impl<T: Clone> SourceReader<T> {
    /// Waits at most `timeout` for the first item, then takes what is there, up to `max`, under
    /// the same lock.
    ///
    /// # Errors
    ///
    /// [`Closed`] when every writer is gone and nothing is left; losses are reported before that.
    pub fn next_batch(&mut self, max: usize, timeout: Duration) -> Result<Drained<T>, Closed> {
        // A time beyond what an instant can hold is no limit.
        let deadline = Instant::now().checked_add(timeout);
        let inner = Arc::clone(&self.inner);
        let mut ring = lock(&inner.ring);
        loop {
            let end = ring.first + ring.items.len() as u64;
            if end > self.next || max == 0 {
                return Ok(self.take(&ring, max));
            }
            if ring.writers == 0 {
                return Err(Closed);
            }
            let Some(deadline) = deadline else {
                ring = inner.filled.wait(ring).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let now = Instant::now();
            if now >= deadline {
                return Ok(self.take(&ring, max));
            }
            ring = inner
                .filled
                .wait_timeout(ring, deadline - now)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Takes what is there, up to `max`, without waiting; it may be nothing.
    ///
    /// # Errors
    ///
    /// As [`next_batch`](Self::next_batch).
    pub fn try_next_batch(&mut self, max: usize) -> Result<Drained<T>, Closed> {
        self.next_batch(max, Duration::ZERO)
    }

    fn take(&mut self, ring: &Ring<T>, max: usize) -> Drained<T> {
        let lagged = ring.first.saturating_sub(self.next);
        self.next = self.next.max(ring.first);
        let from = (self.next - ring.first) as usize;
        let items: Vec<T> = ring.items.iter().skip(from).take(max).cloned().collect();
        self.next += items.len() as u64;
        let remaining = ring.items.len() - from - items.len();
        Drained { items, lagged, remaining }
    }
}
