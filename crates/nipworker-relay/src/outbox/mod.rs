//! Events that must arrive: which relay still needs which of them, and when it is tried again.
//!
//! [`Outbox`] is the state alone. Whoever owns it writes each [`OutboxRecord`] down before (a new
//! event, a cancel) or after (an answer) it is applied, and carries out the [`Attempt`]s. The same
//! records, applied in order, give the same state again after any end of the process.
//!
//! A relay's answer decides what follows:
//!
//! | answer | counts as | then |
//! |---|---|---|
//! | `OK true`, or `OK false` with `duplicate:` | accepted | done |
//! | `OK false` with `blocked:`, `invalid:`, `pow:`, `restricted:`, `mute:`, `unsupported:` | refused | done, with the relay's words |
//! | `OK false` with `rate-limited:`, `error:`, `auth-required:` | passing | tried again |
//! | `OK false` without a prefix that is known | unclear | tried again, [`UNCLEAR_REFUSALS_MAX`] times in all |
//! | no answer in time | passing | tried again; the relay knows the id if it had it |
//! | not connected | passing | tried again once it is connected |
//!
//! * **Accepted means that the relay said so.** Nothing else sets it, and nothing takes it back.
//! * **A try again waits** by an exponential back-off with jitter, for each event and relay. A
//!   relay that cannot be reached is tried with one event at a time; when it is connected
//!   ([`Outbox::connected`]) everything that waits for it is due at once.
//! * **It ends.** After [`OutboxConfig::max_attempts`] tries or [`OutboxConfig::max_age`] a relay
//!   is given up (`expired`). An event that its author has replaced or deleted meanwhile is not
//!   sent any more (`withdrawn`).
//! * **It is bounded**: [`OutboxConfig::max_entries`], [`OutboxConfig::max_bytes`],
//!   [`RELAYS_PER_EVENT_MAX`]; beyond that an event is refused, never dropped. Of what is
//!   finished, the last [`FINISHED_MAX`] stay in the listing for
//!   [`OutboxConfig::keep_finished`].

mod config;
mod entry;
mod queue;
mod record;
mod state;
mod types;
mod verdict;

pub use config::OutboxConfig;
pub use entry::{DeliveryState, LastAnswer, OutboxEntry, RelayDelivery};
pub use record::OutboxRecord;
pub use state::Outbox;
pub use types::{Answer, Attempt, OutboxCounts, OutboxError};
pub use verdict::{Verdict, verdict};

/// Most relays of one event.
pub const RELAYS_PER_EVENT_MAX: usize = 64;

/// Events that are finished and still listed.
pub const FINISHED_MAX: usize = 1_000;

/// Tries under way at once, over all relays.
pub const IN_FLIGHT_MAX: usize = 64;

/// Tries under way at once at one relay.
pub const IN_FLIGHT_PER_RELAY_MAX: usize = 8;

/// Refusals without a prefix that is known after which a relay is taken at its word.
pub const UNCLEAR_REFUSALS_MAX: u32 = 3;
