//! Making room: which events go when a store holds more than it may.

use nipworker_protocol::{EventId, PublicKey};
use nipworker_store::{EVICTION_ORDER, SizeLimit, StoreError};
use sqlx::Row;

use crate::{
    counting::totals, dialect::is_of_class, error::told, filter::hex_list, row::event_id,
    statement::Statement, write::Writer,
};

const DURING: &str = "making room";

/// Events that one transaction lets go of at most.
const EVENTS_PER_COMMIT: usize = 1_000;

/// Removes events until less than the limit is held again, as far as one transaction may, and says how
/// many these were. Nothing below the limit.
pub(crate) async fn make_room(
    writer: &mut Writer<'_>,
    limit: &SizeLimit,
) -> Result<u64, StoreError> {
    let dialect = writer.dialect;
    let told = |error| told(dialect, DURING, error);
    let (_, held) = totals(writer.connection, dialect).await?;
    if held <= limit.max_bytes {
        return Ok(0);
    }
    let mut surplus = held - limit.low_water();
    let mut chosen: Vec<EventId> = Vec::new();
    for class in EVICTION_ORDER {
        let mut statement = Statement::new("SELECT id, counted_bytes FROM events WHERE ");
        statement.push(is_of_class(class));
        if !limit.pinned.is_empty() {
            let list = hex_list(&mut statement, limit.pinned.iter().map(PublicKey::as_bytes));
            statement.push(" AND NOT ").push(&dialect.is_among_bytes("pubkey", &list));
        }
        statement.push(" ORDER BY created_at, id DESC LIMIT ");
        statement.push_bind((EVENTS_PER_COMMIT - chosen.len()) as i64);
        let oldest = statement.query().fetch_all(&mut *writer.connection).await.map_err(told)?;
        for row in &oldest {
            if surplus == 0 {
                break;
            }
            let bytes = row.try_get::<i64, _>(1).map_err(told)?.max(0).cast_unsigned();
            surplus = surplus.saturating_sub(bytes);
            chosen.push(event_id(row, 0)?);
        }
        if surplus == 0 || chosen.len() >= EVENTS_PER_COMMIT {
            break;
        }
    }
    let changed = writer.remove(&chosen).await?;
    writer.add_to_totals(&changed).await?;
    Ok(changed.events.unsigned_abs())
}
