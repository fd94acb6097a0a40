//! The asynchronous part of one incarnation: what it waits for, in one future of its context.
//!
//! Everything in here is dropped with the context, so no socket outlives its incarnation. Only
//! what was woken is polled, however many relays there are.

use std::{
    cell::RefCell,
    pin::Pin,
    rc::Rc,
    task::{Context as TaskContext, Poll, Waker},
};

use actix::{Actor, Context, fut::ActorFuture};
use futures::{
    Stream,
    future::{AbortHandle, Abortable, LocalBoxFuture},
    stream::FuturesUnordered,
};

/// Outcomes handled before the mailbox gets a turn.
const BUDGET_OUTCOMES: usize = 64;

/// Who is told what came of a task.
pub(crate) trait Owner: Actor<Context = Context<Self>> {
    /// What tasks come to.
    type Outcome: 'static;

    /// The context is turned: something woke it, a task, a message, or the wish that it stops.
    fn turned(&mut self, ctx: &mut Context<Self>);

    /// A task ended by itself.
    fn ended(&mut self, outcome: Self::Outcome, ctx: &mut Context<Self>);
}

type Task<T> = Abortable<LocalBoxFuture<'static, T>>;

struct Inbox<T> {
    fresh: Vec<Task<T>>,
    waker: Option<Waker>,
}

/// Where tasks are handed in.
pub(crate) struct Tasks<T> {
    inbox: Rc<RefCell<Inbox<T>>>,
}

impl<T: 'static> Tasks<T> {
    /// The place to hand tasks in, and the future that runs them.
    pub(crate) fn new() -> (Self, Runner<T>) {
        let inbox = Rc::new(RefCell::new(Inbox { fresh: Vec::new(), waker: None }));
        (Self { inbox: Rc::clone(&inbox) }, Runner { inbox, running: FuturesUnordered::new() })
    }

    /// Begins a task; aborting it drops it and its outcome.
    pub(crate) fn begin(&self, task: impl Future<Output = T> + 'static) -> AbortHandle {
        let (handle, registration) = AbortHandle::new_pair();
        let mut inbox = self.inbox.borrow_mut();
        inbox.fresh.push(Abortable::new(Box::pin(task), registration));
        if let Some(waker) = inbox.waker.take() {
            waker.wake();
        }
        handle
    }
}

/// Runs the tasks.
pub(crate) struct Runner<T> {
    inbox: Rc<RefCell<Inbox<T>>>,
    running: FuturesUnordered<Task<T>>,
}

impl<A: Owner> ActorFuture<A> for Runner<A::Outcome> {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        owner: &mut A,
        ctx: &mut Context<A>,
        task: &mut TaskContext<'_>,
    ) -> Poll<()> {
        let this = self.get_mut();
        owner.turned(ctx);
        for _ in 0..BUDGET_OUTCOMES {
            {
                let mut inbox = this.inbox.borrow_mut();
                this.running.extend(inbox.fresh.drain(..));
                inbox.waker = Some(task.waker().clone());
            }
            match Pin::new(&mut this.running).poll_next(task) {
                Poll::Ready(Some(Ok(outcome))) => owner.ended(outcome, ctx),
                Poll::Ready(Some(Err(_aborted))) => {}
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
        task.waker().wake_by_ref();
        Poll::Pending
    }
}
