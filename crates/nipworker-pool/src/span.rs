//! A half-open range of work items.

use serde::{Deserialize, Serialize};

/// The items `start .. start + len` of a job.
///
/// `start + len` never exceeds `u64::MAX`: [`Span::new`] cuts what would.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span {
    /// Index of the first item.
    pub start: u64,
    /// Number of items.
    pub len: u64,
}

impl Span {
    /// A span of `len` items from `start`, cut where it would pass `u64::MAX`.
    pub const fn new(start: u64, len: u64) -> Self {
        let room = u64::MAX - start;
        Self { start, len: if len < room { len } else { room } }
    }

    /// The index after the last item.
    pub const fn end(&self) -> u64 {
        self.start.saturating_add(self.len)
    }

    /// Whether there is no item in it.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The first `items` (at most all of them) and the rest.
    pub fn split_at(self, items: u64) -> (Self, Self) {
        let head = items.min(self.len);
        (Self::new(self.start, head), Self::new(self.start + head, self.len - head))
    }
}

/// A duration in nanoseconds, at most `u64::MAX`.
pub(crate) fn nanos(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
