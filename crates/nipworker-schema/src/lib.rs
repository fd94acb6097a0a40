//! The messages between nipworker's workers.
//!
//! Each edge of the system carries one FlatBuffers union with its own file identifier and a
//! version; nobody guesses what bytes are. An encoded message is a [`bytes::Bytes`]: cloning it is
//! cheap, so a mailbox can outlive the actor that reads it.
//!
//! | edge | between | message |
//! |---|---|---|
//! | [`ClientEdge`] | client and parser | [`ClientMessageT`] |
//! | [`IngestEdge`] | connections and parser | [`IngestMessageT`] |
//! | [`CryptoEdge`] | parser and crypto | [`CryptoMessageT`] |
//! | [`CacheEdge`] | parser and cache | [`CacheMessageT`] |
//! | [`RelayEdge`] | cache and connections | [`RelayEdgeMessageT`] |
//! | [`MinerEdge`] | client and miner | [`MinerMessageT`] |
//!
//! A request and its answer travel on the same edge. Any request may be answered by
//! [`FailedT`], which is a member of every union. Which message answers which stands in
//! `schemas/*.fbs`, beside the tables.
//!
//! The types whose name ends in `T` are plain structs made from the schemas; the conversions to
//! and from `nipworker_protocol` are here too. Who wants to read without copying finds the
//! readers in [`raw`]. This crate must not know actors, domains, stores or sockets.
//!
//! Units: times are unix seconds (`i64`), durations are milliseconds and say so in their name.
//!
//! ```
//! use nipworker_schema::{ClientEdge, ClientMessageT, CountT, FailureCode};
//! use nipworker_protocol::Filter;
//!
//! let request = ClientEdge::encode(CountT { filters: vec![Filter::new().kinds([1]).into()], hll: false });
//! let answer = match request.decode()? {
//!     ClientMessageT::Count(count) => {
//!         assert_eq!(count.filters.len(), 1);
//!         ClientEdge::failed(FailureCode::Busy, "the mailbox is full", true)
//!     }
//!     _ => unreachable!(),
//! };
//! assert_eq!(answer.decode()?.as_failed().map(|failed| failed.transient), Some(true));
//! # Ok::<(), nipworker_schema::EdgeError>(())
//! ```
//!
//! # Features
//! `actix`: every edge is an `actix::Message` whose result is the same edge.

#[path = "gen/mod.rs"]
#[rustfmt::skip]
#[allow(
    warnings,
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    clippy::unwrap_used,
    rustdoc::all
)]
mod generated;

#[cfg(feature = "actix")]
mod actix_message;
mod convert;
mod edge;
mod error;
#[cfg(test)]
mod tests;

pub use edge::{CacheEdge, ClientEdge, CryptoEdge, IngestEdge, MinerEdge, RelayEdge};
pub use error::EdgeError;

pub use generated::{
    AuthProblem, Bytes32T, Bytes64T, DifferencesT, EventT, FailedT, FailureCode, FilterT, PlacedT,
    PutOutcomeT, PutStatus, ReceiptStatus, ReceiptT, ReconcileEnd, TagFilterT, TagT,
    UnsignedEventT,
};

pub use generated::{
    ClientMessageT, CountT, CountedT, ImportT, ImportedT, ListT, ListedT, PublishT, PublishedT,
    ReconcileT, ReconciledT, SubscribeT, SubscribedT, UnsubscribeT, UnsubscribedT,
};

pub use generated::{
    EndOfStoredT, EventBatchT, IngestMessageT, IngestedT, RelayNoticeT, RelayUnavailableT, Stored,
    SubscriptionClosedT,
};

pub use generated::{
    CipherScheme, CryptoMessageT, DecryptT, DecryptedT, EncryptT, EncryptedT, GetPublicKeyT,
    PublicKeyIsT, SignAsT, SignT, SignedIdT, SignedT, VerdictsT, VerifyBatchT,
};

pub use generated::{
    AskRelaysT, CacheMessageT, CountStoredT, ListStoredT, PageT, PersistT, PersistedT, QueryPageT,
    ReconcileStoredT, RelaysAskedT, SentT, StopAskingT, StoppedT, StoreAndSendT, StoredCountT,
    StoredListedT, StoredReconciledT, SweepExpiredT, SweptT,
};

pub use generated::{
    CloseReqT, EventReceiptsT, NegClosedT, OpenNegT, OpenReqT, RelayEdgeMessageT, ReqClosedT,
    ReqOpenedT, SendEventT,
};

pub use generated::{
    CancelJobT, JobAcceptedT, JobPausedT, JobStoppedT, MineEventT, MinerMessageT, PauseJobT,
};

/// Everything that flatc generated: readers that do not copy, builders, and the plain structs.
pub mod raw {
    pub use crate::generated::*;
}
