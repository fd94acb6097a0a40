//! The kernel that uses the AVX-512 units and the SHA unit at the same time.
//!
//! On Intel's cores `sha256rnds2` waits for its own unit most of the time: it takes one issue slot
//! of one vector port out of three cycles. The other slots of that port, and all of the other port,
//! are free for AVX-512 meanwhile. So a *tile* of 44 attempts runs two groups of sixteen in AVX-512
//! registers (one group alone would wait for its own results) and twelve in the SHA unit, six at a
//! time, woven so that both are always busy: a round of both groups, 32 instructions, for each step
//! of two rounds of the six. That is the ratio that fills both ports there.
//!
//! `sha256rnds2` has only a legacy encoding, which is slow by orders of magnitude while the upper
//! part of one of the registers 0 to 15 is in use. So the sixteen live in the registers 16 to 31,
//! which legacy encodings cannot reach. A compiler gives no such promise: the loop is assembly.

mod tile;

use std::ops::Range;

use crate::avx512::{collect, fill_groups, scan_groups, transpose};
use crate::digits::{Shared, digit_word};
use crate::kernel::{Candidate, Row, SearchKernel, Seed};
use crate::midstates::{GROUP, Group, LANES, Midstates, begin_fill, begin_scan};

use self::tile::{Halves, TWELVE, Task, Words, run};

/// Attempts of a tile.
const TILE: usize = 2 * GROUP + TWELVE;
/// Tiles. The last 32 lanes go through AVX-512 alone, so that no attempt is made for nothing.
const TILES: usize = LANES / TILE;
/// Lanes that belong to tiles.
const TILED: usize = TILES * TILE;
/// Where the states for the SHA unit begin, sixteen in a group. Before them are two groups for each
/// tile and two for the last lanes.
const TWELVES: usize = 2 * TILES + 2;

/// Groups of both kinds.
const GROUPS: usize = TWELVES + (TILES * TWELVE).div_ceil(GROUP);

const _: () = assert!(TILED + 2 * GROUP == LANES && GROUPS == LANES.div_ceil(GROUP));

/// AVX-512 Foundation and the x86 SHA extensions together.
#[derive(Debug)]
pub(crate) struct Hybrid(());

/// The kernel, if this processor has both sets of instructions.
pub(crate) fn kernel() -> Option<&'static dyn SearchKernel> {
    let detected = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("sha")
        && is_x86_feature_detected!("sse4.1");
    detected.then_some(&Hybrid(()) as &dyn SearchKernel)
}

impl SearchKernel for Hybrid {
    fn name(&self) -> &'static str {
        "avx512_sha"
    }

    fn stride(&self) -> usize {
        TILE
    }

    fn fill(&self, seed: &Seed<'_>, lanes: Range<usize>, midstates: &mut Midstates) {
        // Rounds come in twos.
        let hoisted = seed.hoisted.len() & !1;
        begin_fill(self.name(), seed, &lanes, hoisted, midstates);
        if lanes.is_empty() {
            return;
        }
        let shared = Shared::new(seed);
        let tiles = tiles(&lanes);
        let last = if lanes.end > TILED { TWELVES } else { 2 * tiles.end };
        let by_word = 2 * tiles.start..last;
        let twelves = tiles.start * TWELVE / GROUP..(tiles.end * TWELVE).div_ceil(GROUP);
        let by_lane = TWELVES + twelves.start..TWELVES + twelves.end;
        for groups in [by_word, by_lane.clone()] {
            let feed = &mut midstates.feed[groups.clone()];
            let start = &mut midstates.start[groups.clone()];
            // SAFETY: `self` exists only where the processor has AVX-512 Foundation.
            unsafe { fill_groups(&shared, hoisted, &DIGITS[groups], feed, start) };
        }
        // An odd number of steps is left: the halves have changed places when they begin.
        let odd = hoisted % 4 == 2;
        let start_order = if odd { [ORDER[1], ORDER[0]] } else { ORDER };
        for group in by_lane {
            // SAFETY: as above.
            unsafe {
                transpose(&mut midstates.feed[group], ORDER);
                transpose(&mut midstates.start[group], start_order);
            }
        }
    }

    fn scan(&self, row: &Row<'_>, lanes: Range<usize>, limit: u32, found: &mut Vec<Candidate>) {
        begin_scan(self.name(), row, &lanes);
        if lanes.is_empty() {
            return;
        }
        let Midstates { feed, start, hoisted, .. } = row.midstates;
        let first = &row.first.0[*hoisted..];
        let mut words = Words { groups: [[0; GROUP]; 2], twelve: [[0; 4]; TWELVE] };
        for tile in tiles(&lanes) {
            let task = Task {
                start: &start.as_chunks().0[tile],
                feed: &feed.as_chunks().0[tile],
                start_twelve: &twelves(start)[tile],
                feed_twelve: &twelves(feed)[tile],
                first: first.as_ptr(),
                end: first.as_ptr_range().end,
                tail: row.tail.as_ptr(),
                blocks: row.tail.len(),
                words: &mut words,
                limit,
            };
            // SAFETY: `self` exists only where the processor has AVX-512 Foundation, SHA and
            // SSE4.1. The references and the slices of the task outlive the call. `first` is the
            // schedule behind the hoisted rounds, whose number is even.
            if unsafe { run(&task) } != 0 {
                let lane = tile * TILE;
                collect(words.groups.as_flattened(), lane, &lanes, limit, found);
                let twelve = words.twelve.map(|[_, _, _, a]| a);
                collect(&twelve, lane + 2 * GROUP, &lanes, limit, found);
            }
        }
        if lanes.end > TILED {
            // SAFETY: `self` exists only where the processor has AVX-512 Foundation.
            unsafe { scan_groups(row, 2 * TILES..TWELVES, TILED, &lanes, limit, found) };
        }
    }
}

/// The tiles that hold some of `lanes`.
fn tiles(lanes: &Range<usize>) -> Range<usize> {
    (lanes.start / TILE).min(TILES)..lanes.end.div_ceil(TILE).min(TILES)
}

/// The digits of the lanes of each group, in the order of the memory.
static DIGITS: [[u32; GROUP]; GROUPS] = {
    let mut digits = [[0; GROUP]; GROUPS];
    let mut at = 0;
    while at < digits.len() * GROUP {
        let (group, n) = (at / GROUP, at % GROUP);
        digits[group][n] = digit_word(if group < TWELVES {
            group / 2 * TILE + group % 2 * GROUP + n
        } else {
            let twelfth = at - TWELVES * GROUP;
            twelfth / TWELVE * TILE + 2 * GROUP + twelfth % TWELVE
        });
        at += 1;
    }
    digits
};

/// The words of a state for the SHA unit, a as 0: F, E, B, A and H, G, D, C.
const ORDER: [[usize; 4]; 2] = [[5, 4, 1, 0], [7, 6, 3, 2]];

/// The states for the SHA unit, by tile.
fn twelves(groups: &[Group]) -> &[[Halves; TWELVE]] {
    const { assert!(size_of::<Group>() == GROUP * size_of::<Halves>()) };
    let groups = &groups[TWELVES..];
    // SAFETY: a group is 128 words without padding, and so are sixteen states of two halves, which
    // ask for no more alignment; the memory stays borrowed as long as the view is.
    let states: &[Halves] =
        unsafe { std::slice::from_raw_parts(groups.as_ptr().cast(), groups.len() * GROUP) };
    states.as_chunks().0
}
