//! What becomes of an event that is put: the rules of NIP-01, NIP-09, NIP-40 and NIP-62, said once for
//! every kind of store.

use nipworker_protocol::{Coordinate, EventId, EventView, KindClass, PublicKey, kinds};

use crate::{Position, PutOutcome, StoreError};

/// Bytes of canonical JSON that one event may have; a larger one is invalid to the store.
pub const EVENT_JSON_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What a request to vanish names to mean every relay.
const ALL_RELAYS: &str = "ALL_RELAYS";

/// What a store holds while it takes a batch in: what is committed, with the changes of the batch so far
/// laid over it.
///
/// Questions and changes are about single facts; what follows from what is decided by [`put`].
pub trait Ledger {
    /// Up to which time everything of `author` is to stay away (NIP-62).
    ///
    /// # Errors
    /// Whatever reading the store says; so it is with all of them.
    fn vanished_until(&self, author: &PublicKey) -> Result<Option<i64>, StoreError>;

    /// Whether the event with this id is held.
    ///
    /// # Errors
    /// As above.
    fn is_held(&self, id: &EventId) -> Result<bool, StoreError>;

    /// The event with this id, if it is held.
    ///
    /// # Errors
    /// As above.
    fn held(&self, id: &EventId) -> Result<Option<Held>, StoreError>;

    /// Whether `author` asked for the deletion of the event with this id.
    ///
    /// # Errors
    /// As above.
    fn is_id_deleted(&self, id: &EventId, author: &PublicKey) -> Result<bool, StoreError>;

    /// Up to which time the author of `address` asked for its deletion.
    ///
    /// # Errors
    /// As above.
    fn deleted_until(&self, address: &Coordinate) -> Result<Option<i64>, StoreError>;

    /// Where the event that holds `address` stands.
    ///
    /// # Errors
    /// As above.
    fn holder(&self, address: &Coordinate) -> Result<Option<Position>, StoreError>;

    /// Adds an event that is not held, and whose address nobody holds.
    fn insert(&mut self, event: &EventView<'_>);

    /// Takes the event at `position`, which is held, out.
    ///
    /// # Errors
    /// As above.
    fn remove(&mut self, position: Position) -> Result<(), StoreError>;

    /// Notes that `author` asked for the deletion of the event with this id.
    fn mark_id_deleted(&mut self, id: &EventId, author: &PublicKey);

    /// Notes up to which time the author of `address` asked for its deletion.
    fn mark_address_deleted(&mut self, address: &Coordinate, until: i64);

    /// Notes up to which time everything of `author` is to go and to stay away.
    fn mark_vanished(&mut self, author: &PublicKey, until: i64);
}

/// An event that a store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Where it stands.
    pub position: Position,
    /// Who wrote it.
    pub author: PublicKey,
    /// Its kind.
    pub kind: u16,
}

impl Held {
    /// What is to be known of `event`.
    pub fn of_view(event: &EventView<'_>) -> Self {
        Self { position: Position::of_view(event), author: event.pubkey(), kind: event.kind() }
    }
}

/// Takes one event in, or says why not. `own_urls` are the addresses by which requests to vanish mean
/// this store; `now` is unix seconds.
///
/// # Errors
/// Whatever reading the store says.
pub fn put(
    ledger: &mut impl Ledger,
    event: &EventView<'_>,
    own_urls: &[String],
    now: i64,
) -> Result<PutOutcome, StoreError> {
    if event.is_expired(now) {
        return Ok(PutOutcome::Expired);
    }
    if KindClass::of(event.kind()) == KindClass::Ephemeral {
        return Ok(PutOutcome::Ephemeral);
    }
    if is_vanished(ledger, event)? {
        return Ok(PutOutcome::Deleted);
    }
    if ledger.is_held(&event.id())? {
        return Ok(PutOutcome::Duplicate);
    }
    let address = event.coordinate();
    if is_deleted(ledger, event, address.as_ref())? {
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
        && let Some(holder) = ledger.holder(address)?
    {
        // Newer comes first among positions, and the lower id where times tie.
        if holder < Position::of_view(event) {
            return Ok(PutOutcome::Superseded { by: holder.id });
        }
        ledger.remove(holder)?;
    }
    ledger.insert(event);
    if event.kind() == kinds::DELETION {
        delete_what_it_names(ledger, event)?;
    }
    if asks_to_vanish(event, own_urls) {
        vanish(ledger, &event.pubkey(), event.created_at())?;
    }
    Ok(PutOutcome::Stored)
}

/// Marks that everything of `author` up to `until` is to go and to stay away (NIP-62). An earlier request
/// that reaches further stays as it is.
///
/// # Errors
/// Whatever reading the store says.
pub fn vanish(ledger: &mut impl Ledger, author: &PublicKey, until: i64) -> Result<(), StoreError> {
    let until = ledger.vanished_until(author)?.map_or(until, |before| before.max(until));
    ledger.mark_vanished(author, until);
    Ok(())
}

fn is_vanished(ledger: &impl Ledger, event: &EventView<'_>) -> Result<bool, StoreError> {
    for author in concerned(event) {
        if ledger.vanished_until(&author)?.is_some_and(|until| event.created_at() <= until) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the author asked for the deletion of `event` before.
fn is_deleted(
    ledger: &impl Ledger,
    event: &EventView<'_>,
    address: Option<&Coordinate>,
) -> Result<bool, StoreError> {
    if !is_beyond_deletion(event.kind()) && ledger.is_id_deleted(&event.id(), &event.pubkey())? {
        return Ok(true);
    }
    let Some(address) = address else { return Ok(false) };
    let until = ledger.deleted_until(address)?;
    Ok(until.is_some_and(|until| event.created_at() <= until))
}

/// Carries out a deletion request: what is there goes, and what may still come is barred.
/// The marks outlive the request, so nothing comes back when the request itself expires.
fn delete_what_it_names(
    ledger: &mut impl Ledger,
    request: &EventView<'_>,
) -> Result<(), StoreError> {
    for target in deletion_targets(request) {
        match target {
            Target::Id(id) => {
                ledger.mark_id_deleted(&id, &request.pubkey());
                if let Some(held) = ledger.held(&id)?
                    && held.author == request.pubkey()
                    && !is_beyond_deletion(held.kind)
                {
                    ledger.remove(held.position)?;
                }
            }
            Target::Address(address) => {
                let until = request.created_at();
                let until =
                    ledger.deleted_until(&address)?.map_or(until, |before| before.max(until));
                ledger.mark_address_deleted(&address, until);
                if let Some(holder) = ledger.holder(&address)?
                    && holder.created_at <= until
                {
                    ledger.remove(holder)?;
                }
            }
        }
    }
    Ok(())
}

/// What a deletion request names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// One event.
    Id(EventId),
    /// Whatever its author wrote under an address up to the time of the request.
    Address(Coordinate),
}

/// What `request`, a deletion request (NIP-09), names and may: events by their ids, whoever wrote them,
/// and addresses of its own author.
pub fn deletion_targets<'e>(request: &EventView<'e>) -> impl Iterator<Item = Target> + use<'e> {
    let author = request.pubkey();
    request.tags().filter_map(move |tag| match (tag.name(), tag.value()) {
        ("e", Some(value)) => EventId::from_hex(value).ok().map(Target::Id),
        ("a", Some(value)) => {
            deletable_address(value).filter(|address| address.pubkey == author).map(Target::Address)
        }
        _ => None,
    })
}

/// The address that an `a` tag of a deletion request names, if an event can have it.
fn deletable_address(value: &str) -> Option<Coordinate> {
    let address: Coordinate = value.parse().ok()?;
    match KindClass::of(address.kind) {
        KindClass::Addressable => Some(address),
        KindClass::Replaceable if address.identifier.is_empty() => Some(address),
        _ => None,
    }
}

/// Whether a deletion request has no effect on events of this kind: other deletion requests
/// (NIP-09) and requests to vanish (NIP-62).
pub fn is_beyond_deletion(kind: u16) -> bool {
    matches!(kind, kinds::DELETION | kinds::VANISH)
}

/// Whether `event` asks relays of one of these addresses, or all, to forget its author (NIP-62).
pub fn asks_to_vanish(event: &EventView<'_>, own_urls: &[String]) -> bool {
    event.kind() == kinds::VANISH
        && event.tags().filter(|tag| tag.name() == "relay").filter_map(|tag| tag.value()).any(
            |relay| {
                let relay = relay.trim_end_matches('/');
                relay == ALL_RELAYS || own_urls.iter().any(|own| own.trim_end_matches('/') == relay)
            },
        )
}

/// Whose request to vanish would take `event` along: its author's, and for a gift wrap (NIP-59)
/// also that of whom it is for. The requests themselves stay, as the record of what was asked.
pub fn concerned(event: &EventView<'_>) -> Vec<PublicKey> {
    match event.kind() {
        kinds::VANISH => Vec::new(),
        kinds::GIFT_WRAP => {
            let named = event.tags().filter(|tag| tag.name() == "p").filter_map(|tag| tag.value());
            let named = named.filter_map(|value| PublicKey::from_hex(value).ok());
            [event.pubkey()].into_iter().chain(named).collect()
        }
        _ => vec![event.pubkey()],
    }
}
