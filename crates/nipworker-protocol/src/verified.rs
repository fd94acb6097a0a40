//! The proof, as a type, that an event's id and signature were checked.

use std::ops::Deref;

use crate::Event;

/// On whose word an event counts as verified. There is no other way to make a [`Verified`], so
/// a search for this type finds every place where trust begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Attestation {
    /// Id and signature were recomputed and checked by the crypto worker just now.
    Checked,
    /// It was verified before it was written to the store it is now read from.
    FromStore,
    /// It came over an internal edge whose sender only sends verified events.
    FromEdge,
    /// It was signed by this process a moment ago.
    SignedHere,
}

/// A value whose id and signature were checked (BIP-340).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T = Event>(T);

impl<T> Verified<T> {
    /// States that `value` was verified, and on whose word.
    pub fn attest(value: T, _on_the_word_of: Attestation) -> Self {
        Self(value)
    }

    /// The same thing in another form, which is verified because this one is.
    pub(crate) fn map_ref<U>(&self, form: impl FnOnce(&T) -> U) -> Verified<U> {
        Verified(form(&self.0))
    }

    /// The value itself, giving up the proof.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
