//! A Nostr engine behind one handle: five supervised workers, a store, relays and a miner.
//!
//! [`NostrClient`] starts the workers (connections, parser, crypto, cache, miner) under a
//! supervisor, and is the only thing that most programs need. This crate composes; it decides no
//! rule itself, and it must not know the command line, configuration files or HTTP.
//!
//! * [`NostrClient`], [`NostrClientBuilder`], [`ClientConfig`]: start and stop;
//! * [`Subscription`], [`SubscriptionEvent`]: what comes in; [`pipes`]: what is done to it on the way;
//!   [`Pages`]: older and older events;
//! * [`NostrClient::sync`], [`SyncReport`]: bringing the store and relays to the same events;
//! * [`PublishReport`], [`PutOutcome`], [`Receipt`]: what became of what went out;
//! * [`QueuedReport`], [`OutboxEntry`]: what must arrive, tried until its relays have decided;
//! * [`MiningHandle`], [`MiningView`], [`MiningProgress`], [`MiningOutcome`]: work;
//! * [`ClientStatus`]: how everything is, without asking any worker;
//! * [`supervision`], [`protocol`], [`signer`], [`store`], [`transport`], [`pow`]: the parts, for
//!   programs that need them directly.
//!
//! A request costs at most itself: a worker that panics or hangs while it handles a request is
//! replaced, the caller gets a [`ClientError`] that says so, and open subscriptions and mining jobs
//! go on.
//!
//! The client's futures need a Tokio runtime (any flavour) for their timers; the workers have
//! threads of their own.
//!
//! ```
//! use futures::StreamExt;
//! use nipworker_core::{NostrClient, PrivateKeySigner, SecretKey, SubscriptionEvent};
//! use nipworker_core::protocol::{Filter, UnsignedEvent};
//! use std::sync::Arc;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let client = NostrClient::builder().build().await?; // no relays: nothing leaves this machine
//! client.set_signer(Some(Arc::new(PrivateKeySigner::new(SecretKey::generate()?))));
//! let me = client.public_key().await?;
//! let note = client.sign(UnsignedEvent::new(me, 1_700_000_000, 1, vec![], "hello")).await?;
//! assert!(client.publish(note).await?.outcome.status.is_accepted());
//!
//! let mut found = client.query(vec![Filter::new().authors([me])]).await?;
//! while let Some(item) = found.next().await {
//!     if let SubscriptionEvent::Event { event, .. } = item {
//!         assert_eq!(event.content, "hello");
//!     }
//! }
//! client.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//! * `redb` (default): the durable store; `ws` (default): real sockets. Without them a store or a
//!   transport is given to the builder.
//! * `chaos`: fault injection into the workers, for tests of whole systems.
//! * `tip5`: a nonce search with a Tip5-style hash on the same mining threads,
//!   [`NostrClient`]`::search_tip5`.

mod builder;
#[cfg(feature = "chaos")]
mod chaos;
mod client;
mod clock;
pub mod config;
mod error;
mod kept_file;
mod mining;
mod open_store;
pub mod outbox;
mod pages;
mod private;
mod publish;
mod remine;
mod report;
mod routing;
mod status;
mod subscription;
mod sync;
mod tree;
mod wire;

pub use builder::NostrClientBuilder;
#[cfg(feature = "chaos")]
pub use chaos::{Fault, Worker};
pub use client::{NostrClient, STORED_POSITIONS_MAX};
pub use config::{
    ClientConfig, ConnectionsConfig, CryptoConfig, Dispatch, FileSetting, LimitsConfig,
    MinerConfig, OutboxConfig, ProxyConfig, ProxyUse, Remine, Reserve, RoutingConfig, RoutingMode,
    StoreBackend, StoreConfig, SupervisionConfig,
};
pub use error::{ClientError, StartError};
#[cfg(feature = "tip5")]
pub use mining::Tip5Search;
pub use mining::{
    CheckpointStatus, FOUND_KEPT_MAX, MineOptions, MiningHandle, MiningOutcome, MiningProgress,
    MiningView, PROGRESS_INTERVAL,
};
pub use nipworker_mining::{
    JobPhase, Placement, PoolMetrics, Priority, Progress as JobProgress, ThreadMetrics,
};
pub use nipworker_pipeline::{
    DeliveryLimits, IngestStats, Overflow, RefusalKind, RelayNews, Source, SourceStats,
    SubscriptionStats, content, kinds, pipes,
};
pub use nipworker_relay::routing::RouterCounts;
pub use nipworker_relay::{
    AuthState, Consent, ErrorKind, LinkState, NotNegentropy, ReconcileEnd, RelayReport, Responder,
};
pub use nipworker_signer::{PrivateKeySigner, SecretKey, Signer, SignerError, SignerFuture};
pub use nipworker_store::{CheckReport, EventStore, StoreStats};
pub use nipworker_supervision::{
    ChildStatus, Exit, FailureReport, NodeStatus, State, StopReport, TreeStatus,
};
pub use open_store::open_store;
pub use outbox::{DurableOptions, OutboxEntry, OutboxStatus, QueuedReport};
pub use pages::{DEFAULT_PAGE_EVENTS, MAX_SAME_SECOND, Page, PageOptions, Pages};
pub use publish::{IMPORT_MAX_EVENTS, PublishOptions};
pub use remine::{DemandSource, Demanded, RemineResult, Remined};
pub use report::{PublishReport, PutOutcome, PutStatus, Receipt, ReceiptStatus};
pub use routing::RoutingStatus;
pub use status::{
    ClientStatus, KernelSpeed, KernelStatus, MiningStatus, RelayStatus, SubscriptionsStatus,
};
pub use subscription::{QueryOptions, SubscribeOptions, Subscription, SubscriptionEvent};
pub use sync::{
    SYNCS_AT_ONCE, Sync, SyncDirection, SyncEvent, SyncFailure, SyncHow, SyncOptions, SyncProgress,
    SyncReceipts, SyncReport, SyncStage,
};

pub use nipworker_pow as pow;
pub use nipworker_protocol as protocol;
pub use nipworker_signer as signer;
pub use nipworker_store as store;
pub use nipworker_supervision as supervision;
pub use nipworker_transport as transport;

/// The search for a nonce of a Tip5-style hash, and what its jobs are made of.
#[cfg(feature = "tip5")]
pub mod tip5 {
    pub use nipworker_mining::{Hit, JobLimits, Outcome};
    pub use nipworker_tip5::{ELEMENTS, MODULUS, Tip5Input, WORKLOAD_NAME, hash};
}

/// Compiles the code of the project's README.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
