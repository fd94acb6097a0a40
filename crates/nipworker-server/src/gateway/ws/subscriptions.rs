//! The subscriptions of one connection as one stream.

use std::{
    collections::HashMap,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};

use futures::{
    Stream, StreamExt,
    stream::{AbortHandle, Abortable, LocalBoxStream, SelectAll},
};
use nipworker_core::{Subscription, SubscriptionEvent};

use crate::gateway::counters::{Counters, Held};

/// One opening of one subscription id. An id that is opened again gets another.
pub(super) type Opening = u64;

type Open = Held<fn(&Counters) -> &std::sync::atomic::AtomicU64>;

struct Entry {
    opening: Opening,
    /// Set once the engine has opened it.
    stop: Option<AbortHandle>,
    /// Counts it while it is open.
    _open: Open,
}

/// What a subscription says, and which one says it.
pub(super) type Said = (Rc<str>, Opening, SubscriptionEvent);

/// The open subscriptions of a connection, those that are being opened included.
pub(super) struct Subscriptions {
    entries: HashMap<Rc<str>, Entry>,
    streams: SelectAll<LocalBoxStream<'static, Said>>,
    next_opening: Opening,
    counters: Arc<Counters>,
}

impl Subscriptions {
    pub(super) fn new(counters: Arc<Counters>) -> Self {
        Self { entries: HashMap::new(), streams: SelectAll::new(), next_opening: 0, counters }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.entries.contains_key(id)
    }

    /// Takes a place for `id`; one that was open under this id ends.
    pub(super) fn reserve(&mut self, id: &str) -> Opening {
        self.close(id);
        self.next_opening += 1;
        let open: Open = Held::new(self.counters.clone(), |counters| &counters.subscriptions);
        let entry = Entry { opening: self.next_opening, stop: None, _open: open };
        self.entries.insert(Rc::from(id), entry);
        self.next_opening
    }

    /// Attaches what the engine opened, unless it was closed or replaced in the meantime.
    pub(super) fn attach(&mut self, id: &str, opening: Opening, subscription: Subscription) {
        let Some((name, entry)) = self.entries.get_key_value(id) else { return };
        if entry.opening != opening {
            return;
        }
        let name = name.clone();
        let (stop, stopped) = AbortHandle::new_pair();
        let said = Abortable::new(subscription, stopped)
            .map({
                let name = name.clone();
                move |event| (name.clone(), opening, event)
            })
            .boxed_local();
        self.streams.push(said);
        if let Some(entry) = self.entries.get_mut(&name) {
            entry.stop = Some(stop);
        }
    }

    /// Ends the subscription `id`; false when there is none.
    pub(super) fn close(&mut self, id: &str) -> bool {
        let Some(entry) = self.entries.remove(id) else { return false };
        if let Some(stop) = entry.stop {
            stop.abort();
        }
        true
    }

    /// Ends the subscription `id` if it still is this opening of it.
    pub(super) fn close_opening(&mut self, id: &str, opening: Opening) -> bool {
        self.is_open(id, opening) && self.close(id)
    }

    pub(super) fn is_open(&self, id: &str, opening: Opening) -> bool {
        self.entries.get(id).is_some_and(|entry| entry.opening == opening)
    }

    /// Whether [`Stream::poll_next`] can yield anything.
    pub(super) fn has_streams(&self) -> bool {
        !self.streams.is_empty()
    }
}

impl Stream for Subscriptions {
    type Item = Said;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Said>> {
        self.streams.poll_next_unpin(cx)
    }
}
