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

/// Enters `span` into a list of disjoint spans in ascending order; neighbours are joined, so that
/// the list stays short where everything fails.
pub(crate) fn join(spans: &mut Vec<Span>, span: Span) {
    let at = spans.partition_point(|other| other.start < span.start);
    spans.insert(at, span);
    // The later neighbour first: the earlier one may then take both.
    for left in [Some(at), at.checked_sub(1)].into_iter().flatten() {
        if let [a, b, ..] = spans[left..]
            && a.end() == b.start
        {
            spans[left].len += b.len;
            spans.remove(left + 1);
        }
    }
}

/// A duration in nanoseconds, at most `u64::MAX`.
pub(crate) fn nanos(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_spans_are_the_same_in_any_order() {
        let parts =
            [(0, 2), (2, 3), (7, 1), (8, 4), (12, 1), (20, 5)].map(|(a, n)| Span::new(a, n));
        for turn in 0..parts.len() {
            for reversed in [false, true] {
                let mut order = parts.to_vec();
                order.rotate_left(turn);
                if reversed {
                    order.reverse();
                }
                let mut spans = Vec::new();
                order.into_iter().for_each(|span| join(&mut spans, span));
                assert_eq!(spans, [Span::new(0, 5), Span::new(7, 6), Span::new(20, 5)]);
            }
        }
    }
}
