//! `POST /query`, `POST /count`, `GET /events/{id}`.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web, web::Bytes};
use futures::{Stream, StreamExt, stream};
use nipworker_core::{
    QueryOptions, Subscription, SubscriptionEvent,
    protocol::{EventId, Filter},
};
use serde_json::json;

use crate::lines;

use super::{
    ApiError, Gateway, JSON_LINES,
    filters::{self, Options, api_error},
};

/// Answers with the events that match, as one array or as lines, while they are found.
pub(super) async fn query(
    request: HttpRequest,
    payload: web::Payload,
    gateway: web::Data<Gateway>,
) -> Result<HttpResponse, ApiError> {
    let options = Options::of(&request)?;
    let body = gateway.read_body(payload, gateway.config.http.max_body_bytes).await?;
    let filters = filters::read(&body, &gateway.config.websocket.filter_limits())?;
    let found = start(&gateway, filters, options).await?;
    Ok(if filters::wants_lines(&request) {
        HttpResponse::Ok().content_type(JSON_LINES).streaming(as_lines(found))
    } else {
        HttpResponse::Ok().content_type("application/json").streaming(array(found))
    })
}

/// Answers with the event of that id, or 404.
pub(super) async fn one_event(
    request: HttpRequest,
    id: web::Path<String>,
    gateway: web::Data<Gateway>,
) -> Result<HttpResponse, ApiError> {
    let options = Options::of(&request)?;
    let id = EventId::from_hex(&id)
        .map_err(|error| ApiError::bad_request("invalid_id", format_args!("event id: {error}")))?;
    let found = start(&gateway, vec![Filter::new().ids([id]).limit(1)], options).await?;
    let mut found = Box::pin(found);
    match found.next().await {
        Some(Ok(event)) => Ok(HttpResponse::Ok().content_type("application/json").body(event)),
        Some(Err(reason)) => Err(cut_short(&reason)),
        None => Err(ApiError::new(StatusCode::NOT_FOUND, "not_found", "no such event is known")),
    }
}

/// Answers with the number of stored events that match.
pub(super) async fn count(
    request: HttpRequest,
    payload: web::Payload,
    gateway: web::Data<Gateway>,
) -> Result<HttpResponse, ApiError> {
    Options::of(&request)?;
    let body = gateway.read_body(payload, gateway.config.http.max_body_bytes).await?;
    let mut filters = filters::read(&body, &gateway.config.websocket.filter_limits())?;
    // A count is over all that is stored; the limit is about how much is sent.
    filters.iter_mut().for_each(|filter| filter.limit = None);
    let count = gateway.client.count(filters).await.map_err(|error| {
        gateway.engine_failed(&error);
        api_error(&error)
    })?;
    Ok(HttpResponse::Ok().json(json!({ "count": count })))
}

/// Opens the query. Each item is an event's JSON, or why the rest will not come.
async fn start(
    gateway: &Gateway,
    filters: Vec<Filter>,
    options: Options,
) -> Result<impl Stream<Item = Result<String, String>> + use<>, ApiError> {
    let with_view = options.view;
    let options = QueryOptions {
        use_relays: options.relays.unwrap_or(true) && gateway.has_upstream(),
        timeout: Some(gateway.config.http.query_timeout),
        pipes: (options.pipes == Some(false)).then(Vec::new),
        ..QueryOptions::default()
    };
    let subscription =
        gateway.client.query_with(filters, options).await.map_err(|error| api_error(&error))?;
    Ok(events_of(subscription, with_view))
}

fn events_of(
    subscription: Subscription,
    with_view: bool,
) -> impl Stream<Item = Result<String, String>> {
    stream::unfold(Some(subscription), move |subscription| async move {
        let mut subscription = subscription?;
        loop {
            let item = match subscription.next().await? {
                SubscriptionEvent::Event { event, .. } if with_view => Ok(lines::with_view(&event)),
                SubscriptionEvent::Event { event, .. } => Ok(event.to_json()),
                SubscriptionEvent::EndOfStored => return None,
                SubscriptionEvent::Closed { reason } => Err(reason),
                SubscriptionEvent::Lagged { missed } => {
                    Err(format!("read too slowly: {missed} events were missed"))
                }
                _ => continue,
            };
            let rest = item.is_ok().then_some(subscription);
            return Some((item, rest));
        }
    })
}

fn cut_short(reason: &str) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "cut_short", reason)
}

/// An error in a body that has begun can only be shown by not ending the body.
fn broken(reason: String) -> ApiError {
    tracing::warn!(%reason, "a query's answer was cut short");
    cut_short(&reason)
}

fn as_lines(
    found: impl Stream<Item = Result<String, String>>,
) -> impl Stream<Item = Result<Bytes, ApiError>> {
    found.map(|item| match item {
        Ok(mut event) => {
            event.push('\n');
            Ok(Bytes::from(event))
        }
        Err(reason) => Err(broken(reason)),
    })
}

fn array(
    found: impl Stream<Item = Result<String, String>>,
) -> impl Stream<Item = Result<Bytes, ApiError>> {
    let events = found.enumerate().map(|(index, item)| match item {
        Ok(event) if index == 0 => Ok(Bytes::from(event)),
        Ok(event) => Ok(Bytes::from(format!(",\n{event}"))),
        Err(reason) => Err(broken(reason)),
    });
    stream::once(async { Ok(Bytes::from_static(b"[")) })
        .chain(events)
        .chain(stream::once(async { Ok(Bytes::from_static(b"]\n")) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(found: Vec<Result<String, String>>) -> Result<String, ApiError> {
        let parts = futures::executor::block_on_stream(Box::pin(array(stream::iter(found))));
        let mut out = String::new();
        for part in parts {
            out.push_str(&String::from_utf8_lossy(&part?));
        }
        Ok(out)
    }

    #[test]
    fn an_answer_is_one_valid_array() {
        assert_eq!(body(vec![]).unwrap(), "[]\n");
        let two = body(vec![Ok("{}".to_owned()), Ok("{}".to_owned())]).unwrap();
        assert_eq!(serde_json::from_str::<Vec<serde_json::Value>>(&two).unwrap().len(), 2);
    }

    #[test]
    fn an_answer_that_was_cut_short_does_not_look_whole() {
        assert!(body(vec![Ok("{}".to_owned()), Err("gone".to_owned())]).is_err());
    }
}
