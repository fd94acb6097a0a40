//! Views as JSON.

use std::fmt::Display;

use nipworker_protocol::{Event, Tag};
use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeStruct},
};
use serde_json::{Map, Value, json};

use super::{Flaw, ParsedKind, ReportReason, Reported, Source};
use crate::content::{Content, Shortening, galleries, shortened};

/// What an event says, as a JSON object: `type` names the view, the other members are its fields
/// in `snake_case`. Fields that are not there are left out, hashes and keys are lower-case hex,
/// texts are cut into blocks. An event that is not of its kind's form gives `{"error": …}`.
///
/// A secret (the key of an encrypted file, a piece of ecash) is never written.
pub fn view_json(event: &Event) -> Value {
    match ParsedKind::of(event) {
        Ok(view) => match serde_json::to_value(&view) {
            Ok(value) => without_nulls(value),
            Err(error) => json!({ "error": error.to_string() }),
        },
        Err(error) => json!({ "error": error.to_string() }),
    }
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name, without_nulls(value)))
                .collect::<Map<_, _>>(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        value => value,
    }
}

/// `blocks`; `galleries` as pairs of begin and end where there are any; `shortened`, the blocks of
/// the beginning, where the text is long.
impl Serialize for Content<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let blocks = self.blocks();
        let mut content = serializer.serialize_struct("Content", 3)?;
        let groups: Vec<_> = galleries(&blocks).iter().map(|it| (it.start, it.end)).collect();
        content.serialize_field("galleries", &(!groups.is_empty()).then_some(groups))?;
        content.serialize_field("shortened", &shortened(&blocks, Shortening::default()))?;
        content.serialize_field("blocks", &blocks)?;
        content.end()
    }
}

#[allow(clippy::ref_option, reason = "serde hands over a reference to the field")]
pub(crate) fn hex_if_any<S: Serializer>(
    hash: &Option<[u8; 32]>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    hash.map(|hash| nipworker_protocol::EventId::from_bytes(hash).to_hex()).serialize(serializer)
}

#[allow(clippy::ref_option, reason = "serde hands over a reference to the field")]
pub(super) fn embedded<S: Serializer>(
    event: &Option<Result<Box<Event>, Flaw>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match event {
        None => serializer.serialize_none(),
        Some(Ok(event)) => json!({ "event": event }).serialize(serializer),
        Some(Err(flaw)) => json!({ "error": flaw.to_string() }).serialize(serializer),
    }
}

/// A long text: its blocks, and `is_cut` where the rest of it is left out.
pub(super) fn markdown<S: Serializer>(
    content: &Content<'_>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    content.markdown().serialize(serializer)
}

pub(super) fn reported_files<S: Serializer>(
    files: &[Reported<'_, [u8; 32]>],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct File<'a> {
        target: String,
        reason: Option<ReportReason<'a>>,
    }
    let hex = |hash| nipworker_protocol::EventId::from_bytes(hash).to_hex();
    serializer
        .collect_seq(files.iter().map(|it| File { target: hex(it.target), reason: it.reason }))
}

pub(super) fn texts<S: Serializer>(
    items: &[impl Display],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(items.iter().map(ToString::to_string))
}

/// The tags that have one value: the first of each name.
pub(super) fn fields<S: Serializer>(source: &Source<'_>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut seen = std::collections::HashSet::new();
    let mut fields = serializer.serialize_map(None)?;
    for tag in source.tags.iter().filter(|tag| !matches!(tag.name(), "p" | "e" | "a" | "t" | "r")) {
        if let Some(value) = Tag::value(tag)
            && seen.insert(tag.name())
        {
            fields.serialize_entry(tag.name(), value)?;
        }
    }
    fields.end()
}
