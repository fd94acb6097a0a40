//! What a thread keeps from one batch to the next: the midstates it has made.

use std::cell::RefCell;
use std::ops::Range;

use nipworker_hash::{BLOCK_BYTES, Candidate, LANES, Midstates, Schedule, SearchKernel, Seed};

use crate::digits::LANE_DIGITS;
use crate::layout::Layout;

/// Lanes that are filled together, so that one bit tells whether they are.
pub(crate) const GROUP: usize = 16;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::new());
}

/// Lends the calling thread's scratch to `work`, which must not ask for it again.
pub(crate) fn with_scratch<T>(work: impl FnOnce(&mut Scratch) -> T) -> T {
    SCRATCH.with_borrow_mut(work)
}

/// One set of midstates: those of one value of the outer counter, made as they are needed. About
/// 128 KiB.
pub(crate) struct Scratch {
    /// Layout, outer counter and kernel that the set belongs to.
    key: Option<(u64, u64, &'static str)>,
    pub(crate) midstates: Midstates,
    /// One bit for each group of lanes that is filled.
    filled: u64,
    lanes: [u8; BLOCK_BYTES],
    first: [u8; BLOCK_BYTES],
    /// The words of `first` that are hoisted.
    hoisted: [u32; BLOCK_BYTES / 4],
    /// Candidates of one scan.
    pub(crate) found: Vec<Candidate>,
}

impl Scratch {
    fn new() -> Self {
        Self {
            key: None,
            midstates: Midstates::new(),
            filled: 0,
            lanes: [0; BLOCK_BYTES],
            first: [0; BLOCK_BYTES],
            hoisted: [0; BLOCK_BYTES / 4],
            found: Vec::with_capacity(LANES),
        }
    }

    /// Turns to the set of `outer`. If it is the one that is here, what is filled stays.
    pub(crate) fn turn_to(&mut self, layout: &Layout, kernel: &dyn SearchKernel, outer: u64) {
        let key = Some((layout.id, outer, kernel.name()));
        if self.key == key {
            return;
        }
        self.key = key;
        self.filled = 0;
        self.lanes = layout.lanes;
        self.first = layout.first;
        // What of the digits reaches back beyond this block is zeros for every index.
        let from = BLOCK_BYTES.saturating_sub(layout.digits.before);
        let high = &mut self.lanes[from..BLOCK_BYTES - LANE_DIGITS];
        layout.digits.write_outer(high, &mut self.first, outer);
        for (word, bytes) in self.hoisted.iter_mut().zip(self.first.as_chunks::<4>().0) {
            *word = u32::from_be_bytes(*bytes);
        }
    }

    /// The schedule of the row of `inner`.
    pub(crate) fn row(&mut self, layout: &Layout, inner: u64) -> Schedule {
        layout.digits.write_inner(&mut self.first, inner);
        Schedule::new(&self.first)
    }

    /// Makes the midstates of `lanes`, as far as they are not here.
    pub(crate) fn fill(
        &mut self,
        layout: &Layout,
        kernel: &dyn SearchKernel,
        lanes: &Range<usize>,
    ) {
        let wanted = groups(lanes);
        if self.filled & wanted == wanted {
            return;
        }
        let seed = Seed {
            state: &layout.state,
            block: &self.lanes,
            hoisted: &self.hoisted[..layout.digits.hoisted()],
        };
        let mut missing = wanted & !self.filled;
        while missing != 0 {
            let from = missing.trailing_zeros();
            let len = (missing >> from).trailing_ones();
            let to = ((from + len) as usize * GROUP).min(LANES);
            kernel.fill(&seed, from as usize * GROUP..to, &mut self.midstates);
            missing &= !groups(&(from as usize * GROUP..to));
        }
        self.filled |= wanted;
    }
}

/// The bits of the groups that `lanes` lie in.
fn groups(lanes: &Range<usize>) -> u64 {
    if lanes.is_empty() {
        return 0;
    }
    let from = lanes.start / GROUP;
    let to = lanes.end.div_ceil(GROUP);
    (u64::MAX >> (64 - (to - from))) << from
}
