//! REQs as the relay sees them: who rides on which, and what may ride together.

use std::sync::Arc;

use nipworker_protocol::{Event, Filter};

use super::{RelaySession, pages::Pages};

/// Filters of subscriptions that share a REQ, at most. Relays commonly take no more in one.
const MAX_SHARED_FILTERS: usize = 10;

/// One REQ that is open on the present connection.
pub(super) struct Carrier {
    /// The subscriptions that it asks for.
    pub(super) riders: Vec<Arc<str>>,
    /// Their filters, equal ones once, as they were before anything was seen.
    pub(super) subjects: Vec<Arc<[Filter]>>,
    /// Whether it stays open after its stored events.
    pub(super) is_live: bool,
    /// Whether the riders' filters differ, so that an event is not for each of them.
    pub(super) is_mixed: bool,
    /// Whether a rider left: events of its filters still come.
    pub(super) is_left: bool,
    /// Whether the stored events are complete.
    pub(super) is_complete: bool,
    /// Whether anything came on it.
    pub(super) is_heard: bool,
    /// How far the pages have come, when there may be several.
    pub(super) pages: Option<Pages>,
    /// Whether it asks for a further page of stored events, and for nothing after them.
    pub(super) is_page: bool,
}

impl Carrier {
    /// Of a further page of stored events.
    pub(super) fn page(riders: Vec<Arc<str>>, pages: Pages) -> Self {
        Self {
            riders,
            subjects: Vec::new(),
            is_live: false,
            is_mixed: false,
            is_left: false,
            is_complete: false,
            is_heard: false,
            pages: Some(pages),
            is_page: true,
        }
    }

    /// Whether so many further filters are within what a shared REQ may hold.
    pub(super) fn has_room_for(&self, filters: usize) -> bool {
        let held: usize = self.subjects.iter().map(|subject| subject.len()).sum();
        held + filters <= MAX_SHARED_FILTERS
    }
}

/// Whether two sets of filters may stand in one REQ without changing what either is answered. A
/// `limit` counts for its own filter, but nobody can tell afterwards for which filter an event
/// came: so a limited filter rides only with filters that match nothing of its own. Text search
/// cannot be told apart afterwards at all.
pub(super) fn may_share(a: &[Filter], b: &[Filter]) -> bool {
    let searches = |filters: &[Filter]| filters.iter().any(|filter| filter.search.is_some());
    if searches(a) || searches(b) || a.len() + b.len() > MAX_SHARED_FILTERS {
        return false;
    }
    a.iter().all(|one| {
        b.iter().all(|other| {
            let limited = one.limit.is_some() || other.limit.is_some();
            !limited || are_disjoint(one, other)
        })
    })
}

/// Whether no event can match both. `false` when that is not certain.
fn are_disjoint(a: &Filter, b: &Filter) -> bool {
    fn apart<T: PartialEq>(a: Option<&Vec<T>>, b: Option<&Vec<T>>) -> bool {
        let (Some(a), Some(b)) = (a, b) else { return false };
        a.iter().all(|one| !b.contains(one))
    }
    let before =
        |a: &Filter, b: &Filter| a.until.zip(b.since).is_some_and(|(end, start)| end < start);
    apart(a.kinds.as_ref(), b.kinds.as_ref())
        || apart(a.authors.as_ref(), b.authors.as_ref())
        || apart(a.ids.as_ref(), b.ids.as_ref())
        || before(a, b)
        || before(b, a)
}

impl RelaySession {
    /// The riders that an event is for.
    pub(super) fn riders_of(&mut self, wire: &str, event: &str) -> Vec<Arc<str>> {
        let Some(carrier) = self.wire.get_mut(wire) else { return Vec::new() };
        carrier.is_heard = true;
        if let Some(pages) = &mut carrier.pages {
            pages.saw(event);
        }
        if !carrier.is_mixed {
            return carrier.riders.clone();
        }
        // What is no event is for the pipeline to refuse, once.
        let Ok(parsed) = serde_json::from_str::<Event>(event) else {
            return carrier.riders.first().cloned().into_iter().collect();
        };
        let riders: Vec<Arc<str>> = carrier
            .riders
            .iter()
            .filter(|name| {
                let subscription = self.subscriptions.get(*name);
                subscription.is_some_and(|rider| Filter::any_matches(&rider.filters, &parsed))
            })
            .map(Arc::clone)
            .collect();
        if riders.is_empty() && !carrier.is_left {
            self.stats.unasked_events.increment();
        }
        riders
    }

    /// A name for the next REQ that the relay accepts and that no open one has.
    pub(super) fn next_wire(&mut self) -> String {
        let longest = self.information.limits.max_subid_length.unwrap_or(usize::MAX);
        loop {
            self.last_wire += 1;
            let wire = format!("{:x}", self.last_wire);
            if wire.len() > longest {
                self.last_wire = 0;
            } else if !self.wire.contains_key(&wire) {
                return wire;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limited_filters_share_a_req_only_with_what_they_cannot_match() {
        let kinds = |kinds: &[u16]| Filter::new().kinds(kinds.iter().copied());
        let share = |a: Filter, b: Filter| may_share(&[a], &[b]);
        assert!(share(kinds(&[1]), kinds(&[1, 2])), "no limits");
        assert!(!share(kinds(&[1]).limit(3), kinds(&[1, 2])));
        assert!(share(kinds(&[1]).limit(3), kinds(&[2]).limit(9)));
        assert!(!share(kinds(&[1]).limit(0), Filter::new().tag('t', ["a"])));
        assert!(share(Filter::new().limit(1).until(5), Filter::new().since(6)));
        assert!(!share(Filter::new().limit(1).until(6), Filter::new().since(6)));
        let searching = Filter { search: Some("x".to_owned()), ..Filter::new() };
        assert!(!share(searching, kinds(&[1])));
        assert!(!may_share(&vec![kinds(&[1]); 6], &vec![kinds(&[2]); 5]));
    }
}
