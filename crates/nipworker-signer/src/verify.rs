//! BIP-340 verification of single signatures and events.

use nipworker_protocol::{
    Attestation, Event, EventError, EventId, EventView, PublicKey, Signature, Verified,
};
use secp256k1::{SECP256K1, XOnlyPublicKey, schnorr};

/// What a signature check needs of an event: the rest is bound by the id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SignedId {
    /// The message: the event's id. Whoever asks has recomputed it.
    pub id: EventId,
    /// The author.
    pub pubkey: PublicKey,
    /// The author's signature over the id.
    pub sig: Signature,
}

impl From<&Event> for SignedId {
    fn from(event: &Event) -> Self {
        Self { id: event.id, pubkey: event.pubkey, sig: event.sig }
    }
}

impl From<EventView<'_>> for SignedId {
    fn from(event: EventView<'_>) -> Self {
        Self { id: event.id(), pubkey: event.pubkey(), sig: event.sig() }
    }
}

/// Why an event is not genuine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The id is not the hash of the content.
    #[error(transparent)]
    Id(#[from] EventError),
    /// The signature is not the author's over this id, or the author's key is no point of the
    /// curve.
    #[error("signature is not valid")]
    Signature,
}

/// Whether `sig` is the signature of `pubkey` over `id` (BIP-340).
///
/// A key that is no point of the curve has no valid signatures: the answer is `false`. There is
/// no input for which this panics. It takes some 30 to 60 µs of one core.
pub fn verify_one(id: &EventId, pubkey: &PublicKey, sig: &Signature) -> bool {
    let Ok(key) = XOnlyPublicKey::from_slice(pubkey.as_bytes()) else {
        return false;
    };
    verify_with(&key, &SignedId { id: *id, pubkey: *pubkey, sig: *sig })
}

/// As [`verify_one`], with the author's key as a point of the curve.
pub(crate) fn verify_with(key: &XOnlyPublicKey, item: &SignedId) -> bool {
    let sig = schnorr::Signature::from_byte_array(*item.sig.as_bytes());
    SECP256K1.verify_schnorr(&sig, item.id.as_bytes(), key).is_ok()
}

/// Checks id and signature of an event on the calling thread.
///
/// # Errors
/// [`VerifyError::Id`], then [`VerifyError::Signature`].
pub fn verify_event(event: Event) -> Result<Verified<Event>, VerifyError> {
    event.check_id()?;
    if verify_one(&event.id, &event.pubkey, &event.sig) {
        Ok(Verified::attest(event, Attestation::Checked))
    } else {
        Err(VerifyError::Signature)
    }
}
