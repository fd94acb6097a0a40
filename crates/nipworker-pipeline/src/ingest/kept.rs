//! What the store did with an event, as far as delivery is concerned.

use nipworker_protocol::{EventId, Filter};

/// What the store did with an event that was offered to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is stored now.
    Stored,
    /// It was stored before.
    Duplicate,
    /// A newer one stands in its place (replaceable and addressable kinds).
    Superseded,
    /// Its author has asked for its deletion (NIP-09).
    Deleted,
    /// It has expired (NIP-40).
    Expired,
    /// It is of a kind that is never stored.
    Ephemeral,
    /// The store refuses it.
    Refused,
    /// The store could not be asked, or failed.
    Unknown,
}

impl Kept {
    /// Whether readers who asked with `filters` get the event with this id.
    ///
    /// They do unless it was deleted, has expired or was refused. A superseded version would come
    /// after the newer one and look like news, so only who asks for that very id gets it. When the
    /// store fails, readers still get what was verified.
    pub fn is_delivered(self, id: &EventId, filters: &[Filter]) -> bool {
        match self {
            Self::Stored | Self::Duplicate | Self::Ephemeral | Self::Unknown => true,
            Self::Superseded => {
                filters.iter().any(|filter| filter.ids.as_ref().is_some_and(|ids| ids.contains(id)))
            }
            Self::Deleted | Self::Expired | Self::Refused => false,
        }
    }

    /// Whether it is news that live subscriptions elsewhere in this process should hear of.
    /// `is_known` says whether the event was known before (see
    /// [`Genuine::is_known`](crate::Genuine::is_known)).
    ///
    /// A duplicate that was not known may have been stored by an attempt whose answer was lost, and
    /// then nobody has heard of it. If it was stored long ago instead, subscriptions that remember
    /// it leave it out.
    pub fn is_news(self, is_known: bool) -> bool {
        match self {
            Self::Stored | Self::Ephemeral => true,
            Self::Duplicate => !is_known,
            _ => false,
        }
    }
}
