//! The reader's side.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures::{Stream, stream::FusedStream};

use nipworker_protocol::Event;

use super::{
    config::DeliveryLimits,
    registry::{Inner, Shared},
    stats::SubscriptionStats,
    types::{CloseReason, SubscriptionEvent},
};
use crate::pipes::{Chain, Fate, Item};

/// Events that pipes may hold back before a stream lets others have the thread.
const HELD_BACK_AT_ONCE: usize = 128;

/// What a subscription delivers. Dropping it ends the subscription.
///
/// The last item is [`SubscriptionEvent::Closed`]; then the stream ends. Polling is cancel safe:
/// an item leaves the queue only when it is returned or a pipe has held it back. The pipes run
/// here, where the stream is polled.
#[must_use = "dropping it ends the subscription"]
pub struct SubscriptionStream {
    hub: Arc<Inner>,
    shared: Arc<Shared>,
    pipes: Chain,
    /// What follows the notes of the pipes.
    behind_notes: Option<SubscriptionEvent>,
    limits: DeliveryLimits,
    events: u64,
    bytes: u64,
    /// A limit is reached.
    cut: Option<CloseReason>,
    is_finished: bool,
}

/// What one look at the queue has brought.
enum Look {
    Item(SubscriptionEvent),
    HeldBack,
    Nothing,
}

impl SubscriptionStream {
    pub(super) fn new(
        hub: Arc<Inner>,
        shared: Arc<Shared>,
        pipes: Chain,
        limits: DeliveryLimits,
    ) -> Self {
        Self {
            hub,
            shared,
            pipes,
            behind_notes: None,
            limits,
            events: 0,
            bytes: 0,
            cut: (limits.max_events == Some(0)).then_some(CloseReason::MaxEvents),
            is_finished: false,
        }
    }

    /// The subscription's name.
    pub fn id(&self) -> &Arc<str> {
        &self.shared.id
    }

    /// A snapshot of the subscription.
    pub fn stats(&self) -> SubscriptionStats {
        self.shared.lock().0.stats(&self.shared.id)
    }

    /// The next item if one is there now; `None` says nothing about what will come.
    pub fn try_next(&mut self) -> Option<SubscriptionEvent> {
        loop {
            match self.look() {
                Look::Item(item) => return Some(item),
                Look::HeldBack => {}
                Look::Nothing => return None,
            }
        }
    }

    fn look(&mut self) -> Look {
        if self.is_finished {
            return Look::Nothing;
        }
        if let Some((pipe, note)) = self.pipes.next_note() {
            return Look::Item(SubscriptionEvent::Note { pipe, note });
        }
        if let Some(item) = self.behind_notes.take() {
            return Look::Item(self.give(item));
        }
        if let Some(reason) = self.cut {
            return Look::Item(self.give(SubscriptionEvent::Closed(reason)));
        }
        let Some(item) = self.pop() else { return Look::Nothing };
        if self.pipes.is_empty() {
            return Look::Item(self.give(item));
        }
        match &item {
            SubscriptionEvent::Event { event, source } => {
                if self.pipes.take(&Item::new(event, source)) == Fate::Passed {
                    self.behind_notes = Some(item);
                }
            }
            SubscriptionEvent::EndOfStored => {
                self.pipes.end_of_stored();
                self.behind_notes = Some(item);
            }
            _ => return Look::Item(self.give(item)),
        }
        Look::HeldBack
    }

    fn pop(&self) -> Option<SubscriptionEvent> {
        let (item, waiters) = {
            let (subscription, waiters) = &mut *self.shared.lock();
            let item = subscription.pop();
            let waiters = if item.is_some() { waiters.take_all() } else { Vec::new() };
            (item, waiters)
        };
        waiters.into_iter().for_each(std::task::Waker::wake);
        item
    }

    /// The item that the reader gets: this one, or the end where a limit is reached.
    fn give(&mut self, item: SubscriptionEvent) -> SubscriptionEvent {
        match &item {
            SubscriptionEvent::Event { event, .. } => {
                let bytes = self.bytes.saturating_add(size(event));
                if self.limits.max_bytes.is_some_and(|most| bytes > most) {
                    return self.close(CloseReason::MaxBytes);
                }
                self.bytes = bytes;
                self.events += 1;
                if self.limits.max_events.is_some_and(|most| self.events >= most) {
                    // Relays need not work for it any more.
                    self.cut = Some(CloseReason::MaxEvents);
                    self.hub.remove(&self.shared, CloseReason::MaxEvents);
                }
            }
            SubscriptionEvent::Closed(reason) => return self.close(*reason),
            _ => {}
        }
        item
    }

    fn close(&mut self, reason: CloseReason) -> SubscriptionEvent {
        self.is_finished = true;
        self.hub.remove(&self.shared, reason);
        SubscriptionEvent::Closed(reason)
    }
}

fn size(event: &Event) -> u64 {
    let tags: usize = event.tags.iter().flat_map(|tag| &tag.0).map(String::len).sum();
    (event.content.len() + tags) as u64 + DeliveryLimits::EVENT_BYTES
}

impl Stream for SubscriptionStream {
    type Item = SubscriptionEvent;

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<SubscriptionEvent>> {
        if self.is_finished {
            return Poll::Ready(None);
        }
        // Registered before looking, so that nothing that comes in between is slept through.
        self.shared.reader.register(cx.waker());
        for _ in 0..HELD_BACK_AT_ONCE {
            match self.look() {
                Look::Item(item) => return Poll::Ready(Some(item)),
                Look::HeldBack => {}
                Look::Nothing => return Poll::Pending,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl FusedStream for SubscriptionStream {
    fn is_terminated(&self) -> bool {
        self.is_finished
    }
}

impl Drop for SubscriptionStream {
    fn drop(&mut self) {
        self.hub.remove(&self.shared, CloseReason::Unsubscribed);
    }
}

impl fmt::Debug for SubscriptionStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubscriptionStream({:?})", self.shared.id)
    }
}
