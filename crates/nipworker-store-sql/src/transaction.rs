//! A transaction that leaves no trace on its connection, whatever becomes of it.

use sqlx::{Any, AnyConnection, AnyPool, Executor, pool::PoolConnection};

/// A transaction in progress. Dropped before its end it takes its connection along, and with that the
/// database rolls it back.
///
/// Not sqlx's own: after a full disk SQLite has rolled back by itself, which that takes for a transaction
/// still in progress, so that nobody can use the connection again.
pub(crate) struct Transaction {
    connection: Option<PoolConnection<Any>>,
}

impl Transaction {
    pub(crate) async fn begin(pool: &AnyPool, begin: &'static str) -> Result<Self, sqlx::Error> {
        let mut transaction = Self { connection: Some(pool.acquire().await?) };
        transaction.connection().execute(begin).await?;
        Ok(transaction)
    }

    pub(crate) fn connection(&mut self) -> &mut AnyConnection {
        self.connection.as_mut().expect("it is there until the end")
    }

    /// Ends it and keeps what it changed.
    pub(crate) async fn commit(self) -> Result<(), sqlx::Error> {
        self.end("COMMIT").await
    }

    /// Ends it where it changed nothing.
    pub(crate) async fn release(self) -> Result<(), sqlx::Error> {
        self.end("ROLLBACK").await
    }

    async fn end(mut self, statement: &'static str) -> Result<(), sqlx::Error> {
        self.connection().execute(statement).await?;
        // Back to the others.
        drop(self.connection.take());
        Ok(())
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            connection.close_on_drop();
        }
    }
}
