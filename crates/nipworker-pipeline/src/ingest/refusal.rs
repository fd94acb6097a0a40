//! Why an event is not let in.

use nipworker_protocol::EventError;
use serde::{Deserialize, Serialize};

/// Why an event is not let in. The text is fit for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The text is no event, is over a limit, or states a wrong id.
    #[error(transparent)]
    Event(#[from] EventError),
    /// It does not match what the relay was asked for.
    #[error("event matches none of the subscription's filters")]
    NotAsked,
    /// It came for a subscription that is not open.
    #[error("nobody asked for this event")]
    NoSubscription,
    /// The signature is not the author's over this id.
    #[error("signature is not valid")]
    Signature,
    /// It could not be verified: the check itself failed, twice.
    #[error("event could not be verified: {0}")]
    Unverifiable(String),
    /// It asked to be forgotten at a time that has passed (NIP-40).
    #[error("event expired at {at} (unix seconds)")]
    Expired {
        /// When it expired, unix seconds.
        at: i64,
    },
}

/// The kinds of [`Refusal`], for counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RefusalKind {
    /// The text is larger than the limit.
    TooLarge,
    /// Not JSON, or not an event.
    Malformed,
    /// Too many tags or tag elements.
    TooManyTags,
    /// The id is not the hash of the content.
    IdMismatch,
    /// See [`Refusal::NotAsked`].
    NotAsked,
    /// See [`Refusal::NoSubscription`].
    NoSubscription,
    /// See [`Refusal::Signature`].
    Signature,
    /// See [`Refusal::Unverifiable`].
    Unverifiable,
    /// See [`Refusal::Expired`].
    Expired,
}

impl RefusalKind {
    /// Its name, as in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::TooManyTags => "too_many_tags",
            Self::IdMismatch => "id_mismatch",
            Self::NotAsked => "not_asked",
            Self::NoSubscription => "no_subscription",
            Self::Signature => "signature",
            Self::Unverifiable => "unverifiable",
            Self::Expired => "expired",
        }
    }
}

impl Refusal {
    /// Its kind.
    pub fn kind(&self) -> RefusalKind {
        match self {
            Self::Event(EventError::TooLarge { .. }) => RefusalKind::TooLarge,
            Self::Event(EventError::TooManyTags { .. } | EventError::TooManyTagElements { .. }) => {
                RefusalKind::TooManyTags
            }
            Self::Event(EventError::IdMismatch { .. }) => RefusalKind::IdMismatch,
            Self::Event(_) => RefusalKind::Malformed,
            Self::NotAsked => RefusalKind::NotAsked,
            Self::NoSubscription => RefusalKind::NoSubscription,
            Self::Signature => RefusalKind::Signature,
            Self::Unverifiable(_) => RefusalKind::Unverifiable,
            Self::Expired { .. } => RefusalKind::Expired,
        }
    }
}
