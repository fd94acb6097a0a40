//! Waiting for a reader to make room.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::{
    registry::{Hub, Shared},
    types::Claim,
};

impl Hub {
    /// Waits until `events` fit into the queue, or as many as it can ever hold, or until the
    /// subscription is gone. Cancel safe.
    pub fn room(&self, id: &str, events: usize) -> RoomFuture {
        RoomFuture { shared: self.0.get(id), events, claim: None, key: None }
    }

    /// As [`Hub::room`], for a page of the cache: it also ends when the claim does.
    pub fn room_for_page(&self, id: &str, claim: Claim, events: usize) -> RoomFuture {
        RoomFuture { shared: self.0.get(id), events, claim: Some(claim), key: None }
    }
}

/// See [`Hub::room`]. Its output says whether the subscription, or the claim, is still there.
#[must_use = "futures do nothing unless polled"]
pub struct RoomFuture {
    shared: Option<Arc<Shared>>,
    events: usize,
    claim: Option<Claim>,
    key: Option<u64>,
}

impl Future for RoomFuture {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        let Self { shared, events, claim, key } = &mut *self;
        let Some(shared) = shared else { return Poll::Ready(false) };
        let (subscription, waiters) = &mut *shared.lock();
        if subscription.is_closed() || claim.is_some_and(|claim| !subscription.holds(claim)) {
            return Poll::Ready(false);
        }
        if subscription.room() >= (*events).min(subscription.capacity()) {
            return Poll::Ready(true);
        }
        waiters.set(key, cx.waker());
        Poll::Pending
    }
}

impl Drop for RoomFuture {
    fn drop(&mut self) {
        if let (Some(shared), Some(key)) = (&self.shared, self.key) {
            shared.lock().1.remove(key);
        }
    }
}
