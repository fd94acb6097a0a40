//! The candidates of one filter in the order of answers.

use std::{cmp::Reverse, collections::BinaryHeap};

use nipworker_protocol::{Coordinate, Filter, packed::head_of};

use crate::{Direction, KvCursor, KvSnapshot, Position, StoreError};

use super::{
    facts::Facts,
    keys,
    matcher::Matcher,
    plan::{Plan, plan},
    walk::Source as Rows,
};

/// Where candidates come from.
enum Source<'s> {
    /// Known beforehand, sorted.
    Listed(std::vec::IntoIter<(Position, Facts)>),
    /// The event range itself; rows come along.
    Events(Box<dyn KvCursor + 's>),
    /// One index range.
    One(Box<dyn KvCursor + 's>),
    /// Several index ranges; the heap holds the head of each.
    Merged {
        cursors: Vec<Box<dyn KvCursor + 's>>,
        heads: BinaryHeap<Reverse<(Position, usize, Facts)>>,
    },
}

/// One filter of a walk: its candidates, and how many of them answered it so far.
pub(super) struct Stream<'s> {
    source: Source<'s>,
    head: Option<Position>,
    /// When the head expires.
    head_expires_at: Option<i64>,
    /// The head's row, where reading the head gave it for free.
    row: Option<Vec<u8>>,
    matcher: Matcher<'s>,
    covers: bool,
    limit: u64,
    matched: u64,
    now: i64,
}

impl<'s> Stream<'s> {
    /// Starts behind `after`, where `matched` events had answered. `limit` is the most that may.
    pub(super) fn open(
        filter: &'s Filter,
        limit: Option<usize>,
        after: Option<Position>,
        matched: u64,
        now: i64,
        rows: Rows<'s>,
    ) -> Result<Self, StoreError> {
        let snapshot = rows.snapshot;
        let limit = limit.map_or(u64::MAX, |limit| limit as u64);
        let plan = if matched < limit { plan(filter, after, snapshot)? } else { Plan::Nothing };
        let mut covers = false;
        let source = match plan {
            Plan::Nothing => Source::Listed(Vec::new().into_iter()),
            Plan::Ids { covers: complete } => {
                covers = complete;
                Source::Listed(listed(filter, after, snapshot)?.into_iter())
            }
            Plan::Addresses => {
                covers = true;
                Source::Listed(addressed(filter, after, rows)?.into_iter())
            }
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
                    Some(only) if cursors.is_empty() => Source::One(only),
                    last => {
                        cursors.extend(last);
                        let mut heads = BinaryHeap::with_capacity(cursors.len());
                        for (index, cursor) in cursors.iter_mut().enumerate() {
                            if let Some((position, facts)) = step(&mut **cursor)? {
                                heads.push(Reverse((position, index, facts)));
                            }
                        }
                        Source::Merged { cursors, heads }
                    }
                }
            }
        };
        let matcher = Matcher::new(filter);
        let mut stream = Self {
            source,
            head: None,
            head_expires_at: None,
            row: None,
            matcher,
            covers,
            limit,
            matched,
            now,
        };
        stream.advance()?;
        Ok(stream)
    }

    /// The next candidate; `None` when there are no more or the limit is reached.
    pub(super) fn head(&self) -> Option<Position> {
        self.head
    }

    /// When the head expires (NIP-40), as the index says.
    pub(super) fn head_expires_at(&self) -> Option<i64> {
        self.head_expires_at
    }

    /// Hands out the head's row, if it came along.
    pub(super) fn take_row(&mut self) -> Option<Vec<u8>> {
        self.row.take()
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

    /// Goes to the next candidate that has not expired and is of a kind that is asked for.
    pub(super) fn advance(&mut self) -> Result<(), StoreError> {
        let passed = self.head.take();
        self.row = None;
        if self.matched >= self.limit {
            return Ok(());
        }
        let Self { source, row, matcher, now, .. } = self;
        let may_answer = |facts: Facts| matcher.allows(facts.kind) && !facts.is_expired(*now);
        loop {
            let next = match source {
                Source::Listed(positions) => positions.next(),
                Source::Events(cursor) => match cursor.advance()? {
                    None => None,
                    Some((key, value)) => {
                        let position = position_in(key)?;
                        let facts = facts_of_row(position, value)?;
                        if may_answer(facts) {
                            *row = Some(value.to_vec());
                        }
                        Some((position, facts))
                    }
                },
                Source::One(cursor) => step(&mut **cursor)?,
                Source::Merged { cursors, heads } => match heads.pop() {
                    None => None,
                    Some(Reverse((position, index, facts))) => {
                        if let Some((next, facts)) = step(&mut *cursors[index])? {
                            heads.push(Reverse((next, index, facts)));
                        }
                        Some((position, facts))
                    }
                },
            };
            let Some((position, facts)) = next else { return Ok(()) };
            // An event stands in several merged ranges when several of its tags were asked for.
            if Some(position) != passed && may_answer(facts) {
                self.head = Some(position);
                self.head_expires_at = facts.expires_at;
                return Ok(());
            }
        }
    }
}

fn step(cursor: &mut (dyn KvCursor + '_)) -> Result<Option<(Position, Facts)>, StoreError> {
    let Some((key, value)) = cursor.advance()? else { return Ok(None) };
    let position = position_in(key)?;
    let facts = Facts::read(value).ok_or_else(|| {
        StoreError::damaged(format!("index entry of event {} is malformed", position.id))
    })?;
    Ok(Some((position, facts)))
}

fn position_in(key: &[u8]) -> Result<Position, StoreError> {
    Position::from_key_end(key)
        .ok_or_else(|| StoreError::damaged(format!("index key of {} bytes", key.len())))
}

fn facts_of_row(position: Position, row: &[u8]) -> Result<Facts, StoreError> {
    let (kind, expires_at) = head_of(row)
        .map_err(|error| StoreError::damaged(format!("event {}: {error}", position.id)))?;
    Ok(Facts { kind, expires_at })
}

/// Where the events of a filter's ids stand, as far as they lie in its window.
fn listed(
    filter: &Filter,
    after: Option<Position>,
    snapshot: &dyn KvSnapshot,
) -> Result<Vec<(Position, Facts)>, StoreError> {
    let mut found = Vec::new();
    for id in filter.ids.iter().flatten() {
        if let Some(value) = snapshot.get(&keys::id(id))? {
            let (position, facts) = keys::read_id_entry(id, &value)?;
            if is_within(filter, after, position) {
                found.push((position, facts));
            }
        }
    }
    // An id that is named twice is passed over like an event of two merged ranges.
    found.sort_unstable();
    Ok(found)
}

/// What the filter's authors hold of its replaceable kinds, as far as it lies in its window.
fn addressed(
    filter: &Filter,
    after: Option<Position>,
    rows: Rows<'_>,
) -> Result<Vec<(Position, Facts)>, StoreError> {
    let mut found = Vec::new();
    for pubkey in filter.authors.iter().flatten() {
        for kind in filter.kinds.iter().flatten() {
            let address = Coordinate { kind: *kind, pubkey: *pubkey, identifier: String::new() };
            let Some(holder) = rows.snapshot.get(&keys::address(&address))? else { continue };
            let position = Position::from_key_end(&holder)
                .ok_or_else(|| StoreError::damaged(format!("holder of address {address}")))?;
            if is_within(filter, after, position) {
                // Whoever asks wants the event as a rule, and then it is in memory.
                found.push((position, Facts::of(&rows.read(position)?.view())));
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn is_within(filter: &Filter, after: Option<Position>, position: Position) -> bool {
    let time = position.created_at;
    after.is_none_or(|after| after < position)
        && filter.since.is_none_or(|since| time >= since)
        && filter.until.is_none_or(|until| time <= until)
}
