//! `POST /sync`.

use std::time::Duration;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web,
    web::Bytes,
};
use futures::StreamExt;
use nipworker_core::{
    SyncDirection, SyncOptions,
    protocol::{Filter, RelayUrl},
};
use serde::Deserialize;

use super::{ApiError, Gateway, JSON_LINES, filters::api_error};

/// What is to be synced, and how.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    filter: Filter,
    /// None: the configured ones.
    #[serde(default)]
    relays: Vec<RelayUrl>,
    #[serde(default)]
    direction: SyncDirection,
    timeout_ms: Option<u64>,
    idle_ms: Option<u64>,
    reconcile: Option<bool>,
}

/// Syncs, and tells how it goes on: lines of JSON, of which the last ones are the relays' reports.
/// It ends when nobody reads any more.
pub(super) async fn sync(
    http: HttpRequest,
    payload: web::Payload,
    gateway: web::Data<Gateway>,
) -> Result<HttpResponse, ApiError> {
    // A web page of somebody else cannot send this type unasked, and this request makes the daemon
    // send what is stored to relays that the request names.
    let media = http.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if media.is_none_or(|media| media.split(';').next() != Some("application/json")) {
        return Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "the body is application/json",
        ));
    }
    let body = gateway.read_body(payload, gateway.config.http.max_body_bytes).await?;
    let request: Request = serde_json::from_slice(&body)
        .map_err(|error| ApiError::bad_request("invalid_json", format_args!("body: {error}")))?;
    let default = SyncOptions::default();
    let options = SyncOptions {
        relays: (!request.relays.is_empty()).then_some(request.relays),
        direction: request.direction,
        deadline: request.timeout_ms.map_or(default.deadline, Duration::from_millis),
        idle: request.idle_ms.map_or(default.idle, Duration::from_millis),
        reconcile: request.reconcile.unwrap_or(default.reconcile),
    };
    let sync = gateway.client.sync(request.filter, options).map_err(|error| api_error(&error))?;
    let lines = sync.map(|event| {
        let mut line = serde_json::to_vec(&event)
            .map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error))?;
        line.push(b'\n');
        Ok::<_, ApiError>(Bytes::from(line))
    });
    Ok(HttpResponse::Ok().content_type(JSON_LINES).streaming(lines))
}
