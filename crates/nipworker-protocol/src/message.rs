//! Frames between clients and relays (NIP-01, NIP-42, NIP-45, NIP-67, NIP-77).
//!
//! An event inside a frame stays text ([`serde_json::value::RawValue`]) so that it is decoded
//! once, under limits, by whoever answers for it.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Event, EventId, Filter, HyperLogLog, event::is_json};

/// Longest subscription id in characters (NIP-01).
pub const SUBSCRIPTION_ID_MAX_CHARS: usize = 64;

/// Longest negentropy message (NIP-77) in bytes; as hex it takes twice as many characters.
pub const NEG_MESSAGE_MAX_BYTES: usize = 1024 * 1024;

/// Why a frame is not a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// The frame is no JSON.
    #[error("frame is not JSON")]
    NotJson,
    /// It is JSON, but no array that begins with a string.
    #[error("frame is not an array that begins with a message type")]
    NotAMessage,
    /// The first element names no known message. Relays and clients ignore these.
    #[error("unknown message type {0:?}")]
    UnknownType(String),
    /// A part is missing, of a wrong type, or too much.
    #[error("{kind}: {problem}")]
    Malformed {
        /// Message type.
        kind: &'static str,
        /// What is wrong, for a person.
        problem: String,
    },
}

/// The machine-readable word that begins the text of an `OK` or `CLOSED` (NIP-01, NIP-42).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum MachinePrefix {
    /// The event was there before.
    Duplicate,
    /// Proof of work is missing or too small (NIP-13).
    Pow,
    /// The author is not allowed.
    Blocked,
    /// Too many messages.
    RateLimited,
    /// The event or request is wrong.
    Invalid,
    /// Not allowed, even after authentication.
    Restricted,
    /// Nobody was there to take an ephemeral event.
    Mute,
    /// Authentication is needed first (NIP-42).
    AuthRequired,
    /// The relay cannot do this.
    Unsupported,
    /// Something broke at the relay.
    Error,
}

impl MachinePrefix {
    const ALL: [(Self, &'static str); 10] = [
        (Self::Duplicate, "duplicate"),
        (Self::Pow, "pow"),
        (Self::Blocked, "blocked"),
        (Self::RateLimited, "rate-limited"),
        (Self::Invalid, "invalid"),
        (Self::Restricted, "restricted"),
        (Self::Mute, "mute"),
        (Self::AuthRequired, "auth-required"),
        (Self::Unsupported, "unsupported"),
        (Self::Error, "error"),
    ];

    /// The word as it stands before the colon.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(prefix, _)| *prefix == self).map_or("error", |(_, text)| text)
    }

    /// Reads the prefix of an `OK` or `CLOSED` text; `None` when it has none that is known.
    pub fn of(text: &str) -> Option<Self> {
        let (word, _) = text.split_once(':')?;
        Self::ALL.iter().find(|(_, known)| *known == word).map(|(prefix, _)| *prefix)
    }

    /// `prefix: text`.
    pub fn message(self, text: impl fmt::Display) -> String {
        format!("{}: {text}", self.as_str())
    }
}

/// What a client says to a relay.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ClientMessage {
    /// Publish; the event's JSON text, not yet decoded.
    Event(Box<RawValue>),
    /// Open or replace a subscription.
    Req {
        /// The client's name for it.
        subscription: String,
        /// Alternatives.
        filters: Vec<Filter>,
    },
    /// Close a subscription.
    Close {
        /// The client's name for it.
        subscription: String,
    },
    /// Count matching events (NIP-45).
    Count {
        /// The client's name for the question.
        subscription: String,
        /// Alternatives.
        filters: Vec<Filter>,
    },
    /// Answer to an authentication challenge (NIP-42); the event's JSON text.
    Auth(Box<RawValue>),
    /// Begin to reconcile the events that answer a filter (NIP-77).
    NegOpen {
        /// The client's name for it.
        subscription: String,
        /// What is reconciled.
        filter: Filter,
        /// The first negentropy message.
        message: Vec<u8>,
    },
    /// The next step of a reconciliation (NIP-77).
    NegMsg {
        /// The client's name for it.
        subscription: String,
        /// The negentropy message.
        message: Vec<u8>,
    },
    /// End a reconciliation (NIP-77).
    NegClose {
        /// The client's name for it.
        subscription: String,
    },
}

/// What a relay says with EOSE about the stored events that match (NIP-67).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoredHint {
    /// Nothing: there may be more.
    #[default]
    Unsaid,
    /// It has sent all of them.
    Finish,
    /// It has more.
    More,
}

impl StoredHint {
    /// Reads the third element of an EOSE. What is not known there, or contradicts itself, says
    /// nothing; it is never an error.
    fn of(hints: &RawValue) -> Self {
        let hints: Vec<serde_json::Value> = serde_json::from_str(hints.get()).unwrap_or_default();
        let has = |word: &str| hints.iter().any(|hint| hint == word);
        match (has("finish"), has("more")) {
            (true, false) => Self::Finish,
            (false, true) => Self::More,
            _ => Self::Unsaid,
        }
    }
}

/// What a relay says to a client.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum RelayMessage {
    /// An event that answers a subscription; its JSON text, not yet decoded.
    Event {
        /// Subscription.
        subscription: String,
        /// The event's JSON text.
        event: Box<RawValue>,
    },
    /// The fate of a published event.
    Ok {
        /// Its id.
        id: EventId,
        /// Whether the relay took it.
        accepted: bool,
        /// Reason, with a machine-readable prefix when refused.
        message: String,
    },
    /// All stored events were sent.
    Eose {
        /// Subscription.
        subscription: String,
        /// Whether there are more.
        stored: StoredHint,
    },
    /// The relay ended a subscription.
    Closed {
        /// Subscription.
        subscription: String,
        /// Reason with a machine-readable prefix.
        message: String,
    },
    /// A text for a person.
    Notice(String),
    /// An authentication challenge (NIP-42).
    Auth(String),
    /// Answer to a COUNT (NIP-45).
    Count {
        /// The question's name.
        subscription: String,
        /// Number of events.
        count: u64,
        /// Whether the number is an estimate.
        approximate: bool,
        /// The authors of these events, in a form that adds up over relays.
        hll: Option<Box<HyperLogLog>>,
    },
    /// The next step of a reconciliation (NIP-77).
    NegMsg {
        /// Subscription.
        subscription: String,
        /// The negentropy message.
        message: Vec<u8>,
    },
    /// The relay will not reconcile, or not go on with it (NIP-77).
    NegErr {
        /// Subscription.
        subscription: String,
        /// Reason with a machine-readable prefix: `blocked:` or `closed:`.
        message: String,
    },
}

/// The parts of an `EVENT` frame, where they stand in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventFrame<'f> {
    /// Subscription.
    pub subscription: &'f str,
    /// What stands in the event's place, from `{` to `}`. It is not looked into: whoever decodes
    /// it finds out whether it is one JSON object and nothing more.
    pub event: &'f str,
}

impl<'f> EventFrame<'f> {
    /// Finds the parts of a relay's `EVENT` frame without reading the event; `None` when the frame
    /// is another message, or spelled in a way that only [`RelayMessage::parse`] reads.
    ///
    /// Of a frame of three elements it finds the same parts as that. One that holds more between
    /// the event's first and last brace than an event gives a text that no decoder takes.
    pub fn find(frame: &'f str) -> Option<Self> {
        let rest = after(frame, '[')?.strip_prefix("\"EVENT\"")?;
        let rest = after(rest, ',')?.strip_prefix('"')?;
        let end = rest.bytes().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
        let (subscription, rest) = rest.split_at_checked(end)?;
        let event = after(rest.strip_prefix('"')?, ',')?;
        let event = event.trim_end_matches(SPACES).strip_suffix(']')?.trim_end_matches(SPACES);
        (event.starts_with('{') && event.ends_with('}')).then_some(Self { subscription, event })
    }
}

/// White space of JSON.
const SPACES: [char; 4] = [' ', '\t', '\n', '\r'];

/// What follows `sign`, without the white space around it.
fn after(text: &str, sign: char) -> Option<&str> {
    Some(text.trim_start_matches(SPACES).strip_prefix(sign)?.trim_start_matches(SPACES))
}

type Parts<'a> = std::slice::Iter<'a, &'a RawValue>;

fn parts(frame: &str) -> Result<(String, Vec<&RawValue>), MessageError> {
    let parts: Vec<&RawValue> = match serde_json::from_str(frame) {
        Ok(parts) => parts,
        Err(_) if is_json(frame.as_bytes()) => return Err(MessageError::NotAMessage),
        Err(_) => return Err(MessageError::NotJson),
    };
    let kind = parts
        .first()
        .and_then(|part| serde_json::from_str(part.get()).ok())
        .ok_or(MessageError::NotAMessage)?;
    Ok((kind, parts))
}

fn take<'a, T: Deserialize<'a>>(
    parts: &mut Parts<'a>,
    kind: &'static str,
    what: &str,
) -> Result<T, MessageError> {
    let part = parts
        .next()
        .ok_or_else(|| MessageError::Malformed { kind, problem: format!("{what} is missing") })?;
    serde_json::from_str(part.get())
        .map_err(|error| MessageError::Malformed { kind, problem: format!("{what}: {error}") })
}

fn take_raw(
    parts: &mut Parts<'_>,
    kind: &'static str,
    what: &str,
) -> Result<Box<RawValue>, MessageError> {
    parts
        .next()
        .map(|part| (*part).to_owned())
        .ok_or_else(|| MessageError::Malformed { kind, problem: format!("{what} is missing") })
}

fn take_subscription(parts: &mut Parts<'_>, kind: &'static str) -> Result<String, MessageError> {
    let id: String = take(parts, kind, "subscription id")?;
    let chars = id.chars().count();
    if chars == 0 || chars > SUBSCRIPTION_ID_MAX_CHARS {
        return Err(MessageError::Malformed {
            kind,
            problem: format!(
                "subscription id has {chars} characters, allowed are 1 to \
                 {SUBSCRIPTION_ID_MAX_CHARS}"
            ),
        });
    }
    Ok(id)
}

fn take_filters(parts: &mut Parts<'_>, kind: &'static str) -> Result<Vec<Filter>, MessageError> {
    let mut filters = Vec::with_capacity(parts.len());
    while parts.len() > 0 {
        filters.push(take(parts, kind, "filter")?);
    }
    if filters.is_empty() {
        return Err(MessageError::Malformed { kind, problem: "filter is missing".to_owned() });
    }
    Ok(filters)
}

/// A negentropy message: hex in either case, at most [`NEG_MESSAGE_MAX_BYTES`].
fn take_neg(parts: &mut Parts<'_>, kind: &'static str) -> Result<Vec<u8>, MessageError> {
    let text: String = take(parts, kind, "message")?;
    let malformed = |problem| MessageError::Malformed { kind, problem };
    if text.is_empty() {
        return Err(malformed("message is empty".to_owned()));
    }
    if text.len() / 2 > NEG_MESSAGE_MAX_BYTES {
        return Err(malformed(format!(
            "message has {} bytes, allowed are {NEG_MESSAGE_MAX_BYTES}",
            text.len() / 2
        )));
    }
    hex::decode(text).map_err(|error| malformed(format!("message is not hex: {error}")))
}

/// Nothing may follow.
fn end(parts: &Parts<'_>, kind: &'static str) -> Result<(), MessageError> {
    match parts.len() {
        0 => Ok(()),
        more => Err(MessageError::Malformed { kind, problem: format!("{more} parts too many") }),
    }
}

impl ClientMessage {
    /// Reads a frame.
    ///
    /// # Errors
    /// See [`MessageError`]; the text is fit to be sent back in a `NOTICE`.
    pub fn parse(frame: &str) -> Result<Self, MessageError> {
        let (kind, all) = parts(frame)?;
        let parts = &mut all[1..].iter();
        Ok(match kind.as_str() {
            "EVENT" => Self::Event(take_raw(parts, "EVENT", "event")?),
            "REQ" => Self::Req {
                subscription: take_subscription(parts, "REQ")?,
                filters: take_filters(parts, "REQ")?,
            },
            "CLOSE" => Self::Close { subscription: take_subscription(parts, "CLOSE")? },
            "COUNT" => Self::Count {
                subscription: take_subscription(parts, "COUNT")?,
                filters: take_filters(parts, "COUNT")?,
            },
            "AUTH" => Self::Auth(take_raw(parts, "AUTH", "event")?),
            "NEG-OPEN" => {
                let subscription = take_subscription(parts, "NEG-OPEN")?;
                let filter = take(parts, "NEG-OPEN", "filter")?;
                let message = take_neg(parts, "NEG-OPEN")?;
                end(parts, "NEG-OPEN")?;
                Self::NegOpen { subscription, filter, message }
            }
            "NEG-MSG" => {
                let subscription = take_subscription(parts, "NEG-MSG")?;
                let message = take_neg(parts, "NEG-MSG")?;
                end(parts, "NEG-MSG")?;
                Self::NegMsg { subscription, message }
            }
            "NEG-CLOSE" => {
                let subscription = take_subscription(parts, "NEG-CLOSE")?;
                end(parts, "NEG-CLOSE")?;
                Self::NegClose { subscription }
            }
            _ => return Err(MessageError::UnknownType(kind)),
        })
    }

    /// The frame that begins to reconcile what answers `filter` (NIP-77).
    pub fn neg_open_frame(subscription: &str, filter: &Filter, message: &[u8]) -> String {
        json(&("NEG-OPEN", subscription, filter, hex::encode(message)))
    }

    /// The frame with the next step of a reconciliation (NIP-77).
    pub fn neg_msg_frame(subscription: &str, message: &[u8]) -> String {
        json(&("NEG-MSG", subscription, hex::encode(message)))
    }

    /// The frame that ends a reconciliation (NIP-77).
    pub fn neg_close_frame(subscription: &str) -> String {
        json(&("NEG-CLOSE", subscription))
    }

    /// The frame that publishes `event`.
    pub fn event_frame(event: &Event) -> String {
        format!(r#"["EVENT",{}]"#, event.to_json())
    }

    /// The frame that opens a subscription with all `filters` (one REQ, NIP-01).
    pub fn req_frame(subscription: &str, filters: &[Filter]) -> String {
        frame_with_filters("REQ", subscription, filters)
    }

    /// The frame that asks for a count (NIP-45).
    pub fn count_frame(subscription: &str, filters: &[Filter]) -> String {
        frame_with_filters("COUNT", subscription, filters)
    }

    /// The frame that answers an authentication challenge (NIP-42).
    pub fn auth_frame(event: &Event) -> String {
        format!(r#"["AUTH",{}]"#, event.to_json())
    }

    /// The frame that closes a subscription.
    pub fn close_frame(subscription: &str) -> String {
        json(&("CLOSE", subscription))
    }
}

fn frame_with_filters(kind: &str, subscription: &str, filters: &[Filter]) -> String {
    let mut frame = format!("[\"{kind}\",{}", json(&subscription));
    for filter in filters {
        frame.push(',');
        frame.push_str(&json(filter));
    }
    frame.push(']');
    frame
}

fn json(value: &impl Serialize) -> String {
    // Only strings, numbers and maps with string keys come here: they always serialise.
    serde_json::to_string(value).unwrap_or_default()
}

impl RelayMessage {
    /// Reads a frame.
    ///
    /// # Errors
    /// See [`MessageError`].
    pub fn parse(frame: &str) -> Result<Self, MessageError> {
        let (kind, all) = parts(frame)?;
        let parts = &mut all[1..].iter();
        Ok(match kind.as_str() {
            "EVENT" => Self::Event {
                subscription: take(parts, "EVENT", "subscription id")?,
                event: take_raw(parts, "EVENT", "event")?,
            },
            "OK" => Self::Ok {
                id: take(parts, "OK", "event id")?,
                accepted: take(parts, "OK", "accepted")?,
                message: match parts.len() {
                    0 => String::new(),
                    _ => take(parts, "OK", "message")?,
                },
            },
            "EOSE" => Self::Eose {
                subscription: take(parts, "EOSE", "subscription id")?,
                stored: parts.next().map_or(StoredHint::Unsaid, |hints| StoredHint::of(hints)),
            },
            "CLOSED" => Self::Closed {
                subscription: take(parts, "CLOSED", "subscription id")?,
                message: match parts.len() {
                    0 => String::new(),
                    _ => take(parts, "CLOSED", "message")?,
                },
            },
            "NOTICE" => Self::Notice(take(parts, "NOTICE", "text")?),
            "AUTH" => Self::Auth(take(parts, "AUTH", "challenge")?),
            "COUNT" => {
                #[derive(Deserialize)]
                struct Answer {
                    count: u64,
                    #[serde(default)]
                    approximate: bool,
                    hll: Option<String>,
                }
                let subscription = take(parts, "COUNT", "subscription id")?;
                // Serde would read the struct from an array as well.
                if parts.as_slice().first().is_some_and(|part| !part.get().starts_with('{')) {
                    return Err(MessageError::Malformed {
                        kind: "COUNT",
                        problem: "answer is no object".to_owned(),
                    });
                }
                let Answer { count, approximate, hll } = take(parts, "COUNT", "answer")?;
                // The number counts without registers, and what is no registers says nothing.
                let hll = hll.and_then(|hll| HyperLogLog::from_hex(&hll)).map(Box::new);
                Self::Count { subscription, count, approximate, hll }
            }
            "NEG-MSG" => {
                let subscription = take(parts, "NEG-MSG", "subscription id")?;
                let message = take_neg(parts, "NEG-MSG")?;
                end(parts, "NEG-MSG")?;
                Self::NegMsg { subscription, message }
            }
            // Some relays say more than the reason; what follows is of no use.
            "NEG-ERR" => Self::NegErr {
                subscription: take(parts, "NEG-ERR", "subscription id")?,
                message: take(parts, "NEG-ERR", "reason")?,
            },
            _ => return Err(MessageError::UnknownType(kind)),
        })
    }

    /// The frame as text.
    pub fn to_frame(&self) -> String {
        match self {
            Self::Event { subscription, event } => Self::event_frame(subscription, event.get()),
            Self::Ok { id, accepted, message } => json(&("OK", id, accepted, message)),
            Self::Eose { subscription, stored } => match stored {
                StoredHint::Unsaid => json(&("EOSE", subscription)),
                StoredHint::Finish => json(&("EOSE", subscription, ["finish"])),
                StoredHint::More => json(&("EOSE", subscription, ["more"])),
            },
            Self::Closed { subscription, message } => json(&("CLOSED", subscription, message)),
            Self::Notice(text) => json(&("NOTICE", text)),
            Self::Auth(challenge) => json(&("AUTH", challenge)),
            Self::Count { subscription, count, approximate, hll } => {
                let mut answer = serde_json::json!({ "count": count });
                if *approximate {
                    answer["approximate"] = true.into();
                }
                if let Some(hll) = hll {
                    answer["hll"] = hll.to_hex().into();
                }
                json(&("COUNT", subscription, answer))
            }
            Self::NegMsg { subscription, message } => {
                json(&("NEG-MSG", subscription, hex::encode(message)))
            }
            Self::NegErr { subscription, message } => json(&("NEG-ERR", subscription, message)),
        }
    }

    /// An `EVENT` frame around an event that already is JSON text.
    pub fn event_frame(subscription: &str, event_json: &str) -> String {
        format!(r#"["EVENT",{},{event_json}]"#, json(&subscription))
    }
}
