//! Events as JSON, beside a reader that goes through a tree of values.

use std::fmt;

use nipworker_protocol::{Event, EventLimits, EventReader, PackedEvent};
use nipworker_schema::EventT;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};
use sha2::{Digest, Sha256};

pub(super) fn run(bytes: &[u8]) {
    let limits = EventLimits::default();
    let ours = Event::from_json(bytes, &limits);
    let theirs = naive(bytes);
    let (event, fields) = match (ours, theirs) {
        (Ok(event), Some(fields)) => (event, fields),
        (Err(error), None) => {
            if let Ok(text) = std::str::from_utf8(bytes) {
                let read = EventReader::new().read_packed(text, &limits, &mut Vec::new());
                assert_eq!(read, Err(error), "both readers refuse for one reason");
            }
            return;
        }
        (ours, theirs) => panic!("one accepts, the other refuses: {ours:?}, {theirs:?}"),
    };
    let [id, pubkey, created_at, kind, tags, content, sig] = fields;
    assert_eq!(Value::from(event.id.to_string()), id);
    assert_eq!(Value::from(event.pubkey.to_string()), pubkey);
    assert_eq!(Value::from(event.created_at), created_at);
    assert_eq!(Value::from(event.kind), kind);
    assert_eq!(serde_json::to_value(&event.tags).unwrap(), tags);
    assert_eq!(Value::from(event.content.as_str()), content);
    assert_eq!(Value::from(event.sig.to_string()), sig);

    let preimage = Value::Array(vec![0.into(), pubkey, created_at, kind, tags, content]);
    let preimage = preimage.to_string();
    let hash: [u8; 32] = Sha256::digest(preimage.as_bytes()).into();
    let mut written = Vec::new();
    let text = std::str::from_utf8(bytes).expect("an event is UTF-8");
    let read = EventReader::new().read_packed(text, &limits, &mut written);
    assert_eq!(read, Ok(PackedEvent::new(&event)), "the reader that copies nothing reads the same");
    assert!(written == preimage.as_bytes(), "and finds the text that the id is the hash of");
    assert_eq!(event.compute_id().as_bytes(), &hash, "the id is the hash of NIP-01's text");
    assert_eq!(event.check_id().is_ok(), event.id.as_bytes() == &hash);

    let again = Event::from_json(event.to_json().as_bytes(), &limits);
    match again {
        Ok(again) => assert_eq!(again, event, "what was written is read the same"),
        // Escapes make the text longer than the one that came.
        Err(error) => assert!(event.to_json().len() > limits.max_event_bytes, "{error}"),
    }
    assert_eq!(Event::from(EventT::from(&event)), event);
}

const FIELDS: [&str; 7] = ["id", "pubkey", "created_at", "kind", "tags", "content", "sig"];

/// The seven fields of an event as values, or `None` when it is no event.
fn naive(bytes: &[u8]) -> Option<[Value; 7]> {
    let limits = EventLimits::default();
    if bytes.len() > limits.max_event_bytes {
        return None;
    }
    let text = std::str::from_utf8(bytes).ok()?;
    let members: Members = serde_json::from_str(text).ok()?;
    let mut fields = [const { Value::Null }; 7];
    for (name, field) in FIELDS.iter().zip(&mut fields) {
        let mut named = members.0.iter().filter(|(key, _)| key == name);
        let (_, raw) = named.next()?;
        if named.next().is_some() {
            return None;
        }
        *field = serde_json::from_str(raw.get()).ok()?;
    }
    let [id, pubkey, created_at, kind, tags, content, sig] = &fields;
    let is_event = is_hex(id, 64)
        && is_hex(pubkey, 64)
        && is_hex(sig, 128)
        && created_at.is_i64()
        && kind.as_u64().is_some_and(|kind| kind <= 65_535)
        && content.is_string();
    let tags = tags.as_array()?;
    let mut elements = 0;
    for tag in tags {
        let tag = tag.as_array()?;
        elements += tag.len();
        if !tag.iter().all(Value::is_string) {
            return None;
        }
    }
    let fits = tags.len() <= limits.max_tags && elements <= limits.max_tag_elements;
    (is_event && fits).then_some(fields)
}

fn is_hex(value: &Value, chars: usize) -> bool {
    let is_digit = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
    value.as_str().is_some_and(|text| text.len() == chars && text.bytes().all(is_digit))
}

/// The members of an object in order, repeated ones too.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Members, M::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}
