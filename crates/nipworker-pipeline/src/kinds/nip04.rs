//! Encrypted direct messages of the old form (kind 4; NIP-04).

use nipworker_protocol::{EventId, PublicKey};

use super::{EventRef, Flaw, Nip04Text, ProfileRef, Source, refs, tags};

/// A direct message; its text stays encrypted.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct DirectMessage<'a> {
    /// Who wrote it.
    pub sender: PublicKey,
    /// Whom it is for.
    pub recipient: PublicKey,
    /// The encrypted text, of sound form.
    pub ciphertext: Nip04Text<'a>,
    /// The message before it in the conversation.
    pub previous: Option<EventId>,
}

impl<'a> DirectMessage<'a> {
    pub(super) fn read(source: Source<'a>) -> Result<Self, Flaw> {
        let recipient = refs::required(source.tags, "p", "a public key", ProfileRef::of)?.pubkey;
        Ok(Self {
            sender: source.pubkey,
            recipient,
            ciphertext: Nip04Text::parse(source.content)?,
            previous: tags::named(source.tags, "e").find_map(EventRef::of).map(|event| event.id),
        })
    }

    /// The conversation: both keys in order, joined by `_`; the same for both sides.
    pub fn chat_id(&self) -> String {
        let (low, high) = (self.sender.min(self.recipient), self.sender.max(self.recipient));
        format!("{low}_{high}")
    }

    /// The other side, seen from `me`; `None` when `me` takes no part, and so cannot decrypt it.
    pub fn peer_of(&self, me: &PublicKey) -> Option<PublicKey> {
        if *me == self.sender {
            Some(self.recipient)
        } else if *me == self.recipient {
            Some(self.sender)
        } else {
            None
        }
    }
}
