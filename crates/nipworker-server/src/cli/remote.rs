//! The running daemon, asked over HTTP.

use std::{
    io::{BufRead, BufReader, Read},
    time::Duration,
};

use nipworker_core::{SyncEvent, protocol::Filter};
use serde_json::{Value, json};
use ureq::{Agent, Body, http::Response};

use super::output::Failure;
use crate::{
    gateway::{JSON_LINES, ServerStatus},
    lines::LineOutcome,
};

/// Longest wait for a connection, and for the daemon to show that it is there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Largest answer that is not streamed, in bytes.
const MAX_ANSWER_BYTES: u64 = 64 * 1024 * 1024;

/// A daemon that answered.
#[derive(Debug)]
pub(crate) struct Remote {
    agent: Agent,
    base: String,
}

/// What one event became, and what the daemon said in full.
pub(crate) struct Published {
    pub(crate) accepted: bool,
    pub(crate) message: String,
    /// `id`, `status`, `receipts`, …
    pub(crate) answer: Value,
}

impl Remote {
    /// Takes an address such as `http://127.0.0.1:7447`.
    pub(crate) fn at(url: &str) -> Result<Self, Failure> {
        let base = url.trim_end_matches('/');
        if !base.starts_with("http://") {
            return Err(Failure::usage(format_args!(
                "{url:?} is no address of a daemon; it begins with http://"
            )));
        }
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .build()
            .new_agent();
        Ok(Self { agent, base: base.to_owned() })
    }

    pub(crate) fn url(&self) -> &str {
        &self.base
    }

    /// What the daemon tells about itself; fails within a few seconds when there is none.
    pub(crate) fn status(&self) -> Result<ServerStatus, Failure> {
        let request = self.agent.get(self.path("/api/v1/status"));
        let request = request.config().timeout_global(Some(2 * CONNECT_TIMEOUT)).build();
        let response = request.call().map_err(|error| self.unreachable(&error))?;
        self.json(self.checked(response)?)
    }

    /// Events that match, each as JSON text without line breaks, handed to `each` as they come.
    /// `options` are those behind the `?` of the HTTP query.
    pub(crate) fn query(
        &self,
        filters: &[Filter],
        options: &str,
        mut each: impl FnMut(&str) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let response = self
            .agent
            .post(self.path(&format!("/api/v1/query?{options}")))
            .header("accept", JSON_LINES)
            .content_type("application/json")
            .send(json!(filters).to_string())
            .map_err(|error| self.unreachable(&error))?;
        let body = self.checked(response)?.into_body().into_reader();
        for line in BufReader::new(body).lines() {
            let line = line.map_err(|error| {
                Failure::because(format_args!("the daemon's answer was cut short: {error}"))
            })?;
            each(&line)?;
        }
        Ok(())
    }

    /// Has the daemon sync; what it tells is handed to `each` as it comes.
    pub(crate) fn sync(
        &self,
        request: &Value,
        mut each: impl FnMut(SyncEvent) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let response = self
            .agent
            .post(self.path("/api/v1/sync"))
            .content_type("application/json")
            .send(request.to_string())
            .map_err(|error| self.unreachable(&error))?;
        let body = self.checked(response)?.into_body().into_reader();
        for line in BufReader::new(body).lines() {
            let line = line.map_err(|error| {
                Failure::because(format_args!("the daemon's answer was cut short: {error}"))
            })?;
            each(serde_json::from_str(&line).map_err(|error| self.not_understood(error))?)?;
        }
        Ok(())
    }

    /// Number of stored events that match.
    pub(crate) fn count(&self, filters: &[Filter]) -> Result<u64, Failure> {
        let response = self
            .agent
            .post(self.path("/api/v1/count"))
            .content_type("application/json")
            .send(json!(filters).to_string())
            .map_err(|error| self.unreachable(&error))?;
        let answer: Value = self.json(self.checked(response)?)?;
        answer["count"].as_u64().ok_or_else(|| self.not_understood("no count"))
    }

    /// Publishes one event.
    pub(crate) fn publish(&self, event: &str, relays: bool) -> Result<Published, Failure> {
        self.post_event(event, &format!("/api/v1/events?relays={relays}"))
    }

    /// Queues one event; accepted means that the outbox has it.
    pub(crate) fn publish_durable(&self, event: &str) -> Result<Published, Failure> {
        self.post_event(event, "/api/v1/events?durable=true")
    }

    fn post_event(&self, event: &str, path: &str) -> Result<Published, Failure> {
        let response = self
            .agent
            .post(self.path(path))
            .content_type("application/json")
            .send(event)
            .map_err(|error| self.unreachable(&error))?;
        let accepted = response.status().is_success();
        let answer: Value = self.json(response)?;
        if accepted {
            let message = text(&answer["message"]);
            return Ok(Published { accepted, message, answer });
        }
        let message = text(&answer["error"]["message"]);
        if message.is_empty() {
            return Err(self.not_understood("an error without a message"));
        }
        Ok(Published { accepted, message, answer: answer["outcome"].clone() })
    }

    /// Stores events, one text a line; an outcome for each, in order.
    pub(crate) fn import(&self, texts: &[String]) -> Result<Vec<LineOutcome>, Failure> {
        let response = self
            .agent
            .post(self.path("/api/v1/events?relays=false"))
            .content_type(JSON_LINES)
            .send(texts.join("\n"))
            .map_err(|error| self.unreachable(&error))?;
        let answer = self.text(self.checked(response)?)?;
        let outcomes: Result<Vec<LineOutcome>, _> =
            answer.lines().map(serde_json::from_str).collect();
        let outcomes = outcomes.map_err(|error| self.not_understood(error))?;
        if outcomes.len() != texts.len() {
            return Err(self.not_understood(format_args!(
                "{} outcomes for {} lines",
                outcomes.len(),
                texts.len()
            )));
        }
        Ok(outcomes)
    }

    fn path(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn unreachable(&self, error: &ureq::Error) -> Failure {
        Failure::because(format_args!("no daemon answers at {}: {error}", self.base))
    }

    fn not_understood(&self, what: impl std::fmt::Display) -> Failure {
        Failure::because(format_args!("what answers at {} is not understood: {what}", self.base))
    }

    /// A successful answer, or the error that it tells.
    fn checked(&self, response: Response<Body>) -> Result<Response<Body>, Failure> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let answer = self.text(response).unwrap_or_default();
        let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
        let message = text(&answer["error"]["message"]);
        Err(if message.is_empty() {
            self.not_understood(format_args!("status {status}"))
        } else {
            Failure::because(format_args!("the daemon at {} refused: {message}", self.base))
        })
    }

    fn text(&self, response: Response<Body>) -> Result<String, Failure> {
        let mut text = String::new();
        let mut body = response.into_body().into_reader().take(MAX_ANSWER_BYTES);
        body.read_to_string(&mut text).map_err(|error| self.not_understood(error))?;
        Ok(text)
    }

    fn json<T: serde::de::DeserializeOwned>(&self, response: Response<Body>) -> Result<T, Failure> {
        serde_json::from_str(&self.text(response)?).map_err(|error| self.not_understood(error))
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
