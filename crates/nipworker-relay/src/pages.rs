//! Reading all that a relay has for a filter, page by page, from the newest to the oldest: what is
//! left where a relay does not reconcile (NIP-77).

use std::collections::HashSet;

use nipworker_protocol::{EventId, Filter};

/// Events that one page asks for. Relays that give fewer are paged through all the same.
pub const PAGE_EVENTS: usize = 500;
/// Events that are read of one relay at most; their ids are remembered, 32 bytes each.
pub const MAX_PAGED_EVENTS: usize = 1_000_000;
/// A page of so many events that are all of one second may not have been all of that second. No
/// widely used relay gives fewer at once.
const CROWDED_EVENTS: usize = 100;

/// Where the reading stands.
#[derive(Debug)]
pub struct Pages {
    filter: Filter,
    until: Option<i64>,
    seen: HashSet<EventId>,
    crowded: u64,
    is_over: bool,
}

impl Pages {
    /// Begins with the newest event that answers `filter`; its `limit` counts over all pages.
    pub fn new(filter: Filter) -> Self {
        let is_over = filter.limit == Some(0);
        Self { until: filter.until, filter, seen: HashSet::new(), crowded: 0, is_over }
    }

    /// What to ask next; `None` when everything was read. A page begins with the second in which
    /// the one before ended, since there may be more of it; what comes twice is known by its id.
    pub fn next_filter(&self) -> Option<Filter> {
        if self.is_over {
            return None;
        }
        Some(Filter { until: self.until, limit: Some(PAGE_EVENTS), ..self.filter.clone() })
    }

    /// Takes time and id of every event of a page that the relay has sent completely.
    pub fn came(&mut self, events: impl IntoIterator<Item = (i64, EventId)>) {
        let (mut count, mut fresh) = (0, 0);
        let mut oldest = i64::MAX;
        for (created_at, id) in events {
            count += 1;
            oldest = oldest.min(created_at);
            fresh += usize::from(self.seen.insert(id));
        }
        let limit = self.filter.limit.unwrap_or(MAX_PAGED_EVENTS).min(MAX_PAGED_EVENTS);
        if count == 0 || self.seen.len() >= limit {
            self.is_over = true;
            return;
        }
        // A relay may know nothing of `until`, and then `oldest` is any time: it must go back.
        let begin = self.until.unwrap_or(i64::MAX);
        if oldest < begin {
            self.until = Some(oldest);
        } else if fresh == 0 {
            self.crowded += u64::from(count >= CROWDED_EVENTS);
            self.until = begin.checked_sub(1);
        }
        self.is_over =
            self.until.is_none() || self.filter.since.is_some_and(|since| self.until < Some(since));
    }

    /// Ids of all that came.
    pub fn seen(&self) -> &HashSet<EventId> {
        &self.seen
    }

    /// Seconds of which there may be more than the relay gives at once.
    pub fn crowded_seconds(&self) -> u64 {
        self.crowded
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(number: usize) -> EventId {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        EventId::from_bytes(bytes)
    }

    /// A relay that gives at most `cap` at once, newest first.
    fn page(events: &[(i64, EventId)], filter: &Filter, cap: usize) -> Vec<(i64, EventId)> {
        let mut found: Vec<_> = events
            .iter()
            .filter(|(at, _)| filter.until.is_none_or(|until| *at <= until))
            .filter(|(at, _)| filter.since.is_none_or(|since| *at >= since))
            .copied()
            .collect();
        found.sort_by_key(|(at, id)| (-at, *id));
        found.truncate(filter.limit.unwrap_or(cap).min(cap));
        found
    }

    fn read(events: &[(i64, EventId)], filter: Filter, cap: usize) -> (Pages, usize) {
        let mut pages = Pages::new(filter);
        let mut asked = 0;
        while let Some(filter) = pages.next_filter() {
            asked += 1;
            assert!(asked <= 2 * events.len() + 3, "it goes on and on");
            pages.came(page(events, &filter, cap));
        }
        (pages, asked)
    }

    proptest! {
        #[test]
        fn every_event_is_read_if_no_second_holds_more_than_a_page(
            gaps in prop::collection::vec(0_i64..3, 0..300),
            cap in 60_usize..700,
            since in prop::option::of(900_i64..1_200),
        ) {
            // At most 30 events in a row share a second.
            let mut at = 1_000;
            let events: Vec<_> = gaps.iter().enumerate().map(|(number, gap)| {
                at += if number % 30 == 0 { 1 } else { *gap };
                (at, id(number))
            }).collect();
            let filter = Filter { since, ..Filter::new() };
            let (pages, _) = read(&events, filter, cap);
            let wanted: HashSet<EventId> = events
                .iter()
                .filter(|(at, _)| since.is_none_or(|since| *at >= since))
                .map(|(_, id)| *id)
                .collect();
            prop_assert_eq!(pages.seen(), &wanted);
            prop_assert_eq!(pages.crowded_seconds(), 0);
        }
    }

    #[test]
    fn a_second_with_more_than_a_page_is_passed_and_told() {
        let mut events: Vec<_> = (0..800).map(|n| (50, id(n))).collect();
        events.extend((800..820).map(|n| (40, id(n))));
        let (pages, asked) = read(&events, Filter::new(), 500);
        assert_eq!((pages.seen().len(), pages.crowded_seconds()), (520, 1));
        assert!(asked <= 6);
    }

    #[test]
    fn a_limit_counts_over_all_pages_and_a_relay_that_ignores_until_ends_too() {
        let events: Vec<_> = (0..2_000).map(|n| (5_000 - n as i64, id(n))).collect();
        let (pages, asked) = read(&events, Filter::new().limit(700), 500);
        assert!((700..=1_200).contains(&pages.seen().len()), "{}", pages.seen().len());
        assert_eq!(asked, 2);
        let mut pages = Pages::new(Filter::new());
        let mut asked = 0;
        while pages.next_filter().is_some() && asked < 10_000 {
            asked += 1;
            pages.came(events[..3].iter().copied());
        }
        assert!(asked <= 10_000);
        assert!(Pages::new(Filter::new().limit(0)).next_filter().is_none());
    }
}
