//! Compares every row with its event.

use std::collections::{HashMap, HashSet};

use nipworker_protocol::{EventId, PackedEvent, PublicKey};
use nipworker_store::{
    CheckReport, StoreError,
    rules::{concerned, is_beyond_deletion},
};
use sqlx::{AnyConnection, Row, any::AnyRow};

use crate::{
    counting::{number, totals},
    dialect::Dialect,
    error::told,
    filter::hex_list,
    ledger::{Address, deleted_addresses, read_deleted_address},
    row::{EventRow, event_id, public_key, read},
    statement::Statement,
};

const DURING: &str = "checking";

/// Events that are compared at a time.
const EVENTS_PER_STEP: usize = 500;

/// Index entries that each event has besides those of its address, expiration and tags: by id, author,
/// kind, and author with kind.
const ENTRIES_OF_ALL: u64 = 4;

/// A check in progress, within one transaction.
pub(crate) struct Check<'c> {
    pub(crate) connection: &'c mut AnyConnection,
    pub(crate) dialect: Dialect,
    pub(crate) report: CheckReport,
    /// What the events count for together.
    bytes: u64,
    values: u64,
}

impl<'c> Check<'c> {
    pub(crate) fn new(connection: &'c mut AnyConnection, dialect: Dialect) -> Self {
        Self { connection, dialect, report: CheckReport::default(), bytes: 0, values: 0 }
    }

    /// Reads everything once and says what disagrees.
    pub(crate) async fn run(mut self) -> Result<CheckReport, StoreError> {
        self.ask_the_database().await?;
        let mut behind: Option<EventId> = None;
        loop {
            let rows = self.step(behind).await?;
            let Some(last) = rows.last() else { break };
            behind = Some(event_id(last, 0)?);
            self.compare(&rows).await?;
        }
        self.compare_totals().await?;
        Ok(self.report)
    }

    /// What the database itself finds.
    async fn ask_the_database(&mut self) -> Result<(), StoreError> {
        if self.dialect == Dialect::Postgres {
            // It has checksums of its own, which its administrator turns on.
            return Ok(());
        }
        let told = self.told();
        for pragma in ["PRAGMA integrity_check", "PRAGMA foreign_key_check"] {
            let rows = sqlx::query(pragma).fetch_all(&mut *self.connection).await.map_err(told)?;
            for row in rows {
                match row.try_get::<String, _>(0).map_err(told)?.as_str() {
                    "ok" => {}
                    problem => self.report.problem(format!("{pragma}: {problem}")),
                }
            }
        }
        Ok(())
    }

    async fn step(&mut self, behind: Option<EventId>) -> Result<Vec<AnyRow>, StoreError> {
        let mut statement = Statement::new(
            "SELECT id, pubkey, created_at, kind, tags, content, content_bytes, sig, \
             identifier, expires_at, packed_bytes, counted_bytes FROM events",
        );
        if let Some(behind) = behind {
            statement.push(" WHERE id > ").push_bind(behind.as_bytes().to_vec());
        }
        statement.push(" ORDER BY id LIMIT ").push_bind(EVENTS_PER_STEP as i64);
        statement.query().fetch_all(&mut *self.connection).await.map_err(self.told())
    }

    async fn compare(&mut self, rows: &[AnyRow]) -> Result<(), StoreError> {
        let ids: Vec<EventId> =
            rows.iter().map(|row| event_id(row, 0)).collect::<Result<_, _>>()?;
        let mut values = self.values_of(&ids).await?;
        let deleted = self.deleted_ids(&ids).await?;
        let mut events = Vec::with_capacity(rows.len());
        for (row, id) in rows.iter().zip(&ids) {
            self.report.events += 1;
            let packed = match read(row) {
                Ok(packed) => packed,
                Err(error) => {
                    self.report.problem(error.to_string());
                    continue;
                }
            };
            let event = packed.view();
            if let Err(error) = event.to_event().check_id() {
                self.report.problem(format!("event {id}: {error}"));
            }
            let expected = EventRow::of(&event);
            self.bytes += expected.counted_bytes.unsigned_abs();
            self.compare_columns(row, &expected)?;
            let there = values.remove(id).unwrap_or_default();
            self.values += there.len() as u64;
            if there != expected.values {
                self.report.problem(format!("event {id}: the table of tags says otherwise"));
            }
            if !is_beyond_deletion(event.kind())
                && deleted.get(id).is_some_and(|authors| authors.contains(&event.pubkey().to_hex()))
            {
                self.report.problem(format!("event {id} is kept although its author deleted it"));
            }
            events.push(packed);
        }
        self.compare_marks(&events).await
    }

    fn compare_columns(&mut self, row: &AnyRow, expected: &EventRow) -> Result<(), StoreError> {
        let told = self.told();
        let text = |column| row.try_get::<Option<String>, _>(column).map_err(told);
        let number = |column| row.try_get::<Option<i64>, _>(column).map_err(told);
        let agree = [
            ("content", text(5)?.as_ref() == Some(&expected.content)),
            ("identifier", text(8)? == expected.identifier),
            ("expires_at", number(9)? == expected.expires_at),
            ("packed_bytes", number(10)? == Some(expected.packed_bytes)),
            ("counted_bytes", number(11)? == Some(expected.counted_bytes)),
        ];
        for (column, agrees) in agree {
            if !agrees {
                self.report
                    .problem(format!("event {}: column {column} says otherwise", expected.id));
            }
        }
        self.report.index_entries += ENTRIES_OF_ALL
            + u64::from(expected.identifier.is_some())
            + u64::from(expected.expires_at.is_some());
        Ok(())
    }

    /// Marks that would have kept these events away.
    async fn compare_marks(&mut self, events: &[PackedEvent]) -> Result<(), StoreError> {
        let views = || events.iter().map(PackedEvent::view);
        let authors: HashSet<PublicKey> = views().flat_map(|event| concerned(&event)).collect();
        let vanished = self.vanished(&authors).await?;
        let addresses: HashSet<Address> =
            views().filter_map(|event| event.coordinate().as_ref().map(Address::of)).collect();
        let deleted = self.deleted_addresses(&addresses).await?;
        for event in views() {
            let (id, created_at) = (event.id(), event.created_at());
            for author in concerned(&event) {
                if vanished.get(&author).is_some_and(|until| created_at <= *until) {
                    self.report
                        .problem(format!("event {id} is kept although {author} asked to vanish"));
                }
            }
            let address = event.coordinate().as_ref().map(Address::of);
            let until = address.and_then(|address| deleted.get(&address));
            if until.is_some_and(|until| created_at <= *until) {
                self.report.problem(format!("event {id} is kept although its address was deleted"));
            }
        }
        Ok(())
    }

    /// Up to when these authors asked to vanish.
    async fn vanished(
        &mut self,
        authors: &HashSet<PublicKey>,
    ) -> Result<HashMap<PublicKey, i64>, StoreError> {
        let mut statement = Statement::new("SELECT pubkey, up_to FROM vanished WHERE ");
        let list = hex_list(&mut statement, authors.iter().map(PublicKey::as_bytes));
        statement.push(&self.dialect.is_among_bytes("pubkey", &list));
        let told = self.told();
        let rows = statement.query().fetch_all(&mut *self.connection).await.map_err(told)?;
        rows.iter().map(|row| Ok((public_key(row, 0)?, row.try_get(1).map_err(told)?))).collect()
    }

    /// Up to when these addresses were deleted.
    async fn deleted_addresses(
        &mut self,
        addresses: &HashSet<Address>,
    ) -> Result<HashMap<Address, i64>, StoreError> {
        if addresses.is_empty() {
            return Ok(HashMap::new());
        }
        let statement = deleted_addresses(self.dialect, addresses);
        let told = self.told();
        let rows = statement.query().fetch_all(&mut *self.connection).await.map_err(told)?;
        rows.iter().map(|row| read_deleted_address(row, told)).collect()
    }

    /// What the table of tags holds of these events, in the order in which it is expected.
    async fn values_of(
        &mut self,
        ids: &[EventId],
    ) -> Result<HashMap<EventId, Vec<(char, String)>>, StoreError> {
        let mut statement = Statement::new("SELECT event_id, letter, value FROM tags WHERE ");
        let list = hex_list(&mut statement, ids.iter().map(EventId::as_bytes));
        statement.push(&self.dialect.is_among_bytes("event_id", &list));
        let told = self.told();
        let mut values: HashMap<EventId, Vec<(char, String)>> = HashMap::new();
        for row in statement.query().fetch_all(&mut *self.connection).await.map_err(told)? {
            let letter: String = row.try_get(1).map_err(told)?;
            let value = (letter.chars().next().unwrap_or_default(), row.try_get(2).map_err(told)?);
            values.entry(event_id(&row, 0)?).or_default().push(value);
        }
        values.values_mut().for_each(|values| values.sort_unstable());
        Ok(values)
    }

    /// Who asked for the deletion of these events.
    async fn deleted_ids(
        &mut self,
        ids: &[EventId],
    ) -> Result<HashMap<EventId, Vec<String>>, StoreError> {
        let mut statement = Statement::new("SELECT id, pubkey FROM deleted_ids WHERE ");
        let list = hex_list(&mut statement, ids.iter().map(EventId::as_bytes));
        statement.push(&self.dialect.is_among_bytes("id", &list));
        let told = self.told();
        let mut deleted: HashMap<EventId, Vec<String>> = HashMap::new();
        for row in statement.query().fetch_all(&mut *self.connection).await.map_err(told)? {
            let author: Vec<u8> = row.try_get(1).map_err(told)?;
            deleted.entry(event_id(&row, 0)?).or_default().push(hex::encode(author));
        }
        Ok(deleted)
    }

    async fn compare_totals(&mut self) -> Result<(), StoreError> {
        let values = self.count("SELECT count(*) FROM tags").await?;
        if values != self.values {
            self.report.problem(format!(
                "{values} rows of tags where the events account for {}",
                self.values
            ));
        }
        self.report.index_entries += values;
        for marks in [
            "SELECT count(*) FROM deleted_ids",
            "SELECT count(*) FROM deleted_addresses",
            "SELECT count(*) FROM vanished",
        ] {
            self.report.deletion_marks += self.count(marks).await?;
        }
        let (events, bytes) = totals(self.connection, self.dialect).await?;
        if events != self.report.events {
            let there = self.report.events;
            self.report.problem(format!("the totals say {events} events, there are {there}"));
        }
        // A row that cannot be read is a problem of its own, and what it took is not known.
        if self.report.is_clean() && bytes != self.bytes {
            let there = self.bytes;
            self.report.problem(format!("the totals say {bytes} bytes, there are {there}"));
        }
        Ok(())
    }

    async fn count(&mut self, sql: &str) -> Result<u64, StoreError> {
        number(self.connection, self.dialect, Statement::new(sql)).await.map(i64::cast_unsigned)
    }

    fn told(&self) -> impl Fn(sqlx::Error) -> StoreError + Copy + use<> {
        let dialect = self.dialect;
        move |error| told(dialect, DURING, error)
    }
}
