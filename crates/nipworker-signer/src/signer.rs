//! The port: whoever can sign, encrypt and decrypt.

use futures::future::BoxFuture;
use nipworker_protocol::{Event, PublicKey, UnsignedEvent};

use crate::{CipherError, Plaintext, Scheme};

/// What a [`Signer`] answers, later.
pub type SignerFuture<'a, T> = BoxFuture<'a, Result<T, SignerError>>;

/// Whoever holds a secret key, in memory or far away, and signs and decrypts with it.
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

    /// Encrypts `plaintext` for the owner of `peer`.
    ///
    /// A signer that only signs need not implement it.
    ///
    /// # Errors
    /// [`SignerError::Cipher`] when the text or the key cannot be, [`SignerError::Unsupported`];
    /// otherwise whatever hinders the signer.
    fn encrypt(
        &self,
        scheme: Scheme,
        peer: PublicKey,
        plaintext: Plaintext,
    ) -> SignerFuture<'_, String> {
        drop((scheme, peer, plaintext));
        Box::pin(std::future::ready(Err(SignerError::Unsupported)))
    }

    /// Decrypts what the owner of `peer` encrypted for this signer, or this signer for `peer`.
    /// The text is wiped when dropped.
    ///
    /// A signer that only signs need not implement it.
    ///
    /// # Errors
    /// [`SignerError::Cipher`] when the payload cannot be decrypted, [`SignerError::Unsupported`];
    /// otherwise whatever hinders the signer.
    fn decrypt(
        &self,
        scheme: Scheme,
        peer: PublicKey,
        payload: String,
    ) -> SignerFuture<'_, Plaintext> {
        drop((scheme, peer, payload));
        Box::pin(std::future::ready(Err(SignerError::Unsupported)))
    }
}

/// Why there is no answer of a signer.
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
    /// This signer does not encrypt or decrypt.
    #[error("the signer does not encrypt or decrypt")]
    Unsupported,
    /// The text cannot be encrypted or decrypted.
    #[error(transparent)]
    Cipher(#[from] CipherError),
    /// There is no room for another key.
    #[error("{limit} further keys are there, which is the limit")]
    TooManyKeys {
        /// The limit.
        limit: usize,
    },
}

impl SignerError {
    /// Whether the same request may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}
