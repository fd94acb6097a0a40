//! A bounded mailbox that belongs to an address and outlives the consumer that reads it.
//!
//! Ordinary channels tie the queue to the receiver: when the receiver dies, what is queued dies
//! with it, and a receiver that hangs keeps the queue for ever. Here a third party, the
//! supervisor, can take the queue away from a consumer at any moment:
//!
//! * Each consumer has a **generation**. [`Mailbox::fence`] starts the next one; from then on every
//!   operation of an older generation fails, and what was queued is still there, in order.
//! * The envelope being handled sits in a **slot** of the mailbox, not on the consumer's stack. The
//!   consumer gets it back with [`Mailbox::disarm`] when it is done; if it panics or hangs, the
//!   supervisor takes it out of the slot and answers its sender. Exactly one of the two has it.
//! * A **busy token** that is odd while a message is handled lets a monitor see a hang without a
//!   clock read per message; [`Mailbox::fence_if_stuck`] compares it again under the lock.
//! * A **control lane** with its own small capacity is looked at before every message, so that a
//!   flood cannot delay what controls the worker.
//! * Capacity is global to the mailbox. Senders that find it full may wait; they get room in the
//!   order in which they came, and a waiting sender that is dropped passes its room on.
//!
//! The crate knows no actors, no async runtime and no clock: `std` only. It is generic over the
//! envelope, and its concurrency is checked exhaustively with loom:
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test -p nipworker-mailbox --test loom --release --target-dir target/loom
//! ```
//!
//! # Example
//!
//! ```
//! use std::task::{Context, Poll, Waker};
//! use nipworker_mailbox::{Mailbox, Next, Outcome, PushError};
//!
//! let mailbox = Mailbox::new(2, 1);
//! mailbox.try_push("first").unwrap();
//! mailbox.try_push("second").unwrap();
//! assert!(matches!(mailbox.try_push("third"), Err(PushError::Full("third"))));
//!
//! let mut cx = Context::from_waker(Waker::noop());
//! let generation = mailbox.fence().generation;
//! let Poll::Ready(Next::Message(taken)) = mailbox.poll_next(generation, &mut cx) else { panic!() };
//! drop(taken); // "first" now sits in the slot while we handle it
//! assert_eq!(mailbox.disarm(generation, Outcome::Handled), Some("first"));
//!
//! // A supervisor takes over: the old consumer gets nothing more, the queue is kept.
//! let next = mailbox.fence().generation;
//! assert!(matches!(mailbox.poll_next(generation, &mut cx), Poll::Ready(Next::Fenced)));
//! let Poll::Ready(Next::Message(taken)) = mailbox.poll_next(next, &mut cx) else { panic!() };
//! assert_eq!(*taken.envelope(), "second");
//! ```

mod consumer;
mod inbox;
mod mailbox;
mod sync;
#[cfg(all(test, not(loom)))]
mod tests;

pub use consumer::{Next, Outcome, Taken};
pub use inbox::{PushError, Ticket};
pub use mailbox::{Counters, Fence, MAX_BATCH_MESSAGES, Mailbox};
