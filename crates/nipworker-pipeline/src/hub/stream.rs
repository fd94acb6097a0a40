//! The reader's side.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures::{Stream, stream::FusedStream};

use super::{
    registry::{Inner, Shared},
    stats::SubscriptionStats,
    types::{CloseReason, SubscriptionEvent},
};

/// What a subscription delivers. Dropping it ends the subscription.
///
/// The last item is [`SubscriptionEvent::Closed`]; then the stream ends. Polling is cancel safe:
/// an item leaves the queue only when it is returned.
#[must_use = "dropping it ends the subscription"]
pub struct SubscriptionStream {
    hub: Arc<Inner>,
    shared: Arc<Shared>,
    is_finished: bool,
}

impl SubscriptionStream {
    pub(super) fn new(hub: Arc<Inner>, shared: Arc<Shared>) -> Self {
        Self { hub, shared, is_finished: false }
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
        let (item, waiters) = {
            let (subscription, waiters) = &mut *self.shared.lock();
            let item = subscription.pop();
            let waiters = if item.is_some() { waiters.take_all() } else { Vec::new() };
            (item, waiters)
        };
        waiters.into_iter().for_each(std::task::Waker::wake);
        self.is_finished |= matches!(item, Some(SubscriptionEvent::Closed(_)));
        item
    }
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
        match self.try_next() {
            Some(item) => Poll::Ready(Some(item)),
            None => Poll::Pending,
        }
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
