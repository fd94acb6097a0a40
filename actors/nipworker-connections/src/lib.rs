//! The worker that holds the sockets to all relays.
//!
//! [`Connections`] is an actor that does three things: it receives ([`RelayEdge`] messages and what
//! sockets do), it asks `nipworker_relay::RelayPool` what follows, and it carries that out. The
//! rules (back-off, resubscription, receipts, deadlines) stand there.
//!
//! | in | out |
//! |---|---|
//! | `OpenReq` | `ReqOpened`, or `Failed` |
//! | `CloseReq` | `ReqClosed` |
//! | `SendEvent` | `EventReceipts` when every relay has answered or the time is over |
//! | `OpenNeg` | `NegClosed` when both sides' differences are known, or why they are not |
//! | a relay's challenge (NIP-42) | a `SignAs` question to the crypto worker |
//! | a relay's messages | [`IngestEdge`] questions to the parser, in order for each relay |
//!
//! * **Back-pressure:** a relay's socket is not read while the parser has not answered what came
//!   from it before. Other relays and this worker's own mailbox go on meanwhile: handling a
//!   message never waits for anything.
//! * **Restart:** every socket, timer and task belongs to one incarnation and ends with it. The
//!   next one takes the [`RelayBook`] over, dials every relay and asks every subscription again
//!   from its last delivered event on. Who waited for `EventReceipts` gets a failure that may be
//!   tried again; the event is still sent to relays that have not got it, within its time.
//! * **A parser that cannot take events now** (its store is full, say) is waited for, however long
//!   that lasts; the relay is not read meanwhile, and nothing is lost.
//! * **Poison:** events that the parser fails over are tried again as a whole, then one by one;
//!   those that fail alone as well are counted as lost, and asked for again when the relay is
//!   next connected.
//! * **Signatures** are waited for beside everything else, and given up with their connection.
//!
//! [`RelayEdge`]: nipworker_schema::RelayEdge
//! [`IngestEdge`]: nipworker_schema::IngestEdge

mod actor;
mod clock;
mod deliver;
mod edge;
mod link;
mod sign;
mod tasks;

pub use actor::{
    Connections, Dependencies, HANG_LIMIT, MAILBOX, RESTART, SHUTDOWN, STOP_GRACE, child,
};
pub use clock::SharedClock;
pub use nipworker_relay::{
    AuthConfig, AuthProblem, AuthState, BackoffConfig, ConfigError, Consent, LinkState, RelayBook,
    RelayConfig, RelayReport, RelayUrl, RelayUrlError,
    transport::{RelayInformation, WebSocketTransport},
};
