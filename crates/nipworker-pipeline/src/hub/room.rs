//! Waiting for a reader to make room.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use super::{
    registry::{Hub, Shared},
    types::Claim,
};

impl Hub {
    /// Waits until `events` fit into the queue, or as many as it can ever hold, or until the
    /// reader is no longer waited for, or the subscription is gone. Cancel safe.
    pub fn room(&self, id: &str, events: usize) -> RoomFuture {
        RoomFuture { shared: self.0.get(id), events, claim: None, key: None }
    }

    /// As [`Hub::room`], for a page of the cache, which waits for its reader as long as it takes.
    /// It also ends when the claim does.
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
        let is_given_up = claim.is_none() && subscription.is_given_up();
        if is_given_up || subscription.room() >= (*events).min(subscription.capacity()) {
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

/// Wakers of those who wait for room, each removed by the one who waits.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    next: u64,
    wakers: HashMap<u64, Waker>,
}

impl Waiters {
    pub(super) fn set(&mut self, key: &mut Option<u64>, waker: &Waker) {
        let key = *key.get_or_insert_with(|| {
            self.next += 1;
            self.next
        });
        self.wakers.insert(key, waker.clone());
    }

    pub(super) fn remove(&mut self, key: u64) {
        self.wakers.remove(&key);
    }

    pub(super) fn take_all(&mut self) -> Vec<Waker> {
        self.wakers.drain().map(|(_, waker)| waker).collect()
    }
}
