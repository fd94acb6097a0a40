//! Answers that come wholly from memory.

use nipworker_protocol::{Attestation, Filter, Verified};

use crate::{Cursor, Page, PageRequest, Position};

use super::{
    Recent,
    lane::{Head, Lane},
};

/// Why an answer does not come from memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Miss {
    /// Something that belongs to it, or may, is not here; loading more may help.
    NotHere,
    /// Such questions are never answered from here.
    Never,
}

impl Recent {
    /// One page, as [`EventStore::query`](crate::EventStore::query) has it.
    ///
    /// # Errors
    /// Why it does not come from here.
    pub(in super::super) fn page(
        &self,
        filters: &[Filter],
        request: &PageRequest,
        max_events: usize,
        now: i64,
    ) -> Result<Page, Miss> {
        let inner = self.read().ok_or(Miss::Never)?;
        let matched: &[u64] = match &request.after {
            None => &[],
            Some(cursor) if cursor.matched.len() == filters.len() => &cursor.matched,
            // It is to be counted anew, or refused.
            Some(_) => return Err(Miss::Never),
        };
        let after = request.after.as_ref().map(|cursor| cursor.after);
        let mut lanes = Vec::with_capacity(filters.len());
        for (index, filter) in filters.iter().enumerate() {
            let matched = matched.get(index).copied().unwrap_or(0);
            lanes.push(Lane::begin(&inner, filter, after, matched, max_events, now)?);
        }
        let mut events = Vec::with_capacity(expected(filters, max_events));
        let mut bytes = 0;
        let mut last: Option<Position> = None;
        loop {
            let mut next = None;
            let mut is_elsewhere = false;
            for lane in &lanes {
                match lane.head {
                    Head::Entry(entry)
                        if next.is_none_or(|(position, _)| entry.position < position) =>
                    {
                        next = Some((entry.position, entry));
                    }
                    Head::Elsewhere => is_elsewhere = true,
                    _ => {}
                }
            }
            let is_full =
                events.len() >= max_events || (bytes >= request.max_bytes && !events.is_empty());
            match next {
                Some((position, entry)) if !is_full => {
                    for lane in &mut lanes {
                        if matches!(lane.head, Head::Entry(head) if head.position == position) {
                            lane.advance();
                        }
                    }
                    bytes += entry.event.as_bytes().len();
                    events.push(Verified::attest(entry.event.clone(), Attestation::FromStore));
                    last = Some(position);
                }
                None if is_elsewhere && !is_full => return Err(Miss::NotHere),
                None if !is_elsewhere => return Ok(Page { events, next: None }),
                _ => {
                    let matched = lanes.iter().map(|lane| lane.matched).collect();
                    return Ok(Page { events, next: last.map(|after| Cursor { after, matched }) });
                }
            }
        }
    }
}

/// How many events there may be, to make room for at once.
fn expected(filters: &[Filter], max_events: usize) -> usize {
    const AT_MOST: usize = 1_000;
    let limits = filters.iter().map(|filter| filter.limit.unwrap_or(AT_MOST));
    limits.fold(0_usize, usize::saturating_add).min(max_events).min(AT_MOST)
}
