//! Where messages are sent: an address stays valid whatever happens to the actor behind it.

use std::fmt;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use actix::{Actor, Context, Handler, Message};
use nipworker_mailbox::{Mailbox, Outcome, PushError, Ticket};
use serde::{Deserialize, Serialize};

use crate::ask::{Ask, Send};
use crate::envelope::{BoxEnv, Env, downcast};
use crate::failure::{AskError, Refused, SendError};
use crate::ledger::{DeadLetter, Ledger};
use crate::util::guarded;

/// Messages that an address holds by default.
pub const DEFAULT_CAPACITY: usize = 1024;
/// Control messages that an address holds by default.
pub const DEFAULT_CONTROL_CAPACITY: usize = 16;

/// Bounds of a mailbox, in messages. They hold for all senders together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MailboxConfig {
    /// Ordinary messages, at least 1. Default 1024.
    pub capacity: usize,
    /// Control messages, at least 1. Default 16.
    pub control_capacity: usize,
}

impl Default for MailboxConfig {
    fn default() -> Self {
        Self { capacity: DEFAULT_CAPACITY, control_capacity: DEFAULT_CONTROL_CAPACITY }
    }
}

/// The counters of a mailbox at one moment; taken without asking its worker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxStatus {
    /// Messages accepted and not yet begun with.
    pub depth: u64,
    /// The most messages that ever counted against the capacity at once.
    pub high_water: u64,
    /// Capacity of the ordinary lane.
    pub capacity: u64,
    /// Messages refused because a lane was full.
    pub rejected_full: u64,
    /// Questions skipped because nobody waited for the answer any more.
    pub cancelled: u64,
    /// Messages without an asker that were lost.
    pub dead_letters: u64,
    /// The last few of those.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_dead_letters: Vec<DeadLetter>,
}

pub(crate) struct Inner<A: Actor> {
    pub(crate) mailbox: Mailbox<BoxEnv<A>>,
    pub(crate) ledger: Ledger,
}

impl<A: Actor> Inner<A> {
    /// Answers whoever sent what this generation has in hand. True if there was something.
    pub(crate) fn fail_in_hand(&self, generation: u64, error: AskError) -> bool {
        match self.mailbox.disarm(generation, Outcome::Failed) {
            Some(env) => {
                fail_and_drop(env, &self.ledger, error);
                true
            }
            None => false,
        }
    }

    pub(crate) fn status(&self) -> MailboxStatus {
        let counters = self.mailbox.counters();
        MailboxStatus {
            depth: self.mailbox.depth(),
            high_water: counters.high_water,
            capacity: self.mailbox.capacity() as u64,
            rejected_full: counters.rejected_full,
            cancelled: counters.cancelled,
            dead_letters: self.ledger.dead_letter_count(),
            last_dead_letters: self.ledger.dead_letters(),
        }
    }
}

/// Answers the sender of an envelope whose message is out of it already, or of no weight.
pub(crate) fn fail_and_drop<A: Actor>(mut env: BoxEnv<A>, ledger: &Ledger, error: AskError) {
    env.fail(ledger, error);
    guarded(|| drop(env));
}

/// Anything that takes messages of type `M`.
pub(crate) trait Target<M: Message>: std::marker::Send + Sync {
    fn push(&self, env: Box<Env<M>>) -> Result<(), (Box<Env<M>>, Refused)>;
    fn push_control(&self, env: Box<Env<M>>) -> Result<(), (Box<Env<M>>, Refused)>;
    fn poll_push(
        &self,
        ticket: &mut Ticket,
        env: &mut Option<Box<Env<M>>>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Result<(), ()>>;
    fn leave(&self, ticket: &mut Ticket);
    fn ledger(&self) -> &Ledger;
    fn status(&self) -> MailboxStatus;
}

impl<A, M> Target<M> for Inner<A>
where
    A: Actor<Context = Context<A>> + Handler<M>,
    M: Message + std::marker::Send + 'static,
    M::Result: std::marker::Send,
{
    fn push(&self, env: Box<Env<M>>) -> Result<(), (Box<Env<M>>, Refused)> {
        self.mailbox.try_push(env).map_err(refused)
    }

    fn push_control(&self, env: Box<Env<M>>) -> Result<(), (Box<Env<M>>, Refused)> {
        self.mailbox.try_push_control(env).map_err(refused)
    }

    fn poll_push(
        &self,
        ticket: &mut Ticket,
        env: &mut Option<Box<Env<M>>>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Result<(), ()>> {
        let mut erased = env.take().map(|env| env as BoxEnv<A>);
        let polled = self.mailbox.poll_push(ticket, &mut erased, cx);
        *env = erased.map(downcast);
        polled
    }

    fn leave(&self, ticket: &mut Ticket) {
        self.mailbox.leave(ticket);
    }

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn status(&self) -> MailboxStatus {
        Inner::status(self)
    }
}

fn refused<A: Actor, M: Message + 'static>(error: PushError<BoxEnv<A>>) -> (Box<Env<M>>, Refused) {
    match error {
        PushError::Full(env) => (downcast(env), Refused::Full),
        PushError::Closed(env) => (downcast(env), Refused::Closed),
    }
}

fn tell<M: Message>(result: Result<(), (Box<Env<M>>, Refused)>) -> Result<(), SendError<M>> {
    result.map_err(|(env, reason)| SendError { message: env.into_message(), reason })
}

/// The address of an actor: cheap to clone, and valid across any number of restarts.
///
/// It exists before its worker does, so that actors can be given each other's addresses. Messages
/// are kept until the worker is started by a [`ChildSpec`](crate::ChildSpec) made from the address;
/// if that spec is dropped unstarted, askers get [`AskError::Dropped`].
pub struct Address<A: Actor> {
    pub(crate) inner: Arc<Inner<A>>,
}

impl<A: Actor> Clone for Address<A> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<A: Actor> fmt::Debug for Address<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Address").field(&self.inner.ledger.name).finish()
    }
}

impl<A: Actor<Context = Context<A>>> Address<A> {
    /// Makes an address. The name appears in the status, in logs and as the thread's name.
    pub fn new(name: impl Into<Arc<str>>, config: MailboxConfig) -> Self {
        let mailbox = Mailbox::new(config.capacity, config.control_capacity);
        Self { inner: Arc::new(Inner { mailbox, ledger: Ledger::new(name.into()) }) }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.inner.ledger.name
    }

    /// Sends without waiting and without an answer.
    ///
    /// If the worker fails on it later, that is counted as a dead letter.
    ///
    /// # Errors
    /// The message comes back if the mailbox is full or closed.
    pub fn try_send<M>(&self, message: M) -> Result<(), SendError<M>>
    where
        A: Handler<M>,
        M: Message + std::marker::Send + 'static,
        M::Result: std::marker::Send,
    {
        tell(Target::<M>::push(&*self.inner, Env::tell(message)))
    }

    /// Sends without an answer, waiting in line while the mailbox is full.
    ///
    /// The future gives the message back if the mailbox is closed.
    pub fn send<M>(&self, message: M) -> Send<M>
    where
        A: Handler<M>,
        M: Message + std::marker::Send + 'static,
        M::Result: std::marker::Send,
    {
        Send::new(self.inner.clone(), message)
    }

    /// Asks, waiting in line while the mailbox is full, and then for the answer.
    pub fn ask<M>(&self, message: M) -> Ask<M>
    where
        A: Handler<M>,
        M: Message + std::marker::Send + 'static,
        M::Result: std::marker::Send,
    {
        Ask::lazy(self.inner.clone(), message)
    }

    /// Sends a question now; the returned future waits for the answer.
    ///
    /// # Errors
    /// The message comes back if the mailbox is full or closed.
    pub fn try_ask<M>(&self, message: M) -> Result<Ask<M>, SendError<M>>
    where
        A: Handler<M>,
        M: Message + std::marker::Send + 'static,
        M::Result: std::marker::Send,
    {
        Ask::eager(self.inner.clone(), message, false)
    }

    /// Sends in the control lane, which overtakes everything that is queued in the ordinary one.
    ///
    /// # Errors
    /// The message comes back if the control lane is full or the mailbox closed.
    pub fn control<M>(&self, message: M) -> Result<(), SendError<M>>
    where
        A: Handler<M>,
        M: Message + std::marker::Send + 'static,
        M::Result: std::marker::Send,
    {
        tell(Target::<M>::push_control(&*self.inner, Env::tell(message)))
    }

    /// Asks in the control lane. The question is sent now.
    ///
    /// # Errors
    /// The message comes back if the control lane is full or the mailbox closed.
    pub fn ask_control<M>(&self, message: M) -> Result<Ask<M>, SendError<M>>
    where
        A: Handler<M>,
        M: Message + std::marker::Send + 'static,
        M::Result: std::marker::Send,
    {
        Ask::eager(self.inner.clone(), message, true)
    }

    /// The same address for one message type, with the actor's type hidden.
    pub fn recipient<M>(&self) -> Recipient<M>
    where
        A: Handler<M>,
        M: Message + std::marker::Send + 'static,
        M::Result: std::marker::Send,
    {
        Recipient { target: self.inner.clone() }
    }

    /// The counters of the mailbox, without asking the worker.
    pub fn status(&self) -> MailboxStatus {
        self.inner.status()
    }
}

/// An address that takes one type of message, whatever actor is behind it.
pub struct Recipient<M: Message> {
    target: Arc<dyn Target<M>>,
}

impl<M: Message> Clone for Recipient<M> {
    fn clone(&self) -> Self {
        Self { target: Arc::clone(&self.target) }
    }
}

impl<M: Message> fmt::Debug for Recipient<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Recipient").field(&self.target.ledger().name).finish()
    }
}

impl<M: Message> Recipient<M> {
    /// The name of the address.
    pub fn name(&self) -> &str {
        &self.target.ledger().name
    }

    /// See [`Address::try_send`].
    ///
    /// # Errors
    /// The message comes back if the mailbox is full or closed.
    pub fn try_send(&self, message: M) -> Result<(), SendError<M>> {
        tell(self.target.push(Env::tell(message)))
    }

    /// See [`Address::send`].
    pub fn send(&self, message: M) -> Send<M> {
        Send::new(Arc::clone(&self.target), message)
    }

    /// See [`Address::ask`].
    pub fn ask(&self, message: M) -> Ask<M> {
        Ask::lazy(Arc::clone(&self.target), message)
    }

    /// See [`Address::try_ask`].
    ///
    /// # Errors
    /// The message comes back if the mailbox is full or closed.
    pub fn try_ask(&self, message: M) -> Result<Ask<M>, SendError<M>> {
        Ask::eager(Arc::clone(&self.target), message, false)
    }

    /// See [`Address::control`].
    ///
    /// # Errors
    /// The message comes back if the control lane is full or the mailbox closed.
    pub fn control(&self, message: M) -> Result<(), SendError<M>> {
        tell(self.target.push_control(Env::tell(message)))
    }

    /// See [`Address::ask_control`].
    ///
    /// # Errors
    /// The message comes back if the control lane is full or the mailbox closed.
    pub fn ask_control(&self, message: M) -> Result<Ask<M>, SendError<M>> {
        Ask::eager(Arc::clone(&self.target), message, true)
    }

    /// See [`Address::status`].
    pub fn status(&self) -> MailboxStatus {
        self.target.status()
    }
}
