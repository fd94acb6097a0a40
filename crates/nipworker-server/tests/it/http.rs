//! A small HTTP client: status, content type and text of an answer.

use serde_json::Value;
use ureq::{Agent, http::Response};

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: ureq::http::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn lines(&self) -> Vec<Value> {
        self.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The code of an error answer.
    pub(crate) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_else(|| panic!("{}", self.text)).to_owned()
    }
}

fn agent() -> Agent {
    Agent::config_builder().http_status_as_error(false).build().new_agent()
}

fn answer(response: Result<Response<ureq::Body>, ureq::Error>) -> Answer {
    let response = response.unwrap();
    let (parts, mut body) = response.into_parts();
    let text = body.with_config().limit(256 * 1024 * 1024).read_to_string().unwrap();
    Answer { status: parts.status.as_u16(), headers: parts.headers, text }
}

pub(crate) fn get(url: &str) -> Answer {
    answer(agent().get(url).call())
}

pub(crate) fn get_as(url: &str, accept: &str) -> Answer {
    answer(agent().get(url).header("accept", accept).call())
}

/// With one more header.
pub(crate) fn get_with(url: &str, name: &str, value: &str) -> Answer {
    answer(agent().get(url).header(name, value).call())
}

pub(crate) fn delete(url: &str) -> Answer {
    answer(agent().delete(url).call())
}

pub(crate) fn post(url: &str, body: impl AsRef<[u8]>) -> Answer {
    post_as(url, "application/json", "*/*", body)
}

/// With one more header.
pub(crate) fn post_with(url: &str, name: &str, value: &str, body: impl AsRef<[u8]>) -> Answer {
    answer(agent().post(url).header(name, value).send(body.as_ref()))
}

pub(crate) fn post_as(
    url: &str,
    content_type: &str,
    accept: &str,
    body: impl AsRef<[u8]>,
) -> Answer {
    let request = agent().post(url).header("content-type", content_type).header("accept", accept);
    answer(request.send(body.as_ref()))
}

pub(crate) fn head(url: &str) -> Answer {
    answer(agent().head(url).call())
}

pub(crate) fn options(url: &str, method: &str) -> Answer {
    let request = agent().options(url).header("origin", "https://app.example");
    answer(request.header("access-control-request-method", method).call())
}
