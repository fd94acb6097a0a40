//! Pipes: what a subscription's reader has done to the events on their way to it.
//!
//! Four steps stand before every pipe and cannot be left out, moved or configured, because nothing
//! unverified may be seen, kept or passed on by anybody: **filter** (a relay may send only what it
//! was asked for), **parse** (decoding under limits, the id computed anew), **verify** (the
//! signature), **save** (the store's rules; what it calls deleted or expired goes no further). They
//! are the ingest; see [`Pipeline`](crate::Pipeline). The typed view belongs to parsing too: a pipe
//! gets it from [`Item::view`], made when it is first asked for and then shared by all pipes.
//!
//! What follows is the reader's own choice: a list of [`PipeSpec`]s, run in the order in which they
//! are written. **Rows of the cache and live events go through the same pipes**, each event once
//! and in the order in which the reader gets them. They run where the reader polls its stream, not
//! in a worker: a slow, hanging or panicking pipe costs its own reader and nobody else, and it may
//! hold a lock or ask the client whatever it likes. What is still queued has not been through the
//! pipes, so a queue that overflows may lose what a pipe would have dropped anyway; a reader that
//! must not miss anything uses [`Overflow::Wait`](crate::Overflow::Wait).
//!
//! | pipe | does | options | bounds |
//! |---|---|---|---|
//! | `kind-filter` | passes kinds | `allow` (empty: all), `deny` (goes over `allow`) | 65,536 kinds |
//! | `mute` | drops authors, events and what refers to them, topics, texts with a word | `pubkeys`, `events`, `hashtags`, `words`; [`MuteList::add_list`] takes a list of kind 10000 | [`MAX_MUTED`] entries of each sort, [`MAX_WORD_BYTES`] |
//! | `author-limiter` | passes N events per author, or per person named by `p`, and window of time | `max_events`, `window_secs`, `by`, `max_authors` | who was not seen for longest is forgotten, and begins anew |
//! | `chat-limiter` | passes N messages per conversation, then newer ones only | `me`, `max_messages`, `max_chats` | as above, per conversation |
//! | `counter` | counts kinds and one's own events; tells at the end of stored events, then at each change | `me`, `only_counts` | 65,536 kinds |
//! | `proofs` | drops nutzaps whose ecash the mint has not signed (NUT-12) | key sets of the mints, given by the caller; nothing is fetched | [`MAX_PROOFS`] an event |
//! | `serialise` | gives JSON lines instead of events | `max_bytes` | `max_bytes` a line |
//!
//! One's own pipe is a [`Pipe`] in a [`CustomPipe`]. Everything that a pipe drops, takes or fails
//! at is counted under its name, see [`PipeStats`].

mod authors;
mod chain;
mod chats;
mod config;
mod counter;
mod dleq;
mod item;
mod kinds;
mod mute;
mod proofs;
mod serialise;
mod spec;
mod words;

pub use authors::{AuthorLimit, CountBy, MAX_PEOPLE_COUNTED};
pub(crate) use chain::Ledger;
pub use chain::{Chain, Fate, MAX_NOTES, MAX_REASONS, PipeStats};
pub use chats::{ChatLimit, ChatLimiter};
pub use config::{KNOWN_PIPES, MAX_PIPES, PipesConfig, PipesConfigError};
pub use counter::{CounterOptions, Counts, KindCount};
pub use dleq::DleqError;
pub use item::{Item, Notes, Pipe, PipeNote, Step};
pub use kinds::KindRules;
pub use mute::{MAX_MUTED, MAX_WORD_BYTES, MuteError, MuteList};
pub use proofs::{KeySets, KeySetsError, MAX_PROOFS, ProofFault, ProofsReport, check_proofs};
pub use serialise::{DEFAULT_MAX_LINE_BYTES, SerialiseOptions};
pub use spec::{CustomPipe, PipeSpec};
