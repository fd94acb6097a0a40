//! Signing and verifying Nostr events, and opening private ones.
//!
//! * [`Signer`] is the port behind which secret keys live. [`PrivateKeySigner`] holds its key in
//!   memory; the feature `conformance` adds the suite that every implementation runs.
//! * [`SignerSlot`] holds the signer in use, and those of further keys. It is shared, can be refilled
//!   at any time, and checks what a signer answers before anybody relies on it.
//! * [`SecretKey`] reads and writes `nsec` and hex (NIP-19); [`npub`] and [`parse_public_key`] do
//!   the same for public keys.
//! * [`Scheme`] encrypts and decrypts between two keys (NIP-44, NIP-04) under [`CipherLimits`].
//! * [`private`] wraps and opens what nobody else shall see: gift wraps and chat messages.
//! * [`verify_one`] checks a BIP-340 signature; [`Verifier`] checks batches on a thread pool of
//!   its own.
//!
//! The crate knows no actor, no async runtime and no clock: a caller that wants a deadline sets it
//! around the futures. Secrets are wiped when dropped, and neither `Debug` nor an error shows them.
//!
//! Sources: NIP-01 (events), NIP-04, NIP-44 (encryption), NIP-17, NIP-59 (private messages), NIP-19 (`nsec`, `npub`), BIP-340 (signatures), BIP-173 (bech32).
//!
//! ```
//! use nipworker_protocol::UnsignedEvent;
//! use nipworker_signer::{PrivateKeySigner, SecretKey, Signer, verify_event};
//!
//! # futures::executor::block_on(async {
//! let signer = PrivateKeySigner::new(SecretKey::generate()?);
//! let author = signer.public_key().await?;
//! let note = UnsignedEvent::new(author, 1_700_000_000, 1, vec![], "hello");
//! let event = signer.sign(note).await?;
//! assert!(verify_event(event).is_ok());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod cipher;
#[cfg(feature = "conformance")]
pub mod conformance;
mod key;
mod known_keys;
pub mod private;
mod private_key;
mod signer;
mod slot;
mod verifier;
mod verify;

#[cfg(test)]
mod bip340_tests;

/// The base types that stand in this crate's interface.
pub use nipworker_protocol as protocol;

pub use cipher::{CipherError, CipherLimits, MAX_NIP44_PLAINTEXT_BYTES, Plaintext, Scheme};
pub use key::{KeyError, SecretKey, npub, parse_public_key};
pub use known_keys::KNOWN_KEYS;
pub use nipworker_pool::{BatchError, Pool, PoolConfig, PoolError, PoolMetrics};
pub use private_key::PrivateKeySigner;
pub use signer::{Signer, SignerError, SignerFuture};
pub use slot::{MAX_FURTHER_KEYS, SignerSlot};
pub use verifier::{Verifier, VerifyFuture};
pub use verify::{SignedId, VerifyError, verify_event, verify_one};
