//! Where the midstates of a search are kept.

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
/// The memory is taken once (about 128 KiB). What is in it belongs to the kernel that filled it:
/// another kernel must not scan it.
#[derive(Clone, Debug)]
pub struct Midstates {
    /// The states themselves, which are added at the end of the block.
    pub(crate) feed: Vec<Group>,
    /// The states after the hoisted rounds.
    pub(crate) start: Vec<Group>,
    /// Number of hoisted rounds.
    pub(crate) hoisted: usize,
}

impl Midstates {
    /// Room for [`LANES`] midstates.
    pub fn new() -> Self {
        let groups = vec![Group([[0; GROUP]; 8]); LANES.div_ceil(GROUP)];
        Self { feed: groups.clone(), start: groups, hoisted: 0 }
    }
}

impl Default for Midstates {
    fn default() -> Self {
        Self::new()
    }
}
