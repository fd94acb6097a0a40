//! A message on its way, and what its handling looks like from the pump.

use std::any::{Any, type_name};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use actix::dev::MessageResponse;
use actix::{Actor, Context, Handler, Message, MessageResult};
use nipworker_mailbox::{Outcome, Taken};
use tokio::sync::oneshot;

use crate::address::Inner;
use crate::failure::AskError;
use crate::ledger::Ledger;
use crate::local::Local;
use crate::pending::{Later, fail_ask, follow};

/// A message and the way to answer it, in one allocation.
///
/// For handling, the message moves out and the rest stays in the mailbox's slot. It is independent
/// of the actor type, so that a [`Recipient`](crate::Recipient) can make one.
pub(crate) struct Env<M: Message> {
    pub(crate) message: Option<M>,
    pub(crate) reply: Option<oneshot::Sender<M::Result>>,
    /// Names the asker in the ledger; 0 without one.
    pub(crate) seq: u64,
}

impl<M: Message> Env<M> {
    pub(crate) fn tell(message: M) -> Box<Self> {
        Box::new(Self { message: Some(message), reply: None, seq: 0 })
    }

    pub(crate) fn ask(message: M) -> (Box<Self>, oneshot::Receiver<M::Result>) {
        let (tx, rx) = oneshot::channel();
        let env = Self { message: Some(message), reply: Some(tx), seq: next_seq() };
        (Box::new(env), rx)
    }

    pub(crate) fn into_message(mut self) -> M {
        self.message.take().expect("an envelope that was not handled has its message")
    }
}

/// A number that no other ask of this process has.
fn next_seq() -> u64 {
    const BLOCK: u64 = 1 << 32;
    static BLOCKS: AtomicU64 = AtomicU64::new(1);
    thread_local! {
        static NEXT: Cell<u64> = const { Cell::new(0) };
    }
    NEXT.with(|next| {
        let mut seq = next.get();
        // Blocks keep threads from sharing a cache line for each ask.
        if seq % BLOCK == 0 {
            seq = BLOCKS.fetch_add(1, Ordering::Relaxed).wrapping_mul(BLOCK) + 1;
        }
        next.set(seq + 1);
        seq
    })
}

/// What came of handling an envelope.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    Done,
    /// Another generation reads the mailbox now.
    Fenced,
    /// The actor called an error fatal; the envelope is still in the slot.
    Fatal,
}

/// What the pump of an incarnation works with.
pub(crate) struct Hands<A: Actor> {
    pub(crate) inner: Arc<Inner<A>>,
    pub(crate) generation: u64,
    pub(crate) local: std::rc::Rc<Local>,
}

pub(crate) type BoxEnv<A> = Box<dyn AnyEnvelope<A>>;
pub(crate) type Entry<A> =
    fn(&mut A, &mut <A as Actor>::Context, Taken<'_, BoxEnv<A>>, &Hands<A>) -> After;

/// An envelope whose message type is hidden.
pub(crate) trait AnyEnvelope<A: Actor>: Send {
    /// The function that handles an envelope of this type.
    ///
    /// A function and not a method, because the envelope stays in the slot meanwhile.
    fn entry(&self) -> Entry<A>;
    fn as_any_mut(&mut self) -> &mut dyn Any;
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
    /// Answers the sender with a failure, or counts a dead letter. The message, if it is still in
    /// there, is dropped with the envelope.
    fn fail(&mut self, ledger: &Ledger, error: AskError);
}

impl<A, M> AnyEnvelope<A> for Env<M>
where
    A: Actor<Context = Context<A>> + Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn entry(&self) -> Entry<A> {
        handle::<A, M>
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }

    fn fail(&mut self, ledger: &Ledger, error: AskError) {
        match self.reply.take() {
            None => ledger.bury(type_name::<M>(), &error),
            Some(reply) => fail_ask(ledger, self.seq, reply, error),
        }
    }
}

pub(crate) fn downcast<A: Actor, M: Message + 'static>(env: BoxEnv<A>) -> Box<Env<M>> {
    env.into_any().downcast().expect("an envelope keeps its type while it is refused or handled")
}

fn handle<A, M>(
    actor: &mut A,
    ctx: &mut Context<A>,
    mut taken: Taken<'_, BoxEnv<A>>,
    hands: &Hands<A>,
) -> After
where
    A: Actor<Context = Context<A>> + Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    let mailbox = &hands.inner.mailbox;
    let env: &mut Env<M> = taken
        .envelope_mut()
        .as_any_mut()
        .downcast_mut()
        .expect("the entry function comes from the envelope itself");
    let asker_left = env.reply.as_ref().is_some_and(oneshot::Sender::is_closed);
    let message = if asker_left { None } else { env.message.take() };
    drop(taken);

    let Some(message) = message else {
        // As in actix: a question that nobody waits for any more is not asked.
        let cancelled = mailbox.disarm(hands.generation, Outcome::Cancelled);
        return if cancelled.is_some() { After::Done } else { After::Fenced };
    };
    #[cfg(feature = "chaos")]
    hands.local.act_out_fault();
    let response = actor.handle(message, ctx);
    if hands.local.is_fatal() {
        return After::Fatal;
    }
    if answers_at_once::<A, M>() {
        let Some(env) = mailbox.disarm(hands.generation, Outcome::Handled) else {
            return After::Fenced;
        };
        response.handle(ctx, downcast::<A, M>(env).reply);
        return After::Done;
    }
    // Foreign code: until it is back, the way to answer stays in the slot.
    let incidents = hands.inner.ledger.incidents();
    let (tx, answer) = oneshot::channel();
    response.handle(ctx, Some(tx));
    if hands.local.is_fatal() {
        return After::Fatal;
    }
    let Some(env) = mailbox.disarm(hands.generation, Outcome::Handled) else {
        return After::Fenced;
    };
    let Env { reply, seq, .. } = *downcast::<A, M>(env);
    let seq = if seq == 0 { next_seq() } else { seq };
    let (generation, message_type) = (hands.generation, type_name::<M>());
    follow(&hands.inner, Later { generation, seq, message_type, incidents, answer, reply });
    After::Done
}

/// Whether the handler's response is the plain result, which is sent before the handler is left.
///
/// Decided by the type's name, because a response need not be `'static`. The names are constants,
/// so the comparison is made by the compiler. Should two types share a name, the answer is still
/// delivered; only a hang of its future would go unanswered.
fn answers_at_once<A: Handler<M>, M: Message>() -> bool {
    let response = type_name::<<A as Handler<M>>::Result>();
    response == type_name::<M::Result>() || response == type_name::<MessageResult<M>>()
}
