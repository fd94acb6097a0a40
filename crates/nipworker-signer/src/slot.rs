//! The place where the signer in use is kept.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use nipworker_protocol::{Event, PublicKey, UnsignedEvent};

use crate::{Plaintext, Scheme, Signer, SignerError, SignerFuture, verify_event};

/// A shared place for one [`Signer`], empty at first. Clones share it.
///
/// It lives outside the worker that signs, so that the signer survives a restart of the worker. A
/// request uses the signer that was there when it was made: exchanging the signer does not disturb
/// requests under way.
///
/// The slot is itself a [`Signer`], and the one to use: it checks that what comes back from a
/// signer is the template that was given, by the right author, with a right id and signature.
#[derive(Clone, Default)]
pub struct SignerSlot(Arc<RwLock<Option<Arc<dyn Signer>>>>);

impl SignerSlot {
    /// An empty slot.
    pub fn new() -> Self {
        Self::default()
    }

    /// A slot that holds `signer`.
    pub fn with(signer: impl Signer) -> Self {
        let slot = Self::new();
        slot.set(Some(Arc::new(signer)));
        slot
    }

    /// Puts `signer` there, or empties the slot; returns what was there before.
    pub fn set(&self, signer: Option<Arc<dyn Signer>>) -> Option<Arc<dyn Signer>> {
        let mut place = self.0.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *place, signer)
    }

    /// The signer that is there now.
    pub fn get(&self) -> Option<Arc<dyn Signer>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a signer is there.
    pub fn is_set(&self) -> bool {
        self.get().is_some()
    }
}

fn check_answer(asked: &UnsignedEvent, event: Event) -> Result<Event, SignerError> {
    let wrong = |reason: String| SignerError::WrongAnswer { reason };
    let same = event.pubkey == asked.pubkey
        && event.created_at == asked.created_at
        && event.kind == asked.kind
        && event.tags == asked.tags
        && event.content == asked.content;
    if !same {
        return Err(wrong("the signed event is not the one that was to be signed".to_owned()));
    }
    verify_event(event).map(|event| event.into_inner()).map_err(|error| wrong(error.to_string()))
}

impl Signer for SignerSlot {
    fn public_key(&self) -> SignerFuture<'_, PublicKey> {
        let signer = self.get();
        Box::pin(async move { signer.ok_or(SignerError::NoSigner)?.public_key().await })
    }

    fn sign(&self, template: UnsignedEvent) -> SignerFuture<'_, Event> {
        let signer = self.get();
        Box::pin(async move {
            let signer = signer.ok_or(SignerError::NoSigner)?;
            let event = signer.sign(template.clone()).await?;
            check_answer(&template, event)
        })
    }

    fn encrypt(
        &self,
        scheme: Scheme,
        peer: PublicKey,
        plaintext: Plaintext,
    ) -> SignerFuture<'_, String> {
        let signer = self.get();
        Box::pin(async move {
            let payload =
                signer.ok_or(SignerError::NoSigner)?.encrypt(scheme, peer, plaintext).await?;
            // Whoever publishes it relies on its being encrypted at all.
            match scheme.check_form(&payload) {
                Ok(()) => Ok(payload),
                Err(error) => Err(SignerError::WrongAnswer { reason: error.to_string() }),
            }
        })
    }

    fn decrypt(
        &self,
        scheme: Scheme,
        peer: PublicKey,
        payload: String,
    ) -> SignerFuture<'_, Plaintext> {
        let signer = self.get();
        Box::pin(async move {
            signer.ok_or(SignerError::NoSigner)?.decrypt(scheme, peer, payload).await
        })
    }
}

impl fmt::Debug for SignerSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_set() { "SignerSlot(set)" } else { "SignerSlot(empty)" })
    }
}
