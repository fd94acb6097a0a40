//! The handle that programs hold.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::FutureExt;
use nipworker_pipeline::{
    DeliveryLimits, Hub, HubError, Overflow, Plan, SubscriptionSpec,
    pipes::{MAX_PIPES, PipeSpec},
};
use nipworker_protocol::{Event, EventId, Filter, HyperLogLog, PublicKey, RelayUrl, UnsignedEvent};
use nipworker_schema::{
    ClientEdge, ClientMessageT, CountT, CountedT, CryptoEdge, CryptoMessageT, GetPublicKeyT, ListT,
    SignT, SubscribeT,
};
use nipworker_signer::{Signer, Verifier};
use nipworker_store::EventStore;
use nipworker_supervision::{Exit, Recipient, StopReport, SupervisorHandle};
use nipworker_transport::RelayInformation;

use crate::{
    ClientConfig, ClientError, ClientStatus, NostrClientBuilder, QueryOptions, RelayStatus,
    StartError, SubscribeOptions, Subscription, SubscriptionsStatus,
    mining::Desk,
    outbox::OutboxKeeper,
    routing::Routing,
    sync::Syncs,
    tree::{Durable, Running, close_desk},
    wire::{ask_crypto, ask_parser, expect_answer, repeatedly},
};

/// A running engine. Clones are handles to the same one; when the last is dropped it stops in
/// order in the background. [`close`](Self::close) waits for that.
#[derive(Clone)]
pub struct NostrClient {
    inner: Arc<Inner>,
}

/// Positions that [`NostrClient::stored_positions`] lists at most.
pub const STORED_POSITIONS_MAX: usize = nipworker_cache::LISTED_MAX;

/// How a subscription or query is served.
pub(crate) struct How {
    plan: Plan,
    overflow: Overflow,
    queue_events: Option<usize>,
    pipes: Option<Vec<PipeSpec>>,
    limits: DeliveryLimits,
    deadline: Option<Duration>,
}

impl How {
    /// Everything that comes, as it is: no pipe holds anything back.
    pub(crate) fn whole(plan: Plan) -> Self {
        Self {
            plan,
            overflow: Overflow::Wait,
            queue_events: None,
            pipes: Some(Vec::new()),
            limits: DeliveryLimits::default(),
            deadline: None,
        }
    }
}

struct Inner {
    config: ClientConfig,
    /// Those of the configuration.
    pipes: Vec<PipeSpec>,
    tree: SupervisorHandle,
    #[cfg(feature = "chaos")]
    addresses: crate::tree::Addresses,
    parser: Recipient<ClientEdge>,
    crypto: Recipient<CryptoEdge>,
    information: Option<Arc<dyn RelayInformation>>,
    durable: Durable,
    /// Let go of on close, so that the file is free and the threads end.
    held: Mutex<Option<Held>>,
    next_subscription: AtomicU64,
    syncs: Arc<Syncs>,
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
        if let Some(outbox) = &self.durable.outbox {
            outbox.stop();
        }
        self.durable.hub.shutdown();
        // The tree stops in the background once its handle is dropped; mining ends here, and
        // its threads may take the length of a batch.
        close_desk(&self.durable.desk);
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
        information: Option<Arc<dyn RelayInformation>>,
    ) -> Self {
        let Running { tree, addresses, durable, verifier } = running;
        // They were checked before anything was started.
        let pipes = config.pipes().unwrap_or_default();
        Self {
            inner: Arc::new(Inner {
                config,
                pipes,
                tree,
                parser: addresses.parser.recipient(),
                crypto: addresses.crypto.recipient(),
                information,
                #[cfg(feature = "chaos")]
                addresses,
                durable,
                held: Mutex::new(Some(Held { store, verifier })),
                next_subscription: AtomicU64::new(1),
                syncs: Arc::default(),
            }),
        }
    }

    #[cfg(feature = "chaos")]
    pub(crate) fn addresses(&self) -> &crate::tree::Addresses {
        &self.inner.addresses
    }

    pub(crate) fn parser(&self) -> &Recipient<ClientEdge> {
        &self.inner.parser
    }

    pub(crate) fn crypto(&self) -> &Recipient<CryptoEdge> {
        &self.inner.crypto
    }

    pub(crate) fn hub(&self) -> &Hub {
        &self.inner.durable.hub
    }

    pub(crate) fn syncs(&self) -> &Arc<Syncs> {
        &self.inner.syncs
    }

    /// A name that no subscription and no reconciliation of this client had.
    pub(crate) fn next_name(&self) -> String {
        format!("s{}", self.inner.next_subscription.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn desk(&self) -> &Arc<Desk> {
        &self.inner.durable.desk
    }

    pub(crate) fn routing(&self) -> Option<&Arc<Routing>> {
        self.inner.durable.routing.as_ref()
    }

    pub(crate) fn outbox_of(&self) -> Option<&Arc<OutboxKeeper>> {
        self.inner.durable.outbox.as_ref()
    }

    /// Who can be asked what relays say about themselves.
    pub(crate) fn information(&self) -> Option<&Arc<dyn RelayInformation>> {
        self.inner.information.as_ref()
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

    /// Subscribes at the store and the configured relays (with `routing.mode` on, those of the
    /// people it is about): stored events, end of stored, then live
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
    /// [`ClientError::Invalid`] without filters or with too many pipes,
    /// [`ClientError::Unsupported`] for a search (NIP-50),
    /// [`ClientError::Busy`] when too many subscriptions are open, [`ClientError::Closed`]. What goes wrong later comes as
    /// [`SubscriptionEvent::Closed`](crate::SubscriptionEvent::Closed).
    pub async fn subscribe_with(
        &self,
        filters: Vec<Filter>,
        options: SubscribeOptions,
    ) -> Result<Subscription, ClientError> {
        let SubscribeOptions {
            relays,
            use_cache,
            use_relays,
            overflow,
            queue_events,
            pipes,
            limits,
            deadline,
        } = options;
        let use_relays = use_relays && self.has_relays(relays.as_deref());
        if use_relays && relays.is_none() {
            self.look_up_for(&filters).await;
        }
        let plan = Plan { relays: texts(relays), use_cache, use_relays, ..Plan::default() };
        let how = How { plan, overflow, queue_events, pipes, limits, deadline };
        self.open(filters, how).await
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
        let QueryOptions { relays, use_cache, use_relays, timeout, pipes, limits } = options;
        let use_relays = use_relays && self.has_relays(relays.as_deref());
        if use_relays && relays.is_none() {
            self.look_up_for(&filters).await;
        }
        let plan = Plan {
            relays: texts(relays),
            use_cache,
            use_relays,
            close_on_eose: true,
            relay_deadline: timeout,
        };
        let overflow = Overflow::Wait;
        let how = How { plan, overflow, queue_events: None, pipes, limits, deadline: None };
        self.open(filters, how).await
    }

    /// Whether there is anybody to ask: relays of the request's own, or configured ones.
    pub(crate) fn has_relays(&self, named: Option<&[RelayUrl]>) -> bool {
        !named.unwrap_or(&self.inner.config.relays).is_empty()
    }

    /// The pipes that a request names, or the configured ones.
    pub(crate) fn pipes_or_default(
        &self,
        named: Option<Vec<PipeSpec>>,
    ) -> Result<Vec<PipeSpec>, ClientError> {
        let pipes = named.unwrap_or_else(|| self.inner.pipes.clone());
        if pipes.len() > MAX_PIPES {
            let problem = format!("{} pipes, the most is {MAX_PIPES}", pipes.len());
            return Err(ClientError::Invalid(problem));
        }
        Ok(pipes)
    }

    pub(crate) async fn open(
        &self,
        filters: Vec<Filter>,
        how: How,
    ) -> Result<Subscription, ClientError> {
        check(&filters)?;
        let How { plan, overflow, queue_events, pipes, limits, deadline } = how;
        let pipes = self.pipes_or_default(pipes)?;
        let id = self.next_name();
        let request = ClientEdge::encode(SubscribeT {
            subscription: id.clone(),
            filters: filters.iter().map(Into::into).collect(),
            relays: plan.relays.clone(),
            use_cache: plan.use_cache,
            use_relays: plan.use_relays,
            close_on_eose: plan.close_on_eose,
        });
        let hub = self.inner.durable.hub.clone();
        let spec = SubscriptionSpec { id, filters, plan, overflow, queue_events, pipes, limits };
        let stream = hub.register(spec).map_err(hub_error)?;
        let parser = self.inner.parser.clone();
        let opening = async move {
            let answer = repeatedly(|| ask_parser(&parser, request.clone())).await?;
            expect_answer!(answer, ClientMessageT::Subscribed).map(drop)
        };
        let learner = self.routing().map(|routing| Arc::clone(&routing.router));
        Subscription::open(stream, opening.boxed(), hub, deadline, learner).await
    }

    /// Counts the stored events that match; an event that several filters match counts once.
    ///
    /// # Errors
    /// [`ClientError::Invalid`] without filters, [`ClientError::Unsupported`] for a search (NIP-50);
    /// failures of workers.
    pub async fn count(&self, filters: Vec<Filter>) -> Result<u64, ClientError> {
        Ok(self.counted(filters, false).await?.count)
    }

    /// Counts like [`count`](Self::count), and where NIP-45 names a way (one filter with values for one
    /// tag) also the authors of these events, in a form that adds up over several stores and relays. That
    /// reads each event.
    ///
    /// # Errors
    /// As [`count`](Self::count).
    pub async fn count_authors(
        &self,
        filters: Vec<Filter>,
    ) -> Result<(u64, Option<HyperLogLog>), ClientError> {
        let CountedT { count, hll } = self.counted(filters, true).await?;
        Ok((count, hll.and_then(|registers| HyperLogLog::from_bytes(&registers))))
    }

    /// Where the stored events that answer `filter` stand: time and id, the newest `max` of them, newest
    /// first: what a [`Responder`](crate::Responder) compares (NIP-77); [`STORED_POSITIONS_MAX`](crate::STORED_POSITIONS_MAX) at most.
    ///
    /// # Errors
    /// As [`count`](Self::count).
    pub async fn stored_positions(
        &self,
        filter: Filter,
        max: usize,
    ) -> Result<Vec<(i64, EventId)>, ClientError> {
        check(std::slice::from_ref(&filter))?;
        let max = u32::try_from(max).unwrap_or(u32::MAX);
        let request = ClientEdge::encode(ListT { filter: Box::new((&filter).into()), max });
        let answer = repeatedly(|| ask_parser(&self.inner.parser, request.clone())).await?;
        let listed = expect_answer!(answer, ClientMessageT::Listed)?;
        Ok(listed.positions.chunks_exact(8 + EventId::LEN).filter_map(position).collect())
    }

    async fn counted(&self, filters: Vec<Filter>, hll: bool) -> Result<CountedT, ClientError> {
        check(&filters)?;
        let filters = filters.iter().map(Into::into).collect();
        let request = ClientEdge::encode(CountT { filters, hll });
        let answer = repeatedly(|| ask_parser(&self.inner.parser, request.clone())).await?;
        expect_answer!(answer, ClientMessageT::Counted)
    }

    /// How everything is. Reads counters; waits for no worker and no database.
    pub fn status(&self) -> ClientStatus {
        let Durable { hub, pipeline, relays, desk, outbox, routing, .. } = &self.inner.durable;
        let held = self.held().clone();
        let mut subscriptions = SubscriptionsStatus::default();
        for stats in hub.stats() {
            subscriptions.open += 1;
            subscriptions.incomplete += usize::from(!stats.is_complete);
            subscriptions.delivered += stats.delivered;
            subscriptions.queued += stats.queued;
            subscriptions.lagged += stats.lagged;
            subscriptions.duplicates += stats.duplicates;
            subscriptions.filtered += stats.filtered;
            for pipe in stats.pipes {
                subscriptions.pipe_panics += pipe.panics + pipe.end_panics;
                *subscriptions.held_back.entry(pipe.name.clone()).or_default() += pipe.held_back();
            }
        }
        let ingest = pipeline.stats();
        ClientStatus {
            supervisor: self.inner.tree.status(),
            relays: RelayStatus::join(relays.report(), &ingest),
            unanswered_publishes: relays.unanswered_publishes(),
            outbox: outbox.as_ref().map(|outbox| outbox.status()),
            routing: routing.as_ref().map(|routing| routing.status()),
            subscriptions,
            ingest,
            store: held.as_ref().and_then(|held| held.store.stats().ok()),
            verification: held.map(|held| held.verifier.pool().metrics()),
            mining: desk.status(),
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
        let outbox = self.inner.durable.outbox.clone();
        if let Some(outbox) = &outbox {
            outbox.stop();
        }
        self.inner.durable.hub.shutdown();
        let report = self.inner.tree.stop().await;
        let held = self.held().take();
        let desk = Arc::clone(&self.inner.durable.desk);
        let (done, stopped) = futures::channel::oneshot::channel::<()>();
        let joiner =
            std::thread::Builder::new().name("nipworker-stop".to_owned()).spawn(move || {
                desk.close();
                if let Some(outbox) = outbox {
                    outbox.join();
                }
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
pub(crate) fn check(filters: &[Filter]) -> Result<(), ClientError> {
    if filters.is_empty() {
        return Err(ClientError::Invalid("at least one filter is needed".to_owned()));
    }
    if filters.iter().any(|filter| filter.search.is_some()) {
        // Ignoring the condition would answer with everything.
        return Err(ClientError::Unsupported("search (NIP-50)".to_owned()));
    }
    Ok(())
}

pub(crate) fn texts(relays: Option<Vec<RelayUrl>>) -> Vec<String> {
    relays.unwrap_or_default().iter().map(ToString::to_string).collect()
}

fn hub_error(error: HubError) -> ClientError {
    match error {
        HubError::Closed => ClientError::Closed,
        error => ClientError::Busy(error.to_string()),
    }
}

/// Reads one position of a list.
fn position(bytes: &[u8]) -> Option<(i64, EventId)> {
    let (time, id) = bytes.split_first_chunk()?;
    Some((i64::from_be_bytes(*time), EventId::from_slice(id)?))
}
