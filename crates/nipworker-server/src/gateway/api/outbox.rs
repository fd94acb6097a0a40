//! `/outbox`: events that must arrive, and where they stand.

use actix_web::{HttpResponse, http::StatusCode, web};
use nipworker_core::{
    DurableOptions, OutboxEntry, QueuedReport,
    outbox::DeliveryState,
    protocol::{Event, EventId},
};
use serde_json::{Value, json};

use super::{ApiError, Gateway, events, filters::api_error};
use crate::verdict::Verdict;

/// How long a client is asked to wait when the outbox is full, in seconds.
const RETRY_AFTER_SECS: u32 = 60;

/// All events, those that wait first.
pub(super) async fn list(gateway: web::Data<Gateway>) -> Result<HttpResponse, ApiError> {
    let entries = gateway.client.outbox().map_err(|error| api_error(&error))?;
    Ok(HttpResponse::Ok().json(json!({ "events": entries })))
}

/// One event.
pub(super) async fn one(
    id: web::Path<String>,
    gateway: web::Data<Gateway>,
) -> Result<HttpResponse, ApiError> {
    let entry = gateway.client.outbox_entry(&event_id(&id)?).map_err(|error| api_error(&error))?;
    Ok(HttpResponse::Ok().json(entry))
}

/// Takes an event back where no relay has decided yet.
pub(super) async fn cancel(
    id: web::Path<String>,
    gateway: web::Data<Gateway>,
) -> Result<HttpResponse, ApiError> {
    let entry = gateway.client.cancel_outbox(&event_id(&id)?).await.map_err(|error| {
        gateway.engine_failed(&error);
        api_error(&error)
    })?;
    Ok(HttpResponse::Ok().json(entry))
}

fn event_id(text: &str) -> Result<EventId, ApiError> {
    text.parse().map_err(|error| ApiError::bad_request("invalid_id", error))
}

/// Queues one event: 202 with where it stands, or why it is not taken.
pub(super) async fn publish(gateway: &Gateway, event: Event) -> Result<HttpResponse, ApiError> {
    let report = queue(gateway, event).await?;
    let answer = answer(&report);
    if report.entry.is_some() {
        return Ok(HttpResponse::Accepted().json(answer));
    }
    let (status, code) = events::refusal(&report.outcome);
    let message = Verdict::of_outcome(&report.outcome).message;
    Err(ApiError::new(status, code, message).with("outcome", answer))
}

/// Queues one event; what the store did with it is no error.
pub(super) async fn queue(gateway: &Gateway, event: Event) -> Result<QueuedReport, ApiError> {
    let queued = gateway.client.publish_durable_with(event, DurableOptions::default()).await;
    let report = queued.map_err(|error| {
        gateway.tally(false);
        gateway.engine_failed(&error);
        match api_error(&error) {
            full if full.status() == StatusCode::SERVICE_UNAVAILABLE => {
                full.retry_after(RETRY_AFTER_SECS)
            }
            other => other,
        }
    })?;
    gateway.tally(report.entry.is_some());
    Ok(report)
}

/// What a client is told. Queued is not accepted: no relay has said so yet.
pub(super) fn answer(report: &QueuedReport) -> Value {
    let QueuedReport { outcome, entry } = report;
    let message = match entry {
        Some(entry) => format!("queued: {}", summary(entry)),
        None => Verdict::of_outcome(outcome).message,
    };
    json!({
        "id": outcome.id,
        "queued": entry.is_some(),
        "message": message,
        "status": outcome.status,
        "outbox": entry,
    })
}

fn summary(entry: &OutboxEntry) -> String {
    let waiting = entry.count(DeliveryState::Waiting);
    let accepted = entry.count(DeliveryState::Accepted);
    format!("{waiting} relays to go, {accepted} have it")
}
