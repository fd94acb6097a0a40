//! How a sync is done.

use std::time::Duration;

use nipworker_protocol::RelayUrl;
use serde::{Deserialize, Serialize};

/// Which side gets what it lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SyncDirection {
    /// The store gets what relays have.
    #[default]
    Down,
    /// Relays get what the store has.
    Up,
    /// Both.
    Both,
}

impl SyncDirection {
    pub(super) fn is_down(self) -> bool {
        self != Self::Up
    }

    pub(super) fn is_up(self) -> bool {
        self != Self::Down
    }
}

/// How a sync is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncOptions {
    /// Relays to sync with; `None` means the configured ones.
    pub relays: Option<Vec<RelayUrl>>,
    /// Which side gets what it lacks. Default: down.
    pub direction: SyncDirection,
    /// How long one relay may take altogether, from when its turn has come. Default: 300 s.
    pub deadline: Duration,
    /// How long a relay may take for one step of the reconciliation; then it is taken not to know
    /// NIP-77. Default: 10 s.
    pub idle: Duration,
    /// Whether NIP-77 is tried at all. Without it relays are read page by page. Default: true.
    pub reconcile: bool,
}

impl Default for SyncOptions {
    fn default() -> Self {
        Self {
            relays: None,
            direction: SyncDirection::default(),
            deadline: Duration::from_secs(300),
            idle: nipworker_relay::RECONCILE_IDLE,
            reconcile: true,
        }
    }
}
