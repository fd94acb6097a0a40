//! Where an event came from.

use std::{fmt, sync::Arc};

/// Where an event came from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// A relay, by its normalised URL.
    Relay(Arc<str>),
    /// The store.
    Cache,
    /// Published or imported here.
    Local,
}

impl Source {
    /// A relay.
    pub fn relay(url: impl Into<Arc<str>>) -> Self {
        Self::Relay(url.into())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relay(url) => f.write_str(url),
            Self::Cache => f.write_str("cache"),
            Self::Local => f.write_str("local"),
        }
    }
}
