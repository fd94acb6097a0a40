//! What can go wrong in a store, and whether asking again may help.

use crate::KvError;

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The backend failed.
    #[error(transparent)]
    Kv(#[from] KvError),
    /// What the backend returned contradicts itself. Remedy: `check`, then export what is
    /// readable and import it into a fresh store.
    #[error("store is damaged: {what}")]
    Damaged {
        /// What was found, and where.
        what: String,
    },
    /// The store was written by a later release. Remedy: use that release, or another folder.
    #[error("store has schema version {found}, this release reads up to {supported}")]
    SchemaTooNew {
        /// Version that the store states.
        found: u32,
        /// Newest version that this release knows.
        supported: u32,
    },
    /// The database holds data, but not an event store. Remedy: name another file.
    #[error("database holds other data than an event store")]
    Foreign,
    /// Rows of the store are sealed, and not by this key. Remedy: the right key.
    #[error("store is sealed: {problem}")]
    SealKey {
        /// What is wrong with the key.
        problem: &'static str,
    },
    /// A filter asks for full-text search (NIP-50), which this store does not offer.
    #[error("filter asks for a full-text search, which this store does not offer")]
    SearchUnsupported,
    /// The cursor comes from a query with another number of filters.
    #[error("cursor counts for {cursor} filters, the query has {filters}")]
    CursorMismatch {
        /// Filters of the query.
        filters: usize,
        /// Filters that the cursor was made for.
        cursor: usize,
    },
}

impl StoreError {
    /// Whether the same request may succeed later without anybody changing it.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Kv(KvError::Io { .. } | KvError::Full { .. } | KvError::Unavailable { .. })
        )
    }

    /// Whether the store's own state is in doubt after this error, so that whoever drives it
    /// should start afresh. A full disk is not such a case: reading goes on.
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Kv(KvError::Io { .. } | KvError::Corrupt { .. }))
    }

    pub(crate) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged { what: what.into() }
    }
}
