//! Several filters at once: newest first, each event once, each limit exact.

use std::ops::ControlFlow;

use nipworker_protocol::Filter;

use crate::{KvSnapshot, Position, StoreError};

use super::{keys, row::Row, stream::Stream};

/// Whether a filter's own `limit` counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Limits {
    Exact,
    Ignored,
}

/// A walk over everything that answers at least one of several filters.
pub(super) struct Walk<'s> {
    snapshot: &'s dyn KvSnapshot,
    streams: Vec<Stream<'s>>,
    now: i64,
}

impl<'s> Walk<'s> {
    /// Starts behind `after`; `matched` says how many events had answered each filter by then.
    pub(super) fn start(
        snapshot: &'s dyn KvSnapshot,
        filters: &'s [Filter],
        limits: Limits,
        after: Option<Position>,
        matched: &[u64],
        now: i64,
    ) -> Result<Self, StoreError> {
        if filters.iter().any(|filter| filter.search.is_some()) {
            return Err(StoreError::SearchUnsupported);
        }
        let streams = filters
            .iter()
            .enumerate()
            .map(|(index, filter)| {
                let limit = filter.limit.filter(|_| limits == Limits::Exact);
                let matched = matched.get(index).copied().unwrap_or(0);
                Stream::open(filter, limit, after, matched, snapshot)
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { snapshot, streams, now })
    }

    /// Events that answered each filter so far.
    pub(super) fn matched(&self) -> Vec<u64> {
        self.streams.iter().map(Stream::matched).collect()
    }

    /// Whether no candidate is left.
    pub(super) fn is_done(&self) -> bool {
        self.streams.iter().all(|stream| stream.head().is_none())
    }

    /// Visits answers until there are no more or `visit` breaks. Walking on after a break
    /// continues behind the last one visited.
    pub(super) fn run(
        &mut self,
        visit: &mut dyn FnMut(Position, Row) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        while let Some(position) =
            self.streams.iter().filter_map(|stream| Some(stream.head()?.position)).min()
        {
            let row = Row::new(position, self.row_bytes(position)?)?;
            let expired = row.is_expired(self.now);
            let mut wanted = false;
            for stream in &mut self.streams {
                if stream.head().is_none_or(|head| head.position != position) {
                    continue;
                }
                if !expired && (stream.covers() || stream.matcher().matches(&row.view())) {
                    stream.count_match();
                    wanted = true;
                }
                stream.advance()?;
            }
            if wanted && visit(position, row)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn row_bytes(&mut self, position: Position) -> Result<Vec<u8>, StoreError> {
        let along = self
            .streams
            .iter_mut()
            .filter(|stream| stream.head().is_some_and(|head| head.position == position))
            .find_map(Stream::take_row);
        match along {
            Some(bytes) => Ok(bytes),
            None => self.snapshot.get(&keys::event(position))?.ok_or_else(|| {
                StoreError::damaged(format!(
                    "an index names event {}, which is not there",
                    position.id
                ))
            }),
        }
    }
}

/// Counts what had answered each limited filter up to and including `until`.
pub(super) fn recount(
    snapshot: &dyn KvSnapshot,
    filters: &[Filter],
    until: Position,
    now: i64,
) -> Result<Vec<u64>, StoreError> {
    let mut counts = vec![0; filters.len()];
    for (count, filter) in counts.iter_mut().zip(filters) {
        let Some(limit) = filter.limit else { continue };
        if limit == 0 {
            continue;
        }
        let mut walk =
            Walk::start(snapshot, std::slice::from_ref(filter), Limits::Exact, None, &[], now)?;
        walk.run(&mut |position, _| {
            if position > until {
                return Ok(ControlFlow::Break(()));
            }
            *count += 1;
            Ok(if position == until { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
    }
    Ok(counts)
}
