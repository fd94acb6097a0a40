//! The registry: who listens, and who is to be told that nobody listens any more.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use futures::task::AtomicWaker;
use nipworker_protocol::{Event, EventId, Filter, Verified};

use super::{
    config::{HubConfig, Plan, SubscriptionSpec},
    stats::SubscriptionStats,
    stream::SubscriptionStream,
    subscription::{Push, Subscription, Waiters},
    types::{Claim, CloseReason, RelayNews, RelayState, ReplayCursor},
};
use crate::Source;

/// Why a subscription is not registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// The name is taken, or was given up a moment ago and relays are still being told.
    #[error("subscription {0:?} is in use")]
    InUse(String),
    /// As many subscriptions as allowed are open.
    #[error("{limit} subscriptions are open, which is the limit")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// The hub is shutting down.
    #[error("the hub is shutting down")]
    Closed,
}

/// What became of an event that was offered to a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offered {
    /// The reader will get it.
    Taken,
    /// The reader will get it, and another event was dropped to make room.
    TakenWithLoss,
    /// The reader has it already.
    Duplicate,
    /// The reader is slow and wants to be waited for: see [`Hub::room`], then offer it again.
    Full,
    /// There is no such subscription.
    Gone,
}

/// How far a subscription has come, for a driver that takes over.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// Its name.
    pub id: Arc<str>,
    /// What it wants.
    pub filters: Arc<[Filter]>,
    /// Where from.
    pub plan: Plan,
    /// Whether the cache was read to its end.
    pub cache_done: bool,
    /// Whether relays were asked.
    pub relays_asked: bool,
}

pub(super) struct Shared {
    pub(super) id: Arc<str>,
    state: Mutex<(Subscription, Waiters)>,
    pub(super) reader: AtomicWaker,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, (Subscription, Waiters)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works on the subscription, then wakes the reader.
    fn with<R>(&self, work: impl FnOnce(&mut Subscription) -> R) -> R {
        let result = work(&mut self.lock().0);
        self.reader.wake();
        result
    }

    pub(super) fn wake_waiters(&self) {
        let wakers = self.lock().1.take_all();
        wakers.into_iter().for_each(std::task::Waker::wake);
    }
}

#[derive(Default)]
struct Abandoned {
    /// Names that relays need no longer be asked for, and that nobody has taken care of yet.
    waiting: VecDeque<Arc<str>>,
    /// All names that may not be used again yet: those that wait and those being taken care of.
    names: HashSet<Arc<str>>,
}

pub(super) struct Inner {
    config: HubConfig,
    subscriptions: RwLock<HashMap<Arc<str>, Arc<Shared>>>,
    abandoned: Mutex<Abandoned>,
    abandoned_waker: AtomicWaker,
    is_closed: AtomicBool,
    claims: AtomicU64,
}

impl Inner {
    fn get(&self, id: &str) -> Option<Arc<Shared>> {
        self.subscriptions.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    fn all(&self) -> Vec<Arc<Shared>> {
        let subscriptions = self.subscriptions.read().unwrap_or_else(PoisonError::into_inner);
        subscriptions.values().cloned().collect()
    }

    fn abandoned(&self) -> MutexGuard<'_, Abandoned> {
        self.abandoned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes a subscription and takes it off the register, once.
    pub(super) fn remove(&self, shared: &Arc<Shared>, reason: CloseReason) -> bool {
        let mut subscriptions = self.subscriptions.write().unwrap_or_else(PoisonError::into_inner);
        if !subscriptions.get(&shared.id).is_some_and(|other| Arc::ptr_eq(other, shared)) {
            return false;
        }
        // While the register is locked, so that the name is never free in between.
        let uses_relays = shared.with(|subscription| {
            subscription.close(reason);
            subscription.plan.use_relays
        });
        if uses_relays {
            let mut abandoned = self.abandoned();
            if abandoned.names.insert(Arc::clone(&shared.id)) {
                abandoned.waiting.push_back(Arc::clone(&shared.id));
            }
        }
        subscriptions.remove(&shared.id);
        drop(subscriptions);
        shared.wake_waiters();
        self.abandoned_waker.wake();
        true
    }
}

/// The registry of subscriptions. Clones share it. It outlives the worker that feeds it, so that
/// a restart of the worker is not felt by the readers.
///
/// Whoever feeds a subscription goes through these steps: [`Hub::begin`]; pages of rows to
/// [`Hub::cache_page`], each after [`Hub::room`] has room for it; [`Hub::cache_done`];
/// [`Hub::relays_asked`] with the relays that were asked; then [`Hub::offer`] for what they send
/// and [`Hub::relay`] for what they say; [`Hub::deadline`] when they had time enough. It takes
/// care of [`Hub::abandoned`] subscriptions, and after a restart of [`Hub::unfinished`] ones.
#[derive(Clone)]
pub struct Hub(pub(super) Arc<Inner>);

impl Default for Hub {
    fn default() -> Self {
        Self::new(HubConfig::default())
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("subscriptions", &self.len()).finish_non_exhaustive()
    }
}

impl Hub {
    /// A hub without subscriptions.
    pub fn new(config: HubConfig) -> Self {
        Self(Arc::new(Inner {
            config,
            subscriptions: RwLock::default(),
            abandoned: Mutex::default(),
            abandoned_waker: AtomicWaker::new(),
            is_closed: AtomicBool::new(false),
            claims: AtomicU64::new(0),
        }))
    }

    /// Registers a subscription and returns the stream for its reader. Nothing is asked yet; but
    /// from now on the stream gets what is published here.
    ///
    /// # Errors
    /// See [`HubError`].
    pub fn register(&self, spec: SubscriptionSpec) -> Result<SubscriptionStream, HubError> {
        let inner = &self.0;
        let limit = inner.config.max_subscriptions;
        let mut subscriptions = inner.subscriptions.write().unwrap_or_else(PoisonError::into_inner);
        if inner.is_closed.load(Ordering::Acquire) {
            return Err(HubError::Closed);
        }
        let abandoned = inner.abandoned();
        if subscriptions.contains_key(spec.id.as_str())
            || abandoned.names.contains(spec.id.as_str())
        {
            return Err(HubError::InUse(spec.id));
        }
        if subscriptions.len() + abandoned.names.len() >= limit {
            return Err(HubError::TooMany { limit });
        }
        drop(abandoned);
        let id: Arc<str> = spec.id.as_str().into();
        let shared = Arc::new(Shared {
            id: Arc::clone(&id),
            state: Mutex::new((Subscription::new(spec, &inner.config), Waiters::default())),
            reader: AtomicWaker::new(),
        });
        subscriptions.insert(id, Arc::clone(&shared));
        Ok(SubscriptionStream::new(Arc::clone(inner), shared))
    }

    /// Number of open subscriptions.
    pub fn len(&self) -> usize {
        self.0.subscriptions.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether no subscription is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What a subscription asked for; `None` when there is no such subscription.
    pub fn filters(&self, id: &str) -> Option<Arc<[Filter]>> {
        self.0.get(id).map(|shared| Arc::clone(&shared.lock().0.filters))
    }

    /// Events that may wait for a subscription's reader.
    pub fn capacity(&self, id: &str) -> Option<usize> {
        self.0.get(id).map(|shared| shared.lock().0.capacity())
    }

    /// Whether a subscription has been given an event, or will be.
    pub fn has_seen(&self, id: &str, event: &EventId) -> bool {
        self.0.get(id).is_some_and(|shared| shared.lock().0.has_seen(event))
    }

    /// Claims the right to drive a subscription; earlier claims end. `None` when there is no such
    /// subscription.
    pub fn begin(&self, id: &str) -> Option<(Claim, Progress)> {
        let shared = self.0.get(id)?;
        let claim = Claim(self.0.claims.fetch_add(1, Ordering::Relaxed) + 1);
        let begun = shared.with(|subscription| {
            subscription.begin(claim);
            (claim, progress(&shared.id, subscription))
        });
        // Who waited under an earlier claim learns that it has ended.
        shared.wake_waiters();
        self.remove_if_closed(&shared);
        Some(begun)
    }

    /// How far a subscription has come; `None` when there is no such subscription.
    pub fn progress(&self, id: &str) -> Option<Progress> {
        self.0.get(id).map(|shared| progress(&shared.id, &shared.lock().0))
    }

    /// Subscriptions that were begun and for which the cache was not read to its end or relays
    /// were not asked: what a new driver has to go on with.
    pub fn unfinished(&self) -> Vec<Progress> {
        let all = self.0.all().into_iter();
        all.filter_map(|shared| {
            let state = shared.lock();
            let subscription = &state.0;
            let is_unfinished = subscription.current_claim().is_some()
                && !(subscription.cache_done && subscription.relays_asked);
            is_unfinished.then(|| progress(&shared.id, subscription))
        })
        .collect()
    }

    /// Subscriptions that wait for relays to have sent all they had, each with the claim for
    /// [`Hub::deadline`].
    pub fn waiting_for_relays(&self) -> Vec<(Arc<str>, Claim)> {
        let all = self.0.all().into_iter();
        all.filter_map(|shared| {
            let state = shared.lock();
            let claim = state.0.current_claim()?;
            state.0.is_waiting_for_relays().then(|| (Arc::clone(&shared.id), claim))
        })
        .collect()
    }

    /// Where the next page of the cache begins; `None` when the claim has ended.
    pub fn cursor(&self, id: &str, claim: Claim) -> Option<ReplayCursor> {
        let shared = self.0.get(id)?;
        let state = shared.lock();
        state.0.holds(claim).then_some(state.0.cursor)
    }

    /// Hands over a page of rows, newest first as the cache gives them. Returns how many were new
    /// to the reader, or `None` when the claim has ended.
    pub fn cache_page(
        &self,
        id: &str,
        claim: Claim,
        rows: impl IntoIterator<Item = Verified<Event>>,
    ) -> Option<usize> {
        self.0.get(id)?.with(|subscription| {
            subscription.holds(claim).then(|| {
                rows.into_iter()
                    .filter_map(|row| subscription.cache_row(Arc::new(row)).then_some(()))
                    .count()
            })
        })
    }

    /// The cache has no more rows. Returns whether the claim still held.
    pub fn cache_done(&self, id: &str, claim: Claim) -> bool {
        let Some(shared) = self.0.get(id) else { return false };
        let held = shared.with(|subscription| {
            let holds = subscription.holds(claim);
            if holds {
                subscription.cache_done();
            }
            holds
        });
        self.remove_if_closed(&shared);
        held
    }

    /// These relays were asked. Returns whether the subscription is still there: when it is not,
    /// they are to be told.
    pub fn relays_asked<'a>(&self, id: &str, relays: impl IntoIterator<Item = &'a str>) -> bool {
        let Some(shared) = self.0.get(id) else { return false };
        shared.with(|subscription| subscription.relays_asked(relays));
        self.remove_if_closed(&shared);
        true
    }

    /// Offers a live event that matches the subscription's filters.
    pub fn offer(&self, id: &str, event: &Arc<Verified<Event>>, source: &Source) -> Offered {
        self.push(id, event, source, false)
    }

    /// Offers a live event and drops the oldest where there is no room, whatever the policy.
    pub fn offer_at_any_rate(
        &self,
        id: &str,
        event: &Arc<Verified<Event>>,
        source: &Source,
    ) -> Offered {
        self.push(id, event, source, true)
    }

    fn push(
        &self,
        id: &str,
        event: &Arc<Verified<Event>>,
        source: &Source,
        force: bool,
    ) -> Offered {
        let Some(shared) = self.0.get(id) else { return Offered::Gone };
        match shared.with(|subscription| subscription.push(event, source, force)) {
            Push::Queued | Push::Buffered => Offered::Taken,
            Push::Dropped => Offered::TakenWithLoss,
            Push::Duplicate => Offered::Duplicate,
            Push::Full => Offered::Full,
            Push::Closed => Offered::Gone,
        }
    }

    /// Hands an event that was published or imported here to every live subscription that it
    /// matches, queries excepted: they tell what was stored when they were asked. Returns to how
    /// many it went. A slow reader is never waited for here.
    pub fn publish(&self, event: &Arc<Verified<Event>>) -> usize {
        let mut readers = 0;
        for shared in self.0.all() {
            let is_wanted = {
                let state = shared.lock();
                !state.0.plan.close_on_eose && Filter::any_matches(&state.0.filters, event)
            };
            if is_wanted {
                let push = shared.with(|state| state.push(event, &Source::Local, true));
                readers += usize::from(!matches!(push, Push::Duplicate | Push::Closed));
            }
        }
        readers
    }

    /// Waits until `events` fit into the queue, or as many as it can ever hold, or until the
    /// subscription is gone. Cancel safe.
    pub fn room(&self, id: &str, events: usize) -> RoomFuture {
        RoomFuture { shared: self.0.get(id), events, claim: None, key: None }
    }

    /// As [`Hub::room`], for a page of the cache: it also ends when the claim does.
    pub fn room_for_page(&self, id: &str, claim: Claim, events: usize) -> RoomFuture {
        RoomFuture { shared: self.0.get(id), events, claim: Some(claim), key: None }
    }

    /// A relay has sent all it had stored, or closed the subscription, or cannot be reached.
    /// A notice does not say which subscription it concerns: see [`Hub::notice`].
    pub fn relay(&self, id: &str, relay: &Arc<str>, news: RelayNews) {
        let Some(shared) = self.0.get(id) else { return };
        let state = match &news {
            RelayNews::EndOfStored => Some(RelayState::Done),
            RelayNews::Closed(_) => Some(RelayState::Closed),
            RelayNews::Unavailable(_) => Some(RelayState::Unavailable),
            RelayNews::Notice(_) => None,
        };
        shared.with(|subscription| subscription.relay(relay, state, news));
        self.remove_if_closed(&shared);
    }

    /// A relay's notice goes to every subscription that uses it. Returns to how many.
    pub fn notice(&self, relay: &Arc<str>, text: &str) -> usize {
        let mut readers = 0;
        for shared in self.0.all() {
            shared.with(|subscription| {
                if subscription.uses_relay(relay) {
                    subscription.relay(relay, None, RelayNews::Notice(text.to_owned()));
                    readers += 1;
                }
            });
        }
        readers
    }

    /// The relays had time enough: those that have not answered count as failed. No effect when
    /// the claim has ended.
    pub fn deadline(&self, id: &str, claim: Claim) {
        let Some(shared) = self.0.get(id) else { return };
        shared.with(|subscription| {
            if subscription.holds(claim) {
                subscription.deadline();
            }
        });
        self.remove_if_closed(&shared);
    }

    /// Ends a subscription. Returns whether it was there. What waits for the reader stays there.
    pub fn close(&self, id: &str, reason: CloseReason) -> bool {
        self.0.get(id).is_some_and(|shared| self.0.remove(&shared, reason))
    }

    /// Ends all subscriptions and refuses new ones.
    pub fn shutdown(&self) {
        self.0.is_closed.store(true, Ordering::Release);
        for shared in self.0.all() {
            self.0.remove(&shared, CloseReason::Shutdown);
        }
    }

    fn remove_if_closed(&self, shared: &Arc<Shared>) {
        let is_closed = shared.lock().0.is_closed();
        if is_closed {
            self.0.remove(shared, CloseReason::Complete);
        }
    }

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

    /// A snapshot of each subscription, ordered by name.
    pub fn stats(&self) -> Vec<SubscriptionStats> {
        let mut stats: Vec<_> =
            self.0.all().iter().map(|shared| shared.lock().0.stats(&shared.id)).collect();
        stats.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        stats
    }
}

fn progress(id: &Arc<str>, subscription: &Subscription) -> Progress {
    Progress {
        id: Arc::clone(id),
        filters: Arc::clone(&subscription.filters),
        plan: subscription.plan.clone(),
        cache_done: subscription.cache_done,
        relays_asked: subscription.relays_asked,
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
