//! Several filters at once: newest first, each event once, each limit exact.

use std::ops::ControlFlow;

use nipworker_protocol::{Filter, PackedEvent};

use crate::{KvSnapshot, Position, StoreError};

use super::{keys, row::read_row, row_cache::RowCache, stream::Stream};

/// Whether a filter's own `limit` counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Limits {
    Exact,
    Ignored,
}

/// Where events are read from.
#[derive(Clone, Copy)]
pub(super) struct Source<'s> {
    pub(super) snapshot: &'s dyn KvSnapshot,
    pub(super) cache: &'s RowCache,
}

impl Source<'_> {
    /// The event that an index says stands at `position`.
    pub(super) fn read(&self, position: Position) -> Result<PackedEvent, StoreError> {
        if let Some(event) = self.cache.get(&position.id) {
            return Ok(event);
        }
        let bytes = self.snapshot.get(&keys::event(position))?.ok_or_else(|| {
            StoreError::damaged(format!("an index names event {}, which is not there", position.id))
        })?;
        let event = read_row(position, bytes)?;
        self.cache.insert(position.id, &event);
        Ok(event)
    }
}

/// An answer: where it stands, and the event once somebody wants it.
pub(super) struct Found<'f> {
    source: Source<'f>,
    pub(super) position: Position,
    pub(super) expires_at: Option<i64>,
    event: Option<PackedEvent>,
}

impl Found<'_> {
    fn event(&mut self) -> Result<&PackedEvent, StoreError> {
        let event = match self.event.take() {
            Some(event) => event,
            None => self.source.read(self.position)?,
        };
        Ok(self.event.insert(event))
    }

    pub(super) fn into_event(mut self) -> Result<PackedEvent, StoreError> {
        match self.event.take() {
            Some(event) => Ok(event),
            None => self.source.read(self.position),
        }
    }
}

/// A walk over everything that answers at least one of several filters.
pub(super) struct Walk<'s> {
    source: Source<'s>,
    streams: Vec<Stream<'s>>,
}

impl<'s> Walk<'s> {
    /// Starts behind `after`; `matched` says how many events had answered each filter by then.
    pub(super) fn start(
        source: Source<'s>,
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
                Stream::open(filter, limit, after, matched, now, source)
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { source, streams })
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
    /// continues behind the last one visited. An event is read only where an index does not say
    /// enough, or where the visitor asks for it.
    pub(super) fn run(
        &mut self,
        visit: &mut dyn FnMut(Found<'_>) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        while let Some(position) = self.streams.iter().filter_map(Stream::head).min() {
            let mut found = Found { source: self.source, position, expires_at: None, event: None };
            let mut wanted = false;
            for stream in &mut self.streams {
                if stream.head() != Some(position) {
                    continue;
                }
                if let Some(bytes) = stream.take_row().filter(|_| found.event.is_none()) {
                    found.event = Some(read_row(position, bytes)?);
                }
                found.expires_at = stream.head_expires_at();
                if stream.covers() || stream.matcher().matches(&found.event()?.view()) {
                    stream.count_match();
                    wanted = true;
                }
                stream.advance()?;
            }
            if wanted && visit(found)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// Counts what had answered each limited filter up to and including `until`.
pub(super) fn recount(
    source: Source<'_>,
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
            Walk::start(source, std::slice::from_ref(filter), Limits::Exact, None, &[], now)?;
        walk.run(&mut |found| {
            if found.position > until {
                return Ok(ControlFlow::Break(()));
            }
            *count += 1;
            let is_last = found.position == until;
            Ok(if is_last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
    }
    Ok(counts)
}
