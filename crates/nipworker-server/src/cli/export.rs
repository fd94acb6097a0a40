//! `nipworker export`: stored events, oldest first.
//!
//! Engines answer newest first, so the time line is cut in halves until a piece is small enough
//! to be turned around in memory. That works the same in this process and over HTTP.

use futures::StreamExt;
use nipworker_core::{
    QueryOptions, SubscriptionEvent,
    protocol::{Event, EventLimits, Filter},
};

use super::{
    args::ExportArgs,
    engine::{self, Access, Engine, Opened},
    output::{Failure, line},
};

/// Events that are asked for at a time. The daemon's `gateway.websocket.max_limit` must not be
/// smaller, or an export through it may fail or miss events.
const PIECE: usize = 1_000;
/// Events that a piece may count: events may come between the count and the fetch, and as many
/// again find room.
const PIECE_COUNT: usize = PIECE / 2;

pub(super) fn run(args: &ExportArgs) -> Result<(), Failure> {
    let filters = match args.filters.as_slice() {
        [] => vec![Filter::new()],
        texts => engine::filters(texts)?,
    };
    if filters.iter().any(|filter| filter.limit.is_some()) {
        return Err(Failure::usage("an export has no limit; leave it out of the filter"));
    }
    let Opened { engine, event_limits, .. } =
        engine::open_store(&args.config, args.daemon.as_deref(), Access::Read)?;
    let result = export(&engine, &filters, &event_limits);
    engine.close();
    result
}

fn export(engine: &Engine, filters: &[Filter], limits: &EventLimits) -> Result<(), Failure> {
    let within = |from, to| -> Vec<Filter> {
        filters.iter().filter_map(|filter| narrowed(filter, from, to)).collect()
    };
    let count = |from, to| {
        let filters = within(from, to);
        if filters.is_empty() { Ok(0) } else { count(engine, &filters) }
    };
    let fetch = |from, to, limit| fetch(engine, within(from, to), limit, limits);
    in_pieces(count, fetch, |mut events: Vec<Event>| {
        events.sort_by_key(|event| (event.created_at, event.id));
        events.iter().try_for_each(|event| line(event.to_json()))
    })
}

/// Walks the time line from its begin, piece by piece. More may be stored meanwhile: a piece that
/// came back full may lack its oldest events, so it is cut or asked for again.
fn in_pieces<T>(
    mut count: impl FnMut(i64, i64) -> Result<u64, Failure>,
    mut fetch: impl FnMut(i64, i64, usize) -> Result<Vec<T>, Failure>,
    mut each: impl FnMut(Vec<T>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut spans = vec![(i64::MIN, i64::MAX)];
    while let Some((from, to)) = spans.pop() {
        let counted = usize::try_from(count(from, to)?).unwrap_or(usize::MAX);
        if counted == 0 {
            continue;
        }
        let limit = PIECE.max(counted.saturating_add(PIECE_COUNT));
        let events = if counted > PIECE_COUNT && from < to {
            None
        } else {
            Some(fetch(from, to, limit)?).filter(|events| events.len() < limit)
        };
        let Some(events) = events else {
            if from < to {
                let middle = middle(from, to);
                // The earlier half is taken next.
                spans.push((middle + 1, to));
                spans.push((from, middle));
            } else {
                spans.push((from, to));
            }
            continue;
        };
        // Fewer are right only when some were deleted or replaced since they were counted.
        let got = events.len();
        if got < counted && (got as u64) < count(from, to)? {
            return Err(Failure::because(format_args!(
                "{counted} events are stored between {from} and {to} (unix seconds) and only \
                 {got} came; is gateway.websocket.max_limit of the daemon below that?"
            )));
        }
        each(events)?;
    }
    Ok(())
}

fn middle(from: i64, to: i64) -> i64 {
    i64::midpoint(from, to)
}

/// The filter within a span; `None` when it excludes the whole span.
fn narrowed(filter: &Filter, from: i64, to: i64) -> Option<Filter> {
    let since = filter.since.map_or(from, |since| since.max(from));
    let until = filter.until.map_or(to, |until| until.min(to));
    (since <= until).then(|| Filter {
        // The ends of the time line are no condition.
        since: (since != i64::MIN).then_some(since),
        until: (until != i64::MAX).then_some(until),
        ..filter.clone()
    })
}

fn count(engine: &Engine, filters: &[Filter]) -> Result<u64, Failure> {
    match engine {
        Engine::Remote(remote) => remote.count(filters),
        Engine::Embedded(embedded) => {
            embedded.block_on(embedded.client.count(filters.to_vec())).map_err(Failure::because)
        }
    }
}

fn fetch(
    engine: &Engine,
    mut filters: Vec<Filter>,
    limit: usize,
    limits: &EventLimits,
) -> Result<Vec<Event>, Failure> {
    filters.iter_mut().for_each(|filter| filter.limit = Some(limit));
    let mut events = Vec::new();
    match engine {
        Engine::Remote(remote) => remote.query(&filters, "relays=false&pipes=false", |text| {
            let event = Event::from_json(text.as_bytes(), limits);
            events.push(event.map_err(Failure::because)?);
            Ok(())
        })?,
        Engine::Embedded(embedded) => embedded.block_on(async {
            // Everything that is stored, whatever readers are spared.
            let pipes = Some(Vec::new());
            let options = QueryOptions { use_relays: false, pipes, ..QueryOptions::default() };
            let found = embedded.client.query_with(filters, options).await;
            let mut found = found.map_err(Failure::because)?;
            while let Some(said) = found.next().await {
                match said {
                    SubscriptionEvent::Event { event, .. } => events.push((**event).clone()),
                    SubscriptionEvent::EndOfStored => break,
                    SubscriptionEvent::Closed { reason } => {
                        return Err(Failure::because(format_args!("cut short: {reason}")));
                    }
                    _ => {}
                }
            }
            Ok(())
        })?,
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_the_whole_time_line_meet_without_gap_or_overlap() {
        let mut spans = vec![(i64::MIN, i64::MAX)];
        let mut next = i64::MIN;
        let mut leaves = 0;
        while let Some((from, to)) = spans.pop() {
            let wide = (to as i128 - from as i128) > (1_i128 << 57);
            if wide {
                let middle = middle(from, to);
                assert!(from <= middle && middle < to);
                spans.push((middle + 1, to));
                spans.push((from, middle));
                continue;
            }
            assert_eq!(from, next);
            next = to.wrapping_add(1);
            leaves += 1;
        }
        assert_eq!((next, leaves), (i64::MIN, 128));
    }

    #[test]
    fn events_that_come_during_an_export_push_no_stored_event_out() {
        let stored = std::cell::RefCell::new((0..3_000_i64).collect::<Vec<i64>>());
        let within = |from, to| -> Vec<i64> {
            stored.borrow().iter().copied().filter(|time| (from..=to).contains(time)).collect()
        };
        let mut exported = Vec::new();
        in_pieces(
            |from, to| {
                let count = within(from, to).len() as u64;
                // Between each count and its fetch, many come at every time.
                if stored.borrow().len() < 20_000 {
                    stored.borrow_mut().extend((0..3_000).filter(|time| time % 2 == 0));
                }
                Ok(count)
            },
            |from, to, limit| {
                let mut found = within(from, to);
                found.sort_by_key(|time| std::cmp::Reverse(*time));
                found.truncate(limit);
                Ok(found)
            },
            |piece| {
                exported.extend(piece);
                Ok(())
            },
        )
        .unwrap();
        exported.sort_unstable();
        exported.dedup();
        assert_eq!(exported, (0..3_000).collect::<Vec<i64>>());
    }

    #[test]
    fn a_filter_keeps_its_own_times_inside_a_span() {
        let filter = Filter::new().since(10).until(20);
        let times = |from, to| {
            narrowed(&filter, from, to).map(|filter| (filter.since.unwrap(), filter.until.unwrap()))
        };
        assert_eq!(times(0, 15), Some((10, 15)));
        assert_eq!(times(12, 100), Some((12, 20)));
        assert_eq!(times(21, 100), None);
    }
}
