//! Answers that come later: kept track of, so that they can be failed and waited for.
//!
//! A handler may answer with a future (`ResponseFuture`, `ResponseActFuture`, `AtomicResponse`). Its
//! message is out of the mailbox's slot then. If the thread under such a future hangs, the way to
//! answer must be in somebody else's hands, or the asker would wait for ever. So the future gets a
//! channel of its own, and the asker's stays here until a forwarder passes the answer on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

use crate::address::Inner;
use crate::failure::AskError;
use crate::ledger::Ledger;
use crate::local::Incarnation;
use crate::util::{guarded, lock};

/// The answers of one address that are still to come.
#[derive(Default)]
pub(crate) struct Pending(Mutex<HashMap<u64, Arc<dyn Debt>>>);

/// An answer that is owed, with its type hidden.
trait Debt: Send + Sync {
    fn fail(&self, ledger: &Ledger, error: AskError);
}

/// The asker's end. Whoever takes it out first decides.
struct Owed<R> {
    seq: u64,
    message_type: &'static str,
    /// The inner is `None` for a message without an asker.
    reply: Mutex<Option<Option<oneshot::Sender<R>>>>,
}

impl<R: Send> Debt for Owed<R> {
    fn fail(&self, ledger: &Ledger, error: AskError) {
        let reply = lock(&self.reply).take();
        match reply {
            None => {}
            Some(None) => ledger.bury(self.message_type, &error),
            Some(Some(reply)) => fail_ask(ledger, self.seq, reply, error),
        }
    }
}

/// Tells an asker why there is no answer.
pub(crate) fn fail_ask<R>(ledger: &Ledger, seq: u64, reply: oneshot::Sender<R>, error: AskError) {
    ledger.put_reason(seq, error);
    // The asker closes its end before it looks for a reason. If it had gone before the reason was
    // put there, nobody takes it out but us.
    if reply.is_closed() {
        ledger.take_reason(seq);
    }
    guarded(|| drop(reply));
}

impl Pending {
    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.0).is_empty()
    }

    /// Fails everything that is owed: the thread that was to answer is given up.
    pub(crate) fn fail_all(&self, ledger: &Ledger, error: &AskError) {
        let debts = std::mem::take(&mut *lock(&self.0));
        for debt in debts.into_values() {
            debt.fail(ledger, error.clone());
        }
    }
}

/// Passes an answer on when it comes; runs as a task of the thread.
struct Forwarder<A: actix::Actor, R: Send> {
    inner: Arc<Inner<A>>,
    incarnation: Arc<Incarnation>,
    owed: Arc<Owed<R>>,
    /// Panics of this worker before the handler ran.
    incidents: u64,
}

impl<A: actix::Actor, R: Send> Drop for Forwarder<A, R> {
    /// Also when the task is dropped with its thread.
    fn drop(&mut self) {
        let ledger = &self.inner.ledger;
        let reason = ledger.incident_since(self.incidents).unwrap_or_else(AskError::no_answer);
        self.owed.fail(ledger, reason);
        lock(&ledger.pending.0).remove(&self.owed.seq);
        // It may be waiting for us to stop.
        if self.incarnation.stop_asked().is_some() {
            self.incarnation.wake();
        }
    }
}

/// Stands between a handler that may answer later and its asker: gives the sender to hand to the
/// handler's response.
pub(crate) fn stand_between<A, R>(
    inner: &Arc<Inner<A>>,
    incarnation: &Arc<Incarnation>,
    seq: u64,
    message_type: &'static str,
    reply: Option<oneshot::Sender<R>>,
) -> (oneshot::Sender<R>, impl FnOnce())
where
    A: actix::Actor,
    R: Send + 'static,
{
    let (tx, mut rx) = oneshot::channel();
    let incidents = inner.ledger.incidents();
    let (inner, incarnation) = (Arc::clone(inner), Arc::clone(incarnation));
    let follow = move || {
        // Many handlers that may answer later do not.
        if let Ok(answer) = rx.try_recv() {
            if let Some(reply) = reply {
                reply.send(answer).ok();
            }
            return;
        }
        let owed = Arc::new(Owed { seq, message_type, reply: Mutex::new(Some(reply)) });
        let debt = Arc::clone(&owed) as Arc<dyn Debt>;
        lock(&inner.ledger.pending.0).insert(seq, debt);
        let forwarder = Forwarder { inner, incarnation, owed, incidents };
        tokio::task::spawn_local(async move {
            if let Ok(answer) = rx.await {
                let reply = lock(&forwarder.owed.reply).take();
                if let Some(Some(reply)) = reply {
                    reply.send(answer).ok();
                }
            }
            drop(forwarder);
        });
    };
    (tx, follow)
}
