//! The producers' side: one lock, two lanes, and the senders that wait for room.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::task::Waker;

/// Why an envelope was not accepted; it comes back to the sender.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum PushError<E> {
    /// The lane holds as many envelopes as its capacity allows, or others wait before us.
    Full(E),
    /// The mailbox takes nothing more: sealed for draining, or closed.
    Closed(E),
}

impl<E> PushError<E> {
    /// The envelope that was refused.
    pub fn into_envelope(self) -> E {
        match self {
            Self::Full(envelope) | Self::Closed(envelope) => envelope,
        }
    }
}

impl<E> fmt::Debug for PushError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::Closed(_) => "Closed(..)",
        })
    }
}

impl<E> fmt::Display for PushError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the mailbox is full",
            Self::Closed(_) => "the mailbox is closed",
        })
    }
}

impl<E> std::error::Error for PushError<E> {}

/// The place of a waiting sender in the queue for room; see [`Mailbox::poll_push`].
///
/// [`Mailbox::poll_push`]: crate::Mailbox::poll_push
#[derive(Debug, Default)]
pub struct Ticket(pub(crate) Option<u64>);

impl Ticket {
    /// A sender that does not wait yet.
    pub const fn new() -> Self {
        Self(None)
    }

    /// Whether the sender stands in the queue (or has been given room that it has not used yet).
    pub fn is_waiting(&self) -> bool {
        self.0.is_some()
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Gate {
    Open,
    /// Takes nothing more; what is queued is still handed to the consumer.
    Sealed,
    /// Takes nothing more and holds nothing.
    Closed,
}

pub(crate) struct Inbox<E> {
    pub(crate) queue: VecDeque<E>,
    pub(crate) urgent: VecDeque<E>,
    pub(crate) gate: Gate,
    /// Size of the batch that the consumer works on; its room is given back when it is done.
    pub(crate) taken: usize,
    /// Set while the consumer is parked.
    pub(crate) consumer: Option<Waker>,
    capacity: usize,
    waiters: VecDeque<(u64, Waker)>,
    granted: BTreeSet<u64>,
    next_waiter: u64,
}

impl<E> Inbox<E> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            queue: VecDeque::new(),
            urgent: VecDeque::new(),
            gate: Gate::Open,
            taken: 0,
            consumer: None,
            capacity,
            waiters: VecDeque::new(),
            granted: BTreeSet::new(),
            next_waiter: 0,
        }
    }

    /// Envelopes that count against the capacity, room promised to waiting senders included.
    pub(crate) fn occupied(&self) -> usize {
        self.queue.len() + self.taken + self.granted.len()
    }

    pub(crate) fn has_room(&self) -> bool {
        self.occupied() < self.capacity
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiters.len()
    }

    /// Queues a sender, or refreshes its waker if it is queued already. The waker that this replaces
    /// is the caller's to drop after unlocking.
    pub(crate) fn wait(&mut self, ticket: &mut Ticket, waker: &Waker) -> Option<Waker> {
        if let Some(id) = ticket.0
            && let Ok(at) = self.waiters.binary_search_by_key(&id, |(id, _)| *id)
        {
            let kept = &mut self.waiters[at].1;
            if kept.will_wake(waker) {
                return None;
            }
            return Some(std::mem::replace(kept, waker.clone()));
        }
        let id = self.next_waiter;
        self.next_waiter += 1;
        self.waiters.push_back((id, waker.clone()));
        ticket.0 = Some(id);
        None
    }

    /// Uses up the room that was promised to this sender, if it was.
    pub(crate) fn redeem(&mut self, ticket: &Ticket) -> bool {
        ticket.0.is_some_and(|id| self.granted.remove(&id))
    }

    /// Takes a sender out of the queue. Room promised to it is free again.
    pub(crate) fn leave(&mut self, id: u64) -> Option<Waker> {
        if self.granted.remove(&id) {
            return None;
        }
        let at = self.waiters.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        self.waiters.remove(at).map(|(_, waker)| waker)
    }

    /// Promises free room to the senders that wait longest; the caller wakes them after unlocking.
    ///
    /// Invariant: whenever the lock is free, there is free room or there are waiting senders, never
    /// both. So a newcomer cannot overtake a sender that waits.
    pub(crate) fn grant(&mut self) -> Vec<Waker> {
        let mut woken = Vec::new();
        while self.has_room() {
            let Some((id, waker)) = self.waiters.pop_front() else { break };
            self.granted.insert(id);
            woken.push(waker);
        }
        woken
    }

    /// Shuts the gate and lets go of every waiting sender; the caller wakes them after unlocking.
    pub(crate) fn shut(&mut self, gate: Gate) -> Vec<Waker> {
        self.gate = gate;
        self.granted.clear();
        self.waiters.drain(..).map(|(_, waker)| waker).collect()
    }
}
