//! From a client's frame to something that can be worked on, or to the answer that refuses it.

use nipworker_protocol::{
    ClientMessage, Event, EventId, EventLimits, Filter, MachinePrefix, MessageError, RelayMessage,
};
use serde_json::value::RawValue;

use crate::config::WebSocketConfig;

/// A client's wish, checked against the limits.
#[derive(Debug)]
pub(super) enum Request {
    /// Publish.
    Event(Box<Event>),
    /// Open or replace a subscription.
    Req {
        /// The client's name for it.
        subscription: String,
        /// Checked, with `limit` set.
        filters: Vec<Filter>,
    },
    /// Close a subscription.
    Close {
        /// The client's name for it.
        subscription: String,
    },
    /// Begin a reconciliation, or begin it again.
    NegOpen {
        /// The client's name for it.
        subscription: String,
        /// Checked.
        filter: Filter,
        /// The first message.
        message: Vec<u8>,
    },
    /// Go on with it.
    NegMessage {
        /// The client's name for it.
        subscription: String,
        /// The next message.
        message: Vec<u8>,
    },
    /// End it.
    NegClose {
        /// The client's name for it.
        subscription: String,
    },
    /// Count.
    Count {
        /// The client's name for the question.
        subscription: String,
        /// Checked.
        filters: Vec<Filter>,
    },
}

/// A frame that is not worked on.
#[derive(Debug)]
pub(super) struct Refused {
    /// What the client is told.
    pub(super) answer: RelayMessage,
    /// Why.
    pub(super) fault: Fault,
}

/// Why a frame is not worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Malformed, or over a limit.
    Bad,
    /// An event that cannot be one.
    BadEvent,
    /// An event that is well-formed and not taken: from too far ahead in time, which may be a clock
    /// that is wrong, or protected (NIP-70).
    NotTaken,
    /// A verb that this relay does not know.
    Unknown,
}

/// How far ahead of this machine's clock an event may be dated, in seconds: a day forgives clocks
/// that are set to the wrong zone. Advertised as `created_at_upper_limit` (NIP-11); holds for the
/// relay face, not for the API, through which whoever runs this may restore what they have.
pub(crate) const CREATED_AT_UPPER_LIMIT_SECONDS: u64 = 24 * 3600;

/// Reads a frame at `now` in unix seconds. Which subscriptions are open is not known here.
pub(super) fn read(
    frame: &str,
    limits: &WebSocketConfig,
    events: &EventLimits,
    now: u64,
) -> Result<Request, Refused> {
    match ClientMessage::parse(frame) {
        Ok(ClientMessage::Event(raw)) => event(&raw, events, now),
        Ok(ClientMessage::Req { subscription, mut filters }) => {
            check(&subscription, &mut filters, limits)?;
            Ok(Request::Req { subscription, filters })
        }
        Ok(ClientMessage::Count { subscription, mut filters }) => {
            check(&subscription, &mut filters, limits)?;
            // A count is over all that is stored; the limit is about how much is sent.
            filters.iter_mut().for_each(|filter| filter.limit = None);
            Ok(Request::Count { subscription, filters })
        }
        Ok(ClientMessage::Close { subscription }) => Ok(Request::Close { subscription }),
        Ok(ClientMessage::NegOpen { subscription, mut filter, message }) => {
            // The limit is about how much is sent.
            let limit = filter.limit;
            check(&subscription, std::slice::from_mut(&mut filter), limits).map_err(as_neg)?;
            filter.limit = limit;
            Ok(Request::NegOpen { subscription, filter, message })
        }
        Ok(ClientMessage::NegMsg { subscription, message }) => {
            Ok(Request::NegMessage { subscription, message })
        }
        Ok(ClientMessage::NegClose { subscription }) => Ok(Request::NegClose { subscription }),
        Ok(_) => Err(Refused {
            answer: RelayMessage::Notice(
                MachinePrefix::Unsupported.message("this relay asks for no authentication"),
            ),
            fault: Fault::Unknown,
        }),
        Err(error @ MessageError::UnknownType(_)) => Err(Refused {
            answer: RelayMessage::Notice(MachinePrefix::Unsupported.message(error)),
            fault: Fault::Unknown,
        }),
        Err(error) => Err(malformed(frame, &error)),
    }
}

/// The same refusal in the words of NIP-77.
fn as_neg(refused: Refused) -> Refused {
    match refused.answer {
        RelayMessage::Closed { subscription, message } => {
            Refused { answer: RelayMessage::NegErr { subscription, message }, ..refused }
        }
        answer => Refused { answer, ..refused },
    }
}

fn event(raw: &RawValue, limits: &EventLimits, now: u64) -> Result<Request, Refused> {
    let event = Event::from_json(raw.get().as_bytes(), limits).map_err(|error| {
        let message = MachinePrefix::Invalid.message(error);
        let answer = match stated_id(raw) {
            Some(id) => RelayMessage::Ok { id, accepted: false, message },
            None => RelayMessage::Notice(message),
        };
        Refused { answer, fault: Fault::BadEvent }
    })?;
    let ahead = u64::try_from(event.created_at).unwrap_or_default().saturating_sub(now);
    if ahead > CREATED_AT_UPPER_LIMIT_SECONDS {
        let message = MachinePrefix::Invalid.message(format_args!(
            "created_at is {ahead} seconds ahead, the limit is {CREATED_AT_UPPER_LIMIT_SECONDS}"
        ));
        let answer = RelayMessage::Ok { id: event.id, accepted: false, message };
        return Err(Refused { answer, fault: Fault::NotTaken });
    }
    if event.is_protected() {
        // Nobody authenticates here, so nobody is known to be the author. The API is for whoever runs
        // this, and takes it.
        let message = MachinePrefix::Blocked
            .message("the event is protected (NIP-70) and this relay asks for no authentication");
        let answer = RelayMessage::Ok { id: event.id, accepted: false, message };
        return Err(Refused { answer, fault: Fault::NotTaken });
    }
    Ok(Request::Event(Box::new(event)))
}

/// The id of something that is no event otherwise, so that the client learns which one.
fn stated_id(raw: &RawValue) -> Option<EventId> {
    #[derive(serde::Deserialize)]
    struct OnlyId {
        id: EventId,
    }
    serde_json::from_str::<OnlyId>(raw.get()).ok().map(|only| only.id)
}

fn check(
    subscription: &str,
    filters: &mut [Filter],
    limits: &WebSocketConfig,
) -> Result<(), Refused> {
    let refuse = |prefix: MachinePrefix, message: String| Refused {
        answer: RelayMessage::Closed {
            subscription: subscription.to_owned(),
            message: prefix.message(message),
        },
        fault: Fault::Bad,
    };
    let chars = subscription.chars().count();
    if chars > limits.max_subscription_id_chars {
        return Err(refuse(
            MachinePrefix::Invalid,
            format!(
                "subscription id of {chars} characters is longer than the limit of {}",
                limits.max_subscription_id_chars
            ),
        ));
    }
    if filters.iter().any(|filter| filter.search.is_some()) {
        return Err(refuse(MachinePrefix::Unsupported, NO_SEARCH.to_owned()));
    }
    limits
        .filter_limits()
        .apply(filters)
        .map_err(|error| refuse(MachinePrefix::Invalid, error.to_string()))
}

/// What is said to a filter with `search`.
pub(crate) const NO_SEARCH: &str = "search (NIP-50) is not offered here";

/// A frame with a subscription id that can be read gets `CLOSED`, any other a `NOTICE`.
fn malformed(frame: &str, error: &MessageError) -> Refused {
    let subscription = match error {
        MessageError::Malformed { kind: "REQ" | "COUNT" | "NEG-OPEN" | "NEG-MSG", .. } => {
            subscription_of(frame)
        }
        _ => None,
    };
    let prefix = if has_unknown_condition(frame) {
        MachinePrefix::Unsupported
    } else {
        MachinePrefix::Invalid
    };
    let answer = match subscription {
        Some(subscription) => RelayMessage::Closed { subscription, message: prefix.message(error) },
        None => RelayMessage::Notice(prefix.message(error)),
    };
    let refused = Refused { answer, fault: Fault::Bad };
    match error {
        MessageError::Malformed { kind: "NEG-OPEN" | "NEG-MSG", .. } => as_neg(refused),
        _ => refused,
    }
}

fn subscription_of(frame: &str) -> Option<String> {
    let parts: Vec<&RawValue> = serde_json::from_str(frame).ok()?;
    serde_json::from_str(parts.get(1)?.get()).ok()
}

/// Whether a filter was refused only for a condition that another relay may know.
fn has_unknown_condition(frame: &str) -> bool {
    let Ok(parts) = serde_json::from_str::<Vec<&RawValue>>(frame) else { return false };
    parts.iter().skip(2).any(|part| {
        serde_json::from_str::<std::collections::HashMap<String, &RawValue>>(part.get())
            .is_ok_and(|filter| filter.keys().any(|key| !is_known_condition(key)))
    })
}

fn is_known_condition(key: &str) -> bool {
    let letter = key
        .strip_prefix('#')
        .is_some_and(|name| name.len() == 1 && name.bytes().all(|byte| byte.is_ascii_alphabetic()));
    letter || matches!(key, "ids" | "authors" | "kinds" | "since" | "until" | "limit" | "search")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn answer_to(frame: &str) -> (String, Fault) {
        match read(frame, &WebSocketConfig::default(), &EventLimits::default(), NOW) {
            Ok(request) => panic!("{frame} was understood as {request:?}"),
            Err(refused) => (refused.answer.to_frame(), refused.fault),
        }
    }

    #[test]
    fn a_req_gets_its_limit_and_a_count_none() {
        let limits = WebSocketConfig { max_limit: 7, ..WebSocketConfig::default() };
        let read = |frame| read(frame, &limits, &EventLimits::default(), NOW);
        match read(r#"["REQ","a",{"limit":3},{"limit":9},{}]"#) {
            Ok(Request::Req { filters, .. }) => {
                let limits: Vec<_> = filters.iter().map(|filter| filter.limit).collect();
                assert_eq!(limits, [Some(3), Some(7), Some(7)]);
            }
            other => panic!("{other:?}"),
        }
        match read(r#"["COUNT","a",{"limit":3}]"#) {
            Ok(Request::Count { filters, .. }) => assert_eq!(filters[0].limit, None),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_refused_req_is_closed_with_its_reason() {
        for (frame, reason) in [
            (r#"["REQ","a"]"#, "invalid: REQ: filter is missing"),
            (r#"["REQ","a",{"kinds":["x"]}]"#, "invalid: REQ: filter: invalid type"),
            (r#"["REQ","a",{"search":"x"}]"#, "unsupported: search (NIP-50)"),
            (r#"["REQ","a",{"&t":["x"]}]"#, "unsupported: REQ: filter: unknown filter key"),
            (r#"["COUNT","a",{"kinds":70000}]"#, "invalid: COUNT: filter: invalid type"),
        ] {
            let (answer, fault) = answer_to(frame);
            assert!(answer.starts_with(r#"["CLOSED","a",""#), "{answer}");
            assert!(answer.contains(reason), "{answer}");
            assert_eq!(fault, Fault::Bad);
        }
    }

    #[test]
    fn a_refused_reconciliation_gets_an_error_with_its_reason() {
        for (frame, reason) in [
            (r#"["NEG-OPEN","a",{"kinds":["x"]},"61"]"#, "invalid: NEG-OPEN: filter"),
            (r#"["NEG-OPEN","a",{"search":"x"},"61"]"#, "unsupported: search (NIP-50)"),
            (r#"["NEG-OPEN","a",{},"6"]"#, "invalid: NEG-OPEN: "),
            (r#"["NEG-MSG","a","xy"]"#, "invalid: NEG-MSG: "),
        ] {
            let (answer, fault) = answer_to(frame);
            assert!(answer.starts_with(r#"["NEG-ERR","a",""#), "{answer}");
            assert!(answer.contains(reason), "{answer}");
            assert_eq!(fault, Fault::Bad);
        }
        let frame = r#"["NEG-OPEN","a",{"kinds":[1],"limit":9},"61"]"#;
        match read(frame, &WebSocketConfig::default(), &EventLimits::default(), NOW) {
            Ok(Request::NegOpen { filter, message, .. }) => {
                assert_eq!((filter.limit, message), (Some(9), vec![0x61]));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_has_no_subscription_gets_a_notice() {
        for (frame, reason, fault) in [
            ("x", "invalid: frame is not JSON", Fault::Bad),
            ("{}", "invalid: frame is not an array", Fault::Bad),
            (r#"["REQ",5,{}]"#, "invalid: REQ: subscription id", Fault::Bad),
            (r#"["HELLO"]"#, "unsupported: unknown message type", Fault::Unknown),
            (r#"["AUTH",{}]"#, "unsupported: this relay asks", Fault::Unknown),
            (r#"["EVENT",{}]"#, "invalid: not an event: missing field", Fault::BadEvent),
        ] {
            let (answer, got) = answer_to(frame);
            assert!(answer.starts_with(r#"["NOTICE",""#), "{answer}");
            assert!(answer.contains(reason), "{answer}");
            assert_eq!(got, fault);
        }
    }

    #[test]
    fn a_broken_event_with_an_id_is_refused_by_that_id() {
        let id = "ab".repeat(32);
        let (answer, fault) = answer_to(&format!(r#"["EVENT",{{"id":"{id}","kind":1}}]"#));
        assert!(answer.starts_with(&format!(r#"["OK","{id}",false,"invalid: "#)), "{answer}");
        assert_eq!(fault, Fault::BadEvent);
    }

    #[test]
    fn deep_json_is_refused_and_does_not_exhaust_the_stack() {
        let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
        let (answer, _) = answer_to(&format!(r#"["EVENT",{deep}]"#));
        assert!(answer.contains("invalid: "), "{answer}");
        let (answer, _) = answer_to(&format!(r#"["REQ","a",{deep}]"#));
        assert!(answer.contains("invalid: "), "{answer}");
        answer_to(&deep);
    }

    #[test]
    fn too_many_filters_or_values_are_named_with_both_numbers() {
        let limits = WebSocketConfig {
            max_filters: 1,
            max_filter_values: 2,
            max_subscription_id_chars: 3,
            ..WebSocketConfig::default()
        };
        for (frame, reason) in [
            (r#"["REQ","a",{},{}]"#, "2 filters are more than the limit of 1"),
            (r#"["REQ","a",{"kinds":[1,2,3]}]"#, "3 values is over the limit of 2"),
            (r#"["REQ","abcd",{}]"#, "4 characters is longer than the limit of 3"),
        ] {
            match read(frame, &limits, &EventLimits::default(), NOW) {
                Err(refused) => {
                    let answer = refused.answer.to_frame();
                    assert!(answer.contains(reason), "{answer}");
                }
                Ok(request) => panic!("{request:?}"),
            }
        }
    }
}
