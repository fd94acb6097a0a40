//! What every request handler shares.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicUsize},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use actix_web::web;
use nipworker_core::{
    ClientError, ClientStatus, NostrClient, PublishOptions, protocol::EventLimits,
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{
    api::filters::Pieces,
    counters::{Counters, GatewayStatus, count},
    error::ApiError,
    mine::Jobs,
};
use crate::config::GatewayConfig;

/// One value for all threads of the gateway.
pub(crate) struct Gateway {
    pub(crate) client: NostrClient,
    pub(crate) config: GatewayConfig,
    pub(crate) event_limits: EventLimits,
    pub(crate) counters: Arc<Counters>,
    /// Mining jobs that came over HTTP.
    pub(crate) jobs: Jobs,
    /// Where tasks go on that no connection waits for.
    pub(crate) runtime: tokio::runtime::Handle,
    /// Turns true when the gateway stops.
    pub(crate) stopping: watch::Receiver<bool>,
    /// Longest wait for what is being worked on when the gateway stops.
    pub(crate) shutdown_timeout: Duration,
    pub(crate) about: About,
    pub(crate) started: Instant,
    /// Events that clients compare at the moment (NIP-77), all together.
    pub(crate) reconciled: Arc<AtomicUsize>,
    /// When a failure of the engine was last written to the log, counted from `started`.
    pub(crate) failure_logged: Mutex<Option<Duration>>,
}

/// Failures of the engine come in floods; one line in this time tells enough.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

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

/// Unix seconds now; 0 on a clock before 1970.
pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl About {
    /// The facts of this process.
    pub(crate) fn this_process(listen: SocketAddr, data: PathBuf, relays: Vec<String>) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            listen,
            data,
            relays,
            started_at: unix_now(),
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

    /// Counts an event that was accepted or refused.
    pub(crate) fn tally(&self, accepted: bool) {
        let counters = &self.counters;
        count(if accepted { &counters.events_accepted } else { &counters.events_refused });
    }

    /// How events of clients are published.
    pub(crate) fn publish_options(&self) -> PublishOptions {
        PublishOptions {
            use_relays: self.has_upstream(),
            timeout: Some(self.config.publish_timeout),
            ..PublishOptions::default()
        }
    }

    /// Reads the body of a request up to a limit in bytes.
    pub(crate) async fn read_body(
        &self,
        payload: web::Payload,
        limit: usize,
    ) -> Result<web::BytesMut, ApiError> {
        self.pieces(payload, limit).whole().await
    }

    /// The body of a request in pieces, up to a limit in bytes.
    pub(crate) fn pieces(&self, payload: web::Payload, limit: usize) -> Pieces {
        Pieces::new(payload, limit, self.config.http.request_timeout)
    }

    /// Counts a failure of the engine and tells the log, at most once in [`LOG_INTERVAL`].
    pub(crate) fn engine_failed(&self, error: &ClientError) {
        if matches!(
            error,
            ClientError::Invalid(_) | ClientError::Unsupported(_) | ClientError::OutboxFull(_)
        ) {
            return;
        }
        count(&self.counters.engine_failures);
        let now = self.started.elapsed();
        let mut logged = self.failure_logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.is_none_or(|then| now - then >= LOG_INTERVAL) {
            *logged = Some(now);
            tracing::warn!(%error, "the engine could not serve a client");
        }
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
