//! Places to test at: a file in a fresh folder, or a fresh schema on the server that the test command
//! started.

use std::{
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
};

use nipworker_store_sql::{OpenError, SqlOptions, SqlStore};
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Executor};

/// Opens a SQLite file.
#[allow(dead_code, reason = "not every test needs both databases")]
pub(crate) fn sqlite(path: &Path) -> Result<SqlStore, OpenError> {
    SqlStore::open_sqlite(path, SqlOptions::default())
}

/// The address of the test server's database.
///
/// # Panics
/// When no server was started.
#[allow(dead_code, reason = "not every test needs both databases")]
pub(crate) fn server() -> String {
    std::env::var("NIPWORKER_POSTGRES").expect(
        "NIPWORKER_POSTGRES names no server: run `cargo xtask test`, or \
         `cargo xtask with-postgres cargo test -p nipworker-store-sql`",
    )
}

/// Executes a statement in a database.
#[allow(dead_code, reason = "not every test needs both databases")]
pub(crate) fn execute_at(url: &str, sql: String) {
    sqlx::any::install_default_drivers();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connection = AnyConnection::connect(url).await.unwrap();
        connection.execute(AssertSqlSafe(sql)).await.unwrap();
        connection.close().await.unwrap();
    });
}

/// The address of a schema that nobody else uses. It is made when the store is.
#[allow(dead_code, reason = "not every test needs both databases")]
pub(crate) fn fresh_schema() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{}?options=-c%20search_path%3Dtest_{}_{number}", server(), std::process::id())
}
