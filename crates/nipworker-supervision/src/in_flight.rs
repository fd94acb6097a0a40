//! Back-pressure for workers that answer later.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Notify;

#[derive(Debug, Default)]
struct Inner {
    count: AtomicUsize,
    ended: Notify,
}

/// Counts the requests that a worker has taken and not answered yet.
///
/// A handler that answers with a future leaves its mailbox free for the next message, so a full
/// mailbox no longer tells senders to wait. A worker [enters](Self::enter) each such request here,
/// and reads no further message ([`ctx.wait`](actix::AsyncContext::wait)) until fewer are
/// [under way](Self::below).
///
/// Clones count together.
#[derive(Debug, Clone, Default)]
pub struct InFlight(Arc<Inner>);

/// A request under way; dropping it ends it.
#[derive(Debug)]
#[must_use = "the request is under way as long as this lives"]
pub struct Permit(Arc<Inner>);

impl InFlight {
    /// Counts one more. There is no limit here: the caller stops taking messages in time.
    pub fn enter(&self) -> Permit {
        self.0.count.fetch_add(1, Ordering::AcqRel);
        Permit(Arc::clone(&self.0))
    }

    /// How many are under way.
    pub fn count(&self) -> usize {
        self.0.count.load(Ordering::Acquire)
    }

    /// Waits until fewer than `limit` are under way. One task waits at a time, as an actor does.
    ///
    /// Cancel safe: dropping it changes nothing.
    pub fn below(&self, limit: usize) -> impl Future<Output = ()> + 'static {
        let inner = Arc::clone(&self.0);
        async move {
            while inner.count.load(Ordering::Acquire) >= limit {
                // An end between the look and the wait is remembered.
                inner.ended.notified().await;
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::AcqRel);
        self.0.ended.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::InFlight;

    #[test]
    fn who_waits_goes_on_when_enough_requests_have_ended() {
        let requests = InFlight::default();
        let mut permits: Vec<_> = (0..3).map(|_| requests.enter()).collect();
        let mut below = std::pin::pin!(requests.below(2));
        assert!(below.as_mut().now_or_never().is_none());
        permits.pop();
        assert!(below.as_mut().now_or_never().is_none(), "two are not fewer than two");
        permits.pop();
        assert!(below.as_mut().now_or_never().is_some());
        assert_eq!(requests.count(), 1);
        assert!(requests.clone().below(2).now_or_never().is_some());
    }

    #[test]
    fn requests_that_end_on_other_threads_wake_who_waits() {
        let requests = InFlight::default();
        let permits: Vec<_> = (0..64).map(|_| requests.enter()).collect();
        let ends: Vec<_> =
            permits.into_iter().map(|permit| std::thread::spawn(move || drop(permit))).collect();
        futures::executor::block_on(requests.below(1));
        ends.into_iter().for_each(|end| end.join().unwrap());
        assert_eq!(requests.count(), 0);
    }
}
