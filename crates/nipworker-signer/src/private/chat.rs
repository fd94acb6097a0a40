//! Chat messages (NIP-17): rumors of kind 14.

use nipworker_protocol::{EventId, PublicKey, Tag, UnsignedEvent};

use super::CHAT_MESSAGE;

/// A chat message in the making.
#[derive(Clone)]
pub struct ChatDraft {
    /// Who writes.
    pub author: PublicKey,
    /// Whom it is for; the author is left out.
    pub recipients: Vec<PublicKey>,
    /// The text.
    pub text: String,
    /// Unix seconds; this time is the true one, those outside are not.
    pub created_at: i64,
    /// The message that it answers.
    pub reply_to: Option<EventId>,
    /// What the conversation is called from now on.
    pub subject: Option<String>,
}

impl std::fmt::Debug for ChatDraft {
    /// Without the text: it is private.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ChatDraft(text hidden, for {} recipients)", self.recipients.len())
    }
}

impl ChatDraft {
    /// The rumor, to be wrapped by [`wrap_for_all`](super::wrap_for_all).
    pub fn into_rumor(self) -> UnsignedEvent {
        let Self { author, recipients, text, created_at, reply_to, subject } = self;
        let others = recipients.iter().filter(|key| **key != author);
        let mut tags: Vec<Tag> =
            others.map(|key| Tag::new(["p".to_owned(), key.to_hex()])).collect();
        // A note to oneself names its reader too.
        if tags.is_empty() {
            tags.push(Tag::new(["p".to_owned(), author.to_hex()]));
        }
        tags.extend(reply_to.map(|id| Tag::new(["e".to_owned(), id.to_hex()])));
        tags.extend(subject.map(|subject| Tag::new(["subject".to_owned(), subject])));
        UnsignedEvent::new(author, created_at, CHAT_MESSAGE, tags, text)
    }
}

/// A chat message that answers none and names no subject.
pub fn chat_message(
    author: PublicKey,
    recipients: &[PublicKey],
    text: &str,
    created_at: i64,
) -> UnsignedEvent {
    ChatDraft {
        author,
        recipients: recipients.to_vec(),
        text: text.to_owned(),
        created_at,
        reply_to: None,
        subject: None,
    }
    .into_rumor()
}
