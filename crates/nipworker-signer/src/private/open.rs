//! From a gift wrap to the rumor inside.

use std::fmt;

use nipworker_protocol::{Event, EventId, EventLimits, PublicKey, UnsignedEvent};
use serde::Deserialize;

use super::{EPHEMERAL_GIFT_WRAP, GIFT_WRAP, SEAL};
use crate::{Scheme, Signer, SignerError, verify_event};

/// Why a gift wrap is not opened. It holds nothing of what was inside.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another kind than 1059 or 21059.
    #[error("kind {0} is no gift wrap")]
    NotAWrap(u16),
    /// The wrap's id or signature is wrong.
    #[error("id or signature of the gift wrap is wrong")]
    WrapSignature,
    /// It names another reader than the signer's key.
    #[error("the gift wrap is for somebody else")]
    NotForUs,
    /// The signer does not decrypt it: it refuses, or the text is not for it.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// What was in the wrap is no event of kind 13 without tags.
    #[error("what is in the gift wrap is no seal")]
    NotASeal,
    /// The seal's id or signature is wrong.
    #[error("id or signature of the seal is wrong")]
    SealSignature,
    /// What was in the seal is no event.
    #[error("what is in the seal is no event")]
    NotARumor,
    /// The rumor is not by whom sealed it: somebody writes in another's name.
    #[error("the rumor is by {rumor}, its seal by {seal}")]
    WrongAuthor {
        /// Who is said to have written it.
        rumor: PublicKey,
        /// Who signed the seal.
        seal: PublicKey,
    },
    /// The rumor states another id than its content has.
    #[error("the id of the rumor is not its hash")]
    RumorId,
}

/// What was in a gift wrap: a rumor whose author is proven by the seal's signature.
#[derive(Clone, PartialEq, Eq)]
pub struct Opened {
    rumor: UnsignedEvent,
    seal: EventId,
}

impl Opened {
    /// The event inside.
    pub fn rumor(&self) -> &UnsignedEvent {
        &self.rumor
    }

    /// The event inside.
    pub fn into_rumor(self) -> UnsignedEvent {
        self.rumor
    }

    /// Who wrote it.
    pub fn sender(&self) -> PublicKey {
        self.rumor.pubkey
    }

    /// Id of the seal.
    pub fn seal_id(&self) -> EventId {
        self.seal
    }
}

impl fmt::Debug for Opened {
    /// Without the rumor: it is private.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opened(kind {}, hidden, by {})", self.rumor.kind, self.rumor.pubkey)
    }
}

/// Opens a gift wrap that is for the signer's key. Dropping the future withdraws the request.
///
/// The order is that of cost and of trust: form, reader, the wrap's signature, one decryption, the
/// seal's form and signature, the second decryption, the author. A wrap that is for somebody else
/// or whose signature is wrong costs the signer nothing.
///
/// # Errors
/// See [`OpenError`].
pub async fn open(signer: &dyn Signer, wrap: Event) -> Result<Opened, OpenError> {
    if !matches!(wrap.kind, GIFT_WRAP | EPHEMERAL_GIFT_WRAP) {
        return Err(OpenError::NotAWrap(wrap.kind));
    }
    let reader = signer.public_key().await?;
    let names = wrap.tags.iter().filter(|tag| tag.name() == "p").filter_map(|tag| tag.value());
    if !names.map(PublicKey::from_hex).any(|key| key == Ok(reader)) {
        return Err(OpenError::NotForUs);
    }
    let wrap = verify_event(wrap).map_err(|_| OpenError::WrapSignature)?.into_inner();

    let limits = EventLimits::default();
    let seal = signer.decrypt(Scheme::Nip44, wrap.pubkey, wrap.content).await?;
    let seal =
        Event::from_json(seal.expose().as_bytes(), &limits).map_err(|_| OpenError::NotASeal)?;
    if seal.kind != SEAL || !seal.tags.is_empty() {
        return Err(OpenError::NotASeal);
    }
    let seal = verify_event(seal).map_err(|_| OpenError::SealSignature)?.into_inner();

    let json = signer.decrypt(Scheme::Nip44, seal.pubkey, seal.content).await?;
    let rumor = UnsignedEvent::from_json(json.expose().as_bytes(), &limits);
    let rumor = rumor.map_err(|_| OpenError::NotARumor)?;
    if rumor.pubkey != seal.pubkey {
        return Err(OpenError::WrongAuthor { rumor: rumor.pubkey, seal: seal.pubkey });
    }
    match stated_id(json.expose()) {
        None => Err(OpenError::NotARumor),
        Some(Some(id)) if id != rumor.compute_id() => Err(OpenError::RumorId),
        Some(_) => Ok(Opened { rumor, seal: seal.id }),
    }
}

/// The id that a rumor states, if it states one; the outer `None` when that is no id.
fn stated_id(json: &str) -> Option<Option<EventId>> {
    #[derive(Deserialize)]
    struct Stated {
        #[serde(default)]
        id: Option<EventId>,
    }
    serde_json::from_str::<Stated>(json).ok().map(|stated| stated.id)
}
