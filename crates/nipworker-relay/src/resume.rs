//! With which filters an open subscription is asked again.

use nipworker_protocol::Filter;

/// The filters of a subscription that had everything up to `anchor` (unix seconds), asked again
/// `overlap_secs` before it.
///
/// * `since` becomes `anchor - overlap_secs`, unless the filter's own `since` is later.
/// * `limit` is dropped: it was meant for the stored events of the first answer. Kept, it would
///   cut what was missed to its newest few. The relay's own limit still holds, newest first; what
///   exceeds it within one outage is missed.
/// * A filter by ids stays as it is, because an event may be older than its publication and such a
///   filter is small. So does a filter whose `until` lies before the new `since`: it would match
///   nothing.
///
/// Events from the overlap come a second time and are dropped by their id; with a `limit`, some
/// that the limit had left out may come too.
pub fn resume_filters(filters: &[Filter], anchor: i64, overlap_secs: i64) -> Vec<Filter> {
    let from = anchor.saturating_sub(overlap_secs).max(0);
    filters
        .iter()
        .map(|filter| {
            let over = filter.until.is_some_and(|until| until < from);
            let mut filter = filter.clone();
            if filter.ids.is_none() && !over {
                filter.since = Some(filter.since.map_or(from, |since| since.max(from)));
                filter.limit = None;
            }
            filter
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use nipworker_protocol::EventId;

    use super::*;

    #[test]
    fn a_filter_goes_on_from_the_last_seen_time_without_its_limit() {
        let filters = [Filter::new().kinds([1]).limit(5), Filter::new().since(2_000).limit(5)];
        let resumed = resume_filters(&filters, 1_000, 120);
        assert_eq!(resumed, [Filter::new().kinds([1]).since(880), Filter::new().since(2_000)]);
    }

    #[test]
    fn filters_by_id_and_of_the_past_are_asked_as_they_were() {
        let id = EventId::from_bytes([1; 32]);
        let filters = [Filter::new().ids([id]), Filter::new().until(500).limit(3)];
        assert_eq!(resume_filters(&filters, 1_000, 120), filters);
    }

    #[test]
    fn times_at_the_edges_do_not_overflow() {
        let filters = [Filter::new()];
        assert_eq!(resume_filters(&filters, i64::MIN, 120), [Filter::new().since(0)]);
        assert_eq!(resume_filters(&filters, 50, 120), [Filter::new().since(0)]);
    }
}
