//! Subscriptions that have ended, until relays know.

use std::{
    collections::{HashSet, VecDeque},
    pin::Pin,
    sync::{Arc, MutexGuard, atomic::Ordering},
    task::{Context, Poll, Waker},
};

use super::{registry::Hub, types::Claim};

#[derive(Default)]
pub(super) struct Abandoned {
    /// Names that relays need no longer be asked for, and that nobody has taken care of yet.
    waiting: VecDeque<Arc<str>>,
    /// All names that may not be used again yet: those that wait and those being taken care of.
    pub(super) names: HashSet<Arc<str>>,
    /// Who takes care of them.
    claim: Option<Claim>,
    /// Under the same lock as the claim, so that nobody with an old one can take its place.
    waker: Option<Waker>,
}

impl Abandoned {
    /// Adds a name that is not there yet. Whoever waits is to be woken, without the lock.
    #[must_use]
    pub(super) fn add(&mut self, id: &Arc<str>) -> Option<Waker> {
        if !self.names.insert(Arc::clone(id)) {
            return None;
        }
        self.waiting.push_back(Arc::clone(id));
        self.waker.take()
    }
}

impl Hub {
    /// Claims the right to take care of subscriptions that have ended; earlier claims end. Every
    /// name that was taken and not released is given again.
    pub fn claim_abandoned(&self) -> Claim {
        let claim = Claim(self.0.claims.fetch_add(1, Ordering::Relaxed) + 1);
        let mut abandoned = self.0.abandoned();
        abandoned.claim = Some(claim);
        abandoned.waiting = abandoned.names.iter().cloned().collect();
        // Who waits under the earlier claim learns that it has ended.
        wake(abandoned);
        claim
    }

    /// Waits for subscriptions that have ended and whose relays are to be told; `None` when the
    /// claim has ended. Each name is given to [`Hub::released`] when that was done, or to
    /// [`Hub::put_back`] when it failed. Cancel safe.
    pub fn abandoned(&self, claim: Claim) -> AbandonedFuture {
        AbandonedFuture { hub: self.clone(), claim }
    }

    /// Relays know that a subscription has ended: its name may be used again, unless it was put
    /// back meanwhile.
    pub fn released(&self, id: &str) {
        let mut abandoned = self.0.abandoned();
        // Unless somebody has seen a relay work for it since.
        if !abandoned.waiting.iter().any(|waiting| **waiting == *id) {
            abandoned.names.remove(id);
        }
    }

    /// Relays could not be told that a subscription has ended; [`Hub::abandoned`] will give its
    /// name again. No effect when the name is used again meanwhile.
    pub fn put_back(&self, id: &Arc<str>) {
        self.unless_registered(id, |abandoned| {
            abandoned.names.insert(Arc::clone(id));
            if !abandoned.waiting.contains(id) {
                abandoned.waiting.push_back(Arc::clone(id));
            }
            abandoned.waker.take()
        });
    }

    /// A relay works for a subscription that is not there: [`Hub::abandoned`] gives its name,
    /// unless that is being taken care of. Returns whether the subscription is not there.
    pub fn not_wanted(&self, id: &str) -> bool {
        self.unless_registered(id, |abandoned| abandoned.add(&id.into()))
    }

    fn unless_registered(
        &self,
        id: &str,
        work: impl FnOnce(&mut Abandoned) -> Option<Waker>,
    ) -> bool {
        let waker = {
            // While the register is locked, so that the name cannot be taken in between.
            let subscriptions = self.0.subscriptions();
            if subscriptions.contains_key(id) {
                return false;
            }
            work(&mut self.0.abandoned())
        };
        waker.into_iter().for_each(Waker::wake);
        true
    }
}

fn wake(mut abandoned: MutexGuard<'_, Abandoned>) {
    let waker = abandoned.waker.take();
    drop(abandoned);
    waker.into_iter().for_each(Waker::wake);
}

/// See [`Hub::abandoned`].
#[must_use = "futures do nothing unless polled"]
pub struct AbandonedFuture {
    hub: Hub,
    claim: Claim,
}

impl Future for AbandonedFuture {
    type Output = Option<Vec<Arc<str>>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut abandoned = self.hub.0.abandoned();
        if abandoned.claim != Some(self.claim) {
            return Poll::Ready(None);
        }
        if abandoned.waiting.is_empty() {
            abandoned.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Some(std::mem::take(&mut abandoned.waiting).into()))
    }
}
