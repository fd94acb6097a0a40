//! Moves messages from the mailbox to the actor, as a future of the actor's own context.

use std::panic::resume_unwind;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use actix::fut::ActorFuture;
use actix::{Actor, ActorContext, AsyncContext, Context};
use nipworker_mailbox::Next;

use crate::envelope::{After, Hands};
use crate::local::Local;
use crate::policy::StopMode;

/// Messages handled before the thread's other tasks get a turn.
pub(crate) const BUDGET_MESSAGES: usize = 64;
/// One message in so many is timed, while handlers are fast.
const SAMPLE_EVERY_MESSAGES: u32 = 16;
/// Once a handler took this long, the next one is timed too: clocks cost little against it.
const SLOW: Duration = Duration::from_micros(20);

pub(crate) struct Pump<A: Actor> {
    hands: Hands<A>,
    up: bool,
    /// How it was asked to stop when the actor was last told to.
    stop_called: Option<StopMode>,
    until_sample: u32,
}

impl<A: Actor> Pump<A> {
    pub(crate) fn new(hands: Hands<A>) -> Self {
        Self { hands, up: false, stop_called: None, until_sample: 0 }
    }

    /// Calls `ctx.stop()` once for each way of stopping. An actor may refuse in `stopping` and stop later by itself.
    fn stop(&mut self, ctx: &mut Context<A>, mode: StopMode)
    where
        A: Actor<Context = Context<A>>,
    {
        if self.stop_called != Some(mode) {
            self.stop_called = Some(mode);
            ctx.stop();
        }
    }
}

/// Leaves the actor's context at once: another incarnation is at work, and the actor's other futures
/// must not be polled any more, which they would be if the pump only returned.
fn leave(local: &Local) -> ! {
    local.dead.set(true);
    resume_unwind(Box::new(Left))
}

/// Panic payload that the runner takes for the end of a given-up incarnation.
pub(crate) struct Left;

impl<A: Actor> Drop for Pump<A> {
    /// An actor can cancel any future of its context, this one too.
    fn drop(&mut self) {
        self.hands.local.pump_gone.set(true);
    }
}

impl<A: Actor<Context = Context<A>>> ActorFuture<A> for Pump<A> {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        actor: &mut A,
        ctx: &mut Context<A>,
        task: &mut TaskContext<'_>,
    ) -> Poll<()> {
        let this = self.get_mut();
        // After a fatal error `stopping` may have put the stop off, in this very poll.
        if this.hands.local.dead.get() || this.hands.local.is_fatal() {
            return Poll::Pending;
        }
        if !this.up {
            // actix polls futures only after `started`, and what it waits for, are done.
            this.up = true;
            this.hands.local.reporter.up();
        }
        let inner = std::sync::Arc::clone(&this.hands.inner);
        for _ in 0..BUDGET_MESSAGES {
            let stop = this.hands.local.incarnation.stop_asked();
            if stop == Some(StopMode::Keep) {
                let waits = this.hands.local.incarnation.owes_answers_first();
                if waits && !inner.ledger.pending.is_empty() {
                    return Poll::Pending;
                }
                this.stop(ctx, StopMode::Keep);
                return Poll::Pending;
            }
            let mut taken = match inner.mailbox.poll_next(this.hands.generation, task) {
                Poll::Ready(Next::Message(taken)) => taken,
                Poll::Ready(Next::Drained) => {
                    // Answers to come are part of what was queued.
                    if stop == Some(StopMode::Drain) && inner.ledger.pending.is_empty() {
                        this.stop(ctx, StopMode::Drain);
                    }
                    return Poll::Pending;
                }
                Poll::Ready(Next::Fenced) => leave(&this.hands.local),
                Poll::Pending => return Poll::Pending,
            };
            let entry = taken.envelope_mut().entry();
            let after = if this.until_sample == 0 {
                let begin = Instant::now();
                let after = entry(actor, ctx, taken, &this.hands);
                let took = begin.elapsed();
                inner.ledger.latency.record(took);
                this.until_sample = if took >= SLOW { 0 } else { SAMPLE_EVERY_MESSAGES };
                after
            } else {
                this.until_sample -= 1;
                entry(actor, ctx, taken, &this.hands)
            };
            match after {
                After::Done if ctx.waiting() => return Poll::Pending,
                After::Done => {}
                After::Fenced => leave(&this.hands.local),
                After::Fatal => {
                    // The runner answers the sender when this poll is over, which is now.
                    this.hands.local.dead.set(true);
                    ctx.stop();
                    return Poll::Pending;
                }
            }
        }
        task.waker().wake_by_ref();
        Poll::Pending
    }
}
