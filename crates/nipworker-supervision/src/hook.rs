//! Catches the text and the place of a panic, which `catch_unwind` does not give.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{self, PanicHookInfo};
use std::sync::{Arc, Once};

use crate::failure::{AskError, Failure};
use crate::ledger::Ledger;
use crate::local;

/// Panics that are remembered until the actor's code returns; all but one of them it caught itself.
const PANICS_KEPT: usize = 8;

/// Takes note of panics on the thread of a worker.
pub(crate) trait PanicSink {
    fn ledger(&self) -> &Ledger;
}

#[derive(Clone, Debug)]
pub(crate) struct Panicked {
    pub(crate) message: String,
    pub(crate) place: Option<String>,
}

impl From<Panicked> for Failure {
    fn from(Panicked { message, place }: Panicked) -> Self {
        Self::Panicked { message, place }
    }
}

thread_local! {
    /// Whose futures run on this thread outside of an actor's own poll (`ResponseFuture`s).
    static RESIDENTS: RefCell<Vec<Arc<dyn PanicSink>>> = const { RefCell::new(Vec::new()) };
}

/// Announces that futures of this worker may run on this thread from now on.
pub(crate) fn move_in(sink: &Arc<dyn PanicSink>) {
    RESIDENTS.with_borrow_mut(|residents| {
        if !residents.iter().any(|r| std::ptr::addr_eq(Arc::as_ptr(r), Arc::as_ptr(sink))) {
            residents.push(Arc::clone(sink));
        }
    });
}

/// Installs the hook, once per process. The hook that was there before runs afterwards.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            note(info);
            before(info);
        }));
    });
}

fn note(info: &PanicHookInfo<'_>) {
    let panicked = || Panicked {
        message: text(info.payload()),
        place: info.location().map(|at| format!("{}:{}", at.file(), at.line())),
    };
    if let Some(local) = local::current() {
        if let Ok(mut kept) = local.panics.try_borrow_mut() {
            if kept.len() == PANICS_KEPT {
                kept.remove(0);
            }
            kept.push(panicked());
        }
        return;
    }
    // A panic of a future that the actor handed to the thread: only its own asker is concerned, and
    // will find this when the answer does not come.
    RESIDENTS
        .try_with(|residents| {
            if let Ok(residents) = residents.try_borrow() {
                for sink in residents.iter() {
                    sink.ledger().note_incident(AskError::from(Failure::from(panicked())));
                }
            }
        })
        .ok();
}

/// The text of a panic payload.
pub(crate) fn text(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "(a payload that is not text)".to_owned()
    }
}
