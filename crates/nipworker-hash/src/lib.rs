//! SHA-256 (FIPS 180-4) for search.
//!
//! A search hashes the same text over and over with a few bytes changed. Where those bytes straddle
//! the boundary of two 64-byte blocks, most of the work can be shared:
//!
//! * The three decimal digits before the boundary give [`LANES`] *midstates*: the states after that
//!   block, one for each value of the digits. They are made once ([`SearchKernel::fill`]) and used
//!   for every value of the bytes behind the boundary.
//! * The block behind the boundary has the same content for all midstates, so its message
//!   [`Schedule`] is computed once for a *row* of [`LANES`] attempts. The blocks that follow never
//!   change at all.
//! * The first rounds of that block read only words that are the same in every row. They are done
//!   once, when the midstates are made: they are *hoisted*.
//!
//! What is left for an attempt is the rounds themselves ([`SearchKernel::scan`]).
//!
//! A kernel is one implementation for one instruction set; all give the same bits. The crate has
//! no allocation in a scan, no threads, no clock, and depends on nothing.

mod block;
mod kernel;
mod midstates;
mod portable;

pub use block::{BLOCK_BYTES, INITIAL_STATE, Schedule, compress};
pub use kernel::{Candidate, Row, SearchKernel, Seed, kernels};
pub use midstates::{LANES, Midstates};
