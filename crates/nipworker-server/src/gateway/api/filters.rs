//! Filters and options from HTTP requests.

use std::time::Duration;

use actix_web::{
    HttpRequest,
    http::{StatusCode, header},
    web,
};
use futures::StreamExt;
use nipworker_core::{
    ClientError,
    protocol::{Filter, FilterLimits},
};
use serde::{Deserialize, Deserializer, de::Error};

use super::{super::ws::NO_SEARCH, ApiError, JSON_LINES};

/// One filter, or an array of filters of which an event must match one.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    Many(Vec<serde_json::Value>),
    One(serde_json::Value),
}

/// Reads the filters of a body and checks them.
pub(super) fn read(body: &[u8], limits: &FilterLimits) -> Result<Vec<Filter>, ApiError> {
    let body = serde_json::from_slice(body)
        .map_err(|error| ApiError::bad_request("invalid_json", format_args!("body: {error}")))?;
    let values = match body {
        OneOrMany::Many(values) => values,
        OneOrMany::One(value) => vec![value],
    };
    let mut filters = values
        .into_iter()
        .map(serde_json::from_value)
        .collect::<Result<Vec<Filter>, _>>()
        .map_err(|error| {
            ApiError::bad_request("invalid_filter", format_args!("filter: {error}"))
        })?;
    if filters.iter().any(|filter| filter.search.is_some()) {
        return Err(ApiError::bad_request("unsupported", NO_SEARCH));
    }
    limits.apply(&mut filters).map_err(|error| ApiError::bad_request("invalid_filter", error))?;
    Ok(filters)
}

/// What may stand behind the `?` of a query or a publication.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    /// `false`: only the store.
    pub(super) relays: Option<bool>,
    /// `true`: a publication is kept and sent until each relay has decided.
    #[serde(default)]
    pub(super) durable: bool,
    /// `false`: without the configured pipes.
    pub(super) pipes: Option<bool>,
    /// `true` or `1`: each event comes with what it says, as `view` beside its own members.
    #[serde(default, deserialize_with = "yes_or_no")]
    pub(super) view: bool,
}

fn yes_or_no<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(D::Error::custom("view is 1 or 0")),
    }
}

impl Options {
    pub(super) fn of(request: &HttpRequest) -> Result<Self, ApiError> {
        web::Query::<Self>::from_query(request.query_string()).map(web::Query::into_inner).map_err(
            |error| ApiError::bad_request("invalid_query", format_args!("query string: {error}")),
        )
    }
}

/// Whether the client wants JSON lines back.
pub(super) fn wants_lines(request: &HttpRequest) -> bool {
    mentions(request, header::ACCEPT)
}

/// Whether the client sends JSON lines.
pub(super) fn sends_lines(request: &HttpRequest) -> bool {
    mentions(request, header::CONTENT_TYPE)
}

fn mentions(request: &HttpRequest, name: header::HeaderName) -> bool {
    let value = request.headers().get(name).and_then(|value| value.to_str().ok());
    value.is_some_and(|value| {
        value
            .split(',')
            .filter_map(|part| part.split(';').next())
            .any(|part| part.trim().eq_ignore_ascii_case(JSON_LINES))
    })
}

/// A body in pieces, up to a limit in bytes, each piece within `patience`.
pub(crate) struct Pieces {
    payload: web::Payload,
    limit: usize,
    left: usize,
    patience: Duration,
}

impl Pieces {
    pub(crate) fn new(payload: web::Payload, limit: usize, patience: Duration) -> Self {
        Self { payload, limit, left: limit, patience }
    }

    /// The next piece; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<web::Bytes>, ApiError> {
        let Ok(piece) = tokio::time::timeout(self.patience, self.payload.next()).await else {
            let patience = humantime::format_duration(self.patience);
            return Err(ApiError::new(
                StatusCode::REQUEST_TIMEOUT,
                "timeout",
                format_args!("no more of the body came for {patience}"),
            ));
        };
        let Some(piece) = piece else { return Ok(None) };
        let piece = piece.map_err(|error| {
            ApiError::bad_request("incomplete_body", format_args!("body: {error}"))
        })?;
        let Some(left) = self.left.checked_sub(piece.len()) else {
            let limit = self.limit;
            return Err(ApiError::too_large(format_args!(
                "the body is over the limit of {limit} bytes"
            )));
        };
        self.left = left;
        Ok(Some(piece))
    }

    /// The whole body.
    pub(crate) async fn whole(mut self) -> Result<web::BytesMut, ApiError> {
        let mut body = web::BytesMut::new();
        while let Some(piece) = self.next().await? {
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }
}

/// An engine error as an answer.
pub(super) fn api_error(error: &ClientError) -> ApiError {
    let (status, code) = match error {
        ClientError::Invalid(_) => (StatusCode::BAD_REQUEST, "invalid"),
        ClientError::Unsupported(_) => (StatusCode::BAD_REQUEST, "unsupported"),
        ClientError::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
        ClientError::Busy(_) => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
        ClientError::OutboxFull(_) => (StatusCode::SERVICE_UNAVAILABLE, "outbox_full"),
        ClientError::Timeout(_) => (StatusCode::GATEWAY_TIMEOUT, "timeout"),
        ClientError::Closed => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
        ClientError::Worker { transient: true, .. } => {
            (StatusCode::SERVICE_UNAVAILABLE, "worker_failed")
        }
        ClientError::Store { transient: true, .. } => {
            (StatusCode::SERVICE_UNAVAILABLE, "store_failed")
        }
        ClientError::Store { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "store_failed"),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    };
    ApiError::new(status, code, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_filter_or_an_array_of_filters_is_read() {
        let limits = FilterLimits::default();
        assert_eq!(read(br#"{"kinds":[1]}"#, &limits).unwrap().len(), 1);
        assert_eq!(read(br#"[{"kinds":[1]},{}]"#, &limits).unwrap().len(), 2);
    }

    #[test]
    fn a_wrong_filter_is_named() {
        let limits = FilterLimits { max_filters: 1, ..FilterLimits::default() };
        for (body, reason) in [
            ("", "invalid_json: body: EOF"),
            ("[]", "invalid_filter: a request needs at least one filter"),
            ("[{},{}]", "invalid_filter: 2 filters are more than the limit of 1"),
            (r#"{"kindz":[1]}"#, "invalid_filter: filter: unknown filter key \"kindz\""),
            (r#"{"kinds":["a"]}"#, "invalid_filter: filter: invalid type: string \"a\""),
            (r#"{"search":"x"}"#, "unsupported: search"),
            ("7", "invalid_filter: filter: invalid type: integer"),
        ] {
            let error = read(body.as_bytes(), &limits).unwrap_err().to_string();
            assert!(error.starts_with(reason), "{error}");
        }
    }

    #[test]
    fn deep_json_is_refused() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(read(deep.as_bytes(), &FilterLimits::default()).is_err());
    }
}
