//! An event as a row of `events`, and back.

use nipworker_protocol::{Event, EventId, EventView, PackedEvent, PublicKey, Signature, Tag};
use nipworker_store::{StoreError, bytes_of};
use sqlx::{Row, any::AnyRow};

use crate::text::encoded;

/// The columns that [`read`] needs, in its order.
pub(crate) const COLUMNS: &str = "id, pubkey, created_at, kind, tags, content, content_bytes, sig";

/// What U+0000 is shown as in a column that cannot hold it.
const SHOWN_FOR_NULL: &str = "\u{fffd}";

/// An event in the form of its columns.
pub(crate) struct EventRow {
    pub(crate) id: EventId,
    pub(crate) pubkey: PublicKey,
    pub(crate) created_at: i64,
    pub(crate) kind: u16,
    pub(crate) tags: String,
    pub(crate) content: String,
    pub(crate) content_bytes: Option<Vec<u8>>,
    pub(crate) sig: Signature,
    pub(crate) identifier: Option<String>,
    pub(crate) expires_at: Option<i64>,
    pub(crate) packed_bytes: i64,
    pub(crate) counted_bytes: i64,
    /// Letter and encoded value, each pair once.
    pub(crate) values: Vec<(char, String)>,
}

impl EventRow {
    pub(crate) fn of(event: &EventView<'_>) -> Self {
        let content = event.content();
        let has_null = content.contains('\0');
        Self {
            id: event.id(),
            pubkey: event.pubkey(),
            created_at: event.created_at(),
            kind: event.kind(),
            tags: tags_to_json(event),
            content: if has_null {
                content.replace('\0', SHOWN_FOR_NULL)
            } else {
                content.to_owned()
            },
            content_bytes: has_null.then(|| content.as_bytes().to_vec()),
            sig: event.sig(),
            identifier: event.coordinate().map(|address| encoded(&address.identifier)),
            expires_at: event.expiration(),
            packed_bytes: event.as_bytes().len() as i64,
            counted_bytes: bytes_of(event) as i64,
            values: values_of(event),
        }
    }
}

/// What the table `tags` holds of `event`.
pub(crate) fn values_of(event: &EventView<'_>) -> Vec<(char, String)> {
    let mut values: Vec<_> = event
        .tags()
        .filter_map(|tag| tag.indexed())
        .map(|(letter, value)| (letter.as_char(), encoded(value)))
        .collect();
    values.sort_unstable();
    values.dedup();
    values
}

fn tags_to_json(event: &EventView<'_>) -> String {
    let tags: Vec<Vec<&str>> = event.tags().map(|tag| tag.elements().collect()).collect();
    serde_json::to_string(&tags).expect("texts become JSON")
}

/// Reads a row of [`COLUMNS`].
pub(crate) fn read(row: &AnyRow) -> Result<PackedEvent, StoreError> {
    let id = event_id(row, 0)?;
    let damaged = |what: &str| StoreError::Damaged { what: format!("event {id}: {what}") };
    let column = |error: sqlx::Error| damaged(&error.to_string());
    let pubkey = row.try_get::<Vec<u8>, _>(1).map_err(column)?;
    let tags = row.try_get::<String, _>(4).map_err(column)?;
    let tags: Vec<Vec<String>> =
        serde_json::from_str(&tags).map_err(|error| damaged(&format!("tags: {error}")))?;
    let content = match row.try_get::<Option<Vec<u8>>, _>(6).map_err(column)? {
        Some(bytes) => String::from_utf8(bytes).map_err(|_| damaged("its content is not UTF-8"))?,
        None => row.try_get::<String, _>(5).map_err(column)?,
    };
    let sig = row.try_get::<Vec<u8>, _>(7).map_err(column)?;
    let kind = row.try_get::<i64, _>(3).map_err(column)?;
    let event = Event {
        id,
        pubkey: PublicKey::from_slice(&pubkey).ok_or_else(|| damaged("length of its author"))?,
        created_at: row.try_get(2).map_err(column)?,
        kind: u16::try_from(kind).map_err(|_| damaged("its kind is out of range"))?,
        tags: tags.into_iter().map(Tag).collect(),
        content,
        sig: Signature::from_slice(&sig).ok_or_else(|| damaged("length of its signature"))?,
    };
    Ok(PackedEvent::new(&event))
}

/// The id in a column.
pub(crate) fn event_id(row: &AnyRow, column: usize) -> Result<EventId, StoreError> {
    row.try_get::<Vec<u8>, _>(column)
        .ok()
        .and_then(|bytes| EventId::from_slice(&bytes))
        .ok_or_else(|| StoreError::Damaged { what: "a row with no readable event id".to_owned() })
}

/// The public key in a column.
pub(crate) fn public_key(row: &AnyRow, column: usize) -> Result<PublicKey, StoreError> {
    row.try_get::<Vec<u8>, _>(column)
        .ok()
        .and_then(|bytes| PublicKey::from_slice(&bytes))
        .ok_or_else(|| StoreError::Damaged { what: "a row with no readable public key".to_owned() })
}
