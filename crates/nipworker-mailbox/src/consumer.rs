//! The consumer's side: the batch in hand, the generation, and the slot.

use std::collections::VecDeque;

use crate::sync::MutexGuard;

/// What [`Mailbox::poll_next`] found.
///
/// [`Mailbox::poll_next`]: crate::Mailbox::poll_next
#[derive(Debug)]
pub enum Next<'a, E> {
    /// An envelope. It is in the slot already: armed, so that its sender is answered whatever
    /// happens to the consumer from here on.
    Message(Taken<'a, E>),
    /// Sealed or closed, and nothing is left: the consumer has drained the mailbox.
    Drained,
    /// A later generation reads this mailbox; the caller must stop.
    Fenced,
}

/// How the handling of an envelope ended, for the counters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Handled to the end.
    Handled,
    /// The handler panicked, called an error fatal, or was lost with its thread.
    Failed,
    /// Not handled because nobody waits for the answer any more.
    Cancelled,
}

pub(crate) struct Ready<E> {
    pub(crate) queue: VecDeque<E>,
    pub(crate) generation: u64,
    pub(crate) slot: Option<E>,
}

/// The envelope that was just armed, reachable while the consumer's lock is still held.
///
/// The consumer moves what it needs (the message) out of the envelope through
/// [`envelope_mut`](Self::envelope_mut) and then drops this guard, which releases the lock; the
/// rest of the envelope (the way to answer) stays in the slot.
pub struct Taken<'a, E> {
    pub(crate) ready: MutexGuard<'a, Ready<E>>,
}

impl<E> Taken<'_, E> {
    /// The envelope in the slot.
    pub fn envelope(&self) -> &E {
        self.ready.slot.as_ref().expect("the slot is filled before the guard is made")
    }

    /// The envelope in the slot, to take its message out. Keep it short: the lock is held.
    pub fn envelope_mut(&mut self) -> &mut E {
        self.ready.slot.as_mut().expect("the slot is filled before the guard is made")
    }
}

impl<E> std::fmt::Debug for Taken<'_, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Taken(..)")
    }
}
