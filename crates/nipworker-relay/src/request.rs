//! What a pool is asked for.

use std::time::Duration;

use nipworker_protocol::{EventId, Filter, RelayUrl};

/// Opens a subscription, or replaces the one of the same name.
#[derive(Debug, Clone)]
pub struct OpenRequest {
    /// Its name.
    pub subscription: String,
    /// What is wanted; one REQ carries them all.
    pub filters: Vec<Filter>,
    /// From whom; empty means from the desired relays.
    pub relays: Vec<RelayUrl>,
    /// Whether a relay is done once it has sent what it had stored.
    pub close_on_eose: bool,
    /// How long a relay may take to send what it has stored; `None` takes the configured deadline.
    pub deadline: Option<Duration>,
}

/// Sends an event.
#[derive(Debug, Clone)]
pub struct PublishRequest {
    /// Its id, by which answers are matched.
    pub event: EventId,
    /// Its JSON text.
    pub json: String,
    /// To whom; empty means to the desired relays.
    pub relays: Vec<RelayUrl>,
    /// How long the answers are waited for, at most five minutes; `None` takes the configured
    /// deadline.
    pub deadline: Option<Duration>,
}

/// Why a request is refused as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// A subscription without a filter.
    #[error("a subscription needs at least one filter")]
    NoFilter,
    /// No relay is named and none is desired.
    #[error("no relay is named and none is configured")]
    NoRelay,
    /// The text to be sent is not JSON.
    #[error("the event is not JSON")]
    NotJson,
    /// Too many subscriptions are open.
    #[error("{limit} subscriptions are open, which is the limit")]
    TooManySubscriptions {
        /// The limit.
        limit: usize,
    },
    /// The same filter is being reconciled with the same relay.
    #[error("this filter is being reconciled with {relay}")]
    ReconcilesAlready {
        /// The relay.
        relay: RelayUrl,
    },
    /// Too many reconciliations are under way.
    #[error("{limit} reconciliations are under way, which is the limit")]
    TooManyReconciliations {
        /// The limit.
        limit: usize,
    },
    /// There is more to compare than is taken up.
    #[error("{got} events to reconcile, the most is {limit}")]
    TooManyHeld {
        /// Number of events.
        got: usize,
        /// The limit.
        limit: usize,
    },
    /// Too many publishes wait for their answers.
    #[error("{limit} publishes wait for answers, which is the limit")]
    TooManyPublishes {
        /// The limit.
        limit: usize,
    },
}

impl RequestError {
    /// Whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::TooManySubscriptions { .. }
                | Self::TooManyPublishes { .. }
                | Self::TooManyReconciliations { .. }
                | Self::ReconcilesAlready { .. }
        )
    }
}
