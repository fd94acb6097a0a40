//! What a relay's answer means for the next try.

use nipworker_protocol::MachinePrefix;

use crate::ReceiptStatus;

/// What follows from an answer; the table stands in the [module](super).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The relay has the event.
    Accepted,
    /// It will not take it; asking again changes nothing.
    Final,
    /// It may take it later.
    Passing,
    /// A refusal that does not say which of these it is.
    Unclear,
}

/// Reads an answer. `message` is the text of the relay's `OK`.
pub fn verdict(status: ReceiptStatus, message: &str) -> Verdict {
    match status {
        ReceiptStatus::Accepted => Verdict::Accepted,
        ReceiptStatus::NoAnswer | ReceiptStatus::NotConnected => Verdict::Passing,
        ReceiptStatus::Refused => match MachinePrefix::of(message) {
            Some(MachinePrefix::Duplicate) => Verdict::Accepted,
            Some(
                MachinePrefix::RateLimited | MachinePrefix::Error | MachinePrefix::AuthRequired,
            ) => Verdict::Passing,
            Some(
                MachinePrefix::Blocked
                | MachinePrefix::Invalid
                | MachinePrefix::Pow
                | MachinePrefix::Restricted
                | MachinePrefix::Mute
                | MachinePrefix::Unsupported,
            ) => Verdict::Final,
            _ => Verdict::Unclear,
        },
    }
}
