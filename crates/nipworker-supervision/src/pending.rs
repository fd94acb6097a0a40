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
use crate::util::{guarded, lock};

/// The answers of one address that are still to come.
#[derive(Default)]
pub(crate) struct Pending(Mutex<Table>);

#[derive(Default)]
struct Table {
    owed: HashMap<u64, Arc<dyn Debt>>,
    /// The last generation whose thread was given up, and why: it must not owe anything any more.
    given_up: Option<(u64, AskError)>,
}

/// An answer that is owed, with its type hidden.
trait Debt: Send + Sync {
    /// False if the asker has been answered already.
    fn fail(&self, ledger: &Ledger, error: AskError) -> bool;
    /// The worker's failure since the question was handled, if there was one.
    fn incident(&self, ledger: &Ledger) -> Option<AskError>;
}

/// The asker's end. Whoever takes it out first decides.
struct Owed<R> {
    seq: u64,
    message_type: &'static str,
    /// Failures of this worker before the handler ran.
    incidents: u64,
    /// The inner is `None` for a message without an asker.
    reply: Mutex<Option<Option<oneshot::Sender<R>>>>,
}

impl<R: Send> Debt for Owed<R> {
    fn fail(&self, ledger: &Ledger, error: AskError) -> bool {
        let reply = lock(&self.reply).take();
        match reply {
            None => return false,
            Some(None) => ledger.bury(self.message_type, &error),
            Some(Some(reply)) => fail_ask(ledger, self.seq, reply, error),
        }
        true
    }

    fn incident(&self, ledger: &Ledger) -> Option<AskError> {
        ledger.incident_since(self.incidents)
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
        lock(&self.0).owed.is_empty()
    }

    /// Fails everything that is owed, with the failure that each met or else with `error`. Gives
    /// the number of answers.
    pub(crate) fn fail_all(&self, ledger: &Ledger, error: &AskError) -> usize {
        let owed = std::mem::take(&mut lock(&self.0).owed);
        let fail = |debt: Arc<dyn Debt>| {
            let reason = debt.incident(ledger).unwrap_or_else(|| error.clone());
            debt.fail(ledger, reason)
        };
        owed.into_values().map(fail).filter(|failed| *failed).count()
    }

    /// Fails everything that is owed with `error`: the thread that was to answer is given up, and
    /// so is everything that this generation or one before it may yet come to owe.
    pub(crate) fn give_up(&self, ledger: &Ledger, generation: u64, error: &AskError) {
        let mut table = lock(&self.0);
        table.given_up = Some((generation, error.clone()));
        let owed = std::mem::take(&mut table.owed);
        drop(table);
        for debt in owed.into_values() {
            debt.fail(ledger, error.clone());
        }
    }

    /// Takes note of a debt, unless its generation has been given up: then gives the reason.
    fn insert(&self, generation: u64, seq: u64, debt: Arc<dyn Debt>) -> Result<(), AskError> {
        let mut table = lock(&self.0);
        if let Some((through, error)) = &table.given_up
            && generation <= *through
        {
            return Err(error.clone());
        }
        table.owed.insert(seq, debt);
        Ok(())
    }
}

/// Passes an answer on when it comes; runs as a task of the thread.
struct Forwarder<A: actix::Actor, R: Send> {
    inner: Arc<Inner<A>>,
    owed: Arc<Owed<R>>,
}

impl<A: actix::Actor, R: Send> Drop for Forwarder<A, R> {
    /// Also when the task is dropped with its thread.
    fn drop(&mut self) {
        let ledger = &self.inner.ledger;
        let reason = self.owed.incident(ledger).unwrap_or_else(AskError::no_answer);
        self.owed.fail(ledger, reason);
        let debt = lock(&ledger.pending.0).owed.remove(&self.owed.seq);
        drop(debt);
        // Debts belong to the address: who waits for this one in order to stop need not be the
        // incarnation that made it.
        ledger.wake_stopping();
    }
}

/// An answer that a handler's response has been given a channel for.
pub(crate) struct Later<R> {
    pub(crate) generation: u64,
    pub(crate) seq: u64,
    pub(crate) message_type: &'static str,
    /// The ledger's count of incidents before the handler's response was looked at.
    pub(crate) incidents: u64,
    pub(crate) answer: oneshot::Receiver<R>,
    pub(crate) reply: Option<oneshot::Sender<R>>,
}

/// Passes the answer on, now or when it comes.
pub(crate) fn follow<A, R>(inner: &Arc<Inner<A>>, later: Later<R>)
where
    A: actix::Actor,
    R: Send + 'static,
{
    let Later { generation, seq, message_type, incidents, mut answer, reply } = later;
    // Many handlers that may answer later do not.
    if let Ok(answer) = answer.try_recv() {
        if let Some(reply) = reply {
            reply.send(answer).ok();
        }
        return;
    }
    let owed = Arc::new(Owed { seq, message_type, incidents, reply: Mutex::new(Some(reply)) });
    let debt = Arc::clone(&owed) as Arc<dyn Debt>;
    if let Err(error) = inner.ledger.pending.insert(generation, seq, debt) {
        owed.fail(&inner.ledger, error);
        return;
    }
    let forwarder = Forwarder { inner: Arc::clone(inner), owed };
    tokio::task::spawn_local(async move {
        if let Ok(answer) = answer.await {
            let reply = lock(&forwarder.owed.reply).take();
            if let Some(Some(reply)) = reply {
                reply.send(answer).ok();
            }
        }
        drop(forwarder);
    });
}
