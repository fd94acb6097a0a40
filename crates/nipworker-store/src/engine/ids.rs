//! Times and ids of events without the events: what a reconciliation (NIP-77) compares.

use std::ops::ControlFlow;

use nipworker_protocol::Filter;

use crate::{Position, StoreError};

use super::walk::{Limits, Source, Walk};

/// Positions of the events that answer, in the order of answers, at most `max`. No row is read
/// where an index says by itself that its entries answer the filter.
pub(super) fn ids(
    source: Source<'_>,
    filters: &[Filter],
    max: usize,
    now: i64,
) -> Result<Vec<Position>, StoreError> {
    let mut found = Vec::new();
    if max > 0 {
        Walk::start(source, filters, Limits::Exact, None, &[], now)?.run(&mut |event| {
            found.push(event.position);
            let full = found.len() >= max;
            Ok(if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        EventStore, KvStore, MemoryKv, PageRequest,
        conformance::samples::{NOW, author, event},
    };

    #[test]
    fn an_index_and_the_rows_give_the_same_ids_without_what_has_expired() {
        let store = KvStore::open(MemoryKv::new()).unwrap();
        let soon = (NOW + 10).to_string();
        let events: Vec<_> = (0..300)
            .map(|n| {
                let expiring: &[&[&str]] = &[&["expiration", &soon]];
                let tagged: &[&[&str]] = &[&["t", "x"]];
                let tags = if n % 7 == 0 { expiring } else { tagged };
                let kind = if n % 2 == 0 { 7 } else { 1 };
                event(if n % 3 == 0 { 2 } else { 1 }, NOW - n / 2, kind, tags, &n.to_string())
            })
            .collect();
        store.put_batch(&events, NOW).unwrap();
        let any = Filter::new;
        for now in [NOW, NOW + 60] {
            for filters in [
                vec![any()],
                vec![any().kinds([1])],
                vec![any().authors([author(2)])],
                vec![any().authors([author(1), author(2)]).kinds([1])],
                vec![any().tag('t', ["x"])],
                vec![any().tag('t', ["x"]).kinds([1])],
                vec![any().kinds([1]).limit(9)],
                vec![any().limit(40), any().kinds([7]).since(NOW - 80)],
                vec![any().kinds([])],
                vec![any().ids([events[3].id, events[8].id, events[3].id])],
            ] {
                let request = PageRequest { max_events: 10_000, ..PageRequest::default() };
                let rows = store.query(&filters, &request, now).unwrap().events;
                let expected: Vec<Position> =
                    rows.iter().map(|event| Position::of_view(&event.view())).collect();
                assert_eq!(store.ids(&filters, usize::MAX, now).unwrap(), expected, "{filters:?}");
                let some = expected.len().min(5);
                assert_eq!(store.ids(&filters, 5, now).unwrap(), expected[..some], "{filters:?}");
                assert!(store.ids(&filters, 0, now).unwrap().is_empty());
            }
        }
    }
}
