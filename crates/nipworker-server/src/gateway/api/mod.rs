//! The HTTP API under `/api/v1`.

pub(super) mod events;
pub(super) mod filters;
mod mine;
mod outbox;
pub(super) mod query;
mod sync;

use actix_web::{HttpResponse, Responder, http::StatusCode, web};

use super::{error::ApiError, state::Gateway};

/// The media type of JSON lines, in and out.
pub(crate) const JSON_LINES: &str = "application/x-ndjson";

/// Adds the routes of the API to `/api/v1`.
pub(super) fn configure(config: &mut web::ServiceConfig) {
    config
        .route("/events", web::post().to(events::publish))
        .route("/events/{id}", web::get().to(query::one_event))
        .route("/events/{id}", web::head().to(query::one_event))
        .route("/outbox", web::get().to(outbox::list))
        .route("/outbox", web::head().to(outbox::list))
        .route("/outbox/{id}", web::get().to(outbox::one))
        .route("/outbox/{id}", web::head().to(outbox::one))
        .route("/outbox/{id}", web::delete().to(outbox::cancel))
        .route("/query", web::post().to(query::query))
        .route("/count", web::post().to(query::count))
        .route("/sync", web::post().to(sync::sync))
        .route("/mine", web::post().to(mine::start))
        .route("/mine", web::get().to(mine::list))
        .route("/mine", web::head().to(mine::list))
        .route("/mine/{job}", web::get().to(mine::one))
        .route("/mine/{job}", web::head().to(mine::one))
        .route("/mine/{job}", web::delete().to(mine::cancel))
        .route("/mine/{job}/progress", web::get().to(mine::progress))
        .route("/mine/{job}/progress", web::head().to(mine::progress))
        .route("/status", web::get().to(status))
        .route("/status", web::head().to(status))
        .default_service(web::to(unknown));
}

async fn status(gateway: web::Data<Gateway>) -> impl Responder {
    HttpResponse::Ok().json(gateway.status())
}

async fn unknown(request: actix_web::HttpRequest) -> Result<HttpResponse, ApiError> {
    Err(not_found(&request))
}

/// 404, or 405 for a path that has other methods.
pub(super) fn not_found(request: &actix_web::HttpRequest) -> ApiError {
    let (method, path) = (request.method(), request.path());
    let methods = match path {
        "/api/v1/events" | "/api/v1/query" | "/api/v1/count" | "/api/v1/sync" => Some("POST"),
        "/api/v1/status" | "/api/v1/outbox" | "/healthz" | "/readyz" | "/metrics" | "/" => {
            Some("GET, HEAD")
        }
        _ if path.strip_prefix("/api/v1/events/").is_some_and(|id| !id.contains('/')) => {
            Some("GET, HEAD")
        }
        _ if path.strip_prefix("/api/v1/outbox/").is_some_and(|id| !id.contains('/')) => {
            Some("GET, HEAD, DELETE")
        }
        "/api/v1/mine" => Some("GET, HEAD, POST"),
        _ => path.strip_prefix("/api/v1/mine/").and_then(|job| match job.split_once('/') {
            None if !job.is_empty() => Some("GET, HEAD, DELETE"),
            Some((_, "progress")) => Some("GET, HEAD"),
            _ => None,
        }),
    };
    match methods {
        Some(allowed) => ApiError::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            format_args!("{method} is not served on {path}; use {allowed}"),
        )
        .allowing(allowed),
        None => ApiError::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format_args!("nothing is served on {path}"),
        ),
    }
}
