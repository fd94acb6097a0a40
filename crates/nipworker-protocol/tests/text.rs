//! The quick readers of events and frames, beside what `serde_json` makes of the same texts.
#![allow(clippy::unwrap_used)]

mod common;

use common::{any_event, real_texts, text};
use nipworker_protocol::{
    Event, EventFrame, EventLimits, EventReader, PackedEvent, RelayMessage, Tag,
};
use proptest::prelude::*;
use serde_json::value::RawValue;

/// What `serde_json` alone makes of a text.
fn naive(text: &str) -> Option<Event> {
    serde_json::from_str(text).ok()
}

/// Reads a text in every way there is; all agree.
fn read(text: &str) -> Option<Event> {
    let wanted = naive(text);
    let limits = EventLimits::default();
    let mut reader = EventReader::new();
    if let Some(found) = reader.read(text) {
        let mut preimage = Vec::new();
        found.write_preimage(&mut preimage);
        let event = found.to_event();
        assert_eq!(Some(&event), wanted.as_ref(), "{text}");
        assert_eq!(found.pack(), PackedEvent::new(&event), "{text}");
        let unsigned = nipworker_protocol::UnsignedEvent::from(event);
        assert_eq!(String::from_utf8(preimage), String::from_utf8(unsigned.id_preimage()));
    }
    assert_eq!(Event::from_json(text.as_bytes(), &limits).ok(), wanted, "{text}");
    let mut preimage = b"before".to_vec();
    let packed = reader.read_packed(text, &limits, &mut preimage).ok();
    assert_eq!(packed, wanted.as_ref().map(PackedEvent::new), "{text}");
    assert_eq!(packed.map(|packed| packed.to_event()), wanted, "{text}");
    let expected = wanted.clone().map(|event| {
        let unsigned = nipworker_protocol::UnsignedEvent::from(event);
        [b"before".to_vec(), unsigned.id_preimage()].concat()
    });
    assert_eq!(preimage, expected.unwrap_or_else(|| b"before".to_vec()), "{text}");
    wanted
}

fn is_quick(text: &str) -> bool {
    EventReader::new().read(text).is_some()
}

#[test]
fn every_real_event_is_read_where_it_stands() {
    for text in real_texts() {
        assert!(read(&text).is_some() && is_quick(&text), "{text}");
    }
}

#[test]
fn an_expiration_time_in_a_text_is_packed_with_it() {
    let tag = |name: &str, value: &str| Tag::new([name, value]);
    let at = |tags: Vec<Tag>| {
        let event = Event { tags, ..common::event() };
        read(&event.to_json());
        PackedEvent::new(&event).view().expiration()
    };
    assert_eq!(at(vec![tag("e", "x"), tag("expiration", "17")]), Some(17));
    assert_eq!(at(vec![tag("expiration", "-17"), tag("expiration", "18")]), Some(-17));
    assert_eq!(at(vec![Tag::new(["expiration"]), tag("expiration", "18")]), None);
    assert_eq!(at(vec![tag("expiration", "1\n"), tag("expiration", "18")]), None);
    assert_eq!(at(vec![tag("expiration\n", "18"), Tag(vec![])]), None);
}

#[test]
fn every_escape_gives_the_id_that_the_plain_way_gives() {
    let event = common::event();
    let short = ["\\\"", "\\\\", "\\/", "\\b", "\\f", "\\n", "\\r", "\\t", "\\v", "\\x41"];
    let long = (0..=0x100).flat_map(|code| [format!("\\u{code:04x}"), format!("\\u{code:04X}")]);
    let pairs = ["\\ud83d\\ude00", "\\ud83d", "\\ude00", "\\u", "\\u00", "\\u00g0", "\\"];
    let plain = (1..=0x100_u32).filter_map(char::from_u32).map(String::from);
    let all = short.map(String::from).into_iter().chain(long).chain(pairs.map(String::from));
    let mut read_events = 0;
    for piece in all.chain(plain) {
        for at in ["hello", "x\",\"y", "\"z"] {
            let text = event.to_json();
            let text = match at {
                "hello" => text.replace("hello", &format!("a{piece}b")),
                "\"z" => text.replace("\"z", &format!("\"{piece}")),
                _ => text.replace("\"y", &format!("\"{piece}")),
            };
            read_events += usize::from(read(&text).is_some());
        }
    }
    // 8 short ones, 257 codes in two cases, one pair, 224 characters that may stand as they are,
    // without the two that end a string or escape.
    assert!(read_events > 3 * (8 + 2 * 257 + 1 + 220), "{read_events}");
}

#[test]
fn numbers_are_read_as_serde_reads_them() {
    let text = common::event().to_json();
    for number in [
        "0",
        "-0",
        "00",
        "01",
        "-1",
        "-01",
        "1.0",
        "1e3",
        "1E3",
        "+1",
        "",
        "-",
        "65535",
        "65536",
        "999999999999999999",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "-9223372036854775809",
        "99999999999999999999",
        "1 ",
        " 1",
        "\"1\"",
        "null",
        "0x1",
        "1_0",
    ] {
        read(&text.replace("1700000000", number));
        read(&text.replace("\"kind\":1", &format!("\"kind\":{number}")));
    }
    assert!(is_quick(&text.replace("1700000000", "-5")));
}

#[test]
fn what_only_looks_like_an_event_is_none() {
    let text = common::event().to_json();
    for wrong in [
        format!("{text}{text}"),
        format!("{text},"),
        format!("{text}]"),
        format!("[{text}]"),
        text.replace("]]", "]"),
        text.replace("]]", "]],"),
        text.replace("[[", "[[[").replace("]]", "]]]"),
        text.replace("\"content\":", "\"content\""),
        text.replace("\"content\":", "\"content\":\"\",\"content\":"),
        text.replace(",\"content\":\"hello\"", ""),
        text.replace("\"hello\"", "\"hel\nlo\""),
        text.replace("\"x\"", "5"),
        text.replace("\"x\"", "\"x\",").replace("],", "],,"),
        text[..text.len() - 1].to_owned(),
    ] {
        assert_eq!(read(&wrong), None, "{wrong}");
    }
}

/// A frame's parts by `serde_json`: the subscription and the third element.
fn naive_parts(frame: &str) -> Option<(String, String, usize)> {
    let parts: Vec<&RawValue> = serde_json::from_str(frame).ok()?;
    let word = |at: usize| serde_json::from_str::<String>(parts.get(at)?.get()).ok();
    (word(0)? == "EVENT").then_some(())?;
    Some((word(1)?, parts.get(2)?.get().to_owned(), parts.len()))
}

/// Both ways of reading a frame; what the quick one finds can only be decoded when the other
/// finds the same.
fn check_frame(frame: &str) {
    let wanted = naive_parts(frame);
    let found = EventFrame::find(frame);
    if let Some(found) = found
        && let Some(event) = read(found.event)
    {
        let (subscription, raw, parts) = wanted.clone().expect(frame);
        assert_eq!((found.subscription, found.event, parts), (&*subscription, &*raw, 3), "{frame}");
        let Ok(RelayMessage::Event { event: raw, .. }) = RelayMessage::parse(frame) else {
            panic!("another message: {frame}");
        };
        assert_eq!(naive(raw.get()), Some(event));
    }
    if let Some((subscription, raw, 3)) = wanted
        && let Some(found) = found
    {
        assert_eq!((found.subscription, found.event), (&*subscription, &*raw), "{frame}");
    }
}

#[test]
fn an_event_frame_is_found_where_it_stands() {
    for text in real_texts() {
        let frame = RelayMessage::event_frame("sub é", &text);
        let wanted = EventFrame { subscription: "sub é", event: &text };
        assert_eq!(EventFrame::find(&frame), Some(wanted));
        check_frame(&frame);
        let spaced = format!(" [ \"EVENT\"\n, \"s\" ,\t{text} ]\r\n");
        assert_eq!(EventFrame::find(&spaced).unwrap().event, text);
        check_frame(&spaced);
    }
}

#[test]
fn garbage_around_an_event_and_nested_frames_never_give_an_event() {
    let text = common::event().to_json();
    for frame in [
        format!("[\"EVENT\",\"s\",{text}{text}]"),
        format!("[\"EVENT\",\"s\",{text},{text}]"),
        format!("[\"EVENT\",\"s\",{text}],[\"EVENT\",\"s\",{text}]"),
        format!("[\"EVENT\",\"s\",{text}][\"EVENT\",\"s\",{text}]"),
        format!("[\"EVENT\",\"s\",{text},\"{{}}\",{{}}]"),
        format!("[\"EVENT\",\"s\",{{}}garbage{text}]"),
        format!("[\"EVENT\",\"s\",{{\"a\":{text}}}]"),
        format!("[\"EVENT\",\"s\",{text}garbage}}]"),
        format!("[\"EVENT\",\"s\",{{{text}]"),
        format!("[\"EVENT\",\"s\",{text}]]"),
        format!("[[\"EVENT\",\"s\",{text}]"),
    ] {
        let event = EventFrame::find(&frame).and_then(|found| read(found.event));
        assert_eq!(event, None, "{frame}");
        check_frame(&frame);
    }
}

proptest! {
    #[test]
    fn any_event_is_read_however_it_is_spelled(event in any_event(), style in 0..4_u8) {
        let mut text = event.to_json();
        if style & 1 != 0 {
            text = serde_json::to_string_pretty(&event).unwrap();
        }
        if style & 2 != 0 {
            text = text.replace('é', "\\u00e9").replace('/', "\\/").replace('a', "\\u0061");
        }
        read(&text);
        prop_assert_eq!(read(&event.to_json()), Some(event.clone()));
        prop_assert!(event.created_at.unsigned_abs() >= 10_u64.pow(18) || is_quick(&event.to_json()));
        let mut compact = Vec::new();
        if let Some(found) = EventReader::new().read(&serde_json::to_string_pretty(&event).unwrap()) {
            found.write_preimage(&mut compact);
            prop_assert_eq!(compact, nipworker_protocol::UnsignedEvent::from(event).id_preimage());
        }
    }

    /// Cuts, repeats and exchanged bytes of an event's text and frame.
    #[test]
    fn damaged_texts_and_frames_are_read_as_serde_reads_them(
        pick in 0..544_usize,
        from: usize,
        len in 0..12_usize,
        put in prop_oneof!["[\"{}:,\\[\\]\\\\u0-9 \n]{0,4}", text()],
        with_frame: bool,
    ) {
        thread_local! { static TEXTS: Vec<String> = real_texts(); }
        let mut text = TEXTS.with(|texts| texts[pick].clone());
        if with_frame {
            text = RelayMessage::event_frame("s", &text);
        }
        let mut from = from % text.len();
        while !text.is_char_boundary(from) {
            from -= 1;
        }
        let mut to = (from + len).min(text.len());
        while !text.is_char_boundary(to) {
            to -= 1;
        }
        text.replace_range(from..to.max(from), &put);
        if with_frame { check_frame(&text) } else { drop(read(&text)) }
    }

    #[test]
    fn keys_and_values_in_any_order_are_read_as_serde_reads_them(
        order in proptest::collection::vec(0..9_usize, 0..10),
        tags in proptest::collection::vec(common::tag(), 0..3),
    ) {
        let tags: Vec<Tag> = tags;
        let hex = "0a".repeat(32);
        let values = [
            format!("\"id\":\"{hex}\""),
            format!("\"pubkey\":\"{hex}\""),
            "\"created_at\":12".to_owned(),
            "\"kind\":7".to_owned(),
            format!("\"tags\":{}", serde_json::to_string(&tags).unwrap()),
            "\"content\":\"\\n\"".to_owned(),
            format!("\"sig\":\"{hex}{hex}\""),
            "\"other\":{\"id\":[1,{}]}".to_owned(),
            "\"\\u0069d\":\"\"".to_owned(),
        ];
        let fields: Vec<&str> = order.iter().map(|at| values[*at].as_str()).collect();
        read(&format!("{{{}}}", fields.join(",")));
        let all: Vec<&str> = values[..7].iter().map(String::as_str).collect();
        let text = format!("{{{}}}", all.join(","));
        prop_assert!(read(&text).is_some() && is_quick(&text));
    }
}
