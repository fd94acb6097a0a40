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
//! * **Places are shared.** A relay holds so many REQs open at once: as many as are configured, as
//!   its document says (NIP-11), or as it showed by refusing one more. Live subscriptions leave some
//!   places to queries. Subscriptions that ask the very same share a REQ; when places are scarce
//!   others do as well, and each gets exactly what its own filters match. Who cannot share and finds
//!   no place is told that it waits, and has its turn when one is free.
//! * **A relay may ask who we are at any moment** (NIP-42), if [`Consent`] allows that it knows.
//!   What it refused with `auth-required:` is sent again, once for each authentication. A signer
//!   that refuses or sleeps holds nobody up: see [`AuthProblem`].
//! * **What a relay cuts is completed.** A query for more events than the relay gives at once goes
//!   on page by page, without a gap. What the relay says about that itself (NIP-67) goes before.
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
//! # The life of a subscription at one relay
//!
//! ```text
//!            place free           EOSE of all its REQs        event
//!  Waiting ─────────────▶ Asked ───────────────────────▶ Live ──────┐ deliver
//!   ▲  ▲                  │ │ │                          │ ▲        │
//!   │  │ "too many REQs"  │ │ │ query: over              │ └────────┘
//!   │  └──────────────────┘ │ └──▶ (CLOSE)               │
//!   │   connection lost     │ CLOSED                     │ CLOSED
//!   ├──────────────◀────────┼──────────────◀─────────────┤
//!   │                       ▼                            ▼
//!   │                      Ended ── query: over ──▶
//!   └───────────────────────┘
//!     passing reason: after `closed_retry`; `auth-required:`: once the relay knows who we are;
//!     any other: with the next connection
//! ```
//!
//! | timer | from | default | then |
//! |---|---|---|---|
//! | [`eose_deadline`](RelayConfig::eose_deadline), or the request's | opening | 10 s | `Unavailable`; a query is over, a live one goes on |
//! | [`closed_retry`](RelayConfig::closed_retry) | CLOSED for a passing reason | 60 s | asked again |
//! | [`auth.deadline`](AuthConfig::deadline) | CLOSED with `auth-required:` | 10 s | `Closed` with the [`AuthProblem`] |
//! | the same, half of the time for the first answer at most | a challenge, for private messages | 10 s | asked as a stranger asks |
//! | answer to `AUTH` | `AUTH` sent | 1 s | private messages are asked for (again); not all relays say yes |
//! | [`backoff`](RelayConfig::backoff) | connection lost | 0.5 s to 30 s | dialled, then asked from the last seen time |
//!
//! **EOSE for a relay** is told when all REQs of the subscription, with all their pages, have sent
//! what the relay had stored: once, however often it is asked again. **EOSE for a subscription** is
//! told by the pipeline when each of its relays has answered, is unavailable, or is out of time.
//!
//! | limit | default |
//! |---|---|
//! | relays in the pool | 80 |
//! | REQs open at one relay | 20, less if the relay takes less; 4 are left to queries |
//! | filters of a shared REQ | 10 |
//! | pages of one query | 100 |
//! | subscriptions, unanswered publishes | 4096 each |
//! | bytes of a relay's message | 2 MiB |
//! | keys that authenticate at a relay | 8 |
//! | challenges answered | 8 in 60 s; the newest is kept, of at most 1024 bytes |
//! | information documents remembered | 1024, each for an hour |
//! | malformed messages | 32 in 60 s |
//!
//! Units: [`Now::monotonic`] is the time since any fixed start, [`Now::unix`] and `created_at` are
//! unix seconds, sizes are bytes. Sources: NIP-01, NIP-11, NIP-13, NIP-42, NIP-65, NIP-67, NIP-77.

mod auth;
mod backoff;
mod book;
mod config;
mod effect;
mod error_kind;
mod limits;
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

pub use auth::{AuthConfig, AuthState, Consent};
pub use backoff::{Backoff, BackoffConfig};
pub use book::{BookLease, RelayBook};
pub use config::{ConfigError, RelayConfig};
pub use effect::{
    ConnectionId, Delivery, DeliveryId, Effect, Loss, Now, PublishId, Receipt, ReceiptStatus,
    ReconcileId, SignFailure, SignId, SignTemplate,
};
pub use error_kind::ErrorKind;
pub use limits::RelayLimits;
pub use pages::{MAX_PAGED_EVENTS, PAGE_EVENTS, Pages};
pub use pool::RelayPool;
pub use reconcile::{
    MAX_BARREN_ROUNDS, MAX_HELD_EVENTS, MAX_NEEDED_IDS, MAX_ROUNDS, NEG_FRAME_BYTES, NotNegentropy,
    RECONCILE_DEADLINE, RECONCILE_IDLE, ReconcileEnd, ReconcileRequest, Reconciled, Responder,
};
pub use request::{OpenRequest, PublishRequest, RequestError};
pub use resume::resume_filters;
pub use stats::{LinkState, RelayReport};
pub use work_demand::{MAX_DEMANDED_BITS, WorkDemand, min_pow_difficulty};

// The port and the base types, so that the owner of the sockets needs one crate.
pub use nipworker_protocol::{
    AuthProblem, Event, EventId, Filter, PublicKey, RelayUrl, RelayUrlError, StoredHint, Tag,
};
pub use nipworker_transport as transport;
