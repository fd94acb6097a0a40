//! The figures of a store, known without asking the database: who wants to know must not wait for it.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use nipworker_store::StoreError;
use sqlx::AnyConnection;

use crate::{
    counting::{number, totals},
    dialect::Dialect,
    statement::Statement,
};

/// Whoever uses the store asks anew after this: others may write to the same database.
const AGE_MAX: Duration = Duration::from_secs(10);

/// What was true when the store was used last.
#[derive(Clone, Copy, Default)]
pub(crate) struct Known {
    pub(crate) events: u64,
    pub(crate) bytes: u64,
    pub(crate) disk_bytes: u64,
    asked: Option<Instant>,
}

#[derive(Default)]
pub(crate) struct Figures {
    known: Mutex<Known>,
}

impl Figures {
    pub(crate) fn known(&self) -> Known {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what a transaction of ours came to.
    pub(crate) fn set_totals(&self, (events, bytes): (u64, u64)) {
        let mut known = self.lock();
        (known.events, known.bytes) = (events, bytes);
    }

    /// Asks the database, unless that was done lately.
    pub(crate) async fn refresh(
        &self,
        connection: &mut AnyConnection,
        dialect: Dialect,
    ) -> Result<(), StoreError> {
        if self.known().asked.is_some_and(|asked| asked.elapsed() < AGE_MAX) {
            return Ok(());
        }
        let (events, bytes) = totals(connection, dialect).await?;
        let disk = Statement::new(dialect.disk_bytes());
        let disk_bytes = number(connection, dialect, disk).await?.cast_unsigned();
        *self.lock() = Known { events, bytes, disk_bytes, asked: Some(Instant::now()) };
        Ok(())
    }

    /// Asks anew with the next use.
    pub(crate) fn expire(&self) {
        self.lock().asked = None;
    }
}
