//! [`SqlStore`]: the port's calls, put together from the parts beside this file.

use std::{
    ops::ControlFlow,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use nipworker_protocol::{Attestation, EventId, Filter, PackedEvent, PublicKey, Verified};
use nipworker_store::{
    CheckReport, EventStore, KvError, OpenError, Page, PageRequest, Position, PutOutcome,
    StoreError, StoreStats, rules,
};
use sqlx::{AnyConnection, AnyPool, Executor};

use crate::{
    bridge::Bridge,
    check::Check,
    connect::{CALL_S, Place, SqlOptions},
    counting::{count, number},
    dialect::Dialect,
    error::told,
    evict::make_room,
    figures::Figures,
    ledger::Batch,
    page::{self, Question, by_id},
    row::{COLUMNS, event_id, read},
    schema,
    statement::Statement,
    transaction::Transaction,
    vanish,
    write::Writer,
};

/// Events that one transaction of a longer removal removes at most.
const EVENTS_PER_COMMIT: usize = 1_000;

/// Events that an export reads at a time.
const EXPORTED_PER_STEP: usize = 500;

/// An [`EventStore`] in the tables of a SQL database.
///
/// Calls block, and may come from any thread, also from one that serves an asynchronous runtime. A call
/// whose caller goes away is rolled back.
pub struct SqlStore {
    // Before the bridge, which drives what it does when it is dropped.
    pool: AnyPool,
    bridge: Bridge,
    dialect: Dialect,
    options: SqlOptions,
    figures: Figures,
    /// Events that made room for others.
    evicted: AtomicU64,
    /// Writers of this process take turns here, before those of others in the database.
    writing: Mutex<()>,
}

impl SqlStore {
    #[cfg(feature = "sqlite")]
    /// Opens the SQLite database in the file `path`; a missing one is created, with its folders.
    ///
    /// # Errors
    /// [`OpenError`]; [`set_aside`](crate::set_aside) makes way for a fresh one where that is meant to
    /// help.
    pub fn open_sqlite(
        path: impl AsRef<std::path::Path>,
        options: SqlOptions,
    ) -> Result<Self, OpenError> {
        Self::open(&Place::sqlite(path.as_ref(), &options)?, options)
    }

    #[cfg(feature = "postgres")]
    /// Opens the tables in the PostgreSQL database that `url` names
    /// (`postgres://user@host:port/database`); missing tables are created, and the schema that `search_path` names; the database is not. Parameters
    /// of the URL are those of PostgreSQL's own clients, `sslmode` and `options` among them. A `password`
    /// counts before one in the URL.
    ///
    /// # Errors
    /// [`OpenError::Unreachable`] where the server does not answer or refuses, [`OpenError::Format`] for
    /// a URL or a database that cannot be used.
    pub fn open_postgres(
        url: &str,
        password: Option<&str>,
        options: SqlOptions,
    ) -> Result<Self, OpenError> {
        Self::open(&Place::postgres(url, password)?, options)
    }

    fn open(place: &Place, options: SqlOptions) -> Result<Self, OpenError> {
        let (bridge, pool) = place.open(&options)?;
        let dialect = place.dialect;
        let evicted = AtomicU64::new(0);
        let figures = Figures::default();
        let store =
            Self { pool, bridge, dialect, options, figures, evicted, writing: Mutex::new(()) };
        let opened = store
            .remove_vanished()
            .and_then(|_| store.make_room())
            .and_then(|()| store.ask_for_figures());
        match opened {
            Ok(()) => Ok(store),
            Err(error) => Err(OpenError::from_store(&place.shown, error)),
        }
    }

    /// Works in a transaction that sees one moment, for [`CALL_S`] at most.
    fn reading<T>(
        &self,
        during: &'static str,
        work: impl AsyncFnOnce(&mut AnyConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.bridge.wait(within(during, self.read(during, work)))
    }

    /// The same, for as long as it takes.
    fn reading_all<T>(
        &self,
        during: &'static str,
        work: impl AsyncFnOnce(&mut AnyConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.bridge.wait(self.read(during, work))
    }

    async fn read<T>(
        &self,
        during: &'static str,
        work: impl AsyncFnOnce(&mut AnyConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let told = |error| told(self.dialect, during, error);
        let begin = self.dialect.begin_read();
        let mut transaction = Transaction::begin(&self.pool, begin).await.map_err(told)?;
        let result = work(transaction.connection()).await?;
        // The answer is there, whatever becomes of the rest; what fails here takes its connection along.
        if self.figures.refresh(transaction.connection(), self.dialect).await.is_ok() {
            transaction.release().await.ok();
        }
        Ok(result)
    }

    /// Works in a transaction that is committed where `work` succeeds, for [`CALL_S`] at most. After that
    /// it is not known whether it was.
    fn writing<T>(
        &self,
        during: &'static str,
        work: impl AsyncFnOnce(&mut Writer<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let dialect = self.dialect;
        let told = |error| told(dialect, during, error);
        // A panic leaves nothing half done: its transaction is rolled back.
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.bridge.wait(within(during, async {
            let begin = dialect.begin_write();
            let mut transaction = Transaction::begin(&self.pool, begin).await.map_err(told)?;
            let mut writer = Writer::new(transaction.connection(), dialect);
            writer.lock().await?;
            let result = work(&mut writer).await?;
            let totals = writer.totals;
            transaction.commit().await.map_err(told)?;
            if let Some(totals) = totals {
                self.figures.set_totals(totals);
            }
            Ok(result)
        }))
    }

    fn ask_for_figures(&self) -> Result<(), StoreError> {
        self.reading("asking for figures", async |connection| {
            self.figures.refresh(connection, self.dialect).await
        })
    }

    /// Removes what is left of those who asked to vanish, and says how many events that were.
    fn remove_vanished(&self) -> Result<u64, StoreError> {
        let mut removed = 0;
        loop {
            let some = self.writing("removing who asked to vanish", async |writer| {
                vanish::remove_some(writer, EVENTS_PER_COMMIT).await
            })?;
            match some {
                Some(some) => removed += some,
                None => return Ok(removed),
            }
        }
    }

    /// Lets go of what is too much.
    fn make_room(&self) -> Result<(), StoreError> {
        let Some(limit) = &self.options.limit else { return Ok(()) };
        loop {
            let evicted =
                self.writing("making room", async |writer| make_room(writer, limit).await)?;
            if evicted == 0 {
                return Ok(());
            }
            self.evicted.fetch_add(evicted, Ordering::Relaxed);
        }
    }

    fn question<'q>(&self, filters: &'q [Filter], now: i64) -> Result<Question<'q>, StoreError> {
        page::check(filters)?;
        Ok(Question { dialect: self.dialect, filters, now })
    }
}

/// Gives up after [`CALL_S`]. The transaction's connection is closed then, and the database rolls back what
/// was not committed.
async fn within<T>(
    during: &'static str,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let limit = Duration::from_secs(CALL_S);
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        let detail = format!("the database gave no answer within {CALL_S} seconds");
        Err(StoreError::Kv(KvError::Unavailable { during, detail }))
    })
}

impl EventStore for SqlStore {
    fn put_packed(
        &self,
        events: &[Verified<PackedEvent>],
        now: i64,
    ) -> Result<Vec<PutOutcome>, StoreError> {
        let limit = self.options.limit.as_ref();
        let put = self.writing("putting events", async |writer| {
            let mut batch = Batch::over(writer.connection, writer.dialect, events).await?;
            let mut outcomes = Vec::with_capacity(events.len());
            for (number, event) in events.iter().enumerate() {
                batch.current = number;
                outcomes.push(rules::put(&mut batch, &event.view(), &self.options.own_urls, now)?);
            }
            writer.apply(&batch, events).await?;
            let evicted = match limit {
                Some(limit) => make_room(writer, limit).await?,
                None => 0,
            };
            Ok((outcomes, !batch.new_vanished.is_empty(), evicted))
        });
        let (outcomes, vanishing, evicted) = put?;
        self.evicted.fetch_add(evicted, Ordering::Relaxed);
        // The events are in, whatever becomes of what follows from them: it is done again with the next
        // put or request to vanish, and when the store is opened.
        if vanishing {
            self.remove_vanished().ok();
        }
        if evicted > 0 {
            self.make_room().ok();
        }
        Ok(outcomes)
    }

    fn query(
        &self,
        filters: &[Filter],
        request: &PageRequest,
        now: i64,
    ) -> Result<Page, StoreError> {
        let question = self.question(filters, now)?;
        self.reading("answering a query", async |connection| {
            question.page(connection, request).await
        })
    }

    fn count(&self, filters: &[Filter], now: i64) -> Result<u64, StoreError> {
        page::check(filters)?;
        self.reading("counting", async |connection| {
            count(connection, self.dialect, filters, now).await
        })
    }

    fn ids(&self, filters: &[Filter], max: usize, now: i64) -> Result<Vec<Position>, StoreError> {
        let question = self.question(filters, now)?;
        self.reading("answering a query", async |connection| {
            question.positions(connection, max).await
        })
    }

    fn get(&self, id: &EventId, now: i64) -> Result<Option<Verified<PackedEvent>>, StoreError> {
        let found = self.reading("reading an event", async |connection| {
            by_id(connection, self.dialect, [*id].into_iter()).await
        })?;
        Ok(found
            .into_values()
            .find(|event| !event.view().is_expired(now))
            .map(|event| Verified::attest(event, Attestation::FromStore)))
    }

    fn sweep_some(&self, now: i64, max: usize) -> Result<u64, StoreError> {
        self.writing("sweeping", async |writer| {
            let dialect = writer.dialect;
            let mut statement = Statement::new("SELECT id FROM events WHERE expires_at <= ");
            statement
                .push_bind(now)
                .push(" ORDER BY expires_at LIMIT ")
                .push_bind(i64::try_from(max).unwrap_or(i64::MAX));
            let expired = statement.query().fetch_all(&mut *writer.connection).await;
            let expired = expired.map_err(|error| told(dialect, "sweeping", error))?;
            let ids: Vec<EventId> =
                expired.iter().map(|row| event_id(row, 0)).collect::<Result<_, _>>()?;
            let changed = writer.remove(&ids).await?;
            writer.add_to_totals(&changed).await?;
            Ok(ids.len() as u64)
        })
    }

    fn vanish(&self, author: &PublicKey, until: i64) -> Result<u64, StoreError> {
        self.writing("noting a request to vanish", async |writer| {
            let mut statement = Statement::new("SELECT coalesce(max(up_to), ");
            statement.push_bind(until).push(") FROM vanished WHERE pubkey = ");
            statement.push_bind(author.as_bytes().to_vec());
            let before = number(writer.connection, writer.dialect, statement).await?;
            writer.mark_vanished(&[(author, &before.max(until))]).await
        })?;
        self.remove_vanished()
    }

    fn delete(&self, filters: &[Filter], now: i64) -> Result<u64, StoreError> {
        page::check(filters)?;
        // Limits play no part.
        let filters: Vec<Filter> =
            filters.iter().map(|filter| Filter { limit: None, ..filter.clone() }).collect();
        let question = self.question(&filters, now)?;
        let mut removed = 0;
        loop {
            let some = self.writing("deleting", async |writer| {
                let found = question.positions(writer.connection, EVENTS_PER_COMMIT).await?;
                let ids: Vec<EventId> = found.iter().map(|position| position.id).collect();
                let changed = writer.remove(&ids).await?;
                writer.add_to_totals(&changed).await?;
                Ok(ids.len())
            })?;
            removed += some as u64;
            if some < EVENTS_PER_COMMIT {
                return Ok(removed);
            }
        }
    }

    fn for_each_oldest_first(
        &self,
        now: i64,
        visit: &mut dyn FnMut(Verified<PackedEvent>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        const DURING: &str = "exporting";
        self.reading_all(DURING, async |connection| {
            let mut behind: Option<Position> = None;
            loop {
                let mut statement = Statement::new(&format!("SELECT {COLUMNS} FROM events"));
                if let Some(behind) = behind {
                    let at = statement.bind(behind.created_at);
                    let id = statement.bind(behind.id.as_bytes().to_vec());
                    statement.push(&format!(
                        " WHERE created_at >= {at} AND (created_at > {at} OR id < {id})"
                    ));
                }
                statement.push(" ORDER BY created_at, id DESC LIMIT ");
                statement.push_bind(EXPORTED_PER_STEP as i64);
                let rows = statement.query().fetch_all(&mut *connection).await;
                let rows = rows.map_err(|error| told(self.dialect, DURING, error))?;
                for row in &rows {
                    let event = read(row)?;
                    behind = Some(Position::of_view(&event.view()));
                    let is_expired = event.view().is_expired(now);
                    if !is_expired
                        && visit(Verified::attest(event, Attestation::FromStore)).is_break()
                    {
                        return Ok(());
                    }
                }
                if rows.len() < EXPORTED_PER_STEP {
                    return Ok(());
                }
            }
        })
    }

    fn check(&self) -> Result<CheckReport, StoreError> {
        self.reading_all("checking", async |connection| {
            Check::new(connection, self.dialect).run().await
        })
    }

    /// As of the last use of the store; where others write to the database, at most ten seconds behind it.
    fn stats(&self) -> Result<StoreStats, StoreError> {
        let known = self.figures.known();
        Ok(StoreStats {
            backend: self.dialect.name().to_owned(),
            events: known.events,
            event_bytes: known.bytes,
            evicted: self.evicted.load(Ordering::Relaxed),
            disk_bytes: Some(known.disk_bytes),
            schema_version: schema::VERSION,
        })
    }

    /// Nothing is kept back: each commit is on the disk when it returns.
    fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn compact(&self) -> Result<(), StoreError> {
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let told = |error| told(self.dialect, "compacting", error);
        self.bridge.wait(async {
            // Its settings go with it.
            let mut connection = self.pool.acquire().await.map_err(told)?;
            connection.close_on_drop();
            for statement in self.dialect.compact() {
                connection.execute(*statement).await.map_err(told)?;
            }
            Ok::<_, StoreError>(())
        })?;
        self.figures.expire();
        self.ask_for_figures()
    }
}

impl Drop for SqlStore {
    fn drop(&mut self) {
        // Waits until connections are closed: SQLite writes its log back with the last of them.
        self.bridge.wait(self.pool.close());
    }
}
