//! Filters over packed events.

use crate::Filter;

use super::EventView;

impl Filter {
    /// As [`Filter::matches`], over a packed event.
    pub fn matches_view(&self, event: &EventView<'_>) -> bool {
        let created_at = event.created_at();
        self.since.is_none_or(|since| created_at >= since)
            && self.until.is_none_or(|until| created_at <= until)
            && self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&event.kind()))
            && self.ids.as_ref().is_none_or(|ids| ids.contains(&event.id()))
            && self.authors.as_ref().is_none_or(|authors| authors.contains(&event.pubkey()))
            && self.tags.iter().all(|(letter, wanted)| {
                event.tags().filter_map(|tag| tag.indexed()).any(|(name, value)| {
                    name == *letter && wanted.iter().any(|wanted| wanted == value)
                })
            })
    }

    /// As [`Filter::any_matches`], over a packed event.
    pub fn any_matches_view(filters: &[Self], event: &EventView<'_>) -> bool {
        filters.iter().any(|filter| filter.matches_view(event))
    }
}
