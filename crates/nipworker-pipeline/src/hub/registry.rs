//! The registry: who listens, and who is to be told that nobody listens any more.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Waker,
};

use futures::task::AtomicWaker;
use nipworker_protocol::{Event, EventId, Filter, Verified};

use super::{
    abandoned::Abandoned,
    config::{HubConfig, SubscriptionSpec},
    room::Waiters,
    stats::SubscriptionStats,
    stream::SubscriptionStream,
    subscription::{Push, Subscription},
    types::{CloseReason, HubClock, RelayNews, RelayState},
};
use crate::{Source, pipes::Chain};

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

impl From<Push> for Offered {
    fn from(push: Push) -> Self {
        match push {
            Push::Queued | Push::Buffered => Self::Taken,
            Push::Dropped => Self::TakenWithLoss,
            Push::Duplicate => Self::Duplicate,
            Push::Full => Self::Full,
            Push::Closed => Self::Gone,
        }
    }
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
    pub(super) fn with<R>(&self, work: impl FnOnce(&mut Subscription) -> R) -> R {
        let result = work(&mut self.lock().0);
        self.reader.wake();
        result
    }

    pub(super) fn wake_waiters(&self) {
        let wakers = self.lock().1.take_all();
        wakers.into_iter().for_each(Waker::wake);
    }
}

type Subscriptions = HashMap<Arc<str>, Arc<Shared>>;

pub(super) struct Inner {
    config: HubConfig,
    clock: Option<HubClock>,
    subscriptions: RwLock<Subscriptions>,
    abandoned: Mutex<Abandoned>,
    is_closed: AtomicBool,
    pub(super) claims: AtomicU64,
}

impl Inner {
    pub(super) fn subscriptions(&self) -> RwLockReadGuard<'_, Subscriptions> {
        self.subscriptions.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, id: &str) -> Option<Arc<Shared>> {
        self.subscriptions().get(id).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<Shared>> {
        self.subscriptions().values().cloned().collect()
    }

    pub(super) fn abandoned(&self) -> MutexGuard<'_, Abandoned> {
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
        let waker = if uses_relays { self.abandoned().add(&shared.id) } else { None };
        subscriptions.remove(&shared.id);
        drop(subscriptions);
        shared.wake_waiters();
        waker.into_iter().for_each(Waker::wake);
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
    /// A hub without subscriptions, which measures no times.
    pub fn new(config: HubConfig) -> Self {
        Self::build(config, None)
    }

    /// A hub without subscriptions that measures by `clock` how long they wait.
    pub fn with_clock(config: HubConfig, clock: HubClock) -> Self {
        Self::build(config, Some(clock))
    }

    fn build(config: HubConfig, clock: Option<HubClock>) -> Self {
        Self(Arc::new(Inner {
            config,
            clock,
            subscriptions: RwLock::default(),
            abandoned: Mutex::default(),
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
        let (pipes, limits) = (Chain::new(&spec.pipes), spec.limits);
        let subscription =
            Subscription::new(spec, &inner.config, pipes.ledger(), inner.clock.clone());
        let shared = Arc::new(Shared {
            id: Arc::clone(&id),
            state: Mutex::new((subscription, Waiters::default())),
            reader: AtomicWaker::new(),
        });
        subscriptions.insert(id, Arc::clone(&shared));
        Ok(SubscriptionStream::new(Arc::clone(inner), shared, pipes, limits))
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

    /// Offers a live event that matches the subscription's filters.
    pub fn offer(&self, id: &str, event: &Arc<Verified<Event>>, source: &Source) -> Offered {
        let Some(shared) = self.0.get(id) else { return Offered::Gone };
        shared.with(|subscription| subscription.push(event, source, false)).into()
    }

    /// Offers a live event and drops the oldest where there is no room, whatever the policy. A
    /// reader that was waited for in vain is not waited for again until half its queue is free.
    pub fn offer_at_any_rate(
        &self,
        id: &str,
        event: &Arc<Verified<Event>>,
        source: &Source,
    ) -> Offered {
        let Some(shared) = self.0.get(id) else { return Offered::Gone };
        let (push, has_given_up) = shared.with(|subscription| {
            let has_given_up = subscription.give_up();
            (subscription.push(event, source, true), has_given_up)
        });
        if has_given_up {
            // Others who wait for this reader need not find out by themselves.
            shared.wake_waiters();
        }
        push.into()
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

    /// A relay has sent all it had stored, or closed the subscription, or cannot be reached.
    /// A notice does not say which subscription it concerns: see [`Hub::notice`].
    pub fn relay(&self, id: &str, relay: &Arc<str>, news: RelayNews) {
        let Some(shared) = self.0.get(id) else { return };
        let state = match &news {
            RelayNews::EndOfStored => Some(RelayState::Done),
            RelayNews::Closed(_) => Some(RelayState::Closed),
            RelayNews::Unavailable(_) => Some(RelayState::Unavailable),
            RelayNews::Notice(_) | RelayNews::Stored(_) | RelayNews::Unauthenticated(_) => None,
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

    pub(super) fn remove_if_closed(&self, shared: &Arc<Shared>) {
        let is_closed = shared.lock().0.is_closed();
        if is_closed {
            self.0.remove(shared, CloseReason::Complete);
        }
    }

    /// A snapshot of each subscription, ordered by name.
    pub fn stats(&self) -> Vec<SubscriptionStats> {
        let mut stats: Vec<_> =
            self.0.all().iter().map(|shared| shared.lock().0.stats(&shared.id)).collect();
        stats.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        stats
    }
}
