//! Counters of what came in, in total and for each relay.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use crate::{RefusalKind, Source};

/// Relays that are counted apart. Further ones are counted together under `others`.
pub const MAX_RELAYS_COUNTED: usize = 1_024;

/// What came from one place.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SourceStats {
    /// Texts that came.
    pub received: u64,
    /// Events that were new and genuine.
    pub fresh: u64,
    /// Copies of events that were verified before, or that came twice in one batch.
    pub duplicates: u64,
    /// Refusals by kind.
    pub refused: BTreeMap<RefusalKind, u64>,
}

impl SourceStats {
    /// All refusals.
    pub fn refused_total(&self) -> u64 {
        self.refused.values().sum()
    }

    fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.fresh += other.fresh;
        self.duplicates += other.duplicates;
        for (kind, count) in &other.refused {
            *self.refused.entry(*kind).or_default() += count;
        }
    }
}

/// A snapshot of the counters of a [`crate::Pipeline`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct IngestStats {
    /// All sources together.
    pub total: SourceStats,
    /// Each relay, by URL, at most [`MAX_RELAYS_COUNTED`].
    pub relays: BTreeMap<String, SourceStats>,
    /// All relays beyond that number together.
    pub others: SourceStats,
    /// Entries of the memory of verified events.
    pub known_events: usize,
}

#[derive(Debug, Default)]
pub(super) struct Counters(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    total: SourceStats,
    relays: HashMap<Arc<str>, SourceStats>,
    others: SourceStats,
}

impl Counters {
    pub(super) fn add(&self, source: &Source, stats: &SourceStats) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.total.add(stats);
        if let Source::Relay(url) = source {
            if let Some(relay) = inner.relays.get_mut(url) {
                relay.add(stats);
            } else if inner.relays.len() < MAX_RELAYS_COUNTED {
                inner.relays.insert(Arc::clone(url), stats.clone());
            } else {
                inner.others.add(stats);
            }
        }
    }

    pub(super) fn snapshot(&self, known_events: usize) -> IngestStats {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        IngestStats {
            total: inner.total.clone(),
            relays: inner
                .relays
                .iter()
                .map(|(url, relay)| (url.to_string(), relay.clone()))
                .collect(),
            others: inner.others.clone(),
            known_events,
        }
    }
}
