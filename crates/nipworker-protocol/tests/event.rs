//! Events: their JSON, their id, their limits.
#![allow(clippy::unwrap_used)]

mod common;

use common::{any_event, event, read, real_events, real_texts};
use nipworker_protocol::{
    Event, EventError, EventId, EventLimits, PublicKey, Signature, Tag, UnsignedEvent,
};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

#[test]
fn the_ids_of_all_real_events_are_right() {
    let events = real_events();
    assert_eq!(events.len(), 544);
    for event in events {
        assert_eq!(event.check_id(), Ok(()), "{}", event.to_json());
    }
}

#[test]
fn real_events_survive_writing_and_reading() {
    for event in real_events() {
        assert_eq!(read(&event.to_json()).unwrap(), event);
    }
}

#[test]
fn the_id_covers_author_time_kind_tags_and_content() {
    let event = event();
    let changes: [fn(&mut Event); 6] = [
        |event| event.pubkey = PublicKey::from_bytes([9; 32]),
        |event| event.created_at += 1,
        |event| event.kind += 1,
        |event| event.tags.swap(0, 1),
        |event| event.tags[1].0.push(String::new()),
        |event| event.content.push(' '),
    ];
    for change in changes {
        let mut other = event.clone();
        change(&mut other);
        assert_ne!(other.compute_id(), event.compute_id());
    }
    let mut other = event.clone();
    other.sig = Signature::from_bytes([9; 64]);
    other.id = EventId::from_bytes([9; 32]);
    assert_eq!(other.compute_id(), event.compute_id());
    let error = event.check_id().unwrap_err();
    assert!(error.to_string().contains(&event.compute_id().to_hex()), "{error}");
}

#[test]
fn exactly_the_characters_of_nip_01_have_short_escapes_in_the_preimage() {
    for code in 0..0x80_u8 {
        let character = char::from(code);
        let content = character.to_string();
        let note = UnsignedEvent::new(PublicKey::from_bytes([2; 32]), 5, 1, vec![], content);
        let written = match code {
            0x08 => r"\b".to_owned(),
            0x09 => r"\t".to_owned(),
            0x0a => r"\n".to_owned(),
            0x0c => r"\f".to_owned(),
            0x0d => r"\r".to_owned(),
            0x22 => r#"\""#.to_owned(),
            0x5c => r"\\".to_owned(),
            0x00..0x20 => format!(r"\u{code:04x}"),
            _ => character.to_string(),
        };
        let wanted = format!(r#"[0,"{}",5,1,[],"{written}"]"#, "02".repeat(32));
        assert_eq!(String::from_utf8(note.id_preimage()).unwrap(), wanted, "{code:#x}");
        assert_eq!(note.compute_id().as_bytes()[..], Sha256::digest(wanted)[..]);
    }
}

#[test]
fn characters_beyond_ascii_stand_as_they_are() {
    let text = "é 漢字 😀 \u{2028}\u{feff}\u{200d}/";
    let note = UnsignedEvent::new(
        PublicKey::from_bytes([2; 32]),
        -5,
        65_535,
        vec![Tag::new([text]), Tag::default()],
        text,
    );
    let wanted = format!(r#"[0,"{}",-5,65535,[["{text}"],[]],"{text}"]"#, "02".repeat(32));
    assert_eq!(String::from_utf8(note.id_preimage()).unwrap(), wanted);
}

#[test]
fn escapes_on_the_wire_are_decoded() {
    let text = event().to_json().replace("hello", r"\u0063af\u00e9 \ud83d\ude00 \b\f\/\u0000");
    assert_eq!(read(&text).unwrap().content, "café 😀 \u{8}\u{c}/\0");
}

/// The text of [`event`] with one field's value exchanged for another.
fn with(field: &str, value: &str) -> String {
    let json: serde_json::Value = serde_json::from_str(&event().to_json()).unwrap();
    let old = format!("\"{field}\":{}", json[field]);
    let text = event().to_json();
    assert!(text.contains(&old));
    text.replace(&old, &format!("\"{field}\":{value}"))
}

#[test]
fn what_is_no_event_is_refused_with_a_reason() {
    let json = event().to_json();
    let id = "01".repeat(32);
    let wrong = [
        ("empty", String::new()),
        ("white space", " \n".to_owned()),
        ("null", "null".to_owned()),
        ("a number", "1".to_owned()),
        ("an empty object", "{}".to_owned()),
        ("an object in an array", format!("[{json}]")),
        ("fields in an array", {
            let event: serde_json::Value = serde_json::from_str(&json).unwrap();
            let fields = ["id", "pubkey", "created_at", "kind", "tags", "content", "sig"];
            serde_json::Value::from_iter(fields.map(|field| event[field].clone())).to_string()
        }),
        ("cut short", json[..json.len() - 1].to_owned()),
        ("more behind it", format!("{json},")),
        ("two", format!("{json}{json}")),
        ("a trailing comma", json.replace('}', ",}")),
        ("a comment", json.replace('{', "{/**/")),
        ("single quotes", json.replace('"', "'")),
        ("a byte-order mark", format!("\u{feff}{json}")),
        ("a raw control character", json.replace("hello", "hel\nlo")),
        ("half a surrogate pair", json.replace("hello", r"\ud83d")),
        ("a surrogate pair the wrong way round", json.replace("hello", r"\ude00\ud83d")),
        ("an unknown escape", json.replace("hello", r"\x41")),
        ("an id of 31 bytes", with("id", &format!("\"{}\"", &id[2..]))),
        ("an id of 33 bytes", with("id", &format!("\"{id}01\""))),
        ("an upper-case id", with("id", &format!("\"{}\"", "AB".repeat(32)))),
        ("an id that is no hex", with("id", &format!("\"{}\"", "g1".repeat(32)))),
        ("a non-ASCII id of the right length", with("id", &format!("\"{}\"", "é".repeat(32)))),
        ("an id that is a number", with("id", "1")),
        ("a key that is null", with("pubkey", "null")),
        ("a short signature", with("sig", "\"00\"")),
        ("a negative kind", with("kind", "-1")),
        ("a kind too large", with("kind", "65536")),
        ("a kind with a fraction", with("kind", "1.0")),
        ("a kind in a string", with("kind", "\"1\"")),
        ("a time too large", with("created_at", "9223372036854775808")),
        ("a time with a fraction", with("created_at", "1.5")),
        ("a time with an exponent", with("created_at", "1e9")),
        ("a time with a leading zero", with("created_at", "01")),
        ("tags that are null", with("tags", "null")),
        ("tags that are an object", with("tags", "{}")),
        ("a tag that is a string", with("tags", "[\"e\"]")),
        ("a tag of numbers", with("tags", "[[1]]")),
        ("a tag with null", with("tags", "[[\"e\",null]]")),
        ("a nested tag", with("tags", "[[[\"e\"]]]")),
        ("content that is null", with("content", "null")),
        ("content that is a list", with("content", "[]")),
    ];
    for (what, text) in wrong {
        let error = read(&text);
        assert!(matches!(error, Err(EventError::Shape(_))), "{what}: {error:?}");
    }
}

#[test]
fn a_missing_field_and_a_field_given_twice_are_named() {
    for field in ["id", "pubkey", "created_at", "kind", "tags", "content", "sig"] {
        let mut json: serde_json::Value = serde_json::from_str(&event().to_json()).unwrap();
        let value = json.as_object_mut().unwrap().remove(field).unwrap();
        let error = read(&json.to_string()).unwrap_err().to_string();
        assert!(error.contains("missing") && error.contains(field), "{error}");
        let twice = event().to_json().replacen('{', &format!("{{\"{field}\":{value},"), 1);
        let error = read(&twice).unwrap_err().to_string();
        assert!(error.contains("duplicate") && error.contains(field), "{error}");
    }
}

#[test]
fn fields_in_any_order_white_space_and_unknown_fields_make_no_difference() {
    let json: serde_json::Value = serde_json::from_str(&event().to_json()).unwrap();
    let mut fields: Vec<String> = json
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| format!(" \"{name}\" :\n {value}\t"))
        .collect();
    fields.push(r#""content2":{"content":"no","id":[1,{"sig":null}]}"#.to_owned());
    for _ in 0..fields.len() {
        fields.rotate_left(1);
        assert_eq!(read(&format!("\r\n{{{}}} ", fields.join(","))).unwrap(), event());
    }
}

#[test]
fn invalid_utf_8_is_refused_wherever_it_stands() {
    let json = event().to_json().into_bytes();
    let limits = EventLimits::default();
    let at = json.windows(5).position(|window| window == b"hello").unwrap();
    for bad in [&b"\xff"[..], b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80"] {
        let mut text = json.clone();
        text.splice(at..at, bad.iter().copied());
        assert!(matches!(Event::from_json(&text, &limits), Err(EventError::Shape(_))));
        // In a field that is otherwise ignored.
        let mut text = b"{\"x\":\"".to_vec();
        text.extend_from_slice(bad);
        text.extend_from_slice(b"\",");
        text.extend_from_slice(&json[1..]);
        assert!(matches!(Event::from_json(&text, &limits), Err(EventError::Shape(_))));
    }
}

#[test]
fn deep_json_neither_overflows_the_stack_nor_passes_for_an_event() {
    let deep = |open: &str, close: &str| {
        let depth = 50_000;
        format!("{}{}", open.repeat(depth), close.repeat(depth))
    };
    for text in [deep("[", "]"), "[".repeat(200_000), deep("{\"a\":", "}").replace(":}", ":1}")] {
        assert!(matches!(read(&text), Err(EventError::Shape(_))));
        assert!(matches!(read(&with("tags", &text)), Err(EventError::Shape(_))));
        assert!(matches!(read(&with("content", &text)), Err(EventError::Shape(_))));
    }
    // An unknown field is passed over, however deep.
    let text = event().to_json().replacen('{', &format!("{{\"x\":{},", deep("[", "]")), 1);
    assert_eq!(read(&text), Ok(event()));
}

#[test]
fn each_limit_lets_its_value_pass_and_refuses_one_more() {
    let text = event().to_json();
    let bytes = text.len();
    let exact = EventLimits { max_event_bytes: bytes, max_tags: 2, max_tag_elements: 5 };
    assert_eq!(Event::from_json(text.as_bytes(), &exact), Ok(event()));
    assert_eq!(exact.check(&event()), Ok(()));
    let template = UnsignedEvent::from(event());
    assert_eq!(UnsignedEvent::from_json(text.as_bytes(), &exact), Ok(template));
    let one_less = [
        (
            EventLimits { max_event_bytes: bytes - 1, ..exact.clone() },
            EventError::TooLarge { got: bytes, limit: bytes - 1 },
        ),
        (
            EventLimits { max_tags: 1, ..exact.clone() },
            EventError::TooManyTags { got: 2, limit: 1 },
        ),
        (
            EventLimits { max_tag_elements: 4, ..exact },
            EventError::TooManyTagElements { got: 5, limit: 4 },
        ),
    ];
    for (limits, error) in one_less {
        assert_eq!(Event::from_json(text.as_bytes(), &limits), Err(error.clone()));
        assert_eq!(UnsignedEvent::from_json(text.as_bytes(), &limits), Err(error.clone()));
        assert_eq!(limits.check(&event()), Err(error));
    }
}

#[test]
fn the_size_is_looked_at_before_the_text_is_read() {
    let limits = EventLimits { max_event_bytes: 3, ..EventLimits::default() };
    assert_eq!(
        Event::from_json(b"\xff\xff\xff\xff", &limits),
        Err(EventError::TooLarge { got: 4, limit: 3 })
    );
}

#[test]
fn a_template_may_lack_tags_and_a_signed_event_can_be_read_as_one() {
    let event = event();
    let template =
        UnsignedEvent::from_json(event.to_json().as_bytes(), &EventLimits::default()).unwrap();
    assert_eq!(template, UnsignedEvent::from(event.clone()));
    assert_eq!(template.compute_id(), event.compute_id());
    let text = format!(r#"{{"pubkey":"{}","created_at":1,"kind":1,"content":""}}"#, event.pubkey);
    let template = UnsignedEvent::from_json(text.as_bytes(), &EventLimits::default()).unwrap();
    assert_eq!(template.tags, []);
    let signed = template.clone().with_signature(event.sig);
    assert_eq!(signed.check_id(), Ok(()));
    assert_eq!(UnsignedEvent::from(signed), template);
    let array = format!(r#"["{}",1,1,[],""]"#, event.pubkey);
    assert!(UnsignedEvent::from_json(array.as_bytes(), &EventLimits::default()).is_err());
}

#[test]
fn expiration_is_the_first_tag_of_that_name_and_nonsense_counts_as_none() {
    let expiring = |values: &[&str]| {
        let tags = values.iter().map(|value| Tag::new(["expiration", value])).collect();
        Event { tags, ..event() }
    };
    assert_eq!(expiring(&["100", "5"]).expiration(), Some(100));
    assert_eq!(expiring(&["-7"]).expiration(), Some(-7));
    for value in ["", "soon", "1.5", "9223372036854775808", " 5"] {
        assert_eq!(expiring(&[value]).expiration(), None, "{value:?}");
    }
    assert_eq!(Event { tags: vec![Tag::new(["expiration"])], ..event() }.expiration(), None);
    let event = expiring(&["100"]);
    assert_eq!([99, 100, 101].map(|now| event.is_expired(now)), [false, true, true]);
    assert!(!expiring(&[]).is_expired(i64::MAX));
}

#[test]
fn leading_zero_bits_are_counted_over_the_whole_id() {
    let mut bytes = [0; 32];
    assert_eq!(EventId::from_bytes(bytes).leading_zero_bits(), 256);
    for bit in 0..256 {
        bytes = [0; 32];
        bytes[bit / 8] = 0x80 >> (bit % 8);
        assert_eq!(EventId::from_bytes(bytes).leading_zero_bits(), u32::try_from(bit).unwrap());
        bytes[31] |= 1;
        assert_eq!(EventId::from_bytes(bytes).leading_zero_bits(), u32::try_from(bit).unwrap());
    }
}

/// The serialisation written down character by character, as NIP-01 describes it.
fn naive_preimage(event: &Event) -> String {
    fn string(text: &str, out: &mut String) {
        out.push('"');
        for c in text.chars() {
            match c {
                '\u{8}' => out.push_str("\\b"),
                '\t' => out.push_str("\\t"),
                '\n' => out.push_str("\\n"),
                '\u{c}' => out.push_str("\\f"),
                '\r' => out.push_str("\\r"),
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
                c => out.push(c),
            }
        }
        out.push('"');
    }
    let mut out = format!("[0,\"{}\",{},{},[", event.pubkey, event.created_at, event.kind);
    for (n, tag) in event.tags.iter().enumerate() {
        out.push_str(if n == 0 { "[" } else { ",[" });
        for (n, element) in tag.0.iter().enumerate() {
            if n > 0 {
                out.push(',');
            }
            string(element, &mut out);
        }
        out.push(']');
    }
    out.push_str("],");
    string(&event.content, &mut out);
    out.push(']');
    out
}

proptest! {
    #[test]
    fn any_event_survives_writing_and_reading(event in any_event()) {
        prop_assert_eq!(read(&event.to_json()).unwrap(), event);
    }

    #[test]
    fn the_id_is_the_hash_of_the_naive_serialisation(event in any_event()) {
        let preimage = naive_preimage(&event);
        let template = UnsignedEvent::from(event.clone());
        prop_assert_eq!(String::from_utf8(template.id_preimage()).unwrap(), preimage.clone());
        let hash: [u8; 32] = Sha256::digest(&preimage).into();
        prop_assert_eq!(event.compute_id(), EventId::from_bytes(hash));
    }

    #[test]
    fn damaged_texts_are_read_or_refused_without_panic(
        pick in 0..544_usize,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        thread_local!(static TEXTS: Vec<String> = real_texts());
        let mut bytes = TEXTS.with(|texts| texts[pick].clone().into_bytes());
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        _ = Event::from_json(&bytes, &EventLimits::default());
        bytes.truncate(cut.index(bytes.len()));
        prop_assert!(Event::from_json(&bytes, &EventLimits::default()).is_err());
    }

    #[test]
    fn any_bytes_are_no_event(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Event::from_json(&bytes, &EventLimits::default()).is_err());
    }
}
