//! Pages of an answer: where the events stand first, then the events.

use std::collections::HashMap;

use futures::TryStreamExt;
use nipworker_protocol::{Attestation, EventId, Filter, PackedEvent, Verified};
use nipworker_store::{Cursor, PAGE_EVENTS_MAX, Page, PageRequest, Position, StoreError};
use sqlx::{AnyConnection, Row, any::AnyRow};

use crate::{
    dialect::Dialect,
    error::told,
    filter::{Matching, Part, hex_list},
    row::{COLUMNS, event_id, read},
    statement::Statement,
};

/// Filters that one statement answers; more are asked one statement after another. SQLite takes 500
/// selections in one statement.
const FILTERS_PER_STATEMENT: usize = 50;

/// Events that one statement reads.
const EVENTS_PER_STATEMENT: usize = 500;

const DURING: &str = "answering a query";

/// Where an answer stands, and its size.
#[derive(Clone, Copy)]
struct Candidate {
    position: Position,
    packed_bytes: usize,
}

/// Refuses what the store does not offer.
pub(crate) fn check(filters: &[Filter]) -> Result<(), StoreError> {
    if filters.iter().any(|filter| filter.search.is_some()) {
        return Err(StoreError::SearchUnsupported);
    }
    Ok(())
}

/// What is asked, within one transaction.
pub(crate) struct Question<'q> {
    pub(crate) dialect: Dialect,
    pub(crate) filters: &'q [Filter],
    pub(crate) now: i64,
}

impl Question<'_> {
    fn matching(&self, index: usize, part: Part) -> Matching<'_> {
        Matching { dialect: self.dialect, filter: &self.filters[index], now: self.now, part }
    }

    pub(crate) async fn page(
        &self,
        connection: &mut AnyConnection,
        request: &PageRequest,
    ) -> Result<Page, StoreError> {
        let max_events = request.max_events.clamp(1, PAGE_EVENTS_MAX);
        let mut matched = self.matched_before(connection, request.after.as_ref()).await?;
        let behind = request.after.as_ref().map(|cursor| cursor.after);
        // One more than the page holds tells whether there is another page.
        let streams = self.candidates(connection, behind, &matched, max_events + 1).await?;
        let (chosen, is_all) = choose(&streams, max_events, request.max_bytes);
        let Some(last) = chosen.last().copied() else {
            return Ok(Page { events: Vec::new(), next: None });
        };
        for (matched, stream) in matched.iter_mut().zip(&streams) {
            *matched += stream.partition_point(|one| one.position <= last) as u64;
        }
        let events = self.read(connection, &chosen).await?;
        let next = (!is_all).then_some(Cursor { after: last, matched });
        Ok(Page { events, next })
    }

    /// The first `max` positions of all filters together, in the order of answers; limits hold.
    pub(crate) async fn positions(
        &self,
        connection: &mut AnyConnection,
        max: usize,
    ) -> Result<Vec<Position>, StoreError> {
        let matched = vec![0; self.filters.len()];
        let streams = self.candidates(connection, None, &matched, max).await?;
        Ok(choose(&streams, max, usize::MAX).0)
    }

    /// How many events had answered each filter where the page begins.
    async fn matched_before(
        &self,
        connection: &mut AnyConnection,
        cursor: Option<&Cursor>,
    ) -> Result<Vec<u64>, StoreError> {
        let filters = self.filters.len();
        let cursor = match cursor {
            None => return Ok(vec![0; filters]),
            Some(cursor) if cursor.matched.len() == filters => return Ok(cursor.matched.clone()),
            Some(cursor) if cursor.matched.is_empty() => cursor,
            Some(cursor) => {
                return Err(StoreError::CursorMismatch { filters, cursor: cursor.matched.len() });
            }
        };
        let mut matched = vec![0; filters];
        for (index, matched) in matched.iter_mut().enumerate() {
            let Some(limit) = self.filters[index].limit else { continue };
            let part = Part { up_to: Some(cursor.after), ..Part::default() };
            let matching = self.matching(index, part);
            if limit == 0 || matching.is_empty() {
                continue;
            }
            let mut statement = Statement::new("SELECT count(*) FROM (SELECT e.id");
            matching.append(&mut statement);
            statement.push(" LIMIT ").push_bind(rows(limit)).push(") AS q");
            let row = statement.query().fetch_one(&mut *connection).await.map_err(self.told())?;
            *matched = row.try_get::<i64, _>(0).map_err(self.told())?.cast_unsigned();
        }
        Ok(matched)
    }

    /// Of each filter the first `max` that answer behind `behind`, within its limit.
    async fn candidates(
        &self,
        connection: &mut AnyConnection,
        behind: Option<Position>,
        matched: &[u64],
        max: usize,
    ) -> Result<Vec<Vec<Candidate>>, StoreError> {
        let mut streams = vec![Vec::new(); self.filters.len()];
        let part = Part { behind, up_to: None };
        let asked: Vec<(usize, usize)> = self
            .filters
            .iter()
            .zip(matched)
            .enumerate()
            .map(|(index, (filter, matched))| {
                let left = filter.limit.map_or(usize::MAX, |limit| {
                    limit.saturating_sub(usize::try_from(*matched).unwrap_or(usize::MAX))
                });
                (index, left.min(max))
            })
            .filter(|(index, left)| *left > 0 && !self.matching(*index, part).is_empty())
            .collect();
        for asked in asked.chunks(FILTERS_PER_STATEMENT) {
            let mut statement = Statement::default();
            for (place, (index, left)) in asked.iter().enumerate() {
                if place > 0 {
                    statement.push(" UNION ALL ");
                }
                let matching = self.matching(*index, part);
                statement.push(&format!(
                    "SELECT * FROM (SELECT {index} AS n, e.created_at, e.id, e.packed_bytes"
                ));
                matching.append(&mut statement);
                statement.push(matching.order()).push(" LIMIT ").push_bind(rows(*left));
                statement.push(&format!(") AS q{place}"));
            }
            statement.push(" ORDER BY 1, 2 DESC, 3");
            // One by one: there may be hundreds of thousands.
            let mut rows = statement.query().fetch(&mut *connection);
            while let Some(row) = rows.try_next().await.map_err(self.told())? {
                let filter = row.try_get::<i64, _>(0).map_err(self.told())?;
                streams[filter as usize].push(self.candidate(&row)?);
            }
        }
        Ok(streams)
    }

    fn candidate(&self, row: &AnyRow) -> Result<Candidate, StoreError> {
        Ok(Candidate {
            position: Position {
                created_at: row.try_get(1).map_err(self.told())?,
                id: event_id(row, 2)?,
            },
            packed_bytes: row.try_get::<i64, _>(3).map_err(self.told())?.unsigned_abs() as usize,
        })
    }

    /// The events at these positions, in their order.
    async fn read(
        &self,
        connection: &mut AnyConnection,
        positions: &[Position],
    ) -> Result<Vec<Verified<PackedEvent>>, StoreError> {
        let mut events = Vec::with_capacity(positions.len());
        for positions in positions.chunks(EVENTS_PER_STATEMENT) {
            let ids = positions.iter().map(|position| position.id);
            let mut found = by_id(connection, self.dialect, ids).await?;
            for position in positions {
                let event = found.remove(&position.id).ok_or_else(|| StoreError::Damaged {
                    what: format!("an index names event {}, which is not there", position.id),
                })?;
                events.push(Verified::attest(event, Attestation::FromStore));
            }
        }
        Ok(events)
    }

    fn told(&self) -> impl Fn(sqlx::Error) -> StoreError + Copy + use<> {
        let dialect = self.dialect;
        move |error| told(dialect, DURING, error)
    }
}

/// A number of rows for a `LIMIT`.
fn rows(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Reads events by their ids.
pub(crate) async fn by_id(
    connection: &mut AnyConnection,
    dialect: Dialect,
    ids: impl Iterator<Item = EventId>,
) -> Result<HashMap<EventId, PackedEvent>, StoreError> {
    let ids: Vec<EventId> = ids.collect();
    let mut statement = Statement::new(&format!("SELECT {COLUMNS} FROM events WHERE "));
    let list = hex_list(&mut statement, ids.iter().map(EventId::as_bytes));
    statement.push(&dialect.is_among_bytes("id", &list));
    let rows = statement
        .query()
        .fetch_all(connection)
        .await
        .map_err(|error| told(dialect, DURING, error))?;
    rows.iter().map(|row| Ok((event_id(row, 0)?, read(row)?))).collect()
}

/// Merges streams, each in the order of answers, into what one page holds; and says whether that is all.
fn choose(
    streams: &[Vec<Candidate>],
    max_events: usize,
    max_bytes: usize,
) -> (Vec<Position>, bool) {
    let mut heads = vec![0; streams.len()];
    let mut chosen = Vec::new();
    let mut bytes = 0;
    loop {
        let next = streams
            .iter()
            .zip(&heads)
            .filter_map(|(stream, head)| stream.get(*head))
            .min_by_key(|candidate| candidate.position);
        let Some(next) = next else { return (chosen, true) };
        if chosen.len() >= max_events || (bytes >= max_bytes && !chosen.is_empty()) {
            return (chosen, false);
        }
        for (stream, head) in streams.iter().zip(&mut heads) {
            if stream.get(*head).is_some_and(|one| one.position == next.position) {
                *head += 1;
            }
        }
        chosen.push(next.position);
        bytes += next.packed_bytes;
    }
}
