//! What an address remembers besides its queue: reasons for lost answers, dead letters, times.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::failure::AskError;
use crate::latency::Histogram;
use crate::local::Incarnation;
use crate::pending::Pending;
use crate::util::lock;

/// Dead letters whose description is kept, per address. All are counted.
pub const DEAD_LETTERS_KEPT: usize = 8;

/// A message without a waiting asker that was lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Type of the message.
    pub message_type: String,
    /// Why it was lost.
    pub reason: String,
}

pub(crate) struct Ledger {
    pub(crate) name: Arc<str>,
    pub(crate) latency: Histogram,
    pub(crate) pending: Pending,
    /// Reasons of failed asks, put here before the asker is woken and taken out by the asker.
    reasons: Mutex<HashMap<u64, AskError>>,
    /// The incarnation that was started last.
    current: Mutex<Option<Arc<Incarnation>>>,
    /// Whether a tree has taken this address for a child of its own.
    claimed: AtomicBool,
    /// Failures of this worker so far; see [`Ledger::incident_since`].
    incidents: AtomicU64,
    last_incident: Mutex<Option<AskError>>,
    dead_letters: AtomicU64,
    dead: Mutex<Dead>,
}

#[derive(Default)]
struct Dead {
    kept: VecDeque<DeadLetter>,
    /// Keeps a stream of dead letters from becoming a stream of log lines.
    last_warning: Option<Instant>,
}

impl Ledger {
    pub(crate) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            latency: Histogram::new(),
            pending: Pending::default(),
            current: Mutex::default(),
            claimed: AtomicBool::new(false),
            reasons: Mutex::default(),
            incidents: AtomicU64::new(0),
            last_incident: Mutex::default(),
            dead_letters: AtomicU64::new(0),
            dead: Mutex::default(),
        }
    }

    pub(crate) fn put_reason(&self, seq: u64, reason: AskError) {
        lock(&self.reasons).insert(seq, reason);
    }

    pub(crate) fn take_reason(&self, seq: u64) -> Option<AskError> {
        lock(&self.reasons).remove(&seq)
    }

    pub(crate) fn set_current(&self, incarnation: &Arc<Incarnation>) {
        *lock(&self.current) = Some(Arc::clone(incarnation));
    }

    /// Wakes the present incarnation if it has been asked to stop: what it waits for may be over.
    pub(crate) fn wake_stopping(&self) {
        let current = lock(&self.current).clone();
        if let Some(current) = current.filter(|current| current.stop_asked().is_some()) {
            current.wake();
        }
    }

    /// Makes the caller the one that serves and closes this address. False if there is one.
    pub(crate) fn claim(&self) -> bool {
        !self.claimed.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn release(&self) {
        self.claimed.store(false, Ordering::Release);
    }

    #[cfg(test)]
    pub(crate) fn reasons_kept(&self) -> usize {
        lock(&self.reasons).len()
    }

    /// Notes a failure that may drop answers that are no longer in the slot: those that futures of
    /// the actor have yet to give.
    pub(crate) fn note_incident(&self, error: AskError) {
        *lock(&self.last_incident) = Some(error);
        // After the text, so that who sees the new count finds the text.
        self.incidents.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn incidents(&self) -> u64 {
        self.incidents.load(Ordering::Acquire)
    }

    /// The last failure, if there was one after the count was `before`.
    pub(crate) fn incident_since(&self, before: u64) -> Option<AskError> {
        if self.incidents() == before { None } else { lock(&self.last_incident).clone() }
    }

    pub(crate) fn bury(&self, message_type: &'static str, reason: &AskError) {
        const WARNING_EVERY: Duration = Duration::from_secs(1);
        let total = self.dead_letters.fetch_add(1, Ordering::Relaxed) + 1;
        let reason = reason.to_string();
        let mut dead = lock(&self.dead);
        let now = Instant::now();
        let warn = dead.last_warning.is_none_or(|last| now - last >= WARNING_EVERY);
        if warn {
            dead.last_warning = Some(now);
        }
        if dead.kept.len() == DEAD_LETTERS_KEPT {
            dead.kept.pop_front();
        }
        dead.kept.push_back(DeadLetter { message_type: message_type.to_owned(), reason });
        let reason = dead.kept.back().map(|letter| letter.reason.clone()).unwrap_or_default();
        drop(dead);
        if warn {
            tracing::warn!(worker = &*self.name, message_type, reason, total, "dead letter");
        }
    }

    pub(crate) fn dead_letter_count(&self) -> u64 {
        self.dead_letters.load(Ordering::Relaxed)
    }

    pub(crate) fn dead_letters(&self) -> Vec<DeadLetter> {
        lock(&self.dead).kept.iter().cloned().collect()
    }
}
