//! What belongs to one incarnation of an actor: signals from outside, and state of its thread.

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;

use actix::{Actor, ActorContext, Context};

use crate::driver::Reporter;
use crate::hook::{PanicSink, Panicked};
use crate::policy::StopMode;
use crate::util::lock;

/// The part of an incarnation that the supervisor sees.
pub(crate) struct Incarnation {
    /// Generation of the mailbox that this incarnation reads.
    pub(crate) generation: u64,
    /// Odd while the actor's code may be running.
    polls: AtomicU64,
    stop: AtomicU8,
    abandoned: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

const RUN: u8 = 0;
const STOP_AND_KEEP: u8 = 1;
const STOP_DRAINED: u8 = 2;
const STOP_ANSWERED: u8 = 3;

impl Incarnation {
    pub(crate) fn new(generation: u64) -> Self {
        Self {
            generation,
            polls: AtomicU64::new(0),
            stop: AtomicU8::new(RUN),
            abandoned: AtomicBool::new(false),
            waker: Mutex::new(None),
        }
    }

    /// Changes whenever the actor's code is entered or left; odd in between.
    pub(crate) fn poll_token(&self) -> u64 {
        self.polls.load(Ordering::Acquire)
    }

    pub(crate) fn turn_poll_token(&self) {
        self.polls.store(self.polls.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
    }

    /// Asks the actor to stop: [`StopMode::Keep`] or [`StopMode::Drain`].
    pub(crate) fn ask_to_stop(&self, mode: StopMode) {
        let stop = if mode == StopMode::Drain { STOP_DRAINED } else { STOP_AND_KEEP };
        self.stop.store(stop, Ordering::Release);
        self.wake();
    }

    /// As with [`StopMode::Keep`], but when the answers that it owes have been given.
    pub(crate) fn ask_to_stop_answered(&self) {
        self.stop.store(STOP_ANSWERED, Ordering::Release);
        self.wake();
    }

    /// Whether it is to give the answers that it owes before it stops.
    pub(crate) fn owes_answers_first(&self) -> bool {
        self.stop.load(Ordering::Acquire) == STOP_ANSWERED
    }

    pub(crate) fn stop_asked(&self) -> Option<StopMode> {
        match self.stop.load(Ordering::Acquire) {
            RUN => None,
            STOP_AND_KEEP | STOP_ANSWERED => Some(StopMode::Keep),
            _ => Some(StopMode::Drain),
        }
    }

    /// Gives the incarnation up: when its code comes back it ends, without running any hook.
    pub(crate) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
        self.wake();
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }

    pub(crate) fn wake(&self) {
        let waker = lock(&self.waker).clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn register(&self, waker: &Waker) {
        let mut kept = lock(&self.waker);
        if !kept.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
            let replaced = kept.replace(waker.clone());
            drop(kept);
            drop(replaced);
        }
    }
}

/// The part of an incarnation that stays on its thread.
pub(crate) struct Local {
    pub(crate) incarnation: Arc<Incarnation>,
    pub(crate) reporter: Reporter,
    pub(crate) sink: Arc<dyn PanicSink>,
    fatal: Cell<bool>,
    fatal_reason: RefCell<Option<String>>,
    /// No message may be taken any more.
    pub(crate) dead: Cell<bool>,
    /// The pump is no longer among the futures of the actor.
    pub(crate) pump_gone: Cell<bool>,
    /// Panics since the actor's code was last entered, as the panic hook saw them. The last is not
    /// always the one that got out: code may catch its own, while it unwinds from another too.
    pub(crate) panics: RefCell<Vec<Panicked>>,
    #[cfg(feature = "chaos")]
    pub(crate) fault: Cell<Option<crate::chaos::Fault>>,
}

impl Local {
    pub(crate) fn new(
        incarnation: Arc<Incarnation>,
        reporter: Reporter,
        sink: Arc<dyn PanicSink>,
    ) -> Self {
        Self {
            incarnation,
            reporter,
            sink,
            fatal: Cell::new(false),
            fatal_reason: RefCell::new(None),
            dead: Cell::new(false),
            pump_gone: Cell::new(false),
            panics: RefCell::new(Vec::new()),
            #[cfg(feature = "chaos")]
            fault: Cell::new(None),
        }
    }

    pub(crate) fn is_fatal(&self) -> bool {
        self.fatal.get()
    }

    /// The first reason given, if an error was called fatal.
    pub(crate) fn fatal_reason(&self) -> Option<String> {
        if self.fatal.get() { self.fatal_reason.borrow().clone() } else { None }
    }

    pub(crate) fn set_fatal(&self, reason: String) {
        if !self.fatal.replace(true) {
            *self.fatal_reason.borrow_mut() = Some(reason);
        }
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<Local>>> = const { RefCell::new(None) };
}

/// Makes an incarnation the current one of this thread, until dropped.
pub(crate) struct Entered(Option<Rc<Local>>);

impl Entered {
    pub(crate) fn new(local: Rc<Local>) -> Self {
        local.incarnation.turn_poll_token();
        Self(CURRENT.with(|current| current.replace(Some(local))))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let before = self.0.take();
        if let Some(local) = CURRENT.with(|current| current.replace(before)) {
            local.incarnation.turn_poll_token();
        }
    }
}

/// The incarnation whose code runs on this thread at the moment.
pub(crate) fn current() -> Option<Rc<Local>> {
    // The panic hook asks, which may run while this thread is being torn down.
    CURRENT.try_with(|current| current.try_borrow().ok().and_then(|c| c.clone())).ok().flatten()
}

/// Lets an actor call an error of its own fatal: it cannot go on and wants to be rebuilt.
///
/// Costs exactly the message being handled, whose sender gets [`AskError::Fatal`] with this reason
/// (what the handler returns is dropped). What is queued is kept for the next incarnation. Outside
/// of a handler (in `started`, a timer, a future of the actor) it costs no message. The first reason
/// counts. In an actor that is not supervised it stops the actor.
///
/// [`AskError::Fatal`]: crate::AskError::Fatal
pub fn fatal<A: Actor<Context = Context<A>>>(ctx: &mut Context<A>, reason: impl Display) {
    match current() {
        Some(local) => local.set_fatal(reason.to_string()),
        None => tracing::error!(%reason, "fatal error in an actor without a supervisor"),
    }
    ctx.stop();
}
