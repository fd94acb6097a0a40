//! How sqlx's errors are told to others.

use std::{io, path::Path};

use nipworker_store::{KvError, OpenError, StoreError};
use sqlx::migrate::MigrateError;

use crate::{dialect::Dialect, schema};

/// Primary result codes of SQLite.
mod sqlite {
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const READONLY: i32 = 8;
    pub(super) const IOERR: i32 = 10;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const CONSTRAINT: i32 = 19;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANTOPEN: i32 = 14;
    pub(super) const NOTADB: i32 = 26;
}

/// Tells an error of a statement.
pub(crate) fn told(dialect: Dialect, during: &'static str, error: sqlx::Error) -> StoreError {
    let unavailable = |detail: String| KvError::Unavailable { during, detail };
    StoreError::Kv(match error {
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default().into_owned();
            let detail = error.message().to_owned();
            if is_permanent(dialect, &code) {
                return StoreError::Damaged { what: format!("{during}: {detail} (code {code})") };
            }
            match dialect {
                Dialect::Sqlite => told_by_sqlite(during, &code, detail),
                Dialect::Postgres => told_by_postgres(during, &code, detail),
            }
        }
        sqlx::Error::Io(source) => match dialect {
            Dialect::Sqlite => KvError::Io { during, source },
            // The connection is gone, not the disk.
            Dialect::Postgres => unavailable(source.to_string()),
        },
        error @ (sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. }) => {
            return StoreError::Damaged { what: error.to_string() };
        }
        other => unavailable(other.to_string()),
    })
}

/// Whether the same statement will fail again until somebody changes something: tables that say otherwise
/// than they should, missing rights, a server that only reads.
fn is_permanent(dialect: Dialect, code: &str) -> bool {
    match dialect {
        Dialect::Sqlite => primary(code) == sqlite::CONSTRAINT,
        Dialect::Postgres => {
            code == "25006" || ["23", "42"].iter().any(|class| code.starts_with(class))
        }
    }
}

/// The primary code is the low byte of the extended one.
fn primary(code: &str) -> i32 {
    code.parse::<i32>().unwrap_or_default() & 0xff
}

fn told_by_sqlite(during: &'static str, code: &str, detail: String) -> KvError {
    match primary(code) {
        sqlite::FULL => {
            KvError::Full { during, source: io::Error::new(io::ErrorKind::StorageFull, detail) }
        }
        sqlite::CORRUPT | sqlite::NOTADB => KvError::Corrupt { during, detail },
        sqlite::READONLY => KvError::Io {
            during,
            source: io::Error::new(io::ErrorKind::ReadOnlyFilesystem, detail),
        },
        sqlite::CANTOPEN => {
            KvError::Io { during, source: io::Error::new(io::ErrorKind::PermissionDenied, detail) }
        }
        sqlite::IOERR => KvError::Io { during, source: io::Error::other(detail) },
        sqlite::BUSY | sqlite::LOCKED => KvError::Unavailable { during, detail },
        _ => KvError::Unavailable { during, detail: format!("{detail} (code {code})") },
    }
}

/// By the SQLSTATE.
fn told_by_postgres(during: &'static str, code: &str, detail: String) -> KvError {
    match code {
        "53100" => {
            KvError::Full { during, source: io::Error::new(io::ErrorKind::StorageFull, detail) }
        }
        // Damaged data and damaged indexes; others of this class pass.
        "XX001" | "XX002" => KvError::Corrupt { during, detail },
        code => KvError::Unavailable { during, detail: format!("{detail} (SQLSTATE {code})") },
    }
}

/// Tells an error of opening the database in `path`.
pub(crate) fn not_opened(dialect: Dialect, path: &Path, error: sqlx::Error) -> OpenError {
    match (dialect, told(dialect, "opening", error)) {
        (Dialect::Postgres, StoreError::Kv(KvError::Unavailable { detail, .. })) => {
            OpenError::Unreachable { path: path.to_owned(), detail }
        }
        (_, error) => OpenError::from_store(path, error),
    }
}

/// Tells why the tables could not be brought up to date.
pub(crate) fn not_migrated(dialect: Dialect, path: &Path, error: MigrateError) -> OpenError {
    let store = |source| OpenError::Store { path: path.to_owned(), source };
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            not_opened(dialect, path, error)
        }
        MigrateError::VersionMissing(found) => store(StoreError::SchemaTooNew {
            found: u32::try_from(found).unwrap_or(u32::MAX),
            supported: schema::VERSION,
        }),
        other => OpenError::Format { path: path.to_owned(), detail: other.to_string() },
    }
}
