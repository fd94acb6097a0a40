//! The tables, and how older ones are brought up to date.

use std::path::Path;

use nipworker_store::{OpenError, StoreError};
use sqlx::{
    AnyConnection, AnyPool, Executor, Row, SqlSafeStr,
    migrate::{Migration, MigrationType, Migrator},
};

use crate::{
    dialect::Dialect,
    error::{not_migrated, not_opened},
};

/// The newest version of the tables that this release knows.
pub(crate) const VERSION: u32 = 1;

/// Where it is noted which migrations were carried out.
const MIGRATIONS_TABLE: &str = "nipworker_migrations";

fn migrator(dialect: Dialect) -> Migrator {
    let files: [(&str, &'static str); VERSION as usize] = match dialect {
        Dialect::Sqlite => [("events", include_str!("../migrations/sqlite/1_events.sql"))],
        Dialect::Postgres => [("events", include_str!("../migrations/postgres/1_events.sql"))],
    };
    let migrations = (1..).zip(files).map(|(version, (name, sql))| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let mut migrator = Migrator::with_migrations(migrations.collect());
    migrator.dangerous_set_table_name(MIGRATIONS_TABLE);
    migrator
}

/// Makes the tables, or brings them up to date.
pub(crate) async fn prepare(
    dialect: Dialect,
    pool: &AnyPool,
    path: &Path,
) -> Result<(), OpenError> {
    let mut connection = pool.acquire().await.map_err(|error| not_opened(dialect, path, error))?;
    migrator(dialect)
        .run_direct(None, &mut *connection, false)
        .await
        .map_err(|error| not_migrated(dialect, path, error))
}

/// Makes the schema that a connection's `search_path` names first, where that is not there.
const MAKE_SCHEMA: &str = r#"DO $$
DECLARE
    name text := trim(both '" ' from split_part(current_setting('search_path'), ',', 1));
BEGIN
    IF current_schema() IS NULL AND name NOT IN ('', '$user') THEN
        EXECUTE format('CREATE SCHEMA IF NOT EXISTS %I', name);
    END IF;
EXCEPTION
    -- Somebody else made it in the meantime.
    WHEN unique_violation OR duplicate_schema THEN NULL;
END $$"#;

/// Leaves a database of something else alone.
pub(crate) async fn refuse_what_is_not_ours(
    dialect: Dialect,
    connection: &mut AnyConnection,
    path: &Path,
) -> Result<(), OpenError> {
    let found = holds_something_else(dialect, connection)
        .await
        .map_err(|error| not_opened(dialect, path, error))?;
    match found {
        None => Ok(()),
        Some(_) if dialect == Dialect::Sqlite => {
            Err(OpenError::Store { path: path.to_owned(), source: StoreError::Foreign })
        }
        Some(detail) => Err(OpenError::Format { path: path.to_owned(), detail }),
    }
}

/// What speaks against making tables here, in words.
async fn holds_something_else(
    dialect: Dialect,
    connection: &mut AnyConnection,
) -> Result<Option<String>, sqlx::Error> {
    let number = async |connection: &mut AnyConnection, sql: &'static str| {
        connection.fetch_one(sql).await?.try_get::<i64, _>(0)
    };
    match dialect {
        Dialect::Sqlite => {
            let others = number(
                connection,
                "SELECT count(*) FROM sqlite_schema WHERE NOT EXISTS \
                 (SELECT 1 FROM sqlite_schema WHERE name = 'nipworker_migrations')",
            )
            .await?;
            Ok((others > 0).then(|| "it holds other tables".to_owned()))
        }
        Dialect::Postgres => {
            connection.execute(MAKE_SCHEMA).await?;
            let is_utf8 = number(
                connection,
                "SELECT (current_setting('server_encoding') = 'UTF8')::int::bigint",
            )
            .await?;
            if is_utf8 == 0 {
                return Ok(Some("its encoding is not UTF8".to_owned()));
            }
            let others = number(
                connection,
                "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema() \
                 AND tablename IN ('events', 'tags', 'totals') AND NOT EXISTS \
                 (SELECT 1 FROM pg_tables WHERE schemaname = current_schema() \
                 AND tablename = 'nipworker_migrations')",
            )
            .await?;
            Ok((others > 0).then(|| {
                "it has tables of these names that are not ours; name another schema by \
                 `?options=-c search_path=…`"
                    .to_owned()
            }))
        }
    }
}
