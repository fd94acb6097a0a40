//! The search: rows of attempts, handed to a kernel.

use std::ops::Range;

use nipworker_hash::{LANES, SearchKernel, choose};
use nipworker_mining::{BatchContext, Span};

use crate::layout::Layout;
use crate::scratch::{Scratch, with_scratch};

/// Thread time between two looks at the cancel flag.
const LOOK_EVERY_NS: f64 = 200_000.0;
/// Blocks between two looks with a kernel that was not measured: about the same time with the
/// portable one.
const BLOCKS_PER_LOOK: usize = 1024;

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

/// Blocks to hash between two looks at the cancel flag, by what was measured of the kernel when the
/// process chose among all.
pub(crate) fn blocks_per_look(kernel: &dyn SearchKernel) -> usize {
    let measured = choose().measured.iter().find(|measured| measured.name == kernel.name());
    // `as` saturates.
    measured.map_or(BLOCKS_PER_LOOK, |measured| (LOOK_EVERY_NS / measured.ns_per_hash) as usize)
}

/// A kernel and the number of blocks that it may hash between two looks at the cancel flag.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paced<'a> {
    pub(crate) kernel: &'a dyn SearchKernel,
    pub(crate) blocks_per_look: usize,
}

impl Paced<'_> {
    /// Lanes that are tried between two looks: whole strides, at least one and at most all. Where
    /// a hit is near, they are few, so that little is done in vain.
    pub(crate) fn lanes_per_look(&self, layout: &Layout, target: u32) -> usize {
        let near = 1 << target.min(10);
        let lanes = (self.blocks_per_look / layout.blocks()).min(near);
        whole_strides(lanes, self.stride()).min(LANES)
    }

    fn stride(&self) -> usize {
        self.kernel.stride().max(1)
    }
}

/// The multiple of `stride` in `lanes`, but at least one.
fn whole_strides(lanes: usize, stride: usize) -> usize {
    (lanes / stride).max(1) * stride
}

/// Tries the nonces of `span` in order until one has `target` leading zero bits.
///
/// # Panics
///
/// If the kernel reports a hit that is none by the event's real serialisation: nothing that it has
/// done can be trusted then, so the batch must not count.
pub(crate) fn search(
    layout: &Layout,
    paced: Paced<'_>,
    target: u32,
    span: Span,
    ctx: &BatchContext<'_>,
) -> Found {
    let kernel = paced.kernel;
    let stride = paced.stride();
    let lanes_per_look = paced.lanes_per_look(layout, target);
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
            let row = search.scratch.turn_to_row(layout, place.inner);
            let mut from = lanes.start;
            while from < lanes.end {
                if ctx.is_cancelled() {
                    return search.found;
                }
                // Before anything is known every attempt is worth a look: so a few only.
                let len = if search.found.best.is_none() { stride } else { lanes_per_look };
                let to = (from / stride * stride + len).min(lanes.end);
                if search.scan(row, row_start, from..to) {
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
    /// Tries `lanes` of the row that begins at `row_start`; `row` is its schedule. True if there is
    /// a hit among them.
    fn scan(&mut self, row: usize, row_start: u64, lanes: Range<usize>) -> bool {
        let Self { layout, kernel, target, start, found, scratch } = self;
        scratch.fill(layout, *kernel, &lanes);
        let (row, candidates) = scratch.row(layout, row);
        kernel.scan(&row, lanes.clone(), found.limit(), candidates);
        for candidate in candidates {
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
