//! `/metrics`: the whole process in the OpenMetrics text format that Prometheus reads.
//!
//! Everything is read from counters at the moment of the request; no worker is asked. All names
//! begin with `nipworker_`; counters end in `_total`, times are seconds, sizes bytes:
//!
//! * `build_info{version}`, `uptime_seconds`;
//! * `worker_*{worker}`: supervision: up, restarts, panics, hangs, handled and failed messages,
//!   handler times (`quantile` 0.5 and 0.99), hung threads;
//! * `mailbox_*{worker}`: depth, high water, capacity, refused messages, dead letters;
//! * `relay_*{relay}`: upstream relays that are configured or used now, at most
//!   `engine.connections.max_relays`, with `reason` or `kind` where there are several;
//! * `ingest_*`: what came in and why it was refused;
//! * `store_*`, `subscriptions_*`, `unanswered_publishes`;
//! * `routing_*`: relay lists, where `engine.routing.mode` is on;
//! * `outbox_*`: events that are published durably, where `engine.outbox.file` names a file;
//! * `mining_kernel_info{kernel}`, `mining_kernel_hash_seconds{kernel}`: what hashes, and what was
//!   measured at the start; `mining_jobs_known{phase}`; `mining_*` and `mining_thread_*{thread}`: how
//!   the miner's threads are fed;
//! * `gateway_*`: clients of this gateway.

use std::fmt;

use actix_web::{HttpResponse, http::StatusCode, web};
use nipworker_core::{
    AuthState, ChildStatus, JobProgress, LinkState, MiningStatus, OutboxStatus, PoolMetrics,
    RelayStatus, RouterCounts, RoutingStatus, State, ThreadMetrics, outbox::OutboxCounts,
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet, text},
    metrics::MetricType,
    registry::Registry,
};
use serde_json::json;

use super::{error::ApiError, state::Gateway, state::ServerStatus};

/// The media type of the answer.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PREFIX: &str = "nipworker";
const NANOS_PER_SECOND: f64 = 1e9;
const MICROS_PER_SECOND: f64 = 1e6;
const MILLIS_PER_SECOND: f64 = 1e3;

pub(super) async fn metrics(gateway: web::Data<Gateway>) -> Result<HttpResponse, ApiError> {
    let text = render(gateway.status()).map_err(|error| {
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", format_args!("{error}"))
    })?;
    Ok(HttpResponse::Ok().content_type(OPEN_METRICS).body(text))
}

fn render(status: ServerStatus) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(Snapshot(status)));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

#[derive(Debug)]
struct Snapshot(ServerStatus);

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let mut page = Page(encoder);
        let status = &self.0;
        page.info("build", "version of the program", [("version", status.about.version.as_str())])?;
        let uptime = status.uptime_ms as f64 / MILLIS_PER_SECOND;
        page.gauge("uptime_seconds", "time since the gateway started", uptime)?;
        supervision(&mut page, &status.engine.supervisor.workers())?;
        relays(&mut page, &status.engine.relays)?;
        ingest(&mut page, status)?;
        mining(&mut page, status)?;
        gateway(&mut page, status)
    }
}

fn supervision(page: &mut Page<'_>, workers: &[&ChildStatus]) -> fmt::Result {
    let each = |value: fn(&ChildStatus) -> u64| -> Vec<_> {
        workers.iter().map(|worker| ([("worker", worker.name.as_str())], value(worker))).collect()
    };
    page.gauges(
        "worker_up",
        "whether the worker serves",
        &each(|w| u64::from(w.state == State::Running)),
    )?;
    page.counters("worker_restarts", "times it was started again", &each(|w| w.restarts))?;
    page.counters("worker_panics", "panics that ended an incarnation", &each(|w| w.panics))?;
    page.counters("worker_hangs", "hangs that ended an incarnation", &each(|w| w.hangs))?;
    page.counters("worker_handled", "messages handled to the end", &each(|w| w.handled))?;
    page.counters("worker_failed", "messages that failed in its hands", &each(|w| w.failed))?;
    page.gauges(
        "worker_zombies",
        "given-up threads that have not come back",
        &each(|w| w.zombies),
    )?;
    let mut times = Vec::new();
    for worker in workers {
        for (quantile, micros) in [("0.5", worker.latency_us.p50), ("0.99", worker.latency_us.p99)]
        {
            let labels = [("worker", worker.name.as_str()), ("quantile", quantile)];
            times.push((labels, micros / MICROS_PER_SECOND));
        }
    }
    page.gauges("worker_handler_seconds", "how long its handlers take, from samples", &times)?;
    page.gauges("mailbox_depth", "messages that wait", &each(|w| w.mailbox.depth))?;
    page.gauges(
        "mailbox_high_water",
        "most messages that ever waited",
        &each(|w| w.mailbox.high_water),
    )?;
    page.gauges("mailbox_capacity", "messages that may wait", &each(|w| w.mailbox.capacity))?;
    page.counters(
        "mailbox_rejected",
        "messages refused because it was full",
        &each(|w| w.mailbox.rejected_full),
    )?;
    page.counters(
        "mailbox_dead_letters",
        "messages lost to a failure with nobody waiting for an answer",
        &each(|w| w.mailbox.dead_letters),
    )
}

fn relays(page: &mut Page<'_>, relays: &[RelayStatus]) -> fmt::Result {
    let each = |value: fn(&RelayStatus) -> u64| -> Vec<_> {
        relays.iter().map(|relay| ([("relay", relay.url.as_str())], value(relay))).collect()
    };
    page.gauges(
        "relay_connected",
        "whether there is a connection",
        &each(|r| u64::from(r.state == LinkState::Connected)),
    )?;
    page.counters("relay_dials", "attempts to connect", &each(|r| r.dials))?;
    page.counters("relay_dial_failures", "attempts that failed", &each(|r| r.dial_failures))?;
    page.counters("relay_disconnects", "connections that ended", &each(|r| r.disconnects))?;
    page.counters("relay_frames_in", "messages that came", &each(|r| r.frames_in))?;
    page.counters("relay_bytes_in", "bytes of text that came", &each(|r| r.bytes_in))?;
    page.counters("relay_frames_out", "messages that were sent", &each(|r| r.frames_out))?;
    page.counters("relay_bytes_out", "bytes of text that were sent", &each(|r| r.bytes_out))?;
    page.counters("relay_events", "events for open subscriptions", &each(|r| r.events))?;
    page.counters("relay_bad_frames", "malformed messages", &each(|r| r.bad_frames))?;
    page.gauges(
        "relay_eose_milliseconds",
        "time of the last answered subscription to its end of stored events",
        &each(|r| r.eose_latency_ms),
    )?;
    relay_sources(page, relays)?;
    for (name, help, value) in RELAY_COUNTERS {
        page.counters(name, help, &each(value))?;
    }
    page.gauges("relay_places", "subscriptions it takes at once", &each(|r| r.places))?;
    page.gauges(
        "relay_authenticated",
        "whether it knows who we are (NIP-42)",
        &each(|r| u64::from(r.auth == AuthState::Authenticated)),
    )
}

/// Name, help, value.
type RelayCounter = (&'static str, &'static str, fn(&RelayStatus) -> u64);

const RELAY_COUNTERS: [RelayCounter; 12] = [
    ("relay_duplicates", "copies of events that were known", |r| r.ingest.duplicates),
    ("relay_unasked_events", "events for subscriptions that are not open", |r| r.unasked_events),
    ("relay_auth_challenges", "challenges that came (NIP-42)", |r| r.auth_challenges),
    ("relay_auths_accepted", "authentications it accepted", |r| r.auths_accepted),
    ("relay_auth_failures", "authentications that failed", |r| r.auth_failures),
    ("relay_auth_resent", "what was sent again after authentication", |r| r.auth_resent),
    ("relay_documents", "information documents fetched (NIP-11)", |r| r.documents),
    ("relay_document_failures", "of which fetching failed", |r| r.document_failures),
    ("relay_shared_reqs", "REQs that carried several subscriptions", |r| r.shared_reqs),
    ("relay_pages", "further pages of stored events asked for", |r| r.pages),
    ("relay_too_long", "subscriptions and events longer than it takes", |r| r.too_long),
    ("relay_stale", "connections given up for silence", |r| r.stale),
];

/// What was refused of each relay, and how its connections failed.
fn relay_sources(page: &mut Page<'_>, relays: &[RelayStatus]) -> fmt::Result {
    let (mut refused, mut errors) = (Vec::new(), Vec::new());
    for relay in relays {
        let url = relay.url.as_str();
        for (reason, count) in &relay.ingest.refused {
            refused.push(([("relay", url), ("reason", reason.name())], *count));
        }
        for (kind, count) in &relay.errors {
            errors.push(([("relay", url), ("kind", kind.name())], *count));
        }
    }
    page.counters("relay_refused", "what came from it and was refused, by reason", &refused)?;
    page.counters("relay_errors", "failed attempts and ended connections, by kind", &errors)
}

fn ingest(page: &mut Page<'_>, status: &ServerStatus) -> fmt::Result {
    let engine = &status.engine;
    let total = &engine.ingest.total;
    page.counter("ingest_received", "texts that came in", total.received)?;
    page.counter("ingest_fresh", "events that were new and genuine", total.fresh)?;
    page.counter("ingest_duplicates", "copies of verified events", total.duplicates)?;
    let refused: Vec<_> =
        total.refused.iter().map(|(kind, count)| ([("reason", kind.name())], *count)).collect();
    page.counters("ingest_refused", "what was refused, by reason", &refused)?;
    if let Some(store) = &engine.store {
        page.gauge("store_events", "events that are kept", store.events as f64)?;
        page.gauge(
            "store_event_bytes",
            "bytes of events and their index entries, which store.max_bytes limits",
            store.event_bytes as f64,
        )?;
        page.counter("store_evicted", "events that made room for others", store.evicted)?;
        if let Some(bytes) = store.disk_bytes {
            page.gauge("store_disk_bytes", "bytes on disk", bytes as f64)?;
        }
    }
    page.gauge(
        "store_readable",
        "whether the store answers",
        f64::from(u8::from(engine.store.is_some())),
    )?;
    let subscriptions = &engine.subscriptions;
    page.gauge("subscriptions_open", "subscriptions of the engine", subscriptions.open as f64)?;
    page.gauge(
        "subscriptions_queued",
        "events that wait for readers",
        subscriptions.queued as f64,
    )?;
    let waiting = engine.unanswered_publishes as f64;
    page.gauge("unanswered_publishes", "publishes that a relay has not answered", waiting)?;
    engine.outbox.as_ref().map_or(Ok(()), |status| outbox(page, status))?;
    engine.routing.as_ref().map_or(Ok(()), |status| routing(page, status))
}

fn routing(page: &mut Page<'_>, status: &RoutingStatus) -> fmt::Result {
    let RouterCounts { lists, refused, without_place } = &status.counts;
    page.gauge("routing_lists", "relay lists that are known", *lists as f64)?;
    page.counter("routing_lookups", "times that relays were asked for lists", status.lookups)?;
    page.counter(
        "routing_without_place",
        "authors that were asked for at the configured relays for want of a place",
        *without_place,
    )?;
    let refused: Vec<_> =
        refused.iter().map(|(reason, count)| ([("reason", reason.as_str())], *count)).collect();
    page.counters("routing_refused", "names of relays that were refused", &refused)
}

fn outbox(page: &mut Page<'_>, status: &OutboxStatus) -> fmt::Result {
    let OutboxCounts {
        waiting,
        bytes,
        oldest_age_secs,
        finished,
        in_flight,
        retries,
        delivered,
        failed,
    } = status.counts;
    page.gauge("outbox_depth", "events that wait for at least one relay", waiting as f64)?;
    page.gauge("outbox_bytes", "bytes of their texts", bytes as f64)?;
    let age = oldest_age_secs as f64;
    page.gauge("outbox_oldest_age_seconds", "since the oldest of them was queued", age)?;
    page.gauge("outbox_finished", "finished events that are still listed", finished as f64)?;
    page.gauge("outbox_in_flight", "tries under way", in_flight as f64)?;
    page.counter("outbox_retries", "tries after the first at a relay", retries)?;
    page.counter("outbox_delivered", "relays that said that they have an event", delivered)?;
    page.counter("outbox_failed", "relays that refused for good or were given up", failed)?;
    let failing = f64::from(u8::from(status.last_error.is_some()));
    page.gauge("outbox_failing", "whether the last attempt to write its file failed", failing)
}

fn mining(page: &mut Page<'_>, status: &ServerStatus) -> fmt::Result {
    let MiningStatus { kernel, pool, jobs, checkpoint } = &status.engine.mining;
    page.info("mining_kernel", "the code that hashes", [("kernel", kernel.name.as_str())])?;
    let speeds: Vec<_> = kernel
        .measured
        .iter()
        .map(|speed| ([("kernel", speed.name.as_str())], speed.ns_per_hash / NANOS_PER_SECOND))
        .collect();
    page.gauges(
        "mining_kernel_hash_seconds",
        "time of one thread for one attempt, as measured at the start",
        &speeds,
    )?;
    let phases = ["running", "paused", "suspended", "ended"].map(|phase| {
        let of = |job: &&JobProgress| json!(job.phase) == phase;
        ([("phase", phase)], jobs.iter().filter(of).count() as u64)
    });
    page.gauges("mining_jobs_known", "jobs that are remembered, by phase", &phases)?;
    if let Some(checkpoint) = checkpoint {
        page.gauge("mining_checkpoint_jobs", "jobs in the file", checkpoint.jobs as f64)?;
        page.counter("mining_checkpoint_writes", "times it was written", checkpoint.writes)?;
        page.gauge(
            "mining_checkpoint_failing",
            "whether the last attempt to write it failed",
            f64::from(u8::from(checkpoint.last_error.is_some())),
        )?;
    }
    pool.as_ref().map_or(Ok(()), |pool| mining_pool(page, pool))
}

fn mining_pool(page: &mut Page<'_>, pool: &PoolMetrics) -> fmt::Result {
    let seconds = |nanos: u64| nanos as f64 / NANOS_PER_SECOND;
    page.gauge("mining_jobs", "jobs that have not ended", pool.jobs as f64)?;
    page.gauges(
        "mining_attempts_per_second",
        "items tried per second over the last seconds",
        &[
            ([("window", "1s")], pool.rate_1s),
            ([("window", "10s")], pool.rate_10s),
            ([("window", "60s")], pool.rate_60s),
        ],
    )?;
    page.gauges(
        "mining_switch_seconds",
        "time from the end or the pause of a job to the moment a thread has left it",
        &[
            ([("quantile", "0.5")], seconds(pool.switch_p50_ns)),
            ([("quantile", "0.99")], seconds(pool.switch_p99_ns)),
        ],
    )?;
    page.counter("mining_attempts", "items tried", pool.attempts)?;
    page.gauge("mining_queue_depth", "batches in the queue", pool.queue_depth as f64)?;
    page.counter_f64(
        "mining_starved_seconds",
        "time threads waited while work was left",
        seconds(pool.starved_ns),
    )?;
    page.counter(
        "mining_starvation_events",
        "times a thread waited while work was left",
        pool.starvation_events,
    )?;
    page.gauge(
        "mining_fairness_min_max",
        "items of the least busy thread by those of the busiest",
        pool.fairness_min_max,
    )?;
    page.gauges(
        "mining_dispatch_seconds",
        "time from a free thread to its next batch",
        &[
            ([("quantile", "0.5")], seconds(pool.dispatch_p50_ns)),
            ([("quantile", "0.99")], seconds(pool.dispatch_p99_ns)),
        ],
    )?;
    let names: Vec<String> = pool.threads.iter().map(|thread| thread.index.to_string()).collect();
    let each = |value: fn(&ThreadMetrics) -> u64| -> Vec<_> {
        let samples = names.iter().zip(&pool.threads);
        samples.map(|(name, thread)| ([("thread", name.as_str())], value(thread))).collect()
    };
    let each_seconds = |value: fn(&ThreadMetrics) -> u64| -> Vec<_> {
        each(value).into_iter().map(|(labels, nanos)| (labels, seconds(nanos))).collect()
    };
    page.counters("mining_thread_batches", "batches finished", &each(|t| t.batches))?;
    page.counters("mining_thread_attempts", "items finished", &each(|t| t.attempts))?;
    page.counters_f64(
        "mining_thread_busy_seconds",
        "time inside batches",
        &each_seconds(|t| t.busy_ns),
    )?;
    page.counters_f64(
        "mining_thread_idle_with_job_seconds",
        "time it waited while a job had work left",
        &each_seconds(|t| t.idle_with_job_ns),
    )?;
    page.counters_f64(
        "mining_thread_idle_no_job_seconds",
        "time it waited because nothing was left to do",
        &each_seconds(|t| t.idle_no_job_ns),
    )?;
    page.counters_f64(
        "mining_thread_throttled_seconds",
        "time it slept because its jobs were at their share of CPU time",
        &each_seconds(|t| t.throttled_ns),
    )?;
    page.gauges(
        "mining_thread_cpu_seconds",
        "CPU time of the thread that runs now",
        &each_seconds(|t| t.cpu_ns),
    )?;
    page.counters(
        "mining_thread_stale",
        "batches dropped because their job had ended",
        &each(|t| t.stale),
    )?;
    page.counters(
        "mining_thread_self_refills",
        "batches it cut itself",
        &each(|t| t.self_refills),
    )?;
    page.counters("mining_thread_panics", "batches that panicked", &each(|t| t.panics))?;
    page.gauges(
        "mining_thread_pinned",
        "whether it is bound to a core",
        &each(|t| u64::from(t.pinned)),
    )
}

fn gateway(page: &mut Page<'_>, status: &ServerStatus) -> fmt::Result {
    let gateway = &status.gateway;
    page.gauge("gateway_websockets", "WebSocket clients", gateway.websockets as f64)?;
    page.gauge(
        "gateway_subscriptions",
        "subscriptions of WebSocket clients",
        gateway.subscriptions as f64,
    )?;
    for (name, help, count) in [
        (
            "gateway_websockets_opened",
            "WebSocket clients ever connected",
            gateway.websockets_opened,
        ),
        ("gateway_websockets_refused", "WebSocket clients refused", gateway.websockets_refused),
        ("gateway_messages_in", "WebSocket messages that came", gateway.messages_in),
        ("gateway_messages_out", "WebSocket messages that were sent", gateway.messages_out),
        ("gateway_events_in", "events that clients sent", gateway.events_in),
        ("gateway_events_accepted", "events that were accepted", gateway.events_accepted),
        ("gateway_events_refused", "events that were refused", gateway.events_refused),
        ("gateway_events_out", "events sent to WebSocket clients", gateway.events_out),
        ("gateway_bad_messages", "malformed messages", gateway.bad_messages),
        ("gateway_unknown_messages", "messages of an unknown type", gateway.unknown_messages),
        ("gateway_oversized_messages", "messages over the size limit", gateway.oversized_messages),
        ("gateway_slow_readers", "clients disconnected for reading slowly", gateway.slow_readers),
        ("gateway_idle_clients", "clients disconnected for silence", gateway.idle_clients),
        ("gateway_engine_failures", "requests that the engine failed", gateway.engine_failures),
        ("gateway_mining_jobs", "mining jobs started over HTTP", gateway.mining_jobs),
        (
            "gateway_mining_refused",
            "mining jobs refused because too many were active",
            gateway.mining_refused,
        ),
        ("gateway_http_requests", "HTTP requests", gateway.http_requests),
        ("gateway_http_errors", "HTTP answers of 400 and more", gateway.http_errors),
    ] {
        page.counter(name, help, count)?;
    }
    Ok(())
}

/// Writes one metric after the other.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn info(&mut self, name: &str, help: &str, labels: impl EncodeLabelSet) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Info)?.encode_info(&labels)
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
    }

    fn gauges<L: EncodeLabelSet, V: prometheus_client::encoding::EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        samples: &[(L, V)],
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in samples {
            metric.encode_family(labels)?.encode_gauge(value)?;
        }
        Ok(())
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.0
            .encode_descriptor(name, help, None, MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    fn counter_f64(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.0
            .encode_descriptor(name, help, None, MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    fn counters<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        samples: &[(L, u64)],
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in samples {
            metric.encode_family(labels)?.encode_counter::<NoLabelSet, _, u64>(value, None)?;
        }
        Ok(())
    }

    fn counters_f64<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        samples: &[(L, f64)],
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in samples {
            metric.encode_family(labels)?.encode_counter::<NoLabelSet, _, u64>(value, None)?;
        }
        Ok(())
    }
}
