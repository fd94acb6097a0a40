//! Which ranges of a job are finished.

use nipworker_pool::Span;
use serde::{Deserialize, Serialize};

/// A span to be entered overlaps one that is in the ledger already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{len} items from {start} are in the ledger already, at least in part")]
pub struct Overlap {
    /// Start of the span that was refused.
    pub start: u64,
    /// Its length.
    pub len: u64,
}

/// A set of disjoint spans, neighbours joined.
///
/// Batches finish nearly in order, so it holds about as many spans as batches are out at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Span>", into = "Vec<Span>")]
pub struct Ledger {
    /// In ascending order; no two touch.
    spans: Vec<Span>,
}

impl Ledger {
    /// Enters a finished span.
    ///
    /// # Errors
    ///
    /// [`Overlap`] if any item of it is in the ledger already; nothing is changed then.
    pub fn insert(&mut self, span: Span) -> Result<(), Overlap> {
        if span.is_empty() {
            return Ok(());
        }
        let at = self.spans.partition_point(|other| other.start < span.start);
        let before = at.checked_sub(1).and_then(|i| self.spans.get(i)).copied();
        let after = self.spans.get(at).copied();
        let overlaps_before = before.is_some_and(|other| other.end() > span.start);
        let overlaps_after = after.is_some_and(|other| span.end() > other.start);
        if overlaps_before || overlaps_after {
            return Err(Overlap { start: span.start, len: span.len });
        }
        let joins_before = before.is_some_and(|other| other.end() == span.start);
        let joins_after = after.is_some_and(|other| span.end() == other.start);
        match (joins_before, joins_after) {
            (false, false) => self.spans.insert(at, span),
            (true, false) => self.spans[at - 1].len += span.len,
            (false, true) => {
                self.spans[at].start = span.start;
                self.spans[at].len += span.len;
            }
            (true, true) => {
                let after = self.spans.remove(at);
                self.spans[at - 1].len += span.len + after.len;
            }
        }
        Ok(())
    }

    /// Number of items in it.
    pub fn items(&self) -> u64 {
        self.spans.iter().map(|span| span.len).sum()
    }

    /// Its spans, in ascending order.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// What of `whole` is not in it, in ascending order.
    pub fn gaps(&self, whole: Span) -> Vec<Span> {
        let mut gaps = Vec::new();
        let mut at = whole.start;
        for span in &self.spans {
            if span.end() <= at {
                continue;
            }
            if span.start >= whole.end() {
                break;
            }
            if span.start > at {
                gaps.push(Span::new(at, span.start - at));
            }
            at = span.end();
        }
        if at < whole.end() {
            gaps.push(Span::new(at, whole.end() - at));
        }
        gaps
    }
}

impl TryFrom<Vec<Span>> for Ledger {
    type Error = Overlap;

    fn try_from(spans: Vec<Span>) -> Result<Self, Overlap> {
        let mut ledger = Self::default();
        for span in spans {
            // A span from outside may claim to reach beyond the last index.
            if span.start.checked_add(span.len).is_none() {
                return Err(Overlap { start: span.start, len: span.len });
            }
            ledger.insert(span)?;
        }
        Ok(ledger)
    }
}

impl From<Ledger> for Vec<Span> {
    fn from(ledger: Ledger) -> Self {
        ledger.spans
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_overlap_is_refused_and_changes_nothing() {
        let mut ledger = Ledger::default();
        ledger.insert(Span::new(10, 10)).unwrap();
        for bad in [Span::new(5, 6), Span::new(19, 1), Span::new(0, 100), Span::new(12, 2)] {
            assert_eq!(ledger.insert(bad), Err(Overlap { start: bad.start, len: bad.len }));
        }
        assert_eq!(ledger.spans(), [Span::new(10, 10)]);
    }

    #[test]
    fn a_damaged_text_is_refused() {
        let overlapping = r#"[{"start":0,"len":5},{"start":4,"len":2}]"#;
        assert!(serde_json::from_str::<Ledger>(overlapping).is_err());
        let endless = r#"[{"start":18446744073709551615,"len":5}]"#;
        assert!(serde_json::from_str::<Ledger>(endless).is_err());
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_list_of_items_for_any_order_of_batches(
            batches in proptest::collection::vec((0u64..200, 0u64..20), 0..60),
        ) {
            let mut naive = [false; 256];
            let mut ledger = Ledger::default();
            for (start, len) in batches {
                let range = start as usize..(start + len) as usize;
                let free = naive[range.clone()].iter().all(|taken| !taken);
                prop_assert_eq!(ledger.insert(Span::new(start, len)).is_ok(), free);
                if free {
                    naive[range].fill(true);
                }
            }
            prop_assert_eq!(ledger.items(), naive.iter().filter(|taken| **taken).count() as u64);
            let whole = Span::new(7, 230);
            let mut missing = Vec::new();
            for gap in ledger.gaps(whole) {
                missing.extend(gap.start..gap.end());
            }
            let want: Vec<u64> =
                (whole.start..whole.end()).filter(|at| !naive[*at as usize]).collect();
            prop_assert_eq!(missing, want);
            prop_assert!(ledger.spans().windows(2).all(|pair| pair[0].end() < pair[1].start));
            let text = serde_json::to_string(&ledger).unwrap();
            prop_assert_eq!(serde_json::from_str::<Ledger>(&text).unwrap(), ledger);
        }
    }
}
