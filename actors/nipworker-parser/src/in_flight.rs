//! How many requests are under way.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
};

use futures::task::AtomicWaker;

#[derive(Default)]
struct Inner {
    count: AtomicUsize,
    waker: AtomicWaker,
}

/// Counts requests under way. One waits for a place.
#[derive(Clone, Default)]
pub(crate) struct InFlight(Arc<Inner>);

/// A request under way; dropping it ends it.
pub(crate) struct Permit(Arc<Inner>);

impl InFlight {
    pub(crate) fn enter(&self) -> Permit {
        self.0.count.fetch_add(1, Ordering::AcqRel);
        Permit(Arc::clone(&self.0))
    }

    pub(crate) fn count(&self) -> usize {
        self.0.count.load(Ordering::Acquire)
    }

    /// Waits until fewer than `limit` are under way.
    pub(crate) fn below(&self, limit: usize) -> impl Future<Output = ()> + 'static {
        let inner = Arc::clone(&self.0);
        poll_fn(move |cx| {
            inner.waker.register(cx.waker());
            if inner.count.load(Ordering::Acquire) < limit {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::AcqRel);
        self.0.waker.wake();
    }
}
