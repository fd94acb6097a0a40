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
    engine::{self, Engine, Opened},
    output::{Failure, line},
};

/// Events that are held in memory at a time. The daemon's `gateway.websocket.max_limit` must not
/// be smaller, or an export through it fails rather than lose events.
const PIECE: u64 = 1_000;

pub(super) fn run(args: &ExportArgs) -> Result<(), Failure> {
    let filters = match args.filters.as_slice() {
        [] => vec![Filter::new()],
        texts => engine::filters(texts)?,
    };
    if filters.iter().any(|filter| filter.limit.is_some()) {
        return Err(Failure::usage("an export has no limit; leave it out of the filter"));
    }
    let Opened { engine, event_limits, .. } =
        engine::open_store(&args.config, args.daemon.as_deref())?;
    let result = export(&engine, &filters, &event_limits);
    engine.close();
    result
}

fn export(engine: &Engine, filters: &[Filter], limits: &EventLimits) -> Result<(), Failure> {
    let mut spans = vec![(i64::MIN, i64::MAX)];
    while let Some((from, to)) = spans.pop() {
        let within: Vec<Filter> =
            filters.iter().filter_map(|filter| narrowed(filter, from, to)).collect();
        if within.is_empty() {
            continue;
        }
        let count = count(engine, &within)?;
        if count == 0 {
            continue;
        }
        if count > PIECE && from < to {
            let middle = middle(from, to);
            // The earlier half is taken next.
            spans.push((middle + 1, to));
            spans.push((from, middle));
            continue;
        }
        let mut events = fetch(engine, within, count, limits)?;
        if (events.len() as u64) < count {
            return Err(Failure::because(format_args!(
                "{count} events are stored between {from} and {to} (unix seconds) and only {} \
                 came; is gateway.websocket.max_limit of the daemon below that?",
                events.len()
            )));
        }
        events.sort_by_key(|event| (event.created_at, event.id));
        events.iter().try_for_each(|event| line(event.to_json()))?;
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
    count: u64,
    limits: &EventLimits,
) -> Result<Vec<Event>, Failure> {
    let limit = usize::try_from(count).unwrap_or(usize::MAX);
    filters.iter_mut().for_each(|filter| filter.limit = Some(limit));
    let mut events = Vec::with_capacity(limit);
    match engine {
        Engine::Remote(remote) => remote.query(&filters, false, |text| {
            let event = Event::from_json(text.as_bytes(), limits);
            events.push(event.map_err(Failure::because)?);
            Ok(())
        })?,
        Engine::Embedded(embedded) => embedded.block_on(async {
            let options = QueryOptions { use_relays: false, ..QueryOptions::default() };
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
