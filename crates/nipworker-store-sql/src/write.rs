//! Changes to the tables, within a transaction.

use nipworker_protocol::{EventId, PackedEvent, PublicKey, Verified};
use nipworker_store::StoreError;
use sqlx::{Any, AnyConnection, Encode, Row, Type};

use crate::{
    dialect::Dialect, error::told, filter::hex_list, ledger::Batch, row::EventRow,
    statement::Statement,
};

const DURING: &str = "writing";

/// Rows that one statement writes: the largest of these that are left. Few sizes, so that the prepared
/// statements are used again.
const ROWS_PER_STATEMENT: [usize; 4] = [128, 16, 4, 1];

/// What was changed, to be added to the totals.
#[derive(Default)]
pub(crate) struct Changed {
    pub(crate) events: i64,
    pub(crate) bytes: i64,
}

/// A transaction's connection.
pub(crate) struct Writer<'c> {
    pub(crate) connection: &'c mut AnyConnection,
    pub(crate) dialect: Dialect,
    /// Events and bytes, once they have changed.
    pub(crate) totals: Option<(u64, u64)>,
}

impl<'c> Writer<'c> {
    pub(crate) fn new(connection: &'c mut AnyConnection, dialect: Dialect) -> Self {
        Self { connection, dialect, totals: None }
    }

    /// Makes this writer the only one of this database until its transaction ends.
    pub(crate) async fn lock(&mut self) -> Result<(), StoreError> {
        match self.dialect.lock() {
            Some(lock) => self.execute(Statement::new(lock)).await,
            None => Ok(()),
        }
    }

    /// Carries a batch out, the totals included.
    pub(crate) async fn apply(
        &mut self,
        batch: &Batch,
        events: &[Verified<PackedEvent>],
    ) -> Result<Changed, StoreError> {
        // Who gives way goes before who takes its address.
        let mut changed = self.remove(&batch.removed).await?;
        let rows: Vec<EventRow> =
            batch.added().map(|number| EventRow::of(&events[number].view())).collect();
        for row in &rows {
            changed.events += 1;
            changed.bytes += row.counted_bytes;
        }
        self.insert_events(&rows).await?;
        self.insert_marks(batch).await?;
        self.add_to_totals(&changed).await?;
        Ok(changed)
    }

    /// Removes events, which need not be there, without touching the totals.
    pub(crate) async fn remove(&mut self, ids: &[EventId]) -> Result<Changed, StoreError> {
        let mut changed = Changed::default();
        if ids.is_empty() {
            return Ok(changed);
        }
        let mut statement = Statement::new("DELETE FROM events WHERE ");
        let list = hex_list(&mut statement, ids.iter().map(EventId::as_bytes));
        statement.push(&self.dialect.is_among_bytes("id", &list));
        statement.push(" RETURNING counted_bytes");
        let told = self.told();
        let gone = statement.query().fetch_all(&mut *self.connection).await.map_err(told)?;
        for row in gone {
            changed.events -= 1;
            changed.bytes -= row.try_get::<i64, _>(0).map_err(told)?;
        }
        Ok(changed)
    }

    pub(crate) async fn add_to_totals(&mut self, changed: &Changed) -> Result<(), StoreError> {
        if changed.events == 0 && changed.bytes == 0 {
            return Ok(());
        }
        let mut statement = Statement::new("UPDATE totals SET events = events + ");
        statement.push_bind(changed.events).push(", bytes = bytes + ").push_bind(changed.bytes);
        statement.push(" RETURNING events, bytes");
        let told = self.told();
        let row = statement.query().fetch_one(&mut *self.connection).await.map_err(told)?;
        let column = |at| row.try_get::<i64, _>(at).map(|it| it.max(0).cast_unsigned());
        self.totals = Some((column(0).map_err(told)?, column(1).map_err(told)?));
        Ok(())
    }

    async fn insert_events(&mut self, rows: &[EventRow]) -> Result<(), StoreError> {
        const INTO_EVENTS: &str = "INSERT INTO events (id, pubkey, created_at, kind, tags, \
             content, sig, identifier, expires_at, content_bytes, packed_bytes, counted_bytes) VALUES ";
        self.insert(INTO_EVENTS, "", rows, |row, values| {
            values.bind(row.id.as_bytes().to_vec());
            values.bind(row.pubkey.as_bytes().to_vec());
            values.bind(row.created_at);
            values.bind(i32::from(row.kind));
            values.bind(row.tags.clone());
            values.bind(row.content.clone());
            values.bind(row.sig.as_bytes().to_vec());
            values.bind(row.identifier.clone());
            values.bind(row.expires_at);
            values.bind(row.content_bytes.clone());
            values.bind(row.packed_bytes);
            values.bind(row.counted_bytes);
        })
        .await?;
        let tags: Vec<(&EventRow, &(char, String))> =
            rows.iter().flat_map(|row| row.values.iter().map(move |value| (row, value))).collect();
        const INTO_TAGS: &str = "INSERT INTO tags (event_id, letter, value, created_at) VALUES ";
        self.insert(INTO_TAGS, "", &tags, |(row, (letter, value)), values| {
            values.bind(row.id.as_bytes().to_vec());
            values.bind(letter.to_string());
            values.bind(value.clone());
            values.bind(row.created_at);
        })
        .await
    }

    async fn insert_marks(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.insert(
            "INSERT INTO deleted_ids (id, pubkey) VALUES ",
            " ON CONFLICT DO NOTHING",
            &batch.new_deleted_ids,
            |(id, author), values| {
                values.bind(id.as_bytes().to_vec());
                values.bind(author.as_bytes().to_vec());
            },
        )
        .await?;
        let addresses: Vec<_> = batch.new_deleted_until.iter().collect();
        self.insert(
            "INSERT INTO deleted_addresses (kind, pubkey, identifier, up_to) VALUES ",
            " ON CONFLICT (kind, pubkey, identifier) DO UPDATE SET up_to = excluded.up_to",
            &addresses,
            |(address, until), values| {
                values.bind(i32::from(address.kind));
                values.bind(address.pubkey.as_bytes().to_vec());
                values.bind(address.identifier.clone());
                values.bind(**until);
            },
        )
        .await?;
        let vanished: Vec<_> = batch.new_vanished.iter().collect();
        self.mark_vanished(&vanished).await
    }

    /// Notes who asked to vanish, and that something of them may be left to remove.
    pub(crate) async fn mark_vanished(
        &mut self,
        authors: &[(&PublicKey, &i64)],
    ) -> Result<(), StoreError> {
        self.insert(
            "INSERT INTO vanished (pubkey, up_to, is_pending) VALUES ",
            " ON CONFLICT (pubkey) DO UPDATE SET up_to = excluded.up_to, is_pending = 1",
            authors,
            |(author, until), values| {
                values.bind(author.as_bytes().to_vec());
                values.bind(**until);
                values.bind(1_i32);
            },
        )
        .await
    }

    /// Inserts rows, many in one statement. `bind` binds the columns of one.
    async fn insert<R>(
        &mut self,
        into: &str,
        behind: &str,
        mut rows: &[R],
        bind: impl Fn(&R, &mut Values<'_>),
    ) -> Result<(), StoreError> {
        while !rows.is_empty() {
            let size = ROWS_PER_STATEMENT.iter().find(|size| **size <= rows.len()).unwrap_or(&1);
            let (now, later) = rows.split_at(*size);
            let mut statement = Statement::new(into);
            for (place, row) in now.iter().enumerate() {
                statement.push(if place == 0 { "(" } else { ", (" });
                let mut values = Values { statement: &mut statement, is_first: true };
                bind(row, &mut values);
                statement.push(")");
            }
            statement.push(behind);
            self.execute(statement).await?;
            rows = later;
        }
        Ok(())
    }

    pub(crate) async fn execute(&mut self, statement: Statement) -> Result<(), StoreError> {
        statement.query().execute(&mut *self.connection).await.map_err(self.told())?;
        Ok(())
    }

    fn told(&self) -> impl Fn(sqlx::Error) -> StoreError + Copy + use<> {
        let dialect = self.dialect;
        move |error| told(dialect, DURING, error)
    }
}

/// The columns of one row in the making.
struct Values<'s> {
    statement: &'s mut Statement,
    is_first: bool,
}

impl Values<'_> {
    fn bind<'v, T>(&mut self, value: T)
    where
        T: Encode<'v, Any> + Type<Any>,
    {
        if !self.is_first {
            self.statement.push(", ");
        }
        self.is_first = false;
        self.statement.push_bind(value);
    }
}
