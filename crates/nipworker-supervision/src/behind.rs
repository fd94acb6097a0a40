//! What the supervisor sees of a mailbox, with the actor's type hidden.

use std::sync::Arc;
use std::time::Duration;

use actix::Actor;
use nipworker_mailbox::Counters;

use crate::address::{Inner, MailboxStatus};
use crate::failure::AskError;
use crate::ledger::Ledger;

pub(crate) trait Behind: Send + Sync {
    fn ledger(&self) -> &Ledger;
    fn mailbox_status(&self) -> MailboxStatus;
    fn counters(&self) -> Counters;
    fn busy_token(&self) -> u64;
    /// Starts the next generation. What the last one had in hand fails with `error`.
    fn fence(&self, error: AskError) -> u64;
    /// The same, unless the consumer has moved on since `token` was read.
    fn fence_if_stuck(&self, token: u64, error: AskError) -> bool;
    /// Fails the answers that futures of the worker have yet to give.
    fn fail_pending(&self, error: &AskError);
    fn depth(&self) -> u64;
    fn seal(&self);
    fn open(&self);
    /// Closes, and fails everything that is queued. Gives the number of messages.
    fn close(&self, error: AskError) -> usize;
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

    fn fence(&self, error: AskError) -> u64 {
        let fence = self.mailbox.fence();
        if let Some(env) = fence.in_hand {
            env.fail(&self.ledger, error);
        }
        fence.generation
    }

    fn fence_if_stuck(&self, token: u64, error: AskError) -> bool {
        let Some(fence) = self.mailbox.fence_if_stuck(token) else { return false };
        if let Some(env) = fence.in_hand {
            env.fail(&self.ledger, error);
        }
        true
    }

    fn fail_pending(&self, error: &AskError) {
        self.ledger.pending.fail_all(&self.ledger, error);
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

    fn close(&self, error: AskError) -> usize {
        let left = self.mailbox.close();
        let count = left.len();
        for env in left {
            env.fail(&self.ledger, error.clone());
        }
        count
    }

    fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
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
