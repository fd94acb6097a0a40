//! The mailbox itself: the two locks, their order, and the counters.

use std::collections::VecDeque;
use std::fmt;
use std::task::{Context, Poll};

use crate::consumer::{Next, Outcome, Ready, Taken};
use crate::inbox::{Gate, Inbox, PushError, Ticket};
use crate::sync::{
    AtomicU64, AtomicUsize, Count, Mutex, MutexGuard, Ordering, Padded, lock, wake_all,
};

/// The most envelopes that the consumer takes over from the producers' side in one go.
///
/// Their room is given back together, so the capacity in use can lag by this many messages; for
/// small capacities the batch is a quarter of the capacity, at least one.
pub const MAX_BATCH_MESSAGES: usize = 64;

/// A bounded, fenced mailbox; see the [crate documentation](crate).
///
/// Producers share one lock and the consumer another, so that the consumer meets the producers
/// once per batch, not once per message. Where both are held, the consumer's is taken first.
pub struct Mailbox<E> {
    inbox: Padded<Mutex<Inbox<E>>>,
    ready: Padded<Mutex<Ready<E>>>,
    /// Length of the control lane, readable without the producers' lock.
    urgent: AtomicUsize,
    /// Odd while an envelope is in the slot. Written under `ready`.
    busy: AtomicU64,
    capacity: usize,
    control_capacity: usize,
    batch: usize,
    // Written under `inbox`.
    accepted: Count,
    high_water: Count,
    rejected_full: Count,
    // Written under `ready`.
    started: Count,
    handled: Count,
    failed: Count,
    cancelled: Count,
    discarded: Count,
}

/// What [`Mailbox::fence`] found and did.
#[derive(Debug)]
pub struct Fence<E> {
    /// The generation that may read from now on.
    pub generation: u64,
    /// What the consumer had in hand; its sender has no answer yet.
    pub in_hand: Option<E>,
}

/// A snapshot of the counters, taken without waiting for producers or consumer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Envelopes accepted since the mailbox was made, both lanes.
    pub accepted: u64,
    /// Envelopes handed to a consumer so far.
    pub started: u64,
    /// Envelopes handled to the end.
    pub handled: u64,
    /// Envelopes that failed while they were handled.
    pub failed: u64,
    /// Envelopes passed over because nobody waited for their answer any more.
    pub cancelled: u64,
    /// Envelopes handed out by [`Mailbox::close`] without having been handled.
    pub discarded: u64,
    /// Envelopes refused because a lane was full.
    pub rejected_full: u64,
    /// The most envelopes that ever counted against the capacity at once.
    pub high_water: u64,
}

impl<E> Mailbox<E> {
    /// Makes an open mailbox that holds `capacity` envelopes in the ordinary lane and
    /// `control_capacity` in the control lane. A capacity of 0 is raised to 1.
    pub fn new(capacity: usize, control_capacity: usize) -> Self {
        let capacity = capacity.max(1);
        Self {
            inbox: Padded(Mutex::new(Inbox::new(capacity))),
            ready: Padded(Mutex::new(Ready { queue: VecDeque::new(), generation: 0, slot: None })),
            urgent: AtomicUsize::new(0),
            busy: AtomicU64::new(0),
            capacity,
            control_capacity: control_capacity.max(1),
            batch: (capacity / 4).clamp(1, MAX_BATCH_MESSAGES),
            accepted: Count::new(),
            high_water: Count::new(),
            rejected_full: Count::new(),
            started: Count::new(),
            handled: Count::new(),
            failed: Count::new(),
            cancelled: Count::new(),
            discarded: Count::new(),
        }
    }

    /// Capacity of the ordinary lane, in messages, over all senders together.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Capacity of the control lane, in messages.
    pub fn control_capacity(&self) -> usize {
        self.control_capacity
    }

    // ----- producers -----

    /// Queues an envelope behind all others, or gives it back at once.
    ///
    /// # Errors
    /// [`PushError::Full`] when there is no room, [`PushError::Closed`] when the mailbox is sealed
    /// or closed.
    pub fn try_push(&self, envelope: E) -> Result<(), PushError<E>> {
        let inbox = lock(&self.inbox.0);
        if inbox.gate != Gate::Open {
            return Err(PushError::Closed(envelope));
        }
        if !inbox.has_room() {
            self.rejected_full.add(1);
            return Err(PushError::Full(envelope));
        }
        self.enqueue(inbox, envelope);
        Ok(())
    }

    /// Queues an envelope in the control lane, which is served before every ordinary message.
    ///
    /// # Errors
    /// [`PushError::Full`] when the control lane is full, [`PushError::Closed`] as above.
    pub fn try_push_control(&self, envelope: E) -> Result<(), PushError<E>> {
        let mut inbox = lock(&self.inbox.0);
        if inbox.gate != Gate::Open {
            return Err(PushError::Closed(envelope));
        }
        if inbox.urgent.len() >= self.control_capacity {
            self.rejected_full.add(1);
            return Err(PushError::Full(envelope));
        }
        inbox.urgent.push_back(envelope);
        self.urgent.store(inbox.urgent.len(), Ordering::Release);
        self.accepted.add(1);
        let consumer = inbox.consumer.take();
        drop(inbox);
        wake_all(consumer);
        Ok(())
    }

    /// Queues an envelope, waiting in line for room.
    ///
    /// `envelope` is taken when it was accepted and left where it is otherwise. `ticket` is the
    /// sender's place in line: start with [`Ticket::new`], pass the same one each time, and hand it
    /// to [`leave`](Self::leave) if the sender gives up.
    ///
    /// # Errors
    /// `Err(())` when the mailbox is sealed or closed; the envelope is still in `envelope`.
    ///
    /// # Panics
    /// If `envelope` is empty.
    pub fn poll_push(
        &self,
        ticket: &mut Ticket,
        envelope: &mut Option<E>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ()>> {
        let mut inbox = lock(&self.inbox.0);
        if inbox.gate != Gate::Open {
            ticket.0 = None;
            return Poll::Ready(Err(()));
        }
        if inbox.redeem(ticket) || (inbox.has_room() && inbox.waiting() == 0) {
            ticket.0 = None;
            let envelope = envelope.take().expect("a sender has an envelope until it is accepted");
            self.enqueue(inbox, envelope);
            return Poll::Ready(Ok(()));
        }
        let replaced = inbox.wait(ticket, cx.waker());
        drop(inbox);
        drop(replaced);
        Poll::Pending
    }

    /// Takes a waiting sender out of line; room that was promised to it goes to the next in line.
    pub fn leave(&self, ticket: &mut Ticket) {
        let Some(id) = ticket.0.take() else { return };
        let mut inbox = lock(&self.inbox.0);
        let own = inbox.leave(id);
        let woken = inbox.grant();
        drop(inbox);
        drop(own);
        wake_all(woken);
    }

    fn enqueue(&self, mut inbox: MutexGuard<'_, Inbox<E>>, envelope: E) {
        inbox.queue.push_back(envelope);
        self.accepted.add(1);
        self.high_water.raise(inbox.occupied() as u64);
        let consumer = inbox.consumer.take();
        // Woken after unlocking: the consumer must not run into the lock that woke it.
        drop(inbox);
        wake_all(consumer);
    }

    // ----- the consumer -----

    /// Takes the next envelope: the control lane first, then in the order of arrival.
    ///
    /// The envelope is moved to the slot and the generation is checked under one lock; there is no
    /// moment at which it is neither queued nor in the slot. `Pending` registers the caller's waker.
    /// After a message the consumer must call [`disarm`](Self::disarm) before it takes another.
    pub fn poll_next(&self, generation: u64, cx: &mut Context<'_>) -> Poll<Next<'_, E>> {
        loop {
            let mut ready = lock(&self.ready.0);
            if ready.generation != generation {
                return Poll::Ready(Next::Fenced);
            }
            debug_assert!(ready.slot.is_none(), "the last envelope was not disarmed");
            if self.urgent.load(Ordering::Acquire) > 0 {
                let urgent = self.pop_urgent(&mut lock(&self.inbox.0));
                if let Some(envelope) = urgent {
                    return Poll::Ready(Next::Message(self.arm(ready, envelope)));
                }
            }
            if let Some(envelope) = ready.queue.pop_front() {
                return Poll::Ready(Next::Message(self.arm(ready, envelope)));
            }
            let mut inbox = lock(&self.inbox.0);
            if inbox.taken > 0 {
                inbox.taken = 0;
                let woken = inbox.grant();
                if !woken.is_empty() {
                    // Wakers are foreign code: they run without our locks, then we look again.
                    drop(inbox);
                    drop(ready);
                    wake_all(woken);
                    continue;
                }
            }
            if inbox.queue.len() <= self.batch {
                std::mem::swap(&mut inbox.queue, &mut ready.queue);
            } else {
                ready.queue.extend(inbox.queue.drain(..self.batch));
            }
            inbox.taken = ready.queue.len();
            let next = ready.queue.pop_front().or_else(|| self.pop_urgent(&mut inbox));
            if let Some(envelope) = next {
                drop(inbox);
                return Poll::Ready(Next::Message(self.arm(ready, envelope)));
            }
            if inbox.gate != Gate::Open {
                return Poll::Ready(Next::Drained);
            }
            let replaced = inbox.consumer.replace(cx.waker().clone());
            drop(inbox);
            drop(ready);
            drop(replaced);
            return Poll::Pending;
        }
    }

    fn pop_urgent(&self, inbox: &mut Inbox<E>) -> Option<E> {
        let envelope = inbox.urgent.pop_front();
        self.urgent.store(inbox.urgent.len(), Ordering::Release);
        envelope
    }

    fn arm<'a>(&self, mut ready: MutexGuard<'a, Ready<E>>, envelope: E) -> Taken<'a, E> {
        ready.slot = Some(envelope);
        self.started.add(1);
        self.turn_token();
        Taken { ready }
    }

    /// Moves the busy token on; the caller holds the consumer's lock.
    fn turn_token(&self) {
        self.busy.store(self.busy.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
    }

    /// Takes the envelope back out of the slot after handling it.
    ///
    /// `None` means that this generation has been fenced meanwhile: the envelope's sender was
    /// answered by the supervisor and the caller must drop its result.
    pub fn disarm(&self, generation: u64, outcome: Outcome) -> Option<E> {
        let mut ready = lock(&self.ready.0);
        if ready.generation != generation {
            return None;
        }
        let envelope = ready.slot.take()?;
        self.count(outcome);
        self.turn_token();
        Some(envelope)
    }

    fn count(&self, outcome: Outcome) {
        match outcome {
            Outcome::Handled => self.handled.add(1),
            Outcome::Failed => self.failed.add(1),
            Outcome::Cancelled => self.cancelled.add(1),
        }
    }

    // ----- the supervisor -----

    /// Starts the next generation: the present consumer gets nothing more out of this mailbox.
    ///
    /// What it had in hand is given to the caller, who must answer its sender; it counts as failed.
    /// What is queued stays, in order.
    pub fn fence(&self) -> Fence<E> {
        self.fence_locked(lock(&self.ready.0))
    }

    /// Fences only if the consumer still has the same envelope in hand (or none) as when `token`
    /// was read with [`busy_token`](Self::busy_token).
    ///
    /// A monitor decides on a hang from what it read earlier; a message that ended a moment ago
    /// must not cost its worker a restart.
    pub fn fence_if_stuck(&self, token: u64) -> Option<Fence<E>> {
        let ready = lock(&self.ready.0);
        if self.busy.load(Ordering::Relaxed) != token {
            return None;
        }
        Some(self.fence_locked(ready))
    }

    fn fence_locked(&self, mut ready: MutexGuard<'_, Ready<E>>) -> Fence<E> {
        ready.generation += 1;
        let in_hand = ready.slot.take();
        if in_hand.is_some() {
            self.count(Outcome::Failed);
            self.turn_token();
        }
        Fence { generation: ready.generation, in_hand }
    }

    /// The generation that may read at present.
    pub fn generation(&self) -> u64 {
        lock(&self.ready.0).generation
    }

    /// Changes with every envelope that goes into or out of the slot; odd while one is in it.
    pub fn busy_token(&self) -> u64 {
        self.busy.load(Ordering::Acquire)
    }

    /// Takes nothing more in, but lets the consumer work off what is queued. Waiting senders are
    /// let go with an error.
    pub fn seal(&self) {
        let mut inbox = lock(&self.inbox.0);
        if inbox.gate != Gate::Open {
            return;
        }
        let senders = inbox.shut(Gate::Sealed);
        let consumer = inbox.consumer.take();
        drop(inbox);
        wake_all(senders.into_iter().chain(consumer));
    }

    /// Takes nothing more in and hands out what is queued, control lane first, for the caller to
    /// answer. What is in the slot stays there: it belongs to the consumer or to a later fence.
    pub fn close(&self) -> Vec<E> {
        let mut ready = lock(&self.ready.0);
        let mut inbox = lock(&self.inbox.0);
        let senders = inbox.shut(Gate::Closed);
        let mut left: Vec<E> = inbox.urgent.drain(..).collect();
        self.urgent.store(0, Ordering::Release);
        left.extend(ready.queue.drain(..));
        left.extend(inbox.queue.drain(..));
        inbox.taken = 0;
        self.discarded.add(left.len() as u64);
        let consumer = inbox.consumer.take();
        drop(inbox);
        drop(ready);
        wake_all(senders.into_iter().chain(consumer));
        left
    }

    /// Opens a sealed or closed mailbox again.
    pub fn reopen(&self) {
        lock(&self.inbox.0).gate = Gate::Open;
    }

    /// Whether new envelopes are accepted.
    pub fn is_open(&self) -> bool {
        lock(&self.inbox.0).gate == Gate::Open
    }

    /// Envelopes accepted and not yet handed to a consumer, both lanes together.
    ///
    /// Read from counters one after the other, so it is a moment's estimate under load.
    pub fn depth(&self) -> u64 {
        let gone = self.started.get() + self.discarded.get();
        self.accepted.get().saturating_sub(gone)
    }

    /// The counters at this moment.
    pub fn counters(&self) -> Counters {
        Counters {
            started: self.started.get(),
            handled: self.handled.get(),
            failed: self.failed.get(),
            cancelled: self.cancelled.get(),
            discarded: self.discarded.get(),
            accepted: self.accepted.get(),
            rejected_full: self.rejected_full.get(),
            high_water: self.high_water.get(),
        }
    }
}

impl<E> fmt::Debug for Mailbox<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox")
            .field("capacity", &self.capacity)
            .field("counters", &self.counters())
            .finish_non_exhaustive()
    }
}
