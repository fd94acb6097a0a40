//! Stored events in several pages, from a relay that gives fewer at once than were asked for.
//!
//! A relay answers a filter with the newest events that match, as many as its own limit allows.
//! Where that may have cut the answer, the rest is asked for with `until`: the time of the oldest
//! event of that page, inclusive, so that nothing of the same second is missed.

use nipworker_protocol::{Event, Filter, StoredHint};

use crate::RelayLimits;

/// Pages of one REQ at most. Then the subscriber is told that there is more.
pub(super) const MAX_PAGES: u32 = 100;
/// Times of a page that are remembered at most, for each filter.
const MAX_TIMES: usize = 100_000;

/// How far the pages of one REQ have come.
pub(super) struct Pages {
    parts: Vec<Part>,
    page: u32,
}

struct Part {
    /// As asked now.
    filter: Filter,
    /// Events that the relay gives at once; `None` when it does not say, and the filter's own
    /// limit is not above it.
    cap: Option<usize>,
    /// Events that are still wanted; `None` is all of them.
    wanted: Option<usize>,
    /// Events of the present page that came before, with the previous one.
    again: usize,
    /// Times of the events that came on this page.
    times: Vec<i64>,
}

impl Pages {
    /// `None` when the answer cannot be cut, or is not to be completed: a filter by ids is small,
    /// and one without a limit wants everything only if `is_exhaustive`.
    pub(super) fn new(
        filters: &[Filter],
        limits: &RelayLimits,
        is_exhaustive: bool,
    ) -> Option<Self> {
        let part = |filter| Part::new(filter, limits, is_exhaustive);
        let parts: Vec<Part> = filters.iter().map(part).collect();
        let may_be_cut = parts.iter().any(|part| part.wanted != Some(0));
        // Which filter an event is for is looked for only where there is something to gain.
        let is_known = filters.len() == 1 || parts.iter().any(|part| part.cap.is_some());
        (may_be_cut && is_known).then_some(Self { parts, page: 0 })
    }

    /// An event came.
    pub(super) fn saw(&mut self, event: &str) {
        if let [part] = self.parts.as_mut_slice() {
            if let Some(time) = super::receive::created_at(event) {
                part.saw(time);
            }
        } else if let Ok(event) = serde_json::from_str::<Event>(event) {
            for part in self.parts.iter_mut().filter(|part| part.filter.matches(&event)) {
                part.saw(event.created_at);
            }
        }
    }

    /// The page is complete; gives back the filters of the next one, if there is to be one.
    pub(super) fn next(&mut self, hint: StoredHint) -> Option<Vec<Filter>> {
        if hint == StoredHint::Finish || self.page + 1 >= MAX_PAGES {
            return None;
        }
        let parts: Vec<Part> =
            self.parts.drain(..).filter_map(|part| part.next(hint == StoredHint::More)).collect();
        self.parts = parts;
        self.page += 1;
        let filters: Vec<Filter> = self.parts.iter().map(|part| part.filter.clone()).collect();
        (!filters.is_empty()).then_some(filters)
    }

    /// Whether there are more events than are fetched.
    pub(super) fn is_cut(&self) -> bool {
        self.page + 1 >= MAX_PAGES
    }
}

impl Part {
    fn new(filter: &Filter, limits: &RelayLimits, is_exhaustive: bool) -> Self {
        let cap = match (filter.limit, limits.max_limit) {
            (Some(limit), Some(most)) if limit > most => Some(most),
            (Some(_), _) => None,
            (None, most) => match (limits.default_limit, most) {
                (Some(default), Some(most)) => Some(default.min(most)),
                (default, most) => default.or(most),
            },
        };
        let is_whole = filter.ids.is_some() || (filter.limit.is_none() && !is_exhaustive);
        let wanted = if is_whole { Some(0) } else { filter.limit };
        Self { filter: filter.clone(), cap, wanted, again: 0, times: Vec::new() }
    }

    fn saw(&mut self, time: i64) {
        if self.times.len() < MAX_TIMES {
            self.times.push(time);
        }
    }

    fn next(mut self, has_more: bool) -> Option<Self> {
        let got = self.times.len();
        let fresh = got.saturating_sub(self.again);
        let wanted = self.wanted.map(|wanted| wanted.saturating_sub(fresh));
        if got == 0 || wanted == Some(0) {
            return None;
        }
        // The relay's page are the newest events that match; what else came is of other filters.
        let page = match self.cap {
            Some(cap) if got >= cap => cap,
            _ if has_more => got,
            _ => return None,
        };
        self.times.sort_unstable_by(|a, b| b.cmp(a));
        let oldest = *self.times.get(page - 1)?;
        let is_stuck = self.filter.until == Some(oldest) && fresh == 0;
        // A second with more events than a page holds cannot be asked for in parts.
        let until = if is_stuck { oldest.checked_sub(1)? } else { oldest };
        let again = self.times.iter().filter(|time| **time == until).count();
        let limit = wanted.map(|wanted| wanted.saturating_add(again));
        if self.filter.since.is_some_and(|since| since > until) {
            return None;
        }
        self.filter.until = Some(until);
        self.filter.limit = limit;
        self.times.clear();
        Some(Self { wanted, again, ..self })
    }
}
