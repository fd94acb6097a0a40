//! The signer whose key is in memory.

use std::fmt;

use nipworker_protocol::{Event, PublicKey, Signature, UnsignedEvent};

use crate::{
    CipherLimits, KeyError, Plaintext, Scheme, SecretKey, Signer, SignerError, SignerFuture,
    key::random_bytes,
};

/// A [`Signer`] that holds its secret key in memory. It answers at once.
#[derive(Clone)]
pub struct PrivateKeySigner {
    secret: SecretKey,
    public: PublicKey,
    limits: CipherLimits,
}

impl PrivateKeySigner {
    /// Signs with `secret`.
    pub fn new(secret: SecretKey) -> Self {
        let public = secret.public_key();
        Self { secret, public, limits: CipherLimits::default() }
    }

    /// With other limits for what it encrypts and decrypts.
    pub fn with_cipher_limits(mut self, limits: CipherLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Signs with the key that `text` holds, 64 hex characters or `nsec1…`.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        SecretKey::parse(text).map(Self::new)
    }

    /// Signs with a new random key.
    ///
    /// # Errors
    /// [`KeyError::Randomness`].
    pub fn generate() -> Result<Self, KeyError> {
        SecretKey::generate().map(Self::new)
    }

    /// The public half of the key, without waiting.
    pub fn key(&self) -> PublicKey {
        self.public
    }

    /// Signs without waiting.
    ///
    /// # Errors
    /// [`SignerError::WrongAuthor`]; [`SignerError::Unavailable`] when the system has no random
    /// bytes, which BIP-340 wants as a guard against fault and side-channel attacks.
    pub fn sign_now(&self, template: UnsignedEvent) -> Result<Event, SignerError> {
        if template.pubkey != self.public {
            return Err(SignerError::WrongAuthor {
                template: template.pubkey,
                signer: self.public,
            });
        }
        let aux = random_bytes()
            .map_err(|error| SignerError::Unavailable { reason: error.to_string() })?;
        let id = template.compute_id();
        let sig = Signature::from_bytes(self.secret.sign(id.as_bytes(), &aux));
        let UnsignedEvent { pubkey, created_at, kind, tags, content } = template;
        Ok(Event { id, pubkey, created_at, kind, tags, content, sig })
    }
}

impl Signer for PrivateKeySigner {
    fn public_key(&self) -> SignerFuture<'_, PublicKey> {
        Box::pin(std::future::ready(Ok(self.public)))
    }

    fn sign(&self, template: UnsignedEvent) -> SignerFuture<'_, Event> {
        Box::pin(std::future::ready(self.sign_now(template)))
    }

    fn encrypt(
        &self,
        scheme: Scheme,
        peer: PublicKey,
        plaintext: Plaintext,
    ) -> SignerFuture<'_, String> {
        let encrypted = scheme.encrypt(self.limits, &self.secret, &peer, plaintext.expose());
        Box::pin(std::future::ready(encrypted.map_err(SignerError::from)))
    }

    fn decrypt(
        &self,
        scheme: Scheme,
        peer: PublicKey,
        payload: String,
    ) -> SignerFuture<'_, Plaintext> {
        let decrypted = scheme.decrypt(self.limits, &self.secret, &peer, &payload);
        Box::pin(std::future::ready(decrypted.map_err(SignerError::from)))
    }
}

impl fmt::Debug for PrivateKeySigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKeySigner(key hidden, of {})", self.public)
    }
}
