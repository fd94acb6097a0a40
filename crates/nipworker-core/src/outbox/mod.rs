//! Events that must arrive: kept in a file until each of their relays has decided.
//!
//! The rules are [`nipworker_relay::outbox`]'s; here are the file and the thread that keeps it.
//! [`NostrClient::publish_durable`](crate::NostrClient::publish_durable) answers when the event is
//! stored and the journal is on the disk. From then on a kill of the process costs nothing: the
//! next one goes on where the journal ends, and what a relay has twice it answers as `duplicate:`.

mod client;
mod journal;
mod keeper;
#[cfg(test)]
mod tests;

pub use client::{DurableOptions, QueuedReport};
pub use keeper::OutboxStatus;
pub(crate) use keeper::{OutboxKeeper, Sending};
pub use nipworker_relay::{
    ReceiptStatus,
    outbox::{
        DeliveryState, FINISHED_MAX, IN_FLIGHT_MAX, IN_FLIGHT_PER_RELAY_MAX, LastAnswer,
        OutboxCounts, OutboxEntry, RELAYS_PER_EVENT_MAX, RelayDelivery, UNCLEAR_REFUSALS_MAX,
    },
};
