//! A batch in the making over a snapshot: the facts that the rules ask for, as keys and values.

use nipworker_protocol::{Coordinate, EventId, EventView, PackedEvent, PublicKey};

use crate::{
    KvSnapshot, Position, PutOutcome, StoreError, WriteBatch,
    rules::{self, Held, Ledger},
};

use super::{keys, row::read_row};

/// A batch in the making: what is committed, with the changes so far laid over it.
pub(super) struct Changes<'s> {
    committed: &'s dyn KvSnapshot,
    batch: WriteBatch,
    /// Events held, the changes so far included.
    events: u64,
    /// Bytes of their keys and values, indexes included.
    bytes: u64,
    /// The addresses by which requests to vanish mean this store.
    own_urls: &'s [String],
    /// Whether somebody asked to vanish.
    vanishing: bool,
}

impl<'s> Changes<'s> {
    pub(super) fn over(
        committed: &'s dyn KvSnapshot,
        own_urls: &'s [String],
    ) -> Result<Self, StoreError> {
        let counter = |key, what| match committed.get(key)? {
            Some(value) => Ok::<_, StoreError>(number(&value, what)?.cast_unsigned()),
            None => Ok(0),
        };
        let events = counter(keys::META_EVENTS, "event counter")?;
        let bytes = counter(keys::META_BYTES, "byte counter")?;
        let batch = WriteBatch::new();
        Ok(Self { committed, batch, events, bytes, own_urls, vanishing: false })
    }

    /// The changes, ready to be committed; empty when there are none.
    pub(super) fn into_batch(mut self) -> WriteBatch {
        if !self.batch.is_empty() {
            self.batch.put(keys::META_EVENTS, self.events.to_be_bytes());
            self.batch.put(keys::META_BYTES, self.bytes.to_be_bytes());
        }
        self.batch
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.batch.get(key) {
            Some(changed) => Ok(changed.map(<[u8]>::to_vec)),
            None => Ok(self.committed.get(key)?),
        }
    }

    fn has(&self, key: &[u8]) -> Result<bool, StoreError> {
        match self.batch.get(key) {
            Some(changed) => Ok(changed.is_some()),
            None => Ok(self.committed.get(key)?.is_some()),
        }
    }

    /// Takes one event in, or says why not.
    pub(super) fn put(
        &mut self,
        event: &EventView<'_>,
        now: i64,
    ) -> Result<PutOutcome, StoreError> {
        rules::put(self, event, self.own_urls, now)
    }

    /// Notes that nothing is left of an author who vanishes.
    pub(super) fn has_vanished(&mut self, author: &PublicKey) {
        self.batch.delete(keys::vanishing(author));
    }

    /// Whether somebody asked to vanish in these changes.
    pub(super) fn is_somebody_vanishing(&self) -> bool {
        self.vanishing
    }

    /// Bytes held, the changes so far included.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Removes the event `row`, which stands at `position`.
    pub(super) fn remove_row(&mut self, position: Position, row: &PackedEvent) {
        let key = keys::event(position);
        let mut bytes = (key.len() + row.as_bytes().len()) as u64;
        self.batch.delete(key);
        for (key, value) in keys::index_entries(&row.view()) {
            bytes += (key.len() + value.len()) as u64;
            self.batch.delete(key);
        }
        self.bytes = self.bytes.saturating_sub(bytes);
        self.events = self.events.saturating_sub(1);
    }

    /// Whether these changes leave alone what is committed at `position`.
    pub(super) fn is_kept(&self, position: Position) -> bool {
        self.batch.get(&keys::event(position)).is_none()
    }

    fn row(&self, position: Position) -> Result<PackedEvent, StoreError> {
        match self.get(&keys::event(position))? {
            Some(bytes) => read_row(position, bytes),
            None => Err(StoreError::damaged(format!(
                "an index names event {}, which is not there",
                position.id
            ))),
        }
    }
}

impl Ledger for Changes<'_> {
    fn vanished_until(&self, author: &PublicKey) -> Result<Option<i64>, StoreError> {
        self.get(&keys::vanished(author))?
            .map(|value| number(&value, "time of a request to vanish"))
            .transpose()
    }

    fn is_held(&self, id: &EventId) -> Result<bool, StoreError> {
        self.has(&keys::id(id))
    }

    fn held(&self, id: &EventId) -> Result<Option<Held>, StoreError> {
        let Some(position) = position_of(id, |key| self.get(key))? else { return Ok(None) };
        Ok(Some(Held::of_view(&self.row(position)?.view())))
    }

    fn is_id_deleted(&self, id: &EventId, author: &PublicKey) -> Result<bool, StoreError> {
        self.has(&keys::deleted_id(id, author))
    }

    fn deleted_until(&self, address: &Coordinate) -> Result<Option<i64>, StoreError> {
        self.get(&keys::deleted_address(address))?
            .map(|value| number(&value, "time of an address deletion"))
            .transpose()
    }

    fn holder(&self, address: &Coordinate) -> Result<Option<Position>, StoreError> {
        self.get(&keys::address(address))?
            .map(|value| {
                Position::from_key_end(&value)
                    .ok_or_else(|| StoreError::damaged(format!("holder of address {address}")))
            })
            .transpose()
    }

    fn insert(&mut self, event: &EventView<'_>) {
        let key = keys::event(Position::of_view(event));
        self.bytes += (key.len() + event.as_bytes().len()) as u64;
        self.batch.put(key, event.as_bytes());
        for (key, value) in keys::index_entries(event) {
            self.bytes += (key.len() + value.len()) as u64;
            self.batch.put(key, value);
        }
        self.events += 1;
    }

    /// Removes the event at `position` with all its index entries.
    fn remove(&mut self, position: Position) -> Result<(), StoreError> {
        let row = self.row(position)?;
        self.remove_row(position, &row);
        Ok(())
    }

    fn mark_id_deleted(&mut self, id: &EventId, author: &PublicKey) {
        self.batch.put(keys::deleted_id(id, author), []);
    }

    fn mark_address_deleted(&mut self, address: &Coordinate, until: i64) {
        self.batch.put(keys::deleted_address(address), until.to_be_bytes());
    }

    fn mark_vanished(&mut self, author: &PublicKey, until: i64) {
        self.batch.put(keys::vanished(author), until.to_be_bytes());
        self.batch.put(keys::vanishing(author), until.to_be_bytes());
        self.vanishing = true;
    }
}

/// Looks up where the event with this id stands.
pub(super) fn position_of(
    id: &EventId,
    get: impl FnOnce(&[u8]) -> Result<Option<Vec<u8>>, StoreError>,
) -> Result<Option<Position>, StoreError> {
    get(&keys::id(id))?.map(|value| Ok(keys::read_id_entry(id, &value)?.0)).transpose()
}

/// Reads an eight-byte number.
pub(super) fn number(value: &[u8], what: &str) -> Result<i64, StoreError> {
    let bytes = value.try_into().map_err(|_| {
        StoreError::damaged(format!("{what} has {} bytes instead of 8", value.len()))
    })?;
    Ok(i64::from_be_bytes(bytes))
}
