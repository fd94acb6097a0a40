//! The gateway: one port that speaks WebSocket to Nostr clients and HTTP to everybody else.
//!
//! | route | does |
//! |---|---|
//! | `GET /` | WebSocket of NIP-01; with `Accept: application/nostr+json` the document of NIP-11; else a page |
//! | `POST /api/v1/events` | one event as JSON, or many as JSON lines (`Content-Type: application/x-ndjson`), each with its outcome and receipts, and a last line `{"error":…}` if not all were worked on; `?relays=false` only stores; `?durable=true` queues: see below |
//! | `GET /api/v1/outbox` | `{"events":[…]}`: what was published durably and where it stands at each relay, what waits first |
//! | `GET /api/v1/outbox/{id}` | one of them, or 404 |
//! | `DELETE /api/v1/outbox/{id}` | takes it back at the relays that have not decided; answers as `GET` |
//! | `POST /api/v1/query` | a filter or an array of filters; a JSON array, or JSON lines for `Accept: application/x-ndjson`; `?relays=false` only asks the store, `?view=1` adds to each event a member `view` that says what it means, `?pipes=false` leaves the configured pipes out |
//! | `POST /api/v1/count` | as `query`; `{"count": n}` of the store |
//! | `GET /api/v1/events/{id}` | the event, or 404 |
//! | `POST /api/v1/mine` | takes an unsigned event of anybody's key and mines it (NIP-13): 202 with the job and its `Location`; see below |
//! | `GET /api/v1/mine` | the jobs that are remembered |
//! | `GET /api/v1/mine/{job}` | how far the job is, or its outcome |
//! | `GET /api/v1/mine/{job}/progress` | the same as server-sent events: `progress` about four times a second, one `outcome` at the end |
//! | `DELETE /api/v1/mine/{job}` | cancels; the attempts in the answer are final |
//! | `GET /api/v1/status` | [`ServerStatus`] |
//! | `GET /healthz`, `GET /readyz` | 200, or 503 with the reason |
//! | `GET /metrics` | OpenMetrics text |
//!
//! `HEAD` is served wherever `GET` is. An answer that its client does not read for
//! `gateway.websocket.slow_reader_timeout` ends the connection.
//!
//! A durable publication answers 202 with `"queued":true` and the event's `outbox` entry once the
//! event is stored and the outbox is on the disk (`engine.outbox`). It is sent at once, and again
//! until each relay has accepted it, has refused it for good, or is given up, also after a restart or
//! a crash of the daemon. Which answers are final stands in `nipworker_relay::outbox`. It is refused
//! with 400 `no_relay` or `unsupported` (no file), 503 `outbox_full` or `store_failed` with
//! `Retry-After`.
//!
//! A mining job is `{"event":{…},"difficulty_bits":n}` and, where wanted, `threads`, `timeout_secs`,
//! `max_attempts`, `priority` (`bulk`, `normal`, `high`, `urgent`), `idle`, `cpu_percent`,
//! `refresh_created_at` (true unless told otherwise), `sign` and `publish`. It goes on when its
//! client leaves, and, if the answer has `"kept":true`, after a restart or a crash of the daemon
//! (`engine.miner.checkpoint`), but is then neither signed nor published, which its field `restored`
//! says. Whoever reaches the port may see and cancel every job. The outcome of a job that found
//! something has `id`, `nonce`, `bits` and the whole `event`, unsigned unless `sign` was asked for;
//! its `published` is what `POST /events` answers, and an `error` beside the event says why it was
//! not signed or sent.
//!
//! Errors are `{"error":{"code":"…","message":"…"}}`. What is posted as one event and not accepted
//! has its outcome beside the error: 409 `superseded`, 410 `deleted`, 422 `invalid_event` or
//! `expired`, 502 `no_relay_accepted`, 503 `store_failed` or `worker_failed`. A mining job is refused
//! with 400 `invalid_json`, `invalid_request`, `invalid_event`, `invalid` (such as an event over the
//! 128 KiB that can be mined) or `unsupported`, 403 `signing_off` or `foreign_origin`, 409
//! `no_signer`, 413 `too_large`, 422 `already_signed`, `other_author`, `out_of_range` or
//! `too_difficult`, 429 `too_many` with `Retry-After`, 503 `busy` or `stopping`.

mod api;
mod counters;
mod error;
mod health;
mod metrics;
mod mine;
mod nip11;
mod page;
mod socket;
mod stalled;
mod state;
mod ws;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::{Arc, Mutex, atomic::Ordering},
    time::{Duration, Instant},
};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    dev::{Server, ServerHandle, Service, ServiceResponse},
    http::header::{self, HeaderMap, HeaderValue},
    web,
};
use nipworker_core::{NostrClient, protocol::EventLimits};
use tokio::sync::watch;

pub(crate) use self::{api::JSON_LINES, state::Gateway};
pub use self::{
    counters::GatewayStatus,
    state::{About, ServerStatus},
};
use self::{
    counters::{Counters, count},
    error::ApiError,
};
use crate::config::GatewayConfig;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1_024;

/// How often a stop looks whether all WebSocket clients have parted.
const PART_CHECK: Duration = Duration::from_millis(5);

/// Everything a gateway needs to start.
pub struct GatewayParts {
    /// The engine that answers.
    pub client: NostrClient,
    /// Limits and texts.
    pub config: GatewayConfig,
    /// What one event may be at most; the same that the engine enforces.
    pub event_limits: EventLimits,
    /// Upstream relays of the engine; without one, no request asks relays.
    pub relays: Vec<String>,
    /// Folder of the data, for the status.
    pub data: PathBuf,
    /// The port to serve.
    pub listener: TcpListener,
    /// Longest wait for requests to end on a stop.
    pub shutdown_timeout: Duration,
}

/// A gateway that serves. Dropping it does not stop it.
pub struct RunningGateway {
    address: SocketAddr,
    handle: ServerHandle,
    stopping: watch::Sender<bool>,
    counters: Arc<Counters>,
    gateway: Arc<Gateway>,
    shutdown_timeout: Duration,
    server: tokio::task::JoinHandle<io::Result<()>>,
}

impl RunningGateway {
    /// Starts to serve.
    ///
    /// # Errors
    /// The listener cannot be used.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(parts: GatewayParts) -> io::Result<Self> {
        let GatewayParts { client, config, event_limits, relays, data, listener, shutdown_timeout } =
            parts;
        let address = listener.local_addr()?;
        let (stopping, stopping_seen) = watch::channel(false);
        let counters = Arc::<Counters>::default();
        let gateway = Arc::new(Gateway {
            client,
            event_limits,
            counters: counters.clone(),
            jobs: mine::Jobs::new(&config.mine),
            runtime: tokio::runtime::Handle::current(),
            stopping: stopping_seen,
            shutdown_timeout,
            about: About::this_process(address, data, relays),
            started: Instant::now(),
            reconciled: Arc::default(),
            failure_logged: Mutex::default(),
            config: config.clone(),
        });
        mine::adopt(&gateway);
        let data = web::Data::from(gateway.clone());
        let server = serve(data, &config, listener, shutdown_timeout)?;
        let handle = server.handle();
        let server = tokio::spawn(server);
        Ok(Self { address, handle, stopping, counters, gateway, shutdown_timeout, server })
    }

    /// Address and port that are served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until the server ends by itself, which it only does when it fails. Cancel safe.
    pub async fn failed(&mut self) -> String {
        match (&mut self.server).await {
            Ok(Ok(())) => "the server ended".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        }
    }

    /// Takes no new connection, lets requests end, answers what WebSocket clients sent, says
    /// good-bye to them, signs and sends what was mined where that was asked for, and waits for all of
    /// that within the shutdown timeout.
    pub async fn stop(self) {
        let until = tokio::time::Instant::now() + self.shutdown_timeout;
        self.handle.pause().await;
        // Nobody listens when no request was ever made.
        self.stopping.send_replace(true);
        // A client that went may have left events that are still being published. The server knows
        // only of connections and would take the threads from under them.
        let parted = async {
            while self.counters.websockets.load(Ordering::Relaxed) > 0 {
                tokio::time::sleep(PART_CHECK).await;
            }
        };
        drop(tokio::time::timeout_at(until, parted).await);
        // After the next start it would be neither signed nor sent.
        drop(tokio::time::timeout_at(until, self.gateway.jobs.finishing()).await);
        if tokio::time::Instant::now() >= until {
            self.handle.stop(false).await;
        } else if tokio::time::timeout_at(until, self.handle.stop(true)).await.is_err() {
            // It counts whole seconds, and was given more of them than there were.
            self.server.abort();
        }
        // How the server ended no longer matters; when it failed, that was told before.
        if !self.server.is_finished() {
            drop(self.server.await);
        }
    }
}

fn serve(
    gateway: web::Data<Gateway>,
    config: &GatewayConfig,
    listener: TcpListener,
    shutdown_timeout: Duration,
) -> io::Result<Server> {
    // The server bounds connections by thread: no more threads than connections, and what does not
    // divide evenly is left out.
    let threads = config.threads.min(config.max_connections);
    let patience = stalled::Patience {
        stalled: config.websocket.slow_reader_timeout,
        keep_alive: config.http.keep_alive,
    };
    let allow_origin = HeaderValue::from_str(&config.allow_origin).ok();
    let server = HttpServer::new(move || {
        let gateway = gateway.clone();
        let counters = gateway.counters.clone();
        let allow_origin = allow_origin.clone().filter(|origin| !origin.is_empty());
        App::new()
            .app_data(gateway)
            .wrap_fn(move |request, service| {
                count(&counters.http_requests);
                let counters = counters.clone();
                let origin = allow_origin.clone();
                let preflight = is_preflight(request.method(), request.headers());
                let answer = if preflight {
                    let (request, _) = request.into_parts();
                    let response = HttpResponse::NoContent().finish().map_into_boxed_body();
                    futures::future::Either::Left(async {
                        Ok(ServiceResponse::new(request, response))
                    })
                } else {
                    futures::future::Either::Right(service.call(request))
                };
                async move {
                    let mut response = answer.await?.map_into_boxed_body();
                    if response.status().as_u16() >= 400 {
                        count(&counters.http_errors);
                    }
                    if let Some(origin) = origin {
                        allow(response.headers_mut(), origin, preflight);
                    }
                    Ok(stalled::watch(response, counters, patience))
                }
            })
            .route("/", web::get().to(root))
            .route("/", web::head().to(root))
            .route("/healthz", web::get().to(health::healthz))
            .route("/healthz", web::head().to(health::healthz))
            .route("/readyz", web::get().to(health::readyz))
            .route("/readyz", web::head().to(health::readyz))
            .route("/metrics", web::get().to(metrics::metrics))
            .route("/metrics", web::head().to(metrics::metrics))
            .service(web::scope("/api/v1").configure(api::configure))
            .default_service(web::to(unknown))
    });
    Ok(server
        .workers(threads)
        .backlog(BACKLOG)
        .max_connections(config.max_connections / threads)
        .client_request_timeout(config.http.request_timeout)
        .keep_alive(config.http.keep_alive)
        .shutdown_timeout(shutdown_timeout.as_secs() + 1)
        .disable_signals()
        .on_connect(|stream, extensions| {
            extensions.insert(Arc::new(socket::Socket::of(stream)));
        })
        .listen(listener)?
        .run())
}

/// Whether a browser asks if it may ask (CORS).
fn is_preflight(method: &actix_web::http::Method, headers: &HeaderMap) -> bool {
    method == actix_web::http::Method::OPTIONS
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Lets pages of `origin` read the answer.
fn allow(headers: &mut HeaderMap, origin: HeaderValue, preflight: bool) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    if preflight {
        let text = HeaderValue::from_static;
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, text("GET, POST, DELETE, OPTIONS"));
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            text("Accept, Content-Type, Last-Event-ID"),
        );
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, text("86400"));
    }
}

/// `/`: a relay for Nostr clients, its document for those who ask, a page for browsers.
async fn root(
    request: HttpRequest,
    payload: web::Payload,
    gateway: web::Data<Gateway>,
) -> Result<HttpResponse, actix_web::Error> {
    if ws::is_upgrade(&request) {
        return ws::upgrade(request, payload, gateway).await;
    }
    let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    if accept.is_some_and(|accept| accept.contains(nip11::MEDIA_TYPE)) {
        let document = nip11::document(&gateway.config, &gateway.event_limits);
        return Ok(HttpResponse::Ok().content_type(nip11::MEDIA_TYPE).body(document.to_string()));
    }
    Ok(HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::VARY, "Accept"))
        .body(page::html(&gateway.config)))
}

async fn unknown(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    Err(api::not_found(&request))
}
