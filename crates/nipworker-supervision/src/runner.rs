//! One life of an actor: built, polled, and taken down, with every panic caught.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};

use actix::dev::ContextFut;
use actix::{Actor, ActorContext, AsyncContext, Context};

use crate::address::Inner;
use crate::driver::Exit;
use crate::envelope::Hands;
use crate::failure::{AskError, Failure};
use crate::hook::{self, PanicSink, Panicked};
use crate::ledger::Ledger;
use crate::local::{Entered, Local};
use crate::pump::{Left, Pump};
use crate::util::guarded;

impl<A: Actor> PanicSink for Inner<A> {
    fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}

/// Builds the actor; gives the reason if it cannot.
pub(crate) type Build<A> = Box<dyn FnOnce() -> Result<A, String>>;

enum Stage<A: Actor<Context = Context<A>>> {
    Unborn(Build<A>),
    Alive(Box<ContextFut<A, Context<A>>>),
    Gone,
}

/// The task that runs an incarnation on its thread.
pub(crate) struct Runner<A: Actor<Context = Context<A>>> {
    inner: Arc<Inner<A>>,
    local: Rc<Local>,
    stage: Stage<A>,
    reported: bool,
}

impl<A: Actor<Context = Context<A>>> Runner<A> {
    pub(crate) fn new(inner: Arc<Inner<A>>, local: Rc<Local>, build: Build<A>) -> Self {
        hook::move_in(&local.sink);
        Self { inner, local, stage: Stage::Unborn(build), reported: false }
    }

    /// Lets the actor run once. `Some` when it has ended; it is taken down by then.
    fn turn(&mut self, cx: &mut TaskContext<'_>) -> Option<Exit> {
        if self.local.incarnation.is_abandoned() {
            self.take_down(false);
            return Some(Exit::Abandoned);
        }
        self.local.panics.borrow_mut().clear();
        if let Stage::Unborn(_) = self.stage {
            let Stage::Unborn(build) = std::mem::replace(&mut self.stage, Stage::Gone) else {
                return None;
            };
            match catch_unwind(AssertUnwindSafe(|| self.give_birth(build))) {
                Ok(Ok(fut)) => self.stage = Stage::Alive(fut),
                Ok(Err(reason)) => return Some(Exit::Failed(Failure::StartFailed { reason })),
                Err(payload) => return Some(Exit::Failed(self.panicked(payload))),
            }
        }
        let Stage::Alive(fut) = &mut self.stage else { return None };
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut **fut).poll(cx)));
        let pump_gone = self.local.pump_gone.get();
        let exit = match polled {
            #[cfg(feature = "chaos")]
            Err(payload) if payload.is::<crate::chaos::ThreadKill>() => {
                self.local.dead.set(true);
                crate::worker::quit_this_thread();
                return None;
            }
            Err(payload) if payload.is::<Left>() => Exit::Abandoned,
            Err(payload) => {
                self.local.dead.set(true);
                Exit::Failed(self.panicked(payload))
            }
            Ok(_) if self.local.incarnation.is_abandoned() => Exit::Abandoned,
            Ok(polled) => match (self.local.fatal_reason(), polled) {
                (Some(reason), _) => {
                    self.local.dead.set(true);
                    Exit::Failed(Failure::Fatal { reason })
                }
                (None, _) if pump_gone => {
                    let reason = "it cancelled the future that takes its messages".to_owned();
                    Exit::Failed(Failure::Fatal { reason })
                }
                (None, Poll::Ready(())) => Exit::Normal,
                (None, Poll::Pending) => return None,
            },
        };
        match &exit {
            Exit::Failed(failure) => {
                let error = AskError::from(failure.clone());
                // Answers to come that this costs are missed by other tasks, which run later.
                self.inner.ledger.note_incident(error.clone());
                self.inner.fail_in_hand(self.local.incarnation.generation, error);
                self.take_down(true);
            }
            Exit::Abandoned => self.take_down(false),
            Exit::Normal | Exit::ThreadLost => self.take_down(true),
        }
        Some(exit)
    }

    fn give_birth(&self, build: Build<A>) -> Result<Box<ContextFut<A, Context<A>>>, String> {
        let actor = build()?;
        let mut ctx = Context::new();
        ctx.spawn(Pump::new(Hands {
            inner: Arc::clone(&self.inner),
            generation: self.local.incarnation.generation,
            local: Rc::clone(&self.local),
        }));
        Ok(Box::new(ctx.into_future(actor)))
    }

    fn panicked(&self, payload: Box<dyn Any + Send>) -> Failure {
        // Without the hook's note the panic was started by `resume_unwind`, which has no place.
        let message = hook::text(&*payload);
        let noted = std::mem::take(&mut *self.local.panics.borrow_mut());
        let panicked = noted
            .into_iter()
            .rfind(|noted| noted.message == message)
            .unwrap_or(Panicked { message, place: None });
        guarded(|| drop(payload));
        panicked.into()
    }

    /// Runs the stop hooks, if wanted and not yet done, and drops the actor. Each step may panic.
    fn take_down(&mut self, hooks: bool) {
        self.local.dead.set(true);
        match std::mem::replace(&mut self.stage, Stage::Gone) {
            Stage::Gone => {}
            Stage::Unborn(build) => {
                guarded(|| drop(build));
            }
            Stage::Alive(mut fut) => {
                if hooks && fut.alive() {
                    fut.ctx().stop();
                    let mut cx = TaskContext::from_waker(Waker::noop());
                    guarded(|| Pin::new(&mut *fut).poll(&mut cx).is_ready());
                }
                // Now its Drop runs no hook: a panic there, during another, would abort.
                fut.ctx().terminate();
                guarded(|| drop(fut));
            }
        }
    }

    fn report(&mut self, exit: Exit) {
        if !std::mem::replace(&mut self.reported, true) {
            self.local.reporter.down(exit);
        }
    }
}

impl<A: Actor<Context = Context<A>>> Future for Runner<A> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        let this = self.get_mut();
        if this.reported {
            return Poll::Ready(());
        }
        this.local.incarnation.register(cx.waker());
        let entered = Entered::new(Rc::clone(&this.local));
        let exit = this.turn(cx);
        drop(entered);
        match exit {
            Some(exit) => {
                this.report(exit);
                Poll::Ready(())
            }
            None => Poll::Pending,
        }
    }
}

impl<A: Actor<Context = Context<A>>> Drop for Runner<A> {
    fn drop(&mut self) {
        if self.reported {
            return;
        }
        // The thread ends under the actor.
        self.inner.ledger.note_incident(AskError::ThreadLost);
        let entered = Entered::new(Rc::clone(&self.local));
        self.take_down(false);
        drop(entered);
        self.report(Exit::ThreadLost);
    }
}
