//! Authentication at relays (NIP-42).

use serde::{Deserialize, Serialize};

/// Why a relay that wants to know who we are does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AuthProblem {
    /// The user does not allow it.
    #[error("this relay may not know our identity")]
    NoConsent,
    /// The relay demands authentication and sent no challenge.
    #[error("the relay sent no challenge")]
    NoChallenge,
    /// Nobody holds the key.
    #[error("there is no signer")]
    NoSigner,
    /// The signer, or the person behind it, does not want to.
    #[error("the signer refused")]
    SignerRefused,
    /// The signer has not answered in time.
    #[error("the signer has not answered in time")]
    SignerTooSlow,
    /// The signer does not work, or answered with something else.
    #[error("the signer failed")]
    SignerFailed,
    /// The relay refused the signed answer.
    #[error("the relay refused the authentication")]
    Rejected,
    /// The relay did not answer the signed answer in time.
    #[error("the relay did not answer the authentication in time")]
    NoAnswer,
    /// The relay knows who we are and demands it again for the same thing.
    #[error("the relay refuses although it knows who we are")]
    StillRefused,
}
