//! A batch in the making: what the tables say about its events, read beforehand in a few statements, with
//! the changes so far laid over it.

use std::collections::{BTreeSet, HashMap, HashSet};

use nipworker_protocol::{Coordinate, EventId, EventView, PackedEvent, PublicKey, Verified, kinds};
use nipworker_store::{
    Position, StoreError,
    rules::{Held, Ledger, Target, concerned, deletion_targets},
};
use sqlx::{AnyConnection, Row, any::AnyRow};

use crate::{
    dialect::Dialect,
    error::told,
    filter::{hex_list, json},
    row::{event_id, public_key},
    statement::Statement,
    text::encoded,
};

const DURING: &str = "reading what is known of a batch";

/// An address as the tables know it: the identifier is encoded.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    pub(crate) kind: u16,
    pub(crate) pubkey: PublicKey,
    pub(crate) identifier: String,
}

impl Address {
    pub(crate) fn of(address: &Coordinate) -> Self {
        Self {
            kind: address.kind,
            pubkey: address.pubkey,
            identifier: encoded(&address.identifier),
        }
    }
}

/// An event that is held, and its address.
struct Known {
    held: Held,
    address: Option<Address>,
    /// Its number, where it is an event of the batch.
    number: Option<usize>,
}

/// What is known of a batch, and what becomes of it.
#[derive(Default)]
pub(crate) struct Batch {
    /// Number of the event that is being put.
    pub(crate) current: usize,
    known: HashMap<EventId, Known>,
    holders: HashMap<Address, EventId>,
    deleted_ids: HashSet<(EventId, PublicKey)>,
    deleted_until: HashMap<Address, i64>,
    vanished: HashMap<PublicKey, i64>,
    /// Numbers of the events of the batch that are to be added.
    added: BTreeSet<usize>,
    /// Events of the tables that are to go.
    pub(crate) removed: Vec<EventId>,
    pub(crate) new_deleted_ids: Vec<(EventId, PublicKey)>,
    pub(crate) new_deleted_until: HashMap<Address, i64>,
    pub(crate) new_vanished: HashMap<PublicKey, i64>,
}

impl Batch {
    /// Reads everything that the rules may ask about these events.
    pub(crate) async fn over(
        connection: &mut AnyConnection,
        dialect: Dialect,
        events: &[Verified<PackedEvent>],
    ) -> Result<Self, StoreError> {
        let mut batch = Self::default();
        let mut ids: HashSet<EventId> = HashSet::new();
        let mut authors: HashSet<PublicKey> = HashSet::new();
        let mut addresses: HashSet<Address> = HashSet::new();
        for event in events {
            let event = event.view();
            ids.insert(event.id());
            authors.insert(event.pubkey());
            authors.extend(concerned(&event));
            addresses.extend(event.coordinate().as_ref().map(Address::of));
            if event.kind() == kinds::DELETION {
                for target in deletion_targets(&event) {
                    match target {
                        Target::Id(id) => drop(ids.insert(id)),
                        Target::Address(address) => drop(addresses.insert(Address::of(&address))),
                    }
                }
            }
        }
        if events.is_empty() {
            return Ok(batch);
        }
        let told = |error| told(dialect, DURING, error);

        const HELD: &str = "SELECT id, pubkey, kind, created_at, identifier FROM events WHERE ";
        let mut held = Statement::new(HELD);
        let list = hex_list(&mut held, ids.iter().map(EventId::as_bytes));
        held.push(&dialect.is_among_bytes("id", &list));
        for row in held.query().fetch_all(&mut *connection).await.map_err(told)? {
            batch.know(&row, told)?;
        }

        let mut deleted = Statement::new("SELECT id, pubkey FROM deleted_ids WHERE ");
        let list = hex_list(&mut deleted, ids.iter().map(EventId::as_bytes));
        deleted.push(&dialect.is_among_bytes("id", &list));
        for row in deleted.query().fetch_all(&mut *connection).await.map_err(told)? {
            batch.deleted_ids.insert((event_id(&row, 0)?, public_key(&row, 1)?));
        }

        let mut vanished = Statement::new("SELECT pubkey, up_to FROM vanished WHERE ");
        let list = hex_list(&mut vanished, authors.iter().map(PublicKey::as_bytes));
        vanished.push(&dialect.is_among_bytes("pubkey", &list));
        for row in vanished.query().fetch_all(&mut *connection).await.map_err(told)? {
            batch.vanished.insert(public_key(&row, 0)?, row.try_get(1).map_err(told)?);
        }

        if !addresses.is_empty() {
            let mut holders = Statement::new(HELD);
            let list = holders.bind(address_list(&addresses));
            holders.push(&dialect.is_among_addresses(&list));
            for row in holders.query().fetch_all(&mut *connection).await.map_err(told)? {
                batch.know(&row, told)?;
            }
            let deleted = deleted_addresses(dialect, &addresses);
            for row in deleted.query().fetch_all(&mut *connection).await.map_err(told)? {
                let (address, until) = read_deleted_address(&row, told)?;
                batch.deleted_until.insert(address, until);
            }
        }
        Ok(batch)
    }

    fn know(
        &mut self,
        row: &AnyRow,
        told: impl Fn(sqlx::Error) -> StoreError,
    ) -> Result<(), StoreError> {
        let id = event_id(row, 0)?;
        let author = public_key(row, 1)?;
        let kind = kind_of(row.try_get(2).map_err(&told)?)?;
        let created_at = row.try_get(3).map_err(&told)?;
        let identifier: Option<String> = row.try_get(4).map_err(&told)?;
        let address = identifier.map(|identifier| Address { kind, pubkey: author, identifier });
        let held = Held { position: Position { created_at, id }, author, kind };
        self.add(Known { held, address, number: None });
        Ok(())
    }

    fn add(&mut self, known: Known) {
        let id = known.held.position.id;
        if let Some(address) = &known.address {
            self.holders.insert(address.clone(), id);
        }
        self.known.insert(id, known);
    }

    /// Numbers of the events that are to be added.
    pub(crate) fn added(&self) -> impl Iterator<Item = usize> {
        self.added.iter().copied()
    }
}

fn address_list(addresses: &HashSet<Address>) -> String {
    let triples: Vec<_> = addresses
        .iter()
        .map(|address| (address.kind, address.pubkey.to_hex(), &address.identifier))
        .collect();
    json(&triples)
}

/// Asks up to when these addresses were deleted.
pub(crate) fn deleted_addresses(dialect: Dialect, addresses: &HashSet<Address>) -> Statement {
    let mut statement =
        Statement::new("SELECT kind, pubkey, identifier, up_to FROM deleted_addresses WHERE ");
    let list = statement.bind(address_list(addresses));
    statement.push(&dialect.is_among_addresses(&list));
    statement
}

/// Reads an answer to [`deleted_addresses`].
pub(crate) fn read_deleted_address(
    row: &AnyRow,
    told: impl Fn(sqlx::Error) -> StoreError,
) -> Result<(Address, i64), StoreError> {
    let address = Address {
        kind: kind_of(row.try_get(0).map_err(&told)?)?,
        pubkey: public_key(row, 1)?,
        identifier: row.try_get(2).map_err(&told)?,
    };
    Ok((address, row.try_get(3).map_err(&told)?))
}

fn kind_of(column: i64) -> Result<u16, StoreError> {
    u16::try_from(column)
        .map_err(|_| StoreError::Damaged { what: format!("kind {column} is out of range") })
}

impl Ledger for Batch {
    fn vanished_until(&self, author: &PublicKey) -> Result<Option<i64>, StoreError> {
        Ok(self.vanished.get(author).copied())
    }

    fn is_held(&self, id: &EventId) -> Result<bool, StoreError> {
        Ok(self.known.contains_key(id))
    }

    fn held(&self, id: &EventId) -> Result<Option<Held>, StoreError> {
        Ok(self.known.get(id).map(|known| known.held))
    }

    fn is_id_deleted(&self, id: &EventId, author: &PublicKey) -> Result<bool, StoreError> {
        Ok(self.deleted_ids.contains(&(*id, *author)))
    }

    fn deleted_until(&self, address: &Coordinate) -> Result<Option<i64>, StoreError> {
        Ok(self.deleted_until.get(&Address::of(address)).copied())
    }

    fn holder(&self, address: &Coordinate) -> Result<Option<Position>, StoreError> {
        let holder = self.holders.get(&Address::of(address)).and_then(|id| self.known.get(id));
        Ok(holder.map(|known| known.held.position))
    }

    fn insert(&mut self, event: &EventView<'_>) {
        self.add(Known {
            held: Held::of_view(event),
            address: event.coordinate().as_ref().map(Address::of),
            number: Some(self.current),
        });
        self.added.insert(self.current);
    }

    fn remove(&mut self, position: Position) -> Result<(), StoreError> {
        let Some(known) = self.known.remove(&position.id) else {
            return Err(StoreError::Damaged {
                what: format!("an index names event {}, which is not there", position.id),
            });
        };
        if let Some(address) = known.address
            && self.holders.get(&address) == Some(&position.id)
        {
            self.holders.remove(&address);
        }
        match known.number {
            Some(number) => drop(self.added.remove(&number)),
            None => self.removed.push(position.id),
        }
        Ok(())
    }

    fn mark_id_deleted(&mut self, id: &EventId, author: &PublicKey) {
        if self.deleted_ids.insert((*id, *author)) {
            self.new_deleted_ids.push((*id, *author));
        }
    }

    fn mark_address_deleted(&mut self, address: &Coordinate, until: i64) {
        let address = Address::of(address);
        self.deleted_until.insert(address.clone(), until);
        self.new_deleted_until.insert(address, until);
    }

    fn mark_vanished(&mut self, author: &PublicKey, until: i64) {
        self.vanished.insert(*author, until);
        self.new_vanished.insert(*author, until);
    }
}
