//! `/mine`: mining jobs over HTTP.

use std::{sync::Arc, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, StatusCode, header},
    web,
};
use nipworker_core::{ClientError, protocol::PublicKey};
use serde_json::{Value, json};

use super::{ApiError, Gateway, filters::api_error};
use crate::gateway::{
    counters::count,
    mine::{self, Job, LAST_EVENT, MineRequest, Then},
};

/// The media type of server-sent events.
const EVENT_STREAM: &str = "text/event-stream";
/// How long a cancelled job is waited for before it is answered as it is.
const CANCEL_WAIT: Duration = Duration::from_secs(2);
/// When it is worth asking again where too many had asked, in seconds.
const RETRY_AFTER_SECS: u32 = 5;

/// Starts a job: 202, where to look for it, and whether it is kept over a restart.
pub(super) async fn start(
    http: HttpRequest,
    payload: web::Payload,
    gateway: web::Data<Gateway>,
) -> Result<HttpResponse, ApiError> {
    let gateway = gateway.into_inner();
    let body = gateway.read_body(payload, gateway.config.http.max_body_bytes).await?;
    let config = &gateway.config.mine;
    let request = MineRequest::read(&body, config, &gateway.event_limits)?;
    drop(body);
    check_signing(&gateway, &http, request.then, request.template.pubkey).await?;
    let Some(place) = gateway.jobs.place() else {
        count(&gateway.counters.mining_refused);
        return Err(too_many("jobs are active", config.max_jobs));
    };
    let MineRequest { template, difficulty_bits, options, then } = request;
    let started = gateway.client.mine_with(template, difficulty_bits, options).await;
    let handle = started.map_err(|error| {
        gateway.engine_failed(&error);
        api_error(&error)
    })?;
    let view = handle.view();
    // Nobody gives up from here to the end of this function: no job is left without an entry.
    let number = handle.detach();
    let job = Job::follow(&gateway, view, then);
    let mut answer = job.json();
    place.take(job);
    count(&gateway.counters.mining_jobs);
    answer["kept"] = keep(&gateway).await.into();
    let path = format!("/api/v1/mine/{number}");
    answer["links"] = json!({ "self": path, "progress": format!("{path}/progress") });
    Ok(HttpResponse::Accepted().insert_header((header::LOCATION, path)).json(answer))
}

/// Has the jobs as they are now in the file, so that what is answered holds after a crash too.
/// `false` where no file is configured or it cannot be written, which the engine logs.
async fn keep(gateway: &Arc<Gateway>) -> bool {
    let gateway = gateway.clone();
    matches!(web::block(move || gateway.client.keep_jobs()).await, Ok(true))
}

/// Whether this gateway signs, and this event: found out before the work.
async fn check_signing(
    gateway: &Gateway,
    http: &HttpRequest,
    then: Then,
    author: PublicKey,
) -> Result<(), ApiError> {
    if !then.sign {
        return Ok(());
    }
    if !gateway.config.mine.sign {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "signing_off",
            "this gateway signs and publishes nothing that is mined for a client \
             (gateway.mine.sign); ask for the mined event and sign it yourself",
        ));
    }
    if !may_sign_for(http, &gateway.config.allow_origin) {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "foreign_origin",
            "a page of this origin may not have events signed; only that of gateway.allow_origin \
             may, if it names one",
        ));
    }
    match gateway.client.public_key().await {
        Ok(key) if key == author => Ok(()),
        Ok(_) => Err(ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "other_author",
            "the event's author is not whom this gateway signs for",
        )),
        Err(error) => Err(ApiError::new(StatusCode::CONFLICT, "no_signer", error)),
    }
}

/// Browsers name the origin of the page in every POST. Any page that the owner of the key looks at
/// can send one to this machine, so that only the page that the configuration names may have
/// something signed; `*`, which lets all pages read, names none. Other programs name no origin.
fn may_sign_for(http: &HttpRequest, allowed: &str) -> bool {
    let Some(origin) = http.headers().get(header::ORIGIN) else { return true };
    allowed != "*" && !allowed.is_empty() && origin.as_bytes() == allowed.as_bytes()
}

/// 429: as many as may be.
fn too_many(what: &str, limit: usize) -> ApiError {
    ApiError::new(
        StatusCode::TOO_MANY_REQUESTS,
        "too_many",
        format_args!("{limit} {what} already, which is the limit here; try again later"),
    )
    .retry_after(RETRY_AFTER_SECS)
}

/// All jobs that are remembered, without their events.
pub(super) async fn list(gateway: web::Data<Gateway>) -> HttpResponse {
    let jobs: Vec<Value> = gateway.jobs.all().iter().map(|job| job.brief()).collect();
    HttpResponse::Ok().json(json!({ "jobs": jobs }))
}

/// One job: how far it is, or its outcome.
pub(super) async fn one(
    number: web::Path<String>,
    gateway: web::Data<Gateway>,
) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(job(&gateway, &number)?.json()))
}

/// Ends a job and tells how many nonces were tried, which is final. A job that has ended stays
/// as it is.
pub(super) async fn cancel(
    number: web::Path<String>,
    gateway: web::Data<Gateway>,
) -> Result<HttpResponse, ApiError> {
    let gateway = gateway.into_inner();
    let job = job(&gateway, &number)?;
    if !job.has_ended() {
        match gateway.client.cancel_job(job.number()).await {
            // The engine forgot it, so it has ended.
            Ok(_) | Err(ClientError::NotFound(_)) => {}
            Err(error) => {
                gateway.engine_failed(&error);
                return Err(api_error(&error));
            }
        }
        keep(&gateway).await;
        // One that was found at the last moment may take longer: its event is being sent.
        drop(tokio::time::timeout(CANCEL_WAIT, job.finished()).await);
    }
    Ok(HttpResponse::Ok().json(job.json()))
}

/// A job's progress as server-sent events, its outcome last.
pub(super) async fn progress(
    request: HttpRequest,
    number: web::Path<String>,
    gateway: web::Data<Gateway>,
) -> Result<HttpResponse, ApiError> {
    let job = job(&gateway, &number)?;
    let seen = request.headers().get("last-event-id");
    if seen.is_some_and(|id| id.as_bytes() == LAST_EVENT.as_bytes()) && job.has_ended() {
        // Tells an EventSource not to come back.
        return Ok(HttpResponse::NoContent().finish());
    }
    let mut response = HttpResponse::Ok();
    response.content_type(EVENT_STREAM).insert_header((header::CACHE_CONTROL, "no-store"));
    if request.method() == Method::HEAD {
        return Ok(response.finish());
    }
    let Some(permit) = gateway.jobs.watcher() else {
        return Err(too_many("clients look on", gateway.config.mine.max_watchers));
    };
    Ok(response.streaming(mine::events(job, gateway.stopping.clone(), permit)))
}

fn job(gateway: &Gateway, number: &str) -> Result<Arc<Job>, ApiError> {
    let number: u64 = number
        .parse()
        .map_err(|_| ApiError::bad_request("invalid_id", "the number of a job is expected"))?;
    gateway.jobs.get(number).ok_or_else(|| {
        ApiError::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format_args!("no job {number} is known here; jobs that ended long ago are forgotten"),
        )
    })
}
