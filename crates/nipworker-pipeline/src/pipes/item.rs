//! What a pipe gets and what it answers.

use std::{cell::OnceCell, sync::Arc};

use nipworker_protocol::{Event, Verified};

use super::{Counts, ProofsReport};
use crate::{
    Source,
    kinds::{KindError, ParsedKind},
};

use super::chain::MAX_NOTES;

/// An event on its way to a reader.
#[derive(Debug)]
pub struct Item<'a> {
    event: &'a Arc<Verified<Event>>,
    source: &'a Source,
    view: OnceCell<Result<ParsedKind<'a>, KindError>>,
}

impl<'a> Item<'a> {
    /// An event that came from `source`.
    pub fn new(event: &'a Arc<Verified<Event>>, source: &'a Source) -> Self {
        Self { event, source, view: OnceCell::new() }
    }

    /// The event; its signature was checked.
    pub fn event(&self) -> &'a Arc<Verified<Event>> {
        self.event
    }

    /// Where it came from first.
    pub fn source(&self) -> &'a Source {
        self.source
    }

    /// What the event says, read when it is first asked for.
    ///
    /// # Errors
    /// [`KindError`]: the kind is known, but the event is not of its form.
    pub fn view(&self) -> Result<&ParsedKind<'a>, &KindError> {
        self.view.get_or_init(|| ParsedKind::of(self.event)).as_ref()
    }
}

/// What becomes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It goes on, unchanged: a pipe never changes an event.
    Pass,
    /// It goes no further, for this reason. The reasons of a pipe are few and fixed texts; they
    /// are counted.
    Drop(&'static str),
    /// It goes no further because the pipe has made something else of it; see [`Notes`].
    Taken,
}

/// What a pipe has to say to the reader beside events.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum PipeNote {
    /// Of the counter.
    Counts(Counts),
    /// Of the proof check.
    Proofs(ProofsReport),
    /// Of the serialiser: an event in JSON, without a line break.
    Line(String),
    /// Of a pipe of one's own.
    Value(serde_json::Value),
}

/// What a pipe says while it has an event. At most [`MAX_NOTES`] each time; more are dropped and
/// counted.
#[derive(Debug, Default)]
pub struct Notes {
    pub(super) notes: Vec<PipeNote>,
    pub(super) dropped: u64,
}

impl Notes {
    /// Tells the reader. It comes before the event that is being looked at.
    pub fn tell(&mut self, note: PipeNote) {
        if self.notes.len() < MAX_NOTES {
            self.notes.push(note);
        } else {
            self.dropped += 1;
        }
    }
}

/// A step on the way to the reader. Each subscription has pipes of its own.
///
/// It runs on the thread that polls the subscription's stream. When it panics, that event is
/// dropped and counted under the pipe's name, and the next event comes as if nothing had been.
pub trait Pipe: Send {
    /// Looks at an event.
    fn take(&mut self, item: &Item<'_>, notes: &mut Notes) -> Step;

    /// Everything that was stored has been through. Comes once, however many relays were asked.
    fn end_of_stored(&mut self, notes: &mut Notes) {
        let _ = notes;
    }
}
