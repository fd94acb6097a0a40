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
//! # Kernels
//!
//! A kernel is one implementation for one instruction set; all give the same bits. [`kernels`]
//! lists those that this processor runs, [`choose`] finds the fastest once per process, and
//! [`kernel_named`] gives the one that somebody insists on.
//!
//! | name | needs | attempts together |
//! |---|---|---|
//! | `portable` | nothing | 16, in loops for the compiler to vectorise |
//! | `avx2` | x86-64 with AVX2 | 16 |
//! | `x86_sha` | x86-64 with the SHA extensions | 4 or 7 |
//! | `avx512` | x86-64 with AVX-512 Foundation | 32 |
//! | `avx512_sha` | both of these | 44 |
//! | `aarch64_sha2` | 64-bit ARM with the SHA-256 instructions | 4 |
//!
//! Beside the search stands [`ManyDigests`]: the digests of many different messages at once, for
//! processors without SHA-256 instructions.
//!
//! # Example
//!
//! A text of 68 bytes that ends in seven digits is sought whose digest begins with 20 zero bits.
//! The first three of the digits end the first block.
//!
//! ```
//! use nipworker_hash::{INITIAL_STATE, LANES, Midstates, Row, Schedule, Seed, choose};
//!
//! let before = [b'.'; 64];
//! // Four digits, and the padding of a text of 68 bytes.
//! let mut after = [0; 64];
//! after[4] = 0x80;
//! after[62..].copy_from_slice(&(68_u16 * 8).to_be_bytes());
//!
//! let kernel = choose().kernel;
//! let mut midstates = Midstates::new();
//! let seed = Seed { state: &INITIAL_STATE, block: &before, hoisted: &[] };
//! kernel.fill(&seed, 0..LANES, &mut midstates);
//!
//! let mut found = Vec::new();
//! let mut digits = 0;
//! while found.is_empty() {
//!     after[..4].copy_from_slice(format!("{digits:04}").as_bytes());
//!     let first = Schedule::new(&after);
//!     let row = Row { midstates: &midstates, first: &first, tail: &[] };
//!     kernel.scan(&row, 0..LANES, u32::MAX >> 20, &mut found);
//!     digits += 1;
//! }
//! let text = format!("{}{:03}{:04}", ".".repeat(61), found[0].lane, digits - 1);
//! assert_eq!(text.len(), 68);
//! assert!(found[0].word.leading_zeros() >= 20);
//! ```
//!
//! # Limits
//!
//! The crate knows no Nostr and depends on nothing. A scan allocates only where `found` must grow.
//! There are no threads here, and no clock but the one that [`choose`] compares kernels with.
//! Whoever reports a candidate hashes the text again with another implementation first.

#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod aarch64;
mod answers;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod block;
mod choice;
mod digits;
#[cfg(target_arch = "x86_64")]
mod hybrid;
mod kernel;
mod many;
mod midstates;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86_sha;

pub use block::{BLOCK_BYTES, INITIAL_STATE, Schedule, compress};
pub use choice::{Choice, Measured, UnknownKernel, choose, kernel_named};
pub use kernel::{Candidate, Row, SearchKernel, Seed, kernels};
pub use many::ManyDigests;
pub use midstates::{LANES, Midstates};
