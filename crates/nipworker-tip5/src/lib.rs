//! `tip5-search`: a nonce search with a Tip5-style hash, as a workload of the miner.
//!
//! It is the second real workload beside NIP-13: arithmetic in a prime field instead of SHA-256,
//! some microseconds for an attempt instead of ten nanoseconds.
//!
//! **It is compatible with no chain and claims to be with none.** The round function is that of
//! Tip5 as published (Szepieniec, Lemmens, Sauer, Threadbare, Al-Kindi: *The Tip5 Hash Function
//! for Recursive STARKs*, IACR ePrint 2023/107), but there are seven rounds and the round
//! constants are our own, so that no digest of this crate is one of any other software.
//!
//! # The hash
//!
//! * Field: integers modulo p = 2^64 − 2^32 + 1. State: 16 elements, of which 10 take the input
//!   and 6 are 1, the published setting for input of fixed length. The digest is the first five
//!   elements after the permutation.
//! * A round: the S-box on each element, the matrix, the round constants.
//! * S-box: elements 0 to 3 are multiplied by 2^64, split into bytes, each byte b replaced by
//!   ((b + 1)^3 − 1) mod 257, put together and divided by 2^64; elements 4 to 15 go to their
//!   seventh power.
//! * Matrix: circulant; its first column is the SHA-256 of `Tip5` read as sixteen little-endian
//!   numbers of 16 bits.
//! * Constant number i, for i from 0 to 111 (round i / 16, element i mod 16): the first 16 bytes
//!   of the SHA-256 of the text `nipworker tip5-search round constant I`, with i in decimal for
//!   `I`, read as a little-endian number modulo p. The derivation leaves nothing to choose.
//!
//! # The search
//!
//! The hash of header (five elements) and nonce (five elements) is read as a number to the base p,
//! its first element being the lowest digit; it is a hit when that is at most the target. See
//! [`Tip5Input`]. An index of the workload is the first element of the nonce. Scores are in bits:
//! the leading zeros of the digest, 0 to 320.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//! use nipworker_mining::{JobBook, JobRequest, Outcome};
//! use nipworker_tip5::{Tip5Factory, WORKLOAD_NAME};
//!
//! let book = JobBook::new();
//! book.register(Arc::new(Tip5Factory));
//! book.start_pool(JobBook::pool_config())?;
//! // One digest in 256 has so small a highest digit.
//! let input = serde_json::json!({ "header": [1, 2, 3, 4, 5], "target": [0, 0, 0, 0, 1u64 << 56] });
//! let job = book.submit(JobRequest::new(WORKLOAD_NAME, input))?;
//! let Outcome::Found(hit) = job.wait() else { panic!("every 256th nonce is one") };
//! assert_eq!(hit.solution["nonce"][0], hit.index);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod constants;
mod field;
mod input;
mod permutation;
mod reference;
mod search;

pub use input::{MODULUS, Tip5Input, WORKLOAD_NAME};
pub use search::Tip5Factory;

/// Elements of a header, a nonce and a digest.
pub const ELEMENTS: usize = 5;

/// Hashes a header and a nonce, each element of which is below [`MODULUS`]; by the search's own
/// arithmetic.
///
/// # Panics
///
/// Never; an element that is not below the modulus counts as its remainder.
pub fn hash(header: [u64; ELEMENTS], nonce: [u64; ELEMENTS]) -> [u64; ELEMENTS] {
    let reduced = |elements: [u64; ELEMENTS]| elements.map(|element| element % MODULUS);
    permutation::Prepared::new(reduced(header), reduced(nonce)).digest(nonce[0] % MODULUS)
}

#[cfg(test)]
mod tests;
