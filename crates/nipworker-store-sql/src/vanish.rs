//! Requests to vanish (NIP-62): removes what is there of those who asked, in transactions of bounded size.

use nipworker_protocol::{EventId, PublicKey, kinds};
use nipworker_store::StoreError;
use sqlx::Row;

use crate::{
    error::told,
    row::{event_id, public_key},
    statement::Statement,
    write::Writer,
};

const DURING: &str = "removing who asked to vanish";

/// Removes at most `max` events of one author of whom something may be left, and says how many these
/// were; `None` when nothing is left of anybody.
pub(crate) async fn remove_some(
    writer: &mut Writer<'_>,
    max: usize,
) -> Result<Option<u64>, StoreError> {
    let dialect = writer.dialect;
    let told = |error| told(dialect, DURING, error);
    let next = sqlx::query(
        "SELECT pubkey, up_to FROM vanished WHERE is_pending = 1 ORDER BY pubkey LIMIT 1",
    )
    .fetch_optional(&mut *writer.connection)
    .await
    .map_err(told)?;
    let Some(next) = next else { return Ok(None) };
    let author = public_key(&next, 0)?;
    let until: i64 = next.try_get(1).map_err(told)?;

    let left = left_of(&author, until, max).query();
    let left = left.fetch_all(&mut *writer.connection).await.map_err(told)?;
    let ids: Vec<EventId> = left.iter().map(|row| event_id(row, 0)).collect::<Result<_, _>>()?;
    let changed = writer.remove(&ids).await?;
    writer.add_to_totals(&changed).await?;
    if ids.len() < max {
        let mut done = Statement::new("UPDATE vanished SET is_pending = 0 WHERE pubkey = ");
        done.push_bind(author.as_bytes().to_vec());
        writer.execute(done).await?;
    }
    Ok(Some(ids.len() as u64))
}

/// The author's own events, and gift wraps for the author (NIP-59). Requests to vanish stay.
fn left_of(author: &PublicKey, until: i64, max: usize) -> Statement {
    let mut statement = Statement::new("SELECT id FROM events WHERE pubkey = ");
    statement.push_bind(author.as_bytes().to_vec());
    statement.push(" AND created_at <= ").push_bind(until);
    statement.push(" AND kind <> ").push_bind(i64::from(kinds::VANISH));
    statement.push(" UNION SELECT e.id FROM tags t JOIN events e ON e.id = t.event_id");
    statement.push(" WHERE t.letter = 'p' AND t.value = ").push_bind(author.to_hex());
    statement.push(" AND e.kind = ").push_bind(i64::from(kinds::GIFT_WRAP));
    statement.push(" AND t.created_at <= ").push_bind(until);
    statement.push(" LIMIT ").push_bind(max as i64);
    statement
}
