//! What relays do that they should not.

use serde_json::Value;

/// Connections of a relay that a habit may break; later ones are left whole.
pub const BAD_CONNECTIONS: u32 = 2;

/// A bad habit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Habit {
    /// Ends the connection in the middle of an answer.
    Closes,
    /// Answers pings and nothing else for a while.
    Stalls,
    /// Neither reads nor writes any more, and does not end the connection.
    Vanishes,
    /// Serves only whom it knows, and asks when somebody wants something (NIP-42).
    AuthFirst,
    /// Demands authentication after it has answered, and ends the subscription until then.
    AuthLate,
    /// Answers reconciliations (NIP-77) with a text for people.
    NegNotice,
    /// Sends what is no message.
    Garbage,
    /// Sends events of a megabyte.
    Huge,
    /// Sends events that do not match what was asked.
    OffFilter,
    /// Sends events for subscriptions that do not exist.
    UnknownSubscription,
    /// Sends events whose signatures or ids are false.
    Forges,
    /// Sends ids of others' events with another content or signature, before the true ones.
    Replays,
    /// Never says that the stored events are complete.
    NeverEose,
    /// Refuses the handshake with HTTP status 503.
    Refuses,
    /// Sends everything twice.
    Duplicates,
    /// Says twice that the stored events are complete.
    EoseTwice,
    /// Ends subscriptions with `rate-limited:`.
    RateLimits,
    /// Sends binary messages.
    Binary,
    /// Sends a text that is not UTF-8.
    InvalidUtf8,
    /// Sends a part of a frame and then nothing.
    SlowLoris,
    /// Sends genuine events that claim to be of the future.
    Future,
    /// Writes for people, again and again.
    Notices,
}

impl Habit {
    /// All of them.
    pub const ALL: [Self; 22] = [
        Self::Closes,
        Self::Stalls,
        Self::Vanishes,
        Self::AuthFirst,
        Self::AuthLate,
        Self::NegNotice,
        Self::Garbage,
        Self::Huge,
        Self::OffFilter,
        Self::UnknownSubscription,
        Self::Forges,
        Self::Replays,
        Self::NeverEose,
        Self::Refuses,
        Self::Duplicates,
        Self::EoseTwice,
        Self::RateLimits,
        Self::Binary,
        Self::InvalidUtf8,
        Self::SlowLoris,
        Self::Future,
        Self::Notices,
    ];

    /// Whether it ends connections or makes the client end them.
    pub fn breaks_connections(self) -> bool {
        matches!(
            self,
            Self::Closes | Self::Vanishes | Self::Refuses | Self::InvalidUtf8 | Self::SlowLoris
        )
    }

    /// Whether only the first [`BAD_CONNECTIONS`] have it.
    pub fn passes(self) -> bool {
        self.breaks_connections() || matches!(self, Self::Stalls | Self::RateLimits)
    }

    /// How often a client counted it: of its report of the relay, and of what came from it as it
    /// was sorted out. `None` for what is no fault.
    pub fn counted(self, report: &Value, ingest: &Value) -> Option<u64> {
        let told = |name: &str| report[name].as_u64().unwrap_or(0);
        let refused = |kind: &str| ingest["refused"][kind].as_u64().unwrap_or(0);
        let duplicates = ingest["duplicates"].as_u64().unwrap_or(0);
        Some(match self {
            Self::Closes => told("disconnects"),
            Self::Stalls | Self::NeverEose => told("eose_missed"),
            Self::Vanishes | Self::SlowLoris => told("stale"),
            Self::AuthFirst => told("auths_accepted"),
            Self::AuthLate => told("auth_challenges"),
            Self::Garbage | Self::Binary | Self::InvalidUtf8 => told("bad_frames"),
            Self::Huge => refused("too_large"),
            Self::OffFilter => refused("not_asked"),
            Self::UnknownSubscription => told("unasked_events"),
            // Whether it was asked for is looked at before the signature.
            Self::Forges => refused("id_mismatch") + refused("signature") + refused("not_asked"),
            // Of an event that is known with this signature nothing else is looked at.
            Self::Replays => {
                refused("id_mismatch") + refused("signature") + refused("not_asked") + duplicates
            }
            Self::Refuses => told("dial_failures"),
            Self::Duplicates => duplicates,
            Self::EoseTwice => told("repeated_eoses"),
            Self::RateLimits => told("closed"),
            Self::Notices | Self::NegNotice => told("notices"),
            Self::Future => return None,
        })
    }
}
