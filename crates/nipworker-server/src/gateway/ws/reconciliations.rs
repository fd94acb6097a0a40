//! Clients that compare what they have with what is stored here (NIP-77).

use std::{
    collections::{HashMap, HashSet},
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

/// What a client is told when something broke here.
const FAILED: &str = "error: the comparison failed";

/// One opening of one name. A name that is opened again gets another.
pub(super) type Opening = u64;

/// A part of [`RECONCILED_EVENTS_TOTAL`], given back when it is dropped.
#[derive(Debug)]
struct Part {
    events: usize,
    total: Arc<AtomicUsize>,
}

impl Part {
    /// `None` when that is too much at the moment.
    fn take(events: usize, total: &Arc<AtomicUsize>) -> Option<Self> {
        total
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |taken| {
                taken.checked_add(events).filter(|taken| *taken <= RECONCILED_EVENTS_TOTAL)
            })
            .ok()
            .map(|_| Self { events, total: Arc::clone(total) })
    }

    /// Gives back what is not needed.
    fn shrink_to(&mut self, events: usize) {
        let surplus = self.events.saturating_sub(events);
        self.total.fetch_sub(surplus, Ordering::AcqRel);
        self.events -= surplus;
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.total.fetch_sub(self.events, Ordering::AcqRel);
    }
}

/// What is compared.
#[derive(Debug)]
pub(super) struct Share {
    responder: Responder,
    /// Held while somebody needs it.
    _part: Part,
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
    /// Openings that the store is being asked for, those that nobody waits for any more included.
    asking: HashSet<Opening>,
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
        let is_too_many = self.open.len() >= limit && !self.open.contains_key(name);
        if is_too_many || self.asking.len() >= limit {
            return Err(format!("blocked: {limit} reconciliations are open, which is the limit"));
        }
        self.next += 1;
        let opening = self.next;
        let open = Open { opening, share: None, is_busy: true, last_heard: Instant::now() };
        self.open.insert(name.to_owned(), open);
        self.asking.insert(opening);
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
        self.asking.remove(&opening);
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
    // Before the store is asked: what it lists takes as much.
    let Some(mut part) = Part::take(max, &gateway.reconciled) else {
        return Err("blocked: too much is being reconciled at the moment, try again".to_owned());
    };
    let stored = match gateway.client.stored_positions(filter, max + 1).await {
        Ok(stored) if stored.len() <= max => stored,
        // The words of NIP-77: the client narrows its filter.
        Ok(_) => return Err(format!("blocked: this query is too big (more than {max} events)")),
        Err(error) => return Err(failed(&gateway, &error)),
    };
    part.shrink_to(stored.len());
    // It is sorted, so not on the thread of the sockets.
    let sorted = tokio::task::spawn_blocking(move || {
        Arc::new(Share { responder: Responder::new(&stored), _part: part })
    });
    match sorted.await {
        Ok(share) => step(share, message).await,
        Err(_) => Err(FAILED.to_owned()),
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
    answer.await.unwrap_or_else(|_| Err(FAILED.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(total: &Arc<AtomicUsize>) -> Arc<Share> {
        let held: Vec<_> = (0..10)
            .map(|n| (i64::from(n), nipworker_core::protocol::EventId::from_bytes([n; 32])))
            .collect();
        let part = Part::take(held.len(), total).unwrap();
        Arc::new(Share { responder: Responder::new(&held), _part: part })
    }

    #[test]
    fn what_is_compared_is_counted_until_nobody_needs_it() {
        let total = Arc::new(AtomicUsize::new(RECONCILED_EVENTS_TOTAL - 25));
        let first = share(&total);
        let second = share(&total);
        assert!(Part::take(10, &total).is_none());
        drop(first);
        let mut third = Part::take(15, &total).unwrap();
        third.shrink_to(5);
        assert_eq!(total.load(Ordering::Acquire), RECONCILED_EVENTS_TOTAL - 10);
        third.shrink_to(9);
        drop((second, third));
        assert_eq!(total.load(Ordering::Acquire), RECONCILED_EVENTS_TOTAL - 25);
    }

    #[test]
    fn names_that_are_opened_and_closed_at_once_do_not_ask_the_store_without_end() {
        let mut all = Reconciliations::default();
        let first = all.reserve("a", 2).unwrap();
        all.close("a");
        all.reserve("a", 2).unwrap();
        all.close("a");
        assert!(all.reserve("a", 2).is_err());
        assert_eq!(all.answered("a", first, Err("no".to_owned())), None);
        all.reserve("a", 2).unwrap();
    }

    #[test]
    fn a_name_has_one_reconciliation_and_a_client_not_too_many() {
        let total = Arc::default();
        let mut all = Reconciliations::default();
        assert!(all.reserve("a", 0).unwrap_err().starts_with("blocked: "));
        let old = all.reserve("a", 2).unwrap();
        assert!(all.reserve("b", 1).unwrap_err().contains("1 reconciliations are open"));
        let new = all.reserve("a", 2).unwrap();
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
