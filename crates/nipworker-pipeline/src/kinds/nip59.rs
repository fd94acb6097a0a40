//! Gift wraps and seals (kinds 1059, 21059 and 13; NIP-59).

use nipworker_protocol::{PublicKey, UnsignedEvent};

use super::{Flaw, Nip44Text, ProfileRef, Source, refs};

/// A gift wrap: signed by a key that is used once, readable by its recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct GiftWrap<'a> {
    /// Whom it is for.
    pub recipient: ProfileRef<'a>,
    /// The seal, encrypted.
    pub seal: Nip44Text<'a>,
}

impl<'a> GiftWrap<'a> {
    pub(super) fn read(source: Source<'a>) -> Result<Self, Flaw> {
        Ok(Self {
            recipient: refs::required(source.tags, "p", "a public key", ProfileRef::of)?,
            seal: Nip44Text::parse(source.content)?,
        })
    }
}

/// A seal: signed by the sender, says nothing in clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Seal<'a> {
    /// Who sealed it.
    pub sender: PublicKey,
    /// The rumor, encrypted.
    pub rumor: Nip44Text<'a>,
}

impl<'a> Seal<'a> {
    pub(super) fn read(source: Source<'a>) -> Result<Self, Flaw> {
        Ok(Self { sender: source.pubkey, rumor: Nip44Text::parse(source.content)? })
    }

    /// Whether the rumor found inside is the sealer's own. One that is not is forged: the
    /// rumor has no signature, the seal's is the only one.
    pub fn owns(&self, rumor: &UnsignedEvent) -> bool {
        rumor.pubkey == self.sender
    }
}
