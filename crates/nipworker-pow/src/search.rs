//! The search: rows of attempts, handed to a kernel.

use std::ops::Range;

use nipworker_hash::{LANES, Row, Schedule, SearchKernel};
use nipworker_mining::{BatchContext, Span};

use crate::layout::Layout;
use crate::scratch::{GROUP, Scratch, with_scratch};

/// Blocks hashed between two looks at the cancel flag: about 20 µs with vectors or SHA
/// instructions, a quarter of a millisecond without.
const BLOCKS_PER_LOOK: usize = 2048;

/// What a search over a span saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Indices tried from the start of the span.
    pub(crate) attempts: u64,
    /// The index with most leading zero bits, and their number; the lowest among equals.
    pub(crate) best: Option<(u64, u32)>,
    /// The index that reached the target, and its bits.
    pub(crate) hit: Option<(u64, u32)>,
}

impl Found {
    /// The highest first word of a digest that is better than what is known.
    fn limit(&self) -> u32 {
        self.best.map_or(u32::MAX, |(_, bits)| u32::MAX.checked_shr(bits + 1).unwrap_or(0))
    }
}

/// Lanes that are tried between two looks at the cancel flag: whole groups, at most all. Where a
/// hit is near, they are few, so that little is done in vain.
pub(crate) fn lanes_per_look(layout: &Layout, target: u32) -> usize {
    let blocks = BLOCKS_PER_LOOK / layout.blocks();
    let near = 1 << target.min(10);
    (blocks.min(near) / GROUP * GROUP).clamp(GROUP, LANES)
}

/// Tries the nonces of `span` in order until one has `target` leading zero bits.
///
/// # Panics
///
/// If the kernel reports a hit that is none by the event's real serialisation: nothing that it has
/// done can be trusted then, so the batch must not count.
pub(crate) fn search(
    layout: &Layout,
    kernel: &dyn SearchKernel,
    target: u32,
    span: Span,
    ctx: &BatchContext<'_>,
) -> Found {
    let lanes_per_look = lanes_per_look(layout, target);
    with_scratch(|scratch| {
        let mut search =
            Search { layout, kernel, target, start: span.start, found: Found::default(), scratch };
        let mut index = span.start;
        while index < span.end() {
            let place = layout.digits.place(index);
            let row_start = index - place.lane as u64;
            let left = span.end() - row_start;
            let lanes = place.lane..usize::try_from(left).map_or(LANES, |left| left.min(LANES));
            search.scratch.turn_to(layout, kernel, place.outer);
            let schedule = search.scratch.row(layout, place.inner);
            let mut from = lanes.start;
            while from < lanes.end {
                if ctx.is_cancelled() {
                    return search.found;
                }
                // Before anything is known every attempt is worth a look: so a few only.
                let len = if search.found.best.is_none() { GROUP } else { lanes_per_look };
                let to = (from / GROUP * GROUP + len).min(lanes.end);
                if search.scan(&schedule, row_start, from..to) {
                    return search.found;
                }
                from = to;
            }
            index = row_start.saturating_add(LANES as u64);
        }
        search.found
    })
}

struct Search<'a> {
    layout: &'a Layout,
    kernel: &'a dyn SearchKernel,
    target: u32,
    /// First index of the span.
    start: u64,
    found: Found,
    scratch: &'a mut Scratch,
}

impl Search<'_> {
    /// Tries `lanes` of the row that begins at `row_start`. True if there is a hit among them.
    fn scan(&mut self, schedule: &Schedule, row_start: u64, lanes: Range<usize>) -> bool {
        let Self { layout, kernel, target, start, found, scratch } = self;
        scratch.fill(layout, *kernel, &lanes);
        let row = Row { midstates: &scratch.midstates, first: schedule, tail: &layout.tail };
        scratch.found.clear();
        kernel.scan(&row, lanes.clone(), found.limit(), &mut scratch.found);
        for candidate in &scratch.found {
            let index = row_start + candidate.lane as u64;
            let mut bits = candidate.word.leading_zeros();
            if bits >= (*target).min(u32::BITS) {
                bits = real_bits(layout, *kernel, index, bits);
            }
            if found.best.is_none_or(|(_, best)| bits > best) {
                found.best = Some((index, bits));
            }
            if bits >= *target {
                found.hit = Some((index, bits));
                found.attempts = index - *start + 1;
                return true;
            }
        }
        found.attempts = row_start + lanes.end as u64 - *start;
        false
    }
}

/// The bits of `index` by the event's serialisation and an independent SHA-256, of which the kernel
/// states those of the first word.
#[cold]
fn real_bits(layout: &Layout, kernel: &dyn SearchKernel, index: u64, stated: u32) -> u32 {
    let id = layout.event_at(index).compute_id();
    let bits = id.leading_zero_bits();
    assert!(
        bits.min(u32::BITS) == stated,
        "the kernel {} states {stated} leading zero bits for index {index}, but the event's id is \
         {id}",
        kernel.name()
    );
    bits
}
