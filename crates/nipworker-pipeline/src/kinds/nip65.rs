//! Where somebody reads and writes (kind 10002; NIP-65).

use nipworker_protocol::{RelayUrl, Tag};

use super::{Flaw, Source, tags};
use std::collections::HashMap;

/// One relay of a list.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct RelayUse {
    /// The relay.
    pub url: RelayUrl,
    /// The author looks there for what others send.
    pub read: bool,
    /// The author's own events are there.
    pub write: bool,
}

/// A relay list.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct RelayList {
    /// The relays in order, each once: a relay that stands in two tags, one for reading and one
    /// for writing, is for both.
    pub relays: Vec<RelayUse>,
    /// Entries passed over: no relay URL, or a marker that nobody knows.
    pub skipped: usize,
}

impl RelayList {
    pub(super) fn read(source: Source<'_>) -> Result<Self, Flaw> {
        let mut list = Self { relays: Vec::new(), skipped: 0 };
        let mut places = HashMap::new();
        for tag in tags::named(source.tags, "r") {
            let Some(relay) = relay(tag) else {
                list.skipped += 1;
                continue;
            };
            let place = *places.entry(relay.url.clone()).or_insert(list.relays.len());
            match list.relays.get_mut(place) {
                Some(known) => {
                    known.read |= relay.read;
                    known.write |= relay.write;
                }
                None => list.relays.push(relay),
            }
        }
        Ok(list)
    }
}

fn relay(tag: &Tag) -> Option<RelayUse> {
    let (read, write) = match tag.get(2) {
        None | Some("") => (true, true),
        Some("read") => (true, false),
        Some("write") => (false, true),
        Some(_) => return None,
    };
    Some(RelayUse { url: RelayUrl::parse(tag.value()?).ok()?, read, write })
}
