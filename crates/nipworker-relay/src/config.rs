//! Limits and times of the pool.

use std::time::Duration;

use nipworker_protocol::RelayUrl;
use nipworker_transport::ConnectOptions;

use crate::{AuthConfig, BackoffConfig};

/// Settings of a [`RelayPool`](crate::RelayPool). All of them are fixed for its life.
#[derive(Debug, Clone, PartialEq)]
pub struct RelayConfig {
    /// Relays that are always connected, and that a request without relays of its own goes to.
    /// Default: none.
    pub relays: Vec<RelayUrl>,
    /// Relays in the pool at once, those of requests included. Default: 80.
    pub max_relays: usize,
    /// How long a relay that only a request brought in is kept once nothing needs it.
    /// Default: 60 s.
    pub idle_grace: Duration,
    /// Waits between attempts.
    pub backoff: BackoffConfig,
    /// Longest time for dialling. Default: 10 s.
    pub connect_timeout: Duration,
    /// Largest message of a relay in bytes; a larger one ends the connection. Default: 2 MiB.
    pub max_message_bytes: usize,
    /// A connection that is silent for so long is pinged. Default: 30 s.
    pub ping_interval: Duration,
    /// A connection that is silent for so long after a ping is given up. Default: 10 s.
    pub ping_grace: Duration,
    /// How long a relay may take to send what it has stored; after that a subscription does not
    /// wait for it. A request may set another time. Default: 10 s.
    pub eose_deadline: Duration,
    /// How long a publish waits for the answers when the request does not say. Default: 10 s.
    pub publish_deadline: Duration,
    /// REQs open at once on one relay; further subscriptions wait for their turn, and the report
    /// shows how many do. Some places are kept for queries, see
    /// [`live_places`](RelayConfig::live_places). Default: 20, which is what widely used relays
    /// allow a connection by default; a REQ beyond a relay's own limit would be refused there.
    pub max_open_subscriptions: usize,
    /// Seconds before the last seen time from which a subscription is asked again, for authors
    /// whose clock is behind. What comes twice is dropped by its id. Default: 120.
    pub resubscribe_overlap_secs: i64,
    /// After how long a REQ that the relay ended for a passing reason (`rate-limited:`, `error:`,
    /// or none) is sent again on the same connection. Default: 60 s.
    pub closed_retry: Duration,
    /// Malformed frames within a minute after which a connection is given up. Default: 32.
    pub max_bad_frames: u32,
    /// Which relays may know who we are, and by which keys (NIP-42).
    pub auth: AuthConfig,
    /// Whether relays are asked for their information document (NIP-11), whose limits are then
    /// kept. Default: yes.
    pub information: bool,
    /// How long a document counts before it is fetched again with the next connection. Default: 1 h.
    pub information_ttl: Duration,
}

impl Default for RelayConfig {
    fn default() -> Self {
        Self {
            relays: Vec::new(),
            max_relays: 80,
            idle_grace: Duration::from_secs(60),
            backoff: BackoffConfig::default(),
            connect_timeout: ConnectOptions::DEFAULT_CONNECT_TIMEOUT,
            max_message_bytes: ConnectOptions::DEFAULT_MAX_MESSAGE_BYTES,
            ping_interval: Duration::from_secs(30),
            ping_grace: Duration::from_secs(10),
            eose_deadline: Duration::from_secs(10),
            publish_deadline: Duration::from_secs(10),
            max_open_subscriptions: 20,
            resubscribe_overlap_secs: 120,
            closed_retry: Duration::from_secs(60),
            max_bad_frames: 32,
            auth: AuthConfig::default(),
            information: true,
            information_ttl: Duration::from_secs(3_600),
        }
    }
}

/// Why settings are refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A number or time that must not be zero is zero.
    #[error("{0} must be more than 0")]
    Zero(&'static str),
    /// More relays than the pool may hold.
    #[error("{got} relays are more than max_relays allows: {limit}")]
    TooManyRelays {
        /// Number of relays.
        got: usize,
        /// The limit.
        limit: usize,
    },
    /// The back-off's least wait is over its longest.
    #[error("back-off of at least {} ms is over its maximum of {} ms", min.as_millis(), max.as_millis())]
    BackoffOrder {
        /// Least wait.
        min: Duration,
        /// Longest wait.
        max: Duration,
    },
    /// The growth of the back-off is not a number of at least 1 and at most 100.
    #[error("back-off factor {0} is not within 1 to 100")]
    BackoffFactor(f64),
    /// The jitter of the back-off is not a share.
    #[error("back-off jitter {0} is not within 0 to 1")]
    BackoffJitter(f64),
    /// The overlap is negative or longer than a day.
    #[error("resubscribe overlap of {0} s is not within 0 to 86400 s")]
    Overlap(i64),
    /// More keys for one relay than authenticate there.
    #[error("{got} keys for {relay} are more than the limit of {}", AuthConfig::MAX_KEYS)]
    TooManyKeys {
        /// The relay.
        relay: RelayUrl,
        /// Number of keys.
        got: usize,
    },
    /// Less than an event needs.
    #[error("max_message_bytes of {got} bytes is under {least} bytes")]
    MessageBytes {
        /// The setting.
        got: usize,
        /// What is allowed at least.
        least: usize,
    },
}

impl ConfigError {
    /// The field of [`RelayConfig`] that is wrong; one of the back-off with `backoff.` before it.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Zero(field) => field,
            Self::TooManyRelays { .. } => "relays",
            Self::BackoffOrder { .. } => "backoff.min",
            Self::BackoffFactor(_) => "backoff.factor",
            Self::BackoffJitter(_) => "backoff.jitter",
            Self::Overlap(_) => "resubscribe_overlap_secs",
            Self::MessageBytes { .. } => "max_message_bytes",
            Self::TooManyKeys { .. } => "auth.keys",
        }
    }
}

/// Least allowed [`RelayConfig::max_message_bytes`].
const LEAST_MESSAGE_BYTES: usize = 4 * 1024;

impl RelayConfig {
    /// Places that live subscriptions leave to queries, which end by themselves; never more than
    /// half of all places, so that with a single place there is none to leave.
    pub const QUERY_PLACES: usize = 4;

    /// REQs of live subscriptions that may be open at once on one relay, if the relay takes as many
    /// REQs as are configured.
    pub fn live_places(&self) -> usize {
        Self::live_places_of(self.max_open_subscriptions)
    }

    pub(crate) fn live_places_of(places: usize) -> usize {
        places - Self::QUERY_PLACES.min(places / 2)
    }

    /// Checks each setting and the relations between them.
    ///
    /// # Errors
    /// The first one that is wrong.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let durations = [
            ("connect_timeout", self.connect_timeout),
            ("ping_interval", self.ping_interval),
            ("ping_grace", self.ping_grace),
            ("eose_deadline", self.eose_deadline),
            ("publish_deadline", self.publish_deadline),
            ("closed_retry", self.closed_retry),
            ("backoff.min", self.backoff.min),
            ("auth.deadline", self.auth.deadline),
            ("information_ttl", self.information_ttl),
        ];
        if let Some((name, _)) = durations.iter().find(|(_, time)| time.is_zero()) {
            return Err(ConfigError::Zero(name));
        }
        if self.max_relays == 0 {
            return Err(ConfigError::Zero("max_relays"));
        }
        if self.max_open_subscriptions == 0 {
            return Err(ConfigError::Zero("max_open_subscriptions"));
        }
        if self.relays.len() > self.max_relays {
            return Err(ConfigError::TooManyRelays {
                got: self.relays.len(),
                limit: self.max_relays,
            });
        }
        let BackoffConfig { min, max, factor, jitter, .. } = self.backoff;
        if min > max {
            return Err(ConfigError::BackoffOrder { min, max });
        }
        if !(1.0..=100.0).contains(&factor) {
            return Err(ConfigError::BackoffFactor(factor));
        }
        if !(0.0..=1.0).contains(&jitter) {
            return Err(ConfigError::BackoffJitter(jitter));
        }
        if !(0..=86_400).contains(&self.resubscribe_overlap_secs) {
            return Err(ConfigError::Overlap(self.resubscribe_overlap_secs));
        }
        let most = AuthConfig::MAX_KEYS;
        if let Some((relay, keys)) = self.auth.keys.iter().find(|(_, keys)| keys.len() > most) {
            return Err(ConfigError::TooManyKeys { relay: relay.clone(), got: keys.len() });
        }
        if self.max_message_bytes < LEAST_MESSAGE_BYTES {
            return Err(ConfigError::MessageBytes {
                got: self.max_message_bytes,
                least: LEAST_MESSAGE_BYTES,
            });
        }
        Ok(())
    }

    pub(crate) fn connect_options(&self) -> ConnectOptions {
        ConnectOptions {
            connect_timeout: self.connect_timeout,
            max_message_bytes: self.max_message_bytes,
            public_only: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(RelayConfig::default().validate(), Ok(()));
    }

    #[test]
    fn live_subscriptions_always_have_a_place_and_leave_some() {
        let live = |max_open_subscriptions| {
            RelayConfig { max_open_subscriptions, ..RelayConfig::default() }.live_places()
        };
        assert_eq!([1, 2, 3, 8, 20, 100].map(live), [1, 1, 2, 4, 16, 96]);
    }

    #[test]
    fn each_wrong_setting_is_named() {
        let wrong = |change: fn(&mut RelayConfig)| {
            let mut config = RelayConfig::default();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        let second = Duration::from_secs(1);
        assert!(wrong(|c| c.ping_grace = Duration::ZERO).contains("ping_grace"));
        assert!(wrong(|c| c.max_relays = 0).contains("max_relays"));
        assert!(wrong(|c| c.max_open_subscriptions = 0).contains("max_open_subscriptions"));
        assert!(wrong(|c| c.backoff.factor = f64::NAN).contains("NaN"));
        assert!(wrong(|c| c.backoff.jitter = -0.1).contains("-0.1"));
        assert!(wrong(|c| c.resubscribe_overlap_secs = -1).contains("-1 s"));
        assert!(wrong(|c| c.max_message_bytes = 10).contains("10 bytes"));
        let config = RelayConfig {
            backoff: BackoffConfig { min: 60 * second, max: second, ..BackoffConfig::default() },
            ..RelayConfig::default()
        };
        assert!(config.validate().unwrap_err().to_string().contains("60000 ms"));
        let relay = RelayUrl::parse("ws://relay.test").unwrap();
        let config =
            RelayConfig { relays: vec![relay; 3], max_relays: 2, ..RelayConfig::default() };
        let expected = ConfigError::TooManyRelays { got: 3, limit: 2 };
        assert_eq!(config.validate(), Err(expected));
    }
}
