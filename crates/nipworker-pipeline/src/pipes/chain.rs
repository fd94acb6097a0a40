//! The pipes of one reader, in order.

use std::{
    any::Any,
    collections::{BTreeMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};

use super::{Item, Notes, Pipe, PipeNote, PipeSpec, Step};

/// Notes that a pipe may leave for one event.
pub const MAX_NOTES: usize = 16;

/// Reasons of one pipe that are counted apart; further ones count as `other`.
pub const MAX_REASONS: usize = 16;

/// What one pipe of a subscription has done.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PipeStats {
    /// The pipe's name.
    pub name: String,
    /// Events that it dropped.
    pub dropped: u64,
    /// Of those, how many for which reason.
    pub reasons: BTreeMap<String, u64>,
    /// Events of which it made something else.
    pub taken: u64,
    /// Events that were dropped because it panicked.
    pub panics: u64,
    /// Times that it panicked at the end of stored events.
    pub end_panics: u64,
    /// What it said when it panicked last.
    pub last_panic: Option<String>,
    /// What it had to say beyond [`MAX_NOTES`] for one event.
    pub notes_dropped: u64,
}

impl PipeStats {
    /// Events that went no further because of it.
    pub fn held_back(&self) -> u64 {
        self.dropped + self.taken + self.panics
    }

    fn drop_for(&mut self, reason: &str) {
        self.dropped += 1;
        let is_new = !self.reasons.contains_key(reason);
        let reason = if is_new && self.reasons.len() >= MAX_REASONS { "other" } else { reason };
        *self.reasons.entry(reason.to_owned()).or_default() += 1;
    }
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It passed every pipe.
    Passed,
    /// A pipe dropped it, or panicked.
    Dropped,
    /// A pipe made something else of it.
    Taken,
}

/// What the pipes of one reader have done, in their order. It can be read from elsewhere; it is
/// written only where something is dropped, taken or fails.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<Vec<PipeStats>>>);

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, Vec<PipeStats>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stats(&self) -> Vec<PipeStats> {
        self.lock().clone()
    }
}

struct Slot {
    pipe: Box<dyn Pipe>,
    name: Arc<str>,
    at: usize,
    ledger: Ledger,
}

/// The pipes of one reader.
#[derive(Default)]
pub struct Chain {
    slots: Vec<Slot>,
    notes: VecDeque<(Arc<str>, PipeNote)>,
    ledger: Ledger,
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.slots.iter().map(|slot| &slot.name)).finish()
    }
}

impl Chain {
    /// Pipes as described, with nothing seen yet.
    pub fn new(specs: &[PipeSpec]) -> Self {
        let ledger = Ledger::default();
        let slots = specs.iter().enumerate().map(|(at, spec)| {
            let name: Arc<str> = spec.name().into();
            ledger.lock().push(PipeStats { name: name.to_string(), ..PipeStats::default() });
            Slot { pipe: spec.build(), name, at, ledger: ledger.clone() }
        });
        Self { slots: slots.collect(), notes: VecDeque::new(), ledger }
    }

    pub(crate) fn ledger(&self) -> Ledger {
        self.ledger.clone()
    }

    /// Whether there is no pipe.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// What each pipe has done, in order.
    pub fn stats(&self) -> Vec<PipeStats> {
        self.ledger.stats()
    }

    /// Sends an event through.
    pub fn take(&mut self, item: &Item<'_>) -> Fate {
        for slot in &mut self.slots {
            let mut notes = Notes::default();
            let step = catch_unwind(AssertUnwindSafe(|| slot.pipe.take(item, &mut notes)));
            let step = slot.settle(step);
            slot.collect(notes, &mut self.notes);
            match step {
                Some(Step::Pass) => {}
                Some(Step::Drop(reason)) => {
                    slot.count(|stats| stats.drop_for(reason));
                    return Fate::Dropped;
                }
                Some(Step::Taken) => {
                    slot.count(|stats| stats.taken += 1);
                    return Fate::Taken;
                }
                None => {
                    slot.count(|stats| stats.panics += 1);
                    return Fate::Dropped;
                }
            }
        }
        Fate::Passed
    }

    /// Tells every pipe that all that was stored has been through.
    pub fn end_of_stored(&mut self) {
        for slot in &mut self.slots {
            let mut notes = Notes::default();
            let told = catch_unwind(AssertUnwindSafe(|| slot.pipe.end_of_stored(&mut notes)));
            if slot.settle(told).is_none() {
                slot.count(|stats| stats.end_panics += 1);
            }
            slot.collect(notes, &mut self.notes);
        }
    }

    /// The oldest thing that a pipe has to say, with the pipe's name.
    pub fn next_note(&mut self) -> Option<(Arc<str>, PipeNote)> {
        self.notes.pop_front()
    }
}

impl Slot {
    fn count(&self, count: impl FnOnce(&mut PipeStats)) {
        count(&mut self.ledger.lock()[self.at]);
    }

    fn settle<T>(&self, result: Result<T, Box<dyn Any + Send>>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(panic) => {
                let text = said(&*panic);
                self.count(|stats| stats.last_panic = Some(text));
                // Dropping what was thrown may panic in turn.
                drop(catch_unwind(AssertUnwindSafe(|| drop(panic))));
                None
            }
        }
    }

    fn collect(&self, notes: Notes, all: &mut VecDeque<(Arc<str>, PipeNote)>) {
        if notes.dropped > 0 {
            self.count(|stats| stats.notes_dropped += notes.dropped);
        }
        all.extend(notes.notes.into_iter().map(|note| (Arc::clone(&self.name), note)));
    }
}

/// Longest text of a panic that is kept, in characters.
const MAX_PANIC_CHARS: usize = 200;

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without text");
    text.chars().take(MAX_PANIC_CHARS).collect()
}
