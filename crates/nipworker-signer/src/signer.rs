//! The port: whoever can sign.

use futures::future::BoxFuture;
use nipworker_protocol::{Event, PublicKey, UnsignedEvent};

/// What a [`Signer`] answers, later.
pub type SignerFuture<'a, T> = BoxFuture<'a, Result<T, SignerError>>;

/// Whoever holds a secret key, in memory or far away, and signs with it.
///
/// An answer may take as long as a person takes to press a button. A caller that cannot wait sets
/// a deadline around the future; dropping the future withdraws the request, and an implementation
/// must bear that at any point.
pub trait Signer: Send + Sync + 'static {
    /// The key that this signer signs for.
    ///
    /// # Errors
    /// [`SignerError::Unavailable`] or [`SignerError::Refused`].
    fn public_key(&self) -> SignerFuture<'_, PublicKey>;

    /// Signs `template` as it stands: neither its time nor its tags are touched.
    ///
    /// # Errors
    /// [`SignerError::WrongAuthor`] when the template names another key than this signer's;
    /// otherwise whatever hinders the signer.
    fn sign(&self, template: UnsignedEvent) -> SignerFuture<'_, Event>;
}

/// Why there is no signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignerError {
    /// Nobody has set a signer. Set one, then ask again.
    #[error("there is no signer")]
    NoSigner,
    /// The template is by somebody else. A signer never puts its own key there instead.
    #[error("the template is by {template}, the signer signs for {signer}")]
    WrongAuthor {
        /// Author that the template names.
        template: PublicKey,
        /// The signer's key.
        signer: PublicKey,
    },
    /// The signer, or the person behind it, does not want to.
    #[error("the signer refused: {reason}")]
    Refused {
        /// In the signer's words.
        reason: String,
    },
    /// The signer cannot be reached or cannot work now. Asking again may help.
    #[error("the signer is not available: {reason}")]
    Unavailable {
        /// What failed.
        reason: String,
    },
    /// The signer answered with something else than what was asked. It is not to be trusted.
    #[error("the signer's answer is wrong: {reason}")]
    WrongAnswer {
        /// What is wrong with the answer.
        reason: String,
    },
}

impl SignerError {
    /// Whether the same request may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}
