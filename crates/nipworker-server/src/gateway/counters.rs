//! What the gateway counts about itself. Read without asking anybody.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

macro_rules! counters {
    ($($(#[doc = $doc:literal])* $name:ident),* $(,)?) => {
        /// Live counters; one value for all threads of the gateway.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $($(#[doc = $doc])* pub(crate) $name: AtomicU64,)*
        }

        /// The gateway's counters at one moment. All but `websockets` and `subscriptions` only
        /// grow.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
        #[serde(default)]
        pub struct GatewayStatus {
            $($(#[doc = $doc])* pub $name: u64,)*
        }

        impl Counters {
            /// The values now.
            pub(crate) fn snapshot(&self) -> GatewayStatus {
                GatewayStatus { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// WebSocket connections open now.
    websockets,
    /// Subscriptions of WebSocket clients open now.
    subscriptions,
    /// WebSocket connections ever opened.
    websockets_opened,
    /// WebSocket connections refused because too many were open.
    websockets_refused,
    /// Messages that came in over WebSockets.
    messages_in,
    /// Messages that went out over WebSockets.
    messages_out,
    /// Events that clients sent, over WebSocket or HTTP.
    events_in,
    /// Events that were accepted, duplicates included.
    events_accepted,
    /// Events that were refused.
    events_refused,
    /// Events sent to WebSocket clients.
    events_out,
    /// Messages that were malformed or broke a limit.
    bad_messages,
    /// Messages with a verb that this relay does not know.
    unknown_messages,
    /// Messages or frames over the size limit.
    oversized_messages,
    /// Clients disconnected because they read too slowly.
    slow_readers,
    /// Clients disconnected because they sent nothing for too long.
    idle_clients,
    /// Requests of clients that failed because a worker or the store did.
    engine_failures,
    /// Mining jobs started over HTTP.
    mining_jobs,
    /// Mining jobs refused because too many were active.
    mining_refused,
    /// Requests to the HTTP API.
    http_requests,
    /// Requests to the HTTP API that ended with a status of 400 or more.
    http_errors,
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A value that goes up now and down when this is dropped.
#[derive(Debug)]
pub(crate) struct Held<F: Fn(&Counters) -> &AtomicU64> {
    counters: std::sync::Arc<Counters>,
    which: F,
}

impl<F: Fn(&Counters) -> &AtomicU64> Held<F> {
    pub(crate) fn new(counters: std::sync::Arc<Counters>, which: F) -> Self {
        which(&counters).fetch_add(1, Ordering::Relaxed);
        Self { counters, which }
    }
}

impl<F: Fn(&Counters) -> &AtomicU64> Drop for Held<F> {
    fn drop(&mut self) {
        (self.which)(&self.counters).fetch_sub(1, Ordering::Relaxed);
    }
}
