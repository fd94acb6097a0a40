//! So many messages per conversation, then newer ones only.

use nipworker_protocol::PublicKey;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Item, Notes, Pipe, Step};
use crate::{
    generations::Generations,
    kinds::{Conversation, ParsedKind},
};

/// How much of one conversation passes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChatLimit {
    /// Messages of one conversation that pass whatever their time; after those only messages that
    /// are newer than all that have passed.
    pub max_messages: u32,
    /// Conversations that are remembered at least, at most twice as many; those without a message
    /// for longest are forgotten, and begin anew. About 150 bytes each.
    pub max_chats: usize,
    /// Whose conversations: messages in which this key takes no part are dropped. `None` takes
    /// all. Written as hex, empty for `None`.
    #[serde(with = "super::config::optional_key")]
    pub me: Option<PublicKey>,
}

impl Default for ChatLimit {
    fn default() -> Self {
        Self { max_messages: 100, max_chats: 1_000, me: None }
    }
}

/// SHA-256 over the keys that take part, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Room([u8; 32]);

impl Room {
    fn of(participants: &[PublicKey]) -> Self {
        let mut hash = Sha256::new();
        participants.iter().for_each(|key| hash.update(key.as_bytes()));
        Self(hash.finalize().into())
    }
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    messages: u32,
    newest: i64,
}

/// Limits conversations. As the pipe `chat-limiter` it reads messages of NIP-04 (kind 4); a gift
/// wrap (NIP-59) passes, for nobody knows whom it is from before it is opened. What was found in
/// one (kinds 14 and 15, NIP-17) is asked about by [`ChatLimiter::passes`].
#[derive(Debug)]
pub struct ChatLimiter {
    limit: ChatLimit,
    rooms: Generations<Room, Seen>,
}

impl ChatLimiter {
    /// A limiter that has seen no message.
    pub fn new(limit: ChatLimit) -> Self {
        let rooms = Generations::new(limit.max_chats);
        Self { limit, rooms }
    }

    /// Whether a message of NIP-17 passes; it counts then.
    pub fn passes(&mut self, conversation: &Conversation<'_>, created_at: i64) -> bool {
        self.decide(&conversation.participants(), created_at) == Step::Pass
    }

    fn decide(&mut self, participants: &[PublicKey], created_at: i64) -> Step {
        if self.limit.me.is_some_and(|me| !participants.contains(&me)) {
            return Step::Drop("not a participant");
        }
        let room = Room::of(participants);
        let seen = self.rooms.get(&room).copied();
        let mut seen = seen.unwrap_or(Seen { messages: 0, newest: i64::MIN });
        let passes = seen.messages < self.limit.max_messages || created_at > seen.newest;
        if passes {
            seen.messages = seen.messages.saturating_add(1);
            seen.newest = seen.newest.max(created_at);
        }
        self.rooms.insert(room, seen);
        if passes { Step::Pass } else { Step::Drop("limit") }
    }
}

impl Pipe for ChatLimiter {
    fn take(&mut self, item: &Item<'_>, _: &mut Notes) -> Step {
        if item.event().kind != 4 {
            return Step::Pass;
        }
        let Ok(ParsedKind::DirectMessage(message)) = item.view() else {
            return Step::Drop("no message of its form");
        };
        let mut participants = vec![message.sender, message.recipient];
        participants.sort_unstable();
        participants.dedup();
        self.decide(&participants, item.event().created_at)
    }
}
