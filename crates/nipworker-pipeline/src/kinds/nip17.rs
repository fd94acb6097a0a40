//! Private messages (kinds 14, 15 and 10050; NIP-17). Kinds 14 and 15 are rumors: they come out
//! of a gift wrap and have no signature.

use nipworker_protocol::{EventId, PublicKey};

use super::{AnyRef, EventRef, Flaw, ProfileRef, Secret, Source, refs, tags};
use crate::content::Content;

/// Who takes part in a conversation and what a message answers.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Conversation<'a> {
    /// Who wrote the message.
    pub sender: PublicKey,
    /// Whom it is for, at least one.
    pub recipients: Vec<ProfileRef<'a>>,
    /// The message that is answered.
    pub reply: Option<EventId>,
    /// What the conversation is called.
    pub subject: Option<&'a str>,
}

impl<'a> Conversation<'a> {
    fn read(source: &Source<'a>) -> Result<Self, Flaw> {
        let recipients = refs::people(source.tags);
        if recipients.is_empty() {
            return Err(Flaw::MissingTag("p"));
        }
        Ok(Self {
            sender: source.pubkey,
            recipients,
            reply: tags::named(source.tags, "e").find_map(EventRef::of).map(|event| event.id),
            subject: tags::value(source.tags, "subject"),
        })
    }

    /// The room: all keys that take part, sender included, in order, each once. The same for
    /// every message of a conversation.
    pub fn participants(&self) -> Vec<PublicKey> {
        let mut keys: Vec<_> = self.recipients.iter().map(|person| person.pubkey).collect();
        keys.push(self.sender);
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

/// A message (kind 14).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ChatMessage<'a> {
    /// Who takes part.
    pub conversation: Conversation<'a>,
    /// The text; cut into blocks when asked.
    pub content: Content<'a>,
    /// What is quoted.
    pub quotes: Vec<AnyRef<'a>>,
}

impl<'a> ChatMessage<'a> {
    pub(super) fn read(source: Source<'a>) -> Result<Self, Flaw> {
        Ok(Self {
            conversation: Conversation::read(&source)?,
            content: source.text(),
            quotes: refs::quotes(source.tags),
        })
    }
}

/// An encrypted file (kind 15).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct FileMessage<'a> {
    /// Who takes part.
    pub conversation: Conversation<'a>,
    /// Where the encrypted file is.
    pub url: &'a str,
    /// MIME type of the file before encryption.
    pub mime: &'a str,
    /// How it is encrypted, `aes-gcm`.
    pub algorithm: &'a str,
    /// The key.
    pub key: Secret,
    /// The nonce, as written.
    pub nonce: &'a str,
    /// SHA-256 of the encrypted file.
    #[serde(serialize_with = "crate::kinds::json::hex_if_any")]
    pub sha256: Option<[u8; 32]>,
    /// Bytes of the encrypted file.
    pub size_bytes: Option<u64>,
}

impl<'a> FileMessage<'a> {
    pub(super) fn read(source: Source<'a>) -> Result<Self, Flaw> {
        let url = source.content.trim();
        if url.is_empty() {
            return Err(Flaw::Content { expected: "the URL of a file" });
        }
        Ok(Self {
            conversation: Conversation::read(&source)?,
            url,
            mime: tags::required(source.tags, "file-type")?,
            algorithm: tags::required(source.tags, "encryption-algorithm")?,
            key: Secret::new(tags::required(source.tags, "decryption-key")?),
            nonce: tags::required(source.tags, "decryption-nonce")?,
            sha256: tags::value(source.tags, "x").and_then(tags::sha256),
            size_bytes: tags::value(source.tags, "size").and_then(tags::whole_number),
        })
    }
}
