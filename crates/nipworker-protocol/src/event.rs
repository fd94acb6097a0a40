//! The event: its JSON form, its id, and the limits it is read under.

use std::{fmt, io};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, IgnoredAny, MapAccess, value::MapAccessDeserializer},
};
use sha2::{Digest, Sha256};

use crate::{EventId, EventReader, PublicKey, Signature, Tag};

/// What a single event may be at most. Read before anything costly is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventLimits {
    /// Bytes of the event's JSON text.
    pub max_event_bytes: usize,
    /// Number of tags.
    pub max_tags: usize,
    /// Elements of all tags together.
    pub max_tag_elements: usize,
}

impl Default for EventLimits {
    fn default() -> Self {
        Self { max_event_bytes: 512 * 1024, max_tags: 10_000, max_tag_elements: 50_000 }
    }
}

impl EventLimits {
    /// Checks the number of tags and of their elements.
    ///
    /// # Errors
    /// [`EventError::TooManyTags`], [`EventError::TooManyTagElements`].
    pub fn check_tags(&self, tags: &[Tag]) -> Result<(), EventError> {
        self.check_counts(tags.len(), tags.iter().map(|tag| tag.0.len()).sum())
    }

    pub(crate) fn check_counts(&self, tags: usize, elements: usize) -> Result<(), EventError> {
        if tags > self.max_tags {
            return Err(EventError::TooManyTags { got: tags, limit: self.max_tags });
        }
        if elements > self.max_tag_elements {
            let (got, limit) = (elements, self.max_tag_elements);
            return Err(EventError::TooManyTagElements { got, limit });
        }
        Ok(())
    }

    /// Checks the size of a JSON text in bytes.
    pub(crate) fn check_size(&self, got: usize) -> Result<(), EventError> {
        if got > self.max_event_bytes {
            return Err(EventError::TooLarge { got, limit: self.max_event_bytes });
        }
        Ok(())
    }

    /// Checks an event that came in another form than JSON text, by the size that its text has.
    ///
    /// # Errors
    /// [`EventError::TooLarge`], [`EventError::TooManyTags`], [`EventError::TooManyTagElements`].
    pub fn check(&self, event: &Event) -> Result<(), EventError> {
        self.check_tags(&event.tags)?;
        self.check_size(event.to_json().len())
    }
}

/// Why a text is not an acceptable event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// The JSON text is larger than the limit.
    #[error("event of {got} bytes is larger than the limit of {limit} bytes")]
    TooLarge {
        /// Size of the text in bytes.
        got: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Not JSON, or JSON of another shape (a field missing, of a wrong type or out of range).
    #[error("not an event: {0}")]
    Shape(String),
    /// More tags than the limit.
    #[error("{got} tags are more than the limit of {limit}")]
    TooManyTags {
        /// Number of tags.
        got: usize,
        /// The limit.
        limit: usize,
    },
    /// More tag elements than the limit.
    #[error("{got} tag elements are more than the limit of {limit}")]
    TooManyTagElements {
        /// Number of elements of all tags.
        got: usize,
        /// The limit.
        limit: usize,
    },
    /// The id is not the hash of the content.
    #[error("event id does not match: stated {stated}, computed {computed}")]
    IdMismatch {
        /// The id that the event states.
        stated: EventId,
        /// The id that its content has.
        computed: EventId,
    },
}

/// A signed event as it stands on the wire. Nothing is checked yet beyond its shape.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Event {
    /// Hash of the event.
    pub id: EventId,
    /// Author.
    pub pubkey: PublicKey,
    /// Unix seconds.
    pub created_at: i64,
    /// Kind number, 0 to 65535.
    pub kind: u16,
    /// Tags in the author's order.
    pub tags: Vec<Tag>,
    /// Free text.
    pub content: String,
    /// The author's signature over the id.
    pub sig: Signature,
}

impl Event {
    /// Reads an event from a JSON object under `limits`, without checking id or signature. Fields
    /// that NIP-01 does not name are ignored, however deep they are; a field given twice is an
    /// error.
    ///
    /// # Errors
    /// [`EventError::TooLarge`], [`EventError::Shape`] (this includes invalid UTF-8 anywhere),
    /// [`EventError::TooManyTags`], [`EventError::TooManyTagElements`].
    pub fn from_json(json: &[u8], limits: &EventLimits) -> Result<Self, EventError> {
        let text = checked_text(json, limits)?;
        if let Some(found) = EventReader::new().read(text) {
            let event = found.to_event();
            limits.check_tags(&event.tags)?;
            return Ok(event);
        }
        Self::from_any_json(text, limits)
    }

    /// As [`from_json`](Self::from_json), however the text is spelled. Its size was checked.
    pub(crate) fn from_any_json(text: &str, limits: &EventLimits) -> Result<Self, EventError> {
        let event: Self = read(text)?;
        limits.check_tags(&event.tags)?;
        Ok(event)
    }

    /// The event as compact JSON with the fields in NIP-01's order.
    pub fn to_json(&self) -> String {
        // Serialising strings and numbers into memory has no way to fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Hash of the event's content as it stands.
    pub fn compute_id(&self) -> EventId {
        hash_of(&self.pubkey, self.created_at, self.kind, &self.tags, &self.content)
    }

    /// Appends the bytes whose SHA-256 is the id (NIP-01).
    pub(crate) fn write_preimage(&self, out: &mut Vec<u8>) {
        write_preimage(out, &self.pubkey, self.created_at, self.kind, &self.tags, &self.content);
    }

    /// Checks that the stated id is the hash of the content.
    ///
    /// # Errors
    /// [`EventError::IdMismatch`] with both ids.
    pub fn check_id(&self) -> Result<(), EventError> {
        let computed = self.compute_id();
        if computed == self.id {
            Ok(())
        } else {
            Err(EventError::IdMismatch { stated: self.id, computed })
        }
    }

    /// Value of the first tag named `name`, if there is one with a value.
    pub fn tag_value(&self, name: &str) -> Option<&str> {
        self.tags.iter().find(|tag| tag.name() == name).and_then(Tag::value)
    }

    /// When the event asks to be forgotten (NIP-40, `expiration` tag), in unix seconds. A value
    /// that is no number counts as none.
    pub fn expiration(&self) -> Option<i64> {
        self.tag_value("expiration")?.parse().ok()
    }

    /// Whether it has expired at `now` (unix seconds, NIP-40).
    pub fn is_expired(&self, now: i64) -> bool {
        self.expiration().is_some_and(|at| at <= now)
    }

    /// Whether only its author may give it to a relay (NIP-70): it has a tag `-`.
    pub fn is_protected(&self) -> bool {
        self.tags.iter().any(|tag| tag.name() == "-")
    }
}

/// An event without id and signature: what a signer signs and a miner mines.
///
/// In JSON the fields `id` and `sig` are ignored, so a signed event can be read as a template.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct UnsignedEvent {
    /// Author.
    pub pubkey: PublicKey,
    /// Unix seconds.
    pub created_at: i64,
    /// Kind number, 0 to 65535.
    pub kind: u16,
    /// Tags in the author's order.
    #[serde(default)]
    pub tags: Vec<Tag>,
    /// Free text.
    pub content: String,
}

impl UnsignedEvent {
    /// Makes a template.
    pub fn new(
        pubkey: PublicKey,
        created_at: i64,
        kind: u16,
        tags: Vec<Tag>,
        content: impl Into<String>,
    ) -> Self {
        Self { pubkey, created_at, kind, tags, content: content.into() }
    }

    /// Reads a template from JSON under `limits`.
    ///
    /// # Errors
    /// As [`Event::from_json`].
    pub fn from_json(json: &[u8], limits: &EventLimits) -> Result<Self, EventError> {
        let template: Self = read(checked_text(json, limits)?)?;
        limits.check_tags(&template.tags)?;
        Ok(template)
    }

    /// Hash of the template: the id it has once signed.
    pub fn compute_id(&self) -> EventId {
        hash_of(&self.pubkey, self.created_at, self.kind, &self.tags, &self.content)
    }

    /// The bytes whose SHA-256 is the id: `[0,pubkey,created_at,kind,tags,content]` without
    /// white space (NIP-01).
    ///
    /// Control characters other than the seven that NIP-01 names are written as `\u00xx`, as
    /// every common client does.
    pub fn id_preimage(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(160 + self.content.len());
        write_preimage(
            &mut out,
            &self.pubkey,
            self.created_at,
            self.kind,
            &self.tags,
            &self.content,
        );
        out
    }

    /// The signed event, with the id computed here.
    pub fn with_signature(self, sig: Signature) -> Event {
        let id = self.compute_id();
        let Self { pubkey, created_at, kind, tags, content } = self;
        Event { id, pubkey, created_at, kind, tags, content, sig }
    }
}

impl From<Event> for UnsignedEvent {
    fn from(event: Event) -> Self {
        let Event { pubkey, created_at, kind, tags, content, .. } = event;
        Self { pubkey, created_at, kind, tags, content }
    }
}

/// Serde would also read a struct from an array of its fields, which is no event: so only a JSON
/// object is let through to the derived code.
macro_rules! only_from_an_object {
    ($type:ty, $what:literal) => {
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                Self::serialize(self, serializer)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl<'de> de::Visitor<'de> for Visitor {
                    type Value = $type;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($what)
                    }

                    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<$type, M::Error> {
                        <$type>::deserialize(MapAccessDeserializer::new(map))
                    }
                }
                deserializer.deserialize_map(Visitor)
            }
        }
    };
}

only_from_an_object!(Event, "an event object");
only_from_an_object!(UnsignedEvent, "an event object");

/// The whole text, not only the fields that are read: it may be stored and passed on as it is.
fn checked_text<'t>(json: &'t [u8], limits: &EventLimits) -> Result<&'t str, EventError> {
    limits.check_size(json.len())?;
    std::str::from_utf8(json).map_err(|error| EventError::Shape(error.to_string()))
}

fn read<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, EventError> {
    serde_json::from_str(text).map_err(|error| EventError::Shape(error.to_string()))
}

fn write_preimage(
    out: impl io::Write,
    pubkey: &PublicKey,
    created_at: i64,
    kind: u16,
    tags: &[Tag],
    content: &str,
) {
    let written = serde_json::to_writer(out, &(0_u8, pubkey, created_at, kind, tags, content));
    debug_assert!(written.is_ok(), "strings and numbers always serialise");
}

fn hash_of(pubkey: &PublicKey, created_at: i64, kind: u16, tags: &[Tag], content: &str) -> EventId {
    let mut preimage = Vec::with_capacity(160 + content.len() + content.len() / 8);
    write_preimage(&mut preimage, pubkey, created_at, kind, tags, content);
    EventId::from_bytes(Sha256::digest(&preimage).into())
}

/// Whether `text` is any JSON value: for telling a malformed frame from an unexpected one.
pub(crate) fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(text).is_ok()
}
