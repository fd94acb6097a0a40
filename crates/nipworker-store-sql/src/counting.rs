//! Counts, and the figures of a store.

use nipworker_protocol::Filter;
use nipworker_store::StoreError;
use sqlx::{AnyConnection, Row};

use crate::{
    dialect::Dialect,
    error::told,
    filter::{Matching, Part},
    statement::Statement,
};

const DURING: &str = "counting";

/// Selections that are united at one level; SQLite takes 500 in one statement.
const UNITED_MAX: usize = 50;

/// How many events answer at least one of `filters`, whatever their limits.
pub(crate) async fn count(
    connection: &mut AnyConnection,
    dialect: Dialect,
    filters: &[Filter],
    now: i64,
) -> Result<u64, StoreError> {
    let asked: Vec<Matching<'_>> = filters
        .iter()
        .map(|filter| Matching { dialect, filter, now, part: Part::default() })
        .filter(|matching| !matching.is_empty())
        .collect();
    let mut statement = Statement::new("SELECT count(*)");
    match &asked[..] {
        [] => return Ok(0),
        // One selection names each event once.
        [only] => only.append(&mut statement),
        several => {
            statement.push(" FROM (");
            for (group, members) in several.chunks(UNITED_MAX).enumerate() {
                statement.push(if group == 0 { "" } else { " UNION " });
                statement.push("SELECT id FROM (");
                for (place, matching) in members.iter().enumerate() {
                    statement.push(if place == 0 { "" } else { " UNION " });
                    statement.push("SELECT e.id AS id");
                    matching.append(&mut statement);
                }
                statement.push(&format!(") AS g{group}"));
            }
            statement.push(") AS q");
        }
    }
    number(connection, dialect, statement).await.map(i64::cast_unsigned)
}

/// The only number that `statement` answers.
pub(crate) async fn number(
    connection: &mut AnyConnection,
    dialect: Dialect,
    statement: Statement,
) -> Result<i64, StoreError> {
    let told = |error| told(dialect, DURING, error);
    let row = statement.query().fetch_one(connection).await.map_err(told)?;
    row.try_get(0).map_err(told)
}

/// Events that are held, and the bytes that they count for.
pub(crate) async fn totals(
    connection: &mut AnyConnection,
    dialect: Dialect,
) -> Result<(u64, u64), StoreError> {
    let told = |error| told(dialect, DURING, error);
    let row = sqlx::query("SELECT events, bytes FROM totals")
        .fetch_one(connection)
        .await
        .map_err(told)?;
    let column = |index| row.try_get::<i64, _>(index).map_err(told);
    Ok((column(0)?.max(0).cast_unsigned(), column(1)?.max(0).cast_unsigned()))
}
