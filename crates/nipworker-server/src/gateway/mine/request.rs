//! The body of `POST /mine`, and what may be wrong with it.

use std::time::Duration;

use actix_web::http::StatusCode;
use nipworker_core::{
    MineOptions, Priority,
    protocol::{EventError, EventLimits, UnsignedEvent},
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::error::ApiError;
use super::Then;
use crate::{
    config::{MAX_DIFFICULTY_BITS, MineConfig},
    template::{self, TemplateError},
};

/// The body as it comes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body<'a> {
    #[serde(borrow)]
    event: &'a RawValue,
    difficulty_bits: u64,
    threads: Option<u64>,
    timeout_secs: Option<f64>,
    max_attempts: Option<u64>,
    #[serde(default)]
    priority: Priority,
    #[serde(default)]
    idle: bool,
    cpu_percent: Option<u64>,
    #[serde(default = "yes")]
    refresh_created_at: bool,
    #[serde(default)]
    sign: bool,
    #[serde(default)]
    publish: bool,
}

fn yes() -> bool {
    true
}

/// A request that can be carried out.
#[derive(Debug)]
pub(crate) struct MineRequest {
    pub(crate) template: UnsignedEvent,
    pub(crate) difficulty_bits: u16,
    pub(crate) options: MineOptions,
    pub(crate) then: Then,
}

impl MineRequest {
    /// Reads a body under the limits of this gateway. 400: not understood; 413: too large; 422:
    /// understood, and not acceptable.
    pub(crate) fn read(
        body: &[u8],
        config: &MineConfig,
        limits: &EventLimits,
    ) -> Result<Self, ApiError> {
        let body: Body<'_> = serde_json::from_slice(body).map_err(|error| {
            let code = if error.is_data() { "invalid_request" } else { "invalid_json" };
            ApiError::bad_request(code, format_args!("body: {error}"))
        })?;
        let template = template::read(body.event.get().as_bytes(), limits).map_err(refused)?;
        let difficulty_bits = difficulty(body.difficulty_bits, config)?;
        let options = MineOptions {
            threads: body.threads.map(|threads| at_least_one("threads", threads)).transpose()?,
            timeout: Some(timeout(body.timeout_secs, config)?),
            max_attempts: body
                .max_attempts
                .map(|attempts| at_least_one("max_attempts", attempts))
                .transpose()?,
            priority: body.priority,
            refresh_created_at: body.refresh_created_at,
            idle: body.idle,
            cpu_percent: body.cpu_percent.map(percent).transpose()?,
        };
        let then = Then { sign: body.sign || body.publish, publish: body.publish };
        Ok(Self { template, difficulty_bits, options, then })
    }
}

fn unacceptable(code: &'static str, message: impl std::fmt::Display) -> ApiError {
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, code, message)
}

fn out_of_range(message: impl std::fmt::Display) -> ApiError {
    unacceptable("out_of_range", message)
}

fn refused(error: TemplateError) -> ApiError {
    match &error {
        TemplateError::Signed => unacceptable("already_signed", error),
        TemplateError::Event(EventError::TooLarge { .. }) => ApiError::too_large(error),
        TemplateError::Event(_) => ApiError::bad_request("invalid_event", error),
    }
}

fn difficulty(bits: u64, config: &MineConfig) -> Result<u16, ApiError> {
    let limit = config.max_difficulty_bits;
    match u16::try_from(bits) {
        Ok(bits) if bits <= limit => Ok(bits),
        Ok(bits) if bits <= MAX_DIFFICULTY_BITS => Err(unacceptable(
            "too_difficult",
            format_args!("difficulty_bits {bits} is more than the limit of {limit} bits here"),
        )),
        _ => Err(out_of_range(format_args!(
            "difficulty_bits {bits} is out of range, allowed are 0 to {MAX_DIFFICULTY_BITS} bits"
        ))),
    }
}

fn timeout(seconds: Option<f64>, config: &MineConfig) -> Result<Duration, ApiError> {
    let most = config.max_timeout;
    let Some(seconds) = seconds else { return Ok(most) };
    if seconds <= 0.0 {
        return Err(out_of_range(format_args!(
            "timeout_secs {seconds} is over before it begins; more than 0 is needed"
        )));
    }
    match Duration::try_from_secs_f64(seconds) {
        // Less than a nanosecond.
        Ok(Duration::ZERO) => Ok(Duration::from_nanos(1)),
        Ok(time) if time <= most => Ok(time),
        _ => Err(out_of_range(format_args!(
            "timeout_secs {seconds} is more than the limit of {} s here",
            most.as_secs_f64()
        ))),
    }
}

fn at_least_one<T: TryFrom<u64>>(name: &str, number: u64) -> Result<T, ApiError> {
    if number == 0 {
        return Err(out_of_range(format_args!("{name} is 0, the least is 1")));
    }
    T::try_from(number)
        .map_err(|_| out_of_range(format_args!("{name} {number} is more than a job can be given")))
}

fn percent(percent: u64) -> Result<u8, ApiError> {
    match u8::try_from(percent) {
        Ok(percent @ 1..=100) => Ok(percent),
        _ => Err(out_of_range(format_args!(
            "cpu_percent {percent} is out of range, allowed are 1 to 100 percent"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::ResponseError;
    use serde_json::{Value, json};

    use super::*;

    fn body(change: impl FnOnce(&mut Value)) -> Vec<u8> {
        let mut body = json!({
            "event": { "pubkey": "7".repeat(64), "created_at": 1, "kind": 1, "tags": [],
                       "content": "x" },
            "difficulty_bits": 20,
        });
        change(&mut body);
        body.to_string().into_bytes()
    }

    fn read(body: &[u8]) -> Result<MineRequest, ApiError> {
        MineRequest::read(body, &MineConfig::default(), &EventLimits::default())
    }

    #[test]
    fn a_request_without_limits_takes_those_of_the_gateway() {
        let request = read(&body(|_| {})).unwrap();
        let options = MineOptions {
            timeout: Some(MineConfig::default().max_timeout),
            ..MineOptions::default()
        };
        assert_eq!((request.difficulty_bits, request.options), (20, options));
        assert_eq!(request.then, Then::default());
    }

    #[test]
    fn everything_that_may_be_asked_is_read() {
        let request = read(&body(|body| {
            for (key, value) in [
                ("threads", json!(3)),
                ("timeout_secs", json!(0.5)),
                ("max_attempts", json!(7)),
                ("priority", json!("urgent")),
                ("idle", json!(true)),
                ("cpu_percent", json!(50)),
                ("refresh_created_at", json!(false)),
                ("publish", json!(true)),
            ] {
                body[key] = value;
            }
        }));
        let request = request.unwrap();
        let options = MineOptions {
            threads: Some(3),
            timeout: Some(Duration::from_millis(500)),
            max_attempts: Some(7),
            priority: Priority::Urgent,
            idle: true,
            cpu_percent: Some(50),
            refresh_created_at: false,
        };
        assert_eq!(request.options, options);
        assert_eq!(request.then, Then { sign: true, publish: true }, "who publishes signs");
    }

    #[test]
    fn a_time_shorter_than_a_nanosecond_is_still_one() {
        let request = read(&body(|body| body["timeout_secs"] = json!(1e-12))).unwrap();
        assert_eq!(request.options.timeout, Some(Duration::from_nanos(1)));
    }

    #[test]
    fn what_is_wrong_is_named_with_a_fitting_status() {
        let set = |key: &'static str, value: Value| body(move |body| body[key] = value);
        for (body, status, code) in [
            (b"{".to_vec(), 400, "invalid_json"),
            (b"[]".to_vec(), 400, "invalid_request"),
            (b"{}".to_vec(), 400, "invalid_request"),
            (set("nonsense", json!(1)), 400, "invalid_request"),
            (set("difficulty_bits", json!("20")), 400, "invalid_request"),
            (set("difficulty_bits", json!(-1)), 400, "invalid_request"),
            (set("priority", json!("now")), 400, "invalid_request"),
            (set("event", json!({})), 400, "invalid_event"),
            (set("event", json!("x".repeat(600_000))), 413, "too_large"),
            (set("difficulty_bits", json!(257)), 422, "out_of_range"),
            (set("difficulty_bits", json!(u64::MAX)), 422, "out_of_range"),
            (set("difficulty_bits", json!(65)), 422, "too_difficult"),
            (set("threads", json!(0)), 422, "out_of_range"),
            (set("threads", json!(u64::MAX)), 422, "out_of_range"),
            (set("timeout_secs", json!(0)), 422, "out_of_range"),
            (set("timeout_secs", json!(-5)), 422, "out_of_range"),
            (set("timeout_secs", json!(1e300)), 422, "out_of_range"),
            (set("max_attempts", json!(0)), 422, "out_of_range"),
            (set("cpu_percent", json!(0)), 422, "out_of_range"),
            (set("cpu_percent", json!(101)), 422, "out_of_range"),
        ] {
            let error = read(&body).unwrap_err();
            let text = String::from_utf8_lossy(&body).chars().take(200).collect::<String>();
            assert_eq!(error.status_code().as_u16(), status, "{error} for {text}");
            assert!(error.to_string().starts_with(code), "{error} for {text}");
        }
        let mut signed: Value = serde_json::from_slice(&body(|_| {})).unwrap();
        signed["event"]["sig"] = json!("00");
        let error = read(signed.to_string().as_bytes()).unwrap_err();
        assert!(error.to_string().starts_with("already_signed"), "{error}");
    }

    #[test]
    fn deep_json_is_refused() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let text = format!("{{\"difficulty_bits\":1,\"event\":{deep}}}");
        assert!(read(text.as_bytes()).is_err());
    }
}
