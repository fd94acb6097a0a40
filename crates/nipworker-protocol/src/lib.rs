//! Nostr's base types and the NIP-01 codec.
//!
//! This crate knows what an event, a filter and a relay message *are*, how they are written as
//! JSON, and how an event id is computed. It must not know sockets, stores, threads, clocks or
//! secret keys: whoever needs the time passes it in.
//!
//! * [`Event`], [`UnsignedEvent`], [`Verified`]: the data and the proof that it was checked;
//! * [`EventReader`], [`EventText`]: an event's JSON text, read where it stands;
//! * [`packed`]: an event as one run of bytes, read in place, stored and sent as it is;
//! * [`EventId`], [`PublicKey`], [`Signature`]: fixed-size bytes, lower-case hex as text;
//! * [`Filter`]: what a subscription asks for, and whether an event answers it;
//! * [`ClientMessage`], [`RelayMessage`]: the frames of NIP-01, 42, 45 and 67; [`EventFrame`]: one
//!   of them, read where it stands;
//! * [`KindClass`]: regular, replaceable, addressable or ephemeral (NIP-01);
//! * [`RelayUrl`]: a relay address in one spelling.
//!
//! Units: times are unix seconds (`i64`), sizes are bytes. Source: NIP-01 unless a type says
//! otherwise.
//!
//! ```
//! use nipworker_protocol::{Filter, UnsignedEvent, PublicKey};
//!
//! let note = UnsignedEvent::new(PublicKey::from_bytes([2; 32]), 1_700_000_000, 1, vec![], "hi");
//! let event_id = note.compute_id();
//! let filter: Filter = serde_json::from_str(r#"{"kinds":[1],"limit":10}"#)?;
//! assert_eq!(filter.limit, Some(10));
//! assert_eq!(event_id.to_string().len(), 64);
//! # Ok::<(), serde_json::Error>(())
//! ```

mod auth;
mod bytes;
mod event;
mod filter;
mod hyperloglog;
mod kind;
mod message;
pub mod packed;
mod relay_url;
mod tag;
mod text;
mod verified;

pub use auth::AuthProblem;
pub use bytes::{EventId, ParseBytesError, PublicKey, Signature};
pub use event::{Event, EventError, EventLimits, UnsignedEvent};
pub use filter::{Filter, FilterError, FilterLimits, SingleLetterTag};
pub use hyperloglog::{HllOffset, HyperLogLog};
pub use kind::{Coordinate, KindClass, kinds};
pub use message::{
    ClientMessage, EventFrame, MachinePrefix, MessageError, NEG_MESSAGE_MAX_BYTES, RelayMessage,
    SUBSCRIPTION_ID_MAX_CHARS, StoredHint,
};
pub use packed::{EventView, PACKED_VERSION, PackedError, PackedEvent, PackedEvents};
pub use relay_url::{RelayUrl, RelayUrlError};
pub use tag::Tag;
pub use text::{EventReader, EventText};
pub use verified::{Attestation, Verified};
