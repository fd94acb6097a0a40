//! `POST /events`: one event as JSON, or many as JSON lines.

use actix_web::{HttpRequest, HttpResponse, ResponseError, http::StatusCode, web};
use futures::{StreamExt, stream};
use nipworker_core::{
    ClientError, PublishOptions, PublishReport, PutOutcome, PutStatus,
    protocol::{Event, EventError, EventId},
};
use serde_json::{Value, json};

use super::{
    ApiError, Gateway, JSON_LINES,
    filters::{self, Options, api_error},
    outbox,
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
    let way = match (options.durable, use_relays) {
        (true, false) => {
            return Err(ApiError::bad_request(
                "no_relay",
                "a durable publication needs relays, and there are none or relays=false",
            ));
        }
        (true, true) => Way::Durable,
        (false, true) => Way::Relays,
        (false, false) => Way::Store,
    };
    if filters::sends_lines(&request) {
        return many(&gateway, payload, way).await;
    }
    let body = gateway.read_body(payload, gateway.config.http.max_body_bytes).await?;
    one(&gateway, &body, way).await
}

/// Where events go, and what their sender waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// To the store.
    Store,
    /// To the relays, once; their answers are waited for.
    Relays,
    /// To the outbox; nobody else is waited for.
    Durable,
}

async fn one(gateway: &Gateway, body: &[u8], way: Way) -> Result<HttpResponse, ApiError> {
    count(&gateway.counters.events_in);
    let event = Event::from_json(body, &gateway.event_limits).map_err(|error| {
        count(&gateway.counters.events_refused);
        match error {
            EventError::TooLarge { .. } => ApiError::too_large(error),
            _ => ApiError::bad_request("invalid_event", error),
        }
    })?;
    if way == Way::Durable {
        return outbox::publish(gateway, event).await;
    }
    let use_relays = way == Way::Relays;
    let options = PublishOptions { use_relays, ..gateway.publish_options() };
    let report = gateway.client.publish_with(event, options).await.map_err(|error| {
        count(&gateway.counters.events_refused);
        gateway.engine_failed(&error);
        api_error(&error)
    })?;
    let verdict = Verdict::of(&report);
    gateway.tally(verdict.accepted);
    let answer = answer(&report, &verdict);
    if verdict.accepted {
        return Ok(HttpResponse::Ok().json(answer));
    }
    let (status, code) = refusal(&report.outcome);
    Err(ApiError::new(status, code, &verdict.message).with("outcome", answer))
}

/// The status and code of an event that was not accepted.
pub(super) fn refusal(outcome: &PutOutcome) -> (StatusCode, &'static str) {
    match outcome.status {
        PutStatus::Invalid => (StatusCode::UNPROCESSABLE_ENTITY, "invalid_event"),
        PutStatus::Superseded => (StatusCode::CONFLICT, "superseded"),
        PutStatus::Deleted => (StatusCode::GONE, "deleted"),
        PutStatus::Expired => (StatusCode::UNPROCESSABLE_ENTITY, "expired"),
        PutStatus::Failed => (StatusCode::SERVICE_UNAVAILABLE, "worker_failed"),
        _ => (StatusCode::BAD_GATEWAY, "no_relay_accepted"),
    }
}

pub(in crate::gateway) fn answer(report: &PublishReport, verdict: &Verdict) -> Value {
    let mut answer = json!({
        "id": report.outcome.id,
        "accepted": verdict.accepted,
        "message": verdict.message,
        "status": report.outcome.status,
        "receipts": report.receipts,
    });
    if let Some(remined) = &report.remined {
        answer["remined"] = json!(remined);
    }
    answer
}

/// The outcomes of lines, held until the end because many clients read no answer before they have
/// sent everything.
struct Outcomes {
    text: String,
    max_bytes: usize,
    /// Lines up to this number have been worked on.
    last: u64,
}

impl Outcomes {
    /// Short lines have outcomes many times their size: bytes of the answer, for each two bytes
    /// that a body may have, and at least [`Self::LEAST_BYTES`].
    fn bounded_for(max_body_bytes: usize) -> Self {
        let max_bytes = (max_body_bytes / 2).max(Self::LEAST_BYTES);
        Self { text: String::new(), max_bytes, last: 0 }
    }

    /// Room for the outcomes of some hundred lines.
    const LEAST_BYTES: usize = 64 * 1024;

    fn push(&mut self, outcome: &Value) {
        self.text.push_str(&outcome.to_string());
        self.text.push('\n');
    }

    fn check_room(&self) -> Result<(), ApiError> {
        if self.text.len() < self.max_bytes {
            return Ok(());
        }
        Err(ApiError::too_large(format_args!(
            "the outcomes are over {} bytes; the lines after line {} were not worked on",
            self.max_bytes, self.last
        )))
    }

    /// The outcomes, and after them why there are no more. Without any, the error alone.
    fn answer(mut self, result: Result<(), ApiError>) -> Result<HttpResponse, ApiError> {
        let mut status = StatusCode::OK;
        if let Err(error) = result {
            if self.text.is_empty() {
                return Err(error);
            }
            status = error.status_code();
            self.push(&error.body());
        }
        Ok(HttpResponse::build(status).content_type(JSON_LINES).body(self.text))
    }
}

/// Answers each line with its outcome, in order. The lines are worked on while they come in. What
/// ends the request early becomes the last line, after the outcomes of the lines before.
async fn many(
    gateway: &Gateway,
    payload: web::Payload,
    way: Way,
) -> Result<HttpResponse, ApiError> {
    let mut outcomes = Outcomes::bounded_for(gateway.config.http.max_lines_bytes);
    let result = work_on_all(gateway, payload, way, &mut outcomes).await;
    outcomes.answer(result)
}

async fn work_on_all(
    gateway: &Gateway,
    payload: web::Payload,
    way: Way,
    outcomes: &mut Outcomes,
) -> Result<(), ApiError> {
    let mut pieces = gateway.pieces(payload, gateway.config.http.max_lines_bytes);
    let mut lines = LineBatches::new(gateway.event_limits.max_event_bytes);
    while let Some(piece) = pieces.next().await? {
        for batch in lines.push(&piece) {
            work_on(gateway, batch, way, outcomes).await?;
        }
    }
    work_on(gateway, lines.finish(), way, outcomes).await
}

async fn work_on(
    gateway: &Gateway,
    batch: Vec<Line>,
    way: Way,
    outcomes: &mut Outcomes,
) -> Result<(), ApiError> {
    let Some(last) = batch.last().map(|line| line.number) else { return Ok(()) };
    outcomes.check_room()?;
    let numbers: Vec<u64> = batch.iter().map(|line| line.number).collect();
    let of_batch = if way == Way::Durable {
        queue_lines(gateway, batch).await
    } else if way == Way::Relays {
        publish_lines(gateway, batch).await
    } else {
        match import_lines(gateway, batch).await {
            Ok(of_batch) => of_batch,
            Err(error) => {
                gateway.engine_failed(&error);
                if outcomes.last == 0 {
                    return Err(api_error(&error));
                }
                // What was stored before has its outcomes; a status for all would hide them.
                numbers.iter().map(|line| json!(LineOutcome::failed(*line, &error))).collect()
            }
        }
    };
    for outcome in of_batch {
        count(&gateway.counters.events_in);
        if way != Way::Durable {
            gateway.tally(outcome["accepted"] == true);
        }
        outcomes.push(&outcome);
    }
    outcomes.last = last;
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

async fn queue_lines(gateway: &Gateway, batch: Vec<Line>) -> Vec<Value> {
    stream::iter(batch).map(|line| queue_line(gateway, line)).buffered(IN_FLIGHT).collect().await
}

async fn queue_line(gateway: &Gateway, line: Line) -> Value {
    let number = line.number;
    let event = match event_of(gateway, line.text) {
        Ok(event) => event,
        Err(reason) => {
            gateway.tally(false);
            return json!(LineOutcome::unreadable(number, reason));
        }
    };
    let id = event.id;
    let mut answer = match outbox::queue(gateway, event).await {
        Ok(report) => outbox::answer(&report),
        Err(error) => json!({
            "id": id, "queued": false, "status": PutStatus::Failed, "message": error.message(),
        }),
    };
    answer["line"] = number.into();
    answer
}

fn event_of(gateway: &Gateway, text: Result<String, String>) -> Result<Event, String> {
    let event = Event::from_json(text?.as_bytes(), &gateway.event_limits);
    event.map_err(|error| error.to_string())
}

async fn publish_line(gateway: &Gateway, line: Line) -> Value {
    let event = match event_of(gateway, line.text) {
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
    PublishReport { outcome, receipts: Vec::new(), remined: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_a_request_midway_follows_the_outcomes_that_were_there() {
        let mut outcomes = Outcomes::bounded_for(4_096);
        outcomes.push(&json!({ "line": 1 }));
        let response = outcomes.answer(Err(ApiError::too_large("too much"))).unwrap();
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
        let body = actix_web::body::MessageBody::try_into_bytes(response.into_body()).unwrap();
        let lines: Vec<Value> = body
            .split(|byte| *byte == b'\n')
            .filter_map(|l| serde_json::from_slice(l).ok())
            .collect();
        assert_eq!(lines[0], json!({ "line": 1 }));
        assert_eq!(lines[1]["error"]["code"], "too_large");
        let nothing = Outcomes::bounded_for(4_096);
        assert!(nothing.answer(Err(ApiError::too_large("too much"))).is_err());
    }
}
