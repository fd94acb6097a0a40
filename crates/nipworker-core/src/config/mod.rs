//! What a client can be told: where to keep events, whom to connect to, how much of the machine
//! to use. All of it is fixed for the life of the client.

pub mod duration;
mod file_setting;
mod miner;
mod outbox;
mod proxy;
mod routing;
mod store;

use std::{collections::BTreeMap, time::Duration};

use nipworker_connections::{AuthConfig, BackoffConfig, Consent, RelayConfig};
use nipworker_pipeline::{
    HubConfig, PipelineConfig,
    pipes::{PipeSpec, PipesConfig},
};
use nipworker_protocol::{EventLimits, PublicKey, RelayUrl};
use nipworker_supervision::{Backoff, Intensity};
use serde::{Deserialize, Serialize};

use crate::StartError;

pub use file_setting::FileSetting;
pub use miner::{Dispatch, MinerConfig, Remine, Reserve};
pub use outbox::OutboxConfig;
pub use proxy::{ProxyConfig, ProxyUse};
pub use routing::{RoutingConfig, RoutingMode};
pub use store::{KEPT_FILTERS_MAX, SEALED_KINDS, STORE_BYTES_MIN, StoreBackend, StoreConfig};

/// Settings of a [`NostrClient`](crate::NostrClient). `Default` works without any server: a store
/// in memory, no relays, threads by the number of cores.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientConfig {
    /// Relays that are always connected and that requests without relays of their own go to.
    pub relays: Vec<RelayUrl>,
    /// Where events are kept.
    pub store: StoreConfig,
    /// Limits and times of relay connections.
    pub connections: ConnectionsConfig,
    /// Where requests go that name no relay.
    pub routing: RoutingConfig,
    /// Events that must arrive.
    pub outbox: OutboxConfig,
    /// Which relays are reached through a proxy.
    pub proxy: ProxyConfig,
    /// Bounds of what comes in and what waits for readers.
    pub limits: LimitsConfig,
    /// What is done to events on the way to readers that do not choose for themselves.
    pub pipeline: PipesConfig,
    /// Verification and signing.
    pub crypto: CryptoConfig,
    /// Mining.
    pub miner: MinerConfig,
    /// When workers are restarted and when that is given up.
    pub supervision: SupervisionConfig,
}

/// Limits and times of relay connections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConnectionsConfig {
    /// Relays connected at once, those of single requests included.
    pub max_relays: usize,
    /// How long a relay that only a request brought in is kept once nothing needs it.
    #[serde(with = "duration")]
    pub idle_grace: Duration,
    /// Wait before the first attempt to connect again.
    #[serde(with = "duration")]
    pub reconnect_min: Duration,
    /// Longest wait between attempts.
    #[serde(with = "duration")]
    pub reconnect_max: Duration,
    /// Growth of the wait from one attempt to the next.
    pub reconnect_factor: f64,
    /// Share of the wait that is left to chance, 0 to 1.
    pub reconnect_jitter: f64,
    /// A connection that lasted so long starts the waits anew.
    #[serde(with = "duration")]
    pub reconnect_reset: Duration,
    /// Longest time for dialling, TLS and handshake included.
    #[serde(with = "duration")]
    pub connect_timeout: Duration,
    /// Largest message of a relay in bytes.
    pub max_message_bytes: usize,
    /// A connection that is silent for so long is pinged.
    #[serde(with = "duration")]
    pub ping_interval: Duration,
    /// A connection that is silent for so long after a ping is given up.
    #[serde(with = "duration")]
    pub ping_grace: Duration,
    /// How long a subscription waits for a relay's stored events.
    #[serde(with = "duration")]
    pub eose_deadline: Duration,
    /// How long a publish waits for the relays' answers.
    #[serde(with = "duration")]
    pub publish_deadline: Duration,
    /// Subscriptions open at once on one relay, of which some places
    /// ([`RelayConfig::QUERY_PLACES`]) are left to queries; further ones wait for their turn.
    pub max_open_subscriptions: usize,
    /// Seconds before the last seen time from which a subscription is asked again after a
    /// reconnection.
    pub resubscribe_overlap_secs: i64,
    /// After how long a subscription that a relay closed for a passing reason is asked again.
    #[serde(with = "duration")]
    pub closed_retry: Duration,
    /// Malformed frames within a minute after which a connection is given up.
    pub max_bad_frames: u32,
    /// Which relays may learn who we are (NIP-42).
    pub auth: Consent,
    /// Whether relays are asked for their information document (NIP-11), whose limits are then
    /// kept.
    pub information: bool,
    /// How long a document counts before it is fetched again.
    #[serde(with = "duration")]
    pub information_ttl: Duration,
    /// How long a signature for a relay, and the relay's answer to it, may take.
    #[serde(with = "duration")]
    pub auth_deadline: Duration,
    /// Public keys that authenticate at a relay instead of the default signer's. Whoever embeds the
    /// client adds their signers by
    /// [`NostrClientBuilder::key`](crate::NostrClientBuilder::key).
    pub auth_keys: BTreeMap<RelayUrl, Vec<PublicKey>>,
}

impl Default for ConnectionsConfig {
    fn default() -> Self {
        let relay = RelayConfig::default();
        Self {
            max_relays: relay.max_relays,
            idle_grace: relay.idle_grace,
            reconnect_min: relay.backoff.min,
            reconnect_max: relay.backoff.max,
            reconnect_factor: relay.backoff.factor,
            reconnect_jitter: relay.backoff.jitter,
            reconnect_reset: relay.backoff.reset_after,
            connect_timeout: relay.connect_timeout,
            max_message_bytes: relay.max_message_bytes,
            ping_interval: relay.ping_interval,
            ping_grace: relay.ping_grace,
            eose_deadline: relay.eose_deadline,
            publish_deadline: relay.publish_deadline,
            max_open_subscriptions: relay.max_open_subscriptions,
            resubscribe_overlap_secs: relay.resubscribe_overlap_secs,
            closed_retry: relay.closed_retry,
            max_bad_frames: relay.max_bad_frames,
            information: relay.information,
            information_ttl: relay.information_ttl,
            auth: relay.auth.consent,
            auth_keys: relay.auth.keys,
            auth_deadline: relay.auth.deadline,
        }
    }
}

/// Bounds of what comes in and what waits for readers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Largest event in bytes of JSON text.
    pub max_event_bytes: usize,
    /// Most tags of an event.
    pub max_tags: usize,
    /// Most elements of all tags of an event together.
    pub max_tag_elements: usize,
    /// Subscriptions open at once.
    pub max_subscriptions: usize,
    /// Events that wait for the reader of a subscription; beyond that the oldest is dropped and
    /// the reader is told how many.
    pub queue_events: usize,
    /// Verified events that are remembered to recognise duplicates without checking them again.
    pub known_events: usize,
    /// Delivered ids that each subscription remembers; copies of older ones may be delivered
    /// again.
    pub seen_events: usize,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        let EventLimits { max_event_bytes, max_tags, max_tag_elements } = EventLimits::default();
        let HubConfig { max_subscriptions, queue_events, seen_events } = HubConfig::default();
        let PipelineConfig { known_events, .. } = PipelineConfig::default();
        Self {
            max_event_bytes,
            max_tags,
            max_tag_elements,
            max_subscriptions,
            queue_events,
            known_events,
            seen_events,
        }
    }
}

/// Verification and signing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CryptoConfig {
    /// Threads that verify signatures; 0 takes the number of cores, less one where there are four
    /// or more.
    pub threads: usize,
    /// How long the signer may take for one answer.
    #[serde(with = "duration")]
    pub signer_deadline: Duration,
}

impl Default for CryptoConfig {
    fn default() -> Self {
        Self { threads: 0, signer_deadline: nipworker_crypto::DEFAULT_SIGNER_DEADLINE }
    }
}

/// When workers are restarted and when that is given up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SupervisionConfig {
    /// More restarts than this of all workers together …
    pub max_restarts: u32,
    /// … within this time end the client (for the daemon: the process, with exit code 1).
    #[serde(with = "duration")]
    pub within: Duration,
    /// Wait before a worker that failed twice in a row is restarted; the first time it is at once.
    #[serde(with = "duration")]
    pub backoff_min: Duration,
    /// Longest wait before a worker that failed again and again is restarted.
    #[serde(with = "duration")]
    pub backoff_max: Duration,
    /// How long a handler may hold a worker's thread before the worker counts as hung; zero takes
    /// each worker's own limit.
    #[serde(with = "duration")]
    pub hang_limit: Duration,
    /// Hung threads that may be around at once before the client gives up.
    pub max_zombies: usize,
}

impl Default for SupervisionConfig {
    fn default() -> Self {
        Self {
            max_restarts: 20,
            within: Duration::from_secs(60),
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(5),
            hang_limit: Duration::ZERO,
            max_zombies: nipworker_supervision::DEFAULT_MAX_ZOMBIES,
        }
    }
}

impl ClientConfig {
    /// Checks what types cannot express.
    ///
    /// # Errors
    /// [`StartError::Config`] with the key of the first setting that is wrong.
    pub fn validate(&self) -> Result<(), StartError> {
        let wrong =
            |key: &str, problem: String| Err(StartError::Config { key: key.to_owned(), problem });
        if let Err(error) = self.relay_config().validate() {
            return wrong(&relay_key(error.field()), error.to_string());
        }
        if let Err((key, problem)) = self.store.validate() {
            return wrong(&format!("store.{key}"), problem);
        }
        if let Err((key, problem)) = self.proxy.validate() {
            return wrong(&format!("proxy.{key}"), problem);
        }
        let limits = &self.limits;
        for (key, number) in [
            ("max_event_bytes", limits.max_event_bytes),
            ("max_tags", limits.max_tags),
            ("max_tag_elements", limits.max_tag_elements),
            ("max_subscriptions", limits.max_subscriptions),
            ("queue_events", limits.queue_events),
            ("known_events", limits.known_events),
            ("seen_events", limits.seen_events),
        ] {
            if number == 0 {
                return wrong(
                    &format!("limits.{key}"),
                    "0 is out of range, the least is 1".to_owned(),
                );
            }
        }
        self.pipes()?;
        let most = nipworker_pool::MAX_THREADS;
        if self.crypto.threads > most {
            let problem = format!("{} is out of range, the most is {most}", self.crypto.threads);
            return wrong("crypto.threads", problem);
        }
        if let Err((key, problem)) = self.miner.validate() {
            return wrong(&format!("miner.{key}"), problem);
        }
        if let Err((key, problem)) = self.routing.validate(self.connections.max_relays) {
            return wrong(&format!("routing.{key}"), problem);
        }
        if let Err((key, problem)) = self.outbox.validate() {
            return wrong(&format!("outbox.{key}"), problem);
        }
        let SupervisionConfig { within, backoff_min, backoff_max, .. } = self.supervision;
        for (key, time) in [
            ("crypto.signer_deadline", self.crypto.signer_deadline),
            ("supervision.within", within),
        ] {
            if time.is_zero() {
                return wrong(key, "must be more than 0".to_owned());
            }
        }
        if backoff_min > backoff_max {
            let problem = "is more than supervision.backoff_max".to_owned();
            return wrong("supervision.backoff_min", problem);
        }
        Ok(())
    }

    /// The pipes of a subscription that names none of its own.
    pub(crate) fn pipes(&self) -> Result<Vec<PipeSpec>, StartError> {
        self.pipeline.specs().map_err(|error| StartError::Config {
            key: format!("pipeline.{}", error.key),
            problem: error.problem,
        })
    }

    pub(crate) fn relay_config(&self) -> RelayConfig {
        let c = &self.connections;
        RelayConfig {
            relays: self.relays.clone(),
            max_relays: c.max_relays,
            idle_grace: c.idle_grace,
            backoff: BackoffConfig {
                min: c.reconnect_min,
                max: c.reconnect_max,
                factor: c.reconnect_factor,
                jitter: c.reconnect_jitter,
                reset_after: c.reconnect_reset,
            },
            connect_timeout: c.connect_timeout,
            max_message_bytes: c.max_message_bytes,
            ping_interval: c.ping_interval,
            ping_grace: c.ping_grace,
            eose_deadline: c.eose_deadline,
            publish_deadline: c.publish_deadline,
            max_open_subscriptions: c.max_open_subscriptions,
            resubscribe_overlap_secs: c.resubscribe_overlap_secs,
            closed_retry: c.closed_retry,
            max_bad_frames: c.max_bad_frames,
            information: c.information,
            information_ttl: c.information_ttl,
            auth: AuthConfig {
                consent: c.auth.clone(),
                keys: c.auth_keys.clone(),
                deadline: c.auth_deadline,
            },
        }
    }

    pub(crate) fn event_limits(&self) -> EventLimits {
        EventLimits {
            max_event_bytes: self.limits.max_event_bytes,
            max_tags: self.limits.max_tags,
            max_tag_elements: self.limits.max_tag_elements,
        }
    }

    pub(crate) fn pipeline_config(&self) -> PipelineConfig {
        PipelineConfig { event_limits: self.event_limits(), known_events: self.limits.known_events }
    }

    pub(crate) fn hub_config(&self) -> HubConfig {
        HubConfig {
            max_subscriptions: self.limits.max_subscriptions,
            queue_events: self.limits.queue_events,
            seen_events: self.limits.seen_events,
        }
    }

    pub(crate) fn intensity(&self) -> Intensity {
        Intensity { max_restarts: self.supervision.max_restarts, within: self.supervision.within }
    }

    pub(crate) fn backoff(&self) -> Backoff {
        let SupervisionConfig { backoff_min: min, backoff_max: max, .. } = self.supervision;
        Backoff { min, max, ..Backoff::default() }
    }
}

/// The key of this configuration for a field of [`RelayConfig`].
fn relay_key(field: &str) -> String {
    match field {
        "relays" => field.to_owned(),
        "auth.keys" => "connections.auth_keys".to_owned(),
        "auth.deadline" => "connections.auth_deadline".to_owned(),
        "backoff.reset_after" => "connections.reconnect_reset".to_owned(),
        field => match field.strip_prefix("backoff.") {
            Some(part) => format!("connections.reconnect_{part}"),
            None => format!("connections.{field}"),
        },
    }
}
