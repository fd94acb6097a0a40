//! What all requests under way share.

use std::{fmt, sync::Arc};

use nipworker_pipeline::{Hub, Pipeline};
use nipworker_schema::{CacheEdge, CryptoEdge};
use nipworker_supervision::Recipient;

use crate::{config::ParserConfig, neighbours::Neighbours};

/// Tells the time in unix seconds.
pub type UnixClock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// What the worker is given. It outlives every incarnation.
#[derive(Clone)]
pub struct ParserParts {
    /// The subscriptions; the client holds the same hub.
    pub hub: Hub,
    /// The checks, with what they remember and count.
    pub pipeline: Arc<Pipeline>,
    /// The crypto worker.
    pub crypto: Recipient<CryptoEdge>,
    /// The cache worker.
    pub cache: Recipient<CacheEdge>,
    /// The time.
    pub clock: UnixClock,
    /// The times it keeps to.
    pub config: ParserConfig,
}

impl fmt::Debug for ParserParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParserParts")
            .field("hub", &self.hub)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// The parts, as the requests under way use them.
pub(crate) struct Shared {
    pub(crate) hub: Hub,
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) neighbours: Neighbours,
    pub(crate) clock: UnixClock,
    pub(crate) config: ParserConfig,
}

impl Shared {
    pub(crate) fn new(parts: ParserParts) -> Self {
        let ParserParts { hub, pipeline, crypto, cache, clock, config } = parts;
        let neighbours = Neighbours::new(crypto, cache, &config);
        Self { hub, pipeline, neighbours, clock, config }
    }
}
