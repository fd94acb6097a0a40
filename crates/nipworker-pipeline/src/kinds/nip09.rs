//! Requests to delete (kind 5; NIP-09).

use nipworker_protocol::{Coordinate, EventId};

use super::{AddressRef, EventRef, Flaw, Source, refs, tags};

/// A request to delete. That the events named by id are the author's own has to be seen from the
/// events themselves.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Deletion<'a> {
    /// Events, each once.
    pub ids: Vec<EventId>,
    /// Addresses of the author, each once; all versions up to the request's time.
    pub addresses: Vec<Coordinate>,
    /// Kinds that the targets are said to have.
    pub kinds: Vec<u16>,
    /// Why, in words; may be empty.
    pub reason: &'a str,
    /// Targets passed over: unreadable, or an address of somebody else.
    pub skipped: usize,
}

impl<'a> Deletion<'a> {
    pub(super) fn read(source: Source<'a>) -> Result<Self, Flaw> {
        let mut skipped = 0;
        let events = refs::all(source.tags, "e", EventRef::of, &mut skipped);
        let mut addresses = refs::all(source.tags, "a", AddressRef::of, &mut skipped);
        let all = addresses.len();
        addresses.retain(|it| it.address.pubkey == source.pubkey);
        skipped += all - addresses.len();
        if events.is_empty() && all == 0 {
            return Err(Flaw::MissingTag("e or a"));
        }
        Ok(Self {
            ids: tags::unique(events.into_iter().map(|event| event.id)),
            addresses: tags::unique(addresses.into_iter().map(|it| it.address)),
            kinds: tags::unique(tags::values(source.tags, "k").filter_map(|k| k.parse().ok())),
            reason: source.content,
            skipped,
        })
    }
}
