//! Subscriptions that have ended, until relays know.

use std::{
    collections::{HashSet, VecDeque},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::registry::Hub;

#[derive(Default)]
pub(super) struct Abandoned {
    /// Names that relays need no longer be asked for, and that nobody has taken care of yet.
    pub(super) waiting: VecDeque<Arc<str>>,
    /// All names that may not be used again yet: those that wait and those being taken care of.
    pub(super) names: HashSet<Arc<str>>,
}

impl Hub {
    /// Waits for subscriptions that have ended and whose relays are to be told. Each name is
    /// given to [`Hub::released`] when that was done, or to [`Hub::put_back`] when it failed.
    /// There is one who waits; a second takes the place of the first. Cancel safe.
    pub fn abandoned(&self) -> AbandonedFuture {
        AbandonedFuture { hub: self.clone() }
    }

    /// Relays know that a subscription has ended: its name may be used again.
    pub fn released(&self, id: &str) {
        self.0.abandoned().names.remove(id);
    }

    /// Relays could not be told that a subscription has ended; [`Hub::abandoned`] will give its
    /// name again.
    pub fn put_back(&self, id: &Arc<str>) {
        let mut abandoned = self.0.abandoned();
        abandoned.names.insert(Arc::clone(id));
        if !abandoned.waiting.contains(id) {
            abandoned.waiting.push_back(Arc::clone(id));
        }
        drop(abandoned);
        self.0.abandoned_waker.wake();
    }

    /// Makes [`Hub::abandoned`] give every name again that was taken and not released: for a
    /// driver that takes over.
    pub fn put_back_all(&self) {
        let mut abandoned = self.0.abandoned();
        abandoned.waiting = abandoned.names.iter().cloned().collect();
        drop(abandoned);
        self.0.abandoned_waker.wake();
    }
}

/// See [`Hub::abandoned`].
#[must_use = "futures do nothing unless polled"]
pub struct AbandonedFuture {
    hub: Hub,
}

impl Future for AbandonedFuture {
    type Output = Vec<Arc<str>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Vec<Arc<str>>> {
        self.hub.0.abandoned_waker.register(cx.waker());
        let mut abandoned = self.hub.0.abandoned();
        if abandoned.waiting.is_empty() {
            return Poll::Pending;
        }
        Poll::Ready(std::mem::take(&mut abandoned.waiting).into())
    }
}
