//! Where the midstates of a search are kept.

use std::ops::Range;

use crate::kernel::{Row, Seed};

/// Number of midstates: one for each value of three decimal digits.
pub const LANES: usize = 1000;

/// Lanes that lie side by side, word by word.
pub(crate) const GROUP: usize = 16;

/// Sixteen states, transposed: word by word, so that a vector register holds one word of all.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(crate) struct Group(pub(crate) [[u32; GROUP]; 8]);

/// The states of up to [`LANES`] attempts before the block they share.
///
/// The memory is taken once (about 128 KiB). What is in it belongs to the kernel that filled it,
/// which has an order of its own; another kernel refuses to scan it.
#[derive(Clone, Debug)]
pub struct Midstates {
    /// The states themselves, which are added at the end of the block.
    pub(crate) feed: Vec<Group>,
    /// The states after the hoisted rounds.
    pub(crate) start: Vec<Group>,
    /// Number of hoisted rounds.
    pub(crate) hoisted: usize,
    /// Name of the kernel that filled them; empty before the first.
    pub(crate) filled_by: &'static str,
}

impl Midstates {
    /// Room for [`LANES`] midstates.
    pub fn new() -> Self {
        let groups = vec![Group([[0; GROUP]; 8]); LANES.div_ceil(GROUP)];
        Self { feed: groups.clone(), start: groups, hoisted: 0, filled_by: "" }
    }
}

/// Begins a fill by the kernel of that name: checks what it is asked for, and makes the midstates
/// its own. `hoisted` is the number of rounds that it hoists.
///
/// # Panics
///
/// As [`SearchKernel::fill`](crate::SearchKernel::fill) says.
pub(crate) fn begin_fill(
    kernel: &'static str,
    seed: &Seed<'_>,
    lanes: &Range<usize>,
    hoisted: usize,
    midstates: &mut Midstates,
) {
    check_lanes(lanes);
    assert!(seed.hoisted.len() <= 15, "{} hoisted rounds", seed.hoisted.len());
    midstates.hoisted = hoisted;
    midstates.filled_by = kernel;
}

/// Begins a scan by the kernel of that name: checks what it is asked for. Kernels rely on what
/// they wrote themselves, in code that trusts it blindly.
///
/// # Panics
///
/// As [`SearchKernel::scan`](crate::SearchKernel::scan) says.
pub(crate) fn begin_scan(kernel: &'static str, row: &Row<'_>, lanes: &Range<usize>) {
    check_lanes(lanes);
    let filled_by = row.midstates.filled_by;
    assert!(filled_by == kernel, "{kernel} cannot scan midstates filled by {filled_by:?}");
}

fn check_lanes(lanes: &Range<usize>) {
    assert!(lanes.end <= LANES, "lane {} of {LANES}", lanes.end);
}

impl Default for Midstates {
    fn default() -> Self {
        Self::new()
    }
}
