//! What a thread keeps from one batch to the next: the midstates it has made.

use std::cell::RefCell;
use std::ops::Range;

use nipworker_hash::{BLOCK_BYTES, Candidate, LANES, Midstates, Row, Schedule, SearchKernel, Seed};

use crate::digits::LANE_DIGITS;
use crate::layout::Layout;

/// Lanes that are filled together, so that one bit tells whether they are.
const GROUP: usize = 16;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::new());
}

/// Lends the calling thread's scratch to `work`, which must not ask for it again.
pub(crate) fn with_scratch<T>(work: impl FnOnce(&mut Scratch) -> T) -> T {
    SCRATCH.with_borrow_mut(work)
}

/// Rows whose schedules are made together.
const ROWS: usize = 8;

/// One set of midstates: those of one value of the outer counter, made as they are needed. About
/// 128 KiB.
pub(crate) struct Scratch {
    /// Layout, outer counter and kernel that the set belongs to.
    key: Option<(u64, u64, &'static str)>,
    midstates: Midstates,
    /// One bit for each group of lanes that is filled.
    filled: u64,
    lanes: [u8; BLOCK_BYTES],
    first: [u8; BLOCK_BYTES],
    /// The schedules of a few rows.
    schedules: [Schedule; ROWS],
    /// The inner number of the first of them, if they are those of this set.
    schedules_from: Option<u64>,
    /// The words of `first` that are hoisted.
    hoisted: [u32; BLOCK_BYTES / 4],
    /// Candidates of one scan.
    found: Vec<Candidate>,
}

impl Scratch {
    fn new() -> Self {
        Self {
            key: None,
            midstates: Midstates::new(),
            filled: 0,
            lanes: [0; BLOCK_BYTES],
            first: [0; BLOCK_BYTES],
            schedules: [const { 0 }; ROWS].map(|_| Schedule::new(&[0; BLOCK_BYTES])),
            schedules_from: None,
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
        self.schedules_from = None;
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

    /// Makes the schedule of the row of `inner` and, while at it, those of the next ones. Returns
    /// which of [`row`](Self::row) it is.
    pub(crate) fn turn_to_row(&mut self, layout: &Layout, inner: u64) -> usize {
        if let Some(from) = self.schedules_from
            && inner >= from
            && let Ok(row @ 0..ROWS) = usize::try_from(inner - from)
        {
            return row;
        }
        let at = layout.digits.hoisted();
        let values = std::array::from_fn(|row| {
            // Beyond the last number they begin again; that row is of no use, but never asked for.
            layout.digits.write_inner(&mut self.first, inner + row as u64);
            u32::from_be_bytes(self.first.as_chunks().0[at])
        });
        Schedule::rows(&self.first, at, &values, &mut self.schedules);
        self.schedules_from = Some(inner);
        0
    }

    /// What a kernel scans, of the row that [`turn_to_row`](Self::turn_to_row) named, and where the
    /// candidates go.
    pub(crate) fn row<'a>(
        &'a mut self,
        layout: &'a Layout,
        row: usize,
    ) -> (Row<'a>, &'a mut Vec<Candidate>) {
        self.found.clear();
        let first = &self.schedules[row];
        (Row { midstates: &self.midstates, first, tail: &layout.tail }, &mut self.found)
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
