//! Frames of relays and of clients (NIP-01, 42, 45).

use nipworker_protocol::{
    ClientMessage, Event, EventFrame, EventLimits, MessageError, RelayMessage,
};
use serde_json::Value;
use serde_json::value::RawValue;

pub(super) fn run(bytes: &[u8]) {
    // A WebSocket hands over UTF-8 only.
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let parts = serde_json::from_str::<Vec<Box<RawValue>>>(text).ok();
    let kind = parts.as_deref().and_then(|parts| {
        serde_json::from_str::<Value>(parts.first()?.get()).ok()?.as_str().map(str::to_owned)
    });

    let said = RelayMessage::parse(text);
    if let Some(found) = EventFrame::find(text) {
        match &said {
            Ok(RelayMessage::Event { subscription, event })
                if parts.as_ref().is_some_and(|parts| parts.len() == 3) =>
            {
                assert_eq!((found.subscription, found.event), (subscription.as_str(), event.get()));
            }
            // What the reader of frames refuses, the reader of events refuses.
            _ => {
                let event = Event::from_json(found.event.as_bytes(), &EventLimits::default());
                assert!(event.is_err(), "an event was found in no EVENT frame");
            }
        }
    }
    agrees(said.as_ref().err(), parts.is_some(), kind.as_deref());
    if let Ok(message) = said {
        let frame = message.to_frame();
        let again = RelayMessage::parse(&frame).expect("what was written is read");
        assert_eq!(again.to_frame(), frame, "a frame says the same when it is read again");
    }

    let asked = ClientMessage::parse(text);
    agrees(asked.as_ref().err(), parts.is_some(), kind.as_deref());
    match asked {
        Ok(ClientMessage::Req { subscription, filters }) => {
            let frame = ClientMessage::req_frame(&subscription, &filters);
            let Ok(ClientMessage::Req { subscription: again, filters: same }) =
                ClientMessage::parse(&frame)
            else {
                panic!("a REQ that was written is read: {frame}");
            };
            assert_eq!((again, same), (subscription, filters));
        }
        Ok(ClientMessage::Count { subscription, filters }) => {
            let frame = ClientMessage::count_frame(&subscription, &filters);
            assert!(ClientMessage::parse(&frame).is_ok(), "a COUNT that was written is read");
        }
        _ => {}
    }
}

/// The reader tells broken JSON, no message and an unknown message apart, as JSON's own reader
/// does.
fn agrees(error: Option<&MessageError>, is_array: bool, kind: Option<&str>) {
    match error {
        Some(MessageError::NotJson) => assert!(!is_array, "it is a JSON array"),
        Some(MessageError::NotAMessage) => assert!(kind.is_none(), "it begins with {kind:?}"),
        Some(MessageError::UnknownType(name)) => assert_eq!(Some(name.as_str()), kind),
        Some(MessageError::Malformed { kind: name, .. }) => assert_eq!(Some(*name), kind),
        _ => assert!(kind.is_some(), "a message begins with its type"),
    }
}
