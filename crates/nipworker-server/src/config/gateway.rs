//! What the gateway allows: `[gateway]`, `[gateway.websocket]`, `[gateway.http]`,
//! `[gateway.mine]`.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use nipworker_protocol::{FilterLimits, SUBSCRIPTION_ID_MAX_CHARS};
use serde::{Deserialize, Serialize};

use super::{ConfigProblem, duration};

/// The port on which the gateway listens unless told otherwise.
pub const DEFAULT_PORT: u16 = 7447;

/// The gateway: one port for WebSocket, HTTP API, health and metrics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GatewayConfig {
    /// Address and port to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Threads that serve connections, 1 to 64.
    pub threads: usize,
    /// Connections at a time over all threads, WebSocket or HTTP, 1 to 65536.
    pub max_connections: usize,
    /// Name of this relay in its information document (NIP-11).
    pub name: String,
    /// Description in the information document (NIP-11).
    pub description: String,
    /// How a person reaches whoever runs this, as a URI (NIP-11); empty leaves it out.
    pub contact: String,
    /// Value of `Access-Control-Allow-Origin` on the API and the NIP-11 document; empty sends no
    /// such header, so that only pages of the same origin may ask.
    pub allow_origin: String,
    /// Longest wait for the receipts of upstream relays when an event is published.
    #[serde(with = "duration")]
    pub publish_timeout: Duration,
    /// What one WebSocket connection may ask.
    pub websocket: WebSocketConfig,
    /// What one HTTP request may ask.
    pub http: HttpConfig,
    /// Mining for clients.
    pub mine: MineConfig,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT)),
            threads: 2,
            max_connections: 1_024,
            name: "nipworker".to_owned(),
            description: "A verifying, caching relay gateway".to_owned(),
            contact: String::new(),
            allow_origin: "*".to_owned(),
            publish_timeout: Duration::from_secs(10),
            websocket: WebSocketConfig::default(),
            http: HttpConfig::default(),
            mine: MineConfig::default(),
        }
    }
}

/// Limits of one WebSocket connection. What is advertised in the NIP-11 document is read here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebSocketConfig {
    /// Bytes of one message, also when it comes in fragments.
    pub max_message_bytes: usize,
    /// Subscriptions open at a time.
    pub max_subscriptions: usize,
    /// Characters of a subscription id, 1 to 64.
    pub max_subscription_id_chars: usize,
    /// Filters of one REQ or COUNT.
    pub max_filters: usize,
    /// Values of all lists of one filter together.
    pub max_filter_values: usize,
    /// Stored events that one filter may ask for; a larger or missing `limit` becomes this.
    pub max_limit: usize,
    /// Reconciliations (NIP-77) that one client may have open; 0 offers none.
    pub max_reconciliations: usize,
    /// Stored events that one reconciliation compares at most, 40 bytes each while it is open.
    pub max_reconciled_events: usize,
    /// EVENT, REQ and COUNT messages of one connection that are worked on at a time. The socket
    /// is not read while so many are.
    pub max_in_flight: usize,
    /// Messages that a client does not understand or that break a rule before it is disconnected.
    pub max_bad_messages: u32,
    /// Messages that wait to be sent to one client.
    pub outgoing_messages: usize,
    /// Bytes that wait to be sent to one client.
    pub outgoing_bytes: usize,
    /// A client whose full queue does not move for this long is disconnected.
    #[serde(with = "duration")]
    pub slow_reader_timeout: Duration,
    /// How often a client is pinged.
    #[serde(with = "duration")]
    pub ping_interval: Duration,
    /// A client that sends nothing, not even a pong, for this long is disconnected.
    #[serde(with = "duration")]
    pub idle_timeout: Duration,
}

impl Default for WebSocketConfig {
    fn default() -> Self {
        let FilterLimits { max_filters, max_filter_values, max_limit } = FilterLimits::default();
        Self {
            max_message_bytes: 1024 * 1024,
            max_subscriptions: 64,
            max_subscription_id_chars: SUBSCRIPTION_ID_MAX_CHARS,
            max_filters,
            max_filter_values,
            max_limit,
            max_reconciliations: 4,
            max_reconciled_events: 250_000,
            max_in_flight: 32,
            max_bad_messages: 100,
            outgoing_messages: 1_024,
            outgoing_bytes: 4 * 1024 * 1024,
            slow_reader_timeout: Duration::from_secs(30),
            ping_interval: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(90),
        }
    }
}

impl WebSocketConfig {
    /// The part that concerns filters; HTTP requests are held to the same.
    pub fn filter_limits(&self) -> FilterLimits {
        FilterLimits {
            max_filters: self.max_filters,
            max_filter_values: self.max_filter_values,
            max_limit: self.max_limit,
        }
    }
}

/// Limits of one HTTP request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Bytes of the body of a query, a count, a single event, or a mining job.
    pub max_body_bytes: usize,
    /// Bytes of the body when many events are posted at once as JSON lines.
    pub max_lines_bytes: usize,
    /// Longest wait for the head of a request, and for each further piece of its body.
    #[serde(with = "duration")]
    pub request_timeout: Duration,
    /// How long a connection without a request is kept.
    #[serde(with = "duration")]
    pub keep_alive: Duration,
    /// Longest wait for the end of the stored events when a query asks relays too.
    #[serde(with = "duration")]
    pub query_timeout: Duration,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            max_body_bytes: 1024 * 1024,
            max_lines_bytes: 64 * 1024 * 1024,
            request_timeout: Duration::from_secs(5),
            keep_alive: Duration::from_secs(30),
            query_timeout: Duration::from_secs(30),
        }
    }
}

/// Most leading zero bits that an id can have.
pub(crate) const MAX_DIFFICULTY_BITS: u16 = nipworker_core::pow::MAX_DIFFICULTY as u16;

/// Most jobs over HTTP that may be allowed: the engine holds no more.
const MOST_JOBS: usize = 4_096;

/// Mining jobs over HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MineConfig {
    /// Jobs active at a time, 0 to 4096; with 0 none is taken.
    pub max_jobs: usize,
    /// Most leading zero bits that a job may ask for, 0 to 256.
    pub max_difficulty_bits: u16,
    /// Longest time of a job; one that names no time gets this.
    #[serde(with = "duration")]
    pub max_timeout: Duration,
    /// Jobs that have ended and whose outcome can still be asked for, 1 to 1024. Each may hold an
    /// event.
    pub remembered_jobs: usize,
    /// Clients that may look on at jobs (server-sent events) at a time, 1 to 65536.
    pub max_watchers: usize,
    /// Whether what was mined is signed with the daemon's key and published where a client asks
    /// for it and the event is by that key. Of web pages only that of `allow_origin` may ask,
    /// and none if it is `*`.
    pub sign: bool,
}

impl Default for MineConfig {
    fn default() -> Self {
        Self {
            max_jobs: 16,
            max_difficulty_bits: 64,
            max_timeout: Duration::from_secs(24 * 3600),
            remembered_jobs: 256,
            max_watchers: 64,
            sign: false,
        }
    }
}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const GIB: usize = 1024 * MIB;
const MILLI: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

impl GatewayConfig {
    /// Checks ranges and what must fit together.
    pub(super) fn validate(&self) -> Result<(), ConfigProblem> {
        number("gateway.threads", self.threads, 1, 64)?;
        number("gateway.max_connections", self.max_connections, 1, 65_536)?;
        time("gateway.publish_timeout", self.publish_timeout, MILLI, DAY)?;
        let origin = &self.allow_origin;
        if origin.bytes().any(|byte| !(0x20..0x7f).contains(&byte)) {
            return Err(ConfigProblem::new("gateway.allow_origin", "is no header value"));
        }
        let ws = &self.websocket;
        number("gateway.websocket.max_message_bytes", ws.max_message_bytes, KIB, GIB)?;
        number("gateway.websocket.max_subscriptions", ws.max_subscriptions, 1, 100_000)?;
        number(
            "gateway.websocket.max_subscription_id_chars",
            ws.max_subscription_id_chars,
            1,
            SUBSCRIPTION_ID_MAX_CHARS,
        )?;
        number("gateway.websocket.max_filters", ws.max_filters, 1, 10_000)?;
        number("gateway.websocket.max_reconciliations", ws.max_reconciliations, 0, 100)?;
        number("gateway.websocket.max_reconciled_events", ws.max_reconciled_events, 1, 250_000)?;
        number("gateway.websocket.max_filter_values", ws.max_filter_values, 1, 1_000_000)?;
        number("gateway.websocket.max_limit", ws.max_limit, 1, 1_000_000)?;
        number("gateway.websocket.max_in_flight", ws.max_in_flight, 1, 4_096)?;
        number("gateway.websocket.max_bad_messages", ws.max_bad_messages as usize, 1, 1_000_000)?;
        number("gateway.websocket.outgoing_messages", ws.outgoing_messages, 1, 1_000_000)?;
        number("gateway.websocket.outgoing_bytes", ws.outgoing_bytes, 4 * KIB, GIB)?;
        time("gateway.websocket.slow_reader_timeout", ws.slow_reader_timeout, 10 * MILLI, DAY)?;
        time("gateway.websocket.ping_interval", ws.ping_interval, 10 * MILLI, DAY)?;
        time("gateway.websocket.idle_timeout", ws.idle_timeout, 20 * MILLI, DAY)?;
        if ws.idle_timeout <= ws.ping_interval {
            return Err(ConfigProblem::new(
                "gateway.websocket.idle_timeout",
                format!(
                    "must be longer than gateway.websocket.ping_interval ({}), or a client that \
                     only listens is disconnected",
                    humantime::format_duration(ws.ping_interval)
                ),
            ));
        }
        let http = &self.http;
        number("gateway.http.max_body_bytes", http.max_body_bytes, KIB, GIB)?;
        number("gateway.http.max_lines_bytes", http.max_lines_bytes, KIB, GIB)?;
        time("gateway.http.request_timeout", http.request_timeout, 10 * MILLI, DAY)?;
        time("gateway.http.keep_alive", http.keep_alive, MILLI, DAY)?;
        time("gateway.http.query_timeout", http.query_timeout, 10 * MILLI, DAY)?;
        let mine = &self.mine;
        number("gateway.mine.max_jobs", mine.max_jobs, 0, MOST_JOBS)?;
        number(
            "gateway.mine.max_difficulty_bits",
            mine.max_difficulty_bits.into(),
            0,
            MAX_DIFFICULTY_BITS.into(),
        )?;
        time("gateway.mine.max_timeout", mine.max_timeout, MILLI, 365 * DAY)?;
        number("gateway.mine.remembered_jobs", mine.remembered_jobs, 1, 1_024)?;
        number("gateway.mine.max_watchers", mine.max_watchers, 1, 65_536)
    }
}

fn number(key: &str, got: usize, min: usize, max: usize) -> Result<(), ConfigProblem> {
    if (min..=max).contains(&got) {
        return Ok(());
    }
    Err(ConfigProblem::new(key, format!("{got} is out of range, allowed are {min} to {max}")))
}

fn time(key: &str, got: Duration, min: Duration, max: Duration) -> Result<(), ConfigProblem> {
    if (min..=max).contains(&got) {
        return Ok(());
    }
    let text = humantime::format_duration;
    Err(ConfigProblem::new(
        key,
        format!("{} is out of range, allowed are {} to {}", text(got), text(min), text(max)),
    ))
}
