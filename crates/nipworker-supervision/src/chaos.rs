//! Faults on demand, for tests of whole systems (feature `chaos`).

use std::time::Duration;

use actix::{Actor, Context};
use nipworker_mailbox::{Outcome, Taken};

use crate::address::{Address, Inner};
use crate::envelope::{After, AnyEnvelope, BoxEnv, Entry, Hands};
use crate::failure::{AskError, Refused, SendError};
use crate::ledger::Ledger;
use crate::local::Local;

/// What is to go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The handler panics.
    Panic,
    /// The handler blocks its thread for this long.
    Hang(Duration),
    /// The handler calls an error fatal.
    FatalError,
    /// The thread ends.
    KillThread,
}

/// Panic payload that the runner takes for the end of the thread.
pub(crate) struct ThreadKill;

impl Local {
    pub(crate) fn act_out_fault(&self) {
        match self.fault.take() {
            None => {}
            Some(Fault::Panic) => panic!("injected panic"),
            Some(Fault::Hang(time)) => std::thread::sleep(time),
            Some(Fault::FatalError) => self.set_fatal("injected fatal error".to_owned()),
            Some(Fault::KillThread) => std::panic::resume_unwind(Box::new(ThreadKill)),
        }
    }
}

impl<A: Actor<Context = Context<A>>> Address<A> {
    /// Makes the handler of the next message go wrong. If no message is queued when the worker
    /// comes to it, it goes wrong at once, which costs no message.
    ///
    /// # Errors
    /// The fault comes back if the control lane is full or the mailbox closed.
    pub fn inject(&self, fault: Fault) -> Result<(), SendError<Fault>> {
        let refused = |reason| SendError { message: fault, reason };
        self.inner.mailbox.try_push_control(Box::new(Injected(fault))).map_err(|e| match e {
            nipworker_mailbox::PushError::Full(_) => refused(Refused::Full),
            nipworker_mailbox::PushError::Closed(_) => refused(Refused::Closed),
        })
    }
}

struct Injected(Fault);

impl<A: Actor<Context = Context<A>>> AnyEnvelope<A> for Injected {
    fn entry(&self) -> Entry<A> {
        arm::<A>
    }

    fn as_any_mut(&mut self) -> &mut dyn std::any::Any {
        self
    }

    fn into_any(self: Box<Self>) -> Box<dyn std::any::Any> {
        self
    }

    fn fail(&mut self, _ledger: &Ledger, _error: AskError) {}
}

fn arm<A: Actor<Context = Context<A>>>(
    _actor: &mut A,
    _ctx: &mut Context<A>,
    mut taken: Taken<'_, BoxEnv<A>>,
    hands: &Hands<A>,
) -> After {
    let fault =
        taken.envelope_mut().as_any_mut().downcast_ref::<Injected>().map(|injected| injected.0);
    drop(taken);
    hands.local.fault.set(fault);
    let inner: &Inner<A> = &hands.inner;
    if inner.mailbox.depth() == 0 {
        // The fault's own envelope is in the slot and takes the place of a message.
        hands.local.act_out_fault();
        if hands.local.is_fatal() {
            return After::Fatal;
        }
    }
    match inner.mailbox.disarm(hands.generation, Outcome::Cancelled) {
        Some(_) => After::Done,
        None => After::Fenced,
    }
}
