//! What the supervisor sees of a mailbox, with the actor's type hidden.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use actix::Actor;
use nipworker_mailbox::Counters;

use crate::address::{Inner, MailboxStatus, fail_and_drop};
use crate::failure::AskError;
use crate::ledger::Ledger;
use crate::util::guarded;

pub(crate) trait Behind: Send + Sync {
    fn ledger(&self) -> &Ledger;
    fn mailbox_status(&self) -> MailboxStatus;
    fn counters(&self) -> Counters;
    fn busy_token(&self) -> u64;
    /// Starts the next generation. What the last one had in hand fails with `error`; tells whether
    /// there was something.
    fn fence(&self, error: AskError) -> (u64, bool);
    /// The same, unless the consumer has moved on since `token` was read; then `None`.
    fn fence_if_stuck(&self, token: u64, error: AskError) -> Option<bool>;
    /// Fails the answers that futures of the worker have yet to give; tells how many. Those that a
    /// failure of the worker has cost get that, the others `error`.
    fn fail_pending(&self, error: &AskError) -> usize;
    /// Fails them all with `error`, and what this generation may yet come to owe.
    fn give_up_pending(&self, generation: u64, error: &AskError);
    /// Whether there is anything that an orderly stop has to wait for.
    fn has_work(&self) -> bool;
    fn depth(&self) -> u64;
    fn seal(&self);
    fn open(&self);
    /// Closes, and fails everything that is queued.
    fn close(&self, error: AskError) -> Remains;
    /// Identity of the address.
    fn id(&self) -> usize;
}

impl<A: Actor> Behind for Inner<A> {
    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn mailbox_status(&self) -> MailboxStatus {
        self.status()
    }

    fn counters(&self) -> Counters {
        self.mailbox.counters()
    }

    fn busy_token(&self) -> u64 {
        self.mailbox.busy_token()
    }

    fn fence(&self, error: AskError) -> (u64, bool) {
        let fence = self.mailbox.fence();
        let in_hand = fence.in_hand.map(|env| fail_and_drop(env, &self.ledger, error));
        (fence.generation, in_hand.is_some())
    }

    fn fence_if_stuck(&self, token: u64, error: AskError) -> Option<bool> {
        let fence = self.mailbox.fence_if_stuck(token)?;
        let in_hand = fence.in_hand.map(|env| fail_and_drop(env, &self.ledger, error));
        Some(in_hand.is_some())
    }

    fn fail_pending(&self, error: &AskError) -> usize {
        self.ledger.pending.fail_all(&self.ledger, error)
    }

    fn give_up_pending(&self, generation: u64, error: &AskError) {
        self.ledger.pending.give_up(&self.ledger, generation, error);
    }

    fn has_work(&self) -> bool {
        self.mailbox.depth() > 0 || !self.ledger.pending.is_empty()
    }

    fn depth(&self) -> u64 {
        self.mailbox.depth()
    }

    fn seal(&self) {
        self.mailbox.seal();
    }

    fn open(&self) {
        self.mailbox.reopen();
    }

    fn close(&self, error: AskError) -> Remains {
        let mut left = self.mailbox.close();
        for env in &mut left {
            env.fail(&self.ledger, error.clone());
        }
        let count = left.len();
        let drop_all = (count > 0).then(|| -> Box<dyn FnOnce() + Send> {
            Box::new(move || {
                for env in left {
                    guarded(|| drop(env));
                }
            })
        });
        Remains { count, drop_all }
    }

    fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

/// Messages whose senders have been answered, still to be dropped: foreign code that may take its
/// time.
#[must_use]
pub(crate) struct Remains {
    pub(crate) count: usize,
    drop_all: Option<Box<dyn FnOnce() + Send>>,
}

impl Remains {
    /// Drops them here.
    pub(crate) fn drop_here(mut self) {
        if let Some(drop_all) = self.drop_all.take() {
            drop_all();
        }
    }

    /// Drops them on a thread of their own, if there are any. Without a thread they are dropped here.
    pub(crate) fn drop_elsewhere(mut self) -> Option<JoinHandle<()>> {
        let drop_all = self.drop_all.take()?;
        thread::Builder::new().name("nipworker-drop".to_owned()).spawn(drop_all).ok()
    }
}

/// Lets code that runs for long see that it is wanted no more; see [`StartContext::stop_signal`].
///
/// [`StartContext::stop_signal`]: crate::StartContext::stop_signal
#[derive(Clone)]
pub struct StopSignal(pub(crate) Arc<crate::local::Incarnation>);

impl StopSignal {
    /// Whether this incarnation has been asked to stop, or has been given up.
    pub fn is_set(&self) -> bool {
        self.0.is_abandoned() || self.0.stop_asked().is_some()
    }
}

impl std::fmt::Debug for StopSignal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("StopSignal").field(&self.is_set()).finish()
    }
}

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
