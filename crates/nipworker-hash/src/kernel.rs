//! What every kernel can do.

use std::fmt::Debug;
use std::ops::Range;

use crate::block::{BLOCK_BYTES, Schedule};
use crate::midstates::{GROUP, Midstates};
use crate::portable::Portable;

/// What midstates are made from.
#[derive(Clone, Copy, Debug)]
pub struct Seed<'a> {
    /// The state before the block with the three digits.
    pub state: &'a [u32; 8],
    /// That block; its last three bytes are replaced by the lane's number in decimal.
    pub block: &'a [u8; BLOCK_BYTES],
    /// The first words of the next block that are the same in every row: their rounds are hoisted.
    /// At most 15.
    pub hoisted: &'a [u32],
}

/// One row of attempts: many midstates, one message.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The midstates, filled by the same kernel.
    pub midstates: &'a Midstates,
    /// The block that follows them; its first words are those that the [`Seed`] hoisted.
    pub first: &'a Schedule,
    /// The blocks behind it.
    pub tail: &'a [Schedule],
}

/// An attempt that is worth a closer look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    /// Its midstate.
    pub lane: usize,
    /// The first word of its digest.
    pub word: u32,
}

/// SHA-256 over rows of attempts, on one instruction set.
pub trait SearchKernel: Debug + Send + Sync {
    /// Name for logs, metrics and the config.
    fn name(&self) -> &'static str;

    /// How many lanes it hashes together, at least 1: scans that begin and end at multiples of it do
    /// nothing in vain.
    fn stride(&self) -> usize {
        GROUP
    }

    /// Makes the midstates of `lanes`, which lie below [`LANES`](crate::LANES). Other lanes may
    /// be made along with them; those made earlier from the same seed stay valid.
    ///
    /// # Panics
    ///
    /// If `lanes` reaches beyond [`LANES`](crate::LANES) or more than 15 rounds are hoisted.
    fn fill(&self, seed: &Seed<'_>, lanes: Range<usize>, midstates: &mut Midstates);

    /// Hashes the attempts of `lanes` and appends those whose digest begins with a word of at
    /// most `limit` to `found`, in ascending order of lane.
    ///
    /// # Panics
    ///
    /// If `lanes` reaches beyond [`LANES`](crate::LANES) or another kernel made the midstates.
    fn scan(&self, row: &Row<'_>, lanes: Range<usize>, limit: u32, found: &mut Vec<Candidate>);
}

/// The kernels that this processor can run; the portable one is always there, and first. Each has
/// a name of its own.
pub fn kernels() -> Vec<&'static dyn SearchKernel> {
    #[cfg(target_arch = "x86_64")]
    let native = [
        crate::avx2::kernel(),
        crate::x86_sha::kernel(),
        crate::avx512::kernel(),
        crate::hybrid::kernel(),
    ];
    #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
    let native = [crate::aarch64::kernel()];
    #[cfg(not(any(
        target_arch = "x86_64",
        all(target_arch = "aarch64", target_endian = "little")
    )))]
    let native = [None];
    let portable: &'static dyn SearchKernel = &Portable;
    std::iter::once(portable).chain(native.into_iter().flatten()).collect()
}
