//! Why a connection ends, and what its client is told.

use actix_ws::CloseCode;
use nipworker_core::protocol::MachinePrefix;

/// Why a connection ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// The client closed it, or is gone.
    Gone,
    /// The gateway stops.
    Stopping,
    /// Sent nothing for too long.
    Idle,
    /// Does not read what it asked for.
    SlowReader(String),
    /// A message over the size limit, with its announced bytes.
    TooLarge(u64),
    /// A text message that is no UTF-8.
    NotUtf8,
    /// A binary message; NIP-01 knows only text.
    Binary,
    /// Against RFC 6455.
    Protocol(String),
    /// Too many messages that were malformed or broke a rule.
    TooManyBad,
}

impl End {
    /// The close frame, and the notice that goes before it. Codes: RFC 6455 §7.4.1.
    pub(super) fn farewell(&self, max_message_bytes: usize) -> (CloseCode, Option<String>) {
        let notice = |prefix: MachinePrefix, text: String| Some(prefix.message(text));
        match self {
            Self::Gone => (CloseCode::Normal, None),
            Self::Stopping => (CloseCode::Away, None),
            Self::Idle => (CloseCode::Away, Some("closed: nothing was heard for too long".into())),
            Self::SlowReader(why) => {
                (CloseCode::Policy, notice(MachinePrefix::RateLimited, why.clone()))
            }
            Self::TooLarge(bytes) => {
                let text =
                    format!("message of {bytes} bytes is over the limit of {max_message_bytes}");
                (CloseCode::Size, notice(MachinePrefix::Invalid, text))
            }
            Self::NotUtf8 => {
                (CloseCode::Invalid, notice(MachinePrefix::Invalid, "message is not UTF-8".into()))
            }
            Self::Binary => (
                CloseCode::Unsupported,
                notice(MachinePrefix::Unsupported, "binary messages are not used (NIP-01)".into()),
            ),
            Self::Protocol(why) => {
                (CloseCode::Protocol, notice(MachinePrefix::Invalid, why.clone()))
            }
            Self::TooManyBad => (
                CloseCode::Policy,
                notice(MachinePrefix::RateLimited, "too many malformed messages".into()),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_that_is_the_clients_doing_tells_the_client_why() {
        for (end, code, words) in [
            (End::SlowReader("you read too slowly".into()), CloseCode::Policy, "too slowly"),
            (End::TooLarge(2_000), CloseCode::Size, "2000 bytes is over the limit of 1000"),
            (End::NotUtf8, CloseCode::Invalid, "not UTF-8"),
            (End::Binary, CloseCode::Unsupported, "binary"),
            (End::Protocol("bad opcode".into()), CloseCode::Protocol, "bad opcode"),
            (End::TooManyBad, CloseCode::Policy, "too many"),
            (End::Idle, CloseCode::Away, "too long"),
        ] {
            let (got, notice) = end.farewell(1_000);
            assert_eq!(got, code, "{end:?}");
            assert!(notice.is_some_and(|notice| notice.contains(words)), "{end:?}");
        }
    }
}
