//! Moves messages from the mailbox to the actor, as a future of the actor's own context.

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use actix::fut::ActorFuture;
use actix::{Actor, ActorContext, AsyncContext, Context};
use nipworker_mailbox::Next;

use crate::envelope::{After, Hands};
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
    stop_called: bool,
    until_sample: u32,
}

impl<A: Actor> Pump<A> {
    pub(crate) fn new(hands: Hands<A>) -> Self {
        Self { hands, up: false, stop_called: false, until_sample: 0 }
    }

    /// Calls `ctx.stop()` once. An actor may refuse in `stopping` and stop later by itself.
    fn stop(&mut self, ctx: &mut Context<A>)
    where
        A: Actor<Context = Context<A>>,
    {
        if !self.stop_called {
            self.stop_called = true;
            ctx.stop();
        }
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
        if this.hands.local.dead.get() {
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
                this.stop(ctx);
                return Poll::Pending;
            }
            let mut taken = match inner.mailbox.poll_next(this.hands.generation, task) {
                Poll::Ready(Next::Message(taken)) => taken,
                Poll::Ready(Next::Drained) => {
                    // Answers to come are part of what was queued.
                    if stop == Some(StopMode::Drain) && inner.ledger.pending.is_empty() {
                        this.stop(ctx);
                    }
                    return Poll::Pending;
                }
                Poll::Ready(Next::Fenced) => {
                    this.hands.local.dead.set(true);
                    return Poll::Pending;
                }
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
                After::Fenced => {
                    this.hands.local.dead.set(true);
                    return Poll::Pending;
                }
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
