//! Proof of work for Nostr events (NIP-13).
//!
//! The difficulty of an event is the number of leading zero bits of its id. This crate measures
//! and checks it ([`Pow`], [`check`]) and searches for nonces that reach it ([`PowFactory`], a
//! workload of [`nipworker_mining`]).
//!
//! * The nonce tag is placed last, the target is committed in its third element, and a nonce tag
//!   that the event holds already is replaced.
//! * The nonce is a decimal number of fixed width whose value is below 2^128. Its digits are
//!   shared out so that an attempt costs as few rounds of SHA-256 as the length of the content
//!   allows; other tags cost nothing.
//! * `created_at` follows the clock about once a second, never backwards, unless
//!   [`PowInput::refresh_created_at`] is off; the time stays with the nonce found under it.
//! * A hit is recomputed by the `sha2` crate from the event's NIP-01 serialisation before it is
//!   reported. A kernel that was wrong makes the batch panic, so that the pool gives it up.
//! * The search runs on the kernels of [`nipworker_hash`]: [`PowFactory::new`] takes the fastest,
//!   [`PowFactory::with_kernel`] any of [`kernels`].
//!
//! The crate has no clock of its own: the factory is given one, in unix seconds. Difficulties are
//! in bits, 0 to 256. An event without signature goes in, and one comes out ([`Mined`]): its key
//! may be somebody else's. A batch allocates nothing unless it finds a hit; each thread keeps about
//! 128 KiB of midstates from one batch to the next. The cancel flag is looked at every 0.2 ms of
//! thread time, or after as many attempts as the kernel hashes at once if those take longer: at
//! [`MAX_PREIMAGE_BYTES`] about a millisecond.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//! use nipworker_mining::{JobBook, Outcome, PoolConfig};
//! use nipworker_pow::{PowFactory, PowInput, mined};
//! use nipworker_protocol::{PublicKey, UnsignedEvent};
//!
//! let book = JobBook::new();
//! book.register(Arc::new(PowFactory::new(Arc::new(|| 1_700_000_000))));
//! book.start_pool(PoolConfig { threads: Some(2), ..JobBook::pool_config() })?;
//!
//! let note = UnsignedEvent::new(PublicKey::from_bytes([7; 32]), 1_700_000_000, 1, vec![], "gm");
//! let job = book.submit(PowInput::new(note, 8).into_request())?;
//! let Outcome::Found(hit) = job.wait() else { panic!("8 bits are soon found") };
//! let mined = mined(&hit)?;
//! assert!(mined.bits >= 8);
//! assert_eq!(mined.event.compute_id(), mined.id);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod difficulty;
mod digits;
mod error;
mod factory;
mod input;
mod layout;
mod scratch;
mod search;
mod solution;
mod workload;

pub use difficulty::{MAX_DIFFICULTY, Pow, Uncommitted, check, check_with};
pub use error::PowError;
pub use factory::{Clock, PowFactory};
pub use input::{MAX_PREIMAGE_BYTES, PowInput, WORKLOAD_NAME};
pub use nipworker_hash::{
    Choice, Measured, SearchKernel, UnknownKernel, choose, kernel_named, kernels,
};
pub use solution::{Mined, mined, mined_event};

#[cfg(test)]
mod tests;
