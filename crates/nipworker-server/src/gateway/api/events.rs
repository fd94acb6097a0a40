//! `POST /events`: one event as JSON, or many as JSON lines.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use futures::{StreamExt, stream};
use nipworker_core::{
    ClientError, PublishOptions, PublishReport, PutOutcome, PutStatus,
    protocol::{Event, EventError, EventId},
};
use serde_json::{Value, json};

use super::{
    ApiError, Gateway, JSON_LINES,
    filters::{self, Options, api_error},
};
use crate::{
    gateway::counters::count,
    lines::{Line, LineBatches, LineOutcome},
    verdict::Verdict,
};

/// Events of one request that wait for relays at a time.
const IN_FLIGHT: usize = 64;

/// Takes one event, or many.
pub(super) async fn publish(
    request: HttpRequest,
    payload: web::Payload,
    gateway: web::Data<Gateway>,
) -> Result<HttpResponse, ApiError> {
    let options = Options::of(&request)?;
    let use_relays = options.relays.unwrap_or(true) && gateway.has_upstream();
    if filters::sends_lines(&request) {
        return many(&gateway, payload, use_relays).await;
    }
    let body = gateway.read_body(payload, gateway.config.http.max_body_bytes).await?;
    one(&gateway, &body, use_relays).await
}

async fn one(gateway: &Gateway, body: &[u8], use_relays: bool) -> Result<HttpResponse, ApiError> {
    count(&gateway.counters.events_in);
    let event = Event::from_json(body, &gateway.event_limits).map_err(|error| {
        count(&gateway.counters.events_refused);
        match error {
            EventError::TooLarge { .. } => ApiError::too_large(error),
            _ => ApiError::bad_request("invalid_event", error),
        }
    })?;
    let options = PublishOptions { use_relays, ..gateway.publish_options() };
    let report = gateway.client.publish_with(event, options).await.map_err(|error| {
        count(&gateway.counters.events_refused);
        gateway.engine_failed(&error);
        api_error(&error)
    })?;
    let verdict = Verdict::of(&report);
    tally(gateway, verdict.accepted);
    let answer = answer(&report, &verdict);
    if verdict.accepted {
        return Ok(HttpResponse::Ok().json(answer));
    }
    let (status, code) = refusal(&report);
    Err(ApiError::new(status, code, &verdict.message).with("outcome", answer))
}

/// The status and code of an event that was not accepted.
fn refusal(report: &PublishReport) -> (StatusCode, &'static str) {
    match report.outcome.status {
        PutStatus::Invalid => (StatusCode::UNPROCESSABLE_ENTITY, "invalid_event"),
        PutStatus::Superseded => (StatusCode::CONFLICT, "superseded"),
        PutStatus::Deleted => (StatusCode::GONE, "deleted"),
        PutStatus::Expired => (StatusCode::UNPROCESSABLE_ENTITY, "expired"),
        PutStatus::Failed => (StatusCode::SERVICE_UNAVAILABLE, "worker_failed"),
        _ => (StatusCode::BAD_GATEWAY, "no_relay_accepted"),
    }
}

fn answer(report: &PublishReport, verdict: &Verdict) -> Value {
    json!({
        "id": report.outcome.id,
        "accepted": verdict.accepted,
        "message": verdict.message,
        "status": report.outcome.status,
        "receipts": report.receipts,
    })
}

fn tally(gateway: &Gateway, accepted: bool) {
    let counters = &gateway.counters;
    count(if accepted { &counters.events_accepted } else { &counters.events_refused });
}

/// Answers each line with its outcome, in order. The lines are worked on while they come in; only
/// the outcomes are held until the end, because many clients read no answer before they have sent
/// everything.
async fn many(
    gateway: &Gateway,
    payload: web::Payload,
    use_relays: bool,
) -> Result<HttpResponse, ApiError> {
    let mut pieces = gateway.pieces(payload, gateway.config.http.max_lines_bytes);
    let mut lines = LineBatches::new(gateway.event_limits.max_event_bytes);
    let mut answer = String::new();
    while let Some(piece) = pieces.next().await? {
        for batch in lines.push(&piece) {
            work_on(gateway, batch, use_relays, &mut answer).await?;
        }
    }
    work_on(gateway, lines.finish(), use_relays, &mut answer).await?;
    Ok(HttpResponse::Ok().content_type(JSON_LINES).body(answer))
}

async fn work_on(
    gateway: &Gateway,
    batch: Vec<Line>,
    use_relays: bool,
    answer: &mut String,
) -> Result<(), ApiError> {
    let outcomes = if use_relays {
        publish_lines(gateway, batch).await
    } else {
        import_lines(gateway, batch).await.map_err(|error| {
            gateway.engine_failed(&error);
            api_error(&error)
        })?
    };
    for outcome in outcomes {
        count(&gateway.counters.events_in);
        tally(gateway, outcome["accepted"] == true);
        answer.push_str(&outcome.to_string());
        answer.push('\n');
    }
    Ok(())
}

async fn import_lines(gateway: &Gateway, batch: Vec<Line>) -> Result<Vec<Value>, ClientError> {
    let texts: Vec<String> = batch.iter().filter_map(|line| line.text.clone().ok()).collect();
    let mut outcomes = match texts.is_empty() {
        true => Vec::new(),
        false => gateway.client.import(texts).await?,
    }
    .into_iter();
    let outcome = |line: Line| match line.text {
        Ok(_) => LineOutcome::of(line.number, outcomes.next()),
        Err(reason) => LineOutcome::unreadable(line.number, reason),
    };
    Ok(batch.into_iter().map(outcome).map(|outcome| json!(outcome)).collect())
}

async fn publish_lines(gateway: &Gateway, batch: Vec<Line>) -> Vec<Value> {
    stream::iter(batch).map(|line| publish_line(gateway, line)).buffered(IN_FLIGHT).collect().await
}

async fn publish_line(gateway: &Gateway, line: Line) -> Value {
    let event = line.text.and_then(|text| {
        let event = Event::from_json(text.as_bytes(), &gateway.event_limits);
        event.map_err(|error| error.to_string())
    });
    let event = match event {
        Ok(event) => event,
        Err(reason) => return json!(LineOutcome::unreadable(line.number, reason)),
    };
    let id = event.id;
    let report = match gateway.client.publish_with(event, gateway.publish_options()).await {
        Ok(report) => report,
        Err(error) => {
            gateway.engine_failed(&error);
            failed(id, &error)
        }
    };
    let mut answer = answer(&report, &Verdict::of(&report));
    answer["line"] = line.number.into();
    answer
}

fn failed(id: EventId, error: &ClientError) -> PublishReport {
    let outcome = PutOutcome { id, status: PutStatus::Failed, reason: error.to_string() };
    PublishReport { outcome, receipts: Vec::new() }
}
