//! What a reader gets, and the words of the bookkeeping.

use std::{fmt, sync::Arc, time::Duration};

use nipworker_protocol::{AuthProblem, Event, EventId, StoredHint, Verified};
use serde::Serialize;

use crate::{Source, pipes::PipeNote};

/// What a subscription's reader gets.
#[derive(Debug, Clone, PartialEq)]
pub enum SubscriptionEvent {
    /// An event, each id once as long as the subscription remembers it: see
    /// [`HubConfig::seen_events`](crate::HubConfig::seen_events).
    Event {
        /// The event.
        event: Arc<Verified<Event>>,
        /// Where it came from first.
        source: Source,
    },
    /// All that was stored has been delivered: the cache is done, and every relay has answered,
    /// failed, or run out of time. Comes once.
    EndOfStored,
    /// So many events were dropped here, because the reader was slow.
    Lagged(u64),
    /// What a pipe has to say. It comes before the event that it is about.
    Note {
        /// The pipe's name.
        pipe: Arc<str>,
        /// What it says.
        note: PipeNote,
    },
    /// News about a relay that this subscription uses.
    Relay {
        /// The relay's URL.
        relay: Arc<str>,
        /// What happened.
        news: RelayNews,
    },
    /// Nothing will come any more. The stream ends after this.
    Closed(CloseReason),
}

/// What happened to a relay, as far as a subscription is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RelayNews {
    /// It has sent all it had stored.
    EndOfStored,
    /// It closed the subscription, with this text (`CLOSED`, NIP-01).
    Closed(String),
    /// It says whether it has more stored events than it sent (NIP-67). Comes right before
    /// `EndOfStored`, and only when it says so.
    Stored(StoredHint),
    /// It wants to know who we are (NIP-42), and this is why it does not. Comes right before
    /// `Closed`.
    Unauthenticated(AuthProblem),
    /// It cannot be reached now, for this reason. It is tried again.
    Unavailable(String),
    /// It says something (`NOTICE`, NIP-01).
    Notice(String),
}

/// Why a subscription ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CloseReason {
    /// A query that has delivered everything.
    Complete,
    /// It was asked to.
    Unsubscribed,
    /// The engine shuts down.
    Shutdown,
    /// It could not be served. The reason was told to whoever opened it.
    Failed,
    /// It has delivered as many events as it may.
    MaxEvents,
    /// It has delivered as many bytes as it may.
    MaxBytes,
    /// Its time is over.
    Deadline,
}

/// How far a relay has come with a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RelayState {
    /// It was asked and has not said that it is done.
    Waiting,
    /// It has sent all it had stored.
    Done,
    /// It closed the subscription.
    Closed,
    /// It could not be reached.
    Unavailable,
    /// It ran out of time.
    TimedOut,
}

/// How far the reading of the cache has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReplayCursor {
    /// Time and id of the last row; the next page starts behind it.
    pub after: Option<(i64, EventId)>,
    /// Rows so far.
    pub rows: u64,
}

/// The right to drive a subscription: to read the cache for it and to ask relays. A later claim
/// takes the right away from an earlier one, so that two drivers never work on one subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim(pub(super) u64);

/// Tells how much time has passed since some fixed moment.
#[derive(Clone)]
pub struct HubClock(Arc<dyn Fn() -> Duration + Send + Sync>);

impl HubClock {
    /// A clock that never goes back.
    pub fn new(elapsed: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(Arc::new(elapsed))
    }

    pub(super) fn now(&self) -> Duration {
        (self.0)()
    }
}

impl fmt::Debug for HubClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HubClock")
    }
}
