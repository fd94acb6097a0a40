//! Frames in both directions.
#![allow(clippy::unwrap_used)]

mod common;

use common::{any_event, event, text};
use nipworker_protocol::{
    ClientMessage, Event, EventId, EventLimits, Filter, HyperLogLog, MachinePrefix, MessageError,
    NEG_MESSAGE_MAX_BYTES, RelayMessage, SUBSCRIPTION_ID_MAX_CHARS, StoredHint,
};
use proptest::prelude::*;

fn decode(raw: &serde_json::value::RawValue) -> Event {
    Event::from_json(raw.get().as_bytes(), &EventLimits::default()).unwrap()
}

#[test]
fn frames_of_clients_survive_writing_and_reading() {
    let filters = vec![Filter::new().kinds([1]), Filter::new().tag('e', ["x\"y"]).limit(5)];
    match ClientMessage::parse(&ClientMessage::event_frame(&event())).unwrap() {
        ClientMessage::Event(raw) => assert_eq!(decode(&raw), event()),
        other => panic!("{other:?}"),
    }
    match ClientMessage::parse(&ClientMessage::req_frame("a\"b", &filters)).unwrap() {
        ClientMessage::Req { subscription, filters: got } => {
            assert_eq!((subscription.as_str(), got), ("a\"b", filters.clone()));
        }
        other => panic!("{other:?}"),
    }
    match ClientMessage::parse(&ClientMessage::count_frame("c", &filters)).unwrap() {
        ClientMessage::Count { subscription, filters: got } => {
            assert_eq!((subscription.as_str(), got), ("c", filters));
        }
        other => panic!("{other:?}"),
    }
    match ClientMessage::parse(&ClientMessage::close_frame("d")).unwrap() {
        ClientMessage::Close { subscription } => assert_eq!(subscription, "d"),
        other => panic!("{other:?}"),
    }
    let auth = format!(r#" [ "AUTH" , {} ] "#, event().to_json());
    match ClientMessage::parse(&auth).unwrap() {
        ClientMessage::Auth(raw) => assert_eq!(decode(&raw), event()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_answers_of_relays_are_written_as_nip_01_shows_them() {
    let id = EventId::from_bytes([1; 32]);
    let hex = "01".repeat(32);
    for (frame, message) in [
        (
            format!(r#"["OK","{hex}",false,"blocked: no \"entry\""]"#),
            RelayMessage::Ok { id, accepted: false, message: "blocked: no \"entry\"".into() },
        ),
        (
            r#"["EOSE","s"]"#.to_owned(),
            RelayMessage::Eose { subscription: "s".into(), stored: StoredHint::Unsaid },
        ),
        (
            r#"["EOSE","s",["finish"]]"#.to_owned(),
            RelayMessage::Eose { subscription: "s".into(), stored: StoredHint::Finish },
        ),
        (
            r#"["EOSE","s",["more"]]"#.to_owned(),
            RelayMessage::Eose { subscription: "s".into(), stored: StoredHint::More },
        ),
        (
            r#"["CLOSED","s","error: shutting down"]"#.to_owned(),
            RelayMessage::Closed {
                subscription: "s".into(),
                message: "error: shutting down".into(),
            },
        ),
        (r#"["NOTICE","é"]"#.to_owned(), RelayMessage::Notice("é".into())),
        (r#"["AUTH","challenge"]"#.to_owned(), RelayMessage::Auth("challenge".into())),
        (
            r#"["COUNT","s",{"count":7}]"#.to_owned(),
            RelayMessage::Count {
                subscription: "s".into(),
                count: 7,
                approximate: false,
                hll: None,
            },
        ),
        (
            format!(r#"["COUNT","s",{{"count":7,"hll":"{}"}}]"#, "07".repeat(256)),
            RelayMessage::Count {
                subscription: "s".into(),
                count: 7,
                approximate: false,
                hll: HyperLogLog::from_bytes(&[7; 256]).map(Box::new),
            },
        ),
        (
            r#"["COUNT","s",{"approximate":true,"count":7}]"#.to_owned(),
            RelayMessage::Count {
                subscription: "s".into(),
                count: 7,
                approximate: true,
                hll: None,
            },
        ),
    ] {
        assert_eq!(format!("{:?}", RelayMessage::parse(&frame).unwrap()), format!("{message:?}"));
        let written: serde_json::Value = serde_json::from_str(&message.to_frame()).unwrap();
        assert_eq!(written, serde_json::from_str::<serde_json::Value>(&frame).unwrap());
    }
    let frame = RelayMessage::event_frame("s\"x", &event().to_json());
    match RelayMessage::parse(&frame).unwrap() {
        RelayMessage::Event { subscription, event: raw } => {
            assert_eq!((subscription.as_str(), decode(&raw)), ("s\"x", event()));
            assert_eq!(RelayMessage::Event { subscription, event: raw }.to_frame(), frame);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_absent_text_of_ok_and_closed_is_an_empty_one() {
    let ok = format!(r#"["OK","{}",true]"#, "01".repeat(32));
    assert!(matches!(
        RelayMessage::parse(&ok).unwrap(),
        RelayMessage::Ok { accepted: true, message, .. } if message.is_empty()
    ));
    assert!(matches!(
        RelayMessage::parse(r#"["CLOSED","s"]"#).unwrap(),
        RelayMessage::Closed { message, .. } if message.is_empty()
    ));
}

#[test]
fn what_is_no_message_is_told_apart() {
    for frame in ["", " ", "hello", "[", "[1,", "{", "\"x", "['REQ']", "[\"REQ\"]]", "\u{feff}[]"] {
        assert_eq!(RelayMessage::parse(frame).unwrap_err(), MessageError::NotJson, "{frame:?}");
        assert_eq!(ClientMessage::parse(frame).unwrap_err(), MessageError::NotJson, "{frame:?}");
    }
    for frame in ["{}", "[]", "null", "1", "\"REQ\"", "[1]", "[null,\"s\"]", "[[\"REQ\"]]"] {
        assert_eq!(RelayMessage::parse(frame).unwrap_err(), MessageError::NotAMessage, "{frame}");
        assert_eq!(ClientMessage::parse(frame).unwrap_err(), MessageError::NotAMessage, "{frame}");
    }
    let unknown = |name: &str| MessageError::UnknownType(name.to_owned());
    assert_eq!(RelayMessage::parse(r#"["HELLO","s","00"]"#).unwrap_err(), unknown("HELLO"));
    assert_eq!(RelayMessage::parse(r#"["REQ","s",{}]"#).unwrap_err(), unknown("REQ"));
    assert_eq!(ClientMessage::parse(r#"["EOSE","s"]"#).unwrap_err(), unknown("EOSE"));
    assert_eq!(ClientMessage::parse(r#"["req","s",{}]"#).unwrap_err(), unknown("req"));
}

#[test]
fn a_part_that_is_missing_or_wrong_is_named() {
    let long = "x".repeat(SUBSCRIPTION_ID_MAX_CHARS + 1);
    for (frame, names) in [
        (r#"["EVENT"]"#.to_owned(), "event is missing"),
        (r#"["REQ"]"#.to_owned(), "subscription id is missing"),
        (r#"["REQ","s"]"#.to_owned(), "filter is missing"),
        (r#"["REQ",5,{}]"#.to_owned(), "subscription id"),
        (r#"["REQ","",{}]"#.to_owned(), "0 characters"),
        (format!(r#"["REQ","{long}",{{}}]"#), "65 characters"),
        (r#"["REQ","s",[]]"#.to_owned(), "filter"),
        (r#"["REQ","s",{},{"kind":[1]}]"#.to_owned(), "unknown filter key"),
        (r#"["REQ","s",{"kinds":[1],"kinds":[2]}]"#.to_owned(), "given twice"),
        (r#"["CLOSE"]"#.to_owned(), "subscription id is missing"),
        (r#"["COUNT","s"]"#.to_owned(), "filter is missing"),
        (r#"["AUTH"]"#.to_owned(), "event is missing"),
    ] {
        let error = ClientMessage::parse(&frame).unwrap_err().to_string();
        assert!(error.contains(names), "{frame}: {error}");
    }
    for (frame, names) in [
        (r#"["EVENT","s"]"#, "event is missing"),
        (r#"["EVENT"]"#, "subscription id is missing"),
        (r#"["OK","00",true,""]"#, "event id"),
        (r#"["OK"]"#, "event id is missing"),
        (r#"["EOSE"]"#, "subscription id is missing"),
        (r#"["EOSE",7]"#, "subscription id"),
        (r#"["CLOSED","s",7]"#, "message"),
        (r#"["NOTICE"]"#, "text is missing"),
        (r#"["NOTICE",{}]"#, "text"),
        (r#"["AUTH",{}]"#, "challenge"),
        (r#"["COUNT","s"]"#, "answer is missing"),
        (r#"["COUNT","s",{"count":-1}]"#, "answer"),
        (r#"["COUNT","s",[5]]"#, "answer is no object"),
    ] {
        let error = RelayMessage::parse(frame).unwrap_err().to_string();
        assert!(error.contains(names), "{frame}: {error}");
    }
    let id = "01".repeat(32);
    let error = RelayMessage::parse(&format!(r#"["OK","{id}"]"#)).unwrap_err().to_string();
    assert!(error.contains("accepted is missing"), "{error}");
    let error = RelayMessage::parse(&format!(r#"["OK","{id}","yes"]"#)).unwrap_err().to_string();
    assert!(error.contains("accepted"), "{error}");
}

#[test]
fn the_length_of_a_subscription_id_counts_characters() {
    let id = "漢".repeat(SUBSCRIPTION_ID_MAX_CHARS);
    assert!(ClientMessage::parse(&ClientMessage::close_frame(&id)).is_ok());
    assert!(ClientMessage::parse(&ClientMessage::close_frame(&format!("{id}x"))).is_err());
}

#[test]
fn an_event_inside_a_frame_is_left_as_it_stands() {
    let odd = r#"{ "content" : "\u0041", "x":[ 1 , {"deep":[[[]]]} ] }"#;
    let frame = format!(r#"["EVENT","s",{odd}]"#);
    match RelayMessage::parse(&frame).unwrap() {
        RelayMessage::Event { event, .. } => assert_eq!(event.get(), odd),
        other => panic!("{other:?}"),
    }
}

#[test]
fn deep_frames_do_not_overflow_the_stack() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for frame in [
        deep.clone(),
        "[".repeat(300_000),
        format!(r#"["EVENT","s",{deep}]"#),
        format!(r#"["NOTICE",{deep}]"#),
        format!(r#"["REQ","s",{{"ids":{deep}}}]"#),
    ] {
        _ = RelayMessage::parse(&frame);
        assert!(ClientMessage::parse(&frame).is_err() || frame.starts_with(r#"["EVENT""#));
    }
}

#[test]
fn machine_prefixes_survive_and_others_are_none() {
    for prefix in [
        MachinePrefix::Duplicate,
        MachinePrefix::Pow,
        MachinePrefix::Blocked,
        MachinePrefix::RateLimited,
        MachinePrefix::Invalid,
        MachinePrefix::Restricted,
        MachinePrefix::Mute,
        MachinePrefix::AuthRequired,
        MachinePrefix::Unsupported,
        MachinePrefix::Error,
    ] {
        let message = prefix.message("x: y");
        assert_eq!(message, format!("{}: x: y", prefix.as_str()));
        assert_eq!(MachinePrefix::of(&message), Some(prefix));
    }
    for text in ["", "duplicate", "Duplicate: x", " duplicate: x", "dup: x", ": x"] {
        assert_eq!(MachinePrefix::of(text), None, "{text:?}");
    }
}

#[test]
fn steps_of_a_reconciliation_pass_through_frames_unchanged() {
    let (name, filter, bytes) = ("n1", Filter::new().kinds([1]), vec![0x61, 0x00, 0xff]);
    match ClientMessage::parse(&ClientMessage::neg_open_frame(name, &filter, &bytes)).unwrap() {
        ClientMessage::NegOpen { subscription, filter: got, message } => {
            assert_eq!((subscription.as_str(), got, message), (name, filter, bytes.clone()));
        }
        other => panic!("{other:?}"),
    }
    match ClientMessage::parse(&ClientMessage::neg_msg_frame(name, &bytes)).unwrap() {
        ClientMessage::NegMsg { subscription, message } => {
            assert_eq!((subscription.as_str(), message), (name, bytes.clone()));
        }
        other => panic!("{other:?}"),
    }
    match ClientMessage::parse(&ClientMessage::neg_close_frame(name)).unwrap() {
        ClientMessage::NegClose { subscription } => assert_eq!(subscription, name),
        other => panic!("{other:?}"),
    }
    let said = RelayMessage::NegMsg { subscription: name.to_owned(), message: bytes.clone() };
    assert_eq!(said.to_frame(), r#"["NEG-MSG","n1","6100ff"]"#);
    for frame in [said.to_frame(), r#"["NEG-MSG","n1","6100FF"]"#.to_owned()] {
        match RelayMessage::parse(&frame).unwrap() {
            RelayMessage::NegMsg { subscription, message } => {
                assert_eq!((subscription.as_str(), &message), (name, &bytes));
            }
            other => panic!("{other:?}"),
        }
    }
    let frame = r#"["NEG-ERR","n1","blocked: this query is too big"]"#;
    match RelayMessage::parse(frame).unwrap() {
        RelayMessage::NegErr { subscription, message } => {
            assert_eq!((&*subscription, &*message), (name, "blocked: this query is too big"));
            assert_eq!(RelayMessage::NegErr { subscription, message }.to_frame(), frame);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_reconciliation_frame_that_is_not_exact_is_refused() {
    let long = "00".repeat(NEG_MESSAGE_MAX_BYTES + 1);
    let problem = |error: MessageError| match error {
        MessageError::Malformed { problem, .. } => problem,
        other => panic!("{other:?}"),
    };
    for (parts, words) in [
        (r#""n""#, "message is missing"),
        (r#""n","""#, "message is empty"),
        (r#""n","6""#, "not hex"),
        (r#""n","6g""#, "not hex"),
        (r#""n",61"#, "message"),
        (r#""n","61","61""#, "1 parts too many"),
        (r#"7,"61""#, "subscription id"),
    ] {
        let frame = format!(r#"["NEG-MSG",{parts}]"#);
        for error in [
            RelayMessage::parse(&frame).map(drop).unwrap_err(),
            ClientMessage::parse(&frame).map(drop).unwrap_err(),
        ] {
            let problem = problem(error);
            assert!(problem.contains(words), "{frame}: {problem}");
        }
    }
    let frame = format!(r#"["NEG-MSG","n","{long}"]"#);
    let error = problem(RelayMessage::parse(&frame).map(drop).unwrap_err());
    assert!(error.contains("1048577 bytes"), "{error}");
    for frame in [
        r#"["NEG-OPEN","n"]"#,
        r#"["NEG-OPEN","n",{"kinds":"x"},"61"]"#,
        r#"["NEG-OPEN","n",{}]"#,
        r#"["NEG-OPEN","",{},"61"]"#,
        r#"["NEG-CLOSE"]"#,
        r#"["NEG-CLOSE","n","more"]"#,
    ] {
        assert!(ClientMessage::parse(frame).is_err(), "{frame}");
    }
    for frame in [r#"["NEG-ERR","n"]"#, r#"["NEG-ERR","n",null]"#, r#"["NEG-OPEN","n",{},"61"]"#] {
        assert!(RelayMessage::parse(frame).is_err(), "{frame}");
    }
}

proptest! {
    #[test]
    fn any_text_is_a_frame_or_an_error(frame in ".{0,200}") {
        _ = ClientMessage::parse(&frame);
        _ = RelayMessage::parse(&frame);
    }

    #[test]
    fn any_json_after_a_known_type_is_a_frame_or_an_error(
        kind in prop::sample::select(vec![
            "EVENT", "REQ", "CLOSE", "COUNT", "AUTH", "OK", "EOSE", "CLOSED", "NOTICE",
            "NEG-OPEN", "NEG-MSG", "NEG-CLOSE", "NEG-ERR",
        ]),
        parts in proptest::collection::vec(
            prop::sample::select(vec![
                "1", "null", "\"s\"", "{}", "[]", "true", "\"\"", "{\"kinds\":[1]}", "-1e999",
                "{\"count\":1}", "[\"s\"]",
            ]),
            0..5,
        ),
    ) {
        let frame = format!("[\"{kind}\"{}{}]", if parts.is_empty() { "" } else { "," }, parts.join(","));
        _ = ClientMessage::parse(&frame);
        _ = RelayMessage::parse(&frame);
    }

    #[test]
    fn texts_and_events_pass_through_frames_unchanged(event in any_event(), text in text()) {
        let frame = RelayMessage::event_frame(&text, &event.to_json());
        match RelayMessage::parse(&frame).unwrap() {
            RelayMessage::Event { subscription, event: raw } => {
                prop_assert_eq!(subscription, text.clone());
                prop_assert_eq!(decode(&raw), event.clone());
            }
            other => prop_assert!(false, "{:?}", other),
        }
        let message = RelayMessage::Ok { id: event.id, accepted: true, message: text.clone() };
        match RelayMessage::parse(&message.to_frame()).unwrap() {
            RelayMessage::Ok { message, .. } => prop_assert_eq!(message, text),
            other => prop_assert!(false, "{:?}", other),
        }
    }
}

#[test]
fn what_an_eose_says_beyond_the_known_hints_says_nothing() {
    for (third, expected) in [
        (r#"["auth","more",7]"#, StoredHint::More),
        (r#"["finish","more"]"#, StoredHint::Unsaid),
        (r#"["FINISH"]"#, StoredHint::Unsaid),
        ("[]", StoredHint::Unsaid),
        (r#""finish""#, StoredHint::Unsaid),
        ("{}", StoredHint::Unsaid),
    ] {
        let frame = format!(r#"["EOSE","s",{third}]"#);
        let RelayMessage::Eose { stored, .. } = RelayMessage::parse(&frame).unwrap() else {
            panic!("{frame}");
        };
        assert_eq!(stored, expected, "{third}");
    }
}
