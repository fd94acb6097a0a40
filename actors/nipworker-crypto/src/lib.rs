//! The worker that verifies, signs, encrypts and decrypts.
//!
//! It takes [`CryptoEdge`] messages from the parser, the client and the connections, and nothing
//! else:
//!
//! | request | answer |
//! |---|---|
//! | `VerifyBatch` | `Verdicts`, one for each item in order; the work is done on the pool's threads |
//! | `Sign` | `Signed`, by the signer in the slot |
//! | `SignAs` | `Signed`, by the signer of the key that is named, or by the default one |
//! | `GetPublicKey` | `PublicKeyIs`, the signer's key |
//! | `Encrypt`, `Decrypt` | `Encrypted`, `Decrypted`, by the signer in the slot |
//! | anything else | `Failed` with code `Unsupported` |
//!
//! Requests are answered when they are done, not in the order in which they came: a signer that
//! waits for a person holds up neither verification nor requests to another signer. Each request to a signer
//! has a deadline of its own.
//!
//! What must outlive the worker is given to it: the [`SignerSlot`] and the [`Verifier`]. A restart
//! loses the requests in hand, and their askers are told so.
//!
//! | bound | value | beyond it |
//! |---|---|---|
//! | mailbox | [`MAILBOX_CAPACITY`] messages | who sends waits |
//! | batches being verified | [`MAX_VERIFY_BATCHES`] | `Failed` with code `Busy`, transient |
//! | requests at the signer | [`MAX_SIGNER_REQUESTS`] | `Failed` with code `Busy`, transient |
//! | one request at the signer | [`CryptoParts::signer_deadline`] | `Failed` with code `Timeout`, transient |
//!
//! [`CryptoEdge`]: nipworker_schema::CryptoEdge
//! [`SignerSlot`]: nipworker_signer::SignerSlot
//! [`Verifier`]: nipworker_signer::Verifier

mod actor;
mod answer;
mod limit;

pub use actor::{
    CryptoActor, CryptoParts, DEFAULT_SIGNER_DEADLINE, HANG_LIMIT, MAILBOX_CAPACITY,
    MAX_SIGNER_REQUESTS, MAX_VERIFY_BATCHES,
};
