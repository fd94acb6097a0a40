//! What becomes of an event that is put: the rules of NIP-01, NIP-09, NIP-40 and NIP-62.

use nipworker_protocol::{
    Coordinate, EventId, EventView, KindClass, PackedEvent, PublicKey, kinds,
};

use crate::{KvSnapshot, Position, PutOutcome, StoreError, WriteBatch};

use super::{keys, row::read_row, vanish};

/// Bytes of canonical JSON that one event may have; a larger one is invalid to the store.
pub const EVENT_JSON_BYTES_MAX: usize = 16 * 1024 * 1024;

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
        if event.is_expired(now) {
            return Ok(PutOutcome::Expired);
        }
        if KindClass::of(event.kind()) == KindClass::Ephemeral {
            return Ok(PutOutcome::Ephemeral);
        }
        if self.is_vanished(event)? {
            return Ok(PutOutcome::Deleted);
        }
        if self.has(&keys::id(&event.id()))? {
            return Ok(PutOutcome::Duplicate);
        }
        let address = event.coordinate();
        if self.is_deleted(event, address.as_ref())? {
            return Ok(PutOutcome::Deleted);
        }
        let json_bytes = event.json_len();
        if json_bytes > EVENT_JSON_BYTES_MAX {
            return Ok(PutOutcome::Invalid {
                reason: format!(
                    "event of {json_bytes} bytes is larger than the store's limit of \
                     {EVENT_JSON_BYTES_MAX} bytes"
                ),
            });
        }
        if let Some(address) = &address
            && let Some(holder) = self.holder(address)?
        {
            // Newer comes first among positions, and the lower id where times tie.
            if holder < Position::of_view(event) {
                return Ok(PutOutcome::Superseded { by: holder.id });
            }
            self.remove(holder)?;
        }
        self.insert(event);
        if event.kind() == kinds::DELETION {
            self.delete_what_it_names(event)?;
        }
        if vanish::is_asked(event, self.own_urls) {
            self.vanish(&event.pubkey(), event.created_at())?;
        }
        Ok(PutOutcome::Stored)
    }

    /// Marks that everything of `author` up to `until` is to go and to stay away (NIP-62).
    pub(super) fn vanish(&mut self, author: &PublicKey, until: i64) -> Result<(), StoreError> {
        let until = self.vanished_until(author)?.map_or(until, |before| before.max(until));
        self.batch.put(keys::vanished(author), until.to_be_bytes());
        self.batch.put(keys::vanishing(author), until.to_be_bytes());
        self.vanishing = true;
        Ok(())
    }

    /// Notes that nothing is left of an author who vanishes.
    pub(super) fn has_vanished(&mut self, author: &PublicKey) {
        self.batch.delete(keys::vanishing(author));
    }

    /// Whether somebody asked to vanish in these changes.
    pub(super) fn is_somebody_vanishing(&self) -> bool {
        self.vanishing
    }

    fn vanished_until(&self, author: &PublicKey) -> Result<Option<i64>, StoreError> {
        self.get(&keys::vanished(author))?
            .map(|value| number(&value, "time of a request to vanish"))
            .transpose()
    }

    fn is_vanished(&self, event: &EventView<'_>) -> Result<bool, StoreError> {
        for author in vanish::concerned(event) {
            if self.vanished_until(&author)?.is_some_and(|until| event.created_at() <= until) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Bytes held, the changes so far included.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
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
    pub(super) fn remove(&mut self, position: Position) -> Result<(), StoreError> {
        let row = self.row(position)?;
        self.remove_row(position, &row);
        Ok(())
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

    fn holder(&self, address: &Coordinate) -> Result<Option<Position>, StoreError> {
        self.get(&keys::address(address))?
            .map(|value| {
                Position::from_key_end(&value)
                    .ok_or_else(|| StoreError::damaged(format!("holder of address {address}")))
            })
            .transpose()
    }

    /// Whether the author asked for the deletion of `event` before. A deletion request itself
    /// cannot be deleted (NIP-09).
    fn is_deleted(
        &self,
        event: &EventView<'_>,
        address: Option<&Coordinate>,
    ) -> Result<bool, StoreError> {
        if !is_beyond_deletion(event.kind())
            && self.has(&keys::deleted_id(&event.id(), &event.pubkey()))?
        {
            return Ok(true);
        }
        let Some(address) = address else { return Ok(false) };
        let until = self.deleted_until(address)?;
        Ok(until.is_some_and(|until| event.created_at() <= until))
    }

    fn deleted_until(&self, address: &Coordinate) -> Result<Option<i64>, StoreError> {
        self.get(&keys::deleted_address(address))?
            .map(|value| number(&value, "time of an address deletion"))
            .transpose()
    }

    /// Carries out a deletion request: what is there goes, and what may still come is barred.
    /// The marks outlive the request, so nothing comes back when the request itself expires.
    fn delete_what_it_names(&mut self, request: &EventView<'_>) -> Result<(), StoreError> {
        for tag in request.tags() {
            match (tag.name(), tag.value()) {
                ("e", Some(value)) => {
                    if let Ok(id) = EventId::from_hex(value) {
                        self.delete_id(&id, request)?;
                    }
                }
                ("a", Some(value)) => {
                    if let Some(address) =
                        keys::deletable_address(value).filter(|a| a.pubkey == request.pubkey())
                    {
                        self.delete_address(&address, request.created_at())?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn delete_id(&mut self, id: &EventId, request: &EventView<'_>) -> Result<(), StoreError> {
        self.batch.put(keys::deleted_id(id, &request.pubkey()), []);
        let Some(position) = self.position(id)? else { return Ok(()) };
        let row = self.row(position)?;
        let event = row.view();
        if event.pubkey() == request.pubkey() && !is_beyond_deletion(event.kind()) {
            self.remove(position)?;
        }
        Ok(())
    }

    fn delete_address(&mut self, address: &Coordinate, until: i64) -> Result<(), StoreError> {
        let until = self.deleted_until(address)?.map_or(until, |before| before.max(until));
        self.batch.put(keys::deleted_address(address), until.to_be_bytes());
        match self.holder(address)? {
            Some(holder) if holder.created_at <= until => self.remove(holder),
            _ => Ok(()),
        }
    }

    fn position(&self, id: &EventId) -> Result<Option<Position>, StoreError> {
        position_of(id, |key| self.get(key))
    }
}

/// Whether a deletion request has no effect on events of this kind: other deletion requests
/// (NIP-09) and requests to vanish (NIP-62).
pub(super) fn is_beyond_deletion(kind: u16) -> bool {
    matches!(kind, kinds::DELETION | kinds::VANISH)
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
