//! What waits to be sent to one client, bounded in messages and bytes.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use actix_ws::Message;

/// A queue in front of a socket. It accepts a little over its limits: whoever fills it asks
/// [`Outgoing::has_room`] before starting work, and what that work yields is still taken.
#[derive(Debug)]
pub(super) struct Outgoing {
    messages: VecDeque<Message>,
    bytes: usize,
    max_messages: usize,
    max_bytes: usize,
    /// When a message last left, or when the queue was last empty.
    last_progress: Instant,
}

impl Outgoing {
    pub(super) fn new(max_messages: usize, max_bytes: usize, now: Instant) -> Self {
        Self { messages: VecDeque::new(), bytes: 0, max_messages, max_bytes, last_progress: now }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(super) fn has_room(&self) -> bool {
        self.messages.len() < self.max_messages && self.bytes < self.max_bytes
    }

    pub(super) fn push(&mut self, message: Message, now: Instant) {
        if self.messages.is_empty() {
            self.last_progress = now;
        }
        self.bytes += size(&message);
        self.messages.push_back(message);
    }

    pub(super) fn pop(&mut self, now: Instant) -> Option<Message> {
        let message = self.messages.pop_front()?;
        self.bytes -= size(&message);
        self.last_progress = now;
        Some(message)
    }

    /// Drops everything that waits.
    pub(super) fn clear(&mut self) {
        self.messages.clear();
        self.bytes = 0;
    }

    /// When the client counts as too slow, unless a message leaves before; `None` while nothing
    /// waits.
    pub(super) fn stalled_at(&self, timeout: Duration) -> Option<Instant> {
        (!self.is_empty()).then(|| self.last_progress + timeout)
    }
}

fn size(message: &Message) -> usize {
    match message {
        Message::Text(text) => text.len(),
        Message::Binary(bytes) | Message::Ping(bytes) | Message::Pong(bytes) => bytes.len(),
        Message::Continuation(_) | Message::Close(_) | Message::Nop => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_ends_at_either_limit_and_returns_when_messages_leave() {
        let now = Instant::now();
        let mut queue = Outgoing::new(3, 10, now);
        queue.push(Message::Text("12345".into()), now);
        assert!(queue.has_room());
        queue.push(Message::Text("67890".into()), now);
        assert!(!queue.has_room(), "10 of 10 bytes");
        assert!(queue.pop(now).is_some());
        assert!(queue.has_room());
        queue.push(Message::Ping("".into()), now);
        queue.push(Message::Ping("".into()), now);
        assert!(!queue.has_room(), "3 of 3 messages");
        queue.clear();
        assert!(queue.has_room() && queue.is_empty());
    }

    #[test]
    fn a_queue_stalls_only_while_something_waits_and_nothing_leaves() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let timeout = Duration::from_secs(30);
        let mut queue = Outgoing::new(3, 10, start);
        assert_eq!(queue.stalled_at(timeout), None);
        queue.push(Message::Text("1".into()), at(100));
        queue.push(Message::Text("2".into()), at(110));
        assert_eq!(queue.stalled_at(timeout), Some(at(130)));
        assert!(queue.pop(at(120)).is_some());
        assert_eq!(queue.stalled_at(timeout), Some(at(150)));
        assert!(queue.pop(at(121)).is_some());
        assert_eq!(queue.stalled_at(timeout), None);
    }
}
