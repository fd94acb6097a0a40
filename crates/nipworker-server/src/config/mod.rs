//! The configuration: TOML in layers, defaults → file → environment → flags.
//!
//! [`Config`] is what a file may say; every key has a default, an unknown key is refused, and a
//! mistake is named with its file, line, column and key. `config/nipworker.toml` shows every key.

mod data_dir;
mod error;
mod gateway;
mod layers;
mod locate;
mod secret;
#[cfg(test)]
mod tests;

use std::{path::PathBuf, time::Duration};

use nipworker_core::{ClientConfig, FileSetting, StartError, StoreBackend, protocol::EventLimits};
use serde::{Deserialize, Serialize};

pub(crate) use data_dir::default_data_dir;
pub use error::{ConfigError, Place};
pub(crate) use gateway::MAX_DIFFICULTY_BITS;
pub use gateway::{DEFAULT_PORT, GatewayConfig, HttpConfig, MineConfig, WebSocketConfig};
pub use layers::{ENVIRONMENT_PREFIX, Flags, Loaded, Sources, load};
pub(crate) use nipworker_core::config::duration::{self, parse as parse_duration};
pub use secret::Secret;

/// Everything that can be configured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The process: where its data lies, what it logs, how it stops.
    pub daemon: DaemonConfig,
    /// The port that clients use.
    pub gateway: GatewayConfig,
    /// Whose key signs.
    pub signer: SignerConfig,
    /// The engine: relays, store, workers.
    pub engine: ClientConfig,
}

impl Default for Config {
    /// The engine's own defaults, but with a durable store, mining jobs and outbox: what a daemon
    /// acknowledged must be there after its next start.
    fn default() -> Self {
        let mut engine = ClientConfig::default();
        engine.store.backend = StoreBackend::Redb;
        engine.miner.checkpoint = FileSetting::At(PathBuf::from("mining-jobs.json"));
        engine.outbox.file = FileSetting::At(PathBuf::from("outbox.journal"));
        Self {
            daemon: DaemonConfig::default(),
            gateway: GatewayConfig::default(),
            signer: SignerConfig::default(),
            engine,
        }
    }
}

/// The process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DaemonConfig {
    /// Folder of the store and of the file that tells where the daemon listens. Empty means the
    /// user's own data folder.
    pub data: PathBuf,
    /// What is logged to stderr, in the syntax of `tracing` filters: `info`,
    /// `warn,nipworker_relay=debug`.
    pub log: String,
    /// Longest wait for connections and workers to finish on a stop.
    #[serde(with = "duration")]
    pub shutdown_timeout: Duration,
}

impl Default for DaemonConfig {
    fn default() -> Self {
        Self {
            data: PathBuf::new(),
            log: "info,actix_server=warn".to_owned(),
            shutdown_timeout: Duration::from_secs(10),
        }
    }
}

/// Whose key signs. The key itself never stands in the configuration file: it is read from its
/// own file, or from the environment (`NIPWORKER_SIGNER__KEY`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SignerConfig {
    /// File that holds the secret key, as `nsec1…` or hex. Empty means no key.
    pub key_file: PathBuf,
    /// Files that hold further secret keys, each one, for `engine.connections.auth_keys`.
    pub further_key_files: Vec<PathBuf>,
}

/// A value that is of the right type and yet not allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigProblem {
    /// Dotted key.
    pub(crate) key: String,
    /// What is wrong, for a person.
    pub(crate) problem: String,
}

impl ConfigProblem {
    pub(crate) fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { key: key.into(), problem: problem.into() }
    }
}

impl Config {
    /// Checks ranges and relations that types cannot express.
    pub(crate) fn validate(&self) -> Result<(), ConfigProblem> {
        self.gateway.validate()?;
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&self.daemon.log) {
            return Err(ConfigProblem::new("daemon.log", error.to_string()));
        }
        let longest = Duration::from_secs(3600);
        if self.daemon.shutdown_timeout > longest {
            return Err(ConfigProblem::new("daemon.shutdown_timeout", "is more than an hour"));
        }
        self.engine.validate().map_err(|error| match error {
            StartError::Config { key, problem } => {
                ConfigProblem { key: format!("engine.{key}"), problem }
            }
            other => ConfigProblem::new("engine", other.to_string()),
        })
    }

    /// What one event may be at most.
    pub(crate) fn event_limits(&self) -> EventLimits {
        let limits = &self.engine.limits;
        EventLimits {
            max_event_bytes: limits.max_event_bytes,
            max_tags: limits.max_tags,
            max_tag_elements: limits.max_tag_elements,
        }
    }

    /// The folder that holds the data: the configured one, or the user's own.
    pub fn data_dir(&self) -> PathBuf {
        if self.daemon.data.as_os_str().is_empty() {
            default_data_dir()
        } else {
            self.daemon.data.clone()
        }
    }
}
