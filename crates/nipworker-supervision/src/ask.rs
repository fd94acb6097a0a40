//! The futures of sending and asking.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix::Message;
use nipworker_mailbox::Ticket;
use tokio::sync::oneshot;

use crate::address::Target;
use crate::envelope::Env;
use crate::failure::{AskError, Refused, SendError};
use crate::timer::Alarm;

/// A send that waits in line while the mailbox is full.
///
/// Runs under any executor. **Cancel safety:** dropped before it is ready, the message was not
/// sent; its place in line goes to the next.
#[must_use = "a send does nothing until it is awaited"]
pub struct Send<M: Message> {
    target: Arc<dyn Target<M>>,
    env: Option<Box<Env<M>>>,
    ticket: Ticket,
}

impl<M: Message> Send<M> {
    pub(crate) fn new(target: Arc<dyn Target<M>>, message: M) -> Self {
        Self { target, env: Some(Env::tell(message)), ticket: Ticket::new() }
    }
}

impl<M: Message> Future for Send<M> {
    type Output = Result<(), SendError<M>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        match this.target.poll_push(&mut this.ticket, &mut this.env, cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
            Poll::Ready(Err(())) => {
                let env = this.env.take().expect("a refused envelope stays with the sender");
                let message = env.into_message();
                Poll::Ready(Err(SendError { message, reason: Refused::Closed }))
            }
        }
    }
}

impl<M: Message> Unpin for Send<M> {}

impl<M: Message> Drop for Send<M> {
    fn drop(&mut self) {
        if self.ticket.is_waiting() {
            self.target.leave(&mut self.ticket);
        }
    }
}

impl<M: Message> fmt::Debug for Send<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Send").field("to", &self.target.ledger().name).finish_non_exhaustive()
    }
}

/// A question on its way and the answer to come.
///
/// Runs under any executor. It always ends: with the answer, or with the reason why there is none.
/// **Cancel safety:** dropped while it waits in line, the message was not sent. Dropped later, the
/// message is skipped if the worker has not begun with it, and otherwise handled in vain.
#[must_use = "an ask is not sent until it is awaited"]
pub struct Ask<M: Message> {
    target: Arc<dyn Target<M>>,
    /// Until it is accepted.
    env: Option<Box<Env<M>>>,
    ticket: Ticket,
    reply: oneshot::Receiver<M::Result>,
    seq: u64,
    /// The ledger's count of incidents when the question was put.
    incidents: u64,
    alarm: Option<Alarm>,
    answered: bool,
}

impl<M: Message> Ask<M> {
    /// A question that is sent when it is first polled.
    pub(crate) fn lazy(target: Arc<dyn Target<M>>, message: M) -> Self {
        let (env, reply) = Env::ask(message);
        let (seq, incidents) = (env.seq, target.ledger().incidents());
        let ticket = Ticket::new();
        Self { target, env: Some(env), ticket, reply, seq, incidents, alarm: None, answered: false }
    }

    /// A question that was pushed by `push` already.
    pub(crate) fn eager(
        target: Arc<dyn Target<M>>,
        message: M,
        control: bool,
    ) -> Result<Self, SendError<M>> {
        let mut ask = Self::lazy(target, message);
        let env = ask.env.take().expect("a new question has its envelope");
        let pushed = if control { ask.target.push_control(env) } else { ask.target.push(env) };
        match pushed {
            Ok(()) => Ok(ask),
            Err((env, reason)) => {
                // Nothing was sent, so there is nothing to clean up.
                ask.answered = true;
                Err(SendError { message: env.into_message(), reason })
            }
        }
    }

    /// Gives up after `limit`, counted from here. Waiting in line counts too.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.alarm = Some(Alarm::new(Instant::now().checked_add(limit), limit));
        self
    }

    fn reason(&self) -> AskError {
        let ledger = self.target.ledger();
        ledger
            .take_reason(self.seq)
            .or_else(|| ledger.incident_since(self.incidents))
            .unwrap_or_else(AskError::no_answer)
    }
}

impl<M: Message> Future for Ask<M> {
    type Output = Result<M::Result, AskError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        assert!(!this.answered, "an ask was polled after it was answered");
        if this.env.is_some() {
            match this.target.poll_push(&mut this.ticket, &mut this.env, cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(())) => {
                    this.answered = true;
                    return Poll::Ready(Err(AskError::Closed));
                }
                Poll::Pending => return this.poll_alarm(cx),
            }
        }
        match Pin::new(&mut this.reply).poll(cx) {
            Poll::Ready(Ok(answer)) => {
                this.answered = true;
                Poll::Ready(Ok(answer))
            }
            Poll::Ready(Err(_)) => {
                this.answered = true;
                Poll::Ready(Err(this.reason()))
            }
            Poll::Pending => this.poll_alarm(cx),
        }
    }
}

impl<M: Message> Ask<M> {
    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<Result<M::Result, AskError>> {
        let Some(alarm) = &mut self.alarm else { return Poll::Pending };
        if alarm.poll(cx).is_pending() {
            return Poll::Pending;
        }
        let after = alarm.limit();
        self.reply.close();
        self.answered = true;
        // The answer may have come between the two looks.
        if let Ok(answer) = self.reply.try_recv() {
            return Poll::Ready(Ok(answer));
        }
        let reason = self.target.ledger().take_reason(self.seq);
        self.give_up_line();
        Poll::Ready(Err(reason.unwrap_or(AskError::Timeout { after })))
    }

    fn give_up_line(&mut self) {
        if self.ticket.is_waiting() {
            self.target.leave(&mut self.ticket);
        }
        self.env = None;
    }
}

impl<M: Message> Unpin for Ask<M> {}

impl<M: Message> Drop for Ask<M> {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        self.give_up_line();
        // Closed first: see `Env::fail` for why no reason can be left behind.
        self.reply.close();
        self.target.ledger().take_reason(self.seq);
    }
}

impl<M: Message> fmt::Debug for Ask<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ask").field("of", &self.target.ledger().name).finish_non_exhaustive()
    }
}
