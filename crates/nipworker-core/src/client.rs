//! The handle that programs hold.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures::FutureExt;
use nipworker_mining::JobId;
use nipworker_pipeline::{HubError, Overflow, Plan, SubscriptionSpec};
use nipworker_protocol::{Event, Filter, PublicKey, RelayUrl, UnsignedEvent};
use nipworker_schema::{
    ClientEdge, ClientMessageT, CountT, CryptoEdge, CryptoMessageT, GetPublicKeyT, ImportT,
    MinerEdge, PublishT, SignT, SubscribeT,
};
use nipworker_signer::{Signer, Verifier};
use nipworker_store::EventStore;
use nipworker_supervision::{Exit, Recipient, StopReport, SupervisorHandle};

use crate::{
    ClientConfig, ClientError, ClientStatus, MineOptions, MiningHandle, MiningStatus,
    NostrClientBuilder, PublishReport, PutOutcome, QueryOptions, StartError, SubscribeOptions,
    Subscription, SubscriptionsStatus,
    tree::{Durable, Running, close_jobs},
    wire::{ask_crypto, ask_parser, expect_answer, repeatedly},
};

/// Most events of one [`NostrClient::import`].
pub const IMPORT_MAX_EVENTS: usize = 10_000;

/// How an event is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishOptions {
    /// Relays to send it to; `None` means the configured ones.
    pub relays: Option<Vec<RelayUrl>>,
    /// Whether it is sent to relays at all.
    pub use_relays: bool,
    /// How long the relays' answers are waited for; `None` takes the configured
    /// `connections.publish_deadline`.
    pub timeout: Option<Duration>,
}

impl Default for PublishOptions {
    fn default() -> Self {
        Self { relays: None, use_relays: true, timeout: None }
    }
}

/// A running engine. Clones are handles to the same one; when the last is dropped it stops in
/// order in the background. [`close`](Self::close) waits for that.
#[derive(Clone)]
pub struct NostrClient {
    inner: Arc<Inner>,
}

struct Inner {
    config: ClientConfig,
    tree: SupervisorHandle,
    #[cfg(feature = "chaos")]
    addresses: crate::tree::Addresses,
    parser: Recipient<ClientEdge>,
    crypto: Recipient<CryptoEdge>,
    miner: Recipient<MinerEdge>,
    durable: Durable,
    /// Let go of on close, so that the file is free and the threads end.
    held: Mutex<Option<Held>>,
    next_subscription: AtomicU64,
    next_job: AtomicU64,
}

#[derive(Clone)]
struct Held {
    store: Arc<dyn EventStore>,
    verifier: Verifier,
}

impl std::fmt::Debug for NostrClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NostrClient").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.durable.hub.shutdown();
        // The tree stops in the background once its handle is dropped; mining ends here, and
        // its threads may take the length of a batch.
        close_jobs(&self.durable.jobs);
    }
}

impl NostrClient {
    /// A builder with default settings.
    pub fn builder() -> NostrClientBuilder {
        NostrClientBuilder::default()
    }

    /// Starts a client as configured.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn new(config: ClientConfig) -> Result<Self, StartError> {
        Self::builder().config(config).build().await
    }

    pub(crate) fn from_running(
        config: ClientConfig,
        running: Running,
        store: Arc<dyn EventStore>,
    ) -> Self {
        let Running { tree, addresses, durable, verifier } = running;
        Self {
            inner: Arc::new(Inner {
                config,
                tree,
                parser: addresses.parser.recipient(),
                crypto: addresses.crypto.recipient(),
                miner: addresses.miner.recipient(),
                #[cfg(feature = "chaos")]
                addresses,
                durable,
                held: Mutex::new(Some(Held { store, verifier })),
                next_subscription: AtomicU64::new(1),
                next_job: AtomicU64::new(1),
            }),
        }
    }

    #[cfg(feature = "chaos")]
    pub(crate) fn addresses(&self) -> &crate::tree::Addresses {
        &self.inner.addresses
    }

    /// The settings it was started with.
    pub fn config(&self) -> &ClientConfig {
        &self.inner.config
    }

    /// Changes who signs; `None` takes the signer away. What is being signed now is finished by
    /// the signer that began it.
    pub fn set_signer(&self, signer: Option<Arc<dyn Signer>>) {
        drop(self.inner.durable.signer.set(signer));
    }

    /// The signer's public key.
    ///
    /// # Errors
    /// [`ClientError::Signer`] when there is no signer or it refuses.
    pub async fn public_key(&self) -> Result<PublicKey, ClientError> {
        let request = CryptoEdge::encode(GetPublicKeyT::default());
        let answer = repeatedly(|| ask_crypto(&self.inner.crypto, request.clone())).await?;
        Ok(expect_answer!(answer, CryptoMessageT::PublicKeyIs)?.pubkey.into())
    }

    /// Signs an event by the signer. The template is not changed in any way.
    ///
    /// # Errors
    /// [`ClientError::Signer`] when there is no signer, it refuses, or the template is another
    /// author's.
    pub async fn sign(&self, template: UnsignedEvent) -> Result<Event, ClientError> {
        let request = CryptoEdge::encode(SignT { template: Box::new(template.into()) });
        let answer = ask_crypto(&self.inner.crypto, request).await?;
        Ok((*expect_answer!(answer, CryptoMessageT::Signed)?.event).into())
    }

    /// Subscribes at the store and the configured relays: stored events, end of stored, then live
    /// ones. See [`subscribe_with`](Self::subscribe_with).
    ///
    /// # Errors
    /// As [`subscribe_with`](Self::subscribe_with).
    pub async fn subscribe(&self, filters: Vec<Filter>) -> Result<Subscription, ClientError> {
        self.subscribe_with(filters, SubscribeOptions::default()).await
    }

    /// Subscribes. The subscription survives restarts of workers and reconnections of relays.
    ///
    /// # Errors
    /// [`ClientError::Invalid`] without filters, [`ClientError::Unsupported`] for a search (NIP-50),
    /// [`ClientError::Busy`] when too many subscriptions are open, [`ClientError::Closed`]. What goes wrong later comes as
    /// [`SubscriptionEvent::Closed`](crate::SubscriptionEvent::Closed).
    pub async fn subscribe_with(
        &self,
        filters: Vec<Filter>,
        options: SubscribeOptions,
    ) -> Result<Subscription, ClientError> {
        let SubscribeOptions { relays, use_cache, use_relays, overflow, queue_events } = options;
        let use_relays = use_relays && self.has_relays(relays.as_deref());
        let plan = Plan { relays: texts(relays), use_cache, use_relays, ..Plan::default() };
        self.open(filters, plan, overflow, queue_events).await
    }

    /// Asks the store and the configured relays for what they have; the stream ends after
    /// [`SubscriptionEvent::EndOfStored`](crate::SubscriptionEvent::EndOfStored).
    ///
    /// # Errors
    /// As [`subscribe_with`](Self::subscribe_with).
    pub async fn query(&self, filters: Vec<Filter>) -> Result<Subscription, ClientError> {
        self.query_with(filters, QueryOptions::default()).await
    }

    /// Asks for stored events.
    ///
    /// # Errors
    /// As [`subscribe_with`](Self::subscribe_with).
    pub async fn query_with(
        &self,
        filters: Vec<Filter>,
        options: QueryOptions,
    ) -> Result<Subscription, ClientError> {
        let QueryOptions { relays, use_cache, use_relays, timeout } = options;
        let use_relays = use_relays && self.has_relays(relays.as_deref());
        let plan = Plan {
            relays: texts(relays),
            use_cache,
            use_relays,
            close_on_eose: true,
            relay_deadline: timeout,
        };
        self.open(filters, plan, Overflow::Wait, None).await
    }

    /// Whether there is anybody to ask: relays of the request's own, or configured ones.
    fn has_relays(&self, named: Option<&[RelayUrl]>) -> bool {
        !named.unwrap_or(&self.inner.config.relays).is_empty()
    }

    async fn open(
        &self,
        filters: Vec<Filter>,
        plan: Plan,
        overflow: Overflow,
        queue_events: Option<usize>,
    ) -> Result<Subscription, ClientError> {
        check(&filters)?;
        let number = self.inner.next_subscription.fetch_add(1, Ordering::Relaxed);
        let id = format!("s{number}");
        let request = ClientEdge::encode(SubscribeT {
            subscription: id.clone(),
            filters: filters.iter().map(Into::into).collect(),
            relays: plan.relays.clone(),
            use_cache: plan.use_cache,
            use_relays: plan.use_relays,
            close_on_eose: plan.close_on_eose,
        });
        let hub = self.inner.durable.hub.clone();
        let spec = SubscriptionSpec { id, filters, plan, overflow, queue_events };
        let stream = hub.register(spec).map_err(hub_error)?;
        let parser = self.inner.parser.clone();
        let opening = async move {
            let answer = repeatedly(|| ask_parser(&parser, request.clone())).await?;
            expect_answer!(answer, ClientMessageT::Subscribed).map(drop)
        };
        Subscription::open(stream, opening.boxed(), hub).await
    }

    /// Publishes to the store and the configured relays.
    ///
    /// # Errors
    /// As [`publish_with`](Self::publish_with).
    pub async fn publish(&self, event: Event) -> Result<PublishReport, ClientError> {
        self.publish_with(event, PublishOptions::default()).await
    }

    /// Checks, stores and sends an event, and waits for each relay's answer or the timeout. The
    /// report is true: nothing counts as accepted that was not.
    ///
    /// Dropping the future does not take the event back: it may be stored and sent all the same.
    ///
    /// # Errors
    /// [`ClientError::Worker`] when a worker failed meanwhile: the event may be stored and sent
    /// or not; publishing it again is safe. A bad event is not an error but an outcome.
    pub async fn publish_with(
        &self,
        event: Event,
        options: PublishOptions,
    ) -> Result<PublishReport, ClientError> {
        let PublishOptions { relays, use_relays, timeout } = options;
        let use_relays = use_relays && self.has_relays(relays.as_deref());
        let request = ClientEdge::encode(PublishT {
            event: Box::new(event.into()),
            relays: texts(relays),
            use_relays,
            timeout_ms: milliseconds(
                timeout.unwrap_or(self.inner.config.connections.publish_deadline),
            ),
        });
        let answer = ask_parser(&self.inner.parser, request).await?;
        let published = expect_answer!(answer, ClientMessageT::Published)?;
        Ok(PublishReport {
            outcome: (*published.outcome).into(),
            receipts: published.receipts.into_iter().map(Into::into).collect(),
        })
    }

    /// Checks and stores events given as JSON texts, without sending them anywhere. One outcome
    /// for each text, in order.
    ///
    /// # Errors
    /// [`ClientError::Invalid`] for more than [`IMPORT_MAX_EVENTS`] texts; [`ClientError::Worker`]
    /// when a worker failed meanwhile: importing the same texts again is safe.
    pub async fn import(&self, events: Vec<String>) -> Result<Vec<PutOutcome>, ClientError> {
        if events.len() > IMPORT_MAX_EVENTS {
            return Err(ClientError::Invalid(format!(
                "{} events in one import, the most is {IMPORT_MAX_EVENTS}",
                events.len()
            )));
        }
        let request = ClientEdge::encode(ImportT { events });
        let answer = ask_parser(&self.inner.parser, request).await?;
        let imported = expect_answer!(answer, ClientMessageT::Imported)?;
        Ok(imported.outcomes.into_iter().map(Into::into).collect())
    }

    /// Counts the stored events that match; an event that several filters match counts once.
    ///
    /// # Errors
    /// [`ClientError::Invalid`] without filters, [`ClientError::Unsupported`] for a search (NIP-50);
    /// failures of workers.
    pub async fn count(&self, filters: Vec<Filter>) -> Result<u64, ClientError> {
        check(&filters)?;
        let filters = filters.iter().map(Into::into).collect();
        let request = ClientEdge::encode(CountT { filters });
        let answer = repeatedly(|| ask_parser(&self.inner.parser, request.clone())).await?;
        Ok(expect_answer!(answer, ClientMessageT::Counted)?.count)
    }

    /// Mines a nonce so that the event's id has `difficulty_bits` leading zero bits (NIP-13).
    ///
    /// # Errors
    /// As [`mine_with`](Self::mine_with).
    pub async fn mine(
        &self,
        template: UnsignedEvent,
        difficulty_bits: u16,
    ) -> Result<MiningHandle, ClientError> {
        self.mine_with(template, difficulty_bits, MineOptions::default()).await
    }

    /// Starts a mining job. It goes on when the miner is restarted; dropping the handle cancels
    /// it.
    ///
    /// # Errors
    /// [`ClientError::Invalid`] for a difficulty above 256 or an event that is too large,
    /// [`ClientError::Busy`] when too many jobs run.
    pub async fn mine_with(
        &self,
        template: UnsignedEvent,
        difficulty_bits: u16,
        options: MineOptions,
    ) -> Result<MiningHandle, ClientError> {
        let id = JobId(self.inner.next_job.fetch_add(1, Ordering::Relaxed));
        let book = Arc::clone(&self.inner.durable.jobs);
        let miner = self.inner.miner.clone();
        MiningHandle::start(id, template, difficulty_bits, options, book, miner).await
    }

    /// How everything is. Reads counters; waits for no worker.
    pub fn status(&self) -> ClientStatus {
        let Durable { hub, pipeline, relays, jobs, .. } = &self.inner.durable;
        let held = self.held().clone();
        let mut subscriptions = SubscriptionsStatus::default();
        for stats in hub.stats() {
            subscriptions.open += 1;
            subscriptions.incomplete += usize::from(!stats.is_complete);
            subscriptions.delivered += stats.delivered;
            subscriptions.queued += stats.queued;
            subscriptions.lagged += stats.lagged;
        }
        ClientStatus {
            supervisor: self.inner.tree.status(),
            relays: relays.report(),
            unanswered_publishes: relays.unanswered_publishes(),
            subscriptions,
            ingest: pipeline.stats(),
            store: held.as_ref().and_then(|held| held.store.stats().ok()),
            verification: held.map(|held| held.verifier.pool().metrics()),
            mining: MiningStatus { pool: jobs.pool_metrics(), jobs: jobs.list(Instant::now()) },
        }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Option<Held>> {
        self.inner.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Completes when the engine has ended: because it was closed, or because a worker failed
    /// too often. Cancel safe.
    pub async fn wait(&self) -> Exit {
        self.inner.tree.wait().await
    }

    /// Stops in order: open streams end, the workers drain and stop one after the other, every
    /// thread is joined and the store's file is released. Other handles are closed with it.
    pub async fn close(&self) -> StopReport {
        self.inner.durable.hub.shutdown();
        let report = self.inner.tree.stop().await;
        let held = self.held().take();
        let jobs = Arc::clone(&self.inner.durable.jobs);
        let (done, stopped) = futures::channel::oneshot::channel::<()>();
        let joiner =
            std::thread::Builder::new().name("nipworker-stop".to_owned()).spawn(move || {
                jobs.close();
                drop(held);
                drop(done);
            });
        match joiner {
            Ok(_) => drop(stopped.await),
            Err(error) => tracing::warn!(%error, "no thread to join the pools with"),
        }
        report
    }
}

/// What no store and no relay is asked.
fn check(filters: &[Filter]) -> Result<(), ClientError> {
    if filters.is_empty() {
        return Err(ClientError::Invalid("at least one filter is needed".to_owned()));
    }
    if filters.iter().any(|filter| filter.search.is_some()) {
        // Ignoring the condition would answer with everything.
        return Err(ClientError::Unsupported("search (NIP-50)".to_owned()));
    }
    Ok(())
}

/// For an edge on which zero stands for a default: less than a millisecond is a millisecond.
fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

fn texts(relays: Option<Vec<RelayUrl>>) -> Vec<String> {
    relays.unwrap_or_default().iter().map(ToString::to_string).collect()
}

fn hub_error(error: HubError) -> ClientError {
    match error {
        HubError::Closed => ClientError::Closed,
        error => ClientError::Busy(error.to_string()),
    }
}
