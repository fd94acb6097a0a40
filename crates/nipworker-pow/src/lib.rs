//! Proof of work for Nostr events (NIP-13).
//!
//! The difficulty of an event is the number of leading zero bits of its id. This crate measures
//! and checks it ([`Pow`], [`check`]) and searches for nonces that reach it ([`PowFactory`], a
//! workload of [`nipworker_mining`]).
//!
//! * The nonce tag is placed last, the target is committed in its third element, and a nonce tag
//!   that the event holds already is replaced.
//! * The nonce is a decimal number of fixed width, at most `u64::MAX` in value.
//! * `created_at` follows the clock, never backwards, unless [`PowInput::refresh_created_at`] is
//!   off; both the old and the new time stay with the nonce that was found under them.
//! * A hit is recomputed from the event's NIP-01 serialisation before it is reported.
//!
//! How the search is laid out: the nonce is padded with zeros so that its last digits open a
//! 64-byte block of SHA-256. What comes before that block is hashed once per change of the other
//! digits; an attempt hashes only the block with the last digits and what follows it.
//!
//! The crate has no clock of its own: the factory is given one, in unix seconds. Difficulties are
//! in bits, 0 to 256. An event without signature goes in, and one comes out.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//! use nipworker_mining::{JobBook, Outcome, PoolConfig};
//! use nipworker_pow::{PowFactory, PowInput, mined_event};
//! use nipworker_protocol::{PublicKey, UnsignedEvent};
//!
//! let book = JobBook::new();
//! book.register(Arc::new(PowFactory::new(Arc::new(|| 1_700_000_000))));
//! book.start_pool(PoolConfig { threads: Some(2), ..JobBook::pool_config() })?;
//!
//! let note = UnsignedEvent::new(PublicKey::from_bytes([7; 32]), 1_700_000_000, 1, vec![], "gm");
//! let job = book.submit(PowInput::new(note, 8).into_request())?;
//! let Outcome::Found(hit) = job.wait() else { panic!("8 bits are soon found") };
//! let mined = mined_event(&hit)?;
//! assert!(mined.compute_id().leading_zero_bits() >= 8);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod difficulty;
mod error;
mod input;
mod kernel;
mod layout;
mod workload;

pub use difficulty::{MAX_DIFFICULTY, Pow, check};
pub use error::PowError;
pub use input::{MAX_PREIMAGE_BYTES, PowInput, WORKLOAD_NAME, mined_event};
pub use workload::{Clock, PowFactory};

#[cfg(test)]
mod tests;
