//! The candidates of one filter in the order of answers.

use std::{cmp::Reverse, collections::BinaryHeap};

use nipworker_protocol::Filter;

use crate::{Direction, KvCursor, KvSnapshot, Position, StoreError};

use super::{
    keys,
    matcher::Matcher,
    plan::{Plan, plan},
    put::position_of,
};

/// Where candidates come from.
enum Source<'s> {
    /// Known beforehand, sorted.
    Listed(std::vec::IntoIter<Position>),
    /// The event range itself; rows come along.
    Events(Box<dyn KvCursor + 's>),
    /// Several index ranges; the heap holds the head of each.
    Merged { cursors: Vec<Box<dyn KvCursor + 's>>, heads: BinaryHeap<Reverse<(Position, usize)>> },
}

/// A candidate, with its row where reading it gave the row for free.
pub(super) struct Head {
    pub(super) position: Position,
    pub(super) row: Option<Vec<u8>>,
}

/// One filter of a walk: its candidates, and how many of them answered it so far.
pub(super) struct Stream<'s> {
    source: Source<'s>,
    head: Option<Head>,
    matcher: Matcher<'s>,
    covers: bool,
    limit: u64,
    matched: u64,
}

impl<'s> Stream<'s> {
    /// Starts behind `after`, where `matched` events had answered. `limit` is the most that may.
    pub(super) fn open(
        filter: &'s Filter,
        limit: Option<usize>,
        after: Option<Position>,
        matched: u64,
        snapshot: &'s dyn KvSnapshot,
    ) -> Result<Self, StoreError> {
        let limit = limit.map_or(u64::MAX, |limit| limit as u64);
        let plan = if matched < limit { plan(filter, after, snapshot)? } else { Plan::Nothing };
        let mut covers = false;
        let source = match plan {
            Plan::Nothing => Source::Listed(Vec::new().into_iter()),
            Plan::Ids => Source::Listed(listed(filter, after, snapshot)?.into_iter()),
            Plan::Ranges { ranges, covers: complete } => {
                covers = complete;
                let mut cursors = Vec::with_capacity(ranges.len());
                let mut is_events = false;
                for range in ranges {
                    is_events = range.start.first() == Some(&keys::EVENT);
                    cursors.push(snapshot.scan(range, Direction::Forward)?);
                }
                match cursors.pop() {
                    Some(only) if is_events => Source::Events(only),
                    last => {
                        cursors.extend(last);
                        let mut heads = BinaryHeap::with_capacity(cursors.len());
                        for (index, cursor) in cursors.iter_mut().enumerate() {
                            if let Some(position) = step(&mut **cursor)? {
                                heads.push(Reverse((position, index)));
                            }
                        }
                        Source::Merged { cursors, heads }
                    }
                }
            }
        };
        let mut stream =
            Self { source, head: None, matcher: Matcher::new(filter), covers, limit, matched };
        stream.advance()?;
        Ok(stream)
    }

    /// The next candidate; `None` when there are no more or the limit is reached.
    pub(super) fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// Hands out the head's row, if it came along.
    pub(super) fn take_row(&mut self) -> Option<Vec<u8>> {
        self.head.as_mut()?.row.take()
    }

    /// Whether every candidate answers the filter.
    pub(super) fn covers(&self) -> bool {
        self.covers
    }

    pub(super) fn matcher(&self) -> &Matcher<'s> {
        &self.matcher
    }

    pub(super) fn matched(&self) -> u64 {
        self.matched
    }

    /// Counts the head as an answer.
    pub(super) fn count_match(&mut self) {
        self.matched += 1;
    }

    /// Goes to the next candidate.
    pub(super) fn advance(&mut self) -> Result<(), StoreError> {
        let passed = self.head.take().map(|head| head.position);
        if self.matched >= self.limit {
            return Ok(());
        }
        loop {
            let next = match &mut self.source {
                Source::Listed(positions) => {
                    positions.next().map(|position| Head { position, row: None })
                }
                Source::Events(cursor) => cursor
                    .advance()?
                    .map(|(key, value)| {
                        Ok::<_, StoreError>(Head {
                            position: position_in(key)?,
                            row: Some(value.to_vec()),
                        })
                    })
                    .transpose()?,
                Source::Merged { cursors, heads } => match heads.pop() {
                    None => None,
                    Some(Reverse((position, index))) => {
                        if let Some(next) = step(&mut *cursors[index])? {
                            heads.push(Reverse((next, index)));
                        }
                        Some(Head { position, row: None })
                    }
                },
            };
            // An event stands in several merged ranges when several of its tags were asked for.
            let repeated = next.as_ref().is_some_and(|next| Some(next.position) == passed);
            if !repeated {
                self.head = next;
                return Ok(());
            }
        }
    }
}

fn step(cursor: &mut (dyn KvCursor + '_)) -> Result<Option<Position>, StoreError> {
    cursor.advance()?.map(|(key, _)| position_in(key)).transpose()
}

fn position_in(key: &[u8]) -> Result<Position, StoreError> {
    Position::from_key_end(key)
        .ok_or_else(|| StoreError::damaged(format!("index key of {} bytes", key.len())))
}

fn listed(
    filter: &Filter,
    after: Option<Position>,
    snapshot: &dyn KvSnapshot,
) -> Result<Vec<Position>, StoreError> {
    let mut positions = Vec::new();
    for id in filter.ids.iter().flatten() {
        if let Some(position) = position_of(id, |key| Ok(snapshot.get(key)?))?
            && after.is_none_or(|after| after < position)
        {
            positions.push(position);
        }
    }
    // An id that is named twice is passed over like an event of two merged ranges.
    positions.sort_unstable();
    Ok(positions)
}
