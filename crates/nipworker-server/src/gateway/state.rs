//! What every request handler shares.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use actix_web::web;
use nipworker_core::{ClientStatus, NostrClient, PublishOptions, protocol::EventLimits};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{
    api::filters::read_body,
    counters::{Counters, GatewayStatus},
    error::ApiError,
};
use crate::config::GatewayConfig;

/// One value for all threads of the gateway.
pub(crate) struct Gateway {
    pub(crate) client: NostrClient,
    pub(crate) config: GatewayConfig,
    pub(crate) event_limits: EventLimits,
    pub(crate) counters: Arc<Counters>,
    /// Turns true when the gateway stops.
    pub(crate) stopping: watch::Receiver<bool>,
    pub(crate) about: About,
    pub(crate) started: Instant,
}

/// Facts about the process that do not change while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Name and version.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// Address and port that the gateway listens on.
    pub listen: SocketAddr,
    /// Folder of the data.
    pub data: PathBuf,
    /// Upstream relays.
    pub relays: Vec<String>,
    /// When the gateway started, unix seconds.
    pub started_at: u64,
}

impl About {
    /// The facts of this process.
    pub(crate) fn this_process(listen: SocketAddr, data: PathBuf, relays: Vec<String>) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            listen,
            data,
            relays,
            started_at: now.as_secs(),
        }
    }
}

/// What `GET /api/v1/status` answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServerStatus {
    /// Facts about the process.
    pub about: About,
    /// Milliseconds since the gateway started.
    pub uptime_ms: u64,
    /// The gateway's counters.
    pub gateway: GatewayStatus,
    /// The engine: workers, relays, subscriptions, store, mining.
    pub engine: ClientStatus,
}

impl Gateway {
    /// Whether events are sent to relays and asked from them.
    pub(crate) fn has_upstream(&self) -> bool {
        !self.about.relays.is_empty()
    }

    /// How events of clients are published.
    pub(crate) fn publish_options(&self) -> PublishOptions {
        PublishOptions {
            use_relays: self.has_upstream(),
            timeout: self.config.publish_timeout,
            ..PublishOptions::default()
        }
    }

    /// Reads the body of a request up to a limit in bytes.
    pub(crate) async fn read_body(
        &self,
        payload: web::Payload,
        limit: usize,
    ) -> Result<web::BytesMut, ApiError> {
        read_body(payload, limit, self.config.http.request_timeout).await
    }

    /// Everything that can be told without asking a worker.
    pub(crate) fn status(&self) -> ServerStatus {
        ServerStatus {
            about: self.about.clone(),
            uptime_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            gateway: self.counters.snapshot(),
            engine: self.client.status(),
        }
    }
}
