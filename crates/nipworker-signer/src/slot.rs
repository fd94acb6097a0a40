//! The place where the signers in use are kept.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use nipworker_protocol::{Event, PublicKey, UnsignedEvent};

use crate::{Plaintext, Scheme, Signer, SignerError, SignerFuture, verify_event};

/// Keys that a slot holds beside the default signer at most.
pub const MAX_FURTHER_KEYS: usize = 64;

/// A shared place for the default [`Signer`], empty at first, and for signers of further keys.
/// Clones share it.
///
/// It lives outside the worker that signs, so that the signer survives a restart of the worker. A
/// request uses the signer that was there when it was made: exchanging the signer does not disturb
/// requests under way.
///
/// The slot is itself a [`Signer`], and the one to use: it checks that what comes back from a
/// signer is the template that was given, by the right author, with a right id and signature. A
/// template by one of the further keys goes to its signer, every other one to the default signer.
#[derive(Clone, Default)]
pub struct SignerSlot(Arc<RwLock<Ring>>);

#[derive(Default)]
struct Ring {
    default: Option<Arc<dyn Signer>>,
    further: BTreeMap<PublicKey, Arc<dyn Signer>>,
}

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
        let mut ring = self.0.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut ring.default, signer)
    }

    /// Puts `signer` there beside the default one, for templates by `key`; returns what signed for
    /// that key before.
    ///
    /// # Errors
    /// [`SignerError::TooManyKeys`] when there are [`MAX_FURTHER_KEYS`] others.
    pub fn add(
        &self,
        key: PublicKey,
        signer: Arc<dyn Signer>,
    ) -> Result<Option<Arc<dyn Signer>>, SignerError> {
        let mut ring = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if ring.further.len() >= MAX_FURTHER_KEYS && !ring.further.contains_key(&key) {
            return Err(SignerError::TooManyKeys { limit: MAX_FURTHER_KEYS });
        }
        Ok(ring.further.insert(key, signer))
    }

    /// Takes the signer of a further key away.
    pub fn remove(&self, key: &PublicKey) -> Option<Arc<dyn Signer>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).further.remove(key)
    }

    /// The further keys.
    pub fn further_keys(&self) -> Vec<PublicKey> {
        let ring = self.0.read().unwrap_or_else(PoisonError::into_inner);
        ring.further.keys().copied().collect()
    }

    /// The signer of a further key, or else the default one.
    fn signer_of(&self, key: &PublicKey) -> Option<Arc<dyn Signer>> {
        let ring = self.0.read().unwrap_or_else(PoisonError::into_inner);
        ring.further.get(key).or(ring.default.as_ref()).cloned()
    }

    /// The default signer that is there now.
    pub fn get(&self) -> Option<Arc<dyn Signer>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).default.clone()
    }

    /// Whether a default signer is there.
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
        let signer = self.signer_of(&template.pubkey);
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
