//! Cursors of answers under way, for callers that only remember the last event they got.

use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash, Hasher},
};

use nipworker_protocol::Filter;

use crate::{Cursor, Position};

/// Answers under way that are remembered.
const REMEMBERED_MAX: usize = 256;

/// Remembers where recent pages ended and how far each filter's limit was used up by then.
///
/// A caller across an edge names the last event it got and how many it got. For one filter that
/// says everything; for several it does not say which filter took how many. This memory does.
/// It is bounded and may be lost at any time: then [`EventStore::query`] counts anew, which costs
/// time and nothing else.
///
/// [`EventStore::query`]: crate::EventStore::query
#[derive(Debug, Default)]
pub struct CursorMemo {
    /// Fingerprint of the filters, events delivered, and where that was; the newest last.
    known: VecDeque<(u64, u64, Cursor)>,
}

impl CursorMemo {
    /// Remembers nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers where a page of `filters` ended, when `delivered` events were delivered up to
    /// and including it. When the memory is full, what was remembered first goes.
    pub fn remember(&mut self, filters: &[Filter], cursor: &Cursor, delivered: u64) {
        // One filter needs no memory.
        if filters.len() < 2 {
            return;
        }
        if self.known.len() == REMEMBERED_MAX {
            self.known.pop_front();
        }
        self.known.push_back((fingerprint(filters), delivered, cursor.clone()));
    }

    /// The cursor behind `after`, when `delivered` events were delivered up to and including it.
    /// Zero means that the number is not known.
    pub fn resume(&mut self, filters: &[Filter], after: Position, delivered: u64) -> Cursor {
        if filters.len() == 1 && delivered > 0 {
            return Cursor { after, matched: vec![delivered] };
        }
        let fingerprint = fingerprint(filters);
        // Readers of the same filters who began at different times were delivered different
        // numbers of events.
        let found = self
            .known
            .iter()
            .position(|(of, number, cursor)| {
                (*of, *number, cursor.after) == (fingerprint, delivered, after)
            })
            .and_then(|index| self.known.remove(index));
        found.map_or_else(|| Cursor::behind(after), |(.., cursor)| cursor)
    }
}

/// Tells sets of filters apart. Should two ever look alike, one answer's limits are off.
fn fingerprint(filters: &[Filter]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for filter in filters {
        let Filter { ids, authors, kinds, tags, since, until, limit, search } = filter;
        (ids, authors, kinds, tags, since, until, limit, search).hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use nipworker_protocol::EventId;

    use super::*;

    fn position(created_at: i64) -> Position {
        Position { created_at, id: EventId::from_bytes([1; 32]) }
    }

    #[test]
    fn one_filter_needs_only_the_number_of_events() {
        let mut memo = CursorMemo::new();
        let filters = [Filter::new().limit(5)];
        memo.remember(&filters, &Cursor { after: position(1), matched: vec![99] }, 3);
        assert_eq!(memo.resume(&filters, position(1), 3).matched, [3]);
        assert_eq!(memo.resume(&filters, position(1), 0), Cursor::behind(position(1)));
    }

    #[test]
    fn several_filters_are_resumed_where_their_own_page_ended() {
        let mut memo = CursorMemo::new();
        let filters = [Filter::new().limit(5), Filter::new().kinds([1]).tag('t', ["x"])];
        let others = [Filter::new().limit(6), Filter::new().kinds([1]).tag('t', ["x"])];
        let cursor = Cursor { after: position(1), matched: vec![2, 7] };
        let late = Cursor { after: position(1), matched: vec![3, 8] };
        memo.remember(&filters, &late, 10);
        memo.remember(&filters, &cursor, 9);
        assert_eq!(memo.resume(&others, position(1), 9), Cursor::behind(position(1)));
        assert_eq!(memo.resume(&filters, position(2), 9), Cursor::behind(position(2)));
        assert_eq!(memo.resume(&filters, position(1), 9), cursor);
        assert_eq!(memo.resume(&filters, position(1), 9), Cursor::behind(position(1)));
        assert_eq!(memo.resume(&filters, position(1), 10), late);
    }

    #[test]
    fn the_oldest_are_forgotten_when_the_memory_is_full() {
        let mut memo = CursorMemo::new();
        let filters = [Filter::new(), Filter::new()];
        let many = i64::try_from(REMEMBERED_MAX).unwrap() + 10;
        for at in 0..many {
            memo.remember(&filters, &Cursor { after: position(at), matched: vec![1, 2] }, 1);
        }
        assert_eq!(memo.known.len(), REMEMBERED_MAX);
        assert_eq!(memo.resume(&filters, position(9), 1), Cursor::behind(position(9)));
        assert_eq!(memo.resume(&filters, position(10), 1).matched, [1, 2]);
    }
}
