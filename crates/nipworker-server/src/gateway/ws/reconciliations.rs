//! Clients that compare what they have with what is stored here (NIP-77).

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use nipworker_core::{ClientError, Responder, protocol::Filter};

use crate::{gateway::state::Gateway, verdict::error_message};

/// Events that all clients together compare at a time, 40 bytes each.
pub(crate) const RECONCILED_EVENTS_TOTAL: usize = 2_000_000;

/// A reconciliation in which the client says nothing for this long is over.
const IDLE: Duration = Duration::from_secs(60);

/// One opening of one name. A name that is opened again gets another.
pub(super) type Opening = u64;

/// What is compared, counted against [`RECONCILED_EVENTS_TOTAL`] while somebody needs it.
#[derive(Debug)]
pub(super) struct Share {
    responder: Responder,
    total: Arc<AtomicUsize>,
}

impl Share {
    /// `None` when that is too much at the moment.
    fn take(responder: Responder, total: &Arc<AtomicUsize>) -> Option<Self> {
        let events = responder.len();
        total
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |taken| {
                taken.checked_add(events).filter(|taken| *taken <= RECONCILED_EVENTS_TOTAL)
            })
            .ok()
            .map(|_| Self { responder, total: Arc::clone(total) })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.total.fetch_sub(self.responder.len(), Ordering::AcqRel);
    }
}

struct Open {
    opening: Opening,
    /// Set once the store has said what there is.
    share: Option<Arc<Share>>,
    /// Whether an answer is being made. The client has to wait for it.
    is_busy: bool,
    last_heard: Instant,
}

/// The reconciliations of one connection.
#[derive(Default)]
pub(super) struct Reconciliations {
    open: HashMap<String, Open>,
    next: Opening,
}

/// What a step came to: the message that the client gets, or why it is over.
pub(super) type Answered = Result<(Arc<Share>, Vec<u8>), String>;

impl Reconciliations {
    /// Takes a place for `name`; one that was open under this name ends.
    ///
    /// # Errors
    /// What the client is told when too many are open.
    pub(super) fn reserve(&mut self, name: &str, limit: usize) -> Result<Opening, String> {
        if limit == 0 {
            return Err("blocked: this relay does not reconcile (NIP-77)".to_owned());
        }
        if self.open.len() >= limit && !self.open.contains_key(name) {
            return Err(format!("blocked: {limit} reconciliations are open, which is the limit"));
        }
        self.next += 1;
        let opening = self.next;
        let open = Open { opening, share: None, is_busy: true, last_heard: Instant::now() };
        self.open.insert(name.to_owned(), open);
        Ok(opening)
    }

    /// What to compare with the client's next message.
    ///
    /// # Errors
    /// What the client is told when there is nothing; it is over then.
    pub(super) fn next(&mut self, name: &str) -> Result<(Opening, Arc<Share>), String> {
        let Some(open) = self.open.get_mut(name) else {
            return Err("closed: no such reconciliation is open".to_owned());
        };
        open.last_heard = Instant::now();
        match &open.share {
            Some(share) if !open.is_busy => {
                open.is_busy = true;
                Ok((open.opening, Arc::clone(share)))
            }
            _ => {
                self.open.remove(name);
                Err("invalid: a message came before the last one was answered".to_owned())
            }
        }
    }

    /// Takes a step's outcome; what the client is told, if it still wants to know.
    pub(super) fn answered(
        &mut self,
        name: &str,
        opening: Opening,
        answered: Answered,
    ) -> Option<Result<Vec<u8>, String>> {
        let open = self.open.get_mut(name).filter(|open| open.opening == opening)?;
        open.last_heard = Instant::now();
        match answered {
            Ok((share, message)) => {
                open.share = Some(share);
                open.is_busy = false;
                Some(Ok(message))
            }
            Err(reason) => {
                self.open.remove(name);
                Some(Err(reason))
            }
        }
    }

    pub(super) fn close(&mut self, name: &str) {
        self.open.remove(name);
    }

    /// Ends those in which the client has been silent for too long, and says which these are.
    pub(super) fn end_idle(&mut self) -> Vec<String> {
        let now = Instant::now();
        let is_idle = |open: &Open| !open.is_busy && now.duration_since(open.last_heard) >= IDLE;
        let ended: Vec<String> = self
            .open
            .iter()
            .filter(|(_, open)| is_idle(open))
            .map(|(name, _)| name.clone())
            .collect();
        for name in &ended {
            self.open.remove(name);
        }
        ended
    }
}

/// What the client is told when it was silent for too long.
pub(super) fn silent() -> String {
    format!("closed: you said nothing for {}", humantime::format_duration(IDLE))
}

/// Asks what there is, and answers the first message.
pub(super) async fn begin(gateway: Arc<Gateway>, filter: Filter, message: Vec<u8>) -> Answered {
    let max = gateway.config.websocket.max_reconciled_events;
    match gateway.client.responder(filter, max).await {
        Ok(Some(responder)) => match Share::take(responder, &gateway.reconciled) {
            Some(share) => step(Arc::new(share), message).await,
            None => {
                Err("blocked: too much is being reconciled at the moment, try again".to_owned())
            }
        },
        // The words of NIP-77: the client narrows its filter.
        Ok(None) => Err(format!("blocked: this query is too big (more than {max} events)")),
        Err(error) => Err(failed(&gateway, &error)),
    }
}

fn failed(gateway: &Gateway, error: &ClientError) -> String {
    gateway.engine_failed(error);
    error_message(error)
}

/// Answers one message. It walks over all that is compared, so not on the thread of the sockets.
pub(super) async fn step(share: Arc<Share>, message: Vec<u8>) -> Answered {
    let answer = tokio::task::spawn_blocking(move || {
        let answer = share.responder.answer(&message);
        answer.map(|answer| (share, answer)).map_err(|error| format!("invalid: {error}"))
    });
    answer.await.unwrap_or_else(|_| Err("error: the comparison failed".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(total: &Arc<AtomicUsize>) -> Arc<Share> {
        let held: Vec<_> = (0..10)
            .map(|n| (i64::from(n), nipworker_core::protocol::EventId::from_bytes([n; 32])))
            .collect();
        Arc::new(Share::take(Responder::new(&held), total).unwrap())
    }

    #[test]
    fn what_is_compared_is_counted_until_nobody_needs_it() {
        let total = Arc::new(AtomicUsize::new(RECONCILED_EVENTS_TOTAL - 25));
        let first = share(&total);
        let second = share(&total);
        assert!(Share::take(first.responder.clone(), &total).is_none());
        drop(first);
        let third = share(&total);
        drop((second, third));
        assert_eq!(total.load(Ordering::Acquire), RECONCILED_EVENTS_TOTAL - 25);
    }

    #[test]
    fn a_name_has_one_reconciliation_and_a_client_not_too_many() {
        let total = Arc::default();
        let mut all = Reconciliations::default();
        assert!(all.reserve("a", 0).unwrap_err().starts_with("blocked: "));
        let old = all.reserve("a", 1).unwrap();
        assert!(all.reserve("b", 1).unwrap_err().contains("1 reconciliations are open"));
        let new = all.reserve("a", 1).unwrap();
        // What the old one comes to concerns nobody.
        assert_eq!(all.answered("a", old, Err("no".to_owned())), None);
        // A message that does not wait for its turn ends it.
        assert!(all.next("a").is_err());
        assert!(all.next("a").unwrap_err().starts_with("closed: "));
        assert_eq!(all.answered("a", new, Ok((share(&total), vec![1]))), None);
        let opening = all.reserve("a", 1).unwrap();
        assert_eq!(all.answered("a", opening, Ok((share(&total), vec![1]))), Some(Ok(vec![1])));
        let (opening, _) = all.next("a").unwrap();
        assert!(all.answered("a", opening, Err("why".to_owned())).unwrap().is_err());
        assert_eq!(total.load(Ordering::Acquire), 0);
        assert!(all.end_idle().is_empty());
    }
}
