//! What is said to relays and what follows from their answers, without a socket or a clock.
//!
//! [`RelayPool`] holds one session for each relay. Whoever owns sockets tells it what happened
//! (`dialled`, `received`, `lost`, `delivered`, `timer`, …) together with the time, and carries
//! out the [`Effect`]s that come back. That makes the rules below testable in simulated time:
//!
//! * **Reconnection belongs to a timer.** A lost or refused connection is dialled again after an
//!   exponential back-off with jitter, whether or not anybody wants to send. The back-off starts
//!   anew once a connection was healthy for a while.
//! * **A subscription is never silent.** On each new connection every open REQ is sent again, from
//!   the last seen time on; a REQ opened while there is no connection waits for it. See
//!   [`resume_filters`].
//! * **EOSE is answered once for each relay and subscription**, by [`Delivery::EndOfStored`],
//!   [`Delivery::Closed`] or, when the relay cannot be reached or is silent until the deadline,
//!   [`Delivery::Unavailable`]. A dead relay never holds back a query.
//! * **Places are shared.** A relay holds so many REQs open at once. Live subscriptions leave some
//!   places to queries; who finds none is told that it waits, and has its turn when one is free.
//! * **A receipt is true.** Each relay of a publish is reported exactly once: accepted, refused,
//!   no answer, or not connected. See [`ReceiptStatus`].
//! * **What was lost is asked for again.** A subscription whose events could not be handed on goes
//!   on from before them when the relay is next connected.
//! * **Back-pressure reaches the socket.** A relay is not read ([`Effect::Read`]) while what it
//!   sent before is not yet [delivered](RelayPool::delivered).
//! * **A refusal is understood.** What a relay that refused an event for too little work demands is
//!   read from its words and from its information document. See [`WorkDemand`].
//! * **Only what differs is asked for.** What both sides have is compared by NIP-77
//!   ([`RelayPool::reconcile`]). A relay that cannot, will not, or never ends is found out within a
//!   bounded time, and the result says which it was: see [`ReconcileEnd`].
//! * **Who names no relay is routed**, where the book has a [`Router`](routing::Router): each relay is
//!   asked for the authors that it serves, within hard bounds. See [`routing`].
//! * **What must arrive is kept** until each relay has decided. See [`outbox`].
//! * **A replaced socket is deaf.** Each connection has a [`ConnectionId`]; what an older one
//!   still reports changes nothing.
//!
//! What must survive the owner of the pool lives in the [`RelayBook`]: a new pool on the same book
//! dials and asks again. Statistics are read from the book without asking anybody.
//!
//! This crate must not know actors, runtimes, sockets, or what an event means: events stay text.
//!
//! Units: [`Now::monotonic`] is the time since any fixed start, [`Now::unix`] and `created_at` are
//! unix seconds, sizes are bytes. Sources: NIP-01, NIP-11, NIP-13, NIP-65, NIP-77.

mod backoff;
mod book;
mod config;
mod effect;
pub mod outbox;
mod pages;
mod pool;
mod reconcile;
mod request;
mod resume;
pub mod routing;
mod session;
mod stats;
mod work_demand;

pub use backoff::{Backoff, BackoffConfig};
pub use book::{BookLease, RelayBook};
pub use config::{ConfigError, RelayConfig};
pub use effect::{
    ConnectionId, Delivery, DeliveryId, Effect, Loss, Now, PublishId, Receipt, ReceiptStatus,
    ReconcileId,
};
pub use pages::{MAX_PAGED_EVENTS, PAGE_EVENTS, Pages};
pub use pool::RelayPool;
pub use reconcile::{
    MAX_BARREN_ROUNDS, MAX_HELD_EVENTS, MAX_NEEDED_IDS, MAX_ROUNDS, NEG_FRAME_BYTES,
    RECONCILE_DEADLINE, RECONCILE_IDLE, ReconcileEnd, ReconcileRequest, Reconciled,
};
pub use request::{OpenRequest, PublishRequest, RequestError};
pub use resume::resume_filters;
pub use stats::{LinkState, RelayReport};
pub use work_demand::{MAX_DEMANDED_BITS, WorkDemand, min_pow_difficulty};

// The port and the base types, so that the owner of the sockets needs one crate.
pub use nipworker_protocol::{EventId, Filter, RelayUrl, RelayUrlError};
pub use nipworker_transport as transport;
