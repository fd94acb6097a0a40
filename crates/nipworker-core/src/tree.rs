//! The supervision tree: five workers, started in the order in which they need each other.

use std::{sync::Arc, time::Duration};

use nipworker_cache::{CacheActor, CacheParts};
use nipworker_connections::{
    Connections, Dependencies, RelayInformation, SharedClock, WebSocketTransport,
};
use nipworker_crypto::{CryptoActor, CryptoParts};
use nipworker_miner::{MinerActor, MinerParts};
use nipworker_mining::JobBook;
use nipworker_parser::{ParserActor, ParserConfig, ParserParts};
use nipworker_pipeline::{Hub, HubClock, Pipeline};
use nipworker_pow::PowInput;
use nipworker_relay::RelayBook;
use nipworker_signer::{SignerSlot, Verifier};
use nipworker_store::EventStore;
use nipworker_supervision::{Address, ChildSpec, Strategy, Supervisor, SupervisorHandle};

use crate::{
    ClientConfig, FileSetting, MinerConfig, RoutingMode, StartError, clock,
    mining::{self, Desk},
    outbox::{OutboxKeeper, Sending},
    routing::Routing,
};

/// The addresses of the workers. They are valid for the life of the client.
#[derive(Clone)]
pub(crate) struct Addresses {
    pub(crate) connections: Address<Connections>,
    pub(crate) parser: Address<ParserActor>,
    pub(crate) crypto: Address<CryptoActor>,
    pub(crate) cache: Address<CacheActor>,
    pub(crate) miner: Address<MinerActor>,
}

impl Addresses {
    fn new() -> Self {
        Self {
            connections: Address::new("connections", nipworker_connections::MAILBOX),
            parser: ParserActor::address(),
            crypto: CryptoActor::address(),
            cache: Address::new("cache", nipworker_cache::MAILBOX),
            miner: MinerActor::address(),
        }
    }
}

/// What outlives every incarnation of the workers.
#[derive(Clone)]
pub(crate) struct Durable {
    pub(crate) hub: Hub,
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) relays: Arc<RelayBook>,
    pub(crate) desk: Arc<Desk>,
    pub(crate) signer: SignerSlot,
    pub(crate) outbox: Option<Arc<OutboxKeeper>>,
    pub(crate) routing: Option<Arc<Routing>>,
}

/// A running tree and how to talk to it.
pub(crate) struct Running {
    pub(crate) tree: SupervisorHandle,
    pub(crate) addresses: Addresses,
    pub(crate) durable: Durable,
    pub(crate) verifier: Verifier,
}

/// Sockets, and who is asked about relays.
pub(crate) type Network = (Arc<dyn WebSocketTransport>, Option<Arc<dyn RelayInformation>>);

/// Starts pools and workers.
pub(crate) async fn start(
    config: &ClientConfig,
    store: Arc<dyn EventStore>,
    (transport, information): Network,
    signer: SignerSlot,
) -> Result<Running, StartError> {
    let unix = clock::system();
    let threads = (config.crypto.threads > 0).then_some(config.crypto.threads);
    let verifier = Verifier::new(threads).map_err(|error| StartError::Pool(error.to_string()))?;
    let addresses = Addresses::new();
    // Before anything runs that a refusal would have to stop.
    let outbox = match &config.outbox.file {
        FileSetting::Off => None,
        FileSetting::At(path) => {
            Some(OutboxKeeper::open(path, config.outbox.domain(), Arc::clone(&unix))?)
        }
    };
    let desk = Arc::new(open_desk(config, &addresses, &unix)?);
    let routing =
        (config.routing.mode == RoutingMode::Outbox).then(|| Arc::new(Routing::new(config)));
    let mut book = RelayBook::new(config.relays.iter().cloned());
    if let Some(routing) = &routing {
        book = book.with_router(Arc::clone(&routing.router));
    }
    let mut durable = Durable {
        hub: Hub::with_clock(config.hub_config(), elapsed()),
        pipeline: Arc::new(Pipeline::new(config.pipeline_config())),
        relays: Arc::new(book),
        desk,
        signer,
        outbox: None,
        routing,
    };
    let children =
        children(config, &durable, &addresses, store, (transport, information), &verifier, unix)?;
    let mut builder = Supervisor::builder("nipworker")
        .strategy(Strategy::OneForOne)
        .intensity(config.intensity())
        .max_zombies(config.supervision.max_zombies)
        .at_end({
            // Nothing will come on any stream then, and their readers are to know.
            let hub = durable.hub.clone();
            let desk = Arc::clone(&durable.desk);
            move |_| {
                hub.shutdown();
                close_desk(&desk);
            }
        });
    for child in children {
        builder = builder.child(tuned(child, config));
    }
    let tree = builder.start().await.map_err(|error| StartError::Supervisor(error.to_string()))?;
    if let Some(outbox) = outbox {
        let sending = Sending {
            parser: addresses.parser.recipient(),
            timeout: config.connections.publish_deadline,
            limits: config.event_limits(),
        };
        durable.outbox = Some(Arc::new(outbox.start(&durable.relays, sending)?));
    }
    Ok(Running { tree, addresses, durable, verifier })
}

/// Time since now.
fn elapsed() -> HubClock {
    let begin = std::time::Instant::now();
    HubClock::new(move || begin.elapsed())
}

/// The jobs that an earlier process left are taken over before the threads start, so that they
/// are the first to go on.
fn open_desk(
    config: &ClientConfig,
    addresses: &Addresses,
    unix: &clock::UnixClock,
) -> Result<Desk, StartError> {
    let book = Arc::new(JobBook::new());
    let (factory, kernel) = mining::kernel(&config.miner, Arc::clone(unix))?;
    book.register(Arc::new(factory));
    #[cfg(feature = "tip5")]
    book.register(Arc::new(nipworker_tip5::Tip5Factory));
    let miner = addresses.miner.recipient();
    let desk = Desk::open(book, miner, kernel, &config.miner.checkpoint, unix)?;
    let started = desk.book().start_pool(config.miner.pool());
    started.map_err(|error| MinerConfig::refused(&error))?;
    Ok(desk)
}

/// Ends all mining for good, on a thread of its own because it takes the length of a batch.
pub(crate) fn close_desk(desk: &Arc<Desk>) {
    let closing = Arc::clone(desk);
    let closer = std::thread::Builder::new()
        .name("nipworker-stop".to_owned())
        .spawn(move || closing.close());
    if let Err(error) = closer {
        tracing::warn!(%error, "no thread to stop the mining pool; it stops when dropped");
    }
}

/// The workers in start order: who is asked is up before who asks. Stop is the reverse.
fn children(
    config: &ClientConfig,
    durable: &Durable,
    addresses: &Addresses,
    store: Arc<dyn EventStore>,
    (transport, information): Network,
    verifier: &Verifier,
    unix: clock::UnixClock,
) -> Result<[ChildSpec; 5], StartError> {
    let crypto = CryptoParts {
        verifier: verifier.clone(),
        signer: durable.signer.clone(),
        signer_deadline: config.crypto.signer_deadline,
    };
    let relays = addresses.connections.recipient();
    let mut cache = CacheParts::new(store, relays, Arc::clone(&unix), config.store.readers())
        .map_err(|error| StartError::Pool(error.to_string()))?;
    cache.publish_deadline = config.connections.publish_deadline;
    let parser = ParserParts {
        hub: durable.hub.clone(),
        pipeline: Arc::clone(&durable.pipeline),
        crypto: addresses.crypto.recipient(),
        cache: addresses.cache.recipient(),
        clock: Arc::clone(&unix),
        config: ParserConfig {
            // The sessions report a slow relay at their own deadline; this one is behind it.
            relay_deadline: config.connections.eose_deadline + Duration::from_secs(5),
            ..ParserConfig::default()
        },
    };
    let connections = Dependencies {
        config: Arc::new(config.relay_config()),
        book: Arc::clone(&durable.relays),
        transport,
        information,
        parser: addresses.parser.recipient(),
        crypto: addresses.crypto.recipient(),
        clock: SharedClock::new(unix),
    };
    let miner = MinerParts {
        book: Arc::clone(durable.desk.book()),
        nip13: Arc::new(|template, difficulty, refresh_created_at| {
            PowInput { event: template.into(), difficulty, refresh_created_at }.into_request()
        }),
    };
    Ok([
        CryptoActor::child(addresses.crypto.clone(), crypto),
        nipworker_cache::child_spec(addresses.cache.clone(), cache),
        ParserActor::child(addresses.parser.clone(), parser),
        nipworker_connections::child(addresses.connections.clone(), connections),
        MinerActor::child(addresses.miner.clone(), miner),
    ])
}

fn tuned(child: ChildSpec, config: &ClientConfig) -> ChildSpec {
    let child = child.backoff(config.backoff());
    match config.supervision.hang_limit {
        Duration::ZERO => child,
        limit => child.hang_limit(limit),
    }
}
