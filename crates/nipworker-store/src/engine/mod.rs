//! Nostr's rules and indexes over any ordered key-value backend.
//!
//! `keys` says how things are laid out, `facts` what an index entry says of its event, `row` how a
//! stored event is read. `row_cache` remembers what was read, `recent` holds the newest events in memory,
//! `kept` the positions for some filters.
//!
//! `put` gathers the changes of a batch, which [`rules`](crate::rules) decide on, `vanish` removes what is
//! to go by NIP-62, `evict` makes room.
//!
//! `plan` picks an index for a filter, `stream` reads indexes in the order of answers, `walk` merges the
//! filters of a query, `ids` leaves the events out. `check` compares indexes with events, `migrate` brings
//! older stores up to date.

mod check;
mod evict;
mod facts;
mod ids;
mod kept;
mod keys;
mod matcher;
mod migrate;
mod plan;
mod put;
mod recent;
mod row;
mod row_cache;
mod store;
mod stream;
mod vanish;
mod walk;

pub use kept::KEPT_EVENTS_MAX;
pub(crate) use keys::EVENT as EVENT_KEY;
pub use keys::bytes_of;
pub use plan::MERGED_CURSORS_MAX;
pub use store::{KvStore, RECENT_BYTES_DEFAULT, ROW_CACHE_BYTES_DEFAULT, SCHEMA_VERSION};
