//! Settings of routing.

use std::time::Duration;

use nipworker_protocol::RelayUrl;
use nipworker_relay::routing::{self, JunkPolicy};
use serde::{Deserialize, Serialize};

use super::duration;

/// Where requests go that name no relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RoutingMode {
    /// To the configured relays.
    #[default]
    Off,
    /// By the relay lists of those whom they are about (NIP-65).
    Outbox,
}

/// Routing by relay lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RoutingConfig {
    /// Whether there is any.
    pub mode: RoutingMode,
    /// Relays of an author that are asked for it.
    pub relays_per_author: usize,
    /// Relays of one request, beside the configured ones.
    pub max_relays_per_request: usize,
    /// Relays that lists and hints may bring in at once; no more than `connections.max_relays`.
    pub max_relays: usize,
    /// Relays that are asked for lists, beside the configured ones.
    pub lookup_relays: Vec<RelayUrl>,
    /// How long a request waits for lists that are not known.
    #[serde(with = "duration")]
    pub lookup_deadline: Duration,
    /// After how long somebody whose list was not found is looked for again.
    #[serde(with = "duration")]
    pub look_again: Duration,
    /// After how long a list that is known is looked for again.
    #[serde(with = "duration")]
    pub list_age: Duration,
    /// Whether lists may name `ws://`, addresses, and names of this machine or network.
    pub allow_private: bool,
    /// Whether lists may name `.onion` relays.
    pub allow_onion: bool,
    /// Hosts that lists may not name, with all names below them.
    pub blocked_hosts: Vec<String>,
}

impl Default for RoutingConfig {
    fn default() -> Self {
        let domain = routing::RoutingConfig::default();
        Self {
            mode: RoutingMode::Off,
            relays_per_author: domain.relays_per_author,
            max_relays_per_request: domain.max_relays_per_request,
            max_relays: domain.max_relays,
            lookup_relays: Vec::new(),
            lookup_deadline: Duration::from_secs(3),
            look_again: domain.look_again,
            list_age: domain.list_age,
            allow_private: false,
            allow_onion: false,
            blocked_hosts: Vec::new(),
        }
    }
}

impl RoutingConfig {
    /// The key that makes no sense, and why. `most` is the largest number of relays at once.
    pub(super) fn validate(&self, most: usize) -> Result<(), (&'static str, String)> {
        for (key, value, most) in [
            ("relays_per_author", self.relays_per_author, routing::RELAYS_PER_LIST_MAX),
            ("max_relays_per_request", self.max_relays_per_request, most),
            ("max_relays", self.max_relays, most),
        ] {
            if !(1..=most).contains(&value) && self.mode != RoutingMode::Off {
                return Err((key, format!("{value} is out of range, allowed are 1 to {most}")));
            }
        }
        for (key, time) in [
            ("lookup_deadline", self.lookup_deadline),
            ("look_again", self.look_again),
            ("list_age", self.list_age),
        ] {
            if time.is_zero() || time > duration::LONGEST {
                return Err((key, "must be more than 0 and no more than a year".to_owned()));
            }
        }
        Ok(())
    }

    pub(crate) fn domain(&self) -> routing::RoutingConfig {
        routing::RoutingConfig {
            relays_per_author: self.relays_per_author,
            max_relays_per_request: self.max_relays_per_request,
            max_relays: self.max_relays,
            look_again: self.look_again,
            list_age: self.list_age,
            junk: JunkPolicy {
                allow_private: self.allow_private,
                allow_onion: self.allow_onion,
                blocked: self.blocked_hosts.iter().map(|host| host.to_lowercase()).collect(),
            },
        }
    }
}
